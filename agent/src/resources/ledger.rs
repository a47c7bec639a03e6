//! Adds up, per service, what a map of the kernel side counts per process.
//!
//! The kernel side only adds; a value is what a process has had since it was first seen. The ledger
//! posts the difference since its last look to the service that the process belonged to when it was
//! first looked at, so the sum of a service never falls: not when a process ends, not when a name
//! changes. A process that is gone is read a last time as it is removed from the map.

use std::collections::HashMap;
use std::hash::BuildHasher;

use aya::Pod;
use aya::maps::{HashMap as BpfMap, MapData};
use hark_common::process::{ProcessKey, Task};
use indexmap::IndexMap;

use super::Host;
use super::group::CollectError;
use super::services::{Owner, ServiceLabels};
use crate::kernel::batch;

/// What is counted for one process.
pub trait Tally: Copy + Default {
    /// Who the process is, as it was when the kernel side first met it.
    fn task(&self) -> &Task;

    /// Adds to this sum what `now` has beyond `earlier`, an earlier value of the same process.
    fn add_since(&mut self, now: &Self, earlier: &Self);
}

/// A map by process, as the kernel side keeps it.
pub trait ByProcess<T> {
    /// Hands over each entry.
    ///
    /// # Errors
    ///
    /// Those of reading the map.
    fn each(&self, see: &mut dyn FnMut(ProcessKey, T)) -> Result<(), CollectError>;

    /// Removes an entry and gives its last value; `None` if it was removed meanwhile.
    fn remove(&mut self, key: &ProcessKey) -> Option<T>;
}

/// A hash map of the kernel side, by process.
#[derive(Debug)]
pub struct ProcessMap<T: Pod> {
    name: &'static str,
    map: BpfMap<MapData, ProcessKey, T>,
}

impl<T: Pod> ProcessMap<T> {
    /// `name` is for errors.
    #[must_use]
    pub const fn new(name: &'static str, map: BpfMap<MapData, ProcessKey, T>) -> Self {
        Self { name, map }
    }
}

impl<T: Pod> ByProcess<T> for ProcessMap<T> {
    fn each(&self, see: &mut dyn FnMut(ProcessKey, T)) -> Result<(), CollectError> {
        let read = batch::each(&self.map, &mut |key, value| see(key, value));
        read.map_err(|error| CollectError::of_map(self.name, &error))
    }

    fn remove(&mut self, key: &ProcessKey) -> Option<T> {
        // Nobody adds to it between the two: the process is gone.
        let last = self.map.get(key, 0).ok();
        let _ = self.map.remove(key);
        last
    }
}

#[derive(Debug)]
struct Posted<T> {
    owner: Owner,
    value: T,
    /// In the map at the last look.
    seen: bool,
}

/// Sums per service.
#[derive(Debug)]
pub struct Ledger<T> {
    processes: HashMap<ProcessKey, Posted<T>>,
    services: IndexMap<ServiceLabels, T>,
}

impl<T> Default for Ledger<T> {
    fn default() -> Self {
        Self {
            processes: HashMap::new(),
            services: IndexMap::new(),
        }
    }
}

impl<T: Tally> Ledger<T> {
    /// Looks at the map, and removes from it what belongs to processes that are gone.
    ///
    /// # Errors
    ///
    /// Those of reading the map; what was read until then is posted.
    pub fn post(&mut self, map: &mut impl ByProcess<T>, host: &Host) -> Result<(), CollectError> {
        for posted in self.processes.values_mut() {
            posted.seen = false;
        }
        let read = map.each(&mut |key, value| self.enter(key, &value, host));
        let gone: Vec<ProcessKey> = self
            .processes
            .keys()
            .filter(|key| !host.census.is_alive(key))
            .copied()
            .collect();
        for key in gone {
            if let Some(last) = map.remove(&key) {
                self.enter(key, &last, host);
            }
            self.processes.remove(&key);
        }
        self.processes
            .retain(|_, posted| posted.seen || read.is_err());
        self.services.retain(|labels, _| host.services.has(labels));
        read
    }

    fn enter(&mut self, key: ProcessKey, value: &T, host: &Host) {
        let posted = self.processes.entry(key).or_insert_with(|| Posted {
            owner: host.census.owner(value.task()),
            value: T::default(),
            seen: true,
        });
        posted.seen = true;
        if posted.owner == Owner::Unknown {
            // What was learned since may name it, and then all that it has had is its service's.
            posted.owner = host.census.owner(value.task());
        }
        if let Owner::Service(labels) = &posted.owner {
            let sum = match self.services.get_mut(labels) {
                Some(sum) => sum,
                None => self.services.entry(labels.clone()).or_default(),
            };
            sum.add_since(value, &posted.value);
            posted.value = *value;
        }
    }

    /// The sums, by service.
    pub fn services(&self) -> impl Iterator<Item = (&ServiceLabels, &T)> {
        self.services.iter()
    }
}

/// Adds up values by service within one collection, for what has no history: gauges.
#[derive(Debug)]
pub struct Sum<T, S = std::hash::RandomState>(IndexMap<ServiceLabels, T, S>);

impl<T, S: Default> Default for Sum<T, S> {
    fn default() -> Self {
        Self(IndexMap::default())
    }
}

impl<T: Default, S: BuildHasher> Sum<T, S> {
    /// The sum of a service, zero at first.
    pub fn of(&mut self, labels: &ServiceLabels) -> &mut T {
        self.0.entry(labels.clone()).or_default()
    }

    /// The sums, by service.
    pub fn iter(&self) -> impl Iterator<Item = (&ServiceLabels, &T)> {
        self.0.iter()
    }
}
