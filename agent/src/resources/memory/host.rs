//! The host's memory: `/proc/meminfo` and `/proc/vmstat` (proc_meminfo(5), proc_vmstat(5)).

use procfs::{FromRead as _, Meminfo, VmStat};

use crate::resources::Host;
use crate::resources::group::CollectError;
use crate::telemetry::page::{Family, Kind, Page};

const fn gauge(name: &'static str, help: &'static str, source: &'static str) -> Family {
    Family {
        name,
        help,
        unit: Some("bytes"),
        kind: Kind::Gauge,
        source,
        labels: &[],
    }
}

const SIZE: Family = gauge(
    "hark_memory_size_bytes",
    "Memory that the kernel can use.",
    "/proc/meminfo MemTotal",
);
const USED: Family = gauge(
    "hark_memory_used_bytes",
    "Memory that could not be had without swapping: the size without what is available.",
    "/proc/meminfo MemTotal, MemAvailable",
);
const AVAILABLE: Family = gauge(
    "hark_memory_available_bytes",
    "Memory that could be had without swapping, by the kernel's estimate.",
    "/proc/meminfo MemAvailable",
);
const FREE: Family = gauge(
    "hark_memory_free_bytes",
    "Memory that is used for nothing.",
    "/proc/meminfo MemFree",
);
const CACHED: Family = gauge(
    "hark_memory_cached_bytes",
    "Content of files in memory, shared memory and tmpfs among them.",
    "/proc/meminfo Cached",
);
const BUFFERS: Family = gauge(
    "hark_memory_buffers_bytes",
    "Content of block devices in memory.",
    "/proc/meminfo Buffers",
);
const SHARED: Family = gauge(
    "hark_memory_shared_bytes",
    "Shared memory and tmpfs.",
    "/proc/meminfo Shmem",
);
const ANONYMOUS: Family = gauge(
    "hark_memory_anonymous_bytes",
    "Memory of processes that is not a file's content.",
    "/proc/meminfo AnonPages",
);
const SLAB_RECLAIMABLE: Family = gauge(
    "hark_memory_slab_reclaimable_bytes",
    "The kernel's own structures, those that it can do without.",
    "/proc/meminfo SReclaimable",
);
const SLAB_UNRECLAIMABLE: Family = gauge(
    "hark_memory_slab_unreclaimable_bytes",
    "The kernel's own structures, those that it cannot do without.",
    "/proc/meminfo SUnreclaim",
);
const PAGE_TABLES: Family = gauge(
    "hark_memory_page_tables_bytes",
    "Page tables of processes.",
    "/proc/meminfo PageTables",
);
const DIRTY: Family = gauge(
    "hark_memory_dirty_bytes",
    "Content of files that waits to be written.",
    "/proc/meminfo Dirty",
);
const WRITEBACK: Family = gauge(
    "hark_memory_writeback_bytes",
    "Content of files that is being written.",
    "/proc/meminfo Writeback",
);
const CORRUPTED: Family = gauge(
    "hark_memory_corrupted_bytes",
    "Memory that the kernel no longer uses because the hardware found it broken.",
    "/proc/meminfo HardwareCorrupted",
);
const SWAP_SIZE: Family = gauge(
    "hark_memory_swap_size_bytes",
    "Swap space.",
    "/proc/meminfo SwapTotal",
);
const SWAP_USED: Family = gauge(
    "hark_memory_swap_used_bytes",
    "Swap space in use.",
    "/proc/meminfo SwapTotal, SwapFree",
);

const fn counter(
    name: &'static str,
    help: &'static str,
    unit: Option<&'static str>,
    source: &'static str,
    labels: &'static [&'static str],
) -> Family {
    Family {
        name,
        help,
        unit,
        kind: Kind::Counter,
        source,
        labels,
    }
}

const MAJOR_FAULTS: Family = counter(
    "hark_memory_major_faults",
    "Page faults that had to wait for a disk.",
    None,
    "/proc/vmstat pgmajfault",
    &[],
);
const SWAP: Family = counter(
    "hark_memory_swapped_bytes",
    "Memory swapped, by direction.",
    Some("bytes"),
    "/proc/vmstat pswpin, pswpout",
    &["direction"],
);
const OOM_KILLS: Family = counter(
    "hark_memory_oom_kills",
    "Processes that the kernel killed because memory was out, of the host or of a cgroup.",
    None,
    "/proc/vmstat oom_kill",
    &[],
);
const RECLAIMS: Family = counter(
    "hark_memory_direct_reclaims",
    "Times that a task had to free pages itself because the host had none.",
    None,
    "/proc/vmstat allocstall_*",
    &[],
);
const SCANNED: Family = counter(
    "hark_memory_scanned_bytes",
    "Memory looked at to be freed, by who looked: the kernel's thread for it (kswapd), or tasks that could not wait for it (direct).",
    Some("bytes"),
    "/proc/vmstat pgscan_kswapd, pgscan_direct",
    &["by"],
);
const RECLAIMED: Family = counter(
    "hark_memory_reclaimed_bytes",
    "Memory freed, by who freed it: the kernel's thread for it (kswapd), or tasks that could not wait for it (direct).",
    Some("bytes"),
    "/proc/vmstat pgsteal_kswapd, pgsteal_direct",
    &["by"],
);

