//! Pressure stall information (PSI): how long tasks stood still because a resource was short.
//! `Documentation/accounting/psi.rst` in the kernel's sources.
//!
//! The host's is in `/proc/pressure`, a service's in the files of its cgroups on the unified
//! hierarchy. A kernel that was built without, or started with `psi=0`, has neither, and then there
//! are no series.

use std::fs;
use std::io;

use super::Host;
use super::cgroups::{Counters, Hierarchy, Node};
use super::group::CollectError;
use crate::telemetry::page::{Family, Kind, Page};
use crate::telemetry::seconds::Seconds;

/// A resource that can be short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// CPUs.
    Cpu,
    /// Memory.
    Memory,
    /// Disks.
    Io,
}

impl Resource {
    const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Io => "io",
        }
    }

    /// Of the host and of services.
    const fn family(self) -> [&'static Family; 2] {
        match self {
            Self::Cpu => [&CPU, &SERVICE_CPU],
            Self::Memory => [&MEMORY, &SERVICE_MEMORY],
            Self::Io => [&IO, &SERVICE_IO],
        }
    }
}

macro_rules! families {
    ($($host:ident $host_name:literal $service:ident $service_name:literal $short:literal $file:literal;)*) => {$(
        const $host: Family = Family {
            name: $host_name,
            help: concat!("Time in which some, or all, tasks that were not idle stood still for want of ", $short, "."),
            unit: Some("seconds"),
            kind: Kind::Counter,
            source: concat!("/proc/pressure/", $file),
            labels: &["tasks"],
        };
        const $service: Family = Family {
            name: $service_name,
            help: concat!("Time in which some, or all, tasks of a cgroup of the service stood still for want of ", $short, ", summed over the service's cgroups."),
            unit: Some("seconds"),
            kind: Kind::Counter,
            source: concat!("cgroup ", $file, ".pressure"),
            labels: &["service_name", "service_namespace", "tasks"],
        };
    )*};
}

families! {
    CPU "hark_cpu_pressure_seconds" SERVICE_CPU "hark_service_cpu_pressure_seconds" "a CPU" "cpu";
    MEMORY "hark_memory_pressure_seconds" SERVICE_MEMORY "hark_service_memory_pressure_seconds" "memory" "memory";
    IO "hark_disk_pressure_seconds" SERVICE_IO "hark_service_disk_pressure_seconds" "a disk" "io";
}

/// What [`Pressure::write`] writes for a resource.
#[must_use]
pub fn families(resource: Resource) -> [&'static Family; 2] {
    resource.family()
}

/// Pressure on one resource, of the host and per service since the agent was started.
#[derive(Debug)]
pub struct Pressure {
    resource: Resource,
    /// `some` and `full`, in µs.
    counters: Counters<2>,
}

impl Pressure {
    /// On this resource.
    #[must_use]
    pub fn new(resource: Resource) -> Self {
        Self {
            resource,
            counters: Counters::default(),
        }
    }

    /// Writes the families; none where the kernel keeps no such account.
    ///
    /// # Errors
    ///
    /// The host's file is not what it should be; there are more cgroups than are looked at; those
    /// of the page.
    pub fn write(&mut self, page: &mut Page<'_>, host: &Host) -> Result<(), CollectError> {
        let of_host = self.write_host(page, host);
        self.write_services(page, host)?;
        of_host
    }

    fn write_host(&self, page: &mut Page<'_>, host: &Host) -> Result<(), CollectError> {
        let path = host.proc_root.join("pressure").join(self.resource.name());
        let content = match fs::read_to_string(&path) {
            Ok(content) => content,
            // Switched off at the start of the kernel, or not built in.
            Err(error) if is_off(&error) => return Ok(()),
            Err(source) => {
                return Err(CollectError::Read {
                    path: path.display().to_string(),
                    source,
                });
            }
        };
        let Some([some, full]) = parse(&content) else {
            return Err(CollectError::Malformed {
                path: path.display().to_string(),
                detail: "it has no totals of `some` and `full`".into(),
            });
        };
        let [family, _] = self.resource.family();
        page.family(family)?;
        page.sample(family, "tasks=\"some\"", micros(some))?;
        page.sample(family, "tasks=\"full\"", micros(full))?;
        Ok(())
    }

    fn write_services(&mut self, page: &mut Page<'_>, host: &Host) -> Result<(), CollectError> {
        let look = host.cgroups.look();
        let Some(tree) = look.tree(Hierarchy::Unified) else {
            return Ok(());
        };
        let file = format!("{}.pressure", self.resource.name());
        let mut buffer = String::new();
        let read = |node: &Node| {
            let inode = tree.mount.read(&node.path, &file, &mut buffer)?;
            Some((inode, parse(&buffer)?))
        };
        // The figures of a cgroup have those below it in them.
        self.counters
            .post(tree, &host.services, |node| node.is_top, read);
        let [_, family] = self.resource.family();
        let mut services = self.counters.services().peekable();
        if services.peek().is_none() {
            return tree.complete();
        }
        page.family(family)?;
        for (labels, [some, full]) in services {
            page.sample(family, &format!("{labels},tasks=\"some\""), micros(*some))?;
            page.sample(family, &format!("{labels},tasks=\"full\""), micros(*full))?;
        }
        tree.complete()
    }
}

/// Whether the kernel says with this that it keeps no such account.
fn is_off(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::EOPNOTSUPP)
}

fn micros(micros: u64) -> Seconds {
    Seconds(u128::from(micros) * 1000)
}

/// The totals of `some` and `full` in µs. The CPU has both since Linux 5.13.
fn parse(content: &str) -> Option<[u64; 2]> {
    let total = |kind: &str| {
        let rest = content.lines().find_map(|line| line.strip_prefix(kind))?;
        let total = rest
            .split_ascii_whitespace()
            .find_map(|field| field.strip_prefix("total="))?;
        total.parse().ok()
    };
    Some([total("some ")?, total("full ")?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals() {
        let content = "some avg10=0.00 avg60=1.00 avg300=0.29 total=79074574\n\
                       full avg10=0.01 avg60=0.01 avg300=0.06 total=56028985\n";
        assert_eq!(parse(content), Some([79_074_574, 56_028_985]));
        assert_eq!(parse("some avg10=0.00 total=7\n"), None);
        assert_eq!(parse("some avg10=0.00\nfull total=1\n"), None);
        assert_eq!(parse("full avg10=0.00 total=7\n"), None);
        assert_eq!(parse(""), None);
    }
}
