//! What the kernel programs keep of each disk: time in the queue and in the device, errors.

use std::collections::{BTreeMap, HashMap};
use std::io;

use hark_common::block::{Counter, DeviceKey, DeviceStats, Operation};
use procfs::DiskStat;

use super::super::group::CollectError;
use super::super::histogram;
use super::books::label;
use super::status;
use crate::clock::monotonic_ns;
use crate::kernel::block::BlockPrograms;
use crate::telemetry::page::{Family, Kind, Page};

const NANOS: u64 = 1_000_000_000;
/// A request that has not ended after so long is not followed any more: drivers give up long before
/// (30 s by default), so its end was not seen.
const STALE_NS: u64 = 600 * NANOS;
/// How often such requests are looked for.
const SWEEP_NS: u64 = 60 * NANOS;

const QUEUE_WAIT: Family = Family {
    name: "hark_disk_queue_wait_seconds",
    help: "Time that a request waited until it was issued to the device: from its insertion into the scheduler's queue, or from its start where there is none.",
    unit: Some("seconds"),
    kind: Kind::Histogram,
    source: "block_io_start or block_rq_insert, to block_rq_issue",
    labels: &["device", "operation"],
};
const DEVICE_TIME: Family = Family {
    name: "hark_disk_device_seconds",
    help: "Time that the device took for a request. Devices without a queue of requests, such as zram and most of the device mapper, have none.",
    unit: Some("seconds"),
    kind: Kind::Histogram,
    source: "block_rq_issue to block_rq_complete",
    labels: &["device", "operation"],
};
const ERRORS: Family = Family {
    name: "hark_disk_errors",
    help: "Ends of requests, or of parts of them, with an error, by the kernel's word for it.",
    unit: None,
    kind: Kind::Counter,
    source: "block_rq_complete",
    labels: &["device", "error"],
};
const REQUEUES: Family = Family {
    name: "hark_disk_requeues",
    help: "Times that the driver gave a request back to the queue.",
    unit: None,
    kind: Kind::Counter,
    source: "block_rq_requeue",
    labels: &["device"],
};
const LOST: Family = Family {
    name: "hark_disk_events_lost",
    help: "What is missing from the series of requests to disks. start_unseen: ended, but was in flight when the agent started, or too many were; end_unseen: the kernel told of no end (noticed when it starts another request in its place, or after ten minutes); device_limit, error_limit: one too many; process_limit, process_gone: missing from the services only; skipped: the kernel did not run a program.",
    unit: None,
    kind: Kind::Counter,
    source: "the kernel programs",
    labels: &["reason"],
};

/// What this module writes.
pub(super) const FAMILIES: &[&Family] = &[&QUEUE_WAIT, &DEVICE_TIME, &ERRORS, &REQUEUES, &LOST];

/// The programs, and what is remembered between two looks.
pub(super) struct Requests {
    programs: BlockPrograms,
    new_status_numbers: bool,
    swept_ns: u64,
    end_unseen: u64,
}

impl Requests {
    pub(super) const fn new(programs: BlockPrograms, new_status_numbers: bool) -> Self {
        Self {
            programs,
            new_status_numbers,
            swept_ns: 0,
            end_unseen: 0,
        }
    }

    /// Writes the families. `stats` are the disks that there are: others are forgotten; `None` if
    /// that is not known.
    pub(super) fn write(
        &mut self,
        stats: Option<&[DiskStat]>,
        page: &mut Page<'_>,
    ) -> Result<(), CollectError> {
        self.sweep();
        let mut devices = self.programs.devices()?;
        // One that is just being made has its name in a moment.
        devices.retain(|(_, device)| device.name[0] != 0);
        if let Some(stats) = stats {
            devices.retain(|(key, device)| {
                let there = stats.iter().any(|stat| is_of(stat, key, &device.name));
                if !there {
                    self.programs.forget(key.device);
                }
                there
            });
        }
        devices.sort_unstable_by_key(|(key, _)| (key.device, key.operation));
        let names: HashMap<u32, String> = devices
            .iter()
            .map(|(key, device)| (key.device, label(&text(&device.name))))
            .collect();
        self.histograms(&devices, &names, page)?;

        page.family(&ERRORS)?;
        let mut errors: BTreeMap<String, u64> = BTreeMap::new();
        for (key, count) in self.programs.errors()? {
            if let Some(device) = names.get(&key.device) {
                let error = status::name(key.status, self.new_status_numbers);
                *errors
                    .entry(format!("{device},error=\"{error}\""))
                    .or_default() += count;
            }
        }
        for (labels, count) in &errors {
            page.sample(&ERRORS, labels, count)?;
        }

        page.family(&REQUEUES)?;
        let mut requeues: BTreeMap<u32, u64> = BTreeMap::new();
        for (key, device) in &devices {
            *requeues.entry(key.device).or_default() += device.requeues;
        }
        for (device, count) in requeues {
            page.sample(&REQUEUES, &names[&device], count)?;
        }
        self.losses(page)
    }

