//! `cargo xtask build`: the kernel programs, then the agent that carries them.

use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::process;
use crate::setup;
use crate::workspace::Workspace;

/// Build the kernel programs and the agent
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Build the agent with optimisation. The kernel programs always are.
    #[arg(long)]
    release: bool,
    /// Build only the kernel programs.
    #[arg(long, conflicts_with = "release")]
    kernel_only: bool,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    kernel(workspace)?;
    if !args.kernel_only {
        agent_and(workspace, &[], args.release)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Setup, kernel programs, and the agent in the given profile.
pub(crate) fn everything(workspace: &Workspace, release: bool) -> Result<()> {
    everything_and(workspace, &[], release)
}

/// As [`everything`], with packages that are built beside the agent.
pub(crate) fn everything_and(
    workspace: &Workspace,
    packages: &[&str],
    release: bool,
) -> Result<()> {
    kernel(workspace)?;
    agent_and(workspace, packages, release)
}

fn kernel(workspace: &Workspace) -> Result<()> {
    let toolchain = setup::kernel(workspace)?;
    process::step("kernel programs");
    let flags = [
        format!("-Clinker={}", toolchain.linker.display()),
        // The loader needs BTF, which bpf-linker makes out of the debug information.
        "-Clink-arg=--btf".to_owned(),
        "-Cdebuginfo=2".to_owned(),
    ];
    process::run(
        workspace
            .cargo_of(toolchain.compiler.cargo.as_deref())
            .env("RUSTC", &toolchain.compiler.rustc)
            // `-Z build-std` on a stable compiler.
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
            .args(["build", "--package", "hark-ebpf", "--bins", "--release"])
            .args(["--target", "bpfel-unknown-none", "-Z", "build-std=core"])
            .arg("--target-dir")
            .arg(workspace.kernel_target()),
    )
    .context("cannot build the kernel programs")
}

/// One cargo for all: what they have in common is built once, with the features that all need.
fn agent_and(workspace: &Workspace, packages: &[&str], release: bool) -> Result<()> {
    process::step("agent");
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--package", "hark"]);
    for package in packages {
        cargo.args(["--package", package]);
    }
    if release {
        cargo.arg("--release");
    }
    // The agent's build script finds the objects without help in the usual places, and must, so
    // that a plain `cargo build` and this one do not undo each other's work. It cannot see a
    // target folder that is set in a configuration file of cargo.
    let usual = workspace.root.join("target") == workspace.target;
    if !usual && std::env::var_os("CARGO_TARGET_DIR").is_none() {
        cargo.env("HARK_EBPF_DIR", workspace.kernel_objects());
    }
    process::run(&mut cargo).context("cannot build the agent")
}
