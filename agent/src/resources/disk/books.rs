//! The kernel's own books of each disk: `/proc/diskstats`.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::io::{BufReader, Read as _};
use std::path::{Path, PathBuf};

use hark_common::block::MAX_DEVICES;
use procfs::{DiskStat, DiskStats, FromBufRead as _};

use super::super::group::CollectError;
use crate::telemetry::page::{Family, Kind, Page, push_label};
use crate::telemetry::seconds::Seconds;

/// Most that is read of the file: some thousands of disks.
const LIMIT: u64 = 1 << 20;
/// A sector of these books, whatever the disk's own are (`SECTOR_SIZE`), bytes.
const SECTOR: u64 = 512;
const NANOS_PER_MILLI: u128 = 1_000_000;

const SOURCE: &str = "/proc/diskstats";

const BUSY: Family = Family {
    name: "hark_disk_busy_seconds",
    help: "Time in which the disk had at least one request in flight, since boot.",
    unit: Some("seconds"),
    kind: Kind::Counter,
    source: SOURCE,
    labels: &["device"],
};
const WEIGHTED: Family = Family {
    name: "hark_disk_weighted_seconds",
    help: "Time that requests were in flight, added up over the requests, since boot: its rate is the mean depth.",
    unit: Some("seconds"),
    kind: Kind::Counter,
    source: SOURCE,
    labels: &["device"],
};
const IN_FLIGHT: Family = Family {
    name: "hark_disk_in_flight",
    help: "Requests in flight now: in the device, and since Linux 6.16 also in the queue.",
    unit: None,
    kind: Kind::Gauge,
    source: SOURCE,
    labels: &["device"],
};
const OPERATIONS: Family = Family {
    name: "hark_disk_operations",
    help: "Requests that ended, since boot, those that failed among them.",
    unit: None,
    kind: Kind::Counter,
    source: SOURCE,
    labels: &["device", "operation"],
};
const BYTES: Family = Family {
    name: "hark_disk_bytes",
    help: "Bytes of requests that ended, since boot, those that failed among them.",
    unit: Some("bytes"),
    kind: Kind::Counter,
    source: SOURCE,
    labels: &["device", "operation"],
};
const OMITTED: Family = Family {
    name: "hark_disk_devices_omitted",
    help: "Disks with traffic that have no series, because there are too many.",
    unit: None,
    kind: Kind::Gauge,
    source: "the agent",
    labels: &[],
};

/// What this module writes.
pub(super) const FAMILIES: &[&Family] =
    &[&BUSY, &WEIGHTED, &IN_FLIGHT, &OPERATIONS, &BYTES, &OMITTED];

/// The books, and what was in them at the last look.
#[derive(Debug)]
pub(super) struct Books {
    path: PathBuf,
    disks: HashMap<String, Disk>,
}

/// Milliseconds that the kernel shows in 32 bits, which are full after 50 days of one request in
/// flight, and after hours of a hundred.
#[derive(Clone, Copy, Debug, Default)]
struct Millis {
    total: u64,
    last: u32,
}

impl Millis {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the kernel's field is as wide"
    )]
    const fn start(shown: u64) -> Self {
        Self {
            total: shown,
            last: shown as u32,
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the kernel's field is as wide"
    )]
    fn see(&mut self, shown: u64) {
        let now = shown as u32;
        self.total += u64::from(now.wrapping_sub(self.last));
        self.last = now;
    }

    const fn seconds(self) -> Seconds {
        Seconds(self.total as u128 * NANOS_PER_MILLI)
    }
}

/// A disk that has series.
#[derive(Debug)]
struct Disk {
    busy: Millis,
    weighted: Millis,
    /// All that ended: less than before means that this is another disk of the same name.
    ended: u64,
}

impl Disk {
    fn of(stat: &DiskStat) -> Self {
        Self {
            busy: Millis::start(stat.time_in_progress),
            weighted: Millis::start(stat.weighted_time_in_progress),
            ended: ended(stat),
        }
    }

    fn see(&mut self, stat: &DiskStat) {
        if ended(stat) < self.ended {
            *self = Self::of(stat);
            return;
        }
        self.ended = ended(stat);
        self.busy.see(stat.time_in_progress);
        self.weighted.see(stat.weighted_time_in_progress);
    }
}

fn ended(stat: &DiskStat) -> u64 {
    stat.reads + stat.writes + stat.discards.unwrap_or(0) + stat.flushes.unwrap_or(0)
}

impl Books {
    pub(super) fn new(proc_root: &Path) -> Self {
        Self {
            path: proc_root.join("diskstats"),
            disks: HashMap::new(),
        }
    }

    /// Reads the lines of all disks and partitions.
    pub(super) fn read(&self) -> Result<Vec<DiskStat>, CollectError> {
        let path = || self.path.display().to_string();
        let file = File::open(&self.path).map_err(|source| CollectError::Read {
            path: path(),
            source,
        })?;
        DiskStats::from_buf_read(BufReader::new(file.take(LIMIT)))
            .map(|stats| stats.0)
            .map_err(|error| CollectError::Malformed {
                path: path(),
                detail: error.to_string(),
            })
    }

