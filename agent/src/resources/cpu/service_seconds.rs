//! CPU seconds per service: exact for what has ended, current for what runs.
//!
//! Two books are kept of a process. The programs in the kernel add a run to its tally when it ends,
//! to the nanosecond and for threads that are gone by the next moment, too; of a thread that does not
//! leave its CPU they know nothing yet. `/proc/PID/stat` is current within a tick, rounds down to
//! ticks, and ends with the process. Neither says more than is true, so the greater of the two is
//! what the process has had, and whatever it has grown by since the last look is posted to the
//! service that it belongs to now. Nothing is taken back and nothing is posted twice.

use std::collections::HashMap;

use hark_common::process::ProcessKey;
use hark_common::sched::SchedTally;
use indexmap::IndexMap;

use crate::process_stat::{nanos, ticks};
use crate::resources::Host;
use crate::resources::census::{MAX_PROCESSES, Process};
use crate::resources::group::CollectError;
use crate::resources::services::{Owner, ServiceLabels};

/// A process over all programs that it runs: exec changes its [`ProcessKey`], but not the sums that
/// `/proc` has of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Life {
    pid: u32,
    start_ticks: u64,
}

impl Life {
    const fn of(key: &ProcessKey) -> Self {
        Self {
            pid: key.pid,
            start_ticks: ticks(key.start_boottime_ns),
        }
    }
}

#[derive(Debug, Default)]
struct Account {
    /// What `/proc` had of it before anything of it counts; `None` before the first look.
    history_ns: Option<u64>,
    /// The sum of its tallies.
    tallied_ns: u64,
    /// What was posted: the greatest that any book ever said.
    posted_ns: u64,
}

/// A tally, as it was at the last look.
#[derive(Debug)]
struct Tallied {
    owner: Owner,
    cpu_ns: u64,
}

/// CPU time by service.
#[derive(Debug)]
pub(super) struct ServiceSeconds {
    /// What was started before this many ticks after boot has a history that does not count.
    since_ticks: u64,
    accounts: HashMap<Life, Account>,
    tallies: HashMap<ProcessKey, Tallied>,
    services: IndexMap<ServiceLabels, u64>,
    refused: bool,
}

impl ServiceSeconds {
    /// Counts from `since` on, in ns since boot.
    pub(super) fn new(since: u64) -> Self {
        Self {
            since_ticks: ticks(since),
            accounts: HashMap::new(),
            tallies: HashMap::new(),
            services: IndexMap::new(),
            refused: false,
        }
    }

    /// What the kernel's side has of a process. `owner` says whose it is, and is asked once.
    pub(super) fn tallied(
        &mut self,
        key: ProcessKey,
        tally: &SchedTally,
        owner: impl FnOnce() -> Owner,
    ) {
        let tallied = self.tallies.entry(key).or_insert_with(|| Tallied {
            owner: owner(),
            cpu_ns: 0,
        });
        let more = tally.cpu_ns.saturating_sub(tallied.cpu_ns);
        tallied.cpu_ns += more;
        let owner = tallied.owner.clone();
        let Some(account) = account(&mut self.accounts, &mut self.refused, Life::of(&key)) else {
            return;
        };
        account.tallied_ns += more;
        let total = account.tallied_ns;
        post(&mut self.services, account, total, &owner);
    }

    /// What `/proc` has of a process.
    pub(super) fn seen(&mut self, process: &Process) {
        let life = Life {
            pid: process.pid,
            start_ticks: process.start_ticks,
        };
        let Some(account) = account(&mut self.accounts, &mut self.refused, life) else {
            return;
        };
        let now = nanos(process.cpu_ticks);
        let posted = account.posted_ns;
        let history = *account.history_ns.get_or_insert_with(|| {
            if life.start_ticks < self.since_ticks {
                // What was tallied is a part of what it has now.
                now.saturating_sub(posted)
            } else {
                0
            }
        });
        let total = now.saturating_sub(history);
        post(&mut self.services, account, total, &process.owner);
    }

    /// Forgets processes that have ended, and services that are no longer told.
    pub(super) fn forget(&mut self, host: &Host) -> Result<(), CollectError> {
        self.tallies.retain(|key, _| host.census.is_alive(key));
        let tallies = &self.tallies;
        let tallied: std::collections::HashSet<Life> = tallies.keys().map(Life::of).collect();
        self.accounts.retain(|life, _| {
            tallied.contains(life)
                || host.census.is_alive(&ProcessKey {
                    start_boottime_ns: nanos(life.start_ticks),
                    pid: life.pid,
                    exec_id: 0,
                })
        });
        self.services.retain(|labels, _| host.services.has(labels));
        if std::mem::take(&mut self.refused) {
            return Err(CollectError::TooMany {
                what: "processes",
                limit: MAX_PROCESSES,
            });
        }
        Ok(())
    }

