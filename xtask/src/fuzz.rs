//! `cargo xtask fuzz`: libFuzzer over the parsers, guided by coverage, on the stable compiler.
//!
//! What libFuzzer needs of a compiler is LLVM's coverage pass, which `-C passes` switches on
//! without nightly. The sanitizers are what needs nightly; in code without `unsafe` they would
//! find little that overflow checks and debug assertions, which are on, do not.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::parallel::on_every_cpu;
use crate::process;
use crate::setup::{self, Need};
use crate::workspace::Workspace;

/// The crate with the targets, one per file of `src/bin`.
pub(crate) const PACKAGE: &str = "hark-fuzz";

/// How long a target runs unless told otherwise.
pub(crate) const SECONDS: u32 = 5;

/// Fuzz the parsers for a bounded time
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run only this target; all of them if there is none.
    target: Option<String>,
    /// Seconds for each target.
    #[arg(long, default_value_t = SECONDS)]
    seconds: u32,
    /// Run the target once on this input, such as one that made it crash.
    #[arg(long, requires = "target", conflicts_with = "seconds")]
    input: Option<PathBuf>,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    let known = targets(workspace)?;
    let wanted = match &args.target {
        None => known,
        Some(target) if known.contains(target) => vec![target.clone()],
        Some(target) => bail!(
            "there is no fuzz target `{target}`; there are: {}",
            known.join(", ")
        ),
    };
    setup::tools(Need::Fuzz)?;
    let programs = build(workspace)?;
    if let (Some(input), [target]) = (&args.input, &wanted[..]) {
        process::run(Command::new(programs.join(target)).arg(input))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut crashed = Vec::new();
    for target in wanted {
        if !fuzz(workspace, &programs, &target, args.seconds)? {
            crashed.push(target);
        }
    }
    if !crashed.is_empty() {
        bail!("failed: {}", crashed.join(", "));
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds and runs every target, one for each CPU at a time, also after one has crashed, and says
/// which did not. What they print is mixed.
pub(crate) fn all(workspace: &Workspace, seconds: u32) -> Result<Vec<(String, bool)>> {
    let targets = targets(workspace)?;
    let programs = build(workspace)?;
    on_every_cpu(&targets, |target| {
        let passed = fuzz(workspace, &programs, target, seconds)?;
        Ok((target.clone(), passed))
    })
    .into_iter()
    .collect()
}

fn targets(workspace: &Workspace) -> Result<Vec<String>> {
    let folder = workspace.root.join("fuzz/src/bin");
    let files = folder
        .read_dir()
        .with_context(|| format!("cannot list the fuzz targets in {}", folder.display()))?;
    let mut targets = Vec::new();
    for file in files {
        let path = file?.path();
        if path.extension().is_some_and(|extension| extension == "rs")
            && let Some(name) = path.file_stem().and_then(|name| name.to_str())
        {
            targets.push(name.to_owned());
        }
    }
    targets.sort_unstable();
    Ok(targets)
}

/// Builds all targets, with coverage in the workspace's own crates, and returns the folder that
/// they are in.
fn build(workspace: &Workspace) -> Result<PathBuf> {
    process::run(
        workspace
            .cargo()
            .env(
                "RUSTC_WORKSPACE_WRAPPER",
                workspace.root.join("fuzz/rustc-with-coverage"),
            )
            .args(["build", "--package", PACKAGE, "--bins"]),
    )
    .context("cannot build the fuzz targets")?;
    Ok(workspace.target.join("debug"))
}

/// Runs a target, beginning with its seeds. False if it crashed, hung, or ran out of memory.
fn fuzz(workspace: &Workspace, programs: &Path, target: &str, seconds: u32) -> Result<bool> {
    // What the fuzzer finds worth keeping stays in the target folder, for the next run; what is
    // worth keeping for good is put into the seeds by a person.
    let found = workspace.target.join("fuzz/corpus").join(target);
    let crashes = workspace.target.join("fuzz/crashes").join(target);
    for folder in [&found, &crashes] {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let mut command = Command::new(programs.join(target));
    command
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/", crashes.display()))
        // A parser that takes longer or more than this over one input is broken too.
        .args(["-timeout=5", "-rss_limit_mb=1024"])
        .args(["-print_final_stats=1", "-verbosity=0"])
        .arg(&found);
    let seeds = workspace.root.join("fuzz/corpus").join(target);
    if seeds.is_dir() {
        command.arg(seeds);
    }
    let passed = match process::run(&mut command) {
        Ok(()) => true,
        Err(error) => {
            eprintln!(
                "fuzz: {error:#}\nfuzz: the input is in {}; run it by `cargo xtask fuzz {target} \
                 --input <file>`",
                crashes.display()
            );
            false
        }
    };
    Ok(passed)
}
