//! `cargo xtask torture`: load and faults, and the books that must balance after each case.

use std::os::unix::process::CommandExt as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::build;
use crate::process;
use crate::setup::{self, Need};
use crate::workspace::Workspace;

/// The program that runs the cases in full; `cargo test` runs them in short.
const PROGRAM: &str = "hark-test-torture";

/// Load and faults for minutes: what is missing must be what is counted as lost
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run only these cases; all of them if there is none.
    cases: Vec<String>,
}

/// Returns only if it cannot be started: xtask becomes the program, so that Ctrl-C ends all that it
/// started.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    setup::tools(Need::Test)?;
    build::everything(workspace, true)?;
    build::test_programs(workspace)?;
    let program = workspace.target.join("debug").join(PROGRAM);
    let mut torture = std::process::Command::new(program);
    torture
        .args(&args.cases)
        .env("HARK_BIN", workspace.agent(true));
    process::step("torture");
    Err(torture.exec()).with_context(|| format!("cannot start `{}`", process::line(&torture)))
}
