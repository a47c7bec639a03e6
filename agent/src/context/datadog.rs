//! Datadog's headers, as its tracers write them (`dd-trace-go`, `ddtrace/tracer/textmap.go`).

use super::{Once, context, hex};
use crate::exchange::TraceContext;

/// The tag that carries the left half of a trace id of 128 bits.
const HIGH_HALF: &[u8] = b"_dd.p.tid=";

/// The headers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Headers<'a> {
    pub(super) trace_id: Once<'a>,
    pub(super) parent_id: Once<'a>,
    pub(super) priority: Once<'a>,
    pub(super) tags: Once<'a>,
}

impl Headers<'_> {
    /// Reads them. The trace id is decimal, the right half of one of 128 bits if the tags have the
    /// left half in hexadecimal; where that is malformed, the id is not known, and there is no
    /// context. The parent is decimal; a trace that a browser began has none. A positive priority
    /// means sampled.
    pub(super) fn read(&self) -> Option<TraceContext> {
        let low = decimal(self.trace_id.one()?)?;
        if low == 0 {
            return None;
        }
        let parent = match self.parent_id {
            Once::Absent => 0,
            Once::One(parent) => decimal(parent)?,
            Once::Several => return None,
        };
        let sampled = match self.priority {
            Once::Absent => None,
            Once::One(b"1" | b"2") => Some(true),
            Once::One(b"0" | b"-1") => Some(false),
            Once::One(_) | Once::Several => return None,
        };
        let mut trace_id = [0; 16];
        trace_id[8..].copy_from_slice(&low.to_be_bytes());
        match self.tags {
            Once::Absent => {}
            Once::One(tags) => {
                let mut halves = tags
                    .split(|byte| *byte == b',')
                    .filter_map(|tag| tag.strip_prefix(HIGH_HALF));
                if let Some(high) = halves.next() {
                    trace_id[..8].copy_from_slice(&hex::lower::<8>(high)?);
                }
                if halves.next().is_some() {
                    return None;
                }
            }
            Once::Several => return None,
        }
        context(trace_id, parent.to_be_bytes(), sampled)
    }
}

/// An unsigned number of 64 bits: digits only.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}
