//! `cargo xtask bench`: the budgets of the design, measured.

mod stats;

use std::num::{NonZeroU32, NonZeroU64};
use std::process::ExitCode;

use anyhow::Result;

use crate::build;
use crate::setup::{self, Need};
use crate::workspace::Workspace;

/// Measure what hark costs, against its budgets
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long each measurement runs.
    #[arg(long, default_value = "5")]
    seconds: NonZeroU64,
    /// How often each measurement is repeated; the median is reported.
    #[arg(long, default_value = "5")]
    repeat: NonZeroU32,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    let Args {
        seconds,
        repeat,
        json,
    } = args;
    setup::tools(Need::Bench)?;
    build::everything(workspace, true)?;
    eprintln!(
        "xtask: no measurement is built yet (wanted: {seconds} s, {repeat} times, json: {json})"
    );
    Ok(ExitCode::from(2))
}
