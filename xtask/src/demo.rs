//! `cargo xtask demo`: a small shop under load, and what hark sees of it.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use crate::build;
use crate::process;
use crate::setup::{self, Need};
use crate::workspace::Workspace;

/// The crate with the shop, the load, and what puts them beside the agent.
const PACKAGE: &str = "hark-demo";

/// Run a small shop of real services under load, and watch it with hark
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long the load lasts, in seconds [default: 60 on a terminal, 8 in a pipe]
    #[arg(long)]
    seconds: Option<u64>,
}

/// Returns only if the demo cannot be started: xtask becomes the demo, so that Ctrl-C, the
/// terminal and the exit status are the demo's own.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    // A runtime that is still missing has been named; a stand-in takes its service's place.
    setup::tools(Need::Demo)?;
    build::everything_and(workspace, &[PACKAGE], true)?;
    let hark = workspace.agent(true);
    let mut demo = Command::new(hark.with_file_name(PACKAGE));
    demo.env("HARK_BIN", &hark);
    if let Some(seconds) = args.seconds {
        demo.args(["--seconds", &seconds.to_string()]);
    }
    process::step("demo");
    Err(demo.exec()).with_context(|| format!("cannot start `{}`", process::line(&demo)))
}
