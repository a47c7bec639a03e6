//! Configuration: plain data, read from YAML and the environment, checked before anything starts.

use std::net::SocketAddr;
use std::time::Duration;

/// Everything that can be set.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where `/metrics`, `/healthz` and `/readyz` are served. Default `127.0.0.1:9465`.
    pub listen: SocketAddr,
    /// Ring buffer between kernel and agent, bytes; rounded up to a power of two. Default 8 MiB.
    pub ring_buffer_bytes: u32,
    /// Routes.
    pub routes: Routes,
    /// Metrics.
    pub metrics: Metrics,
    /// Limits of what is kept.
    pub limits: Limits,
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

/// Limits of what is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Connections with an exchange under way. Default 65,536.
    pub max_connections: usize,
    /// Processes whose identity is kept. Default 8,192.
    pub max_processes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9465)),
            ring_buffer_bytes: 8 << 20,
            routes: Routes {
                templates: Vec::new(),
                unmatched: Unmatched::Fold,
                max_per_service: 100,
            },
            metrics: Metrics {
                expire_after: Duration::from_secs(300),
                max_series: 20_000,
            },
            limits: Limits {
                max_connections: 65_536,
                max_processes: 8_192,
            },
        }
    }
}
