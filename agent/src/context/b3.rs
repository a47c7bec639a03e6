//! B3, in one header or in several, as <https://github.com/openzipkin/b3-propagation> has it.

use super::{Once, context, hex};
use crate::exchange::TraceContext;

/// Reads the value of one `b3` header: `{trace}-{span}[-{sampled}[-{parent}]]`. The trace id has 32
/// or 16 lower-case hexadecimal digits, the span ids 16; `sampled` is `1`, `0`, or `d` for debug,
/// which implies it.
///
/// A value that is a decision only (`b3: 0`) names no trace, and is `None`.
pub(super) fn parse(value: &[u8]) -> Option<TraceContext> {
    let mut fields = value.split(|byte| *byte == b'-');
    let trace_id = trace_id(fields.next()?)?;
    let span_id = hex::lower(fields.next()?)?;
    let sampled = match fields.next() {
        None => None,
        Some(b"1" | b"d") => Some(true),
        Some(b"0") => Some(false),
        Some(_) => return None,
    };
    if let Some(parent) = fields.next() {
        hex::lower::<8>(parent)?;
    }
    if fields.next().is_some() || span_id == [0; 8] {
        return None;
    }
    context(trace_id, span_id, sampled)
}

/// The headers of the other form.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Headers<'a> {
    pub(super) trace_id: Once<'a>,
    pub(super) span_id: Once<'a>,
    pub(super) parent: Once<'a>,
    pub(super) sampled: Once<'a>,
    pub(super) flags: Once<'a>,
}

impl Headers<'_> {
    /// Reads them. The trace id and the span id must be there and valid; what else there is must
    /// be valid. `X-B3-Sampled` may also be `true` or `false`, as early tracers sent it;
    /// `X-B3-Flags: 1` is debug.
    pub(super) fn read(&self) -> Option<TraceContext> {
        let trace_id = trace_id(self.trace_id.one()?)?;
        let span_id = hex::lower(self.span_id.one()?)?;
        match self.parent {
            Once::Absent => {}
            Once::One(parent) => {
                hex::lower::<8>(parent)?;
            }
            Once::Several => return None,
        }
        let debug = match self.flags {
            Once::Absent | Once::One(b"0") => false,
            Once::One(b"1") => true,
            Once::One(_) | Once::Several => return None,
        };
        let sampled = match self.sampled {
            Once::Absent => None,
            Once::One(b"1" | b"true") => Some(true),
            Once::One(b"0" | b"false") => Some(false),
            Once::One(_) | Once::Several => return None,
        };
        if span_id == [0; 8] {
            return None;
        }
        context(trace_id, span_id, if debug { Some(true) } else { sampled })
    }
}

/// 32 digits, or 16 that are the right half.
fn trace_id(digits: &[u8]) -> Option<[u8; 16]> {
    match digits.len() {
        16 => {
            let mut id = [0; 16];
            id[8..].copy_from_slice(&hex::lower::<8>(digits)?);
            Some(id)
        }
        _ => hex::lower(digits),
    }
}
