//! The TCP object: loaded, attached, and its maps.

use std::collections::HashMap;

use aya::maps::{HashMap as BpfMap, MapData, PerCpuArray};
use hark_common::histogram::Exp2;
use hark_common::process::Task;
use hark_common::socket::SocketAddress;
use hark_common::tcp::{Connection, Figures, Lost, Tally, TcpOffsets};

use super::batch;
use super::btf::{Btf, BtfError};
use super::counters::Counters;
use super::object::{Object, ObjectError, Types, Wanted};
use super::offsets::process_from_btf;
use crate::resources::group::CollectError;
use crate::resources::ledger::ProcessMap;

/// The object that `cargo xtask build` made; empty in an agent that was built without it.
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("HARK_TCP_OBJECT"));

/// `BPF_NOEXIST`: leave what is there.
const NOEXIST: u64 = 1;

/// What this object attaches to.
pub const WANTED: [Wanted; 6] = [
    Wanted {
        name: "inet_sock_set_state",
        args: 3,
        gives: "TCP connections opened, accepted, failed and open, by service",
        required: true,
        since: "; it came with Linux 4.16",
    },
    Wanted {
        name: "tcp_destroy_sock",
        args: 1,
        gives: "the end of TCP connections, without which they cannot be followed",
        required: true,
        since: "; it came with Linux 4.16",
    },
    Wanted {
        name: "tcp_retransmit_skb",
        args: 1,
        gives: "TCP retransmits by service while the connection lives, not only at its end",
        required: false,
        since: "",
    },
    Wanted {
        name: "tcp_retransmit_synack",
        args: 1,
        gives: "retransmits of handshakes that a service answers",
        required: false,
        since: "",
    },
    Wanted {
        name: "tcp_send_reset",
        args: 1,
        gives: "TCP resets sent, by service",
        required: false,
        since: "",
    },
    Wanted {
        name: "tcp_receive_reset",
        args: 1,
        gives: "TCP resets received, by service",
        required: false,
        since: "",
    },
];

/// Looks up every field of [`TcpOffsets`]. Fails with the first that this kernel lacks.
pub fn offsets(btf: &Btf) -> Result<TcpOffsets, BtfError> {
    let common = |field: &str| btf.offset_of("sock", &format!("__sk_common.{field}"));
    let sock = |field| btf.offset_of("sock", field);
    let tcp = |field| btf.offset_of("tcp_sock", field);
    Ok(TcpOffsets {
        process: process_from_btf(btf)?,
        sock_family: common("skc_family")?,
        sock_rcv_saddr: common("skc_rcv_saddr")?,
        sock_num: common("skc_num")?,
        sock_v6_rcv_saddr: common("skc_v6_rcv_saddr")?,
        sock_net: common("skc_net.net")?,
        sock_cookie: common("skc_cookie")?,
        sock_flags: common("skc_flags")?,
        sock_protocol: sock("sk_protocol")?,
        sock_err: sock("sk_err")?,
        sock_shutdown: sock("sk_shutdown")?,
        net_inum: btf.offset_of("net", "ns.inum")?,
        tcp_total_retrans: tcp("total_retrans")?,
        tcp_bytes_sent: tcp("bytes_sent")?,
        tcp_bytes_retrans: tcp("bytes_retrans")?,
        tcp_bytes_received: tcp("bytes_received")?,
        tcp_srtt_us: tcp("srtt_us")?,
    })
}

/// The TCP programs, running. They are detached when this is dropped, or its process ends.
pub struct TcpPrograms {
    object: Object,
    connections: BpfMap<MapData, u64, Connection>,
    listeners: BpfMap<MapData, SocketAddress, Task>,
    /// The figures of each process.
    pub processes: ProcessMap<Tally>,
    host: PerCpuArray<MapData, Figures>,
    counters: Counters,
}

