//! Through the bytes of one system call, frame by frame.

use core::hint::black_box;

use hark_common::counter::Counter;
use hark_common::http2::{BLOCK_LIMIT, Http2Position, PIECE_LIMIT, flag as record_flag};

use super::data::{data_begin, settle, settle_other, skip};
use super::frame::{HEADER_SIZE, Header, flag as frame_flag, kind};
use super::join::{PREFACE_REST_SIZE, PREFACE_TAIL_SIZE, is_preface, preface_end, tentative};
use super::messages::{OFF, covers, give_up, prefix};
use super::output::{is_full, push_header};
use super::{Flow, Scratch, State, flag, phase};
use crate::env::Env;
use crate::exchange::{SocketState, probing, verdict};
use crate::walk::next_segment;

/// Begins the work on an event: nothing is to be handed over yet.
#[inline(always)]
pub const fn reset(s: &mut Scratch) {
    s.len = 0;
    s.continued = 0;
    s.flags = 0;
    s.headed = 0;
    s.frames = 0;
    s.tried = 0;
    s.prefixes = 0;
}

/// Bytes moved that no event reported, just before this event.
#[inline(always)]
pub fn gap(
    env: &mut impl Env,
    socket: &SocketState,
    state: &mut State,
    s: &mut Scratch,
    bytes: u32,
) {
    env.count(Counter::GapBytes, bytes as u64);
    let flow = state.flow(s.event.direction);
    // Within a payload that is passed over they only count. One that ends with them is not worth
    // the case: the header behind it may have moved unseen as well.
    if in_payload(flow) && flow.remaining > bytes {
        if !covers(flow, bytes as u64) {
            give_up(flow);
        }
        skip(flow, bytes as u64);
        return;
    }
    lost(env, socket, state, s, Counter::Http2LostGap);
}

/// Whether the next bytes are payload that is passed over.
#[inline(always)]
const fn in_payload(flow: &Flow) -> bool {
    flow.phase == phase::PAYLOAD && flow.take == 0
}

/// Whether an event of `moved` bytes only counts, which is then done.
#[inline(always)]
pub fn counted_in_payload(
    state: &mut State,
    s: &Scratch,
    direction: u8,
    moved: u64,
    now: u64,
) -> bool {
    let flow = state.flow(direction);
    let passes = in_payload(flow) && flow.remaining as u64 > moved && covers(flow, moved);
    if passes {
        flow.last_ns = now;
        skip(flow, moved);
        let position = state.position(direction);
        position.sequence = s.sequence;
        position.settled = 0;
    }
    passes
}

/// Whether the event ends exactly with a payload that is passed over: then, too, none of its bytes
/// need be read.
#[inline(always)]
pub const fn ends_in_payload(state: &mut State, direction: u8, moved: u64) -> bool {
    let flow = state.flow(direction);
    in_payload(flow) && flow.remaining as u64 == moved && covers(flow, moved)
}

/// Prepares to go through `s.event`.
#[inline(always)]
pub fn begin(socket: &SocketState, state: &mut State, s: &mut Scratch) {
    let started = state.started != 0;
    let direction = s.event.direction;
    let flow = state.flow(direction);
    if flow.flags & flag::SEEN == 0 && s.numbered != 0 {
        flow.origin = s.sequence.wrapping_sub(s.event.left as u32);
        flow.flags |= flag::ORIGIN;
    }
    if socket.verdict != verdict::HTTP2 && socket.probing(direction) != probing::TENTATIVE {
        flow.phase = phase::SEEK;
    }
    if flow.phase == phase::SEEK {
        if flow.flags & flag::SEEN != 0 {
            flow.flags &= !flag::ORIGIN;
        }
        forget(flow);
        flow.phase = phase::HEADER;
        flow.flags |= if started && flow.flags & flag::SEEN == 0 {
            flag::FIRST
        } else {
            flag::TENTATIVE
        };
        s.tried = 1;
        s.began = s.event;
        s.origin = flow.flags & flag::ORIGIN;
    }
    flow.flags |= flag::SEEN;
    flow.last_ns = s.event.now;
}

/// Everything of a flow that ends with certainty.
#[inline(always)]
pub fn forget(flow: &mut Flow) {
    flow.phase = phase::SEEK;
    flow.flags &= !(flag::TENTATIVE | flag::FIRST | flag::CUT | flag::JOINED);
    flow.have = 0;
    flow.score = 0;
    flow.remaining = 0;
    flow.take = 0;
    flow.block = 0;
    flow.block_stream = 0;
    flow.passed = 0;
    flow.era = flow.era.wrapping_add(1);
}

