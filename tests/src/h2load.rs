//! nghttpd and h2load: HTTP/2 in clear text from its reference implementation.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::process::Process;
use crate::skip::Skip;
use crate::{names, tools, wait};

/// A running nghttpd.
#[derive(Debug)]
pub struct Server {
    /// Its `service_name`.
    pub service: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// The process.
    pub process: Process,
    // Dropped after the process.
    _folder: TempDir,
}

impl Server {
    /// Starts it, with a file `small` of 100 bytes and a file `large` of a million.
    ///
    /// # Errors
    /// There is no nghttpd.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(name: &str) -> Result<Self, Skip> {
        Self::with(name, &[])
    }

    /// The same, with these options.
    ///
    /// # Errors
    /// There is no nghttpd.
    ///
    /// # Panics
    /// If it does not start.
    pub fn with(name: &str, options: &[&str]) -> Result<Self, Skip> {
        let program = tools::find("nghttpd")?;
        let service = names::unique(name);
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, size) in [("small", 100), ("large", 1_000_000)] {
            std::fs::write(folder.path().join(name), vec![b'x'; size]).expect("a file");
        }
        let address = names::free_address();
        let mut command = Command::new(program);
        command
            .args(options)
            .args(["--no-tls", "--address", "127.0.0.1", "--htdocs"])
            .arg(folder.path())
            .arg(address.port().to_string())
            .env("OTEL_SERVICE_NAME", &service);
        let process = Process::start(command);
        let limit = Duration::from_secs(10);
        wait::until(limit, "nghttpd to listen", || {
            TcpStream::connect((Ipv4Addr::LOCALHOST, address.port())).ok()
        });
        Ok(Self {
            service,
            address,
            process,
            _folder: folder,
        })
    }
}

/// What h2load says it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Its own `service_name`.
    pub service: String,
    /// Responses by the first digit of their status, from 2 to 5.
    pub statuses: [u64; 4],
    /// Requests without a response.
    pub failed: u64,
}

/// Asks for `path` that often, on that many connections with that many streams each.
///
/// # Errors
/// There is no h2load.
///
/// # Panics
/// If it has not done with it after two minutes.
pub fn run(
    server: &Server,
    path: &str,
    requests: u64,
    connections: u32,
    streams: u32,
    more: &[&str],
) -> Result<Report, Skip> {
    let service = names::unique("h2load");
    let mut command = Command::new(tools::find("h2load")?);
    command
        .args(["-n", &requests.to_string()])
        .args(["-c", &connections.to_string()])
        .args(["-m", &streams.to_string()])
        .args(more)
        .arg(format!("http://{}{path}", server.address))
        .env("OTEL_SERVICE_NAME", &service);
    let output = Process::run(command, Duration::from_secs(120));
    let numbers = |prefix: &str| -> Vec<u64> {
        let line = output.lines().find_map(|line| line.strip_prefix(prefix));
        let line = line.unwrap_or_else(|| panic!("no line {prefix}: {output}"));
        line.split(|byte: char| !byte.is_ascii_digit())
            .filter_map(|number| number.parse().ok())
            .collect()
    };
    // `requests: 10 total, 10 started, 10 done, 10 succeeded, 0 failed, 0 errored, 0 timeout`
    let [.., failed, errored, timeout] = numbers("requests: ")[..] else {
        panic!("{output}")
    };
    // `status codes: 10 2xx, 0 3xx, 0 4xx, 0 5xx`
    let [two, _, three, _, four, _, five, _] = numbers("status codes: ")[..] else {
        panic!("{output}")
    };
    Ok(Report {
        service,
        statuses: [two, three, four, five],
        failed: failed.min(errored + timeout),
    })
}
