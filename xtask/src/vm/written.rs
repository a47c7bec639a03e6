//! What is kept under version control of a run over the default list: the table of kernels and
//! checks, and what each program took each verifier.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result};

use crate::vm::report::Report;
use crate::vm::{VERIFIER_BUDGET, VERIFIER_LIMIT};
use crate::workspace::Workspace;

/// The table, for people.
const TABLE: &str = "docs/kernels.md";

/// The instructions, for reviews.
const INSTRUCTIONS: &str = "ebpf/verified-instructions.txt";

/// Writes both files.
pub(super) fn write(workspace: &Workspace, reports: &[&Report]) -> Result<()> {
    for (name, text) in [
        (TABLE, table(reports)),
        (INSTRUCTIONS, instructions(reports)),
    ] {
        let path = workspace.root.join(name);
        fs::write(&path, text).with_context(|| path.display().to_string())?;
        println!("wrote {name}");
    }
    Ok(())
}

/// Says which of the instructions are others than those that are kept. That is no failure: another
/// compiler makes other programs, and so does every change of them. What fails is a program near the
/// kernel's limit ([`Report::judge_programs`]).
pub(super) fn compare(workspace: &Workspace, reports: &[&Report]) -> Result<()> {
    let path = workspace.root.join(INSTRUCTIONS);
    let kept = match fs::read_to_string(&path) {
        Ok(kept) => kept,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).context(INSTRUCTIONS),
    };
    for change in changes(&kept, reports) {
        println!("note: {change}");
    }
    Ok(())
}

/// Each number that differs from the kept one, of kernels of a version that is kept.
fn changes(kept: &str, reports: &[&Report]) -> Vec<String> {
    let mut rows = kept
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let heading = rows.next().unwrap_or_default();
    let rows: Vec<_> = rows.collect();
    let mut changes = Vec::new();
    for report in reports {
        let version = report.version();
        let Some(column) = heading.iter().position(|name| **name == *version) else {
            continue;
        };
        for (program, count) in &report.programs {
            let before = rows
                .iter()
                .find(|row| row.first() == Some(&&**program))
                .and_then(|row| row.get(column));
            let now = count.to_string();
            if before != Some(&&*now) {
                changes.push(format!(
                    "{program} takes the verifier of {version} {now} instructions; {INSTRUCTIONS} \
                     has {}",
                    before.unwrap_or(&"none")
                ));
            }
        }
    }
    changes
}

/// Rows are checks, columns kernels; and below it what the agent says where it is refused.
fn table(reports: &[&Report]) -> String {
    let mut text = String::from(
        "# Kernels\n\n\
         Written by `cargo xtask vm --write`: stock Debian kernels, x86-64, in QEMU. Each check is made\n\
         with the real agent and real processes. *64 of 64* means that the client sent 64 requests, the\n\
         server counted 64 served, and hark heard 64 at either end, by method and status. From 7.0 on the\n\
         kernel now and then does not hand an event to a program, and a spare takes it; what both miss\n\
         (`hark_events_skipped_total`) is lost: then *127 of 128, 1 counted as lost*, over both ends, means\n\
         that what is missing is what hark says is missing, and before 7.0 it is a failure. `AF_UNIX`\n\
         sockets have no sequence numbers by which a skipped event could be told.\n\n",
    );
    let mut row = |first: &str, cells: Vec<String>| {
        let _ = write!(text, "| {first} |");
        for cell in cells {
            let _ = write!(text, " {} |", cell.replace('|', "\\|"));
        }
        text.push('\n');
    };
    row("", reports.iter().map(|report| report.version()).collect());
    row("---", reports.iter().map(|_| "---".to_owned()).collect());
    row(
        "kernel",
        reports
            .iter()
            .map(|report| report.release.clone())
            .collect(),
    );
    row(
        "**hark**",
        reports
            .iter()
            .map(|report| report.verdict())
            .map(|word| format!("**{word}**"))
            .collect(),
    );
    for name in names(reports) {
        let cell = |report: &&Report| {
            let check = report.checks.iter().find(|check| check.name == name);
            match check.map(|check| &check.outcome) {
                Some(Ok(_)) if name == REFUSAL => "one sentence".to_owned(),
                Some(Ok(result)) => result.clone(),
                Some(Err(_)) => "FAILS".to_owned(),
                None => "-".to_owned(),
            }
        };
        row(name, reports.iter().map(cell).collect());
    }
    for report in reports {
        let refusal = report.checks.iter().find(|check| check.name == REFUSAL);
        if let Some(Ok(sentence)) = refusal.map(|check| &check.outcome) {
            let _ = write!(
                text,
                "\nOn {} hark ends with: *{sentence}*.\n",
                report.version()
            );
        }
    }
    text
}

