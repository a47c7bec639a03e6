//! What services read from disks and write to them.

use std::io;

use hark_common::block::{Operation, ProcessIo};
use hark_common::process::Task;

use super::super::Host;
use super::super::group::CollectError;
use super::super::ledger::{Ledger, ProcessMap, Tally};
use super::requests::operation;
use crate::telemetry::page::{Family, Kind, Page};

const OPERATIONS: Family = Family {
    name: "hark_service_disk_operations",
    help: "Requests to disks that ended and that the service's own threads had submitted. What the kernel writes back from the page cache later is in the disk's series only.",
    unit: None,
    kind: Kind::Counter,
    source: "block_io_start, block_rq_complete",
    labels: &["service_name", "service_namespace", "operation"],
};
const BYTES: Family = Family {
    name: "hark_service_disk_bytes",
    help: "Bytes of requests to disks that ended and that the service's own threads had submitted. What the kernel writes back from the page cache later is in the disk's series only; of requests that were merged, all is the first one's.",
    unit: Some("bytes"),
    kind: Kind::Counter,
    source: "block_io_start, block_rq_complete",
    labels: &["service_name", "service_namespace", "operation"],
};

/// What this module writes.
pub(super) const FAMILIES: &[&Family] = &[&OPERATIONS, &BYTES];

impl Tally for ProcessIo {
    fn task(&self) -> &Task {
        &self.task
    }

    fn add_since(&mut self, now: &Self, earlier: &Self) {
        for at in 0..Operation::COUNT {
            self.operations[at] += now.operations[at].saturating_sub(earlier.operations[at]);
            self.bytes[at] += now.bytes[at].saturating_sub(earlier.bytes[at]);
        }
    }
}

/// The accounts of the processes, and the sums of the services.
#[derive(Debug)]
pub(super) struct Accounts {
    map: ProcessMap<ProcessIo>,
    ledger: Ledger<ProcessIo>,
}

impl Accounts {
    pub(super) fn new(map: ProcessMap<ProcessIo>) -> Self {
        Self {
            map,
            ledger: Ledger::default(),
        }
    }

    /// Posts what the processes have had since the last time.
    pub(super) fn post(&mut self, host: &Host) -> Result<(), CollectError> {
        self.ledger.post(&mut self.map, host)
    }

    pub(super) fn write(&self, page: &mut Page<'_>) -> io::Result<()> {
        self.one(page, &OPERATIONS, |account| &account.operations)?;
        self.one(page, &BYTES, |account| &account.bytes)
    }

    fn one(
        &self,
        page: &mut Page<'_>,
        family: &Family,
        values: impl Fn(&ProcessIo) -> &[u64; Operation::COUNT],
    ) -> io::Result<()> {
        page.family(family)?;
        for (labels, account) in self.ledger.services() {
            for kind in Operation::ALL {
                // Few services do anything but read and write, and not all do both.
                if account.operations[kind as usize] > 0 {
                    let operation = operation(kind as u32);
                    let value = values(account)[kind as usize];
                    page.sample(
                        family,
                        &format!("{labels},operation=\"{operation}\""),
                        value,
                    )?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_has_what_came_since() {
        let account = |read: u64, flushes: u64| {
            let mut account = ProcessIo::default();
            account.operations[Operation::Read as usize] = read;
            account.bytes[Operation::Read as usize] = 4096 * read;
            account.operations[Operation::Flush as usize] = flushes;
            account
        };
        let mut sum = account(100, 0);
        sum.add_since(&account(7, 3), &account(5, 1));
        assert_eq!(sum, account(102, 2));
    }
}
