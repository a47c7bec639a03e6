//! Another agent beside hark, in the same harness: what each costs a saturated nginx and the host, and how
//! many of the requests it has counted.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::agent::Agent;
use super::child::Running;
use super::figure::{Budget, Figure};
use super::nginx::{self, Nginx};
use super::page::Page;
use super::phases::{Bench, MIB};
use super::stats::number;
use crate::process;

/// How long an agent may take to count what has happened.
const SETTLE: Duration = Duration::from_secs(5);

/// Another agent.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Peer {
    /// Measure another agent beside hark, under HTTP load: a command for `sh`, which runs until it is
    /// ended. Without --only nothing else is measured.
    #[arg(long = "peer", value_name = "COMMAND", required = false)]
    command: Option<String>,
    /// Seconds that the other agent is given to begin.
    #[arg(
        long = "peer-ready",
        value_name = "SECONDS",
        default_value = "10",
        requires = "command"
    )]
    ready: u64,
    /// Where the other agent counts requests served: its `/metrics`, and a counter on it.
    #[arg(
        long = "peer-counts",
        value_name = "ADDRESS/METRIC",
        requires = "command"
    )]
    counts: Option<Counter>,
}

impl Peer {
    /// Whether there is one.
    pub(super) const fn is_given(&self) -> bool {
        self.command.is_some()
    }
}

/// A counter on a page of metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Counter {
    address: SocketAddr,
    metric: String,
}

impl FromStr for Counter {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (address, metric) = text
            .split_once('/')
            .context("it is not ADDRESS/METRIC, such as 127.0.0.1:9000/http_requests_total")?;
        ensure!(!metric.is_empty(), "there is no name of a metric");
        Ok(Self {
            address: address
                .parse()
                .context("it does not begin with an address")?,
            metric: metric.to_owned(),
        })
    }
}

/// An agent that runs.
enum Under {
    Hark(Agent),
    Peer(Running, Option<Counter>),
}

impl Under {
    fn id(&self) -> u32 {
        match self {
            Self::Hark(agent) => agent.id(),
            Self::Peer(running, _) => running.id(),
        }
    }

    /// Requests that it has counted so far; `None` if it was not said where.
    fn counted(&self) -> Result<Option<f64>> {
        Ok(match self {
            Self::Hark(agent) => Some(agent.page()?.sum(
                "http_server_request_duration_seconds_count",
                Some(("service_name", nginx::SERVICE)),
            )?),
            Self::Peer(_, Some(counter)) => {
                Some(Page::get(counter.address)?.sum(&counter.metric, None)?)
            }
            Self::Peer(_, None) => None,
        })
    }

    fn end(self) -> Result<()> {
        match self {
            Self::Hark(agent) => agent.end(),
            Self::Peer(mut running, _) => running.end().map(drop).map_err(Into::into),
        }
    }
}

/// The figures of one agent, by repetition.
#[derive(Default)]
struct Values {
    ratio: Vec<f64>,
    cpu: Vec<f64>,
    resident: Vec<f64>,
    seen: Vec<f64>,
}

impl Bench {
    /// nginx without an agent, with hark, and with the other one, in turns.
    pub(super) fn peer(&self, peer: &Peer) -> Result<Vec<Figure>> {
        let command = peer.command.as_deref().context("there is no other agent")?;
        let nginx = Nginx::start(&self.interrupt)?;
        let mut values = [Values::default(), Values::default()];
        for turn in 1..=self.repeat {
            process::step(&format!("peer, repetition {turn} of {}", self.repeat));
            let without = nginx.load(self.seconds, &self.interrupt)?.rate;
            // In turns, as for what else is compared.
            let order = if turn % 2 == 0 { [1, 0] } else { [0, 1] };
            for who in order {
                let under = if who == 0 {
                    Under::Hark(Agent::start(&self.agent, &self.interrupt)?)
                } else {
                    let running = Running::start(Command::new("sh").args(["-c", command]))?;
                    self.begun(running, peer)?
                };
                self.under(&nginx, under, without, &mut values[who])?;
            }
        }
        Ok(["hark", "the other agent"]
            .into_iter()
            .zip(values)
            .flat_map(|(name, values)| figures(name, values))
            .collect())
    }

