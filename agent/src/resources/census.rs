//! The living processes, whose they are, and what `/proc` says of each.
//!
//! All groups share one look, at most so old, because it is a read per process. A process is named
//! once per program that it runs: its start time and the place of its stack, which exec draws anew,
//! tell one program from the next.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hark_common::process::{ProcessKey, Task};

use super::services::{Owner, ServiceLabels, Services};
use crate::identity::Identities;
use crate::process_stat::{MAX_LENGTH, ProcessStat, nanos, ticks};

/// A look is good for so long: the groups of one scrape share it.
const FRESH: Duration = Duration::from_millis(500);

/// Most processes that are looked at.
pub const MAX_PROCESSES: usize = 32_768;

/// How long a look may take; what was not reached by then is missing from it.
const BUDGET: Duration = Duration::from_millis(500);

/// Looks for which the owner of a process that is gone is remembered, for what the kernel side
/// counted of it: at least some half a minute.
const REMEMBERED: u64 = 64;

/// A living process that is not the kernel's own.
#[derive(Clone, Debug)]
pub struct Process {
    /// Its thread group id in the pid namespace of the `/proc` mount.
    pub pid: u32,
    /// When it was started, in clock ticks since boot.
    pub start_ticks: u64,
    /// Whose it is.
    pub owner: Owner,
    /// It was started before the agent was: what it has so far is history.
    pub before_agent: bool,
    /// User and system time of all its threads, those that ended too, in clock ticks.
    pub cpu_ticks: u64,
    /// Major faults, of all its threads.
    pub major_faults: u64,
    /// Resident pages.
    pub resident_pages: u64,
    /// Threads.
    pub threads: u64,
}

/// One look at all processes.
#[derive(Debug)]
pub struct Look {
    /// In no order.
    pub processes: Vec<Process>,
    /// All were looked at.
    pub is_complete: bool,
    alive: HashMap<u32, u64>,
    at: Instant,
}

/// The living processes and their services.
pub struct Census {
    proc_root: PathBuf,
    identities: Arc<Mutex<Identities>>,
    services: Arc<Services>,
    /// Clock ticks since boot when the agent started.
    started_ticks: u64,
    state: Mutex<State>,
}

impl std::fmt::Debug for Census {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Census").finish_non_exhaustive()
    }
}

#[derive(Default)]
struct State {
    last: Option<Arc<Look>>,
    named: HashMap<u32, Named>,
    /// Numbers the looks.
    round: u64,
}

struct Named {
    start_ticks: u64,
    stack: u64,
    owner: Owner,
    round: u64,
}

impl Census {
    /// Of the processes that `proc_root` shows.
    #[must_use]
    pub fn new(
        proc_root: PathBuf,
        identities: Arc<Mutex<Identities>>,
        services: Arc<Services>,
    ) -> Self {
        let started_ticks =
            read(&proc_root.join("self/stat"), &mut Vec::new()).map_or(0, |own| own.start_ticks);
        Self {
            proc_root,
            identities,
            services,
            started_ticks,
            state: Mutex::default(),
        }
    }

