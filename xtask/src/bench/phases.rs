//! The measurements on the real kernel, in the order in which they are made.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::agent::{self, Agent, Program};
use super::child::Interrupt;
use super::figure::{Budget, Figure};
use super::nginx::{self, Load, Nginx};
use super::page::Page;
use super::stats::number;
use super::syscalls;
use crate::process;

/// How long the agent may take to report what has happened.
const SETTLE: Duration = Duration::from_secs(5);
/// Idle connections of the memory measurement.
const CONNECTIONS: usize = 1000;
/// Scrapes of the scrape measurement.
const SCRAPES: usize = 15;
/// Where the agent counts exchanges that it does not report.
const LOSSES: [&str; 2] = ["hark_exchanges_lost_total", "hark_exchanges_dropped_total"];
/// Bytes in a MiB.
pub(super) const MIB: f64 = 1_048_576.0;

/// What is measured, and how.
pub(super) struct Bench {
    /// The agent's binary.
    pub(super) agent: PathBuf,
    /// Seconds of a run of the load.
    pub(super) seconds: u64,
    pub(super) repeat: u32,
    pub(super) interrupt: Interrupt,
}

/// What a reader of the figures needs to know, one sentence each.
#[derive(Debug, Default)]
pub(super) struct Notes(Vec<String>);

impl Notes {
    pub(super) fn add(&mut self, note: String) {
        self.0.push(note);
    }

    pub(super) fn lines(&self) -> &[String] {
        &self.0
    }
}

/// One run without the agent, or with it.
struct Run {
    /// ns per system call, as [`syscalls::measure`] gives them.
    calls: [f64; syscalls::LOOPS.len()],
    load: Load,
    values: Values,
}

/// The values of one repetition by the name of their figure.
type Values = BTreeMap<&'static str, f64>;

const RATIO: &str = "nginx throughput with the agent / without";
const RATE: &str = "nginx throughput without the agent";
const MISSED: &str = "exchanges missed, beyond those counted as lost";
const LOST: &str = "exchanges counted as lost";
const RECORDS: &str = "ring-buffer records per exchange end";
const WAKES: &str = "wake-ups of the agent per 1,000 exchange ends";
const CPU: &str = "agent's pipeline thread, CPU per exchange end";
const KERNEL_END: &str = "kernel side per exchange, one end, both messages";
const KERNEL_BOTH: &str = "kernel side per exchange, client and server on this host";
const SEND: &str = "  sock_send_length, per run";
const RECV: &str = "  sock_recv_length, per run";
const SENDS: &str = "  sock_send_length, runs per exchange end";
const RECVS: &str = "  sock_recv_length, runs per exchange end";
const IGNORED: &str = "kernel side, per run on sockets that are not HTTP, datagrams too";
const SERVER_CPU: &str = "nginx CPU per request without the agent / with";
const READY: &str = "start of the agent until it is ready";

/// The figures that come of the alternating runs, after those of system calls.
const FIGURES: [(&str, &str, Budget); 16] = [
    (IGNORED, "ns", Budget::None),
    (KERNEL_END, "ns", Budget::AtMost(1500.0)),
    (KERNEL_BOTH, "ns", Budget::None),
    (SEND, "ns", Budget::None),
    (SENDS, "", Budget::None),
    (RECV, "ns", Budget::None),
    (RECVS, "", Budget::None),
    (RATIO, "", Budget::AtLeast(0.95)),
    (SERVER_CPU, "", Budget::None),
    (RATE, "requests/s", Budget::None),
    (MISSED, "", Budget::Always(0.0)),
    (LOST, "", Budget::None),
    // DESIGN.md §2: at most two; a process's introduction comes on top once.
    (RECORDS, "", Budget::AtMost(2.01)),
    (WAKES, "", Budget::None),
    (CPU, "ns", Budget::None),
    (READY, "ms", Budget::None),
];

