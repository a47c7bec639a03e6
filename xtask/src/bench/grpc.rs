//! What small unary gRPC calls cost: a server by tonic, saturated by h2load with a hundred streams
//! under way, with the agent and without it in turns.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use super::agent::{self, Agent};
use super::child::{Interrupt, Running};
use super::figure::{Budget, Figure};
use super::nginx::find;
use super::page::Page;
use super::phases::{Bench, SOCKET, difference};
use super::stats::number;
use crate::process;
use crate::workspace::Workspace;

/// The server; one of the helpers of the tests.
const PROGRAM: &str = "hark-test-grpc";
/// Its service.
const SERVICE: &str = "hark-bench-grpc";
/// Connections, and streams under way on each. With few connections of many streams two CPUs are not
/// busy, but wait for each other's wake-ups, and whatever slows one end makes the other's batches larger:
/// with 4 of 25 each throughput is a quarter higher with the agent than without.
const CONNECTIONS: u64 = 50;
const STREAMS: u64 = 2;
/// How long the agent may take to report what has happened.
const SETTLE: Duration = Duration::from_secs(5);

const RATIO: &str = "gRPC throughput with the agent / without, 100 calls under way";
const RATE: &str = "gRPC throughput without the agent";
const MISSED: &str = "gRPC calls missed, beyond those counted as lost";
const RECORDS: &str = "ring-buffer records per call, one end";
const KERNEL: &str = "kernel side per gRPC call, one end, both messages";
const CPU: &str = "agent's pipeline thread, CPU per gRPC call, one end";

const FIGURES: [(&str, &str, Budget); 6] = [
    (RATIO, "", Budget::None),
    (RATE, "calls/s", Budget::None),
    (MISSED, "", Budget::Always(0.0)),
    (RECORDS, "", Budget::None),
    (KERNEL, "ns", Budget::None),
    (CPU, "ns", Budget::None),
];

/// Builds the server and says where it is.
pub(super) fn build(workspace: &Workspace) -> Result<PathBuf> {
    process::step("gRPC server");
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--release", "--package", "hark-tests"]);
    process::run(cargo.args(["--bin", PROGRAM])).context("cannot build the gRPC server")?;
    Ok(workspace.target.join("release").join(PROGRAM))
}

/// A running server, and what to send it.
struct Server {
    _running: Running,
    address: String,
    folder: TempDir,
}

impl Server {
    fn start(program: &Path, interrupt: &Interrupt) -> Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        // A message of three bytes that asks for one message, and the status OK.
        fs::write(folder.path().join("body"), [0, 0, 0, 0, 3, 0, 1, 0])?;
        let mut running = Running::start(
            Command::new(program)
                .arg("serve")
                .env("OTEL_SERVICE_NAME", SERVICE),
        )?;
        let address = interrupt.wait(Duration::from_secs(10), || {
            running.expect_running()?;
            let said = running.output()?;
            let line = said
                .lines()
                .find_map(|line| line.strip_prefix("LISTENING "));
            Ok(line.map(str::to_owned))
        })?;
        Ok(Self {
            address: address.context("the gRPC server does not listen")?,
            _running: running,
            folder,
        })
    }

    /// Loads it for so long. Gives calls per second, and how many were made.
    fn load(&self, seconds: u64, interrupt: &Interrupt) -> Result<(f64, f64)> {
        let mut command = Command::new(find("h2load")?);
        command
            .args(["--duration", &seconds.to_string()])
            .args(["--clients", &CONNECTIONS.to_string()])
            .args(["--max-concurrent-streams", &STREAMS.to_string()])
            .args(["--header", "content-type: application/grpc"])
            .args(["--header", "te: trailers", "--data"])
            .arg(self.folder.path().join("body"))
            .arg(format!("http://{}/hark.test.Echo/Unary", self.address));
        let load = Running::start(&mut command)?;
        let report = load.finish(interrupt, Duration::from_secs(seconds + 20))?;
        rate(&report)
    }
}

/// Rate and number of calls, if every one succeeded.
fn rate(report: &str) -> Result<(f64, f64)> {
    let read = || {
        // `finished in 5.00s, 24567.20 req/s, 1.20MB/s`
        let line = report
            .lines()
            .find(|line| line.starts_with("finished in "))?;
        let rate = line
            .split(", ")
            .find_map(|part| part.strip_suffix(" req/s"))?;
        // `requests: 10 total, 10 started, 10 done, 10 succeeded, 0 failed, 0 errored, 0 timeout`
        let line = report
            .lines()
            .find_map(|line| line.strip_prefix("requests: "))?;
        let part = |name: &str| {
            let part = line.split(", ").find_map(|part| part.strip_suffix(name))?;
            part.trim().parse::<f64>().ok()
        };
        let (done, failed) = (part(" succeeded")?, part(" failed")?);
        Some((rate.parse::<f64>().ok()?, done, failed))
    };
    match read() {
        Some((rate, done, 0.0)) if done > 0.0 => Ok((rate, done)),
        Some(_) => bail!("calls have failed: {report}"),
        None => bail!("h2load's report is not understood: {report}"),
    }
}

