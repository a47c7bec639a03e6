//! DATA: counted, summed per stream, never read but for the prefixes of messages.

use hark_common::counter::Counter;
use hark_common::http2::OTHER_DIRECTION;
use hark_common::http2::messages::UNKNOWN;

use super::frame::{Header, flag as frame_flag, kind};
use super::messages::{self, give_up, take_up};
use super::output::{push_header, push_messages};
use super::{Flow, SUMS, Scratch, State, Sum, flag};
use crate::env::Env;

/// A sum stays below this, so that it fits into the length of a frame header.
const SUM_LIMIT: u32 = 1 << 24;

/// A place that is free.
const NOTHING: Sum = Sum {
    stream: 0,
    era: 0,
    bytes: 0,
    messages: 0,
    message_left: 0,
    prefix_have: 0,
};

#[inline(always)]
const fn slot(flow: &mut Flow, stream: u32) -> &mut Sum {
    let sums = (&raw mut flow.sums).cast::<Sum>();
    // SAFETY: the mask keeps the index within the sums.
    unsafe { &mut *sums.add((stream >> 1) as usize & (SUMS - 1)) }
}

/// Passes over up to `n` bytes of the payload under way. Returns how many there were. The frame may
/// then be at its end, which is for the caller to see.
#[inline(always)]
pub const fn skip(flow: &mut Flow, n: u64) -> u32 {
    let taken = if n < flow.remaining as u64 {
        n as u32
    } else {
        flow.remaining
    };
    flow.remaining -= taken;
    if flow.header[3] == kind::DATA && flow.flags & flag::TENTATIVE == 0 {
        flow.data_bytes = flow.data_bytes.wrapping_add(taken as u64);
        messages::pass(flow, taken);
    }
    taken
}

/// A DATA frame begins: its stream's messages are taken up where they stand.
#[inline(always)]
pub const fn data_begin(flow: &mut Flow, header: Header) {
    let stream = header.stream_id();
    let era = flow.era;
    let sum = *slot(flow, stream);
    if header.has(frame_flag::PADDED) {
        // Padding is no part of a message, and what pads is not gRPC as it is spoken.
        flow.messages = 0;
        give_up(flow);
    } else if sum.stream == stream && sum.era == era {
        take_up(flow, sum.message_left, sum.prefix_have);
    } else {
        take_up(flow, 0, 0);
    }
}

/// A DATA frame has moved to its last byte.
#[inline(always)]
pub fn data_end(env: &mut impl Env, state: &mut State, s: &mut Scratch) {
    let flow = state.flow(s.event.direction);
    let header = Header::parse(&flow.header);
    let stream = header.stream_id();
    let ends = header.has(frame_flag::END_STREAM);
    env.count(Counter::Http2DataBytes, header.length as u64);
    let mut next = Sum {
        stream,
        era: flow.era,
        bytes: header.length,
        messages: flow.messages,
        message_left: messages::left(flow),
        prefix_have: flow.prefix_have,
    };
    let sum = slot(flow, stream);
    let told = *sum;
    let current = told.era == next.era;
    let same = current && told.stream == stream;
    let joins = same && told.bytes + header.length < SUM_LIMIT;
    if joins {
        next.bytes += told.bytes;
        next.messages += told.messages;
    }
    if !ends {
        *sum = next;
    } else if same {
        *sum = NOTHING;
    }
    // A sum that grew too large, or that of another stream that needs the place.
    if current && !joins && (same || !ends) && told.is_open() {
        let mut word = told.messages;
        if !same && told.prefix_have | told.message_left != 0 || told.prefix_have == messages::OFF {
            word |= UNKNOWN;
        }
        push_sum(s, &told, 0, word);
    }
    if ends {
        push_sum(s, &next, frame_flag::END_STREAM, messages::told(&next));
    }
}

/// The stream ends in another way than by DATA: tells its sum.
#[inline(always)]
pub fn settle(state: &mut State, s: &mut Scratch, stream: u32) {
    let flow = state.flow(s.event.direction);
    let era = flow.era;
    let sum = slot(flow, stream);
    let told = *sum;
    if told.stream == stream && told.era == era && told.is_open() {
        *sum = NOTHING;
        push_sum(s, &told, 0, messages::told(&told));
    }
}

/// The stream is reset by who receives what the other direction sends: tells that one's sum, too, also
/// if there is nothing. It stays in its place, for only that direction's events write there; if it is told
/// again, nobody waits for it any more.
#[inline(always)]
pub fn settle_other(state: &mut State, s: &mut Scratch, stream: u32) {
    let flow = state.flow(s.event.direction ^ 1);
    let era = flow.era;
    let mut told = *slot(flow, stream);
    if told.stream != stream || told.era != era {
        told = Sum { stream, ..NOTHING };
    }
    push_sum(s, &told, OTHER_DIRECTION, messages::told(&told));
}

/// Tells a sum, with these flags and this about its messages.
#[inline(always)]
fn push_sum(s: &mut Scratch, sum: &Sum, flags: u8, word: u32) {
    let header = Header {
        length: sum.bytes,
        kind: kind::DATA,
        flags,
        stream: sum.stream,
    };
    push_header(s, header.bytes());
    push_messages(s, word);
}
