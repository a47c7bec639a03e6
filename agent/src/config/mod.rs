//! Configuration: plain data, read from YAML and the environment, checked before anything starts.
//!
//! [`key::KEYS`] is the one place that knows every key: the reader, the environment, `hark config
//! print` and `docs/configuration.md` are all made from it. The bias is strictness: an agent that
//! starts with a key it did not understand is worse than one that does not start.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub mod docs;
mod environment;
mod error;
pub mod key;
mod load;
mod print;
mod quantity;
#[cfg(test)]
mod tests;
mod traces;
mod value;
mod yaml;

pub use environment::{RESERVED, Reserved};
pub use error::{ConfigError, ConfigErrors, Place, Problem};
pub use load::{Loaded, Origin, check, load};
pub use print::print;

use crate::context::Format;
use crate::sampling::{ParentDecision, Sampling};

/// Everything that can be set.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where `/metrics`, `/healthz` and `/readyz` are served. Default `127.0.0.1:9465`.
    pub listen: SocketAddr,
    /// Where the host's procfs is mounted. Default `/proc`.
    pub proc_root: PathBuf,
    /// Ring buffer between kernel and agent, bytes; rounded up to a power of two. Default 8 MiB.
    pub ring_buffer_bytes: u32,
    /// The agent's own log.
    pub log: Log,
    /// What is listened to.
    pub capture: Capture,
    /// Routes.
    pub routes: Routes,
    /// Metrics.
    pub metrics: Metrics,
    /// Traces.
    pub traces: Traces,
    /// Which spans are kept.
    pub sampling: Sampling,
    /// Resources: CPU, memory, disk, network.
    pub resources: Resources,
    /// Limits of what is kept.
    pub limits: Limits,
}

/// The agent's own log, on standard error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The least severe events that are written. Default `info`.
    pub level: LogLevel,
    /// How an event is written. Default `text`.
    pub format: LogFormat,
}

/// The severity of a log event, from the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Something the user asked for does not work.
    Error,
    /// Something is lost or degraded.
    Warn,
    /// What the agent does, once per thing.
    Info,
    /// What a developer of the agent wants to know.
    Debug,
    /// All there is.
    Trace,
}

/// How a log event is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One line for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// What is listened to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// `AF_UNIX` streams, beside TCP. Default yes.
    pub unix: bool,
    /// What TLS libraries hand over in clear. Default yes.
    pub tls: bool,
}

/// How `http_route` is made from a path.
#[derive(Clone, Debug, PartialEq)]
pub struct Routes {
    /// Templates such as `/orders/{id}`; the first that matches wins. Default none.
    pub templates: Vec<String>,
    /// What happens to a path that no template matches.
    pub unmatched: Unmatched,
    /// Different routes per service; what is beyond is `other`. Default 100.
    pub max_per_service: usize,
}

/// What becomes of a path that no template matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmatched {
    /// Segments that look like identifiers become `{id}`.
    Fold,
    /// No route.
    Unset,
}

/// Metrics.
#[derive(Clone, Debug, PartialEq)]
pub struct Metrics {
    /// How long the series of a process that is gone stay. Default 5 min.
    pub expire_after: Duration,
    /// Different series; what is beyond goes to an overflow series and is counted. Default 20,000.
    pub max_series: usize,
}

/// How exchanges become traces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traces {
    /// Formats of trace context in request headers, in the order in which they are tried. Default
    /// all.
    pub context: Vec<Format>,
    /// Whether spans are linked to what caused them on this host. Default yes.
    pub links: bool,
    /// Whether spans of a process that exports its own are left out. Default yes.
    pub leave_out_instrumented: bool,
}

/// Which resources are looked at. What is off has no hook in the kernel and no series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resources {
    /// CPU. Default yes.
    pub cpu: bool,
    /// Memory. Default yes.
    pub memory: bool,
    /// Disk. Default yes.
    pub disk: bool,
    /// Network. Default yes.
    pub network: bool,
    /// Services with series of their own; what is beyond is `other`. Default 200.
    pub max_services: usize,
}

/// Limits of what is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Connections with an exchange under way. Default 65,536.
    pub max_connections: usize,
    /// Processes whose identity is kept. Default 8,192.
    pub max_processes: usize,
    /// Exchanges held until their part of a trace is whole. Default 65,536.
    pub max_fragment_exchanges: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9465)),
            proc_root: PathBuf::from("/proc"),
            ring_buffer_bytes: 8 << 20,
            log: Log {
                level: LogLevel::Info,
                format: LogFormat::Text,
            },
            capture: Capture {
                unix: true,
                tls: true,
            },
            routes: Routes {
                templates: Vec::new(),
                unmatched: Unmatched::Fold,
                max_per_service: 100,
            },
            metrics: Metrics {
                expire_after: Duration::from_secs(300),
                max_series: 20_000,
            },
            traces: Traces {
                context: Format::ALL.to_vec(),
                links: true,
                leave_out_instrumented: true,
            },
            sampling: Sampling {
                probability: 1.0,
                spans_per_second: 0,
                slow_after: Vec::new(),
                slow_quantile: 0.99,
                parent: ParentDecision::Ignore,
            },
            resources: Resources {
                cpu: true,
                memory: true,
                disk: true,
                network: true,
                max_services: 200,
            },
            limits: Limits {
                max_connections: 65_536,
                max_processes: 8_192,
                max_fragment_exchanges: 65_536,
            },
        }
    }
}