/// What the agent counts.
struct Counts {
    served: f64,
    ends: f64,
    lost: f64,
    records: f64,
}

impl Counts {
    fn of(page: &Page) -> Result<Self> {
        let served = page.sum(
            "rpc_server_call_duration_seconds_count",
            Some(("service_name", SERVICE)),
        )?;
        let sent = page.sum("rpc_client_call_duration_seconds_count", None)?;
        Ok(Self {
            served,
            ends: served + sent,
            lost: page.sum("hark_exchanges_unmatched_total", None)?
                + page.sum("hark_exchanges_dropped_total", None)?,
            records: page.sum("hark_records_submitted_total", None)?,
        })
    }
}

impl Bench {
    /// Calls with the agent and without it.
    pub(super) fn grpc(&self, program: &Path) -> Result<Vec<Figure>> {
        let server = Server::start(program, &self.interrupt)?;
        let mut values: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for turn in 1..=self.repeat {
            process::step(&format!("gRPC, repetition {turn} of {}", self.repeat));
            let mut with = None;
            let mut without = None;
            // Whichever comes first may find the machine in another state, so that changes too.
            for now_with in [turn % 2 == 0, turn % 2 != 0] {
                if now_with {
                    with = Some(self.calls_with(&server)?);
                } else {
                    without = Some(server.load(self.seconds, &self.interrupt)?.0);
                }
            }
            let ((with, mut run), without) = (
                with.context("no run with the agent")?,
                without.context("no run without the agent")?,
            );
            run.insert(RATE, without);
            run.insert(RATIO, with / without);
            for (name, value) in run {
                values.entry(name).or_default().push(value);
            }
        }
        let figures = FIGURES.iter().map(|&(name, unit, budget)| {
            Figure::new(name, unit, budget).with(values.remove(name).unwrap_or_default())
        });
        Ok(figures.collect())
    }

    /// Calls per second, and what they cost.
    fn calls_with(&self, server: &Server) -> Result<(f64, BTreeMap<&'static str, f64>)> {
        let agent = Agent::start(&self.agent, &self.interrupt)?;
        let before = Counts::of(&agent.page()?)?;
        let thread = agent.pipeline()?;
        let (rate, done) = server.load(self.seconds, &self.interrupt)?;
        // h2load gives up what is under way when its time is over: those end as well, refused or
        // not, so that there may be more than it says.
        let after = self.counted(&agent, before.served + done)?;
        let thread_after = agent.pipeline()?;
        let ends = after.ends - before.ends;
        if ends <= 0.0 {
            bail!("the agent saw no call under load");
        }
        let lost = after.lost - before.lost;
        let missing = done - (after.served - before.served);
        let mut values = BTreeMap::from([
            (MISSED, (missing - lost).max(0.0)),
            (RECORDS, (after.records - before.records) / ends),
            (CPU, number(thread_after.cpu_ns - thread.cpu_ns) / ends),
        ]);
        // A run of its own, because the kernel's statistics cost something too.
        let statistics = agent::statistics()?;
        let before = Counts::of(&agent.page()?)?;
        let programs = agent.programs()?;
        let (_, done) = server.load(self.seconds.div_ceil(2), &self.interrupt)?;
        let programs_after = agent.programs()?;
        drop(statistics);
        let after = self.counted(&agent, before.served + done)?;
        let spent = difference(&programs, &programs_after);
        let time: f64 = SOCKET
            .iter()
            .filter_map(|name| spent.get(*name))
            .map(|program| number(program.time_ns))
            .sum();
        values.insert(KERNEL, time / (after.ends - before.ends));
        agent.end()?;
        Ok((rate, values))
    }

    /// The agent's counts once it has reported `served` calls, or has had its time.
    fn counted(&self, agent: &Agent, served: f64) -> Result<Counts> {
        let mut last = None;
        self.interrupt.wait(SETTLE, || {
            let counts = Counts::of(&agent.page()?)?;
            let done = counts.served >= served;
            last = Some(counts);
            Ok(done.then_some(()))
        })?;
        last.context("the agent was not asked")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "finished in 5.00s, 24567.20 req/s, 1.20MB/s\n\
        requests: 122836 total, 122936 started, 122836 done, 122836 succeeded, 0 failed, 0 errored, 0 timeout\n";

    #[test]
    fn the_report_of_h2load() {
        assert_eq!(rate(REPORT).unwrap(), (24567.2, 122_836.0));
        let failed = REPORT.replace(" 0 failed", " 3 failed");
        assert!(
            rate(&failed)
                .unwrap_err()
                .to_string()
                .starts_with("calls have failed")
        );
        assert!(rate("").is_err());
    }
}
