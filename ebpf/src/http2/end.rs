//! The end of a connection.

use core::ptr::from_ref;

use hark_common::http2::Http2EndRecord;
use hark_common::socket::{RecordHeader, RecordKind};

use super::State;
use crate::env::Env;
use crate::exchange::{SocketState, state_flag};

/// Hands over that a connection has ended, once. `cookie` names the socket, `now` is the time in ns.
/// `reason` is an `AbortReason`. If there is no room for the record, the next sign of the end tries again.
#[inline(always)]
pub fn end(
    env: &mut impl Env,
    socket: &mut SocketState,
    state: &State,
    (cookie, now): (u64, u64),
    (reason, errno): (u16, u32),
) {
    if socket.flags & state_flag::ENDED != 0 {
        return;
    }
    let [received, sent] = &state.flows;
    let record = Http2EndRecord {
        header: RecordHeader {
            kind: RecordKind::Http2End as u32,
            size: size_of::<Http2EndRecord>() as u32,
            time_ns: now,
            socket: cookie,
        },
        last_ns: if received.last_ns > sent.last_ns {
            received.last_ns
        } else {
            sent.last_ns
        },
        next_seq: [received.seq, sent.seq],
        errno,
        reason,
        role: socket.role,
        reserved: 0,
    };
    // SAFETY: the record is whole.
    if unsafe { env.emit(from_ref(&record).cast(), size_of::<Http2EndRecord>() as u32) } {
        socket.flags |= state_flag::ENDED;
    }
}
