//! gRPC by the libraries that people use: a server and a client of our own with each.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use crate::metrics::Counts;
use crate::process::Process;
use crate::skip::Skip;
use crate::{names, tools};

/// An implementation of gRPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Library {
    /// tonic, in Rust: `src/bin/hark-test-grpc`.
    Tonic,
    /// grpcio, in Python: `servers/grpcio.py`.
    Grpcio,
    /// grpc-go: `servers/grpc-go`.
    GrpcGo,
}

impl Library {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Tonic, Self::Grpcio, Self::GrpcGo];

    /// The program that serves and calls.
    ///
    /// # Errors
    /// The library, or what it needs, is not installed.
    pub fn command(self) -> Result<Command, Skip> {
        match self {
            Self::Tonic => Ok(Command::new(tools::helper("hark-test-grpc"))),
            Self::Grpcio => {
                let python = tools::find("python3")?;
                let mut probe = Command::new(&python);
                probe.args(["-c", "import grpc.aio"]);
                let (status, _, _) = Process::finish(probe, Duration::from_secs(60));
                if !status.success() {
                    return Err(Skip("python3-grpcio is not installed".into()));
                }
                let mut command = Command::new(python);
                command.arg(tools::source("grpcio.py"));
                Ok(command)
            }
            Self::GrpcGo => {
                static BUILD: OnceLock<Result<PathBuf, String>> = OnceLock::new();
                let go = tools::find("go")?;
                let program = BUILD.get_or_init(|| build_go(&go)).clone().map_err(Skip)?;
                Ok(Command::new(program))
            }
        }
    }
}

/// Builds `servers/grpc-go` into the target folder. Its modules come from go's cache or, the first
/// time, from the proxy that go is set to; `go.sum` says what they are.
fn build_go(go: &Path) -> Result<PathBuf, String> {
    let folder = tools::target().join("servers");
    let program = folder.join("grpc-go");
    // Built beside and renamed: another test binary may be running the program now.
    let fresh = folder.join(names::unique("grpc-go"));
    let mut command = Command::new(go);
    command
        .current_dir(tools::source("grpc-go"))
        .args(["build", "-mod=readonly", "-buildvcs=false", "-o"])
        .arg(&fresh)
        .arg(".")
        .env("GOFLAGS", "")
        .env("GOTOOLCHAIN", "local")
        .env("CGO_ENABLED", "0");
    let (status, _, stderr) = Process::finish(command, Duration::from_secs(600));
    if !status.success() {
        return Err(format!("grpc-go cannot be built: {stderr}"));
    }
    std::fs::rename(&fresh, &program).map_err(|error| format!("{}: {error}", program.display()))?;
    Ok(program)
}

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
    /// Starts it, with these environment variables.
    ///
    /// # Errors
    /// The library is not installed.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(library: Library, environment: &[(&str, &str)]) -> Result<Self, Skip> {
        let mut command = library.command()?;
        command.arg("serve").envs(environment.iter().copied());
        Ok(Self::announced(command))
    }

    /// grpc-go's neighbour: HTTP/1.1 that can be upgraded to HTTP/2.
    ///
    /// # Errors
    /// Go, or its module, is not there.
    ///
    /// # Panics
    /// If it does not start.
    pub fn upgradable() -> Result<Self, Skip> {
        let mut command = Library::GrpcGo.command()?;
        command.arg("upgrade");
        Ok(Self::announced(command))
    }

    fn announced(mut command: Command) -> Self {
        let service = names::unique("grpc-server");
        command.env("OTEL_SERVICE_NAME", &service);
        let mut process = Process::start(command);
        let line = process.line("LISTENING ");
        let line = line.unwrap_or_else(|error| panic!("{error}\n{}", process.stderr()));
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

/// What a client is to do.
#[derive(Clone, Copy, Debug)]
pub struct Load<'a> {
    /// How many connections it makes.
    pub connections: usize,
    /// Calls on each of them.
    pub calls: usize,
    /// Calls under way on each of them.
    pub concurrency: usize,
    /// It makes a first call on each connection, which it does not count, and then waits for this
    /// file.
    pub gate: Option<&'a Path>,
    /// Once this file is there, it begins no call any more.
    pub until: Option<&'a Path>,
    /// Environment variables.
    pub environment: &'a [(&'a str, &'a str)],
}

impl Load<'_> {
    /// So many, without anything else.
    #[must_use]
    pub const fn of(connections: usize, calls: usize, concurrency: usize) -> Self {
        Self {
            connections,
            calls,
            concurrency,
            gate: None,
            until: None,
            environment: &[],
        }
    }
}

/// What came of the calls by the client's own count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// By `rpc.method` and status, with `_OTHER` for a method that the server does not implement.
    pub calls: Counts,
    /// Messages sent and received in calls that came to their end, by `rpc.method`: not in those that
    /// were given up or refused, where one end may not have read what the other wrote.
    pub messages: std::collections::BTreeMap<String, [u64; 2]>,
}

impl Client {
    /// Starts it.
    ///
    /// # Errors
    /// The library is not installed.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(library: Library, server: &Server, load: &Load<'_>) -> Result<Self, Skip> {
        let service = names::unique("grpc-client");
        let mut command = library.command()?;
        command
            .arg("call")
            .arg(server.address.to_string())
            .args([load.connections, load.calls, load.concurrency].map(|n| n.to_string()))
            .args(load.gate)
            .env("OTEL_SERVICE_NAME", &service)
            .envs(load.until.map(|until| ("UNTIL", until)))
            .envs(load.environment.iter().copied());
        let mut process = Process::start(command);
        if load.gate.is_some() {
            process
                .line("READY")
                .unwrap_or_else(|error| panic!("{error}\n{}", process.stderr()));
        }
        Ok(Self { service, process })
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If it fails.
    #[track_caller]
    pub fn report(&mut self) -> Report {
        let line = self.process.line("CALLS ");
        let line = line.unwrap_or_else(|error| panic!("{error}\n{}", self.process.stderr()));
        let rows: Vec<(String, String, u64, u64, u64)> =
            serde_json::from_str(&line).expect("a list");
        let mut report = Report::default();
        for (method, status, count, sent, received) in rows {
            if COUNTED.contains(&&*method) {
                let messages = report.messages.entry(method.clone()).or_default();
                messages[0] += sent;
                messages[1] += received;
            }
            let method = if status == "UNIMPLEMENTED" {
                "_OTHER".to_owned()
            } else {
                method
            };
            *report.calls.entry((method, status)).or_default() += count;
        }
        report
    }
}

/// Methods whose calls come to their end.
pub const COUNTED: [&str; 4] = [
    "hark.test.Echo/Unary",
    "hark.test.Echo/Lists",
    "hark.test.Echo/Collects",
    "hark.test.Echo/Chats",
];
