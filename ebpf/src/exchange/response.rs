//! Responses: each ends the exchange of its number.

use core::ptr::from_ref;

use hark_common::counter::Counter;
use hark_common::socket::{RecordKind, ResponseRecord, flag as record_flag};

use super::event::{Scratch, header};
use super::state::{SocketState, bit, state_flag, verdict};
use crate::env::Env;
use crate::http1::{Found, body_begins, flag, phase};

/// The response's head is complete.
#[inline(always)]
pub fn response_head_end(env: &mut impl Env, state: &mut SocketState, s: &mut Scratch) {
    let index = state.ended;
    let head = bit(&state.head_requests, index);
    let connect = state.connect == index.wrapping_add(1);
    let stream = state.stream(s.event.direction);
    let status = stream.status;
    if status < 200 && status != 101 {
        // An interim response (RFC 9110 §15.2): the final one is still to come.
        stream.reset();
        return;
    }
    state.thread = env.thread();
    let stream = state.stream(s.event.direction);
    if status == 101 || connect && status < 300 {
        env.response_end(state, s, record_flag::SWITCHED);
        return;
    }
    if head || status == 204 || status == 304 || body_begins(stream, true) == Found::MessageEnd {
        env.response_end(state, s, 0);
    }
}

/// The response is complete: the exchange ends.
#[inline(always)]
pub fn response_end(env: &mut impl Env, state: &mut SocketState, s: &mut Scratch, flags: u16) {
    let index = state.ended;
    let lost = state.request_lost(index);
    let request_direction = state.request_direction();
    let mut flags = flags;
    let mut request_body_bytes = 0;
    if index == state.begun.wrapping_sub(1) {
        let request = state.stream(request_direction);
        let open = request.phase != phase::START && request.flags & flag::BEGUN != 0;
        let so_far = request.body_bytes;
        flags |= record_flag::REQUEST_BODY_KNOWN;
        if open {
            flags |= record_flag::REQUEST_OPEN;
            request_body_bytes = so_far;
        } else {
            request_body_bytes = state.request_body;
        }
    }
    if lost {
        flags |= record_flag::REQUEST_LOST;
        state.lost_ended = state.lost_ended.wrapping_add(1);
    }
    let role = state.role;
    let thread = state.thread;
    let stream = state.stream(request_direction ^ 1);
    let status = stream.status;
    s.response = ResponseRecord {
        header: header(
            RecordKind::Response,
            size_of::<ResponseRecord>() as u32,
            &s.event,
        ),
        first_ns: stream.first_ns,
        last_ns: stream.last_ns,
        body_bytes: stream.body_bytes,
        request_body_bytes,
        thread,
        index,
        status,
        flags,
        role,
        reserved: [0; 3],
    };
    stream.reset();
    state.ended = index.wrapping_add(1);
    if flags & record_flag::SWITCHED != 0 {
        state.verdict = if status == 101 {
            verdict::UPGRADED
        } else {
            verdict::NEVER
        };
        state.tries = 0;
    }
    if !(lost && state.flags & state_flag::OVERFLOW != 0) {
        // SAFETY: the record is whole.
        let sent = unsafe {
            env.emit(
                from_ref(&s.response).cast(),
                size_of::<ResponseRecord>() as u32,
            )
        };
        if !lost {
            env.count(
                if sent {
                    Counter::ExchangesEnded
                } else {
                    Counter::LostRingFull
                },
                1,
            );
        }
    }
}