/// Works on by a frame or a segment. True when the event is worked through, or its rest does not
/// matter.
#[inline(always)]
pub fn step(
    env: &mut impl Env,
    socket: &mut SocketState,
    state: &mut State,
    s: &mut Scratch,
) -> bool {
    if s.event.left == 0 {
        return true;
    }
    if s.event.segment_left == 0 {
        next_segment(env, &mut s.event);
        return false;
    }
    if is_full(s) {
        // Here, and not where something is added: the kernel's stack allows few calls within calls.
        env.http2_flush(socket, state, s);
    }
    let direction = s.event.direction;
    let flow = state.flow(direction);
    match flow.phase {
        phase::HEADER | phase::PREFACE_TAIL | phase::PREFACE_REST => {
            if s.event.readable == 0 {
                lost(env, socket, state, s, Counter::Http2LostUnreadable);
                return true;
            }
            let size = match flow.phase {
                phase::HEADER => HEADER_SIZE,
                phase::PREFACE_TAIL => PREFACE_TAIL_SIZE,
                _ => PREFACE_REST_SIZE,
            };
            if !read_header(env, flow, s, size) {
                return false;
            }
            if flow.phase == phase::HEADER {
                frame(env, socket, state, s);
            } else {
                preface_end(env, socket, state, direction);
            }
        }
        phase::PAYLOAD => {}
        _ => return true,
    }
    let flow = state.flow(direction);
    if flow.phase == phase::PAYLOAD && s.event.segment_left != 0 {
        payload(env, socket, state, s);
    }
    false
}

/// Reads what is missing of `size` bytes into the flow's header. True when they are whole.
#[inline(always)]
fn read_header(env: &mut impl Env, flow: &mut Flow, s: &mut Scratch, size: u32) -> bool {
    let have = flow.have & 15;
    let mut want = size.wrapping_sub(have);
    if s.event.segment_left < want as u64 {
        want = s.event.segment_left as u32;
    }
    if want > PREFACE_TAIL_SIZE {
        want = PREFACE_TAIL_SIZE;
    }
    // SAFETY: at most 15 and 15 of the 32 bytes.
    let read = unsafe {
        let to = flow.header.as_mut_ptr().add(have as usize);
        env.read_user(to, want, s.event.segment)
    };
    if !read {
        s.event.readable = 0;
        s.event.unreadable_as = Counter::UnreadableFault as u8;
        return false;
    }
    s.event.consume(want as u64);
    flow.have = have + want;
    flow.have >= size
}

/// A frame's header is whole.
#[inline(always)]
fn frame(env: &mut impl Env, socket: &mut SocketState, state: &mut State, s: &mut Scratch) {
    let started = state.started != 0;
    let flow = state.flow(s.event.direction);
    let header = Header::parse(&flow.header);
    let stream = header.stream_id();
    flow.have = 0;
    if !started && flow.flags & flag::TENTATIVE != 0 && flow.seq == 0 && is_preface(&flow.header) {
        // A server spoke first, or an upgrade was agreed on, and now the client speaks.
        flow.phase = phase::PREFACE_TAIL;
        return;
    }
    if flow.flags & flag::FIRST != 0 {
        flow.flags &= !flag::FIRST;
        let settings = header.kind == kind::SETTINGS && !header.has(frame_flag::ACK);
        flow.flags |= if settings && header.is_plausible() {
            // Told as START, unless something was missed before.
            flag::RESYNC
        } else {
            flag::TENTATIVE | flag::MISSED
        };
    }
    if flow.flags & flag::TENTATIVE != 0 {
        tentative(env, socket, flow, s, started, header);
        return;
    }
    s.frames += 1;
    let in_block = flow.block_stream != 0;
    let continues = header.kind == kind::CONTINUATION;
    if !header.is_valid() || in_block != continues || continues && stream != flow.block_stream {
        lost(env, socket, state, s, Counter::Http2LostParse);
        return;
    }
    flow.remaining = header.length;
    flow.take = 0;
    give_up(flow);
    let mut hand_over = true;
    match header.kind {
        kind::DATA => {
            data_begin(flow, header);
            hand_over = false;
        }
        kind::HEADERS | kind::PUSH_PROMISE | kind::CONTINUATION => {
            if !continues {
                flow.block = 0;
            }
            flow.block_stream = if header.has(frame_flag::END_HEADERS) {
                0
            } else {
                stream
            };
            hand_over = flow.flags & flag::CUT == 0;
            let unknown = !started || flow.flags & flag::MISSED != 0;
            if unknown && flow.flags & flag::JOINED == 0 {
                flow.flags |= flag::JOINED;
                env.count(Counter::Http2Joined, 1);
            }
        }
        kind::RST_STREAM | kind::SETTINGS => flow.block = 0,
        kind::GOAWAY => {
            flow.block = 0;
            // The debug data stays behind.
            flow.header[0] = 0;
            flow.header[1] = 0;
            flow.header[2] = 8;
        }
        _ => hand_over = false,
    }
    let ends = header.kind == kind::HEADERS && header.has(frame_flag::END_STREAM);
    let reset = header.kind == kind::RST_STREAM;
    if ends || reset {
        settle(state, s, stream);
    }
    if reset {
        settle_other(state, s, stream);
    }
    if hand_over {
        let raw = Header::raw(&state.flow(s.event.direction).header);
        push_header(s, raw);
        let take = if header.kind == kind::GOAWAY {
            8
        } else {
            header.length
        };
        let flow = state.flow(s.event.direction);
        if flow.block + take > BLOCK_LIMIT as u32 {
            cut(env, socket, state, s);
        } else {
            flow.block += take;
            flow.take = take;
        }
    }
    let flow = state.flow(s.event.direction);
    flow.phase = phase::PAYLOAD;
    if header.length == 0 {
        frame_end(env, state, s);
    }
}

