//! Requests: counted when their first line is whole, handed over head by head.

use core::ptr::from_ref;

use hark_common::counter::Counter;
use hark_common::socket::{
    HEAD_CAPTURE_LIMIT, RecordKind, RequestBodyRecord, RequestRecord, flag as record_flag,
};

use super::end::give_up;
use super::event::{Scratch, header};
use super::state::{SocketState, role_by, set_bit, state_flag, verdict};
use crate::env::Env;
use crate::http1::{Found, WINDOW, body_begins, flag};

/// Requests that may be outstanding on one connection and still each be accounted for. Past it
/// new ones are counted as lost until all before them are answered.
pub const PIPELINE_DEPTH: u32 = 128;

/// The request line is whole: an exchange begins.
#[inline(always)]
pub fn request_begun(env: &mut impl Env, state: &mut SocketState, s: &mut Scratch) {
    let direction = s.event.direction;
    if state.verdict != verdict::HTTP1 {
        state.verdict = verdict::HTTP1;
        state.role = role_by(direction) as u8;
        state.stream(direction ^ 1).reset();
        state.counted(env, Counter::SocketsHttp1);
    }
    state.flags &= !(state_flag::UNREAD_RX | state_flag::UNREAD_TX);
    let index = state.begun;
    let outstanding = state.outstanding();
    if outstanding != 0 && state.flags & state_flag::CHUNKED_REQUEST != 0 {
        // The response to the one before can no longer carry the size of its body.
        s.request_body = RequestBodyRecord {
            header: header(
                RecordKind::RequestBody,
                size_of::<RequestBodyRecord>() as u32,
                &s.event,
            ),
            body_bytes: state.request_body,
            index: index.wrapping_sub(1),
            reserved: 0,
        };
        // SAFETY: the record is whole. If it does not fit, the size stays unknown, no more.
        unsafe {
            env.emit(
                from_ref(&s.request_body).cast(),
                size_of::<RequestBodyRecord>() as u32,
            )
        };
    }
    state.flags &= !state_flag::CHUNKED_REQUEST;
    let flags = state.stream(direction).flags;
    set_bit(&mut state.head_requests, index, flags & flag::HEAD != 0);
    set_bit(&mut state.lost_requests, index, flags & flag::LOST != 0);
    state.connect = if flags & flag::CONNECT != 0 {
        index.wrapping_add(1)
    } else {
        0
    };
    env.count(Counter::ExchangesBegun, 1);
    state.begun = index.wrapping_add(1);
    if outstanding == 0 {
        state.flags &= !state_flag::OVERFLOW;
    } else if outstanding >= PIPELINE_DEPTH && state.flags & state_flag::OVERFLOW == 0 {
        state.flags |= state_flag::OVERFLOW;
        state.overflow_from = index;
    }
    let overflow = state.flags & state_flag::OVERFLOW != 0;
    if overflow || flags & flag::LOST != 0 {
        let why = if overflow {
            Counter::LostPipelineDepth
        } else {
            Counter::LostRingFull
        };
        env.count(why, 1);
        state.lost_begun = state.lost_begun.wrapping_add(1);
    }
    if overflow && flags & (flag::HEAD | flag::CONNECT) != 0 {
        // How its response ends will not be known.
        give_up(env, state, s, Counter::LostPipelineDepth);
    }
}

/// A response begins to a request that could not be read: the exchange is counted as begun and as
/// lost, so that its response is followed and nothing is attributed to another.
#[inline(always)]
pub fn request_unread(env: &mut impl Env, state: &mut SocketState, direction: u8) {
    state.flags &= !(state_flag::UNREAD_RX | state_flag::UNREAD_TX);
    if state.verdict != verdict::HTTP1 {
        state.verdict = verdict::HTTP1;
        state.role = role_by(direction ^ 1) as u8;
        state.counted(env, Counter::SocketsHttp1);
    }
    let index = state.begun;
    set_bit(&mut state.head_requests, index, false);
    set_bit(&mut state.lost_requests, index, true);
    state.connect = 0;
    state.begun = index.wrapping_add(1);
    state.lost_begun = state.lost_begun.wrapping_add(1);
    env.count(Counter::ExchangesBegun, 1);
    env.count(Counter::LostUnreadable, 1);
}