    /// Writes the families of the disks; what partitions have is in that of their disk already.
    pub(super) fn write(&mut self, stats: &[DiskStat], page: &mut Page<'_>) -> io::Result<()> {
        let whole = whole_disks();
        let used: Vec<&DiskStat> = stats
            .iter()
            .filter(|stat| {
                whole
                    .as_ref()
                    .is_none_or(|names| names.contains(&stat.name))
            })
            .filter(|stat| ended(stat) + stat.in_progress > 0)
            .collect();
        let omitted = self.see(&used);
        let shown: Vec<(String, &DiskStat)> = used
            .iter()
            .filter(|stat| self.disks.contains_key(&stat.name))
            .map(|stat| (label(&stat.name), *stat))
            .collect();

        page.family(&BUSY)?;
        for (label, stat) in &shown {
            page.sample(&BUSY, label, self.disks[&stat.name].busy.seconds())?;
        }
        page.family(&WEIGHTED)?;
        for (label, stat) in &shown {
            page.sample(&WEIGHTED, label, self.disks[&stat.name].weighted.seconds())?;
        }
        page.family(&IN_FLIGHT)?;
        for (label, stat) in &shown {
            page.sample(&IN_FLIGHT, label, stat.in_progress)?;
        }
        page.family(&OPERATIONS)?;
        for (label, stat) in &shown {
            let counts = [
                ("read", Some(stat.reads)),
                ("write", Some(stat.writes)),
                ("discard", stat.discards),
                ("flush", stat.flushes),
            ];
            by_operation(page, &OPERATIONS, label, &counts)?;
        }
        page.family(&BYTES)?;
        for (label, stat) in &shown {
            let bytes = |sectors: u64| sectors.saturating_mul(SECTOR);
            let counts = [
                ("read", Some(bytes(stat.sectors_read))),
                ("write", Some(bytes(stat.sectors_written))),
                ("discard", stat.sectors_discarded.map(bytes)),
            ];
            by_operation(page, &BYTES, label, &counts)?;
        }
        page.family(&OMITTED)?;
        page.sample(&OMITTED, "", omitted)
    }

    /// Keeps a disk that has series while it is there; gives one to others while there is room.
    /// Returns how many have none.
    fn see(&mut self, used: &[&DiskStat]) -> usize {
        let present: HashSet<&str> = used.iter().map(|stat| stat.name.as_str()).collect();
        self.disks.retain(|name, _| present.contains(name.as_str()));
        let mut omitted = 0;
        for stat in used {
            if let Some(disk) = self.disks.get_mut(&stat.name) {
                disk.see(stat);
            } else if self.disks.len() < MAX_DEVICES as usize {
                self.disks.insert(stat.name.clone(), Disk::of(stat));
            } else {
                omitted += 1;
            }
        }
        omitted
    }
}

fn by_operation(
    page: &mut Page<'_>,
    family: &Family,
    device: &str,
    counts: &[(&str, Option<u64>)],
) -> io::Result<()> {
    for (operation, count) in counts {
        // Older kernels do not count all of them.
        if let Some(count) = count {
            page.sample(
                family,
                &format!("{device},operation=\"{operation}\""),
                count,
            )?;
        }
    }
    Ok(())
}

/// `device="name"`.
pub(super) fn label(name: &str) -> String {
    let mut label = String::new();
    push_label(&mut label, "device", name);
    label
}

/// The names of what is no partition; `None` if sysfs does not say.
fn whole_disks() -> Option<HashSet<String>> {
    let entries = std::fs::read_dir("/sys/block").ok()?;
    let names = entries.flatten().map(|entry| entry.file_name());
    // sysfs cannot have the slash of a name.
    let names = names.map(|name| name.to_string_lossy().replace('!', "/"));
    Some(names.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(name: &str, reads: u64, busy: u64) -> DiskStat {
        DiskStat::from_line(&format!("7 0 {name} {reads} 0 0 0 0 0 0 0 0 {busy} {busy}")).unwrap()
    }

    #[test]
    fn thirty_two_bits_that_are_full_go_on() {
        let mut books = Books::new(Path::new("/proc"));
        books.see(&[&stat("a", 1, 4_294_967_290)]);
        books.see(&[&stat("a", 2, 4)]);
        let seconds = books.disks["a"].busy.seconds().to_string();
        assert_eq!(seconds, "4294967.3");
        assert_eq!(books.disks["a"].weighted.seconds().to_string(), seconds);
    }

    #[test]
    fn another_disk_of_the_same_name_begins_anew() {
        let mut books = Books::new(Path::new("/proc"));
        books.see(&[&stat("a", 9, 5000)]);
        books.see(&[&stat("a", 1, 1000)]);
        assert_eq!(books.disks["a"].busy.seconds().to_string(), "1");
    }

    #[test]
    fn a_disk_keeps_its_series_while_it_is_there() {
        let mut books = Books::new(Path::new("/proc"));
        let stats: Vec<DiskStat> = (0..MAX_DEVICES + 2)
            .map(|n| stat(&format!("d{n}"), 1, 1))
            .collect();
        let all: Vec<&DiskStat> = stats.iter().collect();
        assert_eq!(books.see(&all[1..]), 1);
        assert_eq!(books.see(&all), 2, "one that comes later takes no place");
        assert!(!books.disks.contains_key("d0"));
        assert_eq!(books.see(&[all[0]]), 0);
        assert_eq!(books.disks.len(), 1);
    }
}
