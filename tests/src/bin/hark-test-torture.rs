//! Runs the cases of `torture` in full, one after the other, and prints a table of what came of each.
//! `cargo xtask torture` builds and starts it. Names of cases may be given.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use hark_tests::torture::{CASES, Case, Outcome, Scale};

fn main() -> ExitCode {
    let asked: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = asked
        .iter()
        .find(|name| CASES.iter().all(|case| case.name != **name))
    {
        eprintln!("there is no case `{unknown}`; there are:");
        CASES
            .iter()
            .for_each(|case| eprintln!("  {:12} {}", case.name, case.what));
        return ExitCode::from(2);
    }
    let chosen = CASES
        .iter()
        .filter(|case| asked.is_empty() || asked.iter().any(|name| name == case.name));
    let mut rows = Vec::new();
    let mut failed = false;
    for case in chosen {
        eprintln!("{}: {}", case.name, case.what);
        let began = Instant::now();
        let (outcome, verdict) = run(case);
        failed |= verdict == "FAILED";
        rows.push(row(case.name, outcome, began.elapsed().as_secs(), &verdict));
    }
    println!(
        "{:12} {:>10} {:>10} {:>9} {:>12} {:>5}  verdict",
        "case", "sent", "seen", "lost", "agent, MiB", "s"
    );
    rows.iter().for_each(|row| println!("{row}"));
    ExitCode::from(u8::from(failed))
}

/// What came of it, and a word or a reason. Why it failed is on stderr already.
fn run(case: &Case) -> (Option<Outcome>, String) {
    // What a case leaves half done ends with it.
    match catch_unwind(AssertUnwindSafe(|| (case.run)(Scale::Full))) {
        Ok(Ok(outcome)) => (Some(outcome), "holds".to_owned()),
        Ok(Err(skip)) => (None, format!("skipped: {skip}")),
        Err(_) => (None, "FAILED".to_owned()),
    }
}

fn row(name: &str, outcome: Option<Outcome>, seconds: u64, verdict: &str) -> String {
    let Some(of) = outcome else {
        return format!(
            "{name:12} {:>10} {:>10} {:>9} {:>12} {seconds:>5}  {verdict}",
            "", "", "", ""
        );
    };
    let memory = format!("{} to {}", of.before >> 20, of.after >> 20);
    format!(
        "{name:12} {:>10} {:>10} {:>9} {memory:>12} {seconds:>5}  {verdict}",
        of.sent, of.seen, of.lost
    )
}
