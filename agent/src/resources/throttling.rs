//! CFS bandwidth throttling: services that have used up their CPU limit (`cpu.max`,
//! `cpu.cfs_quota_us`) and must wait for the next period.
//!
//! A cgroup's `cpu.stat` counts what its own limit did, not the limits below or above it, so the
//! figures of all cgroups of a service are added up. A limit on a cgroup that services share is
//! nobody's.

use super::Host;
use super::cgroups::{Controller, Counters, Node, Tree, Version};
use super::group::CollectError;
use crate::telemetry::page::{Family, Kind, Page};
use crate::telemetry::seconds::Seconds;

const PERIODS: Family = Family {
    name: "hark_service_cpu_limit_periods",
    help: "Periods of the CPU limits of the service's cgroups in which something ran.",
    unit: None,
    kind: Kind::Counter,
    source: "cgroup cpu.stat nr_periods",
    labels: &["service_name", "service_namespace"],
};

const THROTTLED: Family = Family {
    name: "hark_service_cpu_throttled_periods",
    help: "Periods in which a CPU limit of the service's cgroups was used up.",
    unit: None,
    kind: Kind::Counter,
    source: "cgroup cpu.stat nr_throttled",
    labels: &["service_name", "service_namespace"],
};

const SECONDS: Family = Family {
    name: "hark_service_cpu_throttled_seconds",
    help: "Time that the service's cgroups were held back by their CPU limits, summed over the CPUs they were held back on.",
    unit: Some("seconds"),
    kind: Kind::Counter,
    source: "cgroup cpu.stat throttled_usec (version 2), throttled_time (version 1)",
    labels: &["service_name", "service_namespace"],
};

/// What this module writes.
pub const FAMILIES: &[&Family] = &[&PERIODS, &THROTTLED, &SECONDS];

/// Throttling per service, since the agent was started.
#[derive(Debug, Default)]
pub struct Throttling {
    /// Periods, throttled periods, throttled time in ns.
    counters: Counters<3>,
}

impl Throttling {
    /// Looks at the cgroups, for those that are gone by the next scrape.
    pub fn tend(&mut self, host: &Host) {
        let look = host.cgroups.look();
        if let Some(tree) = look.of(Controller::Cpu) {
            self.post(tree, host);
        }
    }

    /// Writes the families; none if no hierarchy with the controller `cpu` is visible.
    ///
    /// # Errors
    ///
    /// Those of the page; there are more cgroups than are looked at.
    pub fn write(&mut self, page: &mut Page<'_>, host: &Host) -> Result<(), CollectError> {
        let look = host.cgroups.look();
        let Some(tree) = look.of(Controller::Cpu) else {
            return Ok(());
        };
        self.post(tree, host);
        page.family(&PERIODS)?;
        for (labels, [periods, ..]) in self.counters.services() {
            page.sample(&PERIODS, labels, periods)?;
        }
        page.family(&THROTTLED)?;
        for (labels, [_, throttled, _]) in self.counters.services() {
            page.sample(&THROTTLED, labels, throttled)?;
        }
        page.family(&SECONDS)?;
        for (labels, [.., nanos]) in self.counters.services() {
            page.sample(&SECONDS, labels, Seconds(u128::from(*nanos)))?;
        }
        tree.complete()
    }

    fn post(&mut self, tree: &Tree, host: &Host) {
        let mut buffer = String::new();
        let read = |node: &Node| {
            let inode = tree.mount.read(&node.path, "cpu.stat", &mut buffer)?;
            Some((inode, parse(&buffer, tree.mount.version)?))
        };
        self.counters.post(tree, &host.services, |_| true, read);
    }
}

/// Periods, throttled periods, throttled time in ns; `None` for a cgroup without the controller,
/// whose `cpu.stat` on version 2 has only how long it ran.
fn parse(stat: &str, version: Version) -> Option<[u64; 3]> {
    let value = |name: &str| {
        stat.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?
            .trim()
            .parse::<u64>()
            .ok()
    };
    let nanos = match version {
        Version::V1 => value("throttled_time")?,
        Version::V2 => value("throttled_usec")?.saturating_mul(1000),
    };
    Some([value("nr_periods")?, value("nr_throttled")?, nanos])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions() {
        let v1 =
            "nr_periods 3\nnr_throttled 2\nthrottled_time 123456789\nnr_bursts 0\nburst_time 0\n";
        assert_eq!(parse(v1, Version::V1), Some([3, 2, 123_456_789]));
        let v2 = "usage_usec 9\nuser_usec 5\nsystem_usec 4\nnr_periods 3\nnr_throttled 2\n\
                  throttled_usec 77\n";
        assert_eq!(parse(v2, Version::V2), Some([3, 2, 77_000]));
        assert_eq!(parse("usage_usec 9\nuser_usec 5\n", Version::V2), None);
        assert_eq!(
            parse(
                "nr_periods x\nnr_throttled 2\nthrottled_time 1",
                Version::V1
            ),
            None
        );
    }
}
