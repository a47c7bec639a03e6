//! How long threads wait for a CPU, from the maps of the scheduler's programs.

use std::cell::RefCell;

use aya::maps::{Array, HashMap as BpfMap, MapData, PerCpuArray};
use hark_common::histogram::Exp2;
use hark_common::process::{ProcessKey, Task};
use hark_common::sched::{SchedCounter, SchedHost, SchedTally};

use super::service_seconds::ServiceSeconds;
use crate::kernel::counters::Counters;
use crate::kernel::object::{Object, ObjectError, refused};
use crate::resources::Host;
use crate::resources::group::CollectError;
use crate::resources::histogram;
use crate::resources::ledger::{ByProcess, Ledger, ProcessMap, Tally};
use crate::telemetry::page::{Family, Kind, Page};

const SOURCE: &str = "tp_btf sched_switch, task_struct.sched_info.run_delay";

const HOST_WAITS: Family = Family {
    name: "hark_cpu_run_queue_wait_seconds",
    help: "How long threads that could run waited for a CPU, those of the kernel too: one sample for each time \
           that one got onto a CPU, entered when it leaves it.",
    unit: Some("seconds"),
    kind: Kind::Histogram,
    source: SOURCE,
    labels: &[],
};

const WAITS: Family = Family {
    name: "hark_service_cpu_run_queue_wait_seconds",
    help: "How long the service's threads that could run waited for a CPU: one sample for each time that one got \
           onto a CPU, entered when it leaves it.",
    unit: Some("seconds"),
    kind: Kind::Histogram,
    source: SOURCE,
    labels: &["service_name", "service_namespace"],
};

const HOST_INVOLUNTARY: Family = Family {
    name: "hark_cpu_involuntary_switches",
    help: "Times that a thread was made to leave a CPU on which it could have gone on, those of the kernel too.",
    unit: None,
    kind: Kind::Counter,
    source: "tp_btf sched_switch, task_struct.nivcsw",
    labels: &[],
};

const INVOLUNTARY: Family = Family {
    name: "hark_service_cpu_involuntary_switches",
    help: "Times that a thread of the service was made to leave a CPU on which it could have gone on.",
    unit: None,
    kind: Kind::Counter,
    source: "tp_btf sched_switch, task_struct.nivcsw",
    labels: &["service_name", "service_namespace"],
};

const UNACCOUNTED: Family = Family {
    name: "hark_sched_unaccounted",
    help: "Context switches that are missing from these metrics: no memory to remember the thread, no room for \
           another process, skipped by the kernel; or merged: entered as one with another.",
    unit: None,
    kind: Kind::Counter,
    source: "the agent",
    labels: &["reason"],
};

/// What this module writes.
pub(super) const FAMILIES: [&Family; 5] = [
    &HOST_WAITS,
    &WAITS,
    &HOST_INVOLUNTARY,
    &INVOLUNTARY,
    &UNACCOUNTED,
];

/// What is missing, by the label `reason`.
const REASONS: [(&str, SchedCounter); 3] = [
    ("no_memory", SchedCounter::NoStorage),
    ("no_room", SchedCounter::NoRoom),
    ("merged", SchedCounter::Merged),
];

impl Tally for SchedTally {
    fn task(&self) -> &Task {
        &self.task
    }

    /// All but the CPU time, which `ServiceSeconds` adds up.
    fn add_since(&mut self, now: &Self, earlier: &Self) {
        histogram::add_since(&mut self.waits, &now.waits, &earlier.waits);
        self.involuntary += now.involuntary.saturating_sub(earlier.involuntary);
    }
}

/// The scheduler's programs, running, and what they have counted.
pub(super) struct RunQueue {
    object: Object,
    tallies: ProcessMap<SchedTally>,
    host: PerCpuArray<MapData, SchedHost>,
    counters: Counters,
    ledger: Ledger<SchedTally>,
}

