//! What the disk hooks add to a request: 4 KiB reads past the page cache, one at a time, from a
//! loop device on a file in memory, which is as fast as a device with a queue of requests can be.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};
use rustix::fs::OFlags;

use super::agent::{self, Agent};
use super::child::Interrupt;
use super::figure::{Budget, Figure};
use super::phases::Bench;
use super::stats::number;
use crate::process;

/// Bytes of a read, and what direct I/O asks of its buffer.
const BLOCK: usize = 4096;
/// Bytes of the device.
const SIZE: u64 = 16 << 20;
/// Reads of a round: less than a turn of the scheduler.
const READS: u32 = 50;
/// Rounds of one measurement, of which the best counts.
const ROUNDS: u32 = 400;
/// Where files are in memory.
const MEMORY: &str = "/dev/shm";
/// Ends each request once.
const END: &str = "block_rq_complete";

/// A loop device, detached on drop.
struct Device {
    path: PathBuf,
    // After the device: the file goes last.
    _file: tempfile::NamedTempFile,
}

impl Device {
    fn new() -> Result<Self> {
        let file = tempfile::NamedTempFile::new_in(MEMORY)
            .with_context(|| format!("cannot make a file in {MEMORY}"))?;
        file.as_file().set_len(SIZE)?;
        let mut command = Command::new("losetup");
        command.args(["--find", "--show"]).arg(file.path());
        let path = process::output(&mut command)?.trim().into();
        Ok(Self { path, _file: file })
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let detached = Command::new("losetup").arg("-d").arg(&self.path).status();
        if !detached.is_ok_and(|status| status.success()) {
            eprintln!("xtask: cannot detach {}", self.path.display());
        }
    }
}

/// The figures, measured in turns with the agent and without.
pub(super) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    process::step("disk");
    let device = Device::new()?;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::DIRECT.bits().cast_signed())
        .open(&device.path)
        .with_context(|| format!("cannot open {}", device.path.display()))?;
    let (mut plain, mut ratios, mut costs) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 1..=bench.repeat {
        let early = if turn % 2 == 0 {
            Some(with(bench, &file)?)
        } else {
            None
        };
        let without = reads(&file, &bench.interrupt)?;
        let (with, cost) = match early {
            Some(early) => early,
            None => with(bench, &file)?,
        };
        plain.push(without / 1e3);
        ratios.push(without / with);
        costs.push(cost);
    }
    Ok(vec![
        Figure::new("disk hooks, per request, all of them", "ns", Budget::None).with(costs),
        Figure::new(
            "4 KiB direct reads per second with the agent / without",
            "",
            Budget::None,
        )
        .with(ratios),
        Figure::new("4 KiB direct read without the agent", "us", Budget::None).with(plain),
    ])
}

/// With an agent: ns per read, and ns that its programs take per request by the kernel's statistics,
/// in a run of their own.
fn with(bench: &Bench, file: &File) -> Result<(f64, f64)> {
    let agent = Agent::start(&bench.agent, &bench.interrupt)?;
    let read = reads(file, &bench.interrupt)?;
    let statistics = agent::statistics()?;
    let before = agent.programs()?;
    reads(file, &bench.interrupt)?;
    let after = agent.programs()?;
    drop(statistics);
    agent.end()?;
    let mut time = 0;
    for (name, program) in &after {
        if name.starts_with("block_") {
            time += program.time_ns - before.get(name).map_or(0, |before| before.time_ns);
        }
    }
    let runs = |programs: &std::collections::BTreeMap<String, agent::Program>| {
        programs.get(END).map(|program| program.runs)
    };
    let ended = runs(&after)
        .zip(runs(&before))
        .map(|(after, before)| after - before);
    let ended = ended.filter(|ended| *ended > 0);
    let ended = ended.with_context(|| format!("the agent's program {END} has not run"))?;
    Ok((read, number(time) / number(ended)))
}

/// Nanoseconds per read in the best round.
fn reads(file: &File, interrupt: &Interrupt) -> Result<f64> {
    let mut memory = vec![0; 2 * BLOCK];
    let from = memory.as_ptr().align_offset(BLOCK);
    let buffer = &mut memory[from..from + BLOCK];
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        interrupt.check()?;
        let start = Instant::now();
        for index in 0..READS {
            file.read_exact_at(buffer, u64::from(index) * BLOCK as u64)?;
        }
        best = best.min(start.elapsed().as_secs_f64() * 1e9 / f64::from(READS));
    }
    Ok(best)
}
