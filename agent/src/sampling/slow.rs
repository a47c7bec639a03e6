//! Which exchanges are slow: by a fixed threshold, and by what is usual for their route.

use std::hash::BuildHasher as _;
use std::num::NonZeroUsize;
use std::time::Duration;

use lru::LruCache;

use crate::exchange::{Exchange, Role};
use crate::hash::RandomState;

/// Routes whose durations are remembered; the one unused longest makes room.
const ROUTES: usize = 4096;

/// Durations of a route before its quantile is believed.
const ENOUGH: u32 = 200;

/// Durations after which all counts are halved, so that what is usual follows what is recent.
const HALVE_AT: u32 = 8192;

/// Durations between two looks for the quantile.
const REFRESH: u32 = 64;

/// Buckets per doubling of the duration.
const STEPS: u32 = 8;
const BUCKETS: usize = 64 * STEPS as usize;

/// A fixed threshold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlowAfter {
    /// The service; `None` for each.
    pub service: Option<String>,
    /// The route; `None` for each.
    pub route: Option<String>,
    /// What takes as long or longer is slow.
    pub duration: Duration,
}

impl SlowAfter {
    fn applies(&self, service: &str, route: Option<&str>) -> bool {
        self.service.as_deref().is_none_or(|own| own == service)
            && (self.route.is_none() || self.route.as_deref() == route)
    }

    /// The more it names, the nearer it is.
    const fn rank(&self) -> u8 {
        2 * self.service.is_some() as u8 + self.route.is_some() as u8
    }
}

/// Tells slow exchanges.
#[derive(Debug)]
pub(super) struct Slow {
    fixed: Vec<SlowAfter>,
    /// The share of exchanges of a route that are not slow; `None` for no such judgement.
    quantile: Option<f64>,
    routes: LruCache<u64, Durations>,
    hasher: RandomState,
}

/// The recent durations of one route.
#[derive(Debug)]
struct Durations {
    counts: Box<[u32; BUCKETS]>,
    total: u32,
    since_refresh: u32,
    /// What takes longer is slow, ns.
    limit_ns: u64,
}

impl Slow {
    /// `fixed` thresholds, the nearest of which counts; and, unless `quantile` is 0, what is slower
    /// than that share of the recent exchanges of its route.
    pub(super) fn new(mut fixed: Vec<SlowAfter>, quantile: f64) -> Self {
        fixed.sort_by_key(|threshold| std::cmp::Reverse(threshold.rank()));
        Self {
            fixed,
            quantile: (quantile > 0.0).then_some(quantile),
            routes: LruCache::new(NonZeroUsize::new(ROUTES).unwrap_or(NonZeroUsize::MIN)),
            hasher: RandomState::default(),
        }
    }

    /// Whether an exchange was slow; it then counts among the recent ones.
    pub(super) fn judge(
        &mut self,
        exchange: &Exchange,
        service: &str,
        route: Option<&str>,
    ) -> bool {
        let took = exchange.duration_ns();
        let fixed = self
            .fixed
            .iter()
            .find(|threshold| threshold.applies(service, route))
            .is_some_and(|threshold| u128::from(took) >= threshold.duration.as_nanos());
        let Some(quantile) = self.quantile else {
            return fixed;
        };
        // For a client the peer stands for the route. A number in place of the texts: that two have
        // the same is possible and harmless.
        let peer = (exchange.role == Role::Client).then_some(exchange.peer);
        let key = self.hasher.hash_one((service, route, peer));
        let durations = self.routes.get_or_insert_mut(key, Durations::new);
        let unusual = took > durations.limit_ns;
        durations.add(took, quantile);
        fixed || unusual
    }
}

impl Durations {
    fn new() -> Self {
        Self {
            counts: Box::new([0; BUCKETS]),
            total: 0,
            since_refresh: 0,
            limit_ns: u64::MAX,
        }
    }