impl Bench {
    /// Runs with and without the agent in turns.
    pub(super) fn alternating(&self, notes: &mut Notes) -> Result<Vec<Figure>> {
        let nginx = Nginx::start(&self.interrupt)?;
        let mut added: [Vec<f64>; syscalls::LOOPS.len()] = Default::default();
        let mut plain: [Vec<f64>; syscalls::LOOPS.len()] = Default::default();
        let mut rest: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for turn in 1..=self.repeat {
            process::step(&format!("repetition {turn} of {}", self.repeat));
            // Whichever comes first may find the machine in another state, so that changes too.
            let with_first = turn % 2 == 0;
            let early = if with_first {
                Some(self.with(&nginx)?)
            } else {
                None
            };
            let without = self.without(&nginx)?;
            let mut with = match early {
                Some(early) => early,
                None => self.with(&nginx)?,
            };
            for at in 0..syscalls::LOOPS.len() {
                added[at].push(with.calls[at] - without.calls[at]);
                plain[at].push(without.calls[at]);
            }
            let (rate, rate_with) = (without.load.rate, with.load.rate);
            with.values.insert(RATE, rate);
            with.values.insert(RATIO, rate_with / rate);
            with.values
                .insert(SERVER_CPU, without.load.server_ns / with.load.server_ns);
            eprintln!("bench: {rate:.0} requests/s without the agent, {rate_with:.0} with it");
            for (name, value) in with.values {
                rest.entry(name).or_default().push(value);
            }
        }
        for ((name, _), plain) in syscalls::LOOPS.iter().zip(&plain) {
            if let Some(median) = super::stats::median(plain) {
                notes.add(format!(
                    "{name}: {median:.0} ns per system call without the agent"
                ));
            }
        }
        notes.add(
            "the kernel side is timed by the kernel's own statistics, whose two clock reads are \
             part of each run's time"
                .into(),
        );
        notes.add(
            "an exchange end is one socket's view of an exchange; under this load both ends are \
             on this host, so each exchange has two"
                .into(),
        );
        let budget = |name: &str| match name {
            name if name.contains("HTTP") => Budget::AtMost(60.0),
            _ => Budget::None,
        };
        let calls = syscalls::LOOPS.iter().zip(added).map(|((name, _), added)| {
            Figure::new(format!("added to {name}"), "ns/syscall", budget(name)).with(added)
        });
        let rest = FIGURES.iter().map(|&(name, unit, budget)| {
            Figure::new(name, unit, budget).with(rest.remove(name).unwrap_or_default())
        });
        Ok(calls.chain(rest).collect())
    }

    fn without(&self, nginx: &Nginx) -> Result<Run> {
        Ok(Run {
            calls: syscalls::measure(&self.interrupt)?,
            load: nginx.load(self.seconds, &self.interrupt)?,
            values: Values::new(),
        })
    }

    fn with(&self, nginx: &Nginx) -> Result<Run> {
        let began = Instant::now();
        let agent = Agent::start(&self.agent, &self.interrupt)?;
        let mut values = Values::from([(READY, began.elapsed().as_secs_f64() * 1e3)]);
        let calls = syscalls::measure(&self.interrupt)?;

        let received = nginx.requests()?;
        let before = self.settled(&agent, 1.0)?;
        let thread = agent.pipeline()?;
        let load = nginx.load(self.seconds, &self.interrupt)?;
        let received = number(nginx.requests()? - received);
        let after = self.settled(&agent, before.served + received)?;
        for line in agent.page()?.nonzero(LOSSES) {
            eprintln!("bench: {line}");
        }
        let thread_after = agent.pipeline()?;

        let lost = after.lost - before.lost;
        let served = after.served - before.served;
        // A loss may be of the client's end, so it can only make good what is missing here.
        let missing = received - served;
        let missed = if missing > 0.0 {
            (missing - lost).max(0.0)
        } else {
            missing.abs()
        };
        values.insert(MISSED, missed);
        values.insert(LOST, lost);
        let ends = after.begun - before.begun;
        if ends <= 0.0 {
            bail!("the agent saw no exchange under load");
        }
        values.insert(RECORDS, (after.records - before.records) / ends);
        values.insert(
            WAKES,
            number(thread_after.sleeps - thread.sleeps) / ends * 1000.0,
        );
        values.insert(CPU, number(thread_after.cpu_ns - thread.cpu_ns) / ends);

        values.extend(self.kernel_side(&agent, nginx)?);
        agent.end()?;
        Ok(Run {
            calls,
            load,
            values,
        })
    }

