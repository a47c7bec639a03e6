//! What the scheduler's program adds to a context switch.
//!
//! Two processes on one CPU, this one and `cat`, hand a byte to and fro through two pipes: each
//! round trip is two switches and next to nothing else, which no real load does, so the ratio is the
//! worst there is. Agents with the program and without it are measured in turns.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use super::agent::{self, Agent};
use super::child::Interrupt;
use super::figure::{Budget, Figure};
use super::phases::Bench;
use super::stats::number;
use super::syscalls::{best, on_one_cpu};
use crate::process;

/// The switch of the group that the program belongs to.
const GROUP: &str = "HARK_RESOURCES_CPU";
/// The program, by its tracepoint.
const PROGRAM: &str = "sched_switch";
/// Context switches of a round trip.
const SWITCHES: f64 = 2.0;

impl Bench {
    /// Context switches with the group and without it.
    pub(super) fn switches(&self) -> Result<Vec<Figure>> {
        process::step("context switches");
        let mut figures = [
            Figure::new(
                "context switches, two processes and a pipe, without the CPU group / with",
                "",
                Budget::None,
            ),
            Figure::new("added to a context switch", "ns", Budget::None),
            Figure::new(
                "sched_switch, per run, by the kernel's statistics",
                "ns",
                Budget::AtMost(150.0),
            ),
        ];
        for turn in 1..=self.repeat {
            // Whichever comes first may find the machine in another state.
            let with_first = turn % 2 == 0;
            let early = if with_first {
                Some(self.with_group()?)
            } else {
                None
            };
            let without = self.without_group()?;
            let (with, per_run) = match early {
                Some(early) => early,
                None => self.with_group()?,
            };
            let added = (with - without) / SWITCHES;
            for (figure, value) in figures.iter_mut().zip([without / with, added, per_run]) {
                figure.values.push(value);
            }
        }
        Ok(figures.into())
    }

    /// ns per round trip.
    fn without_group(&self) -> Result<f64> {
        let agent = Agent::start_with(&self.agent, &[(GROUP, "false")], &self.interrupt)?;
        if agent.programs()?.contains_key(PROGRAM) {
            bail!("{PROGRAM} is attached though {GROUP} is off");
        }
        let round_trip = measure(&self.interrupt)?;
        agent.end()?;
        Ok(round_trip)
    }

    /// ns per round trip, and per run of the program while the kernel takes statistics.
    fn with_group(&self) -> Result<(f64, f64)> {
        let agent = Agent::start_with(&self.agent, &[(GROUP, "true")], &self.interrupt)?;
        let round_trip = measure(&self.interrupt)?;
        let program = || -> Result<agent::Program> {
            let programs = agent.programs()?;
            let program = programs.get(PROGRAM).copied();
            program.with_context(|| format!("{PROGRAM} is not attached"))
        };
        let statistics = agent::statistics()?;
        let before = program()?;
        measure(&self.interrupt)?;
        let after = program()?;
        drop(statistics);
        agent.end()?;
        let spent = number(after.time_ns - before.time_ns);
        Ok((round_trip, spent / number(after.runs - before.runs)))
    }
}

/// ns per round trip in the best round.
fn measure(interrupt: &Interrupt) -> Result<f64> {
    on_one_cpu(|| {
        // On the same CPU: it is inherited.
        let mut echo = Echo::start()?;
        best(interrupt, || echo.round_trip())
    })
}

/// A process that gives back what it is given.
struct Echo(Child);

impl Echo {
    fn start() -> Result<Self> {
        Command::new(Path::new("cat"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map(Self)
            .context("cannot start cat")
    }

    fn round_trip(&mut self) -> std::io::Result<()> {
        let gone = || std::io::Error::other("cat has no pipes");
        let to = self.0.stdin.as_mut().ok_or_else(gone)?;
        to.write_all(&[1])?;
        let from = self.0.stdout.as_mut().ok_or_else(gone)?;
        from.read_exact(&mut [0])
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        // The end of its input is the end of it.
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