    /// The living processes, seen half a second ago at most. Waits for a look that is under way.
    pub fn look(&self) -> Arc<Look> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = &state.last
            && last.at.elapsed() < FRESH
        {
            return Arc::clone(last);
        }
        let look = Arc::new(self.look_now(&mut state));
        state.last = Some(Arc::clone(&look));
        look
    }

    /// Whose a task is by what can be learned of it now.
    fn identified(&self, task: &Task) -> Owner {
        let service = {
            let mut identities = self
                .identities
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            identities.resolve(task)
        };
        self.services.owner(&service)
    }

    /// Whose a task is that the kernel side met, and that may be gone by now. Then it is whose it was
    /// when it was last seen, if it was seen: what is left of a process tells less than the living one
    /// did.
    pub fn owner(&self, task: &Task) -> Owner {
        let key = &task.process;
        let is_alive = || {
            self.stat(key.pid)
                .is_some_and(|stat| is_of(&stat, key) && stat.resident_pages > 0)
        };
        let owner = if is_alive() {
            self.identified(task)
        } else {
            Owner::Unknown
        };
        // It may have ended while it was looked at.
        if owner == Owner::Unknown
            && let Some(last) = self.last_owner(key)
        {
            return last;
        }
        match owner {
            Owner::Unknown => self.identified(task),
            Owner::Service(_) => owner,
        }
    }

    fn last_owner(&self, key: &ProcessKey) -> Option<Owner> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let named = state.named.get(&key.pid)?;
        (named.start_ticks == ticks(key.start_boottime_ns)).then(|| named.owner.clone())
    }

    /// Whether the process was there at the last look. One that started since is alive too.
    #[must_use]
    pub fn is_alive(&self, key: &ProcessKey) -> bool {
        let look = self.look();
        match look.alive.get(&key.pid) {
            Some(start) => *start == ticks(key.start_boottime_ns),
            None => !look.is_complete || self.is_there(key),
        }
    }

    fn is_there(&self, key: &ProcessKey) -> bool {
        self.stat(key.pid).is_some_and(|stat| is_of(&stat, key))
    }

    fn stat(&self, pid: u32) -> Option<ProcessStat> {
        let path = self.proc_root.join(pid.to_string()).join("stat");
        read(&path, &mut Vec::new())
    }

    fn look_now(&self, state: &mut State) -> Look {
        let at = Instant::now();
        state.round += 1;
        let mut look = Look {
            processes: Vec::new(),
            is_complete: true,
            alive: HashMap::new(),
            at,
        };
        let Ok(entries) = std::fs::read_dir(&self.proc_root) else {
            look.is_complete = false;
            return look;
        };
        let mut buffer = Vec::with_capacity(1024);
        for entry in entries.flatten() {
            let name = entry.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            if look.alive.len() >= MAX_PROCESSES || at.elapsed() > BUDGET {
                look.is_complete = false;
                break;
            }
            let Some(stat) = read(&entry.path().join("stat"), &mut buffer) else {
                continue;
            };
            look.alive.insert(pid, stat.start_ticks);
            if stat.is_kernel_thread() {
                continue;
            }
            look.processes.push(Process {
                pid,
                start_ticks: stat.start_ticks,
                owner: self.named(state, pid, &stat),
                before_agent: stat.start_ticks < self.started_ticks,
                cpu_ticks: stat.cpu_ticks,
                major_faults: stat.major_faults,
                resident_pages: stat.resident_pages,
                threads: stat.threads,
            });
        }
        let round = state.round;
        if look.is_complete {
            let keep = if state.named.len() > MAX_PROCESSES {
                0
            } else {
                REMEMBERED
            };
            state.named.retain(|_, named| round - named.round <= keep);
        }
        let living = look.processes.iter().filter_map(|p| p.owner.labels());
        self.services.keep(living);
        look
    }

    fn named(&self, state: &mut State, pid: u32, stat: &ProcessStat) -> Owner {
        let round = state.round;
        if let Some(named) = state.named.get_mut(&pid)
            && named.start_ticks == stat.start_ticks
            // One that has ended and was not waited for has none, and cannot be asked who it was.
            && (named.stack == stat.stack || stat.stack == 0)
            && named
                .owner
                .labels()
                .is_none_or(|labels| self.services.has(labels))
        {
            named.round = round;
            return named.owner.clone();
        }
        let owner = self.identified(&Task {
            process: ProcessKey {
                start_boottime_ns: nanos(stat.start_ticks),
                pid,
                // Not that of the kernel, which /proc does not show, but one that changes with it.
                exec_id: (stat.stack >> 4) as u32,
            },
            ..Task::default()
        });
        state.named.insert(
            pid,
            Named {
                start_ticks: stat.start_ticks,
                stack: stat.stack,
                owner: owner.clone(),
                round,
            },
        );
        owner
    }
}

/// Whether this is of that process, not of another with the same id.
const fn is_of(stat: &ProcessStat, key: &ProcessKey) -> bool {
    stat.start_ticks == ticks(key.start_boottime_ns)
}

/// Labels of all services with a living process.
impl Look {
    /// Each service that has a living process, once per process.
    pub fn living(&self) -> impl Iterator<Item = &ServiceLabels> {
        self.processes.iter().filter_map(|p| p.owner.labels())
    }
}

fn read(path: &Path, buffer: &mut Vec<u8>) -> Option<ProcessStat> {
    buffer.clear();
    let file = File::open(path).ok()?;
    file.take(MAX_LENGTH as u64).read_to_end(buffer).ok()?;
    // What has no start time is no process's.
    ProcessStat::parse(buffer).filter(|stat| stat.start_ticks != 0)
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    fn owner_of(census: &Census, child: &Child) -> Option<(Owner, u64)> {
        let look = census.look();
        let mut found = look.processes.iter().filter(|p| p.pid == child.id());
        found.next().map(|p| (p.owner.clone(), p.resident_pages))
    }

    fn until(census: &Census, child: &Child, what: impl Fn(&Owner, u64) -> bool) -> Owner {
        for _ in 0..100 {
            if let Some((owner, pages)) = owner_of(census, child)
                && what(&owner, pages)
            {
                return owner;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("never seen so");
    }

    #[test]
    fn a_process_that_was_killed_is_whose_it_was() {
        let identities = Identities::new("/proc".into(), 1 << 16);
        let services = Services::new(1 << 16, Duration::from_secs(60));
        let census = Census::new(
            "/proc".into(),
            Arc::new(Mutex::new(identities)),
            Arc::new(services),
        );
        let mut child = Command::new("sleep")
            .arg("60")
            .env("OTEL_SERVICE_NAME", "census-killed")
            .spawn()
            .unwrap();
        let named = |owner: &Owner| {
            let labels = owner.labels();
            labels.is_some_and(|labels| labels.contains("census-killed"))
        };
        until(&census, &child, |owner, _| named(owner));
        child.kill().unwrap();
        // It has not been waited for: what is left of it is in `/proc`.
        let owner = until(&census, &child, |_, pages| pages == 0);
        child.wait().unwrap();
        assert!(named(&owner), "{owner:?}");
    }
}
