//! The block object: loaded, attached, and its maps.

use aya::maps::{HashMap, MapData, MapError};
use hark_common::block::{BlockOffsets, Counter, DeviceKey, DeviceStats, ErrorKey, Request};

use super::btf::{Btf, BtfError};
use super::counters::Counters;
use super::object::{Object, ObjectError, Types, Wanted};
use crate::resources::group::CollectError;

/// The object that `cargo xtask build` made; empty in an agent that was built without it.
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("HARK_BLOCK_OBJECT"));

/// Tells of the start of a request, in the context of whoever submits it.
const START: &str = "block_io_start";

/// What this object attaches to. The end comes first: of what is under way meanwhile, the start is
/// missed, and not the end.
pub const WANTED: [Wanted; 6] = [
    Wanted {
        name: "block_rq_complete",
        args: 3,
        gives: "the time that disks take for a request, and errors",
        required: true,
        since: "",
    },
    Wanted {
        name: START,
        args: 1,
        gives: "bytes and operations of disks per service where no I/O scheduler is used, and the \
                time in the queue there",
        required: false,
        since: "; it came with Linux 6.5",
    },
    Wanted {
        name: "block_rq_insert",
        args: 1,
        gives: "the time in the queue of an I/O scheduler apart from the time before it",
        required: false,
        since: "",
    },
    Wanted {
        name: "block_rq_issue",
        args: 1,
        gives: "the time that disks take for a request",
        required: true,
        since: "",
    },
    Wanted {
        name: "block_rq_requeue",
        args: 1,
        gives: "requests that a disk's driver gave back, and the right time in the queue of these",
        required: false,
        since: "",
    },
    Wanted {
        name: "block_rq_merge",
        args: 1,
        gives: "an early end to following requests that became a part of another",
        required: false,
        since: "",
    },
];

/// Looks up every field of [`BlockOffsets`]. Fails with the first that this kernel lacks.
pub fn offsets(btf: &Btf) -> Result<BlockOffsets, BtfError> {
    Ok(BlockOffsets {
        process: super::offsets::process_from_btf(btf)?,
        request_q: btf.offset_of("request", "q")?,
        request_cmd_flags: btf.offset_of("request", "cmd_flags")?,
        request_data_len: btf.offset_of("request", "__data_len")?,
        queue_disk: btf.offset_of("request_queue", "disk")?,
        disk_major: btf.offset_of("gendisk", "major")?,
        disk_first_minor: btf.offset_of("gendisk", "first_minor")?,
        disk_name: btf.offset_of("gendisk", "disk_name")?,
    })
}

/// Whether this kernel numbers `blk_status_t` as Linux 6.10 and later do. That commit left no trace
/// in the types, so one is looked for that came with the next release.
#[must_use]
pub fn has_new_status_numbers(btf: &Btf) -> bool {
    btf.has_enum("rqf_flags")
}

/// The block programs, running. They are detached when this is dropped, or its process ends.
pub struct BlockPrograms {
    object: Object,
    requests: HashMap<MapData, u64, Request>,
    devices: HashMap<MapData, DeviceKey, DeviceStats>,
    errors: HashMap<MapData, ErrorKey, u64>,
    counters: Counters,
}

/// Loads the object and attaches its programs.
///
/// # Errors
///
/// This kernel lacks what the object cannot do without, or refuses it.
pub fn load(types: &Types) -> Result<Object, ObjectError> {
    let offsets = offsets(&types.btf)?;
    let owner_at_insert = u32::from(types.btf.tracepoint_args(START).is_none());
    let mut loader = types.loader("block");
    loader
        .override_global("OFFSETS", &offsets, true)
        .override_global("OWNER_AT_INSERT", &owner_at_insert, true);
    Object::load("block", OBJECT, &WANTED, types, &mut loader)
}

impl BlockPrograms {
    /// Takes the maps out of the object, but that of the processes, which is for whoever keeps their
    /// accounts.
    ///
    /// # Errors
    ///
    /// It lacks one, which only a stale build can cause.
    pub fn new(mut object: Object) -> Result<Self, ObjectError> {
        Ok(Self {
            requests: object.map("REQUESTS")?,
            devices: object.map("DEVICES")?,
            errors: object.map("ERRORS")?,
            counters: Counters::take(&mut object, "COUNTERS")?,
            object,
        })
    }

    /// What is counted of each disk and operation that had a request.
    ///
    /// # Errors
    ///
    /// Those of reading the map.
    pub fn devices(&self) -> Result<Vec<(DeviceKey, DeviceStats)>, CollectError> {
        all("DEVICES", self.devices.iter())
    }

    /// Errors so far.
    ///
    /// # Errors
    ///
    /// Those of reading the map.
    pub fn errors(&self) -> Result<Vec<(ErrorKey, u64)>, CollectError> {
        all("ERRORS", self.errors.iter())
    }

    /// Forgets a disk.
    pub fn forget(&mut self, device: u32) {
        let keys = self.devices.keys().filter_map(Result::ok);
        let gone: Vec<_> = keys.filter(|key| key.device == device).collect();
        for key in gone {
            let _ = self.devices.remove(&key);
        }
        let keys = self.errors.keys().filter_map(Result::ok);
        let gone: Vec<_> = keys.filter(|key| key.device == device).collect();
        for key in gone {
            let _ = self.errors.remove(&key);
        }
    }

    /// Stops following requests that were begun or issued before `before_ns` (`CLOCK_MONOTONIC`) and
    /// have not ended since; says how many.
    pub fn forget_requests(&mut self, before_ns: u64) -> u64 {
        let entries = self.requests.iter().filter_map(Result::ok);
        let old: Vec<u64> = entries
            .filter(|(_, request)| request.queued_ns.max(request.issued_ns) < before_ns)
            .map(|(address, _)| address)
            .collect();
        let removed = old
            .iter()
            .filter(|address| self.requests.remove(address).is_ok());
        removed.count() as u64
    }

    /// Value of a counter over all CPUs.
    ///
    /// # Errors
    ///
    /// The map cannot be read.
    pub fn counter(&self, counter: Counter) -> Result<u64, CollectError> {
        self.counters.total(counter as u32)
    }

    /// Events that the kernel did not hand to a program, because the program was running already
    /// on that CPU.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.object.skipped()
    }
}

fn all<T>(
    map: &'static str,
    entries: impl Iterator<Item = Result<T, MapError>>,
) -> Result<Vec<T>, CollectError> {
    let present = entries.filter(|entry| !matches!(entry, Err(MapError::KeyNotFound)));
    let read: Result<Vec<T>, MapError> = present.collect();
    read.map_err(|error| CollectError::of_map(map, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The name of a disk stands between its numbers, which the kernel's own ABI of `/proc/diskstats`
    /// shows as they are, and its partitions.
    #[test]
    fn the_running_kernel_has_all_fields() {
        let Ok(btf) = Btf::of_running_kernel() else {
            eprintln!("SKIPPED the_running_kernel_has_all_fields: no /sys/kernel/btf/vmlinux");
            return;
        };
        let offsets = offsets(&btf).unwrap();
        assert_eq!(offsets.disk_first_minor, offsets.disk_major + 4);
        assert!(offsets.disk_name > offsets.disk_first_minor);
        assert_ne!(offsets.request_cmd_flags, offsets.request_data_len);
    }
}
