//! The services that have series of resources: how many at most, and for how long.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indexmap::IndexMap;

use crate::identity::{NameSource, Service};
use crate::telemetry::page::{Family, Kind, Page, push_label};

/// The labels of a service as they stand between the braces: `service_name="a"`, and
/// `service_namespace` where it has one. Equal for equal services.
pub type ServiceLabels = Arc<str>;

/// Whose a process, a cgroup or a socket is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// A service with series of its own, or the one that all beyond the limit share.
    Service(ServiceLabels),
    /// It is not known. Counts for the host alone.
    Unknown,
}

impl Owner {
    /// The labels, if there is a service.
    #[must_use]
    pub const fn labels(&self) -> Option<&ServiceLabels> {
        match self {
            Self::Service(labels) => Some(labels),
            Self::Unknown => None,
        }
    }
}

/// The services that have series. Bounded: what is beyond the limit shares one, called `other`.
#[derive(Debug)]
pub struct Services {
    max: usize,
    expire_after: Duration,
    kept: Mutex<Kept>,
    other: ServiceLabels,
    refused: AtomicU64,
}

type Key = (Arc<str>, Option<Arc<str>>);

#[derive(Debug, Default)]
struct Kept {
    services: IndexMap<Key, Entry>,
    labels: std::collections::HashSet<ServiceLabels>,
}

#[derive(Debug)]
struct Entry {
    labels: ServiceLabels,
    used: Instant,
}

const OVERFLOW: Family = Family {
    name: "hark_resource_services_refused",
    help: "Times that a process was counted under the service `other`, because resources.max_services was reached.",
    unit: None,
    kind: Kind::Counter,
    source: "the agent",
    labels: &[],
};

const KEPT: Family = Family {
    name: "hark_resource_services",
    help: "Services that have series of resources.",
    unit: None,
    kind: Kind::Gauge,
    source: "the agent",
    labels: &[],
};

/// What this module writes.
pub const FAMILIES: &[&Family] = &[&KEPT, &OVERFLOW];

impl Services {
    /// At most `max` services, each kept for `expire_after` after its last process.
    #[must_use]
    pub fn new(max: usize, expire_after: Duration) -> Self {
        let mut other = String::new();
        push_label(&mut other, "service_name", "other");
        Self {
            max,
            expire_after,
            kept: Mutex::default(),
            other: other.into(),
            refused: AtomicU64::new(0),
        }
    }

    /// Whose the processes of this service are. A name that is a process's `comm` and nothing more
    /// is no service: it was gone before it could be looked at, or may not be looked at.
    pub fn owner(&self, service: &Service) -> Owner {
        if service.source == NameSource::Comm {
            return Owner::Unknown;
        }
        let key = (Arc::clone(&service.name), service.namespace.clone());
        let mut kept = self.lock();
        let now = Instant::now();
        if let Some(entry) = kept.services.get_mut(&key) {
            entry.used = now;
            return Owner::Service(Arc::clone(&entry.labels));
        }
        if kept.services.len() >= self.max {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Owner::Service(Arc::clone(&self.other));
        }
        let mut labels = String::new();
        push_label(&mut labels, "service_name", &service.name);
        if let Some(namespace) = &service.namespace {
            push_label(&mut labels, "service_namespace", namespace);
        }
        let labels: ServiceLabels = labels.into();
        kept.labels.insert(Arc::clone(&labels));
        kept.services.insert(
            key,
            Entry {
                labels: Arc::clone(&labels),
                used: now,
            },
        );
        Owner::Service(labels)
    }

    /// Says that these services have a living process now; forgets those that have had none for
    /// too long.
    pub fn keep<'a>(&self, living: impl Iterator<Item = &'a ServiceLabels>) {
        let living: std::collections::HashSet<&ServiceLabels> = living.collect();
        let now = Instant::now();
        let mut kept = self.lock();
        let Kept { services, labels } = &mut *kept;
        services.retain(|_, entry| {
            if living.contains(&entry.labels) {
                entry.used = now;
            }
            let keep = now.saturating_duration_since(entry.used) < self.expire_after;
            if !keep {
                labels.remove(&entry.labels);
            }
            keep
        });
    }

    /// Whether these labels still are those of a service with series: what is kept for others is
    /// to be forgotten.
    #[must_use]
    pub fn has(&self, labels: &ServiceLabels) -> bool {
        *labels == self.other || self.lock().labels.contains(labels)
    }

    /// Writes what is said of the services themselves.
    ///
    /// # Errors
    ///
    /// Those of the page.
    pub fn write(&self, page: &mut Page<'_>) -> io::Result<()> {
        let kept = self.lock().services.len();
        page.family(&KEPT)?;
        page.sample(&KEPT, "", kept)?;
        page.family(&OVERFLOW)?;
        page.sample(&OVERFLOW, "", self.refused.load(Ordering::Relaxed))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str, source: NameSource) -> Service {
        Service {
            name: name.into(),
            namespace: None,
            version: None,
            instance_id: "1".into(),
            pid: 1,
            executable: None,
            container_id: None,
            attributes: Vec::new(),
            source,
        }
    }

    #[test]
    fn past_the_limit_all_are_other() {
        let services = Services::new(2, Duration::from_secs(60));
        let owner = |name| services.owner(&service(name, NameSource::Executable));
        assert_eq!(owner("a"), Owner::Service("service_name=\"a\"".into()));
        assert_eq!(owner("b"), Owner::Service("service_name=\"b\"".into()));
        assert_eq!(owner("c"), Owner::Service("service_name=\"other\"".into()));
        assert_eq!(owner("a"), Owner::Service("service_name=\"a\"".into()));
        assert_eq!(services.refused.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_comm_is_no_service() {
        let services = Services::new(2, Duration::from_secs(60));
        let owner = services.owner(&service("kworker", NameSource::Comm));
        assert_eq!(owner, Owner::Unknown);
    }

    #[test]
    fn who_has_no_process_makes_room() {
        let services = Services::new(1, Duration::ZERO);
        let owner = |name| services.owner(&service(name, NameSource::Executable));
        let Owner::Service(a) = owner("a") else {
            panic!("not a service");
        };
        assert!(services.has(&a));
        services.keep(std::iter::empty());
        assert!(!services.has(&a));
        assert_eq!(owner("b"), Owner::Service("service_name=\"b\"".into()));
    }
}
