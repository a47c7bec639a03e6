//! What a socket is taken for, and how rarely one that is not HTTP is looked at.

use hark_common::counter::Counter;
use hark_common::socket::{AbortReason, SocketRole};

use crate::env::Env;
use crate::exchange::{RX, Scratch, SocketState, TX, give_up, probing, state_flag, verdict};
use crate::http1::{Window, flag, phase};
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
        state.probing = [probing::NONE; 2];
        return true;
    }
    false
}

/// Messages after a 101 that are looked at for HTTP/2 (RFC 7540 §3.2): its preface and the server's
/// SETTINGS are the first there are, each perhaps in pieces.
const UPGRADE_TRIES: u16 = 8;

/// Whether an event is for the programs of HTTP/2 alone.
#[inline(always)]
pub const fn is_for_http2(state: &mut SocketState) -> bool {
    if state.verdict == verdict::UPGRADED {
        if state.tries >= UPGRADE_TRIES {
            state.verdict = verdict::NEVER;
            return false;
        }
        state.tries += 1;
        return true;
    }
    state.verdict == verdict::HTTP2
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
            state.verdict = verdict::HTTP2;
            state.set_probing(s.event.direction, probing::PREFACE);
            state.counted(env, Counter::SocketsHttp2);
        }
        Step::NotHttp => {
            let tls = s.event.at == 0 && is_tls(&s.window, s.event.end);
            drop_pieces(env, state, s);
            state.tries = state.tries.saturating_add(1);
            if state.verdict == verdict::HTTP1 {
                if state.tries >= TRIES {
                    give_up(env, state, s, Counter::LostParse);
                    state.verdict = verdict::IGNORED;
                }
            } else if tls {
                state.verdict = verdict::TLS;
                state.tries = 0;
                state.counted(env, Counter::SocketsTls);
            } else if state.turns >= TURNS || state.tries >= TRIES {
                ignore(env, state, Counter::SocketsOther);
            }
        }
    }
}

/// Whether bytes begin like a record of TLS 1.0 to 1.3 (RFC 8446 §5.1): one of four types, version
/// 3.x, a length that is allowed. No text begins so, and no HTTP/2 frame of a length that is
/// allowed unless agreed on.
#[inline(always)]
#[must_use]
pub const fn is_tls(window: &Window, end: u32) -> bool {
    let length = (window[3] as u32) << 8 | window[4] as u32;
    end >= TLS_HEADER
        && window[0] >= 0x14
        && window[0] <= 0x17
        && window[1] == 3
        && window[2] <= 4
        && length != 0
        && length <= (1 << 14) + 2048
}

/// Bytes of a TLS record's header.
const TLS_HEADER: u32 = 5;

#[inline(always)]
fn ignore(env: &mut impl Env, state: &mut SocketState, counter: Counter) {
    state.verdict = verdict::IGNORED;
    state.counted(env, counter);
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
/// Why the connection's exchanges end, if they do.
#[inline(always)]
#[must_use]
pub fn end_of_stream(state: &SocketState, peer_gone: bool) -> Option<End> {
    (state.role == SocketRole::Client as u8 || peer_gone).then_some((AbortReason::PeerClosed, 0))
}

/// Why the exchanges of a connection end, and the socket's error.
pub type End = (AbortReason, u32);

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

/// The socket of an HTTP connection changed its TCP state. `errno` is `sk_err`; `orphan` says that no
/// application holds the socket any more. Why the connection's exchanges end, if they do.
#[inline(always)]
#[must_use]
pub fn tcp_state(
    state: &mut SocketState,
    old: i32,
    new: i32,
    errno: u32,
    orphan: bool,
) -> Option<End> {
    let server = state.role == SocketRole::Server as u8;
    match new {
        // A server that has sent its FIN can answer no more. A client can still be answered.
        tcp::FIN_WAIT1 if server => Some((AbortReason::LocalClosed, 0)),
        tcp::LAST_ACK => Some((AbortReason::PeerClosed, 0)),
        // A client may not have read yet what has arrived; see `tcp_destroyed`.
        tcp::CLOSE if !server && !orphan => {
            state.flags |= state_flag::CLOSED;
            state.errno = errno;
            None
        }
        tcp::CLOSE => {
            let reason = if errno != 0 {
                AbortReason::Broken
            } else if old == tcp::CLOSE_WAIT || old == tcp::LAST_ACK {
                AbortReason::PeerClosed
            } else {
                AbortReason::LocalClosed
            };
            Some((reason, errno))
        }
        _ => None,
    }
}

/// The TCP socket of an HTTP connection is about to be freed. Why the connection's exchanges end, if
/// they have not yet.
#[inline(always)]
#[must_use]
pub const fn tcp_destroyed(state: &SocketState) -> Option<End> {
    if state.flags & state_flag::CLOSED == 0 {
        return None;
    }
    let reason = if state.errno != 0 {
        AbortReason::Broken
    } else {
        AbortReason::LocalClosed
    };
    Some((reason, state.errno))
}

/// A read on a TCP connection failed: the application knows now that it is broken.
#[inline(always)]
#[must_use]
pub fn read_failed(state: &SocketState, errno: u32) -> Option<End> {
    (state.role == SocketRole::Client as u8).then_some((AbortReason::Broken, errno))
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
