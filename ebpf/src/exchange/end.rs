//! The end of a connection, or of following it: what is outstanding ends without a response.

use core::ptr::from_ref;

use hark_common::counter::Counter;
use hark_common::socket::{AbortReason, AbortRecord, RecordKind, flag as record_flag};

use super::event::{Scratch, header};
use super::state::{SocketState, state_flag};
use crate::env::Env;
use crate::http1::{Stream, flag, phase};

/// No more will come, or can be sent: whatever is outstanding ends here.
#[inline(always)]
pub fn close(
    env: &mut impl Env,
    state: &mut SocketState,
    s: &mut Scratch,
    reason: AbortReason,
    errno: u32,
) {
    let response_direction = state.request_direction() ^ 1;
    let until_close = state.stream(response_direction).phase == phase::UNTIL_CLOSE;
    if until_close && state.outstanding() != 0 && errno == 0 {
        env.response_end(state, s, record_flag::UNTIL_CLOSE);
    }
    env.end_outstanding(state, s, (reason, errno), Counter::ExchangesEnded);
}

/// The rest of the stream cannot be followed: what is outstanding is lost, and the connection is
/// taken up again at the next request that can be made out.
#[inline(always)]
pub fn give_up(env: &mut impl Env, state: &mut SocketState, s: &mut Scratch, counter: Counter) {
    let why = (AbortReason::Lost, counter as u32);
    env.end_outstanding(state, s, why, counter);
}

/// Ends `ended..begun`, and a head whose request line is not whole yet, and counts them under
/// `counter`.
#[inline(always)]
pub fn end_outstanding(
    env: &mut impl Env,
    state: &mut SocketState,
    s: &mut Scratch,
    (reason, errno): (AbortReason, u32),
    counter: Counter,
) {
    let outstanding = state.outstanding();
    let request_direction = state.request_direction();
    let request = state.stream(request_direction);
    let request_open = request.phase != phase::START;
    let unborn = request.flags & flag::PIECES != 0 && request.flags & flag::BEGUN == 0;
    let so_far = request.body_bytes;
    let request_last = request.last_ns;
    let untold = state.flags & state_flag::UNTOLD != 0;
    if outstanding == 0 && !unborn && !untold {
        fresh(&mut state.streams);
        return;
    }
    let request_lost = outstanding != 0 && state.request_lost(state.begun.wrapping_sub(1));
    let request_body_bytes = if request_open {
        so_far
    } else {
        state.request_body
    };
    let counted = outstanding.wrapping_sub(state.outstanding_lost());
    let role = state.role;
    let to = state.begun.wrapping_add(unborn as u32);
    let only_untold = outstanding == 0 && untold;
    let from = if only_untold {
        state.ended.wrapping_sub(1)
    } else {
        state.ended
    };
    let reason = if only_untold {
        AbortReason::Lost
    } else {
        reason
    };
    let response = state.stream(request_direction ^ 1);
    let response_begun = response.status != 0 && response.phase >= phase::LINE;
    let mut flags = record_flag::REQUEST_BODY_KNOWN;
    if response_begun {
        flags |= record_flag::RESPONSE_BEGUN;
    }
    if request_open && !request_lost {
        flags |= record_flag::REQUEST_OPEN;
    }
    s.abort = AbortRecord {
        header: header(RecordKind::Abort, size_of::<AbortRecord>() as u32, &s.event),
        first_ns: if response_begun { response.first_ns } else { 0 },
        last_ns: if response.last_ns > request_last {
            response.last_ns
        } else {
            request_last
        },
        body_bytes: response.body_bytes,
        request_body_bytes,
        from,
        to,
        errno,
        reason: reason as u16,
        status: if response_begun { response.status } else { 0 },
        flags,
        role,
        reserved: [0; 5],
    };
    fresh(&mut state.streams);
    state.ended = state.begun;
    state.lost_ended = state.lost_begun;
    state.flags &= !state_flag::UNTOLD;
    // SAFETY: the record is whole.
    let sent = unsafe { env.emit(from_ref(&s.abort).cast(), size_of::<AbortRecord>() as u32) };
    let lost_anyway = !matches!(counter, Counter::ExchangesEnded);
    env.count(
        if sent || lost_anyway {
            counter
        } else {
            Counter::LostRingFull
        },
        counted as u64,
    );
}

/// Both directions before a head, their sequence numbers kept.
#[inline(always)]
fn fresh(streams: &mut [Stream; 2]) {
    let [received, sent] = streams;
    received.reset();
    sent.reset();
}
