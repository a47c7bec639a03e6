//! Processes grouped into services, by small numbers.
//!
//! Metrics know a service by its name and namespace; several processes share one. A process's
//! [`Service`] is found by its address, which is cheap, and is safe because a [`Weak`] keeps the
//! allocation from being used for another. The same [`Weak`] tells when nobody else remembers the
//! process any more.

use std::sync::{Arc, Weak};

use crate::hash::HashMap;
use crate::identity::Service;

/// Longest service name or namespace, in bytes: they stand in every line of the service's series.
const LONGEST_NAME: usize = 256;

/// Sweeping is not due below this many processes.
const SWEEP_FROM: usize = 64;

/// Number of a service; never used again for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ServiceId(u64);

/// What tells services apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ServiceName {
    pub(crate) name: Arc<str>,
    pub(crate) namespace: Option<Arc<str>>,
}

impl ServiceName {
    fn of(service: &Service) -> Self {
        Self {
            name: limited(&service.name),
            namespace: service
                .namespace
                .as_ref()
                .filter(|namespace| !namespace.is_empty())
                .map(limited),
        }
    }
}

fn limited(text: &Arc<str>) -> Arc<str> {
    if text.len() <= LONGEST_NAME {
        return Arc::clone(text);
    }
    let mut end = LONGEST_NAME;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].into()
}

/// The services whose processes were seen.
#[derive(Debug, Default)]
pub(crate) struct Services {
    /// By address.
    processes: HashMap<usize, Process>,
    ids: HashMap<ServiceName, ServiceId>,
    named: HashMap<ServiceId, Named>,
    next: u64,
    swept: usize,
}

#[derive(Debug)]
struct Process {
    service: Weak<Service>,
    id: ServiceId,
    /// It stays known until it is swept, so that what is told of it late does not revive it.
    gone: bool,
}

#[derive(Debug)]
struct Named {
    name: ServiceName,
    processes: usize,
}

impl Services {
    /// The number of a process's service; remembers the process.
    pub(crate) fn id(&mut self, service: &Arc<Service>) -> ServiceId {
        let address = Arc::as_ptr(service).addr();
        if let Some(process) = self.processes.get(&address) {
            return process.id;
        }
        let name = ServiceName::of(service);
        let id = match self.ids.get(&name) {
            Some(id) => *id,
            None => {
                let id = ServiceId(self.next);
                self.next += 1;
                self.ids.insert(name.clone(), id);
                self.named.insert(id, Named { name, processes: 0 });
                id
            }
        };
        if let Some(named) = self.named.get_mut(&id) {
            named.processes += 1;
        }
        let process = Process {
            service: Arc::downgrade(service),
            id,
            gone: false,
        };
        self.processes.insert(address, process);
        id
    }

    /// The number of a process's service, if the process is remembered.
    pub(crate) fn known(&self, service: &Arc<Service>) -> Option<ServiceId> {
        let process = self.processes.get(&Arc::as_ptr(service).addr())?;
        Some(process.id)
    }

    /// The name of a service; `None` once it was forgotten.
    pub(crate) fn name(&self, id: ServiceId) -> Option<&ServiceName> {
        self.named.get(&id).map(|named| &named.name)
    }

    /// Whether a process of the service is known and not gone.
    pub(crate) fn is_live(&self, id: ServiceId) -> bool {
        self.named.get(&id).is_some_and(|named| named.processes > 0)
    }

    /// A process is gone.
    pub(crate) fn gone(&mut self, service: &Arc<Service>) {
        let process = self.processes.get_mut(&Arc::as_ptr(service).addr());
        if let Some(process) = process.filter(|process| !process.gone) {
            process.gone = true;
            let id = process.id;
            leave(&mut self.named, id);
        }
    }

    /// Whether as many processes have come since the last sweep as stayed then: sweeping whenever
    /// it is due keeps the memory of the gone within that of the living, at constant cost each.
    pub(crate) fn sweep_due(&self) -> bool {
        self.processes.len() >= SWEEP_FROM.max(2 * self.swept)
    }

    /// Lets go of the processes that nobody else remembers.
    pub(crate) fn sweep(&mut self) {
        let Self {
            processes, named, ..
        } = self;
        processes.retain(|_, process| {
            let stays = process.service.strong_count() > 0;
            if !stays && !process.gone {
                leave(named, process.id);
            }
            stays
        });
        self.swept = self.processes.len();
    }

    /// Forgets the services without a process for which `keep` is false; says whether there were any.
    pub(crate) fn retain(&mut self, keep: impl Fn(ServiceId) -> bool) -> bool {
        let Self {
            processes,
            ids,
            named,
            ..
        } = self;
        let before = named.len();
        named.retain(|id, named| {
            let stays = named.processes > 0 || keep(*id);
            if !stays {
                ids.remove(&named.name);
            }
            stays
        });
        let forgotten = named.len() < before;
        if forgotten {
            processes.retain(|_, process| named.contains_key(&process.id));
        }
        forgotten
    }

    /// Whether no process and no service is remembered.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.processes.is_empty() && self.ids.is_empty() && self.named.is_empty()
    }
}

/// A process of the service is gone.
fn leave(named: &mut HashMap<ServiceId, Named>, id: ServiceId) {
    if let Some(named) = named.get_mut(&id) {
        named.processes -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::red::testing::service;

    #[test]
    fn processes_of_one_name_and_namespace_are_one_service() {
        let mut services = Services::default();
        let one = service("shop", 1);
        let two = service("shop", 2);
        let mut other = (*service("shop", 3)).clone();
        other.namespace = Some("prod".into());
        let other = Arc::new(other);
        let mut empty = (*service("shop", 4)).clone();
        empty.namespace = Some("".into());
        let empty = Arc::new(empty);
        let id = services.id(&one);
        assert_eq!(services.id(&two), id);
        assert_ne!(services.id(&other), id);
        assert_eq!(services.id(&empty), id, "an empty label is no label");
    }

    #[test]
    fn a_service_lives_as_long_as_one_of_its_processes() {
        let mut services = Services::default();
        let (one, two) = (service("shop", 1), service("shop", 2));
        let id = services.id(&one);
        services.id(&two);
        drop(one);
        services.sweep();
        assert!(services.is_live(id));
        services.gone(&two);
        services.gone(&two);
        assert!(!services.is_live(id));
        assert_eq!(services.id(&two), id);
        assert!(!services.is_live(id), "late news do not revive it");
        services.retain(|kept| kept == id);
        assert!(services.name(id).is_some());
        let three = service("shop", 3);
        assert_eq!(services.id(&three), id, "kept by the caller");
        drop((two, three));
        services.sweep();
        assert!(!services.is_live(id));
        services.retain(|_| false);
        assert!(services.is_empty());
    }

    #[test]
    fn a_process_that_was_forgotten_too_early_is_a_new_service() {
        let mut services = Services::default();
        let shop = service("shop", 1);
        let id = services.id(&shop);
        services.gone(&shop);
        services.retain(|_| false);
        assert!(services.is_empty());
        let again = services.id(&shop);
        assert_ne!(again, id);
        assert!(services.is_live(again) && services.name(again).is_some());
    }

    #[test]
    fn names_are_cut_at_a_character() {
        let mut services = Services::default();
        let long = service(&format!("a{}", "\u{20ac}".repeat(100_000)), 1);
        let id = services.id(&long);
        let name = &services.name(id).unwrap().name;
        assert_eq!(**name, format!("a{}", "\u{20ac}".repeat(85)));
        assert_eq!(name.len(), 256);
    }
}
