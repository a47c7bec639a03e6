//! The memory of services: what their processes have, what their cgroups are charged for, and what
//! these may have at most.

use super::limits;
use crate::resources::Host;
use crate::resources::cgroups::{Controller, Tree, Version};
use crate::resources::group::CollectError;
use crate::resources::ledger::Sum;
use crate::telemetry::page::{Family, Kind, Page};

const fn gauge(name: &'static str, help: &'static str, source: &'static str) -> Family {
    Family {
        name,
        help,
        unit: Some("bytes"),
        kind: Kind::Gauge,
        source,
        labels: &["service_name", "service_namespace"],
    }
}

const RESIDENT: Family = gauge(
    "hark_service_memory_resident_bytes",
    "Resident memory of the service's processes. What processes share is counted once for each of them.",
    "/proc/PID/stat rss",
);
const CGROUP: Family = gauge(
    "hark_service_memory_cgroup_bytes",
    "Memory that the service's cgroups are charged for, cached files and the kernel's own structures among it. Only for services with cgroups of their own.",
    "cgroup memory.current (version 2), memory.usage_in_bytes (version 1)",
);
const LIMIT: Family = gauge(
    "hark_service_memory_limit_bytes",
    "Most memory that the service can have by the limits of the cgroups that its processes are in, and of those above. None if one of its processes is without a limit.",
    "cgroup memory.max (version 2), memory.limit_in_bytes (version 1)",
);

/// What this module writes.
pub(super) const FAMILIES: &[&Family] = &[&RESIDENT, &CGROUP, &LIMIT];

pub(super) fn write(page: &mut Page<'_>, host: &Host) -> Result<(), CollectError> {
    let people = host.census.look();
    let page_size = procfs::page_size();
    let mut resident = Sum::<u64>::default();
    for process in &people.processes {
        if let Some(labels) = process.owner.labels() {
            *resident.of(labels) += process.resident_pages.saturating_mul(page_size);
        }
    }
    gauges(page, &RESIDENT, &resident)?;
    let look = host.cgroups.look();
    let Some(tree) = look.of(Controller::Memory) else {
        return Ok(());
    };
    gauges(page, &CGROUP, &charged(tree))?;
    gauges(
        page,
        &LIMIT,
        &limits::by_service(tree, limits::read(&tree.mount)),
    )?;
    tree.complete()
}

fn gauges(page: &mut Page<'_>, family: &Family, values: &Sum<u64>) -> Result<(), CollectError> {
    page.family(family)?;
    for (labels, value) in values.iter() {
        page.sample(family, labels, value)?;
    }
    Ok(())
}

fn charged(tree: &Tree) -> Sum<u64> {
    let file = match tree.mount.version {
        Version::V1 => "memory.usage_in_bytes",
        Version::V2 => "memory.current",
    };
    let mut sum = Sum::default();
    let mut buffer = String::new();
    for node in tree.nodes.iter().filter(|node| node.is_top) {
        // A cgroup of version 2 without the controller has no such file.
        let read = tree.mount.read(&node.path, file, &mut buffer);
        let bytes = read.and_then(|_| buffer.trim().parse::<u64>().ok());
        if let (Some(labels), Some(bytes)) = (node.service(), bytes) {
            *sum.of(labels) += bytes;
        }
    }
    sum
}
