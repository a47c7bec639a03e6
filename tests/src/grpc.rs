//! gRPC by tonic: a server and a client of our own, each a process.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::metrics::Counts;
use crate::process::Process;
use crate::{names, tools};

/// A running server.
#[derive(Debug)]
pub struct Server {
    /// Its `service_name`.
    pub service: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// The process.
    pub process: Process,
}

impl Server {
    /// Starts it.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start(name: &str) -> Self {
        let service = names::unique(name);
        let mut command = Command::new(tools::helper("hark-test-grpc"));
        command.arg("serve").env("OTEL_SERVICE_NAME", &service);
        let mut process = Process::start(command);
        let line = process.line("LISTENING ").expect("it listens");
        Self {
            service,
            address: line.parse().expect("an address"),
            process,
        }
    }
}

/// A client under way.
#[derive(Debug)]
pub struct Client {
    /// Its `service_name`.
    pub service: String,
    process: Process,
}

impl Client {
    /// Makes `calls` calls on each of `connections`, `concurrency` of them at a time. With a gate it
    /// makes a first one on each, which it does not count, and then waits for that file.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start(
        server: &Server,
        connections: usize,
        calls: usize,
        concurrency: usize,
        gate: Option<&Path>,
    ) -> Self {
        let service = names::unique("grpc-client");
        let mut command = Command::new(tools::helper("hark-test-grpc"));
        command
            .arg("call")
            .arg(server.address.to_string())
            .args([connections, calls, concurrency].map(|number| number.to_string()))
            .args(gate)
            .env("OTEL_SERVICE_NAME", &service);
        let mut process = Process::start(command);
        if gate.is_some() {
            process.line("READY").expect("it has connected");
        }
        Self { service, process }
    }

    /// Waits for the end, and gives what came of the calls by the client's own count: by
    /// `rpc.method` and status, with `_OTHER` for a method that the server does not implement.
    ///
    /// # Panics
    /// If it fails.
    #[track_caller]
    pub fn counts(&mut self) -> Counts {
        let line = self.process.line("CALLS ");
        let line = line.unwrap_or_else(|error| panic!("{error}\n{}", self.process.stderr()));
        let list: Vec<(String, String, u64)> = serde_json::from_str(&line).expect("a list");
        let mut counts = Counts::new();
        for (method, status, count) in list {
            let method = if status == "UNIMPLEMENTED" {
                "_OTHER".to_owned()
            } else {
                method
            };
            *counts.entry((method, status)).or_default() += count;
        }
        counts
    }
}
