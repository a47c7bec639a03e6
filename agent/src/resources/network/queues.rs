//! The accept queues of the listening sockets, by service: how full, and what was turned away.
//!
//! Looked at in each network namespace that a living process is in. Whose a listener is, is found
//! once: the process that has it among its files, of several the one that was started first, but
//! not process 1, which may only have made it for another (socket activation).

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use indexmap::IndexMap;

use crate::kernel::sock_diag::{self, Ask, SockDiagError, TcpSocket};
use crate::resources::Host;
use crate::resources::census::Process;
use crate::resources::group::CollectError;
use crate::resources::ledger::Sum;
use crate::resources::services::{Owner, ServiceLabels};
use crate::telemetry::page::{Family, Kind, Page};

/// Most listeners that are looked at.
const MAX_LISTENERS: usize = 8192;

/// Time for one look into all namespaces, and for one search for owners.
const BUDGET: Duration = Duration::from_millis(250);

/// Searches after which nobody is taken to have the listener: one of the kernel's own has no file.
const SEARCHES: u8 = 3;

/// Looks that a listener may be missing from before it is forgotten: the process that led into its
/// namespace may have ended in between, and what is counted twice could not be taken back.
const KEPT_LOOKS: u64 = 8;

const SOURCE: &str = "sock_diag";
const SERVICE: &[&str] = &["service_name", "service_namespace"];

const LENGTH: Family = Family {
    name: "hark_service_accept_queue_length",
    help: "TCP connections that wait to be accepted now, in all listeners of the service.",
    unit: None,
    kind: Kind::Gauge,
    source: SOURCE,
    labels: SERVICE,
};

const LIMIT: Family = Family {
    name: "hark_service_accept_queue_limit",
    help: "How many connections may wait, the sum over all listeners of the service.",
    unit: None,
    kind: Kind::Gauge,
    source: SOURCE,
    labels: SERVICE,
};

const FULLEST: Family = Family {
    name: "hark_service_accept_queue_fullest_ratio",
    help: "How full the fullest accept queue of the service is; at 1 connections are turned away.",
    unit: Some("ratio"),
    kind: Kind::Gauge,
    source: SOURCE,
    labels: SERVICE,
};

const DROPS: Family = Family {
    name: "hark_service_accept_queue_drops",
    help: "Connection attempts that the listeners of the service turned away since the agent's start, because the queue was full or for another reason.",
    unit: None,
    kind: Kind::Counter,
    source: SOURCE,
    labels: SERVICE,
};

const UNKNOWN: Family = Family {
    name: "hark_accept_queue_unknown_listeners",
    help: "Listening TCP sockets that no service is known for.",
    unit: None,
    kind: Kind::Gauge,
    source: SOURCE,
    labels: &[],
};

const UNREAD: Family = Family {
    name: "hark_accept_queue_namespaces_unread",
    help: "Network namespaces whose accept queues were not seen, or not all, at this scrape. Entering another namespace needs CAP_SYS_ADMIN; without the kernel's module tcp_diag none is seen.",
    unit: None,
    kind: Kind::Gauge,
    source: SOURCE,
    labels: &[],
};

/// What this module writes.
pub(super) const FAMILIES: &[&Family] = &[&LENGTH, &LIMIT, &FULLEST, &DROPS, &UNKNOWN, &UNREAD];

/// What is remembered of a listener.
#[derive(Debug)]
struct Known {
    owner: Owner,
    /// The process that the owner was taken from: its pid and start time.
    process: Option<(u32, u64)>,
    searches: u8,
    drops: u32,
    round: u64,
}

/// The gauges of a service.
#[derive(Debug, Default)]
struct Queue {
    length: u64,
    limit: u64,
    fullest: f64,
}

/// The listeners, and what was turned away by service.
#[derive(Debug, Default)]
pub(super) struct Queues {
    known: HashMap<u64, Known>,
    drops: IndexMap<ServiceLabels, u64>,
    round: u64,
    /// All listeners were looked at once: one that is new was made since.
    settled: bool,
}

