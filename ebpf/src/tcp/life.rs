//! The life of a connection, from its opening to its end.

use super::*;

const SHUTDOWN_BOTH: u8 = 3;
/// `SOCK_DONE` of `enum sock_flags`: the peer's FIN has been received.
const SOCK_DONE: u64 = 1 << 1;

#[map]
pub(super) static CONNECTIONS: HashMap<u64, Connection> =
    HashMap::with_max_entries(MAX_CONNECTIONS, 0);

/// The connection of this socket, if it is followed.
///
/// # Safety
///
/// `sk` must be a BTF pointer to a `sock` or a `sock_common`.
#[inline(always)]
pub(super) unsafe fn followed(sk: *const c_void) -> *mut Connection {
    // SAFETY: by the caller.
    let cookie: u64 = unsafe { field(sk, offset!(sock_cookie)) };
    match CONNECTIONS.get_ptr_mut(&cookie) {
        Some(connection) => connection,
        None => core::ptr::null_mut(),
    }
}

/// Follows this socket's connection from here on, or counts that there is no room.
///
/// # Safety
///
/// `sk` must be a BTF pointer to a `sock`.
#[inline(always)]
unsafe fn follow(sk: *mut c_void, connection: &Connection) {
    // SAFETY: by the caller.
    let cookie = unsafe { bpf_get_socket_cookie(sk) };
    if CONNECTIONS.insert(&cookie, connection, 0).is_err() {
        count(&COUNTERS, Lost::Connections as u32);
    }
}

/// Counts the retransmits that have not been counted.
#[inline(always)]
pub(super) fn retransmitted(connection: *mut Connection, total: u32, program: Program) {
    // SAFETY: not null by the callers; the socket's lock keeps others away.
    unsafe {
        let more = total.wrapping_sub((*connection).retransmits);
        if more == 0 {
            return;
        }
        (*connection).retransmits = total;
        let role = (*connection).role;
        both(&raw const (*connection).task, program, |figures| {
            add(&raw mut (*side(figures, role)).retransmits, more as u64);
        });
    }
}

/// `connect` has chosen where to, and is about to send its SYN.
#[inline(always)]
pub(super) fn connecting(sk: *mut c_void, tcp: *const c_void) {
    // SAFETY: helpers and fields of BTF pointers.
    unsafe {
        let connection = Connection {
            task: current(),
            opened_ns: bpf_ktime_get_ns(),
            sent_before: 0,
            received_before: 0,
            retransmits: field(tcp, offset!(tcp_total_retrans)),
            role: role::CLIENT,
            state: state::OPENING,
            reserved: [0; 2],
        };
        follow(sk, &connection);
    }
}

#[inline(always)]
pub(super) fn established(sk: *mut c_void, tcp: *const c_void, old: i32) {
    // SAFETY: helpers and fields of BTF pointers; what is followed is not null.
    unsafe {
        let connection = followed(sk);
        if !connection.is_null() {
            if (*connection).state != state::OPENING {
                return;
            }
            (*connection).state = state::OPEN;
            let took = bpf_ktime_get_ns().saturating_sub((*connection).opened_ns);
            both(
                &raw const (*connection).task,
                Program::SetState,
                |figures| {
                    add(&raw mut (*side(figures, role::CLIENT)).established, 1);
                    observe(&raw mut (*figures).connect, took);
                },
            );
            return;
        }
        if old != SYN_RECV {
            // There was no room for it, or the agent was not there, when it called connect.
            if let Some(host) = HOST.get_ptr_mut(0) {
                add(&raw mut (*side(host, role::CLIENT)).established, 1);
            }
            return;
        }
        let connection = Connection {
            task: listener(sk),
            opened_ns: 0,
            sent_before: 0,
            received_before: 0,
            // What was sent again of the handshake has been counted for the listener.
            retransmits: field(tcp, offset!(tcp_total_retrans)),
            role: role::SERVER,
            state: state::OPEN,
            reserved: [0; 2],
        };
        both(&raw const connection.task, Program::SetState, |figures| {
            add(&raw mut (*side(figures, role::SERVER)).established, 1);
        });
        follow(sk, &connection);
    }
}

/// Why a connect failed.
#[inline(always)]
fn failure(errno: i32, shutdown: u8) -> Failure {
    match errno {
        111 => Failure::Refused,
        110 => Failure::TimedOut,
        101 | 113 => Failure::Unreachable,
        0 if shutdown & SHUTDOWN_BOTH == SHUTDOWN_BOTH => Failure::Abandoned,
        _ => Failure::Other,
    }
}

#[inline(always)]
pub(super) fn closed(sk: *mut c_void, tcp: *const c_void) {
    // SAFETY: fields of BTF pointers; what is followed is not null.
    unsafe {
        let connection = followed(sk);
        if connection.is_null() || (*connection).state == state::OVER {
            return;
        }
        let total: u32 = field(tcp, offset!(tcp_total_retrans));
        // Those that could not be sent are counted by the kernel, and not told by its hook.
        retransmitted(connection, total, Program::SetState);
        let was = (*connection).state;
        (*connection).state = state::OVER;
        if was == state::OPENING {
            let errno: i32 = field(sk, offset!(sock_err));
            let shutdown: u8 = field(sk, offset!(sock_shutdown));
            let why = failure(errno, shutdown) as usize;
            both(
                &raw const (*connection).task,
                Program::SetState,
                |figures| {
                    let failed = (&raw mut (*figures).failed).cast::<u64>();
                    if why < Failure::COUNT {
                        add(failed.add(why), 1);
                    }
                },
            );
            return;
        }
        let all: u64 = field(tcp, offset!(tcp_bytes_sent));
        let again: u64 = field(tcp, offset!(tcp_bytes_retrans));
        let arrived: u64 = field(tcp, offset!(tcp_bytes_received));
        let flags: u64 = field(sk, offset!(sock_flags));
        let sent = all
            .saturating_sub(again)
            .saturating_sub((*connection).sent_before);
        // The kernel counts the FIN's sequence number as a byte.
        let received = arrived
            .saturating_sub((flags & SOCK_DONE != 0) as u64)
            .saturating_sub((*connection).received_before);
        let srtt: u32 = field(tcp, offset!(tcp_srtt_us));
        let role = (*connection).role;
        both(
            &raw const (*connection).task,
            Program::SetState,
            |figures| {
                let side = side(figures, role);
                add(&raw mut (*side).sent, sent);
                add(&raw mut (*side).received, received);
                if srtt != 0 {
                    observe(&raw mut (*side).rtt, (srtt as u64) * 125);
                }
            },
        );
    }
}
