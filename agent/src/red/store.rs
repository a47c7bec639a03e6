//! The table of series.

mod active;
mod names;
mod snapshot;
mod streams;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::active::Active;
#[cfg(test)]
pub(super) use self::names::{ADDRESSES_PER_SERVICE, METHODS_PER_SERVICE};
use self::names::{Admission, Names};
pub(super) use self::snapshot::{Counted, Group, Line, Snapshot};
pub(super) use self::streams::Figures;
use self::streams::Streams;
use super::counts::Counts;
use super::exemplar::Exemplars;
use super::labels::{ActiveKey, Key, OwnedKey};
use super::metrics::StoreMetrics;
use super::services::{ServiceId, Services};
use super::target::{OTHER_METHOD, Target};
use crate::config::Metrics;
use crate::exchange::{Exchange, Role};
use crate::hash::{HashMap, RandomState};
use crate::identity::Service;
use crate::otlp::Span;
use hashbrown::HashTable;

/// When a series was last used.
#[derive(Clone, Copy, Debug)]
struct Use {
    touched: Instant,
    scraped: bool,
}

impl Use {
    const fn at(now: Instant) -> Self {
        Self {
            touched: now,
            scraped: false,
        }
    }

    fn is_over(self, now: Instant, expire_after: Duration) -> bool {
        let idle = now.saturating_duration_since(self.touched);
        idle >= expire_after && (self.scraped || idle >= expire_after.saturating_mul(2))
    }
}

#[derive(Debug)]
struct Series {
    key: OwnedKey,
    labels: Arc<str>,
    counts: Counts,
    exemplars: Exemplars,
    used: Use,
}

/// What one role's exchanges and active requests without a place of their own add up to.
#[derive(Debug, Default)]
struct Overflow {
    http: Counts,
    rpc: Counts,
    requests: i64,
    streams: Streams,
}

#[derive(Debug)]
pub(super) struct Store {
    expire_after: Duration,
    max_series: usize,
    now: Instant,
    hasher: RandomState,
    services: Services,
    /// Places in `series` by key.
    index: HashTable<usize>,
    series: Vec<Option<Series>>,
    free: Vec<usize>,
    active: HashMap<ActiveKey, Active>,
    streams: HashMap<streams::Key, streams::Own>,
    /// Series that `series` hold.
    held: usize,
    names: Names,
    server_overflow: Overflow,
    client_overflow: Overflow,
    metrics: StoreMetrics,
}

impl Store {
    pub(super) fn new(config: &Metrics, now: Instant, metrics: StoreMetrics) -> Self {
        Self {
            expire_after: config.expire_after,
            max_series: config.max_series,
            now,
            hasher: RandomState::default(),
            services: Services::default(),
            index: HashTable::new(),
            series: Vec::new(),
            free: Vec::new(),
            active: HashMap::default(),
            streams: HashMap::default(),
            held: 0,
            names: Names::default(),
            server_overflow: Overflow::default(),
            client_overflow: Overflow::default(),
            metrics,
        }
    }

    pub(super) fn observe(
        &mut self,
        exchange: &Exchange,
        service: &Arc<Service>,
        route: Option<&str>,
    ) {
        let id = self.service(service);
        let target = Target::of(exchange, route);
        let mut key = Key::new(exchange, id, &target);
        if let Some(place) = self.find(&key) {
            self.count(place, exchange);
            return;
        }
        let other = Target::other();
        let address = match exchange.role {
            Role::Server => None,
            Role::Client => match self.names.admit(id, &target) {
                Admission::Known => None,
                Admission::New(address) => Some(address),
                Admission::Refused => {
                    self.metrics.addresses.inc();
                    key = Key::new(exchange, id, &other);
                    None
                }
            },
        };
        let method = key.method;
        if let Some(method) = method
            && !self.names.admits_method(id, exchange.role, method)
        {
            self.metrics.methods.inc();
            key.method = Some(OTHER_METHOD);
        }
        let place = match self.find(&key) {
            Some(place) => Some(place),
            None => self.insert(&key, exchange),
        };
        match place {
            Some(place) => {
                if let Some(address) = address {
                    self.names.keep_address(id, address);
                }
                if let Some(method) = method.filter(|method| key.method == Some(method)) {
                    self.names.keep_method(id, exchange.role, method);
                }
                self.count(place, exchange);
            }
            None => {
                let overflow = self.overflow(exchange.role);
                match exchange.rpc {
                    Some(_) => overflow.rpc.observe(exchange),
                    None => overflow.http.observe(exchange),
                }
                self.metrics.overflow.inc();
            }
        }
    }

