//! What CPUs did not do as they should: slowed down for the heat, machine checks. Machines that do
//! not say have no series.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use crate::telemetry::page::{Family, Kind, Page};

const CORE: Family = Family {
    name: "hark_cpu_core_throttles",
    help: "Times that a CPU slowed down because its core was too hot, since the host's start.",
    unit: None,
    kind: Kind::Counter,
    source: "/sys/devices/system/cpu/cpu*/thermal_throttle",
    labels: &["cpu"],
};

const PACKAGE: Family = Family {
    name: "hark_cpu_package_throttles",
    help: "Times that the CPUs of a package slowed down because it was too hot, since the host's start.",
    unit: None,
    kind: Kind::Counter,
    source: "/sys/devices/system/cpu/cpu*/thermal_throttle",
    labels: &["package"],
};

const CHECKS: Family = Family {
    name: "hark_cpu_machine_checks",
    help: "Machine checks since the host's start: exception, threshold of corrected errors reached, deferred \
           error.",
    unit: None,
    kind: Kind::Counter,
    source: "/proc/interrupts MCE, THR, DFR",
    labels: &["cpu", "kind"],
};

/// What this module writes.
pub(super) const FAMILIES: [&Family; 3] = [&CORE, &PACKAGE, &CHECKS];

/// The rows of `/proc/interrupts` that tell of faults, by the label `kind`. `MCP` counts polls, not
/// faults.
const ROWS: [(&str, &str); 3] = [
    ("MCE", "exception"),
    ("THR", "threshold"),
    ("DFR", "deferred"),
];

/// Times that CPUs slowed down for the heat.
#[derive(Debug, Default, PartialEq, Eq)]
struct Throttles {
    cores: BTreeMap<u32, u64>,
    packages: BTreeMap<u32, u64>,
}

/// Reads what the CPUs under `cpus` say, which is `/sys/devices/system/cpu`.
fn throttles(cpus: &Path) -> Throttles {
    let mut found = Throttles::default();
    let Ok(entries) = fs::read_dir(cpus) else {
        return found;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("cpu"));
        let Some(cpu) = number.and_then(|number| number.parse().ok()) else {
            continue;
        };
        let folder = entry.path();
        if let Some(count) = read(&folder.join("thermal_throttle/core_throttle_count")) {
            found.cores.insert(cpu, count);
        }
        let package = read(&folder.join("topology/physical_package_id"));
        let count = read(&folder.join("thermal_throttle/package_throttle_count"));
        if let (Some(package), Some(count)) = (package, count) {
            // Each CPU of the package counts for itself what all of them are told.
            let greatest = found.packages.entry(package as u32).or_default();
            *greatest = count.max(*greatest);
        }
    }
    found
}

fn read(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// Machine checks in the text of `/proc/interrupts`: `(cpu, kind, count)`.
fn machine_checks(text: &str) -> Vec<(u32, &'static str, u64)> {
    let mut lines = text.lines();
    let cpus: Vec<u32> = lines
        .next()
        .unwrap_or_default()
        .split_ascii_whitespace()
        .filter_map(|name| name.strip_prefix("CPU")?.parse().ok())
        .collect();
    let mut found = Vec::new();
    for line in lines {
        let Some((name, counts)) = line.split_once(':') else {
            continue;
        };
        let Some((_, kind)) = ROWS.iter().find(|(row, _)| *row == name.trim()) else {
            continue;
        };
        let counts = counts.split_ascii_whitespace();
        for (cpu, count) in cpus.iter().zip(counts) {
            // What is no number is the row's description.
            let Ok(count) = count.parse() else { break };
            found.push((*cpu, *kind, count));
        }
    }
    found
}

/// Writes what the host exposes.
pub(super) fn write(page: &mut Page<'_>, proc_root: &Path, cpus: &Path) -> io::Result<()> {
    let throttles = throttles(cpus);
    if !throttles.cores.is_empty() {
        page.family(&CORE)?;
        for (cpu, count) in &throttles.cores {
            page.sample(&CORE, &format!("cpu=\"{cpu}\""), count)?;
        }
    }
    if !throttles.packages.is_empty() {
        page.family(&PACKAGE)?;
        for (package, count) in &throttles.packages {
            page.sample(&PACKAGE, &format!("package=\"{package}\""), count)?;
        }
    }
    // Other machines than x86 have no such rows, and some containers no such file.
    let interrupts = fs::read_to_string(proc_root.join("interrupts")).unwrap_or_default();
    let checks = machine_checks(&interrupts);
    if !checks.is_empty() {
        page.family(&CHECKS)?;
        for (cpu, kind, count) in checks {
            page.sample(&CHECKS, &format!("cpu=\"{cpu}\",kind=\"{kind}\""), count)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heat_is_told_by_core_and_by_package() {
        let root = tempfile::tempdir().unwrap();
        for (cpu, package, core, whole) in [(0, 0, 3, 7), (1, 0, 0, 8), (2, 1, 1, 0)] {
            let folder = root.path().join(format!("cpu{cpu}"));
            for (file, value) in [
                ("thermal_throttle/core_throttle_count", core),
                ("thermal_throttle/package_throttle_count", whole),
                ("topology/physical_package_id", package),
            ] {
                let file = folder.join(file);
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(file, format!("{value}\n")).unwrap();
            }
        }
        fs::create_dir(root.path().join("cpufreq")).unwrap();
        fs::create_dir(root.path().join("cpu3")).unwrap();
        assert_eq!(
            throttles(root.path()),
            Throttles {
                cores: BTreeMap::from([(0, 3), (1, 0), (2, 1)]),
                packages: BTreeMap::from([(0, 8), (1, 0)]),
            }
        );
        assert_eq!(throttles(&root.path().join("none")), Throttles::default());
    }

    #[test]
    fn machine_checks_are_told_by_the_number_of_the_cpu() {
        let text = "           CPU0       CPU2       \n\
                    \x20 0:         35          0   IO-APIC   2-edge      timer\n\
                    \x20MCE:          1          2   Machine check exceptions\n\
                    \x20MCP:        100        100   Machine check polls\n\
                    \x20THR:          0          4   Threshold APIC interrupts\n\
                    \x20ERR:          0\n";
        assert_eq!(
            machine_checks(text),
            [
                (0, "exception", 1),
                (2, "exception", 2),
                (0, "threshold", 0),
                (2, "threshold", 4)
            ]
        );
        assert_eq!(machine_checks(""), []);
        assert_eq!(machine_checks("CPU0\nMCE: x\nMCE\n"), []);
    }
}
