//! DATA: counted, summed per stream, never read.

use hark_common::counter::Counter;

use super::frame::{Header, flag as frame_flag, kind};
use super::output::push_header;
use super::{Flow, SUMS, Scratch, State, Sum, flag};
use crate::env::Env;

/// A sum stays below this, so that it fits into the length of a frame header.
const SUM_LIMIT: u32 = 1 << 24;

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
    }
    taken
}

/// A DATA frame has moved to its last byte.
#[inline(always)]
pub fn data_end(env: &mut impl Env, state: &mut State, s: &mut Scratch) {
    let flow = state.flow(s.event.direction);
    let header = Header::parse(&flow.header);
    let stream = header.stream_id();
    let sum = slot(flow, stream);
    let told = *sum;
    let same = told.stream == stream;
    let total = told.bytes + header.length;
    let joins = same && total < SUM_LIMIT;
    let ends = header.has(frame_flag::END_STREAM);
    env.count(Counter::Http2DataBytes, header.length as u64);
    if joins || !ends {
        *sum = Sum {
            stream,
            bytes: match (joins, ends) {
                (true, true) => 0,
                (true, false) => total,
                (false, _) => header.length,
            },
        };
    } else if same {
        sum.bytes = 0;
    }
    // A sum that grew too large, or that of another stream that needs the place.
    if !joins && told.bytes != 0 && (same || !ends) {
        push_sum(s, told, 0);
    }
    if ends {
        let last = Sum {
            stream,
            bytes: if joins { total } else { header.length },
        };
        push_sum(s, last, frame_flag::END_STREAM);
    }
}

/// The stream ends in another way than by DATA: tells its sum.
#[inline(always)]
pub fn settle(state: &mut State, s: &mut Scratch, stream: u32) {
    let sum = slot(state.flow(s.event.direction), stream);
    let told = *sum;
    if told.stream == stream && told.bytes != 0 {
        sum.bytes = 0;
        push_sum(s, told, 0);
    }
}

#[inline(always)]
fn push_sum(s: &mut Scratch, sum: Sum, flags: u8) {
    let header = Header {
        length: sum.bytes,
        kind: kind::DATA,
        flags,
        stream: sum.stream,
    };
    push_header(s, header.bytes());
}