/// Hands over the part of a request head that the window holds, up to the current position.
#[inline(always)]
pub fn request_piece(env: &mut impl Env, state: &mut SocketState, s: &mut Scratch, last: bool) {
    let direction = s.event.direction;
    let stream = state.stream(direction);
    let in_window = s.event.at;
    let offset = stream.head_bytes.wrapping_sub(in_window);
    let begun = stream.flags & flag::BEGUN != 0;
    let mut captured = in_window;
    let mut flags = if last { record_flag::HEAD_END } else { 0 };
    if s.event.tls != 0 {
        flags |= record_flag::TLS;
    }
    if offset.wrapping_add(captured) > HEAD_CAPTURE_LIMIT as u32 {
        if !last && offset >= HEAD_CAPTURE_LIMIT as u32 {
            return;
        }
        flags |= record_flag::TRUNCATED;
        let room = (HEAD_CAPTURE_LIMIT as u32).wrapping_sub(offset);
        captured = if offset >= HEAD_CAPTURE_LIMIT as u32 {
            0
        } else if captured > room {
            room
        } else {
            captured
        };
    }
    stream.flags |= flag::PIECES;
    let lost = stream.flags & flag::LOST != 0;
    let first_ns = stream.first_ns;
    let stream_flags = stream.flags;
    let next_sequence = stream.sequence;
    let head_bytes = stream.head_bytes;
    let index = if begun {
        state.begun.wrapping_sub(1)
    } else {
        state.begun
    };
    // Once a piece is lost the rest is of no use.
    if lost || begun && state.request_lost(index) {
        return;
    }
    if s.event.described == 0 {
        s.event.described = 1;
        env.describe(&mut s.request.task, &mut state.introduced);
    }
    if captured > WINDOW as u32 {
        captured = WINDOW as u32;
    }
    let size = size_of::<RequestRecord>() as u32 + captured;
    s.request.header = header(RecordKind::Request, size, &s.event);
    s.request.first_ns = first_ns;
    s.request.index = index;
    s.request.offset = if offset > HEAD_CAPTURE_LIMIT as u32 {
        HEAD_CAPTURE_LIMIT as u32
    } else {
        offset
    };
    s.request.captured = captured;
    if stream_flags & flag::SEQUENCE != 0 {
        flags |= record_flag::SEQUENCE;
    }
    if s.event.blocking != 0 {
        flags |= record_flag::BLOCKING;
    }
    s.request.flags = flags;
    // What is behind the head so far has moved in this event, but was not worked through.
    s.request.sequence = next_sequence
        .wrapping_sub(s.event.left as u32)
        .wrapping_sub(head_bytes);
    s.request.reserved2 = 0;
    s.request.role = role_by(direction) as u8;
    s.request.reserved = 0;
    // SAFETY: the window follows the record without a gap, and holds at least `captured` bytes.
    let sent = unsafe { env.emit(from_ref(&*s).cast(), size) };
    if !sent {
        if begun {
            set_bit(&mut state.lost_requests, index, true);
            state.lost_begun = state.lost_begun.wrapping_add(1);
            env.count(Counter::LostRingFull, 1);
        } else {
            // Not counted as begun yet; the stream remembers it until it is.
            state.stream(direction).flags |= flag::LOST;
        }
    }
}

/// The request's head is complete.
#[inline(always)]
pub fn request_head_end(env: &mut impl Env, state: &mut SocketState, s: &mut Scratch) {
    env.request_piece(state, s, true);
    let stream = state.stream(s.event.direction);
    let found = if stream.flags & flag::CONNECT != 0 {
        Found::MessageEnd
    } else {
        body_begins(stream, false)
    };
    if found == Found::MessageEnd {
        request_end(state, s.event.direction);
    }
}

/// The request is complete with its body.
#[inline(always)]
pub fn request_end(state: &mut SocketState, direction: u8) {
    let stream = state.stream(direction);
    let body = stream.body_bytes;
    let chunked = stream.flags & flag::CHUNKED != 0;
    stream.reset();
    state.request_body = body;
    if chunked {
        state.flags |= state_flag::CHUNKED_REQUEST;
    }
}