    /// The kernel's own statistics of the agent's programs under load, which is a run of its own
    /// because they cost something too.
    fn kernel_side(&self, agent: &Agent, nginx: &Nginx) -> Result<Values> {
        let statistics = agent::statistics()?;
        let idle = agent.programs()?;
        syscalls::measure(&self.interrupt)?;
        let before = Counts::of(&agent.page()?)?;
        let programs = agent.programs()?;
        nginx.load(self.seconds.div_ceil(2), &self.interrupt)?;
        // First the programs, which run on with whatever else the host does.
        let programs_after = agent.programs()?;
        drop(statistics);
        let after = Counts::of(&agent.page()?)?;
        let ends = after.begun - before.begun;
        let ignored = difference(&idle, &programs);
        let http = difference(&programs, &programs_after);
        let (send, recv) = (of(&http, "sock_send_length"), of(&http, "sock_recv_length"));
        let time: f64 = http.values().map(|spent| number(spent.time_ns)).sum();
        let time_ignored: f64 = ignored.values().map(|spent| number(spent.time_ns)).sum();
        let runs_ignored: f64 = ignored.values().map(|spent| number(spent.runs)).sum();
        Ok(Values::from([
            (IGNORED, time_ignored / runs_ignored),
            (KERNEL_END, time / ends),
            (KERNEL_BOTH, 2.0 * time / ends),
            (SEND, number(send.time_ns) / number(send.runs)),
            (SENDS, number(send.runs) / ends),
            (RECV, number(recv.time_ns) / number(recv.runs)),
            (RECVS, number(recv.runs) / ends),
        ]))
    }

    /// The agent's counts once it has reported `served` exchanges of nginx, or has had its time.
    fn settled(&self, agent: &Agent, served: f64) -> Result<Counts> {
        let mut last = None;
        self.interrupt.wait(SETTLE, || {
            let counts = Counts::of(&agent.page()?)?;
            let done = counts.served >= served;
            last = Some(counts);
            Ok(done.then_some(()))
        })?;
        last.context("the agent was not asked")
    }

    /// Memory and scrapes of one agent: idle, with many idle connections, after a load.
    pub(super) fn memory(&self) -> Result<Vec<Figure>> {
        process::step("memory");
        let nginx = Nginx::start(&self.interrupt)?;
        let agent = Agent::start(&self.agent, &self.interrupt)?;
        let resident = || Ok::<_, anyhow::Error>(number(agent.resident()?) / MIB);
        let idle = resident()?;
        let connections = connections(nginx.address(), &self.interrupt)?;
        self.settled(&agent, number(CONNECTIONS as u64))?;
        let connected = resident()?;
        nginx.load(self.seconds.div_ceil(2), &self.interrupt)?;
        let loaded = resident()?;
        drop(connections);
        let mut scrapes = Vec::new();
        let mut samples = 0;
        for _ in 0..SCRAPES {
            self.interrupt.check()?;
            let start = Instant::now();
            let page = agent.page()?;
            scrapes.push(start.elapsed().as_secs_f64() * 1e3);
            samples = page.samples();
        }
        agent.end()?;
        Ok(vec![
            Figure::new("agent's resident memory, idle", "MiB", Budget::None).with([idle]),
            Figure::new(
                "agent's resident memory, 1,000 kept-alive connections",
                "MiB",
                Budget::AtMost(40.0),
            )
            .with([connected]),
            Figure::new(
                "agent's resident memory, under load as well",
                "MiB",
                Budget::AtMost(40.0),
            )
            .with([loaded]),
            Figure::new(
                format!("a scrape of {samples} samples"),
                "ms",
                Budget::AtMost(20.0),
            )
            .with(scrapes),
        ])
    }
}

