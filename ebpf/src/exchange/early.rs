//! Answers that a client hears before the event of their request.
//!
//! The event of a send comes when its bytes are with TCP already. Where one thread of a client writes
//! and another reads, the answer's event may overtake it. Followed as it comes, that answer would be
//! nobody's, and each later one that of the request before. Such an exchange is given up and counted
//! instead: TCP's own sequence numbers tell whose answer it was.
//!
//! What is not TCP has no such numbers, nor has what a TLS library hands over: there it goes unnoticed.

use hark_common::counter::Counter;
use hark_common::socket::SocketRole;

use super::end::give_up;
use super::event::{Event, Scratch};
use super::state::{RX, SocketState, TX, verdict};
use crate::env::Env;

/// Whether what is received now may be something that nobody has asked for.
#[inline(always)]
#[must_use]
pub const fn may_be_unasked(state: &SocketState) -> bool {
    state.role != SocketRole::Server as u8 && state.outstanding() == 0
}

/// Something was received that nobody has asked for.
#[inline(always)]
pub fn unasked(state: &mut SocketState, event: &Event) {
    if event.direction != RX || event.numbered == 0 {
        return;
    }
    let sent = state.stream(TX);
    sent.answered_at = event.written;
    sent.answered = 1;
}

/// Whether [`overtaken`] has something to look at.
#[inline(always)]
#[must_use]
pub const fn is_unasked(state: &SocketState) -> bool {
    state.streams[TX as usize].answered != 0
}

/// Something is sent after an answer that nobody asked for: `moved` bytes that have been worked
/// through, or 0 before they are.
#[inline(always)]
pub fn overtaken(env: &mut impl Env, state: &mut SocketState, s: &mut Scratch, moved: u32) {
    let outstanding = state.outstanding() != 0;
    let sent = state.stream(TX);
    let within = sent.sequence.wrapping_sub(sent.answered_at) < moved;
    // Nothing was outstanding when the answer was heard: its request's event was just being worked
    // through, on another CPU.
    let before = moved == 0 && outstanding;
    if moved != 0 || before {
        sent.answered = 0;
    }
    if (within || before) && state.verdict == verdict::HTTP1 {
        give_up(env, state, s, Counter::LostEarly);
    }
}
