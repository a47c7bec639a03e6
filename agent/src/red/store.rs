//! The table of series.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::counts::Counts;
use super::exemplar::Exemplars;
use super::labels::{self, ActiveKey, Key, OVERFLOW, OwnedKey};
use super::metrics::StoreMetrics;
use super::services::{ServiceId, Services};
use super::target::{OTHER_METHOD, Target};
use crate::config::Metrics;
use crate::exchange::{Exchange, Method, Role};
use crate::identity::Service;
use crate::otlp::Span;
use hashbrown::HashTable;

/// Different addresses and ports that one service's clients may go to by name; what is beyond is
/// `other`. A crawler or a forward proxy would otherwise fill the table.
pub(super) const ADDRESSES_PER_SERVICE: usize = 100;

/// Different methods that one service's calls may have, by role; what is beyond is `other`. The
/// method is anybody's to choose, until the server says that it does not implement it.
pub(super) const METHODS_PER_SERVICE: usize = 200;

/// Where a client went: name or address, and port.
type Address = (Option<Box<str>>, Option<u16>);

/// Label sets copied under one hold of the lock: some tens of microseconds.
const COPY_PART: usize = 256;

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

#[derive(Debug)]
struct Active {
    labels: Arc<str>,
    count: i64,
    used: Use,
}

/// What one role's exchanges and active requests without a place of their own add up to.
#[derive(Debug, Default)]
struct Overflow {
    http: Counts,
    rpc: Counts,
    requests: i64,
    streams: i64,
}

impl Overflow {
    const fn active(&mut self, what: labels::Active) -> &mut i64 {
        match what {
            labels::Active::Requests { .. } => &mut self.requests,
            labels::Active::Streams => &mut self.streams,
        }
    }
}

/// Which metrics a line of a page belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    /// Those of HTTP requests.
    Http,
    /// Those of calls.
    Rpc,
    /// Those of HTTP/2 streams.
    Streams,
}

/// One label set on its way to a page.
#[derive(Debug)]
pub(super) struct Line<T> {
    pub(super) role: Role,
    pub(super) group: Group,
    pub(super) labels: Arc<str>,
    pub(super) value: T,
    /// Of exchanges, if they were wanted.
    pub(super) exemplars: Exemplars,
}

/// A copy of the store.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    pub(super) counts: Vec<Line<Counts>>,
    pub(super) active: Vec<Line<i64>>,
    /// The next place to copy.
    next: usize,
    /// Whether exemplars are wanted.
    exemplars: bool,
}

