//! `cargo xtask test`: everything that can fail, on the real kernel, and one line that says what
//! it came to.
//!
//! A stage that fails does not stop the next: the line at the end counts all of them. Only the
//! end-to-end tests are skipped, by name, if there is no agent to run.

mod tally;

use std::io::{IsTerminal, Write};
use std::process::{Command, ExitCode};

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

/// The crate with the end-to-end tests.
const END_TO_END: &str = "hark-tests";

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
    let built = build::everything(workspace, true);
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

    process::step("unit and documentation tests");
    suites.push(("unit", cargo_test(unit(workspace), "unit", filter)?));

    let end_to_end = if built.is_ok() {
        process::step("end-to-end tests");
        let mut cargo = workspace.cargo();
        cargo
            .env("HARK_BIN", workspace.agent(true))
            .args(["test", "--package", END_TO_END]);
        cargo_test(cargo, "end-to-end", filter)?
    } else {
        let mut skipped = Tally::default();
        skipped.skip("end-to-end", "the agent was not built");
        skipped
    };
    suites.push(("end-to-end", end_to_end));

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
            kernels.skip("kernels", "the agent was not built");
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

/// All tests but the end-to-end ones, and the fuzz targets, which have none.
fn unit(workspace: &Workspace) -> Command {
    let mut cargo = workspace.cargo();
    cargo
        .args(["test", "--workspace"])
        .args(["--exclude", END_TO_END])
        .args(["--exclude", fuzz::PACKAGE]);
    cargo
}

fn cargo_test(mut cargo: Command, suite: &str, filter: Option<&str>) -> Result<Tally> {
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
