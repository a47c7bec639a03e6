//! What a machine reports (`tests/src/bin/hark-vm-guest/report.rs` has the format), and whether that
//! is all of it.

use anyhow::{Context, Result, bail, ensure};

/// A whole report.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Report {
    /// The kernel, as `uname -r` gives it.
    pub(super) release: String,
    /// Whether the kernel has what the agent needs; if not, the checks are about how it says so.
    pub(super) runs: bool,
    /// The checks in their order.
    pub(super) checks: Vec<Check>,
    /// The agent's programs, and how many instructions the verifier went through for each; 0 if the
    /// kernel does not say.
    pub(super) programs: Vec<(String, u32)>,
}

/// One check.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Check {
    pub(super) name: String,
    /// The result in a few words, or why it failed.
    pub(super) outcome: Result<String, String>,
}

impl Report {
    /// Reads a report.
    ///
    /// # Errors
    ///
    /// Its last line is not there or does not agree with the others: whatever it says, the machine
    /// did not do all it should.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut release = None;
        let mut checks = Vec::new();
        let mut programs = Vec::new();
        let mut end = None;
        for line in text.lines() {
            ensure!(end.is_none(), "there is more after the last line: {line}");
            let fields: Vec<&str> = line.trim_end_matches('\r').split('\t').collect();
            match fields[..] {
                ["kernel", name] => release = Some(name.to_owned()),
                ["pass", name, result] => checks.push(Check {
                    name: name.to_owned(),
                    outcome: Ok(result.to_owned()),
                }),
                ["fail", name, why] => checks.push(Check {
                    name: name.to_owned(),
                    outcome: Err(why.to_owned()),
                }),
                ["program", name, count] => {
                    let count = count.parse().with_context(|| line.to_owned())?;
                    programs.push((name.to_owned(), count));
                }
                ["end", verdict, passed, failed] => {
                    end = Some((verdict.to_owned(), passed.parse()?, failed.parse()?));
                }
                _ => bail!("this is no line of a report: {line}"),
            }
        }
        let (verdict, passed, failed): (String, usize, usize) =
            end.context("the report has no last line")?;
        let report = Self {
            release: release.context("the report does not name the kernel")?,
            runs: match &*verdict {
                "runs" => true,
                "refused" => false,
                _ => bail!("`{verdict}` is no verdict"),
            },
            checks,
            programs,
        };
        let found = (report.checks.len() - report.failed(), report.failed());
        ensure!(
            found == (passed, failed) && passed + failed > 0,
            "lines are missing: {found:?} checks passed and failed, of {:?}",
            (passed, failed)
        );
        Ok(report)
    }

    /// Adds a check: no program takes the verifier more than `budget` instructions.
    pub(super) fn judge_programs(&mut self, budget: u32) {
        if !self.runs {
            return;
        }
        let most = self.programs.iter().max_by_key(|(_, count)| *count);
        let outcome = match most {
            None => Err("the agent has no programs".to_owned()),
            Some((name, count)) if *count > budget => Err(format!(
                "{name} took the verifier {count} instructions, which is above {budget}"
            )),
            Some((_, most)) => match self.programs.iter().find(|(_, count)| *count == 0) {
                Some((name, _)) => Err(format!("the kernel does not say how much {name} took")),
                None => Ok(format!("at most {most} instructions")),
            },
        };
        self.checks.push(Check {
            name: "verifier".to_owned(),
            outcome,
        });
    }

    /// How many checks failed.
    pub(super) fn failed(&self) -> usize {
        self.checks
            .iter()
            .filter(|check| check.outcome.is_err())
            .count()
    }

    /// What the agent does on this kernel.
    pub(super) fn verdict(&self) -> &'static str {
        match (self.passed(), self.runs) {
            (false, _) => "FAILS",
            (true, true) => "runs",
            (true, false) => "refuses",
        }
    }

    /// Whether all is well.
    pub(super) fn passed(&self) -> bool {
        self.failed() == 0
    }

    /// The kernel's version without what its distribution adds: `6.12`.
    pub(super) fn version(&self) -> String {
        let numbers: Vec<&str> = self.release.split('.').take(2).collect();
        numbers.join(".")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "kernel\t6.12.1-test\r\npass\tstarts\tready\r\n\
        fail\thooks\tnone\r\nprogram\tone\t900\r\nend\truns\t1\t1\r\n";

    #[test]
    fn a_whole_report() {
        let report = Report::parse(WHOLE).unwrap();
        assert_eq!(report.release, "6.12.1-test");
        assert_eq!(report.version(), "6.12");
        assert!(report.runs && !report.passed());
        assert_eq!(report.verdict(), "FAILS");
        assert_eq!(report.programs, [("one".to_owned(), 900)]);
        assert_eq!(report.checks[1].outcome, Err("none".to_owned()));
    }

    #[test]
    fn half_a_report_is_none() {
        let last_line = WHOLE.find("end").unwrap();
        for cut in [0, 1, last_line, last_line + 5] {
            assert!(Report::parse(&WHOLE[..cut]).is_err(), "{cut}");
        }
        let lines: Vec<&str> = WHOLE.lines().collect();
        // The kernel's name or a check is missing; a program that is missing is nobody's loss here.
        for missing in [0, 1, 2, 4] {
            let mut lines = lines.clone();
            lines.remove(missing);
            assert!(Report::parse(&lines.join("\n")).is_err(), "{missing}");
        }
        assert!(Report::parse("kernel\t6\nend\truns\t0\t0").is_err());
        assert!(Report::parse(&format!("{WHOLE}panic")).is_err());
    }

    #[test]
    fn a_program_near_the_limit_fails() {
        for (budget, fails) in [(899, true), (900, false)] {
            let mut report = Report::parse(WHOLE).unwrap();
            report.judge_programs(budget);
            assert_eq!(report.checks[2].outcome.is_err(), fails, "{budget}");
        }
        let mut silent = Report::parse(&WHOLE.replace("900", "0")).unwrap();
        silent.judge_programs(1000);
        assert!(silent.checks[2].outcome.is_err());
    }
}
