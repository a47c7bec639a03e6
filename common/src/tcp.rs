//! What the TCP programs keep in their maps: connections, and figures per process and for all.

use crate::histogram::Exp2;
use crate::process::{ProcessOffsets, Task};

/// Most connections that are followed at once. Past it they are counted, for the host and as lost.
pub const MAX_CONNECTIONS: u32 = 65_536;
/// Most listening addresses that are known; the one that was not used for longest makes room.
pub const MAX_LISTENERS: u32 = 16_384;
/// Most processes that have figures of their own.
pub const MAX_PROCESSES: u32 = 4096;

/// Which end a connection was opened by; the index into [`Figures::sides`].
pub mod role {
    /// This end called `connect`.
    pub const CLIENT: u8 = 0;
    /// This end accepted.
    pub const SERVER: u8 = 1;
    /// Roles.
    pub const COUNT: usize = 2;
}

/// How far a [`Connection`] is.
pub mod state {
    /// `connect` was called, the peer has not answered.
    pub const OPENING: u8 = 0;
    /// Established, from either end.
    pub const OPEN: u8 = 1;
    /// Over; kept until the kernel frees the socket, because a reset may follow the end.
    pub const OVER: u8 = 2;
}

/// Why a `connect` that had sent its SYN failed; the index into [`Figures::failed`].
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// `ECONNREFUSED`: the peer answered with a reset.
    Refused = 0,
    /// `ETIMEDOUT`: the peer did not answer.
    TimedOut,
    /// `ENETUNREACH`, `EHOSTUNREACH`: a router, or this host, said so.
    Unreachable,
    /// The application closed the socket before there was an answer.
    Abandoned,
    /// Anything else.
    Other,
}

impl Failure {
    /// Values of this type.
    pub const COUNT: usize = 5;
}

/// A connection that is followed, by its socket's cookie.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    /// The process that called `connect`, or `listen` for the port that it came to; all zero if
    /// that is not known.
    pub task: Task,
    /// When `connect` was called: `CLOCK_MONOTONIC`, ns.
    pub opened_ns: u64,
    /// Payload bytes sent before the agent was there: not counted.
    pub sent_before: u64,
    /// Payload bytes received before the agent was there: not counted.
    pub received_before: u64,
    /// `tcp_sock.total_retrans` as far as it has been counted.
    pub retransmits: u32,
    /// A [`role`].
    pub role: u8,
    /// A [`state`].
    pub state: u8,
    /// Unused, 0.
    pub reserved: [u8; 2],
}

/// What is counted of the connections in one role.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Side {
    /// Connections established.
    pub established: u64,
    /// Segments sent again.
    pub retransmits: u64,
    /// Resets sent.
    pub resets_sent: u64,
    /// Resets received.
    pub resets_received: u64,
    /// Payload bytes sent, of connections that are over.
    pub sent: u64,
    /// Payload bytes received, of connections that are over.
    pub received: u64,
    /// The smoothed round-trip time that each connection had when it was over.
    pub rtt: Exp2,
}

/// What is counted of all connections of a process, or of the host. Written by atomic addition.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// By [`role`].
    pub sides: [Side; role::COUNT],
    /// Calls of `connect` that failed, by [`Failure`].
    pub failed: [u64; Failure::COUNT],
    /// Resets sent for what is no connection of this host: an answer to a closed port.
    pub resets_unbound: u64,
    /// From `connect` to the established connection.
    pub connect: Exp2,
}

/// The figures of a process.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Who it is.
    pub task: Task,
    /// What it did.
    pub figures: Figures,
}

/// A slot of the per-CPU array `COUNTERS`: what was not counted for whom it should have been.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Connections that found no room among those that are followed.
    Connections = 0,
    /// Events of processes that found no room among those that have figures.
    Processes,
    /// Connections accepted on an address that no process is known to listen on.
    Listener,
}

impl Lost {
    /// Slots.
    pub const COUNT: u32 = 3;
}

/// Byte offsets of what the TCP programs read.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpOffsets {
    /// Of the task that connects or listens.
    pub process: ProcessOffsets,
    /// `struct sock.__sk_common.skc_family` (`unsigned short`).
    pub sock_family: u32,
    /// `struct sock.__sk_common.skc_rcv_saddr` (`__be32`).
    pub sock_rcv_saddr: u32,
    /// `struct sock.__sk_common.skc_num` (`__u16`, host byte order).
    pub sock_num: u32,
    /// `struct sock.__sk_common.skc_v6_rcv_saddr` (`struct in6_addr`).
    pub sock_v6_rcv_saddr: u32,
    /// `struct sock.__sk_common.skc_net.net` (`struct net *`).
    pub sock_net: u32,
    /// `struct sock.__sk_common.skc_cookie` (`atomic64_t`); 0 until somebody asked for it.
    pub sock_cookie: u32,
    /// `struct sock.__sk_common.skc_flags` (`unsigned long`): bit 1 is `SOCK_DONE`.
    pub sock_flags: u32,
    /// `struct sock.sk_protocol` (`u16`).
    pub sock_protocol: u32,
    /// `struct sock.sk_err` (`int`).
    pub sock_err: u32,
    /// `struct sock.sk_shutdown` (`u8`).
    pub sock_shutdown: u32,
    /// `struct net.ns.inum` (`unsigned int`).
    pub net_inum: u32,
    /// `struct tcp_sock.total_retrans` (`u32`).
    pub tcp_total_retrans: u32,
    /// `struct tcp_sock.bytes_sent` (`u64`): payload, with what was sent again.
    pub tcp_bytes_sent: u32,
    /// `struct tcp_sock.bytes_retrans` (`u64`): payload that was sent again.
    pub tcp_bytes_retrans: u32,
    /// `struct tcp_sock.bytes_received` (`u64`): in order, the FIN counted as a byte.
    pub tcp_bytes_received: u32,
    /// `struct tcp_sock.srtt_us` (`u32`): eight times the smoothed round-trip time, µs.
    pub tcp_srtt_us: u32,
}

const _: () = {
    assert!(size_of::<Connection>() == 48 + 32 && align_of::<Connection>() == 8);
    assert!(size_of::<Side>() == 6 * 8 + size_of::<Exp2>());
    assert!(size_of::<Figures>() == 2 * size_of::<Side>() + 6 * 8 + size_of::<Exp2>());
    assert!(size_of::<Tally>() == 48 + size_of::<Figures>() && align_of::<Tally>() == 8);
    assert!(size_of::<TcpOffsets>() == (10 + 16) * 4 && align_of::<TcpOffsets>() == 4);
};
