//! Rate, errors, duration: the request metrics per service.
//!
//! One thread writes ([`Red::observe`], [`Red::begun`], [`Red::ended`]), scrapes read. Both hold
//! the lock of the store for a short time: an observation of a series that is known is one
//! look-up and a few additions, no allocation; a scrape copies the counts under the lock, a part
//! at a time, and writes the page from the copy.
//!
//! The names and labels are those of the OpenTelemetry conventions in Prometheus spelling.
//! `http_*_request_duration_seconds` is stable there; body sizes, active requests and
//! `rpc_*_call_duration_seconds` are in development; the time to the first byte of the response and
//! active streams have no convention and carry `hark_`. A call (gRPC) is counted as a call only; while
//! it is under way it is an active request too, for that is what it is on the wire.
//!
//! A *series* here is one label set of one metric: a histogram is one, whatever its number of
//! buckets. Each label set of HTTP exchanges takes four (duration, time to first byte, request and
//! response body size), each of calls three (duration, messages sent and received). Past `max_series` what is new goes to one series per metric that carries
//! only `otel_metric_overflow="true"` (OpenTelemetry metrics SDK, cardinality limits), and is
//! counted.
//!
//! The duration histograms have exemplars, in OpenMetrics: the newest span of each bucket that the
//! collector has accepted, so that each leads to a trace that exists. There is none where spans are
//! not exported.

mod counts;
mod exemplar;
mod expose;
pub(crate) mod histogram;
mod labels;
mod metrics;
pub(crate) mod services;
mod store;
mod target;
#[cfg(test)]
pub(crate) mod testing;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::config::Metrics;
use crate::exchange::{Exchange, Method, Role};
use crate::identity::Service;
use crate::otlp::Span;
use crate::telemetry::Telemetry;

use metrics::StoreMetrics;
use store::{Snapshot, Store};

/// Exemplars set under one hold of the lock.
const EXEMPLARS_AT_ONCE: usize = 64;

/// The request metrics. Clones share them.
#[derive(Clone, Debug)]
pub struct Red {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    store: Mutex<Store>,
    /// Held while a scrape copies, so that no place in the store is freed and taken by another
    /// series between two parts of the copy.
    copying: Mutex<()>,
    metrics: StoreMetrics,
}

impl Red {
    /// An empty store.
    #[must_use]
    pub fn new(config: &Metrics) -> Self {
        Self::at(config, Instant::now())
    }

    fn at(config: &Metrics, now: Instant) -> Self {
        let metrics = StoreMetrics::default();
        Self {
            shared: Arc::new(Shared {
                store: Mutex::new(Store::new(config, now, metrics.clone())),
                copying: Mutex::new(()),
                metrics,
            }),
        }
    }

    /// A request has begun: one more is active. `scheme` is [`crate::exchange::Request::scheme`].
    pub fn begun(&self, service: &Arc<Service>, role: Role, method: &Method, scheme: Option<&str>) {
        self.store().begun(service, role, method, scheme);
    }

    /// A request has ended or was lost: one fewer is active. To be called once for each
    /// [`Red::begun`], with the same arguments.
    pub fn ended(&self, service: &Arc<Service>, role: Role, method: &Method, scheme: Option<&str>) {
        self.store().ended(service, role, method, scheme);
    }

    /// An HTTP/2 stream has begun on the connection of this socket; to be called beside [`Red::begun`].
    /// `at_limit` says whether it took the last one that the server allows on it at a time.
    pub fn stream_begun(&self, service: &Arc<Service>, role: Role, socket: u64, at_limit: bool) {
        self.store().stream_begun(service, role, socket, at_limit);
    }

    /// An HTTP/2 stream has ended or was lost. To be called once for each [`Red::stream_begun`].
    /// `refused` says whether the server did not take it up.
    pub fn stream_ended(&self, service: &Arc<Service>, role: Role, socket: u64, refused: bool) {
        self.store().stream_ended(service, role, socket, refused);
    }

    /// Counts an exchange. `route` is used for servers only.
    pub fn observe(&self, exchange: &Exchange, service: &Arc<Service>, route: Option<&str>) {
        self.store().observe(exchange, service, route);
    }

    /// Makes these spans the exemplars of the buckets that their durations are in.
    pub fn exemplars(&self, spans: &[Span]) {
        for some in spans.chunks(EXEMPLARS_AT_ONCE) {
            let mut store = self.store();
            for span in some {
                store.exemplar(span);
            }
        }
    }

    /// A process of the service is gone. A service all of whose [`Service`]s were dropped
    /// elsewhere counts as gone without this.
    pub fn service_gone(&self, service: &Arc<Service>) {
        self.store().service_gone(service);
    }

    /// Lets series go that were not touched for `expire_after` and whose service has no live
    /// process: not before a scrape has seen their last increments, or `expire_after` has passed
    /// twice. To be called about once a second; series are stamped with the time of the last call.
    /// Does nothing but that while a scrape is copying.
    pub fn expire(&self, now: Instant) {
        let copying = self.shared.copying.try_lock();
        let mut store = self.store();
        store.tick(now);
        if copying.is_ok() {
            store.expire();
        }
    }

    /// Makes the metrics part of the page, and registers `hark_series` and its like.
    pub fn register(&self, telemetry: &mut Telemetry) {
        self.shared.metrics.register(telemetry.registry_mut());
        telemetry.add(self.clone());
    }

    /// `exemplars` says whether they are wanted.
    fn snapshot(&self, exemplars: bool) -> Snapshot {
        let _copying = self
            .shared
            .copying
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut snapshot = Snapshot::new(exemplars);
        while self.store().copy_part(&mut snapshot) {}
        snapshot
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.shared
            .store
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
