//! wrk, as fast as it goes, with a count that is exact.

use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::process::Process;
use crate::server::Server;
use crate::skip::Skip;
use crate::{names, tools, wait};

const THREADS: usize = 2;
const CONNECTIONS_PER_THREAD: usize = 16;

/// What wrk says it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Its own service name.
    pub service: String,
    /// Responses that it counted.
    pub requests: u64,
    /// Connections, reads, writes that failed, and statuses of 400 and above.
    pub errors: u64,
}

/// Asks for `path` in batches of `depth` pipelined requests, `batches` per thread, on 32
/// connections of two threads.
///
/// wrk itself takes the first batch of one thread to see how deep it pipelines, and does not send
/// it: it sends [`requests`] in all.
///
/// # Errors
/// There is no wrk.
///
/// # Panics
/// If it has not done with it after two minutes.
pub fn run(server: &Server, path: &str, depth: u32, batches: u32) -> Result<Report, Skip> {
    let service = names::unique("wrk");
    let mut command = Command::new(tools::find("wrk")?);
    command
        .arg(format!("-t{THREADS}"))
        .arg(format!("-c{}", THREADS * CONNECTIONS_PER_THREAD))
        .args(["-d150s", "--timeout", "150s", "-s"])
        .arg(tools::source("pipeline.lua"))
        .arg(format!("http://{}/", server.tcp()))
        .args(["--", &depth.to_string(), &batches.to_string(), path])
        .arg(CONNECTIONS_PER_THREAD.to_string())
        .env("OTEL_SERVICE_NAME", &service);
    let mut process = Process::start(command);
    wait::until(Duration::from_secs(120), "wrk to be done", || {
        (process.stdout().matches("IDLE").count() == THREADS).then_some(())
    });
    // Nothing is under way: it may stop waiting for the end of its time.
    process.signal(Signal::INT);
    let line = process
        .line("WRK ")
        .unwrap_or_else(|error| panic!("wrk: {error}"));
    let numbers: Vec<u64> = line
        .split(' ')
        .filter_map(|number| number.parse().ok())
        .collect();
    let [requests, errors] = numbers[..] else {
        panic!("wrk: {line}")
    };
    Ok(Report {
        service,
        requests,
        errors,
    })
}

/// How many requests [`run`] sends.
#[must_use]
pub fn requests(depth: u32, batches: u32) -> u64 {
    u64::from(depth) * (u64::from(batches) * THREADS as u64 - 1)
}
