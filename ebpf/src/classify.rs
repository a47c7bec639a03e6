//! What a socket is taken for, and how rarely one that is not HTTP is looked at.

use hark_common::counter::Counter;
use hark_common::socket::{AbortReason, SocketRole};

use crate::env::Env;
use crate::exchange::{RX, Scratch, SocketState, TX, close, give_up, state_flag, verdict};
use crate::http1::{flag, phase};
use crate::walk::Step;

/// Changes of direction after which an undecided socket is ignored.
const TURNS: u32 = 6;
/// Messages after which it is, whatever their direction; and after which a socket that was HTTP/1
/// and sends nothing but what is not, is.
const TRIES: u16 = 64;

/// Takes note of an event in `direction` and says whether to look at it.
///
/// An ignored socket is looked at again at its 16th, 32nd, 64th, … change of direction, and the one
/// after: a connection that was in the middle of a long body when the agent started is HTTP all the same.
#[inline(always)]
pub fn look(state: &mut SocketState, direction: u8) -> bool {
    let turned = state.direction != direction || state.turns == 0;
    if turned {
        state.direction = direction;
        state.turns = state.turns.wrapping_add(1);
    }
    if state.verdict < verdict::IGNORED {
        return true;
    }
    // Both of a pair: a request may come at odd turns as well as at even ones.
    let pair = state.turns & !1;
    let due = pair >= 16 && pair & pair.wrapping_sub(1) == 0;
    if state.verdict == verdict::IGNORED && turned && due {
        state.verdict = verdict::UNDECIDED;
        state.streams[0].reset();
        state.streams[1].reset();
        return true;
    }
    false
}

/// Bytes that moved unseen before an event of `moved` bytes, given the socket's own sequence
/// number after it.
#[inline(always)]
pub fn gap_before(state: &mut SocketState, direction: u8, sequence: u32, moved: u32) -> u32 {
    // SAFETY: the mask keeps the index within the two streams.
    let stream = unsafe { state.streams.get_unchecked_mut(direction as usize & 1) };
    let gap = sequence.wrapping_sub(moved).wrapping_sub(stream.sequence);
    let known = stream.flags & flag::SEQUENCE != 0;
    stream.sequence = sequence;
    stream.flags |= flag::SEQUENCE;
    // A negative one is another thread's event on the same socket that overtook this one.
    if known && gap < u32::MAX / 2 { gap } else { 0 }
}

/// An event has been worked through as far as `step` says.
#[inline(always)]
pub fn conclude(env: &mut impl Env, state: &mut SocketState, s: &mut Scratch, step: Step) {
    match step {
        // The steps were used up.
        Step::More => give_up(env, state, s, Counter::LostParse),
        Step::Done => {
            if state.verdict == verdict::HTTP1 {
                state.tries = 0;
            }
        }
        Step::Http2 => {
            drop_pieces(env, state, s);
            ignore(env, state, Counter::SocketsHttp2);
        }
        Step::NotHttp => {
            let tls = s.event.at == 0 && s.window[0] == 0x16 && s.window[1] == 3;
            drop_pieces(env, state, s);
            state.tries = state.tries.saturating_add(1);
            if state.verdict == verdict::HTTP1 {
                if state.tries >= TRIES {
                    give_up(env, state, s, Counter::LostParse);
                    state.verdict = verdict::IGNORED;
                }
            } else if tls && state.flags & state_flag::COUNTED == 0 {
                ignore(env, state, Counter::SocketsTls);
            } else if state.turns >= TURNS || state.tries >= TRIES {
                ignore(env, state, Counter::SocketsOther);
            }
        }
    }
}

#[inline(always)]
fn ignore(env: &mut impl Env, state: &mut SocketState, counter: Counter) {
    state.verdict = verdict::IGNORED;
    if state.flags & state_flag::COUNTED == 0 {
        state.flags |= state_flag::COUNTED;
        env.count(counter, 1);
    }
}

/// What looked like the beginning of a request was none: the agent is told to forget its pieces.
#[inline(always)]
fn drop_pieces(env: &mut impl Env, state: &mut SocketState, s: &mut Scratch) {
    let direction = s.event.direction as usize & 1;
    // SAFETY: the mask keeps the index within the two streams.
    let stream = unsafe { state.streams.get_unchecked_mut(direction) };
    if stream.flags & flag::PIECES != 0 && state.begun == state.ended {
        give_up(env, state, s, Counter::LostParse);
    } else {
        stream.reset();
    }
}

