//! One machine: booted, watched until it ends or its time is over, and what it left.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::process;

/// How long a machine may take. Most of it goes to the kernel's verifier: a minute if nothing else
/// runs here, many beside several compilers.
const LIMIT: Duration = Duration::from_secs(900);

/// For the kernel. After a panic the machine ends at once. That the timer ticks in time is not
/// checked: beside much other work it may not.
const PARAMETERS: &str = "console=ttyS0 quiet loglevel=4 panic=-1 oops=panic no_timer_check";

/// How often a machine is started whose kernel panics before its first process has said a word. While
/// it boots a kernel patches its own code, which its other processor may run: the emulator does not
/// always get that right (seen as `int3` in the idle task of 7.3).
const STARTS: u32 = 3;

/// A machine that has ended, or was ended.
pub(super) struct Ran {
    /// What came through the second serial port.
    pub(super) report: String,
    /// The first serial port: the kernel's console, and what the first process printed.
    pub(super) console: PathBuf,
    /// How it ended, as the rest of a sentence; empty if it ended by itself.
    pub(super) ended: String,
}

impl Ran {
    /// The end of the console.
    pub(super) fn last_words(&self) -> String {
        let console = fs::read(&self.console).unwrap_or_default();
        let console = String::from_utf8_lossy(&console);
        let lines: Vec<&str> = console.lines().map(str::trim_end).collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

/// Boots a kernel with an initramfs; what it leaves goes into `folder`.
pub(super) fn boot(kernel: &Path, initramfs: &Path, folder: &Path) -> Result<Ran> {
    let mut starts = 1;
    loop {
        let ran = start(kernel, initramfs, folder)?;
        let panicked = || ran.last_words().contains("Kernel panic");
        if starts == STARTS || !ran.report.is_empty() || !panicked() {
            return Ok(ran);
        }
        starts += 1;
        eprintln!("vm: the kernel panicked while it booted; start {starts} of {STARTS}");
    }
}

fn start(kernel: &Path, initramfs: &Path, folder: &Path) -> Result<Ran> {
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let console = folder.join("console");
    let report = folder.join("report");
    for file in [&console, &report] {
        // That of the run before must not be taken for this one's.
        fs::write(file, "").with_context(|| file.display().to_string())?;
    }
    let mut qemu = Command::new("qemu-system-x86_64");
    qemu.args(["-accel", "tcg,thread=single", "-cpu", "max"])
        // The agent needs little of it; the verifier of a program that it gives up at its limit
        // needs a gigabyte, and is to say so rather than be short of memory.
        .args(["-smp", "2", "-m", "2048"])
        .args(["-nodefaults", "-no-user-config", "-no-reboot"])
        .args(["-display", "none", "-monitor", "none"])
        .arg("-serial")
        .arg(format!("file:{}", console.display()))
        .arg("-serial")
        .arg(format!("file:{}", report.display()))
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(initramfs)
        .args(["-append", PARAMETERS])
        .stdin(Stdio::null());
    let child = qemu
        .spawn()
        .with_context(|| format!("cannot start `{}`", process::line(&qemu)))?;
    let ended = wait(child)?;
    let report = fs::read(&report).with_context(|| report.display().to_string())?;
    Ok(Ran {
        report: String::from_utf8_lossy(&report).into_owned(),
        console,
        ended,
    })
}

fn wait(mut child: Child) -> Result<String> {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().context("cannot wait for qemu")? {
            return Ok(if status.success() {
                String::new()
            } else {
                format!(" (qemu: {status})")
            });
        }
        if began.elapsed() > LIMIT {
            child.kill().context("cannot end qemu")?;
            child.wait().context("cannot wait for qemu")?;
            return Ok(format!(" within {} s", LIMIT.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