impl RunQueue {
    /// Opens the maps of the object, and says to its programs that they count from `since` on, in
    /// ns since boot.
    ///
    /// # Errors
    ///
    /// It lacks one, which only a stale build can cause.
    pub(super) fn open(mut object: Object, since: u64) -> Result<Self, ObjectError> {
        let tallies: BpfMap<MapData, ProcessKey, SchedTally> = object.map("TALLIES")?;
        let mut watched_since: Array<MapData, u64> = object.map("WATCHED_SINCE")?;
        watched_since
            .set(0, since, 0)
            .map_err(|error| refused("sched", "writing a map", &error))?;
        Ok(Self {
            tallies: ProcessMap::new("TALLIES", tallies),
            host: object.map("HOST")?,
            counters: Counters::take(&mut object, "COUNTERS")?,
            ledger: Ledger::default(),
            object,
        })
    }

    /// Posts what was counted since the last call; CPU time goes to `seconds`.
    pub(super) fn post(
        &mut self,
        host: &Host,
        seconds: &mut ServiceSeconds,
    ) -> Result<(), CollectError> {
        let mut watched = Watched {
            map: &mut self.tallies,
            seconds: RefCell::new(seconds),
            host,
        };
        self.ledger.post(&mut watched, host)
    }

    /// Writes what was posted, and the host's own.
    pub(super) fn write(&self, page: &mut Page<'_>) -> Result<(), CollectError> {
        let per_cpu = self.host.get(&0, 0);
        let per_cpu = per_cpu.map_err(|error| CollectError::of_map("HOST", &error))?;
        let mut sum = SchedHost::default();
        for of_cpu in per_cpu.iter() {
            histogram::add_since(&mut sum.waits, &of_cpu.waits, &Exp2::default());
            sum.involuntary += of_cpu.involuntary;
        }
        page.family(&HOST_WAITS)?;
        histogram::write(page, &HOST_WAITS, "", &sum.waits)?;
        page.family(&HOST_INVOLUNTARY)?;
        page.sample(&HOST_INVOLUNTARY, "", sum.involuntary)?;
        page.family(&WAITS)?;
        for (labels, tally) in self.ledger.services() {
            histogram::write(page, &WAITS, labels, &tally.waits)?;
        }
        page.family(&INVOLUNTARY)?;
        for (labels, tally) in self.ledger.services() {
            page.sample(&INVOLUNTARY, labels, tally.involuntary)?;
        }
        self.unaccounted(page)
    }

    fn unaccounted(&self, page: &mut Page<'_>) -> Result<(), CollectError> {
        page.family(&UNACCOUNTED)?;
        let mut tell =
            |reason, count: u64| page.sample(&UNACCOUNTED, &format!("reason=\"{reason}\""), count);
        for (reason, counter) in REASONS {
            tell(reason, self.counters.total(counter as u32)?)?;
        }
        Ok(tell("skipped", self.object.skipped())?)
    }
}

/// The map of tallies, whose CPU time is looked at as it passes.
struct Watched<'a> {
    map: &'a mut ProcessMap<SchedTally>,
    seconds: RefCell<&'a mut ServiceSeconds>,
    host: &'a Host,
}

impl Watched<'_> {
    fn pass(&self, key: ProcessKey, tally: &SchedTally) {
        let owner = || self.host.census.owner(&tally.task);
        self.seconds.borrow_mut().tallied(key, tally, owner);
    }
}

impl ByProcess<SchedTally> for Watched<'_> {
    fn each(&self, see: &mut dyn FnMut(ProcessKey, SchedTally)) -> Result<(), CollectError> {
        self.map.each(&mut |key, tally| {
            self.pass(key, &tally);
            see(key, tally);
        })
    }

    fn remove(&mut self, key: &ProcessKey) -> Option<SchedTally> {
        let last = self.map.remove(key)?;
        self.pass(*key, &last);
        Some(last)
    }
}