impl Snapshot {
    pub(super) fn new(exemplars: bool) -> Self {
        Self {
            exemplars,
            ..Self::default()
        }
    }
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
    /// Series that `series` hold.
    held: usize,
    addresses: HashMap<ServiceId, HashSet<Address>>,
    methods: HashMap<(ServiceId, Role), HashSet<Box<str>>>,
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
            hasher: RandomState::new(),
            services: Services::default(),
            index: HashTable::new(),
            series: Vec::new(),
            free: Vec::new(),
            active: HashMap::new(),
            held: 0,
            addresses: HashMap::new(),
            methods: HashMap::new(),
            server_overflow: Overflow::default(),
            client_overflow: Overflow::default(),
            metrics,
        }
    }

    pub(super) fn begun(
        &mut self,
        service: &Arc<Service>,
        role: Role,
        method: &Method,
        scheme: Option<&str>,
    ) {
        let key = ActiveKey::requests(self.service(service), role, method, scheme);
        self.one_more(key);
    }

    pub(super) fn stream_begun(&mut self, service: &Arc<Service>, role: Role) {
        let key = ActiveKey::streams(self.service(service), role);
        self.one_more(key);
    }

    /// What began in the overflow series ends there: an end whose own series has no request left
    /// to end is one of those.
    pub(super) fn ended(
        &mut self,
        service: &Arc<Service>,
        role: Role,
        method: &Method,
        scheme: Option<&str>,
    ) {
        let key = ActiveKey::requests(self.service(service), role, method, scheme);
        self.one_fewer(&key);
    }

    pub(super) fn stream_ended(&mut self, service: &Arc<Service>, role: Role) {
        let key = ActiveKey::streams(self.service(service), role);
        self.one_fewer(&key);
    }

    fn one_more(&mut self, key: ActiveKey) {
        let now = self.now;
        if let Some(active) = self.active.get_mut(&key) {
            active.count += 1;
            active.used = Use::at(now);
            return;
        }
        let name = self.services.name(key.service);
        let Some(name) = name.filter(|_| self.held() < self.max_series) else {
            *self.overflow(key.role).active(key.what) += 1;
            self.metrics.overflow.inc();
            return;
        };
        let active = Active {
            labels: key.labels(name),
            count: 1,
            used: Use::at(now),
        };
        self.active.insert(key, active);
        self.report_held();
    }

    fn one_fewer(&mut self, key: &ActiveKey) {
        let now = self.now;
        match self.active.get_mut(key) {
            Some(active) if active.count > 0 => {
                active.count -= 1;
                active.used = Use::at(now);
            }
            _ => {
                let overflow = self.overflow(key.role).active(key.what);
                *overflow = (*overflow - 1).max(0);
            }
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
            Role::Client => match self.admit(id, &target) {
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
            && !self.admits_method(id, exchange.role, method)
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
                    self.addresses.entry(id).or_default().insert(address);
                }
                if let Some(method) = method.filter(|method| key.method == Some(method)) {
                    let methods = self.methods.entry((id, exchange.role)).or_default();
                    if !methods.contains(method) {
                        methods.insert(method.into());
                    }
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
            held,
            addresses,
            methods,
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
        services.retain(|id| in_use.contains(&id));
        addresses.retain(|id, _| services.name(*id).is_some());
        methods.retain(|(id, _), _| services.name(*id).is_some());
        if expired > 0 {
            metrics.expired.inc_by(expired);
            self.report_held();
        }
    }

    /// Copies the next part of the store; `false` once all is copied. Between parts no place may
    /// be freed.
    pub(super) fn copy_part(&mut self, snapshot: &mut Snapshot) -> bool {
        snapshot
            .counts
            .reserve(self.series.len().saturating_sub(snapshot.counts.len()) + 2);
        let end = self.series.len().min(snapshot.next + COPY_PART);
        for series in self.series[snapshot.next..end].iter_mut().flatten() {
            series.used.scraped = true;
            let key = series.key.as_key();
            snapshot.counts.push(Line {
                role: key.fixed.role,
                group: if key.is_rpc() {
                    Group::Rpc
                } else {
                    Group::Http
                },
                labels: Arc::clone(&series.labels),
                value: series.counts.clone(),
                exemplars: if snapshot.exemplars {
                    series.exemplars.clone()
                } else {
                    Exemplars::default()
                },
            });
        }
        snapshot.next = end;
        if end < self.series.len() {
            return true;
        }
        for (key, active) in &mut self.active {
            active.used.scraped = true;
            snapshot.active.push(Line {
                role: key.role,
                group: match key.what {
                    labels::Active::Requests { .. } => Group::Http,
                    labels::Active::Streams => Group::Streams,
                },
                labels: Arc::clone(&active.labels),
                value: active.count,
                exemplars: Exemplars::default(),
            });
        }
        for (role, overflow) in [
            (Role::Server, &self.server_overflow),
            (Role::Client, &self.client_overflow),
        ] {
            for (group, counts) in [(Group::Http, &overflow.http), (Group::Rpc, &overflow.rpc)] {
                if !counts.duration.is_empty() {
                    snapshot.counts.push(Line {
                        role,
                        group,
                        labels: OVERFLOW.into(),
                        value: counts.clone(),
                        exemplars: Exemplars::default(),
                    });
                }
            }
            for (group, active) in [
                (Group::Http, overflow.requests),
                (Group::Streams, overflow.streams),
            ] {
                if active > 0 {
                    snapshot.active.push(Line {
                        role,
                        group,
                        labels: OVERFLOW.into(),
                        value: active,
                        exemplars: Exemplars::default(),
                    });
                }
            }
        }
        false
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

    /// Whether a client of the service may go by the name of this target.
    fn admit(&self, service: ServiceId, target: &Target<'_>) -> Admission {
        let address = (target.text.as_deref().map(Into::into), target.port);
        match self.addresses.get(&service) {
            Some(known) if known.contains(&address) => Admission::Known,
            Some(known) if known.len() >= ADDRESSES_PER_SERVICE => Admission::Refused,
            Some(_) | None => Admission::New(address),
        }
    }

    /// Whether a call of the service may go by the name of its method.
    fn admits_method(&self, service: ServiceId, role: Role, method: &str) -> bool {
        self.methods
            .get(&(service, role))
            .is_none_or(|known| known.contains(method) || known.len() < METHODS_PER_SERVICE)
    }

    const fn overflow(&mut self, role: Role) -> &mut Overflow {
        match role {
            Role::Server => &mut self.server_overflow,
            Role::Client => &mut self.client_overflow,
        }
    }

    /// Series held, without the overflow series.
    fn held(&self) -> usize {
        self.held + self.active.len()
    }

    /// Whether nothing at all is remembered.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.held() == 0
            && self.addresses.is_empty()
            && self.methods.is_empty()
            && self.services.is_empty()
    }

    fn report_held(&self) {
        self.metrics
            .series
            .set(i64::try_from(self.held()).unwrap_or(i64::MAX));
    }
}

/// See [`Store::admit`].
enum Admission {
    Known,
    New(Address),
    Refused,
}