/// Bytes of a payload.
#[inline(always)]
fn payload(env: &mut impl Env, socket: &SocketState, state: &mut State, s: &mut Scratch) {
    let flow = state.flow(s.event.direction);
    if flow.take == 0 {
        if flow.prefix_have != OFF && flow.message_left == 0 {
            prefix(env, flow, s);
        }
        let flow = state.flow(s.event.direction);
        let mut n = s.event.segment_left;
        if !covers(flow, n) {
            // To the end of the message; of a prefix that is not whole there is no more.
            n = flow.message_left as u64;
        }
        let taken = skip(flow, n);
        s.event.consume(taken as u64);
    } else if s.event.readable == 0 {
        cut(env, socket, state, s);
    } else {
        let at = s.len & (PIECE_LIMIT as u32 - 1);
        let mut n = PIECE_LIMIT as u32 - at;
        if flow.take < n {
            n = flow.take;
        }
        if s.event.segment_left < n as u64 {
            n = s.event.segment_left as u32;
        }
        // The verifier of Linux 6.1 believes a bound only from a mask, which the compiler must not see
        // to be of no effect. Where it has one, the next round takes the byte that is left.
        if n == PIECE_LIMIT as u32 {
            n -= 1;
        }
        let n = black_box(n) & (PIECE_LIMIT as u32 - 1);
        // SAFETY: the position is below the limit, `n` too, and the buffer twice as long.
        let read = unsafe {
            let to = s.bytes.as_mut_ptr().add(at as usize);
            env.read_user(to, n, s.event.segment)
        };
        if !read {
            s.event.readable = 0;
            s.event.unreadable_as = Counter::UnreadableFault as u8;
            return;
        }
        s.len = at + n;
        if s.headed == 0 {
            s.continued += n;
        }
        flow.take -= n;
        flow.remaining = flow.remaining.wrapping_sub(n);
        s.event.consume(n as u64);
    }
    if state.flow(s.event.direction).remaining == 0 {
        frame_end(env, state, s);
    }
}

/// The frame's last byte has moved.
#[inline(always)]
fn frame_end(env: &mut impl Env, state: &mut State, s: &mut Scratch) {
    let flow = state.flow(s.event.direction);
    flow.phase = phase::HEADER;
    if flow.block_stream == 0 {
        flow.flags &= !flag::CUT;
    }
    if flow.header[3] == kind::DATA && flow.flags & flag::TENTATIVE == 0 {
        env.http2_data_end(state, s);
    }
}

/// The rest of the frame under way, and of its header block, is left out.
#[inline(always)]
fn cut(env: &mut impl Env, socket: &SocketState, state: &mut State, s: &mut Scratch) {
    let flow = state.flow(s.event.direction);
    flow.take = 0;
    s.flags |= record_flag::CUT;
    env.count(Counter::Http2Cut, 1);
    env.http2_flush(socket, state, s);
    state.flow(s.event.direction).flags |= flag::CUT | flag::MISSED;
}

/// The frames cannot be followed any longer. The next events are tried for their beginning.
#[inline(always)]
pub fn lost(
    env: &mut impl Env,
    socket: &SocketState,
    state: &mut State,
    s: &mut Scratch,
    why: Counter,
) {
    let flow = state.flow(s.event.direction);
    let followed = flow.flags & flag::TENTATIVE == 0 && flow.phase != phase::SEEK;
    if followed {
        s.flags |= record_flag::LOST;
        env.count(why, 1);
        env.http2_flush(socket, state, s);
    }
    let flow = state.flow(s.event.direction);
    forget(flow);
    flow.flags &= !flag::ORIGIN;
    flow.flags |= flag::MISSED;
}

/// The event has been worked through; `done` is false if the steps were used up before.
#[inline(always)]
pub fn conclude(
    env: &mut impl Env,
    socket: &mut SocketState,
    state: &mut State,
    s: &mut Scratch,
    done: bool,
) {
    if !done {
        lost(env, socket, state, s, Counter::Http2LostTooMany);
    }
    env.http2_flush(socket, state, s);
    if s.frames != 0 {
        env.count(Counter::Http2Frames, s.frames as u64);
    }
    let direction = s.event.direction;
    let flow = state.flow(direction);
    let settled = flow.phase == phase::HEADER
        && flow.flags & flag::TENTATIVE == 0
        && flow.have | flow.block_stream == 0;
    let position = Http2Position {
        sequence: s.sequence,
        seq: flow.seq,
        settled: settled as u32,
    };
    let goes_on = flow.phase != phase::SEEK && flow.flags & flag::TENTATIVE != 0;
    *state.position(direction) = position;
    socket.set_probing(
        direction,
        if goes_on {
            probing::TENTATIVE
        } else {
            probing::NONE
        },
    );
}