/// What this module writes.
pub(super) const FAMILIES: &[&Family] = &[
    &SIZE,
    &USED,
    &AVAILABLE,
    &FREE,
    &CACHED,
    &BUFFERS,
    &SHARED,
    &ANONYMOUS,
    &SLAB_RECLAIMABLE,
    &SLAB_UNRECLAIMABLE,
    &PAGE_TABLES,
    &DIRTY,
    &WRITEBACK,
    &CORRUPTED,
    &SWAP_SIZE,
    &SWAP_USED,
    &MAJOR_FAULTS,
    &SWAP,
    &OOM_KILLS,
    &RECLAIMS,
    &SCANNED,
    &RECLAIMED,
];

pub(super) fn write(page: &mut Page<'_>, host: &Host) -> Result<(), CollectError> {
    let memory = sizes(page, host);
    counts(page, host)?;
    memory
}

fn sizes(page: &mut Page<'_>, host: &Host) -> Result<(), CollectError> {
    let path = host.proc_root.join("meminfo");
    let info = Meminfo::from_file(&path).map_err(|error| malformed(&path, &error))?;
    let used = info
        .mem_available
        .map(|available| info.mem_total.saturating_sub(available));
    for (family, value) in [
        (&SIZE, Some(info.mem_total)),
        (&USED, used),
        (&AVAILABLE, info.mem_available),
        (&FREE, Some(info.mem_free)),
        (&CACHED, Some(info.cached)),
        (&BUFFERS, Some(info.buffers)),
        (&SHARED, info.shmem),
        (&ANONYMOUS, info.anon_pages),
        (&SLAB_RECLAIMABLE, info.s_reclaimable),
        (&SLAB_UNRECLAIMABLE, info.s_unreclaim),
        (&PAGE_TABLES, info.page_tables),
        (&DIRTY, Some(info.dirty)),
        (&WRITEBACK, Some(info.writeback)),
        (&CORRUPTED, info.hardware_corrupted),
        (&SWAP_SIZE, Some(info.swap_total)),
        (
            &SWAP_USED,
            Some(info.swap_total.saturating_sub(info.swap_free)),
        ),
    ] {
        if let Some(value) = value {
            page.family(family)?;
            page.sample(family, "", value)?;
        }
    }
    Ok(())
}

fn counts(page: &mut Page<'_>, host: &Host) -> Result<(), CollectError> {
    let path = host.proc_root.join("vmstat");
    let stat = VmStat::from_file(&path).map_err(|error| malformed(&path, &error))?;
    let value = |name: &str| stat.0.get(name).map(|value| value.cast_unsigned());
    let page_size = procfs::page_size();
    let bytes = |name: &str| value(name).map(|pages| pages.saturating_mul(page_size));
    // By zone of memory since Linux 4.10.
    let reclaims = stat
        .0
        .iter()
        .filter(|(name, _)| name.starts_with("allocstall"))
        .map(|(_, value)| value.cast_unsigned())
        .reduce(u64::wrapping_add);
    for (family, value) in [
        (&MAJOR_FAULTS, value("pgmajfault")),
        (&OOM_KILLS, value("oom_kill")),
        (&RECLAIMS, reclaims),
    ] {
        if let Some(value) = value {
            page.family(family)?;
            page.sample(family, "", value)?;
        }
    }
    for (family, label, values) in [
        (&SWAP, "direction", [("in", "pswpin"), ("out", "pswpout")]),
        (
            &SCANNED,
            "by",
            [("kswapd", "pgscan_kswapd"), ("direct", "pgscan_direct")],
        ),
        (
            &RECLAIMED,
            "by",
            [("kswapd", "pgsteal_kswapd"), ("direct", "pgsteal_direct")],
        ),
    ] {
        page.family(family)?;
        for (what, name) in values {
            // A kernel without swap has no counters of it.
            if let Some(value) = bytes(name) {
                page.sample(family, &format!("{label}=\"{what}\""), value)?;
            }
        }
    }
    Ok(())
}

fn malformed(path: &std::path::Path, error: &procfs::ProcError) -> CollectError {
    CollectError::Malformed {
        path: path.display().to_string(),
        detail: error.to_string(),
    }
}