impl Queues {
    /// Writes all families. What the kernel does not list, or the agent may not enter, is counted
    /// and no failure: it is no more to be had at the next scrape.
    pub(super) fn write(&mut self, page: &mut Page<'_>, host: &Host) -> Result<(), CollectError> {
        let look = host.census.look();
        let found = sock_diag::everywhere(
            &host.proc_root,
            look.processes.iter().map(|process| process.pid),
            Ask::Listeners,
            MAX_LISTENERS,
            Instant::now() + BUDGET,
        );
        let unread = found.unread;
        let seen = match found.why {
            None | Some(SockDiagError::Missing) => Ok(()),
            Some(why) => Err(why.into()),
        };
        let found: Vec<TcpSocket> = found
            .sockets
            .into_iter()
            .map(|(_, socket)| socket)
            .collect();
        self.round += 1;
        // A part of the listeners is no reason to forget the others.
        let complete = seen.is_ok();
        self.find_owners(&found, &look.processes, &host.proc_root);
        let mut queues: Sum<Queue> = Sum::default();
        let mut unknown = 0u64;
        for listener in &found {
            let Some(labels) = self.enter(listener) else {
                unknown += 1;
                continue;
            };
            let queue = queues.of(&labels);
            let (length, limit) = (listener.receive_queue, listener.send_queue);
            queue.length += u64::from(length);
            queue.limit += u64::from(limit);
            // It is full with one more than the limit (sk_acceptq_is_full).
            let full = f64::from(length) / (f64::from(limit) + 1.0);
            queue.fullest = queue.fullest.max(full);
        }
        let round = self.round;
        if complete {
            self.settled = true;
            self.known
                .retain(|_, known| round - known.round < KEPT_LOOKS);
        }
        self.drops.retain(|labels, _| host.services.has(labels));
        self.write_page(page, &queues, unknown)?;
        page.family(&UNREAD)?;
        page.sample(&UNREAD, "", unread)?;
        seen
    }

    fn write_page(
        &self,
        page: &mut Page<'_>,
        queues: &Sum<Queue>,
        unknown: u64,
    ) -> Result<(), CollectError> {
        page.family(&LENGTH)?;
        for (labels, queue) in queues.iter() {
            page.sample(&LENGTH, labels, queue.length)?;
        }
        page.family(&LIMIT)?;
        for (labels, queue) in queues.iter() {
            page.sample(&LIMIT, labels, queue.limit)?;
        }
        page.family(&FULLEST)?;
        for (labels, queue) in queues.iter() {
            page.sample(&FULLEST, labels, queue.fullest)?;
        }
        page.family(&DROPS)?;
        for (labels, drops) in &self.drops {
            page.sample(&DROPS, labels, drops)?;
        }
        page.family(&UNKNOWN)?;
        Ok(page.sample(&UNKNOWN, "", unknown)?)
    }

    /// Posts what the listener has turned away since the last look, and says whose it is.
    fn enter(&mut self, listener: &TcpSocket) -> Option<ServiceLabels> {
        let known = self.known.get_mut(&listener.cookie)?;
        let labels = known.owner.labels()?.clone();
        let drops = listener.drops.unwrap_or(known.drops);
        let new = drops.wrapping_sub(known.drops);
        known.drops = drops;
        *self.drops.entry(labels.clone()).or_default() += u64::from(new);
        Some(labels)
    }

