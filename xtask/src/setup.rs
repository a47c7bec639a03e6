//! `cargo xtask setup`: what the other verbs need and a machine with only cargo does not have.
//!
//! Every verb calls [`kernel`] or [`tools()`] for its own part; nothing missing is the fast path and
//! costs some tens of milliseconds. What is missing is installed from the distribution's packages if we are
//! root; otherwise the exact command is printed. Nothing is put into the user's cargo home.

mod apt;
mod compiler;
mod linker;
mod tools;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

pub(crate) use crate::setup::compiler::Compiler;
use crate::workspace::Workspace;

/// Install what the given verbs need: a compiler for the kernel programs, tools for the tests
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to make ready for.
    #[arg(value_enum, default_values_t = [Need::Build])]
    need: Vec<Need>,
}

/// A verb, as a reason for something to be installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Need {
    /// The kernel programs and the agent.
    Build,
    /// The end-to-end tests: servers, load generators, Prometheus.
    Test,
    /// The fuzz targets.
    Fuzz,
    /// The benchmarks.
    Bench,
    /// The demo's shop.
    Demo,
    /// Other kernels in QEMU.
    Vm,
}

/// A way to build kernel programs that was seen to be there.
pub(crate) struct KernelToolchain {
    /// A compiler that has the sources of `core`.
    pub(crate) compiler: Compiler,
    /// A `bpf-linker` for the same LLVM.
    pub(crate) linker: PathBuf,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    let toolchain = kernel(workspace)?;
    println!(
        "compiler   rustc {} at {}, LLVM {}",
        toolchain.compiler.release,
        toolchain.compiler.rustc.display(),
        toolchain.compiler.llvm
    );
    println!("linker     {}", toolchain.linker.display());
    let mut missing = Vec::new();
    for &need in &args.need {
        missing.extend(tools(need)?);
    }
    // Asked for by name, so what cannot be had is an error here; other verbs go on without.
    if !missing.is_empty() {
        bail!("not everything could be made ready; see above");
    }
    println!("tools      nothing missing");
    Ok(ExitCode::SUCCESS)
}

/// Finds a compiler and a linker for kernel programs, and installs or builds what is missing.
///
/// # Errors
///
/// The distribution has no such packages, or we may not install them; the error holds the command
/// to run.
pub(crate) fn kernel(workspace: &Workspace) -> Result<KernelToolchain> {
    if let Some(linker) = std::env::var_os("HARK_BPF_LINKER").map(PathBuf::from) {
        let compiler = compiler::find(None).map_err(|why| compiler::explain(&why))?;
        linker::probe(&linker).context("HARK_BPF_LINKER names no usable bpf-linker")?;
        return Ok(KernelToolchain { compiler, linker });
    }
    let preferred = linker::built_for(workspace);
    let compiler = match compiler::find(preferred) {
        Ok(compiler) => compiler,
        Err(why) => {
            eprintln!("setup: no compiler here can build kernel programs:");
            why.iter().for_each(|why| eprintln!("setup:   {why}"));
            let mut packages = compiler::PACKAGES.to_vec();
            let linker = linker::packages(compiler::PACKAGED_LLVM);
            packages.extend(linker.iter().map(String::as_str));
            apt::install(&packages)
                .context("no compiler for kernel programs, and none could be installed")?;
            compiler::find(preferred).map_err(|why| compiler::explain(&why))?
        }
    };
    let linker = if preferred == Some(compiler.llvm) {
        linker::path(workspace)
    } else {
        linker::build(workspace, compiler.llvm)?
    };
    Ok(KernelToolchain { compiler, linker })
}

/// Installs the programs that a verb wants. Returns those that are still missing, each with a
/// sentence already printed: the verb decides whether it can go on without.
pub(crate) fn tools(need: Need) -> Result<Vec<&'static tools::Tool>> {
    let missing = tools::missing(need);
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    for tool in &missing {
        eprintln!("setup: {} is missing: {}", tool.package, tool.purpose);
    }
    if let Err(error) = tools::install(&missing) {
        eprintln!("setup: {error:#}");
    }
    let missing = tools::missing(need);
    if !missing.is_empty() {
        let names: Vec<_> = missing.iter().map(|tool| tool.package).collect();
        eprintln!("setup: still missing: {}", names.join(" "));
    }
    Ok(missing)
}

/// Whether `program` is an executable file in one of the folders of PATH, or in the folders of
/// system programs, which many users do not have in theirs.
fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(system)
        .any(|folder| is_executable(&folder.join(program)))
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata()
        .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}
