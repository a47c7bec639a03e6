//! Jaeger's `uber-trace-id`, as
//! <https://www.jaegertracing.io/docs/1.76/sdk-migration/#propagation-format> has it.

use std::borrow::Cow;

use super::{context, hex};
use crate::exchange::TraceContext;

/// Longest value there can be: every colon as `%3A`.
const LENGTH_LIMIT: usize = 32 + 16 + 16 + 2 + 3 * 3;

/// Bit of the flags: sampled. Debug, which implies it, is bit 1.
const SAMPLED: u8 = 0x01;
const DEBUG: u8 = 0x02;

/// Reads the value of one header: `{trace}:{span}:{parent}:{flags}`, in hexadecimal of either case;
/// ids may be shorter, and are then padded with zeros on the left. The parent is deprecated and
/// ignored, but must be a number. The colons may be URL-encoded, as some clients send them.
pub(super) fn parse(value: &[u8]) -> Option<TraceContext> {
    if value.len() > LENGTH_LIMIT {
        return None;
    }
    let value = decoded(value);
    let mut fields = value.split(|byte| *byte == b':');
    let trace_id = hex::short(fields.next()?)?;
    let span_id = hex::short(fields.next()?)?;
    hex::short::<8>(fields.next()?)?;
    let [flags] = hex::short(fields.next()?)?;
    if fields.next().is_some() || span_id == [0; 8] {
        return None;
    }
    context(trace_id, span_id, Some(flags & (SAMPLED | DEBUG) != 0))
}

/// With `%3A` in place of every colon, or as it is: never one and the other.
fn decoded(value: &[u8]) -> Cow<'_, [u8]> {
    if value.contains(&b':') || !value.contains(&b'%') {
        return Cow::Borrowed(value);
    }
    let mut plain = Vec::with_capacity(value.len());
    let mut rest = value;
    while let [first, after @ ..] = rest {
        if let [b'%', b'3', b'A' | b'a', after @ ..] = rest {
            plain.push(b':');
            rest = after;
        } else {
            plain.push(*first);
            rest = after;
        }
    }
    Cow::Owned(plain)
}
