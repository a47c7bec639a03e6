//! AWS X-Ray's `X-Amzn-Trace-Id`, as
//! <https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader>
//! has it.

use super::{context, hex};
use crate::exchange::TraceContext;

/// Longest value that is read, in bytes.
const LENGTH_LIMIT: usize = 1024;

/// Reads the value of one header: `Root=1-{8 digits}-{24 digits};Parent={16 digits};Sampled={0|1}`,
/// fields in any order, each once; others (`Self`, `Lineage`, an application's own) are passed over. A
/// load balancer sends no parent. `Sampled=?` leaves the decision to who receives it.
pub(super) fn parse(value: &[u8]) -> Option<TraceContext> {
    if value.len() > LENGTH_LIMIT {
        return None;
    }
    let (mut root, mut parent, mut sampled) = (None, None, None);
    for field in value.split(|byte| *byte == b';') {
        let field = field.trim_ascii();
        let slot = if let Some(value) = field.strip_prefix(b"Root=") {
            root.replace(value)
        } else if let Some(value) = field.strip_prefix(b"Parent=") {
            parent.replace(value)
        } else if let Some(value) = field.strip_prefix(b"Sampled=") {
            sampled.replace(value)
        } else {
            continue;
        };
        if slot.is_some() {
            return None;
        }
    }
    let trace_id = root.and_then(trace_id)?;
    let parent_id = match parent {
        None => [0; 8],
        Some(digits) => hex::lower(digits).filter(|id| *id != [0; 8])?,
    };
    let sampled = match sampled {
        None | Some(b"?") => None,
        Some(b"1") => Some(true),
        Some(b"0") => Some(false),
        Some(_) => return None,
    };
    context(trace_id, parent_id, sampled)
}

/// The version, the time in seconds, and 96 random bits: the last 32 digits are the id.
fn trace_id(root: &[u8]) -> Option<[u8; 16]> {
    let rest = root.strip_prefix(b"1-")?;
    if rest.len() != 33 || rest[8] != b'-' {
        return None;
    }
    let mut id = [0; 16];
    id[..4].copy_from_slice(&hex::lower::<4>(&rest[..8])?);
    id[4..].copy_from_slice(&hex::lower::<12>(&rest[9..])?);
    Some(id)
}