    /// Makes a span the exemplar of its bucket, in the series that its exchange was counted in. What
    /// went to the overflow series, or whose series has expired, has none.
    pub(super) fn exemplar(&mut self, span: &Span) {
        let exchange = &span.exchange;
        let Some(id) = self.services.known(&span.service) else {
            return;
        };
        let (own, other) = (Target::of(exchange, span.route.as_deref()), Target::other());
        let targets: &[&Target<'_>] = match exchange.role {
            Role::Server => &[&own],
            Role::Client => &[&own, &other],
        };
        for target in targets {
            let mut key = Key::new(exchange, id, target);
            for method in [key.method, key.method.map(|_| OTHER_METHOD)] {
                key.method = method;
                if let Some(place) = self.find(&key)
                    && let Some(series) = &mut self.series[place]
                {
                    series.exemplars.add(span);
                    return;
                }
            }
        }
    }

    pub(super) fn service_gone(&mut self, service: &Arc<Service>) {
        self.services.gone(service);
    }

    /// Sets the time that series are stamped with; never back.
    pub(super) fn tick(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    /// Lets go of what [`Use::is_over`] and belongs to no live service.
    pub(super) fn expire(&mut self) {
        self.services.sweep();
        let Self {
            expire_after,
            now,
            hasher,
            services,
            index,
            series,
            free,
            active,
            streams,
            held,
            names,
            metrics,
            ..
        } = self;
        let over =
            |used: Use, service| used.is_over(*now, *expire_after) && !services.is_live(service);
        let mut in_use = HashSet::new();
        let mut expired = 0;
        for (place, slot) in series.iter_mut().enumerate() {
            let Some(Series { key, used, .. }) = slot else {
                continue;
            };
            let key = key.as_key();
            let service = key.fixed.service;
            if !over(*used, service) {
                in_use.insert(service);
                continue;
            }
            if let Ok(entry) = index.find_entry(key.hash(hasher), |other| *other == place) {
                entry.remove();
            }
            let count = key.series();
            *slot = None;
            free.push(place);
            *held -= count;
            expired += count as u64;
        }
        active.retain(|key, active| {
            // A request that is under way keeps its series, gone or not.
            let stays = active.count > 0 || !over(active.used, key.service);
            if stays {
                in_use.insert(key.service);
            } else {
                expired += 1;
            }
            stays
        });
        streams.retain(|(service, _), own| {
            let stays = !own.streams.is_idle() || !over(own.used, *service);
            if stays {
                in_use.insert(*service);
            } else {
                expired += streams::SERIES as u64;
            }
            stays
        });
        services.retain(|id| in_use.contains(&id));
        names.retain(|id| services.name(id).is_some());
        if expired > 0 {
            metrics.expired.inc_by(expired);
            self.report_held();
        }
    }

    fn service(&mut self, service: &Arc<Service>) -> ServiceId {
        if self.services.sweep_due() {
            self.services.sweep();
        }
        self.services.id(service)
    }

    fn find(&self, key: &Key<'_>) -> Option<usize> {
        self.index
            .find(key.hash(&self.hasher), |place| {
                self.series[*place]
                    .as_ref()
                    .is_some_and(|series| series.key.as_key() == *key)
            })
            .copied()
    }

    fn insert(&mut self, key: &Key<'_>, exchange: &Exchange) -> Option<usize> {
        if self.held() + key.series() > self.max_series {
            return None;
        }
        let name = self.services.name(key.fixed.service)?;
        let series = Series {
            key: key.kept(),
            labels: key.labels(name, exchange.error_type().as_deref()),
            counts: Counts::default(),
            exemplars: Exemplars::default(),
            used: Use::at(self.now),
        };
        let place = match self.free.pop() {
            Some(place) => {
                self.series[place] = Some(series);
                place
            }
            None => {
                self.series.push(Some(series));
                self.series.len() - 1
            }
        };
        let Self {
            index,
            series,
            hasher,
            ..
        } = self;
        index.insert_unique(key.hash(hasher), place, |place| {
            series[*place]
                .as_ref()
                .map_or(0, |series| series.key.as_key().hash(hasher))
        });
        self.held += key.series();
        self.report_held();
        Some(place)
    }

    fn count(&mut self, place: usize, exchange: &Exchange) {
        if let Some(series) = &mut self.series[place] {
            series.counts.observe(exchange);
            series.used = Use::at(self.now);
        }
    }

    const fn overflow(&mut self, role: Role) -> &mut Overflow {
        match role {
            Role::Server => &mut self.server_overflow,
            Role::Client => &mut self.client_overflow,
        }
    }

    /// Series held, without the overflow series.
    fn held(&self) -> usize {
        self.held + self.active.len() + streams::SERIES * self.streams.len()
    }

    /// Whether nothing at all is remembered.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.held() == 0 && self.names.is_empty() && self.services.is_empty()
    }

    fn report_held(&self) {
        self.metrics
            .series
            .set(i64::try_from(self.held()).unwrap_or(i64::MAX));
    }
}
