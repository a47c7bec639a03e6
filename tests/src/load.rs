//! Load with exact counts: a plan, carried out by the helper `hark-test-load` in a process of its
//! own under its own service name, and what came of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::metrics::Counts;
use crate::process::Process;
use crate::{names, tools};

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// TCP over IPv4 or IPv6.
    Tcp(SocketAddr),
    /// An `AF_UNIX` stream.
    Unix(PathBuf),
}

/// The body of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Body {
    /// None, and no `Content-Length`.
    #[default]
    None,
    /// So many bytes, by `Content-Length`.
    Length(usize),
    /// Chunks of these sizes.
    Chunked(Vec<usize>),
    /// The same with chunk extensions on some of them, and a trailer: not every server reads it.
    ChunkedOddly(Vec<usize>),
}

impl Body {
    /// Its bytes before chunk framing.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Length(size) => *size,
            Self::Chunked(sizes) | Self::ChunkedOddly(sizes) => sizes.iter().sum(),
        }
    }
}

/// One request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The method token.
    pub method: String,
    /// The target, in whatever form.
    pub target: String,
    /// `HTTP/1.0` instead of `HTTP/1.1`.
    pub http10: bool,
    /// Header lines on top of `Host` and the body's own, without line ends.
    pub headers: Vec<String>,
    /// The body.
    pub body: Body,
}

impl Request {
    /// A request without a body.
    #[must_use]
    pub fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.into(),
            target: target.into(),
            ..Self::default()
        }
    }

    /// `GET`.
    #[must_use]
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// `POST` with a body.
    #[must_use]
    pub fn post(target: &str, body: Body) -> Self {
        Self {
            body,
            ..Self::new("POST", target)
        }
    }

    /// The same with one more header line.
    #[must_use]
    pub fn header(mut self, line: &str) -> Self {
        self.headers.push(line.into());
        self
    }

    /// The same as HTTP/1.0.
    #[must_use]
    pub fn http10(mut self) -> Self {
        self.http10 = true;
        self
    }
}

/// How requests follow each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// One after the other on one connection.
    #[default]
    KeepAlive,
    /// Each on a connection of its own.
    PerRequest,
    /// So many at once on one connection, before the first response is read.
    Pipelined(usize),
}

/// How the bytes of a request, or of a batch of pipelined ones, are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Write {
    /// All in one `write`.
    #[default]
    Whole,
    /// Pieces of so many bytes, each a `write` and a segment of its own.
    Pieces(usize),
    /// `writev` with so many bytes in each of its vectors.
    Vectored(usize),
    /// `sendmsg` with so many bytes in each of its vectors.
    Message(usize),
    /// `sendmmsg`: so many bytes in each message.
    Messages(usize),
    /// The head, then the rest once the server has answered `100 Continue`.
    AfterContinue,
    /// All, and then the write side of the connection is shut.
    HalfClose,
}

/// How a connection ends once its requests are done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// All responses are read to their end, then it is closed.
    #[default]
    Read,
    /// So long after the last write, in ms, it is reset (`SO_LINGER` 0), whatever has arrived.
    ResetAfter(u64),
    /// After a `101` it writes and reads back these many bytes that are not HTTP.
    Upgraded(usize),
}

/// What the helper does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Whom to ask.
    pub target: Target,
    /// The `Host` header.
    pub host: String,
    /// Connections at a time, a thread each.
    pub connections: usize,
    /// How often each connection goes through `requests`.
    pub rounds: usize,
    /// What to ask.
    pub requests: Vec<Request>,
    /// How requests follow each other.
    pub order: Order,
    /// How they are written.
    pub write: Write,
    /// How a connection ends.
    pub end: End,
    /// Keep each exchange, not only the counts.
    pub keep: bool,
    /// Connect, say `CONNECTED`, and wait for a signal file before the first request.
    pub wait_for: Option<PathBuf>,
    /// Pause between requests, in ms.
    pub pause_ms: u64,
}

impl Plan {
    /// One connection, one request after the other, each once.
    #[must_use]
    pub fn new(target: &Target, requests: Vec<Request>) -> Self {
        Self {
            target: target.clone(),
            host: "test.example".into(),
            connections: 1,
            rounds: 1,
            requests,
            order: Order::default(),
            write: Write::default(),
            end: End::default(),
            keep: false,
            wait_for: None,
            pause_ms: 0,
        }
    }