/// The programs of the socket layer, by their tracepoints: what an exchange costs.
const SOCKET: [&str; 4] = [
    "sock_send_length",
    "sock_recv_length",
    "inet_sock_set_state",
    "tcp_destroy_sock",
];

/// What the programs of the socket layer have used between two looks.
fn difference(
    before: &BTreeMap<String, Program>,
    after: &BTreeMap<String, Program>,
) -> BTreeMap<String, Program> {
    let spent = |(name, after): (&String, &Program)| {
        let before = of(before, name);
        let spent = Program {
            time_ns: after.time_ns - before.time_ns,
            runs: after.runs - before.runs,
        };
        (name.clone(), spent)
    };
    after
        .iter()
        .filter(|(name, _)| SOCKET.contains(&name.as_str()))
        .map(spent)
        .collect()
}

fn of(programs: &BTreeMap<String, Program>, name: &str) -> Program {
    programs.get(name).copied().unwrap_or_default()
}

/// What the agent counts of a run.
#[derive(Clone, Copy, Debug)]
struct Counts {
    /// Exchanges that nginx served.
    served: f64,
    /// Exchanges begun, each end for itself.
    begun: f64,
    /// Exchanges counted as lost, in the kernel or after it, each end for itself.
    lost: f64,
    /// Records that the kernel side sent.
    records: f64,
}

impl Counts {
    fn of(page: &Page) -> Result<Self> {
        Ok(Self {
            served: page.sum(
                "http_server_request_duration_seconds_count",
                Some(("service_name", nginx::SERVICE)),
            )?,
            begun: page.sum("hark_exchanges_begun_total", None)?,
            lost: page.sum(LOSSES[0], None)? + page.sum(LOSSES[1], None)?,
            records: page.sum("hark_records_submitted_total", None)?,
        })
    }
}

/// Kept-alive connections, each of which has made one request and read its answer.
fn connections(address: SocketAddr, interrupt: &Interrupt) -> Result<Vec<TcpStream>> {
    raise_open_files()?;
    let one = || -> Result<TcpStream> {
        interrupt.check()?;
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(SETTLE))?;
        stream.write_all(b"GET /file HTTP/1.1\r\nHost: bench\r\n\r\n")?;
        let mut answer = Vec::new();
        let mut piece = [0; 2048];
        while !is_whole(&answer)? {
            match stream.read(&mut piece)? {
                0 => bail!("nginx has closed the connection"),
                read => answer.extend_from_slice(&piece[..read]),
            }
        }
        Ok(stream)
    };
    (1..=CONNECTIONS)
        .map(|number| one().with_context(|| format!("connection {number} failed")))
        .collect()
}

/// Lets us have as many files open as any measurement takes.
pub(super) fn raise_open_files() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    // Where the hard limit is too low, opening fails, and says why.
    let wanted = limit.maximum.map_or(8192, |maximum| maximum.min(8192));
    if limit.current.is_some_and(|current| current < wanted) {
        let raised = Rlimit {
            current: Some(wanted),
            maximum: limit.maximum,
        };
        setrlimit(Resource::Nofile, raised).context("cannot raise the limit of open files")?;
    }
    Ok(())
}

/// Whether an answer has come to its end.
fn is_whole(answer: &[u8]) -> Result<bool> {
    let Some(head) = answer.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(false);
    };
    let text = std::str::from_utf8(&answer[..head])?;
    if !text.starts_with("HTTP/1.1 200 ") {
        bail!("nginx answered: {text}");
    }
    let length: usize = text
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "))
        .context("nginx's answer has no length")?
        .parse()?;
    Ok(answer.len() >= head + 4 + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_with_its_last_byte() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
        for end in 0..answer.len() {
            assert!(!is_whole(&answer[..end]).unwrap(), "{end}");
        }
        assert!(is_whole(answer).unwrap());
    }

    #[test]
    fn an_answer_that_is_not_the_file_is_an_error() {
        assert!(is_whole(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").is_err());
        assert!(is_whole(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
