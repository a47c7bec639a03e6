//! `cargo xtask demo`: a small shop under load, and what hark sees of it.

use std::process::ExitCode;

use anyhow::Result;

use crate::build;
use crate::setup::{self, Need};
use crate::workspace::Workspace;

/// Run a small shop of real services under load, and watch it with hark
#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(workspace: &Workspace, _args: &Args) -> Result<ExitCode> {
    setup::tools(Need::Demo)?;
    build::everything(workspace, true)?;
    eprintln!(
        "xtask: the agent is at {}, but the demo's shop is not built yet",
        workspace.agent(true).display()
    );
    Ok(ExitCode::from(2))
}