    fn histograms(
        &self,
        devices: &[(DeviceKey, DeviceStats)],
        names: &HashMap<u32, String>,
        page: &mut Page<'_>,
    ) -> io::Result<()> {
        let labels: Vec<String> = devices
            .iter()
            .map(|(key, _)| {
                let operation = operation(key.operation);
                format!("{},operation=\"{operation}\"", names[&key.device])
            })
            .collect();
        page.family(&QUEUE_WAIT)?;
        for (labels, (_, device)) in labels.iter().zip(devices) {
            histogram::write(page, &QUEUE_WAIT, labels, &device.queue_wait)?;
        }
        page.family(&DEVICE_TIME)?;
        for (labels, (_, device)) in labels.iter().zip(devices) {
            histogram::write(page, &DEVICE_TIME, labels, &device.device_time)?;
        }
        Ok(())
    }

    fn losses(&self, page: &mut Page<'_>) -> Result<(), CollectError> {
        page.family(&LOST)?;
        let counter = |counter| self.programs.counter(counter);
        for (reason, count) in [
            ("start_unseen", counter(Counter::StartUnseen)?),
            ("end_unseen", self.end_unseen + counter(Counter::EndUnseen)?),
            ("device_limit", counter(Counter::DeviceLimit)?),
            ("error_limit", counter(Counter::ErrorLimit)?),
            ("process_limit", counter(Counter::ProcessLimit)?),
            ("process_gone", counter(Counter::ProcessGone)?),
            ("skipped", self.programs.skipped()),
        ] {
            page.sample(&LOST, &format!("reason=\"{reason}\""), count)?;
        }
        Ok(())
    }

    /// A disk that was pulled out takes its requests with it.
    fn sweep(&mut self) {
        let now = monotonic_ns();
        if now.saturating_sub(self.swept_ns) < SWEEP_NS {
            return;
        }
        self.swept_ns = now;
        self.end_unseen += self.programs.forget_requests(now.saturating_sub(STALE_NS));
    }
}

/// Whether this line is about the disk of this key and name. The paths of an NVMe multipath disk
/// have a name in the file, and no number.
fn is_of(stat: &DiskStat, key: &DeviceKey, name: &[u8; 32]) -> bool {
    // `MKDEV` of include/linux/kdev_t.h; neither number is negative.
    let number = (stat.major.cast_unsigned() << 20) | stat.minor.cast_unsigned();
    (number == key.device || number == 0) && stat.name == text(name)
}

/// Text up to the first zero.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0);
    String::from_utf8_lossy(&bytes[..end.unwrap_or(bytes.len())]).into_owned()
}

/// Value of the label `operation`.
pub(super) fn operation(number: u32) -> &'static str {
    let known = Operation::ALL.into_iter().find(|o| *o as u32 == number);
    match known.unwrap_or(Operation::Other) {
        Operation::Read => "read",
        Operation::Write => "write",
        Operation::Discard => "discard",
        Operation::Flush => "flush",
        Operation::Other => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_went_to_another_disk_is_told_by_the_name() {
        let line = |line: &str| DiskStat::from_line(&format!("{line} 0 0 0 0 0 0 0 0 0 0 0"));
        let mut name = [0; 32];
        name[..3].copy_from_slice(b"vda");
        let key = DeviceKey {
            device: (254 << 20) | 16,
            operation: 0,
        };
        assert!(is_of(&line("254 16 vda").unwrap(), &key, &name));
        assert!(is_of(&line("0 0 vda").unwrap(), &key, &name));
        assert!(!is_of(&line("254 16 vdb").unwrap(), &key, &name));
        assert!(!is_of(&line("254 32 vda").unwrap(), &key, &name));
    }

    #[test]
    fn a_name_without_an_end_is_whole() {
        assert_eq!(text(&[b'a'; 32]).len(), 32);
        assert_eq!(text(b"sda\0\0"), "sda");
        assert_eq!(text(b""), "");
    }
}
