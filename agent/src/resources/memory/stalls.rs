//! What the kernel programs count: stalls to free memory, and kills because there was none.

use hark_common::histogram::Exp2;
use hark_common::memory::{MemoryCounter, MemoryTally};
use hark_common::process::Task;

use crate::kernel::memory::MemoryPrograms;
use crate::resources::Host;
use crate::resources::group::CollectError;
use crate::resources::histogram;
use crate::resources::ledger::{Ledger, Tally};
use crate::telemetry::page::{Family, Kind, Page};

const STALLS: Family = Family {
    name: "hark_memory_stall_seconds",
    help: "How long tasks stood still, each time, to free memory before they could have some: because the host was short of it, or because their cgroup was at its limit.",
    unit: Some("seconds"),
    kind: Kind::Histogram,
    source: "mm_vmscan_direct_reclaim_begin, mm_vmscan_direct_reclaim_end, mm_vmscan_memcg_reclaim_begin, mm_vmscan_memcg_reclaim_end",
    labels: &["cause"],
};

const SERVICE_STALLS: Family = Family {
    name: "hark_service_memory_stall_seconds",
    help: "How long threads of the service stood still, each time, to free memory before they could have some: because the host was short of it, or because their cgroup was at its limit.",
    unit: Some("seconds"),
    kind: Kind::Histogram,
    source: "mm_vmscan_direct_reclaim_begin, mm_vmscan_direct_reclaim_end, mm_vmscan_memcg_reclaim_begin, mm_vmscan_memcg_reclaim_end",
    labels: &["service_name", "service_namespace", "cause"],
};

const KILLS: Family = Family {
    name: "hark_service_memory_oom_kills",
    help: "Processes of the service that the kernel chose to kill because memory was out, of the host or of a cgroup. One that was dying already and is let die faster is among them.",
    unit: None,
    kind: Kind::Counter,
    source: "mark_victim",
    labels: &["service_name", "service_namespace"],
};

const LOST: Family = Family {
    name: "hark_memory_events_lost",
    help: "Stalls and kills that are not in the figures: of a process that found no room in the table of processes (processes_full; the host's figures have them), stalls whose beginning and end were not both seen (unpaired), events that the kernel did not hand to the agent's programs (skipped).",
    unit: None,
    kind: Kind::Counter,
    source: "the agent's kernel programs",
    labels: &["reason"],
};

/// What this module writes.
pub(super) const FAMILIES: &[&Family] = &[&STALLS, &SERVICE_STALLS, &KILLS, &LOST];

impl Tally for MemoryTally {
    fn task(&self) -> &Task {
        &self.task
    }

    fn add_since(&mut self, now: &Self, earlier: &Self) {
        histogram::add_since(&mut self.direct, &now.direct, &earlier.direct);
        histogram::add_since(&mut self.cgroup, &now.cgroup, &earlier.cgroup);
        self.killed += now.killed.saturating_sub(earlier.killed);
    }
}

/// The kernel programs' figures, by service.
pub(super) struct Stalls {
    programs: MemoryPrograms,
    ledger: Ledger<MemoryTally>,
}

impl Stalls {
    pub(super) fn new(programs: MemoryPrograms) -> Self {
        Self {
            programs,
            ledger: Ledger::default(),
        }
    }

    /// Takes note of the processes that are there, and of those that were killed, while it is known
    /// whose they were.
    pub(super) fn tend(&mut self, host: &Host) {
        // What cannot be read now fails at the scrape too, and is told there.
        let _ = self.ledger.post(&mut self.programs.processes, host);
    }

    pub(super) fn write(&mut self, page: &mut Page<'_>, host: &Host) -> Result<(), CollectError> {
        let posted = self.ledger.post(&mut self.programs.processes, host);
        let stalls = self.programs.stalls()?;
        page.family(&STALLS)?;
        for (cause, histogram) in [("host", &stalls.direct), ("cgroup", &stalls.cgroup)] {
            histogram::write(page, &STALLS, &format!("cause=\"{cause}\""), histogram)?;
        }
        page.family(&SERVICE_STALLS)?;
        for (labels, tally) in self.ledger.services() {
            for (cause, of_service) in [("host", &tally.direct), ("cgroup", &tally.cgroup)] {
                if *of_service != Exp2::default() {
                    let labels = format!("{labels},cause=\"{cause}\"");
                    histogram::write(page, &SERVICE_STALLS, &labels, of_service)?;
                }
            }
        }
        page.family(&KILLS)?;
        for (labels, tally) in self.ledger.services() {
            page.sample(&KILLS, labels, tally.killed)?;
        }
        page.family(&LOST)?;
        for (reason, count) in [
            (
                "processes_full",
                self.programs.counter(MemoryCounter::ProcessesFull)?,
            ),
            ("unpaired", self.programs.counter(MemoryCounter::Unpaired)?),
            ("skipped", self.programs.skipped()),
        ] {
            page.sample(&LOST, &format!("reason=\"{reason}\""), count)?;
        }
        posted
    }
}
