//! Services that ask another one for each request, whose paths tell what was sent for what.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use super::{Server, build_go};
use crate::process::Process;
use crate::skip::Skip;
use crate::{names, tools};

/// How a relay works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relay {
    /// Python, a thread per connection.
    Threads,
    /// Python, a pool of threads over shared connections.
    Pool,
    /// Python, a thread per connection that has a pool ask in parallel.
    Fan,
    /// Python's event loop.
    Asyncio,
    /// Node.
    Node,
    /// Go's net/http.
    Go,
}

impl Relay {
    /// Starts one that asks `to`; `headers` says whether it passes trace headers on.
    ///
    /// # Errors
    /// Its language is not there.
    pub fn start(self, name: &str, to: SocketAddr, headers: bool) -> Result<Server, Skip> {
        let mode = match self {
            Self::Threads => Some("thread"),
            Self::Pool => Some("pool"),
            Self::Fan => Some("fan"),
            Self::Asyncio => Some("asyncio"),
            Self::Node | Self::Go => None,
        };
        let mut command = match self {
            Self::Go => {
                static BUILD: OnceLock<Result<std::path::PathBuf, String>> = OnceLock::new();
                let go = tools::find("go")?;
                let program = BUILD.get_or_init(|| build_go(&go, "relay", "relay", &[], false));
                Command::new(program.clone().map_err(Skip)?)
            }
            Self::Node => {
                let mut command = Command::new(tools::find("node")?);
                command.arg(tools::source("relay.js"));
                command
            }
            Self::Threads | Self::Pool | Self::Fan | Self::Asyncio => python()?,
        };
        command.args(mode).arg(to.to_string());
        if headers {
            command.arg("headers");
        }
        Server::announced(name, command)
    }
}

/// Starts a service that only answers.
///
/// # Errors
/// There is no Python.
pub fn leaf(name: &str) -> Result<Server, Skip> {
    let mut command = python()?;
    command.arg("leaf");
    Server::announced(name, command)
}

/// Sends `count` requests `PREFIX/a/ID` from several threads, and returns the name of the service
/// that did.
///
/// # Errors
/// There is no Python.
///
/// # Panics
/// If one is not answered with 200.
pub fn drive(to: SocketAddr, count: usize, prefix: &str, headers: bool) -> Result<String, Skip> {
    let service = names::unique("drive");
    let mut command = python()?;
    command
        .args(["drive", &to.to_string(), &count.to_string(), "8"])
        .args([prefix, &service])
        .env("OTEL_SERVICE_NAME", &service);
    if headers {
        command.arg("headers");
    }
    let (status, _, stderr) = Process::finish(command, Duration::from_secs(120));
    assert!(status.success(), "{status}: {stderr}");
    Ok(service)
}

fn python() -> Result<Command, Skip> {
    let mut command = Command::new(tools::find("python3")?);
    command.arg(tools::source("relay.py"));
    Ok(command)
}
