//! Which services have a living process, and which have lost their last one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use indexmap::IndexMap;

use super::Service;

/// A service whose last known process is gone: its series may expire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Departed {
    /// `service.name`.
    pub name: Arc<str>,
    /// `service.namespace`.
    pub namespace: Option<Arc<str>>,
    /// When that was noticed.
    pub since: Instant,
}

type Key = (Arc<str>, Option<Arc<str>>);

/// Counts the known living processes of each service.
#[derive(Debug)]
pub(super) struct Live {
    /// Never 0.
    processes: HashMap<Key, usize>,
    /// Lost since the last report.
    departed: IndexMap<Key, Instant>,
    /// Most departures that are kept for the next report.
    limit: usize,
}

impl Live {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            processes: HashMap::new(),
            departed: IndexMap::new(),
            limit,
        }
    }

    /// A living process of the service has become known.
    pub(super) fn arrived(&mut self, service: &Service) {
        let key = key(service);
        self.departed.swap_remove(&key);
        *self.processes.entry(key).or_insert(0) += 1;
    }

    /// A process that `arrived` is gone, or is no longer known.
    pub(super) fn left(&mut self, service: &Service, now: Instant) {
        let key = key(service);
        if let Some(count) = self.processes.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                self.processes.remove(&key);
                self.note(key, now);
            }
        }
    }

    /// A process was gone before it was known, but has something to report.
    pub(super) fn passed(&mut self, service: &Service, now: Instant) {
        let key = key(service);
        if !self.processes.contains_key(&key) {
            self.note(key, now);
        }
    }

    fn note(&mut self, key: Key, now: Instant) {
        if self.departed.len() >= self.limit && !self.departed.contains_key(&key) {
            self.departed.shift_remove_index(0);
        }
        self.departed.insert(key, now);
    }

    pub(super) fn is_live(&self, name: &Arc<str>, namespace: Option<&Arc<str>>) -> bool {
        self.processes
            .contains_key(&(Arc::clone(name), namespace.cloned()))
    }

    /// The services that have lost their last process since the last call, and have none now.
    pub(super) fn take_departed(&mut self) -> Vec<Departed> {
        self.departed
            .drain(..)
            .map(|((name, namespace), since)| Departed {
                name,
                namespace,
                since,
            })
            .collect()
    }
}

fn key(service: &Service) -> Key {
    (Arc::clone(&service.name), service.namespace.clone())
}
