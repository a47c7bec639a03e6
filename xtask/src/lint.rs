//! `cargo xtask lint`: format, clippy, documentation, licences.

mod licences;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::process;
use crate::workspace::Workspace;

/// Check format, lints, documentation, and the licences of all dependencies
#[derive(clap::Args)]
pub(crate) struct Args {}

/// A check: its name, and what runs it.
type Check = (&'static str, fn(&Workspace) -> Result<()>);

const CHECKS: [Check; 4] = [
    ("format", format),
    ("clippy", clippy),
    ("documentation", documentation),
    ("licences", licences::check),
];

pub(crate) fn run(workspace: &Workspace, _args: &Args) -> Result<ExitCode> {
    let failed: Vec<_> = checks(workspace)
        .into_iter()
        .filter_map(|(name, passed)| (!passed).then_some(name))
        .collect();
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs every check, also after one has failed, and says which passed.
pub(crate) fn checks(workspace: &Workspace) -> Vec<(&'static str, bool)> {
    CHECKS
        .into_iter()
        .map(|(name, check)| {
            process::step(&format!("lint: {name}"));
            let result = check(workspace);
            if let Err(error) = &result {
                eprintln!("lint: {name}: {error:#}");
            }
            (name, result.is_ok())
        })
        .collect()
}

fn format(workspace: &Workspace) -> Result<()> {
    process::run(workspace.cargo().args(["fmt", "--all", "--check"]))
}

fn clippy(workspace: &Workspace) -> Result<()> {
    process::run(workspace.cargo().args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-Dwarnings",
    ]))
}

fn documentation(workspace: &Workspace) -> Result<()> {
    process::run(workspace.cargo().env("RUSTDOCFLAGS", "-Dwarnings").args([
        "doc",
        "--workspace",
        "--no-deps",
    ]))
}
