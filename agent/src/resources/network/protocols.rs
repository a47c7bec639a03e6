//! What the kernel counts of TCP and UDP in the host's network namespace.
//!
//! Read here and not by the crate `procfs`, whose reader of `snmp` fails as a whole if one field is
//! missing, and which has none for `netstat`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::resources::group::CollectError;
use crate::telemetry::page::{Family, Kind, Page};

/// A family without labels, from one field.
struct Field {
    /// `Protocol:Name` as the files spell it.
    name: &'static str,
    family: Family,
}

const fn field(
    name: &'static str,
    family: &'static str,
    source: &'static str,
    help: &'static str,
) -> Field {
    Field {
        name,
        family: Family {
            name: family,
            help,
            unit: None,
            kind: Kind::Counter,
            source,
            labels: &[],
        },
    }
}

const SNMP: &str = "/proc/net/snmp";
const NETSTAT: &str = "/proc/net/netstat";

/// All fields that are shown. What a field means: RFC 4022 and RFC 4113 for `snmp`,
/// Documentation/networking/snmp_counter.rst for `netstat`.
const FIELDS: [Field; 24] = [
    field(
        "Tcp:ActiveOpens",
        "hark_network_tcp_active_opens",
        SNMP,
        "TCP connections that the host tried to open.",
    ),
    field(
        "Tcp:PassiveOpens",
        "hark_network_tcp_passive_opens",
        SNMP,
        "TCP connections that others began to open to the host.",
    ),
    field(
        "Tcp:AttemptFails",
        "hark_network_tcp_attempt_fails",
        SNMP,
        "TCP connections that failed before they were established, opened from either end.",
    ),
    field(
        "Tcp:EstabResets",
        "hark_network_tcp_established_resets",
        SNMP,
        "TCP connections that went from established, or half closed by the peer, to closed at once: by a reset, or given up.",
    ),
    field(
        "Tcp:InSegs",
        "hark_network_tcp_received_segments",
        SNMP,
        "TCP segments received.",
    ),
    field(
        "Tcp:OutSegs",
        "hark_network_tcp_sent_segments",
        SNMP,
        "TCP segments sent, without those that were sent again.",
    ),
    field(
        "Tcp:RetransSegs",
        "hark_network_tcp_retransmitted_segments",
        SNMP,
        "TCP segments sent again.",
    ),
    field(
        "Tcp:InErrs",
        "hark_network_tcp_receive_errors",
        SNMP,
        "TCP segments received with an error, such as a bad checksum.",
    ),
    field(
        "Tcp:OutRsts",
        "hark_network_tcp_resets_sent",
        SNMP,
        "TCP segments sent with the flag RST.",
    ),
    field(
        "TcpExt:ListenOverflows",
        "hark_network_tcp_listen_overflows",
        NETSTAT,
        "Connections turned away because the accept queue of the listener was full.",
    ),
    field(
        "TcpExt:ListenDrops",
        "hark_network_tcp_listen_drops",
        NETSTAT,
        "Connections turned away by a listener for any reason, a full accept queue among them.",
    ),
    field(
        "TcpExt:SyncookiesSent",
        "hark_network_tcp_syncookies_sent",
        NETSTAT,
        "Handshakes answered with a SYN cookie, because the queue of half-open connections was full.",
    ),
    field(
        "TcpExt:TCPReqQFullDrop",
        "hark_network_tcp_request_queue_drops",
        NETSTAT,
        "Handshakes dropped because the queue of half-open connections was full and SYN cookies are off.",
    ),
    field(
        "TcpExt:TCPBacklogDrop",
        "hark_network_tcp_backlog_drops",
        NETSTAT,
        "Segments dropped because the socket was in use and its backlog full.",
    ),
    field(
        "TcpExt:PruneCalled",
        "hark_network_tcp_receive_prunes",
        NETSTAT,
        "Times that a socket had to make room in its full receive buffer.",
    ),
    field(
        "TcpExt:RcvPruned",
        "hark_network_tcp_receive_prune_failures",
        NETSTAT,
        "Times that a socket could not make enough room in its full receive buffer.",
    ),
    field(
        "TcpExt:TCPRcvQDrop",
        "hark_network_tcp_receive_queue_drops",
        NETSTAT,
        "Segments dropped because the receive buffer of the socket was full.",
    ),
    field(
        "TcpExt:TCPTimeouts",
        "hark_network_tcp_timeouts",
        NETSTAT,
        "Times that an acknowledgement did not come in time.",
    ),
    field(
        "TcpExt:TCPAbortOnMemory",
        "hark_network_tcp_memory_aborts",
        NETSTAT,
        "Connections closed because TCP was out of memory or had too many orphans.",
    ),
    field(
        "Udp:NoPorts",
        "hark_network_udp_no_port",
        SNMP,
        "UDP datagrams received for a port that nobody listens on.",
    ),
    field(
        "Udp:InErrors",
        "hark_network_udp_receive_errors",
        SNMP,
        "UDP datagrams received that could not be delivered for another reason, a full receive buffer among them.",
    ),
    field(
        "Udp:RcvbufErrors",
        "hark_network_udp_receive_buffer_errors",
        SNMP,
        "UDP datagrams dropped because the receive buffer of the socket was full.",
    ),
    field(
        "Udp:SndbufErrors",
        "hark_network_udp_send_buffer_errors",
        SNMP,
        "UDP datagrams not sent because there was no room to send them.",
    ),
    field(
        "Udp:InCsumErrors",
        "hark_network_udp_checksum_errors",
        SNMP,
        "UDP datagrams received with a bad checksum.",
    ),
];

