//! The families of TCP.

use crate::telemetry::page::{Family, Kind};

const SERVICE: &[&str] = &["service_name", "service_namespace"];
const SERVICE_ROLE: &[&str] = &["service_name", "service_namespace", "role"];
const SERVICE_ERROR: &[&str] = &["service_name", "service_namespace", "error_type"];

const STATE: &str = "tp_btf inet_sock_set_state";
const CONNECT: &str = "tp_btf inet_sock_set_state, SYN_SENT to ESTABLISHED";
const RETRANSMIT: &str =
    "tcp_sock.total_retrans at tp_btf tcp_retransmit_skb; tp_btf tcp_retransmit_synack";
const BYTES: &str = "tcp_sock at the end of a connection; sock_diag TCP_INFO while it lives";
const SRTT: &str = "tcp_sock.srtt_us at the end of a connection; sock_diag TCP_INFO while it lives";

/// The same of the host and of each service.
pub(super) struct Pair {
    pub(super) host: Family,
    pub(super) service: Family,
}

impl Pair {
    pub(super) const fn of(&self, is_service: bool) -> &Family {
        if is_service {
            &self.service
        } else {
            &self.host
        }
    }
}

macro_rules! pair {
    ($name:ident, $tail:literal, $unit:expr, $kind:ident, $source:expr, $host:expr, $service:expr, $help:literal) => {
        pub(super) static $name: Pair = Pair {
            host: Family {
                name: concat!("hark_tcp_", $tail),
                help: concat!($help, " All network namespaces together."),
                unit: $unit,
                kind: Kind::$kind,
                source: $source,
                labels: $host,
            },
            service: Family {
                name: concat!("hark_service_tcp_", $tail),
                help: $help,
                unit: $unit,
                kind: Kind::$kind,
                source: $source,
                labels: $service,
            },
        };
    };
}

pair!(
    OPENED,
    "connections_opened",
    None,
    Counter,
    STATE,
    &[],
    SERVICE,
    "TCP connections that connect() established."
);
pair!(
    ACCEPTED,
    "connections_accepted",
    None,
    Counter,
    STATE,
    &[],
    SERVICE,
    "TCP connections established by a peer, on an address that the service listens on."
);
pair!(
    FAILED,
    "connections_failed",
    None,
    Counter,
    STATE,
    &["error_type"],
    SERVICE_ERROR,
    "Calls of connect() that sent a SYN and came to nothing: refused, timed_out, unreachable, abandoned (closed by the application before there was an answer), other."
);
pair!(
    OPEN,
    "connections_open",
    None,
    Gauge,
    STATE,
    &["role"],
    SERVICE_ROLE,
    "TCP connections that are established now, by the end that this is."
);
pair!(
    CONNECT_DURATION,
    "connect_duration_seconds",
    Some("seconds"),
    Histogram,
    CONNECT,
    &[],
    SERVICE,
    "Time from connect() to the established connection."
);
pair!(
    RETRANSMITS,
    "retransmits",
    None,
    Counter,
    RETRANSMIT,
    &["role"],
    SERVICE_ROLE,
    "TCP segments sent again, counted as RetransSegs of /proc/net/snmp counts them."
);
pair!(
    RESETS_SENT,
    "resets_sent",
    None,
    Counter,
    "tp_btf tcp_send_reset",
    &["role"],
    SERVICE_ROLE,
    "TCP resets sent on connections of this role."
);
pair!(
    RESETS_RECEIVED,
    "resets_received",
    None,
    Counter,
    "tp_btf tcp_receive_reset",
    &["role"],
    SERVICE_ROLE,
    "TCP resets received."
);
pair!(
    SENT,
    "sent_bytes",
    Some("bytes"),
    Counter,
    BYTES,
    &["role"],
    SERVICE_ROLE,
    "Payload bytes sent over TCP, each once."
);
pair!(
    RECEIVED,
    "received_bytes",
    Some("bytes"),
    Counter,
    BYTES,
    &["role"],
    SERVICE_ROLE,
    "Payload bytes received over TCP, each once and in order."
);
pair!(
    RTT,
    "rtt_seconds",
    Some("seconds"),
    Histogram,
    SRTT,
    &["role"],
    SERVICE_ROLE,
    "The smoothed round-trip time of TCP connections: of each when it ends, and of one that stays open at a scrape, every ten seconds at most, if bytes have moved since."
);

pub(super) const UNBOUND: Family = Family {
    name: "hark_tcp_resets_unbound",
    help: "TCP resets sent for what is no connection, as to a port that nobody listens on. All network namespaces together.",
    unit: None,
    kind: Kind::Counter,
    source: "tp_btf tcp_send_reset",
    labels: &[],
};

pub(super) const LOST: Family = Family {
    name: "hark_tcp_unattributed",
    help: "What was not counted for whom it should have been: connections not followed because the table is full, events of processes past the limit, connections to an address whose listener is not known.",
    unit: None,
    kind: Kind::Counter,
    source: "the kernel side",
    labels: &["reason"],
};

pub(super) const NAMESPACES: Family = Family {
    name: "hark_tcp_namespaces_unread",
    help: "Network namespaces whose living connections were not read, or not all, at this scrape: their bytes are counted when they end. Entering another namespace needs CAP_SYS_ADMIN; without the kernel's module tcp_diag none is read.",
    unit: None,
    kind: Kind::Gauge,
    source: "sock_diag",
    labels: &[],
};

/// What this module writes.
#[must_use]
pub fn families() -> Vec<&'static Family> {
    let pairs = [
        &OPENED,
        &ACCEPTED,
        &FAILED,
        &OPEN,
        &CONNECT_DURATION,
        &RETRANSMITS,
        &RESETS_SENT,
        &RESETS_RECEIVED,
        &SENT,
        &RECEIVED,
        &RTT,
    ];
    pairs
        .into_iter()
        .flat_map(|pair| [&pair.host, &pair.service])
        .chain([&UNBOUND, &LOST, &NAMESPACES])
        .collect()
}