/// The check whose result is a sentence.
const REFUSAL: &str = "refusal";

/// The checks' names in the order in which they are made, the longest report's first.
fn names<'a>(reports: &[&'a Report]) -> Vec<&'a str> {
    let mut by_length: Vec<&&Report> = reports.iter().collect();
    by_length.sort_by_key(|report| std::cmp::Reverse(report.checks.len()));
    let mut seen = BTreeSet::new();
    by_length
        .iter()
        .flat_map(|report| &report.checks)
        .map(|check| &*check.name)
        .filter(|name| seen.insert(*name))
        .collect()
}

/// Rows are programs, columns kernels.
fn instructions(reports: &[&Report]) -> String {
    let reports: Vec<_> = reports.iter().filter(|report| report.runs).collect();
    let mut seen = BTreeSet::new();
    let programs: Vec<&str> = reports
        .iter()
        .flat_map(|report| &report.programs)
        .map(|(name, _)| &**name)
        .filter(|name| seen.insert(*name))
        .collect();
    let width = programs
        .iter()
        .map(|name| name.len())
        .fold("program".len(), usize::max);
    let mut text = format!(
        "# Written by `cargo xtask vm --write`: how many instructions the verifier of each kernel went\n\
         # through for each program, over all paths. By the compiler that `cargo xtask setup` finds;\n\
         # another makes other programs. Numbers that differ from these are printed by `cargo xtask vm`\n\
         # and fail nothing: this file is written anew with a change, for the review of it. A program\n\
         # above {VERIFIER_BUDGET} fails; the kernel's limit is {VERIFIER_LIMIT}.\n",
    );
    let _ = write!(text, "{:width$}", "program");
    for report in &reports {
        let _ = write!(text, "  {:>7}", report.version());
    }
    for program in programs {
        let _ = write!(text, "\n{program:width$}");
        for report in &reports {
            let found = report.programs.iter().find(|(name, _)| name == program);
            let count = found.map_or_else(|| "-".to_owned(), |(_, count)| count.to_string());
            let _ = write!(text, "  {count:>7}");
        }
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::report::Check;

    fn reports() -> [Report; 2] {
        let check = |name: &str, outcome: &str| Check {
            name: name.to_owned(),
            outcome: Ok(outcome.to_owned()),
        };
        [
            Report {
                release: "5.10.0-1-cloud".to_owned(),
                runs: false,
                checks: vec![check(REFUSAL, "too old"), check("kernel log", "quiet")],
                programs: Vec::new(),
            },
            Report {
                release: "6.12.3".to_owned(),
                runs: true,
                checks: vec![
                    check("starts", "ready"),
                    check("IPv4", "64 of 64"),
                    check("kernel log", "quiet"),
                ],
                programs: vec![("send".to_owned(), 7000), ("recv".to_owned(), 12)],
            },
        ]
    }

    #[test]
    fn the_table_has_all_checks_and_what_is_said() {
        let [old, new] = reports();
        let text = table(&[&old, &new]);
        assert!(
            text.ends_with(
                "\
|  | 5.10 | 6.12 |
| --- | --- | --- |
| kernel | 5.10.0-1-cloud | 6.12.3 |
| **hark** | **refuses** | **runs** |
| starts | - | ready |
| IPv4 | - | 64 of 64 |
| kernel log | quiet | quiet |
| refusal | one sentence | - |

On 5.10 hark ends with: *too old*.
"
            ),
            "{text}"
        );
    }

    #[test]
    fn instructions_are_compared_with_those_that_are_kept() {
        let [old, mut new] = reports();
        let kept = instructions(&[&old, &new]);
        assert!(
            kept.ends_with("program     6.12\nsend        7000\nrecv          12\n"),
            "{kept}"
        );
        assert_eq!(changes(&kept, &[&old, &new]), Vec::<String>::new());
        new.programs[1].1 = 13;
        new.programs.push(("more".to_owned(), 1));
        assert_eq!(
            changes(&kept, &[&new]),
            [
                "recv takes the verifier of 6.12 13 instructions; ebpf/verified-instructions.txt \
                 has 12",
                "more takes the verifier of 6.12 1 instructions; ebpf/verified-instructions.txt \
                 has none"
            ]
        );
        new.release = "7.2.1".to_owned();
        assert_eq!(changes(&kept, &[&new]), Vec::<String>::new());
    }
}
