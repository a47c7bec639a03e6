//! The pairs of client and server, and what is counted of each.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Half;
use super::metrics::GraphMetrics;
use crate::config;
use crate::exchange::{Exchange, Role};
use crate::identity::Service;
use crate::red::histogram::{DURATION, Durations};
use crate::red::services::{ServiceId, ServiceName, Services};
use crate::telemetry::page::push_label;

/// Longest name of a remote end, in bytes: that of a domain name (RFC 1035 §2.3.4).
const LONGEST_NAME: usize = 255;

/// Name of an end that found no room.
const OTHER: &str = "other";

/// What an end elsewhere is called.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Name {
    /// The host that a client asked for by name, in lower case.
    Host(Arc<str>),
    /// An address.
    Address(IpAddr),
    /// Anything else.
    Other,
}

impl Name {
    /// Of the other end of an exchange.
    pub(super) fn of(exchange: &Exchange) -> Self {
        let host = match exchange.role {
            Role::Client => exchange.request.host.as_ref(),
            // What a request says of its sender can be anything.
            Role::Server => None,
        };
        match host {
            Some(host) if host.len() > LONGEST_NAME => Self::Other,
            Some(host) if !host.is_empty() => {
                let bare = host
                    .strip_prefix('[')
                    .and_then(|rest| rest.strip_suffix(']'))
                    .unwrap_or(host);
                // Two names for one end would be one series twice.
                if let Ok(ip) = bare.parse::<IpAddr>() {
                    return Self::Address(ip.to_canonical());
                }
                if bare.eq_ignore_ascii_case(OTHER) {
                    return Self::Other;
                }
                if bare.len() == host.len() && !bare.bytes().any(|byte| byte.is_ascii_uppercase()) {
                    Self::Host(Arc::clone(host))
                } else {
                    Self::Host(bare.to_ascii_lowercase().into())
                }
            }
            _ => exchange
                .peer
                .ip()
                .map_or(Self::Other, |ip| Self::Address(ip.to_canonical())),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Host(host) => host.to_string(),
            Self::Address(ip) => ip.to_string(),
            Self::Other => OTHER.to_owned(),
        }
    }
}

/// One end of an edge.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum End {
    /// On this host.
    Service(ServiceId),
    /// Elsewhere.
    Remote(Name),
}

/// Client and server.
type Key = (End, End);

/// What the exchanges of one edge add up to.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    pub(super) total: u64,
    pub(super) failed: u64,
    pub(super) server: Durations,
    pub(super) client: Durations,
}

impl Counts {
    /// `counts` says that this is the end at which the request is counted.
    fn add(&mut self, half: &Half, counts: bool) {
        if counts {
            self.total += 1;
            self.failed += u64::from(half.failed);
        }
        let durations = match half.role {
            Role::Server => &mut self.server,
            Role::Client => &mut self.client,
        };
        durations.observe(&DURATION, half.duration_ns);
    }
}

#[derive(Debug)]
struct Edge {
    labels: Arc<str>,
    counts: Counts,
    used: Instant,
    scraped: bool,
}

/// All edges, bounded.
#[derive(Debug)]
pub(super) struct Edges {
    max_edges: usize,
    max_remotes: usize,
    expire_after: Duration,
    now: Instant,
    services: Services,
    edges: HashMap<Key, Edge>,
    remotes: HashMap<(ServiceId, Role), HashSet<Name>>,
    overflow: Counts,
    metrics: GraphMetrics,
}

impl Edges {
    pub(super) fn new(
        config: &config::ServiceGraph,
        expire_after: Duration,
        metrics: GraphMetrics,
    ) -> Self {
        Self {
            max_edges: config.max_edges,
            max_remotes: config.max_remotes,
            expire_after,
            now: Instant::now(),
            services: Services::default(),
            edges: HashMap::new(),
            remotes: HashMap::new(),
            overflow: Counts::default(),
            metrics,
        }
    }

    pub(super) fn service(&mut self, service: &Arc<Service>) -> ServiceId {
        if self.services.sweep_due() {
            self.services.sweep();
        }
        self.services.id(service)
    }