    /// So many connections at a time.
    #[must_use]
    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    /// Each connection goes so often through the requests.
    #[must_use]
    pub fn rounds(mut self, rounds: usize) -> Self {
        self.rounds = rounds;
        self
    }

    /// How requests follow each other.
    #[must_use]
    pub fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// How they are written.
    #[must_use]
    pub fn write(mut self, write: Write) -> Self {
        self.write = write;
        self
    }

    /// How a connection ends.
    #[must_use]
    pub fn end(mut self, end: End) -> Self {
        self.end = end;
        self
    }

    /// Keep each exchange.
    #[must_use]
    pub fn keep(mut self) -> Self {
        self.keep = true;
        self
    }

    /// Pause between requests, in ms.
    #[must_use]
    pub fn pause_ms(mut self, pause: u64) -> Self {
        self.pause_ms = pause;
        self
    }

    /// The `Host` header.
    #[must_use]
    pub fn host(mut self, host: &str) -> Self {
        self.host = host.into();
        self
    }

    /// Connect first, and wait for this file before the first request.
    #[must_use]
    pub fn wait_for(mut self, file: &std::path::Path) -> Self {
        self.wait_for = Some(file.to_owned());
        self
    }

    /// Carries it out to the end.
    ///
    /// # Panics
    /// If the helper fails; broken connections are not a failure but a result.
    #[must_use]
    #[track_caller]
    pub fn run(&self) -> Sent {
        self.start().finish()
    }

    /// Carries it out while the test does something else.
    #[must_use]
    #[track_caller]
    pub fn start(&self) -> Running {
        let service = names::unique("load");
        let plan = serde_json::to_string(self).expect("a plan is plain data");
        let mut command = Command::new(tools::helper("hark-test-load"));
        command.arg(plan).env("OTEL_SERVICE_NAME", &service);
        Running {
            service,
            process: Process::start(command),
        }
    }
}

/// A plan that is being carried out.
#[derive(Debug)]
pub struct Running {
    /// The load's own service name.
    pub service: String,
    /// The helper.
    pub process: Process,
}

impl Running {
    /// Waits for the end of the load.
    ///
    /// # Panics
    /// If the helper fails.
    #[must_use]
    #[track_caller]
    pub fn finish(mut self) -> Sent {
        let status = self.process.wait(Duration::from_secs(120));
        let stdout = match self.process.line("DONE ") {
            Ok(stdout) if status.success() => stdout,
            _ => panic!("the load failed, {status}: {}", self.process.stderr()),
        };
        let outcome: Outcome = serde_json::from_str(&stdout).expect("the helper prints an outcome");
        Sent {
            service: self.service,
            outcome,
        }
    }
}

/// What the helper prints.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// Exchanges by method and status; `""` where no status line arrived.
    pub counts: Vec<(String, String, u64)>,
    /// Exchanges without a whole response, by what ended them.
    pub failed: BTreeMap<String, u64>,
    /// Each exchange, if asked for.
    pub exchanges: Vec<Exchange>,
}

/// One exchange as the client saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// The method token that was sent.
    pub method: String,
    /// The target that was sent.
    pub target: String,
    /// The status of the final response, if its head arrived.
    pub status: Option<u16>,
    /// Request body, bytes before chunk framing.
    pub request_body: u64,
    /// Response body, bytes after chunk decoding.
    pub response_body: u64,
    /// The client's own port, 0 on a unix socket.
    pub local_port: u16,
    /// Before the first byte was written: `CLOCK_REALTIME`, ns.
    pub before_ns: u64,
    /// After the last byte was read: `CLOCK_REALTIME`, ns.
    pub after_ns: u64,
}

/// What came of a plan.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The load's own service name.
    pub service: String,
    /// The counts.
    pub outcome: Outcome,
}

impl Sent {
    /// Exchanges by method, as metrics name it, and status.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::new();
        for (method, status, count) in &self.outcome.counts {
            *counts
                .entry((metric_method(method).into(), status.clone()))
                .or_default() += count;
        }
        counts
    }

    /// All exchanges.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.outcome.counts.iter().map(|(_, _, count)| count).sum()
    }
}

/// The method as metrics name it: the convention's list, else `_OTHER`.
#[must_use]
pub fn metric_method(token: &str) -> &str {
    const KNOWN: [&str; 9] = [
        "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
    ];
    if KNOWN.contains(&token) {
        token
    } else {
        "_OTHER"
    }
}
