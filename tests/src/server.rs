//! Servers as real processes, each under a service name of its own.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use tempfile::TempDir;

use crate::load::Target;
use crate::process::Process;
use crate::skip::Skip;
use crate::{names, tools};

pub mod https;
pub mod nginx;
pub mod relay;

/// A running server.
#[derive(Debug)]
pub struct Server {
    /// Its `service_name`.
    pub service: String,
    /// Where it listens.
    pub target: Target,
    /// The process.
    pub process: Process,
    // Dropped after the process.
    folder: Option<TempDir>,
}

impl Server {
    /// Python's `http.server`: one thread per connection, HTTP/1.1.
    ///
    /// # Errors
    /// There is no Python.
    pub fn python(name: &str) -> Result<Self, Skip> {
        let mut command = Command::new(tools::find("python3")?);
        command.arg(tools::source("app.py"));
        Self::announced(name, command)
    }

    /// The same on `::1`.
    ///
    /// # Errors
    /// There is no Python, or no IPv6 loopback.
    pub fn python_v6(name: &str) -> Result<Self, Skip> {
        std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0))
            .map_err(|error| Skip(format!("no IPv6 loopback: {error}")))?;
        let mut command = Command::new(tools::find("python3")?);
        command.arg(tools::source("app.py")).env("V6", "1");
        let mut server = Self::announced(name, command)?;
        if let Target::Tcp(address) = &mut server.target {
            address.set_ip(Ipv6Addr::LOCALHOST.into());
        }
        Ok(server)
    }

    /// The same with a log of its own times, a JSON line per exchange (`path`, and the handler's
    /// `begun` and `ended` in ns of `CLOCK_MONOTONIC`), in [`folder`](Self::folder)`/log`, and with
    /// `/gate`, which prints `GATED` and answers when the file `gate` is there.
    ///
    /// # Errors
    /// There is no Python.
    pub fn python_logging(name: &str) -> Result<Self, Skip> {
        let folder = temporary();
        let mut command = Command::new(tools::find("python3")?);
        command
            .arg(tools::source("app.py"))
            .env("LOG", folder.path().join("log"))
            .env("GATE", folder.path().join("gate"));
        let mut server = Self::announced(name, command)?;
        server.folder = Some(folder);
        Ok(server)
    }

    /// The same on a unix socket.
    ///
    /// # Errors
    /// There is no Python.
    pub fn python_unix(name: &str) -> Result<Self, Skip> {
        let folder = temporary();
        let socket = folder.path().join("socket");
        let mut command = Command::new(tools::find("python3")?);
        command.arg(tools::source("app.py")).arg(&socket);
        let mut server = Self::announced(name, command)?;
        server.target = Target::Unix(socket);
        server.folder = Some(folder);
        Ok(server)
    }

    /// Raw sockets that do what HTTP/1 framing allows, and some of what it does not.
    ///
    /// # Errors
    /// There is no Python.
    pub fn framing(name: &str) -> Result<Self, Skip> {
        let mut command = Command::new(tools::find("python3")?);
        command.arg(tools::source("framing.py"));
        Self::announced(name, command)
    }

    /// A conversation that is not HTTP, already over when this returns.
    ///
    /// # Errors
    /// There is no Python.
    pub fn other(name: &str, protocol: &str) -> Result<Self, Skip> {
        let mut command = Command::new(tools::find("python3")?);
        command.arg(tools::source("other.py")).arg(protocol);
        let mut server = Self::announced(name, command)?;
        server.process.line("DONE ").map_err(Skip)?;
        Ok(server)
    }

    /// Node's `http`.
    ///
    /// # Errors
    /// There is no Node.
    pub fn node(name: &str) -> Result<Self, Skip> {
        let mut command = Command::new(tools::find("node")?);
        command.arg(tools::source("app.js"));
        Self::announced(name, command)
    }

    /// Go's `net/http`.
    ///
    /// # Errors
    /// There is no Go.
    pub fn go(name: &str) -> Result<Self, Skip> {
        static BUILD: OnceLock<Result<std::path::PathBuf, String>> = OnceLock::new();
        let go = tools::find("go")?;
        let program = BUILD
            .get_or_init(|| build_go(&go, "app", "app", &[], false))
            .clone()
            .map_err(Skip)?;
        Self::announced(name, Command::new(program))
    }

    /// Java's `com.sun.net.httpserver`.
    ///
    /// # Errors
    /// There is no Java.
    pub fn java(name: &str) -> Result<Self, Skip> {
        let mut command = Command::new(tools::find("java")?);
        // Without it a response's last, short segment waits for an acknowledgement.
        command
            .arg("-Dsun.net.httpserver.nodelay=true")
            .arg(tools::source("App.java"));
        Self::announced(name, command)
    }

    /// One of the modes of the helper `hark-test-sockets`.
    #[must_use]
    #[track_caller]
    pub fn sockets(service: &str, mode: &str) -> Self {
        let mut command = Command::new(tools::helper("hark-test-sockets"));
        command.arg(mode).env("OTEL_SERVICE_NAME", service);
        Self::named(service, command).expect("our own helper starts")
    }

    /// Answers one request with 204.
    #[must_use]
    #[track_caller]
    pub fn one_shot(service: &str) -> Self {
        Self::sockets(service, "answer")
    }

    /// Starts a program that prints `PORT <number>`, under a unique service name.
    ///
    /// # Errors
    /// It does not start: its stderr.
    pub fn announced(name: &str, mut command: Command) -> Result<Self, Skip> {
        let service = names::unique(name);
        command.env("OTEL_SERVICE_NAME", &service);
        Self::named(&service, command)
    }

    /// As [`announced`](Self::announced), but the name is whatever the agent makes of it.
    ///
    /// # Errors
    /// It does not start: its stderr.
    pub fn named(service: &str, command: Command) -> Result<Self, Skip> {
        let mut process = Process::start(command);
        let port = process.line("PORT ").map_err(Skip)?;
        let port = port
            .parse()
            .map_err(|_| Skip(format!("{port} is no port")))?;
        let target = Target::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        Ok(Self {
            service: service.into(),
            target,
            process,
            folder: None,
        })
    }

    /// Its internet address.
    ///
    /// # Panics
    /// If it listens on a unix socket.
    #[must_use]
    pub fn tcp(&self) -> SocketAddr {
        match self.target {
            Target::Tcp(address) => address,
            Target::Unix(_) => panic!("{} listens on a unix socket", self.service),
        }
    }

    /// Its own folder.
    ///
    /// # Panics
    /// If it has none.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder
            .as_ref()
            .expect("this kind of server has a folder")
            .path()
    }
}

fn temporary() -> TempDir {
    tempfile::Builder::new()
        .prefix("hark-test-")
        .tempdir()
        .expect("a temporary folder")
}

/// Builds a program of one file into the target folder; go's own cache makes the next time quick.
fn build_go(
    go: &Path,
    source: &str,
    name: &str,
    words: &[&str],
    cgo: bool,
) -> Result<std::path::PathBuf, String> {
    let program = tools::target().join("servers").join(format!("{name}-go"));
    // Built beside and renamed: another test binary may be running the program now.
    let fresh = program.with_file_name(names::unique(&format!("{name}-go")));
    let mut command = Command::new(go);
    command
        .arg("build")
        .args(words)
        .arg("-o")
        .arg(&fresh)
        .arg(tools::source(&format!("{source}.go")))
        .env("GOFLAGS", "-mod=mod")
        .env("GO111MODULE", "off")
        .env("CGO_ENABLED", if cgo { "1" } else { "0" });
    let (status, _, stderr) = Process::finish(command, Duration::from_secs(300));
    if !status.success() {
        return Err(format!("go build: {stderr}"));
    }
    std::fs::rename(&fresh, &program).map_err(|error| format!("{}: {error}", program.display()))?;
    Ok(program)
}