    /// Counts one end of a request, the other end being `other`. A request is counted at its server;
    /// at its client if the server is elsewhere.
    pub(super) fn count(&mut self, half: &Half, other: End) {
        let counts = half.role == Role::Server || matches!(other, End::Remote(_));
        let other = match other {
            End::Remote(name) => End::Remote(self.admit(half, name)),
            service @ End::Service(_) => service,
        };
        let own = End::Service(half.service);
        let key = match half.role {
            Role::Server => (other, own),
            Role::Client => (own, other),
        };
        let now = self.now;
        if let Some(edge) = self.edges.get_mut(&key) {
            edge.counts.add(half, counts);
            edge.used = now;
            edge.scraped = false;
            return;
        }
        let labels = self.labels(&key);
        let Some(labels) = labels.filter(|_| self.edges.len() < self.max_edges) else {
            self.metrics.overflow.inc();
            self.overflow.add(half, counts);
            return;
        };
        let mut edge = Edge {
            labels,
            counts: Counts::default(),
            used: now,
            scraped: false,
        };
        edge.counts.add(half, counts);
        self.edges.insert(key, edge);
        self.report();
    }

    /// The name, or `other` if the service has as many as it may.
    fn admit(&mut self, half: &Half, name: Name) -> Name {
        let known = self.remotes.entry((half.service, half.role)).or_default();
        if known.contains(&name) {
            return name;
        }
        if known.len() >= self.max_remotes {
            self.metrics.remotes.inc();
            return Name::Other;
        }
        known.insert(name.clone());
        name
    }

    /// `None` for a service that was forgotten meanwhile.
    fn labels(&self, (client, server): &Key) -> Option<Arc<str>> {
        let mut labels = String::with_capacity(128);
        for (end, role) in [(client, "client"), (server, "server")] {
            match end {
                End::Service(id) => push_label(&mut labels, role, &self.services.name(*id)?.name),
                End::Remote(name) => push_label(&mut labels, role, &name.text()),
            }
        }
        for (end, label) in [
            (client, "client_service_namespace"),
            (server, "server_service_namespace"),
        ] {
            if let End::Service(id) = end
                && let Some(ServiceName {
                    namespace: Some(namespace),
                    ..
                }) = self.services.name(*id)
            {
                push_label(&mut labels, label, namespace);
            }
        }
        if matches!((client, server), (End::Remote(_), _) | (_, End::Remote(_))) {
            push_label(&mut labels, "connection_type", "virtual_node");
        }
        Some(labels.into())
    }

    /// Whether the service is remembered.
    pub(super) fn knows(&self, service: ServiceId) -> bool {
        self.services.name(service).is_some()
    }

    /// Lets go of what is over; says whether services were forgotten.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        self.now = self.now.max(now);
        self.services.sweep();
        let Self {
            expire_after,
            now,
            services,
            edges,
            remotes,
            ..
        } = self;
        let lives = |end: &End| matches!(end, End::Service(id) if services.is_live(*id));
        let mut in_use = HashSet::new();
        edges.retain(|(client, server), edge| {
            let idle = now.saturating_duration_since(edge.used);
            let over = idle >= *expire_after
                && (edge.scraped || idle >= expire_after.saturating_mul(2))
                && !lives(client)
                && !lives(server);
            if !over {
                for end in [client, server] {
                    if let End::Service(id) = end {
                        in_use.insert(*id);
                    }
                }
            }
            !over
        });
        let forgotten = services.retain(|id| in_use.contains(&id));
        if forgotten {
            remotes.retain(|(id, _), _| services.name(*id).is_some());
        }
        self.report();
        forgotten
    }

    /// A copy for a page.
    pub(super) fn copy(&mut self) -> Vec<(Arc<str>, Counts)> {
        let mut lines: Vec<_> = self
            .edges
            .values_mut()
            .map(|edge| {
                edge.scraped = true;
                (Arc::clone(&edge.labels), edge.counts.clone())
            })
            .collect();
        if !(self.overflow.server.is_empty() && self.overflow.client.is_empty()) {
            let mut labels = String::new();
            push_label(&mut labels, "client", OTHER);
            push_label(&mut labels, "server", OTHER);
            push_label(&mut labels, "otel_metric_overflow", "true");
            lines.push((labels.into(), self.overflow.clone()));
        }
        lines
    }

    fn report(&self) {
        self.metrics
            .edges
            .set(i64::try_from(self.edges.len()).unwrap_or(i64::MAX));
    }
}
