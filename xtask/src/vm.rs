//! `cargo xtask vm`: the agent on other kernels than this machine's, in QEMU.
//!
//! Stock Debian kernels boot with the real agent, a client and a server in their initramfs, and the
//! machine's first process reports what came of each check (`tests/src/bin/hark-vm-guest`). QEMU
//! emulates the processor: /dev/kvm may be there and hang all the same, and the whole list takes a
//! minute or two without it. Nothing here is a measure of speed.

mod archive;
mod boot;
mod initramfs;
mod kernels;
mod report;
mod written;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;

use anyhow::{Context, Result, bail, ensure};

use crate::build;
use crate::parallel::on_every_cpu;
use crate::process;
use crate::setup::{self, Need};
use crate::table;
use crate::vm::kernels::{DEFAULT, Kernel};
use crate::vm::report::Report;
use crate::workspace::Workspace;

/// What [`crate::test`] boots: the oldest that hark runs on, by functions in place of tracepoints, and
/// one that has all of them. The newest, where events are skipped, is for `cargo xtask vm`.
const TESTED: [&str; 2] = ["6.1", "6.18"];

/// The kernel's limit for the instructions that the verifier goes through in one program
/// (`BPF_COMPLEXITY_LIMIT_INSNS`).
const VERIFIER_LIMIT: u32 = 1_000_000;

/// A program above this is too near to the limit: the next kernel may look at more.
const VERIFIER_BUDGET: u32 = VERIFIER_LIMIT / 10 * 8;

