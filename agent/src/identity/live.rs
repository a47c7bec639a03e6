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
    /// Departures that were dropped for it.
    lost: u64,
}

impl Live {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            processes: HashMap::new(),
            departed: IndexMap::new(),
            limit,
            lost: 0,
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
            self.lost += 1;
        }
        self.departed.insert(key, now);
    }

    pub(super) fn is_live(&self, name: &Arc<str>, namespace: Option<&Arc<str>>) -> bool {
        self.processes
            .contains_key(&(Arc::clone(name), namespace.cloned()))
    }

    /// How many departures were never reported since the last call: too many between two calls.
    pub(super) fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
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

#[cfg(test)]
mod tests {
    use super::super::NameSource;
    use super::*;

    fn service(name: &str, namespace: Option<&str>) -> Service {
        Service {
            name: name.into(),
            namespace: namespace.map(Arc::from),
            version: None,
            instance_id: "1".into(),
            pid: 1,
            executable: None,
            container_id: None,
            attributes: Vec::new(),
            source: NameSource::Executable,
        }
    }

    fn names(live: &mut Live) -> Vec<String> {
        live.take_departed()
            .into_iter()
            .map(|d| d.name.to_string())
            .collect()
    }

    #[test]
    fn the_namespace_counts() {
        let now = Instant::now();
        let mut live = Live::new(8);
        live.arrived(&service("a", None));
        live.arrived(&service("a", Some("n")));
        live.left(&service("a", None), now);
        assert!(!live.is_live(&"a".into(), None));
        assert!(live.is_live(&"a".into(), Some(&"n".into())));
        let departed = live.take_departed();
        assert_eq!(
            departed,
            [Departed {
                name: "a".into(),
                namespace: None,
                since: now
            }]
        );
    }

    #[test]
    fn who_comes_back_in_time_has_not_departed() {
        let now = Instant::now();
        let mut live = Live::new(8);
        live.arrived(&service("a", None));
        live.left(&service("a", None), now);
        live.arrived(&service("a", None));
        live.passed(&service("a", None), now);
        assert_eq!(live.take_departed(), []);
        live.left(&service("a", None), now);
        assert_eq!(names(&mut live), ["a"]);
    }

    #[test]
    fn what_is_not_reported_is_counted() {
        let now = Instant::now();
        let mut live = Live::new(2);
        for name in ["a", "b", "b", "c", "d"] {
            live.passed(&service(name, None), now);
        }
        assert_eq!(live.take_lost(), 2);
        assert_eq!(live.take_lost(), 0);
        assert_eq!(names(&mut live), ["c", "d"]);
    }
}
