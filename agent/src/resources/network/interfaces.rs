//! The interfaces of the host: traffic, speed, errors.
//!
//! One end of a pair whose other end is in a container (`veth`, `netkit`) is left out: its name
//! means nothing to anybody, comes and goes with the container, and its traffic is that of the
//! bridge and of the host's own interface once more.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use procfs::FromRead as _;
use procfs::net::{DeviceStatus, InterfaceDeviceStatus};

use crate::resources::group::CollectError;
use crate::telemetry::page::{Family, Kind, Page, push_label};

/// Most interfaces that are shown.
const MAX: usize = 256;

const LABELS: &[&str] = &["interface", "direction"];

const BYTES: Family = Family {
    name: "hark_network_interface_bytes",
    help: "Bytes that the interface received or transmitted.",
    unit: Some("bytes"),
    kind: Kind::Counter,
    source: "/proc/net/dev",
    labels: LABELS,
};

const PACKETS: Family = Family {
    name: "hark_network_interface_packets",
    help: "Packets that the interface received or transmitted.",
    unit: None,
    kind: Kind::Counter,
    source: "/proc/net/dev",
    labels: LABELS,
};

const ERRORS: Family = Family {
    name: "hark_network_interface_errors",
    help: "Packets that the interface could not receive or transmit for an error.",
    unit: None,
    kind: Kind::Counter,
    source: "/proc/net/dev",
    labels: LABELS,
};

const DROPPED: Family = Family {
    name: "hark_network_interface_dropped",
    help: "Packets that the interface dropped, for example because its queue was full.",
    unit: None,
    kind: Kind::Counter,
    source: "/proc/net/dev",
    labels: LABELS,
};

const SPEED: Family = Family {
    name: "hark_network_interface_speed_bytes_per_second",
    help: "What the link can carry in each direction. Absent where the driver does not know.",
    unit: Some("bytes_per_second"),
    kind: Kind::Gauge,
    source: "/sys/class/net/*/speed",
    labels: &["interface"],
};

const UP: Family = Family {
    name: "hark_network_interface_up",
    help: "Whether the interface can pass packets; absent for those that do not say, such as lo.",
    unit: None,
    kind: Kind::Gauge,
    source: "/sys/class/net/*/operstate",
    labels: &["interface"],
};

const LEFT_OUT: Family = Family {
    name: "hark_network_interfaces_left_out",
    help: "Interfaces that have no series: ends of pairs that lead into containers (`pair`), and those beyond the 256 that are shown (`limit`).",
    unit: None,
    kind: Kind::Gauge,
    source: "/proc/net/dev",
    labels: &["reason"],
};

/// What this module writes.
pub(super) const FAMILIES: &[&Family] =
    &[&BYTES, &PACKETS, &ERRORS, &DROPPED, &SPEED, &UP, &LEFT_OUT];

type Value = fn(&DeviceStatus) -> u64;

/// Each counter: the family, what was received, what was transmitted.
const COUNTERS: [(&Family, Value, Value); 4] = [
    (&BYTES, |d| d.recv_bytes, |d| d.sent_bytes),
    (&PACKETS, |d| d.recv_packets, |d| d.sent_packets),
    (&ERRORS, |d| d.recv_errs, |d| d.sent_errs),
    (&DROPPED, |d| d.recv_drop, |d| d.sent_drop),
];

/// The interfaces of the host's network namespace.
#[derive(Debug)]
pub(super) struct Interfaces {
    /// `/proc/net/dev` of the host.
    counters: PathBuf,
    /// `/sys/class/net`, if that shows the same interfaces.
    devices: Option<PathBuf>,
    /// Whether an interface is the end of a pair, by name, as long as it is there.
    pairs: HashMap<String, bool>,
}

impl Interfaces {
    /// Those of process 1 of `proc_root`.
    pub(super) fn new(proc_root: &Path) -> Self {
        // sysfs shows the namespace of the agent's own, /proc/1 that of the host. The files of two
        // namespaces are two; that of process 1 itself may not be looked at.
        let file = |of: &str| {
            let found = std::fs::metadata(proc_root.join(of).join("net/dev")).ok()?;
            Some((found.dev(), found.ino()))
        };
        let same = file("1").is_some_and(|host| file("self") == Some(host));
        Self {
            counters: proc_root.join("1/net/dev"),
            devices: same.then(|| "/sys/class/net".into()),
            pairs: HashMap::new(),
        }
    }

