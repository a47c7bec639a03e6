//! Who calls whom, as far as this host can see.
//!
//! ```text
//! heard (a request begins) ─> ends: who is at which end of which connection
//! ended (an exchange) ─> placed: both ends local, or the other one by name ─> edges ─> /metrics
//! ```
//!
//! The names are those of the service graphs of Tempo and of the Collector's connector. There an
//! edge is made of two spans; here it is made of what the sockets are: both ends of a connection
//! between two processes of this host are known by their addresses, no header is needed. An end
//! elsewhere goes by name: the host that the client asked for, the address that the server sees.
//!
//! Each request is counted once: at its server if that is here, else at its client. Each duration is
//! that of its own end. The other end may be heard a moment later, for a server can be quicker than
//! the record of its client's request; an exchange whose other end is not known yet waits a second.
//!
//! Connections over `AF_UNIX` have no addresses, but each socket knows its other end. Where that is not heard
//! they are left out and counted.

mod edges;
mod ends;
mod expose;
mod metrics;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use hark_common::socket::ProcessKey;

use crate::config;
use crate::exchange::{Endpoint, Exchange, Role};
use crate::identity::Service;
use crate::red::services::ServiceId;
use crate::telemetry::Telemetry;
use edges::{Edges, End, Name};
use ends::{Ends, Pair};
#[cfg(test)]
pub(crate) use expose::families;
use metrics::GraphMetrics;

/// How long an exchange waits for its other end to be heard, ns.
const PATIENCE_NS: u64 = 1_000_000_000;

/// Exchanges that may wait so; the one that has waited longest is placed early.
const MAX_WAITING: usize = 32_768;

/// One end of a connection does something.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    /// Which end of the connection this is.
    pub role: Role,
    /// This end.
    pub local: Endpoint,
    /// The other end.
    pub peer: Endpoint,
    /// The network namespace of the socket.
    pub netns: u32,
    /// The socket's cookie.
    pub socket: u64,
    /// That of the socket at the other end, where the kernel knows it (`AF_UNIX`), else 0.
    pub peer_socket: u64,
    /// The process.
    pub process: ProcessKey,
    /// When, ns (`CLOCK_MONOTONIC`).
    pub time_ns: u64,
}

/// What the pipeline's thread holds.
#[derive(Debug)]
pub struct ServiceGraph {
    ends: Ends,
    waiting: VecDeque<Waiting>,
    shared: Arc<Shared>,
    metrics: GraphMetrics,
}

/// What a scrape reads.
#[derive(Debug)]
struct Shared {
    edges: Mutex<Edges>,
}

impl Shared {
    fn edges(&self) -> MutexGuard<'_, Edges> {
        self.edges.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What of an exchange makes an edge.
#[derive(Clone, Debug)]
struct Half {
    role: Role,
    service: ServiceId,
    duration_ns: u64,
    failed: bool,
}

/// An exchange whose other end is not known yet.
#[derive(Debug)]
struct Waiting {
    half: Half,
    pair: Pair,
    socket: u64,
    start_ns: u64,
    end_ns: u64,
    /// What the other end is called if it is not on this host.
    name: Name,
}

impl ServiceGraph {
    /// An empty graph; `None` if none is wanted.
    #[must_use]
    pub fn new(config: &config::ServiceGraph, metrics: &config::Metrics) -> Option<Self> {
        config.enabled.then(|| {
            let own = GraphMetrics::default();
            Self {
                ends: Ends::default(),
                waiting: VecDeque::new(),
                shared: Arc::new(Shared {
                    edges: Mutex::new(Edges::new(config, metrics.expire_after, own.clone())),
                }),
                metrics: own,
            }
        })
    }

    /// Makes the metrics part of the page, and registers `hark_service_graph_…`.
    pub fn register(&self, telemetry: &mut Telemetry) {
        self.metrics.register(telemetry.registry_mut());
        telemetry.add(expose::Graph(Arc::clone(&self.shared)));
    }

    /// Remembers who is at one end of a connection; to be called for each request that is heard,
    /// from either end. `service` is asked for only if the process is new there.
    pub fn heard(&mut self, heard: &Heard, service: impl FnOnce() -> Arc<Service>) {
        let shared = &self.shared;
        self.ends.heard(heard, || {
            // Before the lock: it may have to look into /proc.
            let service = service();
            shared.edges().service(&service)
        });
    }

    /// Counts an exchange, or keeps it until its other end is known.
    pub fn ended(&mut self, exchange: &Exchange, service: &Arc<Service>) {
        let pair = Pair::of(
            exchange.role,
            &exchange.local,
            &exchange.peer,
            exchange.socket,
            exchange.trail.peer_socket,
        );
        let Some(pair) = pair else {
            self.metrics.unplaced.inc();
            return;
        };
        let half = Half {
            role: exchange.role,
            service: self.shared.edges().service(service),
            duration_ns: exchange.duration_ns(),
            failed: exchange.error_type().is_some(),
        };
        let (socket, start_ns) = (exchange.socket, exchange.start_ns);
        if let Some(other) = self.ends.other(&pair, half.role, socket, start_ns) {
            self.shared.edges().count(&half, End::Service(other));
            return;
        }
        if self.waiting.len() >= MAX_WAITING
            && let Some(first) = self.waiting.pop_front()
        {
            self.metrics.hurried.inc();
            self.place(first);
        }
        self.waiting.push_back(Waiting {
            half,
            socket,
            start_ns,
            end_ns: exchange.end_ns,
            name: Name::of(exchange),
            pair,
        });
    }

    /// Counts the exchanges that have waited for long enough. `now_ns` is `CLOCK_MONOTONIC`.
    pub fn settle(&mut self, now_ns: u64) {
        while let Some(first) = self.waiting.front() {
            if first.end_ns.saturating_add(PATIENCE_NS) > now_ns {
                break;
            }
            if let Some(first) = self.waiting.pop_front() {
                self.place(first);
            }
        }
    }

    /// Lets edges go that were not used for `metrics.expire_after` and that no living service is at;
    /// to be called about once a second.
    pub fn expire(&mut self, now: Instant) {
        let mut edges = self.shared.edges();
        if edges.expire(now) {
            self.ends.retain(|service| edges.knows(service));
        }
    }

    fn place(&mut self, waiting: Waiting) {
        let Waiting {
            half,
            pair,
            socket,
            start_ns,
            end_ns: _,
            name,
        } = waiting;
        let other = match self.ends.other(&pair, half.role, socket, start_ns) {
            Some(service) => End::Service(service),
            None if pair.may_leave() => End::Remote(name),
            None => {
                self.metrics.unplaced.inc();
                return;
            }
        };
        self.shared.edges().count(&half, other);
    }
}
