//! Through the bytes of one system call, segment by segment.

use hark_common::counter::Counter;

use crate::env::Env;
use crate::exchange::{
    Event, Scratch, SocketState, give_up, probing, request_end, request_head_end, request_unread,
    response_head_end, unasked, verdict,
};
use crate::http1::{Found, WINDOW, count, is_status_line, phase};

/// Steps that one event may take. A step passes a line of a head, a chunk of a body, or a segment;
/// 8192 of them are more than any honest call needs.
pub const STEPS: u32 = 8192;

/// Why [`step`] stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Call again.
    More,
    /// The event is worked through, or its rest does not matter.
    Done,
    /// What began here is not HTTP/1.
    NotHttp,
    /// The connection preface of HTTP/2.
    Http2,
}

impl Step {
    /// The one of this code, as `step as u32` gives it.
    #[inline(always)]
    #[must_use]
    pub const fn of(code: u32) -> Self {
        match code {
            0 => Self::More,
            1 => Self::Done,
            2 => Self::NotHttp,
            _ => Self::Http2,
        }
    }
}

/// Works on. The event is `s.event`.
#[inline(always)]
pub fn step(env: &mut impl Env, state: &mut SocketState, s: &mut Scratch) -> Step {
    if s.event.left == 0 || state.verdict > verdict::HTTP1 {
        return Step::Done;
    }
    if s.event.segment_left == 0 {
        next_segment(env, &mut s.event);
        return Step::More;
    }
    let direction = s.event.direction;
    let request = state.is_request(direction);
    // SAFETY: the mask keeps the index within the two streams.
    let stream = unsafe { state.streams.get_unchecked_mut(direction as usize & 1) };
    if stream.counts_only() {
        let (taken, found) = count(stream, s.event.segment_left);
        s.event.consume(taken);
        if found == Found::MessageEnd {
            message_end(env, state, s, request);
        }
        return Step::More;
    }
    let asked = state.begun != state.ended;
    let unread = state.flags & SocketState::unread(direction ^ 1) != 0;
    if stream.phase == phase::START && !request && !asked && !unread {
        // A response that nobody asked for while we looked: the tail of an exchange that was
        // under way before, or a server's farewell (408).
        unasked(state, &s.event);
        return Step::Done;
    }
    if s.event.readable == 0 {
        return unreadable(env, state, s);
    }
    if stream.phase == phase::START && request && s.event.at != 0 {
        // A request head is handed over from the window's beginning.
        s.event.at = 0;
        s.event.end = 0;
    }
    if s.event.at >= s.event.end {
        let want = if s.event.segment_left < WINDOW as u64 {
            s.event.segment_left as u32
        } else {
            WINDOW as u32
        };
        // SAFETY: `want` is not more than the window holds.
        if !unsafe { env.read_user(s.window.as_mut_ptr(), want, s.event.segment) } {
            s.event.readable = 0;
            s.event.unreadable_as = Counter::UnreadableFault as u8;
            return Step::More;
        }
        s.event.at = 0;
        s.event.end = want;
    }
    if stream.phase == phase::START
        && (!request || state.verdict == verdict::UNDECIDED)
        && !asked
        && is_status_line(&s.window, s.event.at, s.event.end)
    {
        // The answer to something that was not seen: not read, which is a loss, or before we
        // looked. Either way it is HTTP.
        if !unread {
            unasked(state, &s.event);
            return Step::Done;
        }
        request_unread(env, state, direction);
        return Step::More;
    }
    if stream.phase == phase::START && !request && !asked {
        return Step::Done;
    }
    // Through memory: were the verifier to know these, it would walk what follows once for each
    // value that it knows.
    // SAFETY: fields of a live value.
    let (from, end) = unsafe {
        (
            (&raw const s.event.at).read_volatile(),
            (&raw const s.event.end).read_volatile(),
        )
    };
    let before = stream.phase;
    let (at, found) = env.scan(stream, &s.window, (from, end), request);
    if before == phase::START && stream.phase != phase::START {
        stream.first_ns = s.event.now;
    }
    let exhausted = at >= end;
    s.event.consume(at.wrapping_sub(from) as u64);
    match found {
        Found::Nothing | Found::RequestLine => {
            if found == Found::RequestLine {
                env.request_begun(state, s);
            }
            // SAFETY: as above.
            let stream = unsafe { state.streams.get_unchecked(direction as usize & 1) };
            if exhausted && request && stream.in_head() {
                env.request_piece(state, s, false);
            }
            Step::More
        }
        Found::HeadEnd => {
            if request {
                request_head_end(env, state, s);
            } else {
                response_head_end(env, state, s);
            }
            Step::More
        }
        Found::MessageEnd => {
            message_end(env, state, s, request);
            Step::More
        }
        Found::NotHttp => Step::NotHttp,
        Found::Http2 => Step::Http2,
        Found::Broken => {
            give_up(env, state, s, Counter::LostParse);
            Step::Done
        }
    }
}

#[inline(always)]
fn message_end(env: &mut impl Env, state: &mut SocketState, s: &mut Scratch, request: bool) {
    if request {
        request_end(state, s.event.direction);
    } else {
        env.response_end(state, s, 0);
    }
}

/// Moves on to the caller's next buffer. If there is none, or it cannot be told, the rest of the event
/// is not readable.
#[inline(always)]
pub fn next_segment(env: &mut impl Env, event: &mut Event) {
    if event.vector_left == 0 {
        // More moved than the caller's buffers hold: they were changed under our eyes.
        event.segment_left = event.left;
        event.readable = 0;
        return;
    }
    // SAFETY: an iovec is two words.
    let read = unsafe { env.read_user((&raw mut event.iovec).cast(), 16, event.vector) };
    if !read {
        event.segment_left = event.left;
        event.readable = 0;
        event.unreadable_as = Counter::UnreadableFault as u8;
        return;
    }
    event.vector = event.vector.wrapping_add(16);
    event.vector_left -= 1;
    let [base, len] = event.iovec;
    event.segment = base;
    event.segment_left = if len < event.left { len } else { event.left };
    event.at = 0;
    event.end = 0;
}

/// Content was needed here and cannot be had.
#[inline(always)]
fn unreadable(env: &mut impl Env, state: &mut SocketState, s: &mut Scratch) -> Step {
    if state.verdict == verdict::HTTP1 {
        give_up(env, state, s, Counter::LostUnreadable);
    }
    state.flags |= SocketState::unread(s.event.direction);
    Step::Done
}

/// Bytes moved that no event reported, just before this one. In a body they are only counted;
/// anywhere else what is outstanding is lost.
#[inline(always)]
pub fn gap(env: &mut impl Env, state: &mut SocketState, s: &mut Scratch, bytes: u32) {
    env.count(Counter::GapBytes, bytes as u64);
    let direction = s.event.direction;
    state.set_probing(direction, probing::NONE);
    let request = state.is_request(direction);
    // SAFETY: the mask keeps the index within the two streams.
    let stream = unsafe { state.streams.get_unchecked_mut(direction as usize & 1) };
    if !stream.counts_only() {
        state.flags |= SocketState::unread(direction);
        if stream.phase != phase::START || request || state.begun != state.ended {
            give_up(env, state, s, Counter::LostGap);
        }
        return;
    }
    let (taken, found) = count(stream, bytes as u64);
    if found == Found::MessageEnd {
        message_end(env, state, s, request);
    }
    if taken != bytes as u64 {
        give_up(env, state, s, Counter::LostGap);
    }
}
