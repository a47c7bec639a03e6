//! The agent's own HTTP endpoints: `/metrics`, `/healthz`, `/readyz`.
//!
//! They are served on a port that anyone on the host may reach, so a client is trusted with
//! nothing: heads are bounded in size and time, a client that does not read is cut off, and the
//! numbers of connections and of scrapes under way are limited. What is beyond a limit is answered
//! 503 as long as that is cheap, then closed, and counted either way.

mod accept;
mod body;
mod connection;
mod endpoints;
mod stall;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::telemetry::{Refused, Telemetry};
use endpoints::Endpoints;

/// What can be said at any moment about whether the agent does its work.
pub trait Readiness: Send + Sync + 'static {
    /// The present state. Must not block, and must not depend on a collector being there.
    fn report(&self) -> ReadyReport;
}

/// The body of `/readyz`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ReadyReport {
    /// Whether requests are being heard: 200, else 503.
    pub ready: bool,
    /// Each kernel hook.
    pub hooks: Vec<HookStatus>,
    /// What was lost since the start, by reason.
    pub losses: Vec<Loss>,
}

/// One kernel hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HookStatus {
    /// Its name, as `hark doctor` gives it.
    pub name: String,
    /// Whether it is attached.
    pub attached: bool,
    /// Why it is not, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// One reason for losses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Loss {
    /// The reason, as the metrics name it.
    pub reason: String,
    /// How many were lost for it.
    pub count: u64,
}

/// Why the endpoints cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Somebody else listens there.
    #[error(
        "cannot listen on {address}: the address is in use, perhaps by another hark; stop that program or set `listen` (HARK_LISTEN) to another port"
    )]
    InUse {
        /// The address asked for.
        address: SocketAddr,
    },
    /// A port below 1024 without the capability for it.
    #[error(
        "cannot listen on {address}: permission denied; set `listen` (HARK_LISTEN) to a port of 1024 or higher, or give hark CAP_NET_BIND_SERVICE"
    )]
    Denied {
        /// The address asked for.
        address: SocketAddr,
    },
    /// Not an address of this host.
    #[error(
        "cannot listen on {address}: this host has no such address; set `listen` (HARK_LISTEN) to one that it has, such as 127.0.0.1:9465"
    )]
    NotLocal {
        /// The address asked for.
        address: SocketAddr,
    },
    /// Anything else.
    #[error("cannot listen on {address}: {source}; set `listen` (HARK_LISTEN) to another address")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// A listening socket that does not answer yet.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
}

/// Listens.
///
/// # Errors
///
/// See [`ServeError`].
pub async fn bind(address: SocketAddr) -> Result<Bound, ServeError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => ServeError::InUse { address },
        io::ErrorKind::PermissionDenied => ServeError::Denied { address },
        io::ErrorKind::AddrNotAvailable => ServeError::NotLocal { address },
        _ => ServeError::Listen { address, source },
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let local = listener.local_addr().map_err(failed)?;
    Ok(Bound {
        listener,
        address: local,
    })
}

/// Bounds on what clients may take.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Connections served.
    connections: usize,
    /// Further connections that are answered 503 rather than closed at once.
    refusals: usize,
    /// Pages of metrics being written.
    scrapes: usize,
    /// For a whole head to arrive; also how long a connection may idle between requests.
    head: Duration,
    /// For a client to read something when there is something to read.
    stall: Duration,
    /// For a whole page of metrics to be read.
    scrape: Duration,
    /// For a connection that is refused.
    refusal: Duration,
    /// For a connection; then the request under way is the last.
    life: Duration,
    /// For the request under way at the end of a connection's life, or of the agent's.
    grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 64,
            refusals: 32,
            scrapes: 4,
            head: Duration::from_secs(10),
            stall: Duration::from_secs(10),
            scrape: Duration::from_secs(60),
            refusal: Duration::from_secs(2),
            life: Duration::from_secs(600),
            grace: Duration::from_secs(2),
        }
    }
}

impl Bound {
    /// Where it listens: the port that was given if 0 was asked for.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` is ready; then ends what is under way and returns.
    pub async fn run(
        self,
        telemetry: Arc<Telemetry>,
        readiness: Arc<dyn Readiness>,
        shutdown: impl Future<Output = ()>,
    ) {
        self.run_within(Limits::default(), telemetry, readiness, shutdown)
            .await;
    }

    async fn run_within(
        self,
        limits: Limits,
        telemetry: Arc<Telemetry>,
        readiness: Arc<dyn Readiness>,
        shutdown: impl Future<Output = ()>,
    ) {
        let places = Arc::new(Semaphore::new(limits.connections));
        let refusals = Arc::new(Semaphore::new(limits.refusals));
        let endpoints = Arc::new(Endpoints::new(&limits, Arc::clone(&telemetry), readiness));
        // Dropped on shutdown, which every connection waits for.
        let (ending, _) = tokio::sync::watch::channel(());
        let mut connections = JoinSet::new();
        tokio::pin!(shutdown);
        loop {
            let stream = tokio::select! {
                () = &mut shutdown => break,
                Some(_) = connections.join_next() => continue,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        // Out of file descriptors, mostly: what is open must be closed first.
                        tracing::warn!(%error, "cannot accept a connection to the agent's endpoints");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                },
            };
            let ending = ending.subscribe();
            if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
                let endpoints = Arc::clone(&endpoints);
                connections.spawn(async move {
                    connection::serve(stream, limits, endpoints, ending).await;
                    drop(place);
                });
                continue;
            }
            telemetry.count_refused(Refused::Connection);
            if let Ok(place) = Arc::clone(&refusals).try_acquire_owned() {
                connections.spawn(async move {
                    connection::refuse(stream, limits).await;
                    drop(place);
                });
            }
        }
        drop(self.listener);
        drop(ending);
        let all = async { while connections.join_next().await.is_some() {} };
        // What is left after the grace is cut off with the set.
        let _ = tokio::time::timeout(limits.grace + Duration::from_secs(1), all).await;
    }
}

#[cfg(test)]
mod tests;
