//! The count of a run, read from what cargo's test harness prints.
//!
//! The harness has no machine-readable output on stable, so its lines are read: `running 3 tests`
//! opens a binary, `test result: …` closes it, and between two of the latter a list of failed
//! names may stand. A binary that opens and never closes has crashed, which counts as a failure.
//! A test that finds that it cannot run prints `SKIPPED <name>: <reason>`, on stdout or past the
//! harness on stderr, and returns; the harness takes it for passed, we do not.

/// What a run came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) passed: u64,
    pub(super) failed: Vec<String>,
    /// Names, each with its reason.
    pub(super) skipped: Vec<(String, String)>,
}

impl Tally {
    /// Counts one check that is no test of cargo's.
    pub(super) fn count(&mut self, name: &str, passed: bool) {
        if passed {
            self.passed += 1;
        } else {
            self.failed.push(name.to_owned());
        }
    }

    /// Counts one check that did not run.
    pub(super) fn skip(&mut self, name: &str, reason: &str) {
        self.skipped.push((name.to_owned(), reason.to_owned()));
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.passed += other.passed;
        self.failed.extend_from_slice(&other.failed);
        self.skipped.extend_from_slice(&other.skipped);
    }
}

/// Reads the lines of one `cargo test`.
#[derive(Debug, Default)]
pub(super) struct Reader {
    tally: Tally,
    /// A binary has opened and not closed.
    open: bool,
    /// Tests that said themselves that they were skipped, which the harness counts as passed.
    skipped: u64,
    /// Names of the failed, as far as the list under `failures:` has come.
    listed: Vec<String>,
    listing: bool,
    /// Binaries that opened and never closed.
    crashed: u64,
}

impl Reader {
    /// Takes the next line of stderr, without its end.
    pub(super) fn stderr(&mut self, line: &str) {
        if let Some((name, reason)) = skipped(line) {
            self.skipped += 1;
            self.tally.skip(name, reason);
        }
    }

    /// Takes the next line of stdout, without its end.
    pub(super) fn stdout(&mut self, line: &str) {
        if let Some(count) = opening(line) {
            self.close_crashed();
            // A binary without tests still closes, but has nothing to crash.
            self.open = count > 0;
        } else if let Some(result) = closing(line) {
            self.close(&result);
        } else if let Some((name, reason)) = skipped(line) {
            self.skipped += 1;
            self.tally.skip(name, reason);
        } else if let Some((name, reason)) = ignored(line) {
            self.tally.skip(name, reason);
        } else if line == "failures:" {
            // Comes twice: over what the failed tests printed, then over their names.
            self.listed.clear();
            self.listing = true;
        } else if self.listing {
            match line.strip_prefix("    ") {
                Some(name) if !name.trim().is_empty() => self.listed.push(name.to_owned()),
                _ if line.is_empty() => {}
                _ => self.listing = false,
            }
        }
    }

    /// The count at the end of the output. `succeeded` is cargo's own exit status: a failure that no
    /// test accounts for, such as one to compile, is counted as one under the name of `suite`.
    pub(super) fn finish(mut self, suite: &str, succeeded: bool) -> Tally {
        self.close_crashed();
        // Only now: stderr is not in step with stdout. A skipped test in a program that crashed
        // later, or that failed nevertheless, makes this too low by one; never too high.
        self.tally.passed = self.tally.passed.saturating_sub(self.skipped);
        if self.crashed > 0 {
            self.tally.failed.push(format!(
                "{suite}: {} test program(s) ended before all their tests",
                self.crashed
            ));
        }
        if !succeeded && self.tally.failed.is_empty() {
            self.tally
                .failed
                .push(format!("{suite}: cargo test failed to run"));
        }
        self.tally
    }

    fn close(&mut self, result: &Counts) {
        self.tally.passed += result.passed;
        let mut names = std::mem::take(&mut self.listed);
        // The list and the count are the harness's own and agree; a test that prints a list like
        // it must not change the count.
        let failed = usize::try_from(result.failed).unwrap_or(usize::MAX);
        names.truncate(failed);
        while names.len() < failed {
            names.push("a test whose name was not listed".to_owned());
        }
        self.tally.failed.append(&mut names);
        self.listing = false;
        self.open = false;
    }

    fn close_crashed(&mut self) {
        if self.open {
            self.crashed += 1;
            self.open = false;
            self.listed.clear();
            self.listing = false;
        }
    }
}

/// The numbers of a `test result:` line that are needed.
#[derive(Debug, PartialEq, Eq)]
struct Counts {
    passed: u64,
    failed: u64,
}

fn opening(line: &str) -> Option<u64> {
    let rest = line.strip_prefix("running ")?;
    let count = rest
        .strip_suffix(" tests")
        .or_else(|| rest.strip_suffix(" test"))?;
    count.parse().ok()
}

/// `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.01s`
fn closing(line: &str) -> Option<Counts> {
    let (_verdict, numbers) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let number = |what: &str| {
        numbers
            .split("; ")
            .find_map(|part| part.strip_suffix(what)?.trim_end().parse().ok())
    };
    Some(Counts {
        passed: number("passed")?,
        failed: number("failed")?,
    })
}

/// `SKIPPED <name>: <reason>`, also after what else stands on the line: without capture, the
/// harness's own `test <name> ... ` comes first.
fn skipped(line: &str) -> Option<(&str, &str)> {
    let at = line.find("SKIPPED ")?;
    let before = &line[..at];
    if !(before.is_empty() || before.starts_with("test ") && before.ends_with("... ")) {
        return None;
    }
    let (name, reason) = line[at + "SKIPPED ".len()..].split_once(": ")?;
    (!name.is_empty() && !name.contains(' ')).then_some((name, reason))
}

/// `test <name> ... ignored`, with a reason after a comma if there is one.
fn ignored(line: &str) -> Option<(&str, &str)> {
    let (name, outcome) = line.strip_prefix("test ")?.split_once(" ... ignored")?;
    match outcome.strip_prefix(", ") {
        Some(reason) => Some((name, reason)),
        None => outcome.is_empty().then_some((name, "ignored")),
    }
}

#[cfg(test)]
mod tests;
