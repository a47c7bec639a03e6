//! Takes out of records what is nobody's business, byte for byte.

mod args;
mod head;

use hark_common::socket::flag;
use lru::LruCache;

use crate::record::{Record, encode};
use head::State;

/// Heads in pieces that are followed at a time; of one beyond, the rest of a line is taken out.
const HEADS: usize = 65_536;

/// Takes private data out of records. It follows heads that come in pieces, so that a value is
/// taken out wherever the pieces part it.
#[derive(Debug)]
pub struct Redactor {
    /// Where the next piece of a head belongs, by socket.
    heads: LruCache<u64, Progress>,
}

#[derive(Debug)]
struct Progress {
    index: u32,
    offset: u32,
    state: State,
}

impl Default for Redactor {
    fn default() -> Self {
        Self::new()
    }
}

impl Redactor {
    /// One that has seen no record yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            heads: LruCache::unbounded(),
        }
    }

    /// Writes the record to `out` (in place of what is there) with every private byte replaced by
    /// `x`; its size stays. False, and nothing is written, if what is private in it cannot be told
    /// from the rest: the header blocks of HTTP/2 are compressed, each by what came before it.
    #[must_use]
    pub fn redact(&mut self, record: &Record<'_>, out: &mut Vec<u8>) -> bool {
        out.clear();
        if matches!(record, Record::Http2 { .. }) {
            return false;
        }
        encode(record, out);
        match record {
            Record::Request { record, head, .. } => {
                let start = out.len() - head.len();
                let socket = record.header.socket;
                let mut state = match self.heads.pop(&socket) {
                    _ if record.offset == 0 => State::Start,
                    Some(progress)
                        if progress.index == record.index && progress.offset == record.offset =>
                    {
                        progress.state
                    }
                    _ => State::Private,
                };
                state.redact(&mut out[start..]);
                if record.flags & flag::HEAD_END == 0 {
                    let progress = Progress {
                        index: record.index,
                        offset: record.offset + record.captured,
                        state,
                    };
                    self.heads.put(socket, progress);
                    if self.heads.len() > HEADS {
                        self.heads.pop_lru();
                    }
                }
            }
            Record::Process { args, environ, .. } => {
                let environ_at = out.len() - environ.len();
                let args_at = environ_at - args.len();
                args::redact(&mut out[args_at..environ_at]);
                // Nothing in it is worth a secret.
                out[environ_at..].fill(b'x');
            }
            // Names of servers are in it.
            Record::Tls { stream, .. } => {
                let start = out.len() - stream.len();
                out[start..].fill(b'x');
            }
            Record::Response { .. }
            | Record::Abort { .. }
            | Record::RequestBody(_)
            | Record::Http2 { .. }
            | Record::Http2End { .. } => {}
        }
        true
    }
}