    fn add(&mut self, took_ns: u64, quantile: f64) {
        if let Some(count) = self.counts.get_mut(bucket(took_ns)) {
            *count += 1;
        }
        self.total += 1;
        self.since_refresh += 1;
        if self.total >= HALVE_AT {
            self.total = 0;
            for count in self.counts.iter_mut() {
                *count /= 2;
                self.total += *count;
            }
        }
        if self.since_refresh >= REFRESH && self.total >= ENOUGH {
            self.since_refresh = 0;
            self.limit_ns = self.limit(quantile);
        }
    }

    /// The upper end of the bucket that the quantile falls into.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a u32"
    )]
    fn limit(&self, quantile: f64) -> u64 {
        let below = (f64::from(self.total) * quantile).ceil() as u32;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= below {
                return upper_end(bucket);
            }
        }
        u64::MAX
    }
}

/// The bucket of a duration: the place of its first bit, and the three bits that follow.
fn bucket(ns: u64) -> usize {
    let steps = STEPS.trailing_zeros();
    let log = (ns | u64::from(STEPS)).ilog2();
    let step = (ns >> (log - steps)) & u64::from(STEPS - 1);
    usize::try_from(u64::from(log * STEPS) + step).unwrap_or(BUCKETS - 1)
}

/// The greatest duration of a bucket, ns.
fn upper_end(bucket: usize) -> u64 {
    let steps = STEPS.trailing_zeros();
    let place = u32::try_from(bucket).unwrap_or(0);
    let (log, step) = (place / STEPS, place % STEPS);
    if log < steps {
        return u64::from(STEPS);
    }
    let width = 1_u64 << (log - steps);
    (1_u64 << log) + u64::from(step) * width + (width - 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::red::testing;

    fn took(ms: u64) -> Exchange {
        let mut exchange = testing::exchange(Role::Server);
        exchange.end_ns = exchange.start_ns + ms * 1_000_000;
        exchange
    }

    fn after(service: Option<&str>, route: Option<&str>, ms: u64) -> SlowAfter {
        SlowAfter {
            service: service.map(Into::into),
            route: route.map(Into::into),
            duration: Duration::from_millis(ms),
        }
    }

    #[test]
    fn the_nearest_threshold_counts() {
        let mut slow = Slow::new(
            vec![
                after(None, None, 100),
                after(None, Some("/b"), 50),
                after(Some("shop"), None, 20),
                after(Some("shop"), Some("/a"), 10),
            ],
            0.0,
        );
        for (service, route, limit) in [
            ("shop", Some("/a"), 10),
            ("shop", Some("/b"), 20),
            ("shop", None, 20),
            ("other", Some("/b"), 50),
            ("other", Some("/a"), 100),
            ("other", None, 100),
        ] {
            assert!(
                slow.judge(&took(limit), service, route),
                "{service} {route:?}"
            );
            assert!(
                !slow.judge(&took(limit - 1), service, route),
                "{service} {route:?}"
            );
        }
    }

    #[test]
    fn what_is_unusual_for_its_route() {
        let mut slow = Slow::new(Vec::new(), 0.99);
        let mut judged = [0; 2];
        for number in 0..10_000 {
            let odd = number % 200 == 199;
            let exchange = took(if odd { 500 } else { 10 + number % 5 });
            if slow.judge(&exchange, "shop", Some("/a")) {
                judged[usize::from(odd)] += 1;
            }
        }
        assert_eq!(judged[0], 0, "what is usual is not slow");
        assert!(judged[1] >= 48, "{judged:?} of 50");
        // Another route has its own.
        assert!(!slow.judge(&took(500), "shop", Some("/b")));
    }

    proptest! {
        #[test]
        fn a_bucket_holds_what_falls_into_it(ns: u64) {
            let place = bucket(ns);
            prop_assert!(place < BUCKETS);
            prop_assert!(ns <= upper_end(place));
            if place > 32 {
                prop_assert!(ns > upper_end(place - 1));
            }
        }
    }
}
