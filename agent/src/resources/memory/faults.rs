//! Major faults per service: page faults that had to wait for a disk.

use std::collections::HashMap;

use indexmap::IndexMap;

use crate::resources::Host;
use crate::resources::census::Look;
use crate::resources::group::CollectError;
use crate::resources::services::{Owner, ServiceLabels, Services};
use crate::telemetry::page::{Family, Kind, Page};

const FAULTS: Family = Family {
    name: "hark_service_memory_major_faults",
    help: "Page faults of the service's processes that had to wait for a disk. Of a process that ended, those up to the last look at it, some two seconds before at most.",
    unit: None,
    kind: Kind::Counter,
    source: "/proc/PID/stat majflt",
    labels: &["service_name", "service_namespace"],
};

/// What this module writes.
pub(super) const FAMILIES: &[&Family] = &[&FAULTS];

/// Faults per service since the agent was started. What a process had is kept when it is gone.
#[derive(Debug, Default)]
pub(super) struct Faults {
    processes: HashMap<(u32, u64), (u64, Owner)>,
    services: IndexMap<ServiceLabels, u64>,
}

impl Faults {
    /// Looks at the living processes.
    pub(super) fn post(&mut self, host: &Host) {
        self.post_look(&host.census.look(), &host.services);
    }

    fn post_look(&mut self, look: &Look, services: &Services) {
        let mut living = HashMap::with_capacity(look.processes.len());
        for process in &look.processes {
            let key = (process.pid, process.start_ticks);
            let now = process.major_faults;
            let (earlier, owner) = match self.processes.remove(&key) {
                Some(last) => last,
                // What it had before the agent came is history.
                None if process.before_agent => (now, process.owner.clone()),
                None => (0, process.owner.clone()),
            };
            // Whose it was, not whose it is if it has called exec since.
            if let Some(labels) = owner.labels() {
                let sum = self.services.entry(labels.clone()).or_default();
                *sum += now.saturating_sub(earlier);
            }
            living.insert(key, (now, process.owner.clone()));
        }
        // Who was not reached is not gone.
        if !look.is_complete {
            living.extend(self.processes.drain());
        }
        self.processes = living;
        self.services.retain(|labels, _| services.has(labels));
    }

    pub(super) fn write(&mut self, page: &mut Page<'_>, host: &Host) -> Result<(), CollectError> {
        let look = host.census.look();
        self.post_look(&look, &host.services);
        page.family(&FAULTS)?;
        for (labels, faults) in &self.services {
            page.sample(&FAULTS, labels, faults)?;
        }
        if !look.is_complete {
            return Err(CollectError::TooMany {
                what: "processes",
                limit: crate::resources::census::MAX_PROCESSES,
            });
        }
        Ok(())
    }
}