    /// Writes all families.
    pub(super) fn write(&mut self, page: &mut Page<'_>) -> Result<(), CollectError> {
        let read = InterfaceDeviceStatus::from_file(&self.counters);
        let mut all: Vec<DeviceStatus> = read
            .map_err(|error| CollectError::Malformed {
                path: self.counters.display().to_string(),
                detail: error.to_string(),
            })?
            .0
            .into_values()
            .collect();
        // The order of a hash map is no order: with more than are shown, it must always be the same.
        all.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        self.pairs
            .retain(|name, _| all.binary_search_by(|d| d.name.as_str().cmp(name)).is_ok());
        let found = all.len();
        all.retain(|device| !self.is_pair(&device.name));
        let pairs = found - all.len();
        let beyond = all.len().saturating_sub(MAX);
        all.truncate(MAX);
        self.write_counters(page, &all)?;
        self.write_states(page, &all)?;
        page.family(&LEFT_OUT)?;
        page.sample(&LEFT_OUT, "reason=\"pair\"", pairs)?;
        Ok(page.sample(&LEFT_OUT, "reason=\"limit\"", beyond)?)
    }

    fn write_counters(
        &self,
        page: &mut Page<'_>,
        devices: &[DeviceStatus],
    ) -> Result<(), CollectError> {
        for (family, received, transmitted) in COUNTERS {
            page.family(family)?;
            for device in devices {
                for (direction, value) in [
                    ("receive", received(device)),
                    ("transmit", transmitted(device)),
                ] {
                    let mut labels = labels(&device.name);
                    push_label(&mut labels, "direction", direction);
                    page.sample(family, &labels, value)?;
                }
            }
        }
        Ok(())
    }

    fn write_states(
        &self,
        page: &mut Page<'_>,
        devices: &[DeviceStatus],
    ) -> Result<(), CollectError> {
        let Some(folder) = &self.devices else {
            return Ok(());
        };
        page.family(&SPEED)?;
        for device in devices {
            if let Some(speed) = speed(&folder.join(&device.name)) {
                page.sample(&SPEED, &labels(&device.name), speed)?;
            }
        }
        page.family(&UP)?;
        for device in devices {
            if let Some(up) = is_up(&folder.join(&device.name)) {
                page.sample(&UP, &labels(&device.name), u8::from(up))?;
            }
        }
        Ok(())
    }

    fn is_pair(&mut self, name: &str) -> bool {
        let Some(folder) = &self.devices else {
            return false;
        };
        if let Some(known) = self.pairs.get(name) {
            return *known;
        }
        let found = is_pair(&folder.join(name));
        self.pairs.insert(name.into(), found);
        found
    }
}

fn labels(interface: &str) -> String {
    let mut labels = String::new();
    push_label(&mut labels, "interface", interface);
    labels
}

/// A pair is linked to another interface that it does not lie upon, as a VLAN does.
fn is_pair(device: &Path) -> bool {
    let number = |file: &str| -> Option<u64> { text(&device.join(file))?.parse().ok() };
    let (Some(index), Some(link)) = (number("ifindex"), number("iflink")) else {
        return false;
    };
    // 0 is a tunnel that is bound to no interface.
    if link == 0 || link == index {
        return false;
    }
    let Ok(mut entries) = std::fs::read_dir(device) else {
        return false;
    };
    !entries.any(|entry| {
        entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with("lower_"))
    })
}

/// Bytes per second. The file has Mbit/s; it cannot be read, or has -1, where that is not known.
fn speed(device: &Path) -> Option<u64> {
    let megabits: u64 = text(&device.join("speed"))?.parse().ok()?;
    // SPEED_UNKNOWN of include/uapi/linux/ethtool.h, which some drivers write without a sign.
    (megabits != 0 && megabits < u64::from(u32::MAX)).then_some(megabits * 125_000)
}

