//! How following begins: at the client's preface, at a server's first frame, or in the middle.

use hark_common::counter::Counter;
use hark_common::socket::SocketRole;

use super::follow::forget;
use super::frame::{HEADER_SIZE, Header, flag as frame_flag, kind};
use super::messages::give_up;
use super::{Flow, Scratch, State, flag, phase};
use crate::env::Env;
use crate::exchange::{RX, SocketState, verdict};

/// What the client's preface (RFC 9113 §3.4) begins with: as much as a frame header.
const PREFACE: &[u8; 9] = b"PRI * HTT";
/// What comes next.
const PREFACE_MIDDLE: u64 = u64::from_le_bytes(*b"P/2.0\r\n\r");
/// What follows the preface's first line, whose end is `\r\n`.
const PREFACE_REST: u64 = u64::from_le_bytes(*b"\r\nSM\r\n\r\n");
/// Bytes of it.
pub const PREFACE_REST_SIZE: u32 = 8;
/// Bytes of what follows `PREFACE`; the two parts share one.
pub const PREFACE_TAIL_SIZE: u32 = 15;
/// Longest SETTINGS that alone is evidence: as many parameters as are defined, and again as many.
const SETTINGS_EVIDENCE: u32 = 16 * 6;
/// The first line of the client's preface has just been seen; the event stands behind it.
#[inline(always)]
pub fn preface(state: &mut State, direction: u8) {
    let flow = state.flow(direction);
    forget(flow);
    flow.flags = flag::SEEN;
    flow.phase = phase::PREFACE_REST;
}

/// The rest of the client's preface is there.
#[inline(always)]
pub fn preface_end(env: &mut impl Env, socket: &mut SocketState, state: &mut State, direction: u8) {
    let flow = state.flow(direction);
    let long = flow.phase == phase::PREFACE_TAIL;
    let at = flow.header.as_ptr();
    // SAFETY: at most 15 of 32 bytes.
    let (middle, rest) = unsafe {
        let rest = if long { at.add(7) } else { at };
        (
            at.cast::<u64>().read_unaligned(),
            rest.cast::<u64>().read_unaligned(),
        )
    };
    forget(flow);
    if rest != PREFACE_REST || long && middle != PREFACE_MIDDLE {
        if !long {
            // A request line that names HTTP/2.0, and nothing of it.
            socket.verdict = verdict::IGNORED;
        }
        return;
    }
    flow.flags = flag::SEEN;
    flow.phase = phase::HEADER;
    state.started = 1;
    count_upgraded(env, socket);
    socket.verdict = verdict::HTTP2;
    socket.role = if direction == RX {
        SocketRole::Server
    } else {
        SocketRole::Client
    } as u8;
}

/// A socket that is HTTP/2 by an upgrade was counted as HTTP/1 before, and is now counted as both.
#[inline(always)]
fn count_upgraded(env: &mut impl Env, socket: &SocketState) {
    if socket.verdict == verdict::UPGRADED {
        env.count(Counter::SocketsHttp2, 1);
    }
}

/// Whether the client's preface begins like this.
#[inline(always)]
#[must_use]
pub const fn is_preface(header: &[u8; 32]) -> bool {
    let mut same = true;
    let mut i = 0;
    while i < PREFACE.len() {
        same &= header[i] == PREFACE[i];
        i += 1;
    }
    same
}

/// A frame's header while it is not certain that these are frames.
#[inline(always)]
pub fn tentative(
    env: &mut impl Env,
    socket: &mut SocketState,
    flow: &mut Flow,
    s: &mut Scratch,
    started: bool,
    header: Header,
) {
    if !header.is_plausible() {
        forget(flow);
        flow.flags &= !flag::ORIGIN;
        if started {
            flow.flags |= flag::MISSED;
        }
        return;
    }
    flow.score += 1;
    // One frame is enough if it fills the system call to its last byte, and is what a server says
    // first, or a whole header block, or if the other direction is known for HTTP/2 already.
    let evidence = match header.kind {
        kind::SETTINGS => header.length != 0 && header.length <= SETTINGS_EVIDENCE,
        kind::HEADERS => header.has(frame_flag::END_HEADERS),
        _ => false,
    };
    let fills = s.tried != 0 && flow.score == 1 && s.event.left == header.length as u64;
    let alone = fills && (evidence || socket.verdict == verdict::HTTP2);
    if flow.score < 2 && !alone {
        if matches!(header.kind, kind::HEADERS | kind::PUSH_PROMISE) {
            flow.passed += 1;
            flow.flags &= !flag::ORIGIN;
            if started {
                flow.flags |= flag::MISSED;
            }
        }
        if header.kind == kind::SETTINGS && !header.has(frame_flag::ACK) {
            flow.flags &= !flag::ORIGIN;
        }
        flow.remaining = header.length;
        flow.take = 0;
        give_up(flow);
        flow.phase = if header.length == 0 {
            phase::HEADER
        } else {
            phase::PAYLOAD
        };
        return;
    }
    // It is HTTP/2.
    if socket.verdict != verdict::HTTP2 {
        count_upgraded(env, socket);
        socket.verdict = verdict::HTTP2;
        socket.counted(env, Counter::SocketsHttp2);
    }
    let passed = flow.passed;
    forget(flow);
    flow.phase = phase::HEADER;
    flow.flags |= flag::RESYNC;
    if s.tried != 0 {
        // From the event's beginning, and now in earnest.
        s.tried = 0;
        s.event = s.began;
        flow.flags |= s.origin;
    } else {
        // From this frame.
        flow.have = HEADER_SIZE;
        env.count(Counter::Http2BlocksPassed, passed as u64);
    }
}
