//! The messages of gRPC in DATA: counted by their prefixes, never read.
//!
//! `doc/PROTOCOL-HTTP2.md` of gRPC: a message is a byte that is 0 or 1, its length in four bytes,
//! and its bytes; how messages are cut into frames means nothing. The kernel side does not know
//! which streams are gRPC, for it does not decode header blocks: it reads every body like this
//! until that fails, which for another kind of body it nearly always does at the first byte.

use hark_common::http2::messages::{COUNT, UNKNOWN, WITHIN};

use super::{Flow, Scratch, Sum};
use crate::env::Env;

/// [`Flow::prefix_have`] where messages are not followed.
pub const OFF: u32 = 0xff;

/// Bytes of a prefix.
const PREFIX_SIZE: u32 = 5;

/// Prefixes that are read in one event. Past it the messages of the stream are not followed, so that
/// tiny ones cannot use up the steps that frames need.
const PREFIXES: u32 = 4096;

/// The messages of the stream under way are not followed any longer.
#[inline(always)]
pub const fn give_up(flow: &mut Flow) {
    flow.prefix_have = OFF;
    flow.message_left = 0;
}

/// A DATA frame begins whose stream's messages stand where `left` and `have` say, as [`Sum`] has
/// them; 0 and 0 for the first of a stream.
#[inline(always)]
pub const fn take_up(flow: &mut Flow, left: u32, have: u32) {
    flow.messages = 0;
    flow.prefix_have = have;
    flow.message_left = if have == 0 { left } else { 0 };
    // SAFETY: four of sixteen bytes.
    unsafe { flow.prefix.as_mut_ptr().cast::<u32>().write_unaligned(left) }
}

/// What [`take_up`] wants to know later: the bytes still to come of a message, or those of a prefix that
/// are there.
#[inline(always)]
pub const fn left(flow: &Flow) -> u32 {
    if flow.prefix_have == 0 {
        flow.message_left
    } else {
        // SAFETY: four of sixteen bytes.
        unsafe { flow.prefix.as_ptr().cast::<u32>().read_unaligned() }
    }
}

/// Whether `bytes` can be passed over without a look at them.
#[inline(always)]
pub const fn covers(flow: &Flow, bytes: u64) -> bool {
    flow.prefix_have == OFF || flow.message_left as u64 >= bytes
}

/// `taken` bytes of a message were passed over.
#[inline(always)]
pub const fn pass(flow: &mut Flow, taken: u32) {
    let left = flow.message_left;
    if left == 0 {
        return;
    }
    if taken < left {
        flow.message_left = left - taken;
    } else {
        flow.message_left = 0;
        flow.messages += 1;
    }
}

/// Reads what there is of a prefix, and moves behind it: the flow is between messages, or within a
/// prefix. If it cannot be read, messages are not followed any longer.
#[inline(always)]
pub fn prefix(env: &mut impl Env, flow: &mut Flow, s: &mut Scratch) {
    let have = flow.prefix_have & 7;
    let mut want = PREFIX_SIZE.wrapping_sub(have);
    if flow.remaining < want {
        want = flow.remaining;
    }
    if s.event.segment_left < want as u64 {
        want = s.event.segment_left as u32;
    }
    if want > PREFIX_SIZE {
        want = PREFIX_SIZE;
    }
    // SAFETY: at most 7 and 5 of the 16 bytes.
    let read = s.event.readable != 0
        && s.prefixes < PREFIXES
        && unsafe {
            let to = flow.prefix.as_mut_ptr().add(have as usize);
            env.read_user(to, want, s.event.segment)
        };
    if !read {
        give_up(flow);
        return;
    }
    s.prefixes += 1;
    s.event.consume(want as u64);
    flow.remaining = flow.remaining.wrapping_sub(want);
    flow.data_bytes = flow.data_bytes.wrapping_add(want as u64);
    let have = have + want;
    if have < PREFIX_SIZE {
        flow.prefix_have = have;
        return;
    }
    let [compressed, a, b, c, d, ..] = flow.prefix;
    if compressed > 1 {
        give_up(flow);
        return;
    }
    let length = u32::from_be_bytes([a, b, c, d]);
    flow.prefix_have = 0;
    flow.message_left = length;
    if length == 0 {
        flow.messages += 1;
    }
}

/// What is told of the messages in `sum`, as [`hark_common::http2::messages`] has it.
#[inline(always)]
pub const fn told(sum: &Sum) -> u32 {
    let count = if sum.messages < COUNT {
        sum.messages
    } else {
        COUNT
    };
    if sum.prefix_have == OFF {
        count | UNKNOWN
    } else if sum.prefix_have | sum.message_left != 0 {
        count | WITHIN
    } else {
        count
    }
}