/// Run the agent on other kernels, in QEMU
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Kernels of Debian, such as `6.12` for its newest 6.12, or `newest`
    /// [default: 5.10 6.1 6.12 6.18 newest]
    #[arg(value_name = "VERSION")]
    versions: Vec<String>,
    /// Boot this kernel image, whatever its origin; may be given several times.
    #[arg(long, value_name = "FILE")]
    kernel: Vec<PathBuf>,
    /// Look for newer packages of the kernels that were fetched before.
    #[arg(long)]
    refresh: bool,
    /// Write docs/kernels.md and ebpf/verified-instructions.txt, from the default list.
    #[arg(long, conflicts_with_all = ["versions", "kernel"])]
    write: bool,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    ready()?;
    let asked: Vec<&str> = match (&args.versions[..], &args.kernel[..]) {
        ([], []) => DEFAULT.to_vec(),
        (versions, _) => versions.iter().map(String::as_str).collect(),
    };
    let mut kernels = args
        .kernel
        .iter()
        .map(|file| Kernel::of_file(file))
        .collect::<Result<Vec<_>>>()?;
    for version in asked {
        kernels.push(kernels::get(workspace, version, args.refresh)?);
    }
    build::everything(workspace, true)?;
    build::test_programs(workspace)?;
    let initramfs = initramfs::make(workspace, &workspace.agent(true))?;
    let reports: Vec<_> = kernels
        .iter()
        .zip(boot_all(workspace, &kernels, &initramfs))
        .collect();
    summary(&reports);
    let all: Option<Vec<&Report>> = reports.iter().map(|(_, ran)| ran.as_ref().ok()).collect();
    let passed = all
        .as_ref()
        .is_some_and(|reports| reports.iter().all(|report| report.passed()));
    if args.write {
        // What fails is written too: the table says what is, not what should be.
        let reports = all.context("nothing is written: not every kernel came to the end")?;
        written::write(workspace, &reports)?;
    } else if let Some(reports) = &all {
        written::compare(workspace, reports)?;
    }
    Ok(if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Why a kernel is left out of the tests, or what came of each check on it.
pub(crate) type Tested = Result<Vec<(String, bool)>, String>;

/// The kernels of `cargo xtask test`. The agent and the guest have been built.
pub(crate) fn tests(workspace: &Workspace) -> Vec<(&'static str, Tested)> {
    let without = |error: &anyhow::Error| {
        let reason = format!("{error:#}");
        TESTED.map(|version| (version, Err(reason.clone()))).into()
    };
    let initramfs = match ready().and_then(|()| initramfs::make(workspace, &workspace.agent(false)))
    {
        Ok(initramfs) => initramfs,
        Err(error) => return without(&error),
    };
    let (mut kernels, mut tested) = (Vec::new(), Vec::new());
    for version in TESTED {
        match kernels::get(workspace, version, false) {
            Ok(kernel) => kernels.push((version, kernel)),
            Err(error) => tested.push((version, Err(format!("{error:#}")))),
        }
    }
    let (versions, kernels): (Vec<_>, Vec<_>) = kernels.into_iter().unzip();
    let reports = boot_all(workspace, &kernels, &initramfs);
    tested.extend(
        versions
            .into_iter()
            .zip(reports.iter().map(|ran| Ok(checks(ran)))),
    );
    tested
}

fn checks(ran: &Result<Report>) -> Vec<(String, bool)> {
    let Ok(report) = ran else {
        return vec![("comes to the end".into(), false)];
    };
    let mut checks: Vec<_> = report
        .checks
        .iter()
        .map(|check| (check.name.clone(), check.outcome.is_ok()))
        .collect();
    checks.push(("the agent runs on it".into(), report.runs));
    checks
}

/// Whether machines can be had here at all.
fn ready() -> Result<()> {
    // The agent, its libraries and the guest are this machine's own.
    ensure!(
        cfg!(target_arch = "x86_64"),
        "only machines of the architecture x86-64 are started so far, and this is another"
    );
    let missing = setup::tools(Need::Vm)?;
    if !missing.is_empty() {
        let names: Vec<_> = missing.iter().map(|tool| tool.package).collect();
        bail!("not installed: {}", names.join(", "));
    }
    Ok(())
}

/// Boots kernels, one for each CPU at a time as a machine keeps one busy, and shows what came of each.
fn boot_all(workspace: &Workspace, kernels: &[Kernel], initramfs: &Path) -> Vec<Result<Report>> {
    let shown = Mutex::new(());
    on_every_cpu(kernels, |kernel| {
        let ran = boot(workspace, kernel, initramfs);
        let _one_after_another = shown.lock();
        show(kernel, &ran);
        ran
    })
}

fn show(kernel: &Kernel, ran: &Result<Report>) {
    process::step(&format!(
        "kernel {}: {}",
        kernel.asked,
        kernel.file.display()
    ));
    match ran {
        Ok(report) => {
            for check in &report.checks {
                match &check.outcome {
                    Ok(result) => println!("  ok     {}: {result}", check.name),
                    Err(why) => println!("  FAILS  {}: {why}", check.name),
                }
            }
        }
        Err(error) => eprintln!("xtask: {error:#}"),
    }
}

/// Boots a kernel.
fn boot(workspace: &Workspace, kernel: &Kernel, initramfs: &Path) -> Result<Report> {
    let folder = workspace.target.join("vm").join("runs").join(&kernel.asked);
    let ran = boot::boot(&kernel.file, initramfs, &folder)?;
    let mut report = Report::parse(&ran.report).with_context(|| {
        format!(
            "kernel {} did not come to the end of its checks{}; its console, in {}, ends with:\n{}",
            kernel.asked,
            ran.ended,
            ran.console.display(),
            ran.last_words()
        )
    })?;
    report.judge_programs(VERIFIER_BUDGET);
    Ok(report)
}

fn summary(reports: &[(&Kernel, Result<Report>)]) {
    let rows: Vec<_> = reports
        .iter()
        .map(|(kernel, ran)| match ran {
            Ok(report) => {
                let failed = report.failed();
                [
                    report.release.clone(),
                    report.verdict().to_owned(),
                    (report.checks.len() - failed).to_string(),
                    failed.to_string(),
                    report.programs.len().to_string(),
                    report
                        .programs
                        .iter()
                        .map(|(_, count)| *count)
                        .max()
                        .map_or_else(String::new, |most| most.to_string()),
                ]
            }
            Err(_) => [
                kernel.asked.clone(),
                "did not end".to_owned(),
                String::new(),
                String::new(),
                String::new(),
                String::new(),
            ],
        })
        .collect();
    println!(
        "\n{}",
        table::render(
            [
                "kernel",
                "hark",
                "passed",
                "failed",
                "programs",
                "most instructions verified"
            ],
            &rows
        )
    );
    for (_, ran) in reports {
        if let Err(error) = ran {
            eprintln!("xtask: {error:#}");
        }
    }
}
