//! Which service a process is.
//!
//! Names, strongest first: what the process says of itself in its environment (`environ`); the
//! container or systemd unit that its cgroup names (`cgroup`, `container`); what a person
//! would call the program (`program`). [`NameSource`] says which it was.
//!
//! A process is looked at once, as soon as it is first seen to do HTTP, because it may be gone a
//! moment later; after that it is one hash lookup. The key has the start time and the number of
//! execs, so neither pid reuse nor exec can bring up another's name.
//!
//! The bias: an answer always comes, at once, and never by asking a third party. What cannot be
//! read makes the name coarser and is counted.

mod cgroup;
mod container;
mod environ;
mod live;
mod lookup;
mod metrics;
mod process;
mod program;
mod text;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hark_common::socket::{ProcessKey, ProcessRecord, Task};
use prometheus_client::registry::Registry;

pub use live::Departed;
use live::Live;
use lookup::Lookup;
use metrics::Metrics;

use crate::hash::IndexMap;

/// How a service got its name, from the surest to the weakest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NameSource {
    /// `OTEL_SERVICE_NAME` or `OTEL_RESOURCE_ATTRIBUTES` in its environment.
    Environment,
    /// The container its cgroup names.
    Container,
    /// The systemd unit its cgroup names.
    Unit,
    /// What an interpreter or virtual machine runs: script, module, jar.
    Program,
    /// The executable.
    Executable,
    /// `comm`, all that is left of a process that was gone before it could be looked at, and all
    /// that a kernel thread has.
    Comm,
}

/// A service: one Resource in the terms of OpenTelemetry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Service {
    /// `service.name`, label `service_name`.
    pub name: Arc<str>,
    /// `service.namespace`, label `service_namespace`.
    pub namespace: Option<Arc<str>>,
    /// `service.version`.
    pub version: Option<Arc<str>>,
    /// `service.instance.id`.
    pub instance_id: Arc<str>,
    /// `process.pid`.
    pub pid: u32,
    /// `process.executable.name`.
    pub executable: Option<Arc<str>>,
    /// `container.id`.
    pub container_id: Option<Arc<str>>,
    /// Further resource attributes that the process names in `OTEL_RESOURCE_ATTRIBUTES`.
    pub attributes: Vec<(Arc<str>, Arc<str>)>,
    /// Where the name is from.
    pub source: NameSource,
}

/// What the kernel side captured of a process that may be gone: the beginnings, possibly cut, of
/// what `/proc` would show.
#[derive(Clone, Copy, Debug, Default)]
pub struct Remains<'a> {
    /// The command line, arguments separated by NUL.
    pub args: &'a [u8],
    /// The environment, variables separated by NUL.
    pub environ: &'a [u8],
}

/// Most processes that one call of [`Identities::sweep`] looks at.
const SWEEP_BATCH: usize = 64;
/// Departures that are kept between two sweeps, at least.
const MIN_DEPARTED: usize = 1024;
/// How often a process is looked up that seems to be in the middle of exec. One that has taken its
/// own arguments and environment away would seem so for ever.
const MAX_TRIES: u8 = 100;
/// How long a process that is gone is remembered, for the records that are still on their way.
const GONE_KEPT: Duration = Duration::from_secs(60);

/// The services of all processes that were seen to do HTTP.
///
/// Bounded. When it is full, a process that was not asked for lately makes room (second chance,
/// also called CLOCK: least recently used within one turn of the hand, at the price of one bit
/// per lookup); should it be seen again, it is looked up again.
#[derive(Debug)]
pub struct Identities {
    lookup: Lookup,
    processes: IndexMap<ProcessKey, Entry>,
    max: usize,
    /// The next candidate for eviction.
    hand: usize,
    /// The next process to be swept.
    cursor: usize,
    live: Live,
    metrics: Metrics,
}

#[derive(Debug)]
struct Entry {
    service: Arc<Service>,
    /// Asked for since the hand last came by.
    used: bool,
    /// When it was found to be gone.
    gone: Option<Instant>,
    /// How often it was looked up in the middle of exec, to be looked up again; 0 once it is known.
    tries: u8,
}

impl Identities {
    /// `proc_root` is `/proc`, or where the host's is mounted; `max` is the most processes that
    /// are kept ([`Limits::max_processes`](crate::config::Limits::max_processes)).
    #[must_use]
    pub fn new(proc_root: PathBuf, max: usize) -> Self {
        let max = max.max(1);
        Self {
            lookup: Lookup::new(proc_root),
            processes: IndexMap::default(),
            max,
            hand: 0,
            cursor: 0,
            live: Live::new(max.saturating_mul(2).max(MIN_DEPARTED)),
            metrics: Metrics::new(),
        }
    }

