//! How many exchanges a service may log per second.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Instant;

use lru::LruCache;

use crate::identity::Service;

/// Services whose rate is followed; of one that was quiet the longest it is forgotten, which gives
/// it a full second's share when it comes back.
const SERVICES: NonZeroUsize = NonZeroUsize::new(1024).expect("not zero");

/// A service by name and namespace.
type Name = (Arc<str>, Option<Arc<str>>);

/// Token buckets, one per service, that hold one second's share.
#[derive(Debug)]
pub(super) struct Rate {
    per_second: f64,
    buckets: LruCache<Name, Bucket>,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled: Instant,
}

impl Rate {
    pub(super) fn new(per_second: usize) -> Self {
        Self {
            per_second: f64::from(u32::try_from(per_second).unwrap_or(u32::MAX)),
            buckets: LruCache::new(SERVICES),
        }
    }

    /// Takes one, if there is one left. `now` never goes back.
    pub(super) fn allows(&mut self, service: &Service, now: Instant) -> bool {
        let full = self.per_second;
        let name = (Arc::clone(&service.name), service.namespace.clone());
        let bucket = self.buckets.get_or_insert_mut(name, || Bucket {
            tokens: full,
            filled: now,
        });
        let passed = now.saturating_duration_since(bucket.filled);
        bucket.filled = now;
        bucket.tokens = (bucket.tokens + passed.as_secs_f64() * full).min(full);
        let allowed = bucket.tokens >= 1.0;
        if allowed {
            bucket.tokens -= 1.0;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::red::testing::service;

    #[test]
    fn each_service_has_its_share_of_each_second() {
        let mut rate = Rate::new(3);
        let (shop, other) = (service("shop", 1), service("other", 2));
        let start = Instant::now();
        let mut taken = |service: &Service, after_ms: u64| {
            let now = start + Duration::from_millis(after_ms);
            (0..10).filter(|_| rate.allows(service, now)).count()
        };
        assert_eq!(taken(&shop, 0), 3);
        assert_eq!(taken(&other, 0), 3, "one cannot starve another");
        assert_eq!(taken(&shop, 334), 1);
        assert_eq!(taken(&shop, 100_000), 3, "a share is not saved up");
        assert_eq!(taken(&service("shop", 9), 100_000), 0, "by name");
    }

    #[test]
    fn the_table_is_bounded() {
        let mut rate = Rate::new(1);
        let now = Instant::now();
        for number in 0..2000 {
            assert!(rate.allows(&service(&number.to_string(), 1), now));
        }
        assert_eq!(rate.buckets.len(), 1024);
    }
}
