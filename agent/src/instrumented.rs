//! Processes that export OpenTelemetry spans of their own.
//!
//! They are known by the requests that they send: OTLP over HTTP or gRPC. A process that also receives
//! such requests passes on what others made (a Collector), and says nothing of itself. What is sent
//! over TLS that hark does not hear is not noticed; then both have spans.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use hark_common::socket::ProcessKey;
use lru::LruCache;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::exchange::{Exchange, Method, Role};
use crate::hash::{HashMap, RandomState};
use crate::identity::Service;

/// The end of the path of an export over HTTP (OTLP specification, "OTLP/HTTP Request").
const HTTP_PATH: &str = "/v1/traces";

/// The method of an export over gRPC (`opentelemetry/proto/collector/trace/v1`).
const GRPC_PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// How long after its last export a process is still taken for one that exports, ns.
const MEMORY_NS: u64 = 600_000_000_000;

/// How often the names are gone through, ns.
const SWEEP_NS: u64 = 10_000_000_000;

/// Services that are named.
const NAMES: usize = 1000;

type Label = [(&'static str, String); 1];

/// The processes that were seen to export or to receive spans.
#[derive(Debug)]
pub(crate) struct Instrumented {
    processes: LruCache<ProcessKey, Traffic, RandomState>,
    max: usize,
    services: Family<Label, Gauge<f64, AtomicU64>>,
    /// When a process of the service exported last, ns.
    names: HashMap<Arc<str>, u64>,
    /// When the names were gone through last, ns.
    swept_ns: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Traffic {
    /// When it sent spans last, ns.
    sent_ns: Option<u64>,
    receives: bool,
}

impl Instrumented {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            processes: LruCache::unbounded_with_hasher(RandomState::default()),
            max: max.max(1),
            services: Family::default(),
            names: HashMap::default(),
            swept_ns: 0,
        }
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register(
            "hark_service_instrumented",
            "1 for each service of which a process exports OpenTelemetry spans of its own, until ten minutes after the last: its spans are left out",
            self.services.clone(),
        );
    }

    /// Looks at an exchange that has ended. Returns whether its process exports its own spans.
    pub(crate) fn observe(&mut self, exchange: &Exchange, service: &Service) -> bool {
        let process = exchange.task.process;
        if is_export(exchange) {
            let traffic = self.processes.get_or_insert_mut(process, Traffic::default);
            match exchange.role {
                Role::Server => traffic.receives = true,
                Role::Client => traffic.sent_ns = Some(exchange.end_ns),
            }
            let exports = traffic.sent_ns.is_some() && !traffic.receives;
            if exports {
                self.exported(&service.name, exchange.end_ns);
            }
            if self.processes.len() > self.max {
                self.processes.pop_lru();
            }
        }
        if self.processes.is_empty() {
            return false;
        }
        self.processes.peek(&process).is_some_and(|traffic| {
            !traffic.receives
                && traffic
                    .sent_ns
                    .is_some_and(|sent| exchange.end_ns.saturating_sub(sent) < MEMORY_NS)
        })
    }

    fn exported(&mut self, name: &Arc<str>, now_ns: u64) {
        if let Some(last_ns) = self.names.get_mut(name) {
            *last_ns = now_ns.max(*last_ns);
        } else if self.names.len() < NAMES {
            self.names.insert(Arc::clone(name), now_ns);
            self.services.get_or_create_owned(&label(name)).set(1.0);
        }
    }

    /// Takes the time, `CLOCK_MONOTONIC`, ns: services whose processes have not exported for as long as they
    /// are remembered are not named any longer.
    pub(crate) fn tick(&mut self, now_ns: u64) {
        if now_ns.saturating_sub(self.swept_ns) < SWEEP_NS {
            return;
        }
        self.swept_ns = now_ns;
        let services = &self.services;
        self.names.retain(|name, last_ns| {
            let stays = now_ns.saturating_sub(*last_ns) < MEMORY_NS;
            if !stays {
                services.remove(&label(name));
            }
            stays
        });
    }
}

fn label(name: &Arc<str>) -> Label {
    [("service_name", name.to_string())]
}

/// Whether an exchange is an export of spans that was taken.
fn is_export(exchange: &Exchange) -> bool {
    let request = &exchange.request;
    request.method == Method::Post
        && (request.path.ends_with(HTTP_PATH) || &*request.path == GRPC_PATH)
        && exchange
            .status
            .is_some_and(|status| (200..300).contains(&status))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::red::testing::{exchange, service};

    fn export(role: Role, pid: u32, path: &str, status: u16) -> Exchange {
        let mut exchange = exchange(role);
        exchange.task.process.pid = pid;
        exchange.request.method = Method::Post;
        exchange.request.path = path.into();
        exchange.status = Some(status);
        exchange
    }

    #[test]
    fn by_what_they_send() {
        let mut instrumented = Instrumented::new(8);
        let shop = service("shop", 1);
        let mut other = exchange(Role::Server);
        other.task.process.pid = 1;
        assert!(!instrumented.observe(&other, &shop));
        for (path, status) in [
            (HTTP_PATH, 500),
            ("/v1/metrics", 200),
            ("/v1/traces/x", 200),
        ] {
            assert!(
                !instrumented.observe(&export(Role::Client, 1, path, status), &shop),
                "{path}"
            );
        }
        assert!(instrumented.observe(&export(Role::Client, 1, GRPC_PATH, 200), &shop));
        assert!(instrumented.observe(&other, &shop));
        // For a while.
        other.end_ns += MEMORY_NS + 1_000_000_000;
        assert!(!instrumented.observe(&other, &shop));
        assert!(!instrumented.observe(&export(Role::Client, 2, "/", 200), &shop));
    }

    #[test]
    fn services_are_named_while_they_export() {
        let mut instrumented = Instrumented::new(8);
        let mut registry = Registry::default();
        instrumented.register(&mut registry);
        let named = || {
            let mut page = String::new();
            prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
            page.contains("{service_name=\"shop\"} 1.0")
        };
        let export = export(Role::Client, 1, HTTP_PATH, 200);
        assert!(!named());
        instrumented.observe(&export, &service("shop", 1));
        assert!(named());
        instrumented.tick(export.end_ns + MEMORY_NS - 1);
        assert!(named());
        instrumented.tick(export.end_ns + MEMORY_NS + SWEEP_NS);
        assert!(!named());
        assert!(instrumented.names.is_empty());
    }

    #[test]
    fn who_passes_on_spans_has_none() {
        let mut instrumented = Instrumented::new(8);
        let collector = service("collector", 2);
        assert!(!instrumented.observe(&export(Role::Server, 2, HTTP_PATH, 200), &collector));
        assert!(!instrumented.observe(&export(Role::Client, 2, HTTP_PATH, 200), &collector));
    }
}