    /// The service of the process that `task` belongs to. Looks at `/proc` if the process is not
    /// known yet; else it is one hash lookup.
    pub fn resolve(&mut self, task: &Task) -> Arc<Service> {
        if let Some(entry) = self.processes.get_mut(&task.process)
            && entry.tries == 0
        {
            entry.used = true;
            return Arc::clone(&entry.service);
        }
        self.look_up(task, Remains::default())
    }

    /// A process does HTTP for the first time: looks at it now, for it may be gone at once.
    ///
    /// What `remains` of it names it if the process is gone, or has called exec since.
    pub fn learn(&mut self, process: &ProcessRecord, remains: Remains<'_>) {
        let known = self.processes.get(&process.task.process);
        // A name by `comm` is all there was without the command line.
        if known.is_none_or(|e| {
            e.tries > 0 || e.service.source == NameSource::Comm && !remains.args.is_empty()
        }) {
            self.look_up(&process.task, remains);
        }
    }

    /// Looks whether known processes still exist, a bounded number per call, and forgets those
    /// that have been gone for a minute. Gives the services that have no living process left, each
    /// once, until it has one again. To be called every second or so.
    ///
    /// A service also departs when its last process had to make room in the full table; it comes
    /// back with the next request that the process serves or sends.
    pub fn sweep(&mut self) -> Vec<Departed> {
        self.sweep_at(Instant::now())
    }

    /// Whether a living process of this service is known now.
    #[must_use]
    pub fn is_live(&self, name: &Arc<str>, namespace: Option<&Arc<str>>) -> bool {
        self.live.is_live(name, namespace)
    }

    /// Registers the counters `hark_identity_*`.
    pub fn register(&self, registry: &mut Registry) {
        self.metrics.register(registry);
    }

    fn look_up(&mut self, task: &Task, remains: Remains<'_>) -> Arc<Service> {
        let found = self.lookup.find(task, remains, &self.metrics);
        let tries = match self.processes.get(&task.process) {
            Some(entry) if found.unsettled => (entry.tries + 1) % MAX_TRIES,
            Some(_) | None => u8::from(found.unsettled),
        };
        self.remove(&task.process);
        let now = Instant::now();
        if found.alive {
            self.live.arrived(&found.service);
        } else {
            self.live.passed(&found.service, now);
        }
        let service = Arc::new(found.service);
        let entry = Entry {
            service: Arc::clone(&service),
            used: false,
            gone: (!found.alive).then_some(now),
            tries,
        };
        self.processes.insert(task.process, entry);
        if self.processes.len() > self.max {
            self.evict();
        }
        self.count();
        service
    }

    fn remove(&mut self, key: &ProcessKey) {
        if let Some(entry) = self.processes.swap_remove(key)
            && entry.gone.is_none()
        {
            self.live.left(&entry.service, Instant::now());
        }
    }

    /// Removes the first process that was not used since the hand last came by. The newest one,
    /// which is last, takes its place behind the hand, so that a whole turn is before it.
    fn evict(&mut self) {
        loop {
            if self.hand + 1 >= self.processes.len() {
                self.hand = 0;
            }
            let Some((key, entry)) = self.processes.get_index_mut(self.hand) else {
                return;
            };
            let key = *key;
            let used = std::mem::take(&mut entry.used);
            if !used {
                self.remove(&key);
                self.metrics.evictions.inc();
            }
            self.hand += 1;
            if !used {
                return;
            }
        }
    }

    fn sweep_at(&mut self, now: Instant) -> Vec<Departed> {
        for _ in 0..SWEEP_BATCH.min(self.processes.len()) {
            if self.cursor >= self.processes.len() {
                self.cursor = 0;
            }
            let Some((key, entry)) = self.processes.get_index_mut(self.cursor) else {
                break;
            };
            match entry.gone {
                None if !self.lookup.is_alive(key) => {
                    entry.gone = Some(now);
                    self.live.left(&entry.service, now);
                }
                Some(since) if now.saturating_duration_since(since) >= GONE_KEPT => {
                    // The last one takes its place and is next.
                    self.processes.swap_remove_index(self.cursor);
                    continue;
                }
                None | Some(_) => {}
            }
            self.cursor += 1;
        }
        self.count();
        self.metrics.departures_lost.inc_by(self.live.take_lost());
        self.live.take_departed()
    }

    fn count(&self) {
        let processes = i64::try_from(self.processes.len()).unwrap_or(i64::MAX);
        self.metrics.processes.set(processes);
    }
}

#[cfg(test)]
mod tests;