impl TcpPrograms {
    /// Loads and attaches the programs.
    ///
    /// # Errors
    ///
    /// Those of [`Object::load`].
    pub fn load(types: &Types) -> Result<Self, ObjectError> {
        let layout = offsets(&types.btf)?;
        let mut loader = types.loader("tcp");
        loader.override_global("OFFSETS", &layout, true);
        let mut object = Object::load("tcp", OBJECT, &WANTED, types, &mut loader)?;
        Ok(Self {
            connections: object.map("CONNECTIONS")?,
            listeners: object.map("LISTENERS")?,
            processes: ProcessMap::new("PROCESSES", object.map("PROCESSES")?),
            host: object.map("HOST")?,
            counters: Counters::take(&mut object, "COUNTERS")?,
            object,
        })
    }

    /// The object, for its hooks and the kernel's figures of its programs.
    #[must_use]
    pub const fn object(&self) -> &Object {
        &self.object
    }

    /// Connections that are followed now, by their socket's cookie.
    ///
    /// # Errors
    ///
    /// The map cannot be read.
    pub fn connections(&self) -> Result<HashMap<u64, Connection>, CollectError> {
        let mut found = HashMap::new();
        let read = batch::each(&self.connections, &mut |cookie, connection| {
            found.insert(cookie, connection);
        });
        read.map_err(|error| CollectError::of_map("CONNECTIONS", &error))?;
        Ok(found)
    }

    /// Says whose a listening address is, unless the kernel side knows.
    pub fn seed_listener(&mut self, at: SocketAddress, task: Task) {
        // What is not known has no service; the kernel side counts what comes to it.
        let _ = self.listeners.insert(at, task, NOEXIST);
    }

    /// Introduces a connection, unless the kernel side knows it; whether it does not.
    pub fn seed_connection(&mut self, cookie: u64, connection: Connection) -> bool {
        self.connections.insert(cookie, connection, NOEXIST).is_ok()
    }

    /// Takes back a connection that was over before it was introduced.
    pub fn forget_connection(&mut self, cookie: u64) {
        let _ = self.connections.remove(&cookie);
    }

    /// What was counted of all connections of the host, over all CPUs.
    ///
    /// # Errors
    ///
    /// The map cannot be read.
    pub fn host(&self) -> Result<Figures, CollectError> {
        let per_cpu = self.host.get(&0, 0);
        let per_cpu = per_cpu.map_err(|error| CollectError::of_map("HOST", &error))?;
        let mut sum = Figures::default();
        for of_cpu in per_cpu.iter() {
            add(&mut sum, of_cpu, &Figures::default());
        }
        Ok(sum)
    }

    /// What was not counted for whom it should have been.
    ///
    /// # Errors
    ///
    /// The map cannot be read.
    pub fn lost(&self, what: Lost) -> Result<u64, CollectError> {
        self.counters.total(what as u32)
    }
}

/// Adds what `now` has beyond `earlier` to `sum`.
pub fn add(sum: &mut Figures, now: &Figures, earlier: &Figures) {
    let more = |now: u64, earlier: u64| now.saturating_sub(earlier);
    let histogram = |sum: &mut Exp2, now: &Exp2, earlier: &Exp2| {
        crate::resources::histogram::add_since(sum, now, earlier);
    };
    for ((sum, now), earlier) in sum.sides.iter_mut().zip(&now.sides).zip(&earlier.sides) {
        sum.established += more(now.established, earlier.established);
        sum.retransmits += more(now.retransmits, earlier.retransmits);
        sum.resets_sent += more(now.resets_sent, earlier.resets_sent);
        sum.resets_received += more(now.resets_received, earlier.resets_received);
        sum.sent += more(now.sent, earlier.sent);
        sum.received += more(now.received, earlier.received);
        histogram(&mut sum.rtt, &now.rtt, &earlier.rtt);
    }
    for ((sum, now), earlier) in sum.failed.iter_mut().zip(now.failed).zip(earlier.failed) {
        *sum += more(now, earlier);
    }
    sum.resets_unbound += more(now.resets_unbound, earlier.resets_unbound);
    histogram(&mut sum.connect, &now.connect, &earlier.connect);
}