    /// Looks for the owners of listeners that are new, or whose owner is gone.
    fn find_owners(&mut self, found: &[TcpSocket], processes: &[Process], proc_root: &Path) {
        let alive: HashMap<u32, u64> = processes.iter().map(|p| (p.pid, p.start_ticks)).collect();
        let mut wanted = HashMap::new();
        for listener in found {
            let known = self.known.entry(listener.cookie).or_insert_with(|| Known {
                owner: Owner::Unknown,
                process: None,
                searches: 0,
                // What was there at the agent's first look is history.
                drops: listener.drops.filter(|_| !self.settled).unwrap_or(0),
                round: 0,
            });
            known.round = self.round;
            match known.process {
                Some((pid, start)) if alive.get(&pid) == Some(&start) => {}
                Some(_) => {
                    known.process = None;
                    known.searches = 1;
                    wanted.insert(listener.inode, listener.cookie);
                }
                None if known.searches < SEARCHES => {
                    known.searches += 1;
                    wanted.insert(listener.inode, listener.cookie);
                }
                None => {}
            }
        }
        if wanted.is_empty() {
            return;
        }
        let mut by_age: Vec<&Process> = processes.iter().collect();
        by_age.sort_unstable_by_key(|p| (p.pid == 1, p.start_ticks, p.pid));
        let begun = Instant::now();
        for process in by_age {
            if wanted.is_empty() {
                break;
            }
            if begun.elapsed() > BUDGET {
                // Not looked for to the end: that was no search.
                for cookie in wanted.values() {
                    if let Some(known) = self.known.get_mut(cookie) {
                        known.searches = known.searches.saturating_sub(1);
                    }
                }
                break;
            }
            for inode in sock_diag::held_by(proc_root, process.pid) {
                let Some(known) = wanted
                    .remove(&inode)
                    .and_then(|cookie| self.known.get_mut(&cookie))
                else {
                    continue;
                };
                known.owner = process.owner.clone();
                known.process = Some((process.pid, process.start_ticks));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::kernel::sock_diag::Counters;

    fn listener(cookie: u64, drops: u32) -> TcpSocket {
        let nowhere = (Ipv4Addr::UNSPECIFIED.into(), 0);
        TcpSocket {
            cookie,
            inode: 7,
            family: 2,
            state: 10,
            local: nowhere,
            peer: nowhere,
            receive_queue: 0,
            send_queue: 1,
            drops: Some(drops),
            counters: Counters::default(),
        }
    }

    fn process(root: &Path, pid: u32, start_ticks: u64, name: &str) -> Process {
        let folder = root.join(pid.to_string()).join("fd");
        std::fs::create_dir_all(&folder).unwrap();
        let _ = std::os::unix::fs::symlink("socket:[7]", folder.join("3"));
        Process {
            pid,
            start_ticks,
            owner: Owner::Service(format!("service_name=\"{name}\"").into()),
            before_agent: false,
            cpu_ticks: 0,
            major_faults: 0,
            resident_pages: 0,
            threads: 1,
        }
    }

    fn drops(queues: &Queues) -> Vec<(&str, u64)> {
        queues.drops.iter().map(|(l, n)| (&**l, *n)).collect()
    }

    #[test]
    fn the_oldest_that_has_it_but_not_init() {
        let root = tempfile::tempdir().unwrap();
        let processes = [
            process(root.path(), 1, 0, "init"),
            process(root.path(), 20, 5, "worker"),
            process(root.path(), 30, 4, "master"),
        ];
        let mut queues = Queues::default();
        // What it had turned away before the agent's first look is not counted.
        queues.find_owners(&[listener(9, 100)], &processes, root.path());
        queues.enter(&listener(9, 103));
        assert_eq!(drops(&queues), [("service_name=\"master\"", 3)]);
        // A listener that came later began at 0; the count of the other wraps.
        queues.settled = true;
        queues.known.get_mut(&9).unwrap().drops = u32::MAX;
        let two = [listener(9, 1), listener(10, 5)];
        queues.find_owners(&two, &processes, root.path());
        queues.enter(&two[0]);
        queues.enter(&two[1]);
        assert_eq!(drops(&queues), [("service_name=\"master\"", 3 + 2 + 5)]);
        // The owner ends, and another has the socket still.
        queues.find_owners(&two[..1], &processes[..2], root.path());
        queues.enter(&listener(9, 2));
        assert_eq!(
            drops(&queues),
            [
                ("service_name=\"master\"", 10),
                ("service_name=\"worker\"", 1)
            ]
        );
    }

    #[test]
    fn who_has_no_file_is_not_looked_for_without_end() {
        let root = tempfile::tempdir().unwrap();
        let mut queues = Queues::default();
        for _ in 0..10 {
            queues.find_owners(&[listener(9, 0)], &[], root.path());
            assert!(queues.enter(&listener(9, 0)).is_none());
        }
        assert_eq!(queues.known[&9].searches, SEARCHES);
    }
}