/// A read returned 0: the peer will send no more. `peer_gone` says that it will not read either.
#[inline(always)]
pub fn end_of_stream(
    env: &mut impl Env,
    state: &mut SocketState,
    s: &mut Scratch,
    peer_gone: bool,
) {
    if state.verdict == verdict::HTTP1 && (state.role == SocketRole::Client as u8 || peer_gone) {
        close(env, state, s, AbortReason::PeerClosed, 0);
    }
}

/// TCP states, `include/net/tcp_states.h`.
pub mod tcp {
    /// Both directions open.
    pub const ESTABLISHED: i32 = 1;
    /// An active open is under way.
    pub const SYN_SENT: i32 = 2;
    /// This end has sent its FIN.
    pub const FIN_WAIT1: i32 = 4;
    /// Closed.
    pub const CLOSE: i32 = 7;
    /// The peer has sent its FIN.
    pub const CLOSE_WAIT: i32 = 8;
    /// Both have, the peer first.
    pub const LAST_ACK: i32 = 9;
}

/// The socket of an HTTP/1 connection changed its TCP state. `errno` is `sk_err`; `orphan` says that
/// no application holds the socket any more.
#[inline(always)]
pub fn tcp_state(
    env: &mut impl Env,
    state: &mut SocketState,
    s: &mut Scratch,
    old: i32,
    new: i32,
    errno: u32,
    orphan: bool,
) {
    let server = state.role == SocketRole::Server as u8;
    match new {
        // A server that has sent its FIN can answer no more. A client can still be answered.
        tcp::FIN_WAIT1 if server => close(env, state, s, AbortReason::LocalClosed, 0),
        tcp::LAST_ACK => close(env, state, s, AbortReason::PeerClosed, 0),
        // A client may not have read yet what has arrived; see `tcp_destroyed`.
        tcp::CLOSE if !server && !orphan => {
            state.flags |= state_flag::CLOSED;
            state.errno = errno;
        }
        tcp::CLOSE => {
            let reason = if errno != 0 {
                AbortReason::Broken
            } else if old == tcp::CLOSE_WAIT || old == tcp::LAST_ACK {
                AbortReason::PeerClosed
            } else {
                AbortReason::LocalClosed
            };
            close(env, state, s, reason, errno);
        }
        _ => {}
    }
}

/// The TCP socket of an HTTP/1 connection is about to be freed.
#[inline(always)]
pub fn tcp_destroyed(env: &mut impl Env, state: &mut SocketState, s: &mut Scratch) {
    if state.flags & state_flag::CLOSED != 0 {
        let errno = state.errno;
        let reason = if errno != 0 {
            AbortReason::Broken
        } else {
            AbortReason::LocalClosed
        };
        close(env, state, s, reason, errno);
    }
}

/// A read on a TCP connection failed: the application knows now that it is broken.
#[inline(always)]
pub fn read_failed(env: &mut impl Env, state: &mut SocketState, s: &mut Scratch, errno: u32) {
    if state.role == SocketRole::Client as u8 {
        close(env, state, s, AbortReason::Broken, errno);
    }
}

/// Prepares `s.event` and `state` for an event; returns false if there is nothing to walk because
/// the bytes only count within a body, which is then done.
#[inline(always)]
pub fn counted_in_body(state: &mut SocketState, direction: u8, moved: u64, now: u64) -> bool {
    // SAFETY: the mask keeps the index within the two streams.
    let stream = unsafe { state.streams.get_unchecked_mut(direction as usize & 1) };
    stream.last_ns = now;
    if stream.phase == phase::UNTIL_CLOSE || stream.phase == phase::BODY && stream.remaining > moved
    {
        crate::http1::count(stream, moved);
        return true;
    }
    false
}

/// Whether an event ends exactly with a body of known length: then, too, none of its bytes need be
/// read.
#[inline(always)]
#[must_use]
pub fn ends_in_body(state: &SocketState, direction: u8, moved: u64) -> bool {
    // SAFETY: the mask keeps the index within the two streams.
    let stream = unsafe { state.streams.get_unchecked(direction as usize & 1) };
    stream.phase == phase::BODY && stream.remaining == moved && stream.flags & flag::CHUNKED == 0
}

const _: () = assert!(RX == 0 && TX == 1);
