//! `cargo xtask build`: the kernel programs, then the agent that carries them.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::fuzz;
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

/// Setup, kernel programs, the agent, and all tests, but not the fuzz targets.
///
/// One profile and one selection of packages, [`EVERY_PACKAGE`]: what is built here is what
/// `cargo test` finds built.
pub(crate) fn tests(workspace: &Workspace) -> Result<()> {
    kernel(workspace)?;
    process::step("agent and tests");
    let mut cargo = workspace.cargo();
    cargo
        .arg("build")
        .args(EVERY_PACKAGE)
        .args(["--lib", "--bins", "--tests"]);
    with_kernel_objects(workspace, &mut cargo);
    process::run(&mut cargo).context("cannot build the agent and the tests")
}

/// The programs of the end-to-end tests, the guest of a virtual machine among them.
pub(crate) fn test_programs(workspace: &Workspace) -> Result<()> {
    process::run(
        workspace
            .cargo()
            .args(["build", "--package", "hark-tests", "--bins"]),
    )
    .context("cannot build the programs of the tests")
}

/// All packages but the fuzz targets, which have a way of their own to be built. Cargo gives a
/// dependency the features that the packages selected ask for: with another selection it would
/// build many of them once more.
pub(crate) const EVERY_PACKAGE: [&str; 3] = ["--workspace", "--exclude", fuzz::PACKAGE];

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
    with_kernel_objects(workspace, &mut cargo);
    process::run(&mut cargo).context("cannot build the agent")
}

fn with_kernel_objects(workspace: &Workspace, cargo: &mut Command) {
    // The agent's build script finds the objects without help in the usual places, and must, so
    // that a plain `cargo build` and this one do not undo each other's work. It cannot see a
    // target folder that is set in a configuration file of cargo.
    let usual = workspace.root.join("target") == workspace.target;
    if !usual && std::env::var_os("CARGO_TARGET_DIR").is_none() {
        cargo.env("HARK_EBPF_DIR", workspace.kernel_objects());
    }
}
