//! Records under construction.

use core::ptr::from_ref;

use hark_common::counter::Counter;
use hark_common::http2::{Http2Record, MESSAGES_SIZE, PIECE_LIMIT, flag as record_flag};
use hark_common::socket::{RecordHeader, RecordKind};

use super::frame::HEADER_SIZE;
use super::{Scratch, State, flag};
use crate::env::Env;
use crate::exchange::SocketState;

/// Bytes that one step may add to the record beside payload: three frame headers, two of them of DATA with
/// what follows those, rounded up.
pub const ROOM: usize = 64;

/// Whether the record has not the room that a step may need.
#[inline(always)]
pub const fn is_full(s: &Scratch) -> bool {
    s.len > (PIECE_LIMIT - ROOM) as u32
}

/// Adds a frame header to the record, which has room for it: its first eight bytes, the lowest first,
/// and its last. As numbers: the stack has no room for another array.
#[inline(always)]
pub fn push_header(s: &mut Scratch, (first, last): (u64, u8)) {
    let at = s.len as usize & (PIECE_LIMIT - 1);
    // SAFETY: the mask keeps the position below the limit, and the buffer is twice as long.
    unsafe {
        let to = s.bytes.as_mut_ptr().add(at);
        to.cast::<u64>().write_unaligned(first.to_le());
        to.add(8).write(last);
    }
    s.len += HEADER_SIZE;
    s.headed = 1;
}

/// Adds what is said of the messages in DATA behind its header, for which there is room as well.
#[inline(always)]
pub fn push_messages(s: &mut Scratch, word: u32) {
    let at = s.len as usize & (PIECE_LIMIT - 1);
    // SAFETY: the mask keeps the position below the limit, and the buffer is twice as long.
    unsafe {
        let to = s.bytes.as_mut_ptr().add(at).cast::<u32>();
        to.write_unaligned(word.to_be());
    }
    s.len += MESSAGES_SIZE as u32;
}

/// Hands over what the record holds, if anything, and begins another. A record that finds no room
/// takes its number with it.
#[inline(always)]
pub fn flush(env: &mut impl Env, socket: &SocketState, state: &mut State, s: &mut Scratch) {
    if s.len == 0 && s.flags == 0 {
        return;
    }
    let started = state.started != 0;
    s.record.local = state.local;
    s.record.peer = state.peer;
    let direction = s.event.direction;
    let flow = state.flow(direction);
    let mut flags = s.flags;
    if started && flow.flags & (flag::START_TOLD | flag::MISSED) == 0 {
        flow.flags |= flag::START_TOLD;
        flags |= record_flag::START;
    } else if flow.flags & flag::RESYNC != 0 {
        flags |= record_flag::RESYNC;
    }
    if flags & record_flag::RESYNC != 0 && flow.flags & flag::ORIGIN != 0 {
        flags |= record_flag::ORIGIN;
        s.record.origin = flow.origin;
    } else {
        s.record.origin = 0;
    }
    flow.flags &= !(flag::RESYNC | flag::ORIGIN);
    if s.event.tls != 0 {
        flags |= record_flag::TLS;
    }
    if s.event.described == 0 {
        s.event.described = 1;
        env.describe(&mut s.record.task, &mut flow.introduced);
    }
    let len = if s.len > PIECE_LIMIT as u32 {
        PIECE_LIMIT as u32
    } else {
        s.len
    };
    let size = size_of::<Http2Record>() as u32 + len;
    s.record.header = RecordHeader {
        kind: RecordKind::Http2 as u32,
        size,
        time_ns: s.event.now,
        socket: s.event.socket,
    };
    s.record.data_bytes = flow.data_bytes;
    s.record.seq = flow.seq;
    s.record.len = len;
    s.record.continued = s.continued;
    s.record.flags = flags;
    s.record.direction = direction;
    s.record.role = socket.role;
    s.record.reserved = 0;
    flow.seq = flow.seq.wrapping_add(1);
    // SAFETY: the bytes follow the record without a gap, and hold at least `len`.
    let sent = unsafe { env.emit(from_ref(&*s).cast(), size) };
    if !sent {
        env.count(Counter::Http2RecordsLost, 1);
    }
    s.len = 0;
    s.continued = 0;
    s.flags = 0;
    s.headed = 0;
}