    /// CPU time in ns by service.
    pub(super) fn services(&self) -> impl Iterator<Item = (&ServiceLabels, u64)> {
        self.services.iter().map(|(labels, nanos)| (labels, *nanos))
    }
}

fn account<'a>(
    accounts: &'a mut HashMap<Life, Account>,
    refused: &mut bool,
    life: Life,
) -> Option<&'a mut Account> {
    if accounts.len() >= MAX_PROCESSES && !accounts.contains_key(&life) {
        *refused = true;
        return None;
    }
    Some(accounts.entry(life).or_default())
}

/// Posts what `total` has beyond what was posted.
fn post(
    services: &mut IndexMap<ServiceLabels, u64>,
    account: &mut Account,
    total: u64,
    owner: &Owner,
) {
    let more = total.saturating_sub(account.posted_ns);
    account.posted_ns += more;
    if let Owner::Service(labels) = owner {
        match services.get_mut(labels) {
            Some(sum) => *sum += more,
            None => {
                services.insert(labels.clone(), more);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: u64 = nanos(1);
    /// The agent came a thousand ticks after boot.
    const SINCE: u64 = 1000;

    fn owner(name: &str) -> Owner {
        Owner::Service(name.into())
    }

    fn process(start_ticks: u64, cpu_ticks: u64, name: &str) -> Process {
        Process {
            pid: 7,
            start_ticks,
            owner: owner(name),
            before_agent: start_ticks < SINCE,
            cpu_ticks,
            major_faults: 0,
            resident_pages: 0,
            threads: 1,
        }
    }

    fn key(start_ticks: u64, exec_id: u32) -> ProcessKey {
        ProcessKey {
            // Between two ticks, as they are.
            start_boottime_ns: start_ticks * TICK + 3,
            pid: 7,
            exec_id,
        }
    }

    fn tally(cpu_ns: u64) -> SchedTally {
        SchedTally {
            cpu_ns,
            ..SchedTally::default()
        }
    }

    fn of(seconds: &ServiceSeconds, name: &str) -> u64 {
        seconds.services.get(name).copied().unwrap_or_default()
    }

    fn fresh() -> ServiceSeconds {
        ServiceSeconds::new(SINCE * TICK)
    }

    #[test]
    fn the_greater_of_the_two_books() {
        let mut seconds = fresh();
        seconds.seen(&process(1001, 5, "a"));
        assert_eq!(of(&seconds, "a"), 5 * TICK);
        // Left the CPU a little later.
        seconds.tallied(key(1001, 0), &tally(5 * TICK + 77), || owner("a"));
        assert_eq!(of(&seconds, "a"), 5 * TICK + 77);
        // Rounded down.
        seconds.seen(&process(1001, 5, "a"));
        assert_eq!(of(&seconds, "a"), 5 * TICK + 77);
        seconds.seen(&process(1001, 9, "a"));
        seconds.tallied(key(1001, 0), &tally(8 * TICK), || unreachable!());
        assert_eq!(of(&seconds, "a"), 9 * TICK);
        // Its last run.
        seconds.tallied(key(1001, 0), &tally(9 * TICK + 1), || unreachable!());
        assert_eq!(of(&seconds, "a"), 9 * TICK + 1);
    }

    #[test]
    fn history_does_not_count() {
        let mut seconds = fresh();
        seconds.seen(&process(10, 400, "a"));
        assert_eq!(of(&seconds, "a"), 0);
        seconds.seen(&process(10, 403, "a"));
        assert_eq!(of(&seconds, "a"), 3 * TICK);

        // Tallied before the first look: that part is no history.
        let mut seconds = fresh();
        seconds.tallied(key(10, 0), &tally(2 * TICK), || owner("a"));
        seconds.seen(&process(10, 400, "a"));
        assert_eq!(of(&seconds, "a"), 2 * TICK);
        seconds.seen(&process(10, 401, "a"));
        assert_eq!(of(&seconds, "a"), 3 * TICK);
    }

    #[test]
    fn exec_goes_on_with_the_same_sums() {
        let mut seconds = fresh();
        seconds.tallied(key(1001, 0), &tally(4 * TICK), || owner("shell"));
        seconds.seen(&process(1001, 4, "shell"));
        seconds.tallied(key(1001, 1), &tally(6 * TICK), || owner("server"));
        seconds.seen(&process(1001, 10, "server"));
        assert_eq!(of(&seconds, "shell"), 4 * TICK);
        assert_eq!(of(&seconds, "server"), 6 * TICK);
        seconds.seen(&process(1001, 12, "server"));
        assert_eq!(of(&seconds, "server"), 8 * TICK);
    }

    #[test]
    fn who_is_unknown_is_in_no_service() {
        let mut seconds = fresh();
        seconds.tallied(key(1001, 0), &tally(4 * TICK), || Owner::Unknown);
        seconds.seen(&process(1001, 6, "late"));
        assert_eq!(of(&seconds, "late"), 2 * TICK);
    }
}
