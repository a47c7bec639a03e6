//! `cargo xtask bench`: the budgets of the design (DESIGN.md §2), measured.
//!
//! The machine is taken for noisy: what is compared is measured in turns, with the agent and
//! without, each pair gives one value, and the median and the spread of the values are reported.
//! A figure over its budget is shown as such and is no failure of the run: numbers depend on the
//! machine. Everything talks over the loopback interface only.

mod against;
mod agent;
mod cgroups;
mod child;
mod disk;
mod figure;
mod grpc;
mod nginx;
mod page;
mod peer;
mod phases;
mod stats;
mod switches;
mod syscalls;
mod user_space;

use std::fs;
use std::num::{NonZeroU32, NonZeroU64};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde_json::json;

use self::child::Interrupt;
use self::figure::Figure;
use self::phases::{Bench, Notes};
use crate::build;
use crate::setup::{self, Need};
use crate::workspace::Workspace;

/// Measure what hark costs, against its budgets
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Seconds of each run of the load. There are two in each repetition, and a shorter third.
    #[arg(long, default_value = "5")]
    seconds: NonZeroU64,
    /// How often each measurement is repeated; the median is reported.
    #[arg(long, default_value = "5")]
    repeat: NonZeroU32,
    /// Measure only this part; may be given several times. Without it all are measured.
    #[arg(long, value_enum, value_name = "PART")]
    only: Vec<Part>,
    /// Build this revision, too, and compare the two in alternating runs.
    #[arg(long, value_name = "REV")]
    against: Option<String>,
    #[command(flatten)]
    peer: peer::Peer,
    /// Write the figures, with every single value, to this file as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// A part of the measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// System calls and HTTP, with the agent and without.
    Http,
    /// gRPC, with the agent and without.
    Grpc,
    /// Context switches.
    Switches,
    /// Requests to a disk.
    Disk,
    /// Many cgroups and services.
    Cgroups,
    /// Memory under HTTP load, and scrapes.
    Memory,
    /// The agent's own path, without a kernel.
    UserSpace,
}

impl Args {
    fn wants(&self, part: Part) -> bool {
        self.only.is_empty() && !self.peer.is_given() || self.only.contains(&part)
    }
}

/// How long another agent's tests are waited for.
const TURN: Duration = Duration::from_secs(300);

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    if !rustix::process::geteuid().is_root() {
        bail!(
            "bench needs root, to attach the agent's programs; run it by `sudo -E cargo xtask bench`"
        );
    }
    if !setup::tools(Need::Bench)?.is_empty() {
        bail!("bench needs nginx, wrk and h2load; see above");
    }
    build::everything(workspace, true)?;
    let wants_user_space = args.wants(Part::UserSpace);
    let this = Revision {
        agent: workspace.agent(true),
        user_space: if wants_user_space {
            Some(user_space::build(workspace)?)
        } else {
            None
        },
    };
    let grpc = if args.wants(Part::Grpc) {
        Some(grpc::build(workspace)?)
    } else {
        None
    };
    let other = args
        .against
        .as_deref()
        .map(|revision| against::build(workspace, revision, wants_user_space))
        .transpose()?;
    let interrupt = Interrupt::listen()?;
    let _turn = turn(&interrupt)?;
    if agent::attached() {
        bail!("an agent runs on this host already; stop it first, for the figures would be of two");
    }
    let began = Instant::now();
    let load_before = load_average();
    let mut bench = Bench {
        agent: this.agent.clone(),
        seconds: args.seconds.get(),
        repeat: args.repeat.get(),
        interrupt,
    };
    let mut notes = Notes::default();
    let (mut figures, mut others) = (Vec::new(), Vec::new());
    if let Some(other) = &other {
        // A repetition of each in turn.
        let repeat = std::mem::replace(&mut bench.repeat, 1);
        for turn in 1..=repeat {
            let mut both = [(&this, &mut figures), (&other.built, &mut others)];
            if turn % 2 == 0 {
                both.reverse();
            }
            for (revision, to) in both {
                bench.agent.clone_from(&revision.agent);
                // The notes are the same each time.
                notes = Notes::default();
                let more = measure(&bench, args, revision, grpc.as_deref(), &mut notes)?;
                against::merge(to, more);
            }
        }
    } else {
        figures = measure(&bench, args, &this, grpc.as_deref(), &mut notes)?;
    }
    let machine = machine();
    notes.add(format!("{machine}; load average before: {load_before}"));
    match &other {
        Some(other) => println!("\n{}", against::table(&figures, &others, &other.name)),
        None => println!("\n{}", figure::table(&figures)),
    }
    for note in notes.lines() {
        println!("note: {note}");
    }
    println!("took {} s", began.elapsed().as_secs());
    if let Some(file) = &args.json {
        let report = json!({
            "machine": machine,
            "load_average_before": load_before,
            "seconds": args.seconds,
            "repeat": args.repeat,
            "notes": notes.lines(),
            "figures": figure::to_json(&figures),
            "against": other.map(|other| json!({
                "revision": other.name,
                "figures": figure::to_json(&others),
            })),
        });
        fs::write(file, format!("{report:#}\n"))
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A revision that is measured, built.
struct Revision {
    agent: PathBuf,
    /// Linked with the agent's library, so each revision has its own.
    user_space: Option<user_space::Examples>,
}

/// All parts that are wanted. `grpc` is the load of that part.
fn measure(
    bench: &Bench,
    args: &Args,
    revision: &Revision,
    grpc: Option<&Path>,
    notes: &mut Notes,
) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    if args.wants(Part::Http) {
        figures.extend(bench.alternating(notes)?);
    }
    if let Some(grpc) = grpc {
        figures.extend(bench.grpc(grpc)?);
    }
    if args.wants(Part::Switches) {
        figures.extend(bench.switches()?);
    }
    if args.wants(Part::Disk) {
        figures.extend(disk::measure(bench)?);
    }
    if args.wants(Part::Cgroups) {
        figures.extend(cgroups::measure(bench)?);
    }
    if args.wants(Part::Memory) {
        figures.extend(bench.memory()?);
    }
    if let Some(user_space) = &revision.user_space {
        figures.extend(user_space::measure(user_space, &bench.interrupt)?);
    }
    if args.peer.is_given() {
        figures.extend(bench.peer(&args.peer)?);
    }
    Ok(figures)
}

/// Waits until no end-to-end test runs an agent, and keeps others from beginning: the name is the
/// one that the tests take.
fn turn(interrupt: &Interrupt) -> Result<UnixListener> {
    let name = SocketAddr::from_abstract_name("hark-tests-agent")?;
    let mut said = false;
    let taken = interrupt.wait(TURN, || match UnixListener::bind_addr(&name) {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            if !said {
                eprintln!("bench: waiting for tests on this host that run an agent");
                said = true;
            }
            Ok(None)
        }
        Err(error) => Err(error).context("cannot take the name that keeps tests away"),
    })?;
    taken.with_context(|| format!("tests on this host have run an agent for {TURN:?}"))
}

fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// Kernel and CPUs, as far as they matter to a reader of the figures.
fn machine() -> String {
    let kernel = rustix::system::uname();
    let cpus = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    format!(
        "Linux {} {}, {cpus} CPUs",
        kernel.release().to_string_lossy(),
        kernel.machine().to_string_lossy()
    )
}
