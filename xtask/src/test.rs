//! `cargo xtask test`: everything that can fail, on the real kernel, and one line that says what
//! it came to.
//!
//! A stage that fails does not stop the next: the line at the end counts all of them. Only what has to
//! be run is skipped, by name, if it was not built.
//!
//! The agent that the tests run is built as they are, with overflow checks and debug assertions: these
//! find faults that an optimised one would pass over, and its dependencies are built once.

mod tally;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::build;
use crate::fuzz;
use crate::lint;
use crate::process::{self, Stream};
use crate::setup::{self, Need};
use crate::table;
use crate::test::tally::{Reader, Tally};
use crate::vm;
use crate::workspace::Workspace;

/// What cargo runs: the suites, and the targets of each in all packages.
const SUITES: [(&str, &[&str]); 3] = [
    ("unit", &["--lib", "--bins"]),
    ("documentation", &["--doc"]),
    ("end-to-end", &["--test", "*"]),
];

/// Set up, build, lint, and run all tests
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run only tests whose name contains this; lints, other kernels and fuzz targets are left out
    /// then.
    filter: Option<String>,
    /// Seconds for each fuzz target.
    #[arg(long, default_value_t = fuzz::SECONDS)]
    fuzz_seconds: u32,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    let filter = args.filter.as_deref();
    let mut suites = Vec::new();

    setup::tools(Need::Test)?;
    let built = build::tests(workspace);
    let mut build = Tally::default();
    if let Err(error) = &built {
        eprintln!("xtask: {error:#}");
    }
    build.count("build", built.is_ok());
    suites.push(("build", build));

    if filter.is_none() {
        let mut lints = Tally::default();
        for (name, passed) in lint::checks(workspace) {
            lints.count(&format!("lint: {name}"), passed);
        }
        suites.push(("lint", lints));
    }

    for (suite, targets) in SUITES {
        if built.is_ok() {
            process::step(&format!("{suite} tests"));
            suites.push((suite, cargo_test(workspace, suite, targets, filter)?));
        } else {
            let mut skipped = Tally::default();
            skipped.skip(suite, "not everything was built");
            suites.push((suite, skipped));
        }
    }

    if filter.is_none() {
        let mut kernels = Tally::default();
        if built.is_ok() {
            for (version, tested) in vm::tests(workspace) {
                match tested {
                    Ok(checks) => checks.iter().for_each(|(check, passed)| {
                        kernels.count(&format!("kernel {version}: {check}"), *passed);
                    }),
                    Err(reason) => kernels.skip(&format!("kernel {version}"), &reason),
                }
            }
        } else {
            kernels.skip("kernels", "not everything was built");
        }
        suites.push(("kernels", kernels));

        process::step("fuzz targets");
        let mut fuzzed = Tally::default();
        match fuzz::all(workspace, args.fuzz_seconds) {
            Ok(results) => results
                .iter()
                .for_each(|(target, passed)| fuzzed.count(&format!("fuzz: {target}"), *passed)),
            Err(error) => {
                eprintln!("xtask: {error:#}");
                fuzzed.count("fuzz", false);
            }
        }
        suites.push(("fuzz", fuzzed));
    }

    Ok(report(&suites))
}

fn cargo_test(
    workspace: &Workspace,
    suite: &str,
    targets: &[&str],
    filter: Option<&str>,
) -> Result<Tally> {
    let mut cargo = workspace.cargo();
    cargo.env("HARK_BIN", workspace.agent(false));
    cargo.arg("test").args(build::EVERY_PACKAGE).args(targets);
    cargo.args(["--no-fail-fast", "--"]);
    // What passed tests printed is where skipped ones say so.
    cargo.arg("--show-output");
    cargo.args(filter);
    if std::io::stderr().is_terminal() {
        // Cargo sees a pipe.
        cargo.env("CARGO_TERM_COLOR", "always");
    }
    let mut reader = Reader::default();
    let mut echoed = Ok(());
    let status = process::stream(&mut cargo, |stream, line| {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end_matches(['\n', '\r']);
        let written = match stream {
            Stream::Stdout => {
                reader.stdout(text);
                std::io::stdout().write_all(line)
            }
            Stream::Stderr => {
                reader.stderr(text);
                std::io::stderr().write_all(line)
            }
        };
        if echoed.is_ok() {
            echoed = written;
        }
    })?;
    echoed.context("cannot write the tests' output")?;
    Ok(reader.finish(suite, status.success()))
}

/// Prints a table of suites, the names of what failed or was skipped, and the total on the last
/// line.
fn report(suites: &[(&str, Tally)]) -> ExitCode {
    let mut total = Tally::default();
    let rows: Vec<_> = suites
        .iter()
        .map(|(suite, tally)| {
            total.add(tally);
            [
                (*suite).to_owned(),
                tally.passed.to_string(),
                tally.failed.len().to_string(),
                tally.skipped.len().to_string(),
            ]
        })
        .collect();
    println!(
        "\n{}",
        table::render(["suite", "passed", "failed", "skipped"], &rows)
    );
    for (name, reason) in &total.skipped {
        println!("skipped  {name}: {reason}");
    }
    for name in &total.failed {
        println!("failed   {name}");
    }
    println!(
        "{} passed, {} failed, {} skipped",
        total.passed,
        total.failed.len(),
        total.skipped.len()
    );
    if total.failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