    /// The other agent once its time to begin is over.
    fn begun(&self, mut running: Running, peer: &Peer) -> Result<Under> {
        self.interrupt.wait(Duration::from_secs(peer.ready), || {
            running.expect_running()?;
            Ok(None::<()>)
        })?;
        Ok(Under::Peer(running, peer.counts.clone()))
    }

    fn under(&self, nginx: &Nginx, under: Under, without: f64, to: &mut Values) -> Result<()> {
        let (received, counted) = (nginx.requests()?, under.counted()?);
        let before = usage(under.id())?;
        let load = nginx.load(self.seconds, &self.interrupt)?;
        let received = number(nginx.requests()? - received);
        if let Some(counted) = counted {
            let mut seen = 0.0;
            self.interrupt.wait(SETTLE, || {
                seen = under.counted()?.unwrap_or(counted) - counted;
                Ok((seen >= received).then_some(()))
            })?;
            to.seen.push(seen / received);
        }
        let after = usage(under.id())?;
        to.ratio.push(load.rate / without);
        to.cpu.push((after.cpu_s - before.cpu_s) / received * 1e6);
        to.resident.push(after.resident / MIB);
        under.end()
    }
}

fn figures(name: &str, values: Values) -> [Figure; 4] {
    let figure = |what: &str, unit, values| {
        Figure::new(format!("{name}: {what}"), unit, Budget::None).with(values)
    };
    [
        figure("nginx throughput with it / without", "", values.ratio),
        figure("CPU per million requests", "s", values.cpu),
        figure("resident memory under load", "MiB", values.resident),
        figure("requests counted / served", "", values.seen),
    ]
}

/// What the processes of a group have used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Usage {
    cpu_s: f64,
    /// Bytes.
    resident: f64,
}

/// Of those that are alive; what leaves the group is not found.
fn usage(group: u32) -> Result<Usage> {
    let mut usage = Usage::default();
    let mut found = false;
    for entry in fs::read_dir("/proc").context("cannot list /proc")? {
        // A process may end while we look.
        let Ok(stat) = fs::read_to_string(entry?.path().join("stat")) else {
            continue;
        };
        if let Some(of_one) = of_stat(&stat, group) {
            found = true;
            usage.cpu_s += of_one.cpu_s;
            usage.resident += of_one.resident;
        }
    }
    if !found {
        bail!("the agent's processes are gone");
    }
    Ok(usage)
}

/// `/proc/PID/stat` (proc(5)), if the process is of the group.
fn of_stat(stat: &str, group: u32) -> Option<Usage> {
    // The command may have blanks and parentheses of its own.
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    if field(5)? != u64::from(group) {
        return None;
    }
    let ticks = rustix::param::clock_ticks_per_second();
    let page = rustix::param::page_size() as u64;
    Some(Usage {
        cpu_s: number(field(14)? + field(15)?) / number(ticks),
        resident: number(field(24)? * page),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_an_address_and_a_name() {
        let counter: Counter = "127.0.0.1:9000/http_requests_total".parse().unwrap();
        assert_eq!(counter.metric, "http_requests_total");
        assert_eq!(counter.address.port(), 9000);
        for text in ["", "127.0.0.1:9000", "127.0.0.1:9000/", "localhost/x"] {
            text.parse::<Counter>().unwrap_err();
        }
    }

    #[test]
    fn a_process_of_the_group_is_found_by_its_fifth_field() {
        let stat = "7 (a) b) c) S 1 42 42 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 1 0 100 1000 256 0";
        let usage = of_stat(stat, 42).unwrap();
        assert!(
            (usage.cpu_s - 200.0 / number(rustix::param::clock_ticks_per_second())).abs() < 1e-9
        );
        assert!((usage.resident - number(256 * rustix::param::page_size() as u64)).abs() < 1e-9);
        assert_eq!(of_stat(stat, 43), None);
        assert_eq!(of_stat("7 (cut", 42), None);
    }

    #[test]
    fn our_own_group_uses_something() {
        let group = u32::try_from(rustix::process::getpgrp().as_raw_nonzero().get()).unwrap();
        assert!(usage(group).unwrap().resident > 0.0);
    }
}
