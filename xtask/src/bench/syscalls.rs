//! What hark adds to system calls that have nothing to do with HTTP.
//!
//! Tight loops on one CPU, in short rounds of which the best counts: whatever else the machine
//! does only ever makes a round slower. The loops run in this process, whose sockets are like any
//! other's to the agent, and each measurement has sockets of its own, so that the verdict "not
//! HTTP" is made anew.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::time::Instant;

use anyhow::{Context, Result};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::child::Interrupt;

/// Bytes per read and write.
const MESSAGE: usize = 64;
/// A byte that no line of HTTP begins with.
const BYTE: u8 = 0x80;
/// Rounds of one measurement.
const ROUNDS: u32 = 25;
/// Passes through a loop in a round: a few milliseconds, less than a turn of the scheduler.
const PASSES: u32 = 4_000;

/// What is measured, and how many system calls one pass of its loop makes.
///
/// A datagram socket runs the same programs, which leave at once: the least that being attached
/// costs on this machine.
pub(super) const LOOPS: [(&str, u32); 5] = [
    ("AF_UNIX socket, 64 B, not HTTP", 2),
    ("TCP socket, 64 B, not HTTP", 2),
    ("datagram socket, 64 B", 2),
    ("file, 64 B", 2),
    ("unrelated (getppid)", 1),
];

/// Nanoseconds per system call, in the order of [`LOOPS`].
pub(super) fn measure(interrupt: &Interrupt) -> Result<[f64; LOOPS.len()]> {
    on_one_cpu(|| loops(interrupt))
}

/// Runs something on one CPU, the processes that it starts included.
pub(super) fn on_one_cpu<T>(run: impl FnOnce() -> Result<T>) -> Result<T> {
    let allowed = sched_getaffinity(None).context("cannot ask for the CPUs to run on")?;
    sched_setaffinity(None, &first(&allowed)).context("cannot stay on one CPU")?;
    let measured = run();
    sched_setaffinity(None, &allowed).context("cannot leave the one CPU")?;
    measured
}

fn first(allowed: &CpuSet) -> CpuSet {
    let mut one = CpuSet::new();
    if let Some(cpu) = (0..CpuSet::MAX_CPU).find(|&cpu| allowed.is_set(cpu)) {
        one.set(cpu);
    }
    one
}

fn loops(interrupt: &Interrupt) -> Result<[f64; LOOPS.len()]> {
    let (mut left, mut right) = UnixStream::pair()?;
    let (mut client, mut server) = tcp()?;
    let (sender, receiver) = UnixDatagram::pair()?;
    let mut zero = File::open("/dev/zero").context("cannot open /dev/zero")?;
    let mut null = OpenOptions::new()
        .write(true)
        .open("/dev/null")
        .context("cannot open /dev/null")?;
    let best = [
        best(interrupt, || there_and_back(&mut left, &mut right))?,
        best(interrupt, || there_and_back(&mut client, &mut server))?,
        best(interrupt, || {
            sender.send(&[BYTE; MESSAGE])?;
            receiver.recv(&mut [0; MESSAGE]).map(drop)
        })?,
        best(interrupt, || there_and_back(&mut null, &mut zero))?,
        best(interrupt, || {
            let _ = rustix::process::getppid();
            Ok(())
        })?,
    ];
    Ok(std::array::from_fn(|at| best[at] / f64::from(LOOPS[at].1)))
}

fn tcp() -> Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    let (server, _) = listener.accept()?;
    client.set_nodelay(true)?;
    Ok((client, server))
}

fn there_and_back(to: &mut impl Write, from: &mut impl Read) -> std::io::Result<()> {
    to.write_all(&[BYTE; MESSAGE])?;
    from.read_exact(&mut [0; MESSAGE])
}

/// Nanoseconds per pass in the best round.
pub(super) fn best(
    interrupt: &Interrupt,
    mut pass: impl FnMut() -> std::io::Result<()>,
) -> Result<f64> {
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        interrupt.check()?;
        let start = Instant::now();
        for _ in 0..PASSES {
            pass()?;
        }
        best = best.min(start.elapsed().as_secs_f64() * 1e9 / f64::from(PASSES));
    }
    Ok(best)
}