/// What this module writes.
pub(super) fn families() -> impl Iterator<Item = &'static Family> {
    static SHOWN: [Field; FIELDS.len()] = FIELDS;
    SHOWN.iter().map(|field| &field.family)
}

/// The two files of the host's network namespace.
#[derive(Debug)]
pub(super) struct Protocols([PathBuf; 2]);

impl Protocols {
    pub(super) fn new(proc_root: &Path) -> Self {
        Self(["1/net/snmp", "1/net/netstat"].map(|file| proc_root.join(file)))
    }

    /// Writes all families that this kernel has a field for.
    pub(super) fn write(&self, page: &mut Page<'_>) -> Result<(), CollectError> {
        let mut values = HashMap::new();
        for path in &self.0 {
            let shown = || path.display().to_string();
            let text = std::fs::read_to_string(path).map_err(|source| CollectError::Read {
                path: shown(),
                source,
            })?;
            read(&text, &mut values).map_err(|line| CollectError::Malformed {
                path: shown(),
                detail: format!("the line `{line}`"),
            })?;
        }
        for field in &FIELDS {
            if let Some(value) = values.get(field.name) {
                page.family(&field.family)?;
                page.sample(&field.family, "", value)?;
            }
        }
        Ok(())
    }
}

/// Pairs of lines, `Tcp: InSegs OutSegs` and `Tcp: 1 2`. What is negative (`MaxConn` is) is left
/// out; a kernel may have more names than we know.
fn read<'a>(text: &'a str, into: &mut HashMap<String, u64>) -> Result<(), &'a str> {
    let mut lines = text.lines();
    while let Some(names) = lines.next() {
        let values = lines.next().ok_or(names)?;
        let (protocol, names) = names.split_once(':').ok_or(names)?;
        let (same, values) = values.split_once(':').ok_or(values)?;
        if same != protocol {
            return Err(same);
        }
        let pairs = names
            .split_ascii_whitespace()
            .zip(values.split_ascii_whitespace());
        for (name, value) in pairs {
            if let Ok(value) = value.parse() {
                into.insert(format!("{protocol}:{name}"), value);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_paired() {
        let mut values = HashMap::new();
        let text = "Tcp: MaxConn InSegs\nTcp: -1 7\nUdp: NoPorts\nUdp: 3\n";
        read(text, &mut values).unwrap();
        assert_eq!(values.len(), 2);
        assert_eq!(values["Tcp:InSegs"], 7);
        assert_eq!(values["Udp:NoPorts"], 3);
    }

    #[test]
    fn what_is_not_paired_is_told() {
        for (text, line) in [
            ("Tcp: A\nUdp: 1\n", "Udp"),
            ("Tcp: A\n", "Tcp: A"),
            ("Tcp A\nTcp: 1\n", "Tcp A"),
            ("Tcp: A\nTcp 1\n", "Tcp 1"),
        ] {
            assert_eq!(read(text, &mut HashMap::new()), Err(line), "{text}");
        }
    }

    /// A field that is misspelled here would never be shown.
    #[test]
    fn the_running_kernel_has_all_fields() {
        let mut values = HashMap::new();
        for file in ["/proc/net/snmp", "/proc/net/netstat"] {
            read(&std::fs::read_to_string(file).unwrap(), &mut values).unwrap();
        }
        for field in &FIELDS {
            assert!(values.contains_key(field.name), "{}", field.name);
        }
    }
}