/// RFC 2863, ifOperStatus.
fn is_up(device: &Path) -> Option<bool> {
    match text(&device.join("operstate"))?.as_str() {
        "up" => Some(true),
        "unknown" => None,
        _ => Some(false),
    }
}

fn text(file: &Path) -> Option<String> {
    Some(std::fs::read_to_string(file).ok()?.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::page::Format;

    fn device(root: &Path, name: &str, files: &[(&str, &str)]) -> PathBuf {
        let folder = root.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        for (file, content) in files {
            std::fs::write(folder.join(file), content).unwrap();
        }
        folder
    }

    #[test]
    fn speed_and_state_are_told_where_they_are_known() {
        let root = tempfile::tempdir().unwrap();
        let known = [("speed", "1000\n"), ("operstate", "up\n")];
        let known = device(root.path(), "known", &known);
        assert_eq!(
            (speed(&known), is_up(&known)),
            (Some(125_000_000), Some(true))
        );
        let silent = [("speed", "-1\n"), ("operstate", "unknown\n")];
        let silent = device(root.path(), "silent", &silent);
        assert_eq!((speed(&silent), is_up(&silent)), (None, None));
        let down = [("speed", "4294967295\n"), ("operstate", "lowerlayerdown\n")];
        let down = device(root.path(), "down", &down);
        assert_eq!((speed(&down), is_up(&down)), (None, Some(false)));
        assert_eq!((speed(root.path()), is_up(root.path())), (None, None));
    }

    #[test]
    fn pairs_are_left_out_and_what_is_beyond_the_limit() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("dev");
        let mut dev = String::from("Inter-| Receive\n face |bytes\n");
        for number in 0..MAX + 3 {
            dev += &format!("i{number:03}: 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\n");
        }
        dev += "veth0: 9 9 9 9 0 0 0 0 9 9 9 9 0 0 0 0\n vlan7: 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\n";
        std::fs::write(&file, dev).unwrap();
        let link = [("ifindex", "4\n"), ("iflink", "3\n")];
        device(root.path(), "veth0", &link);
        device(
            root.path(),
            "vlan7",
            &[link[0], link[1], ("lower_eth0", "")],
        );
        device(
            root.path(),
            "i000",
            &[("ifindex", "2\n"), ("iflink", "2\n")],
        );
        device(
            root.path(),
            "i001",
            &[("ifindex", "2\n"), ("iflink", "0\n")],
        );
        let mut interfaces = Interfaces {
            counters: file,
            devices: Some(root.path().into()),
            pairs: HashMap::new(),
        };
        let mut out = Vec::new();
        let mut page = Page::new(Format::Text, &mut out);
        interfaces.write(&mut page).unwrap();
        page.finish().unwrap();
        let text = String::from_utf8(out).unwrap();
        let has = |line: &str| assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        has("hark_network_interface_bytes_total{interface=\"i000\",direction=\"receive\"} 1");
        has("hark_network_interface_packets_total{interface=\"i001\",direction=\"transmit\"} 6");
        has("hark_network_interface_errors_total{interface=\"i002\",direction=\"receive\"} 3");
        has("hark_network_interface_dropped_total{interface=\"i255\",direction=\"transmit\"} 8");
        has("hark_network_interfaces_left_out{reason=\"pair\"} 1");
        // i256, i257, i258, and the VLAN, which is no pair.
        has("hark_network_interfaces_left_out{reason=\"limit\"} 4");
        assert!(!text.contains("veth0") && !text.contains("i256"), "{text}");
    }

    #[test]
    fn what_is_no_table_is_told() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("dev");
        std::fs::write(&file, "Inter-\n face\n eth0: 1 2 three\n").unwrap();
        let mut interfaces = Interfaces {
            counters: file,
            devices: None,
            pairs: HashMap::new(),
        };
        let mut out = Vec::new();
        let error = interfaces.write(&mut Page::new(Format::Text, &mut out));
        assert!(matches!(error, Err(CollectError::Malformed { .. })));
    }
}
