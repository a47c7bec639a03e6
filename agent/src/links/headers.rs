//! By headers: the request that was sent carries the very trace context of one received request.
//!
//! Proxies do that, and applications that pass trace headers on. The context is that of the sender
//! of the *received* request, so that the server's span belongs between the two. The span id must be
//! the same as well: where it is another one, the process has spans of its own, and the parent is
//! one of those, as the header says.
//!
//! Certain only if the process received one request with this context. Tracers give each request a
//! span id of its own; where one comes again, a client sent a request again, whose first attempt may
//! still be worked for, or sends the same with all of them. Then it says nothing.

use hark_common::socket::ProcessKey;
use lru::LruCache;

use super::{Candidate, Key};
use crate::exchange::TraceContext;
use crate::hash::RandomState;

/// Contexts that are remembered.
const LIMIT: usize = 65_536;

type Carried = (ProcessKey, [u8; 16], [u8; 8]);

/// The contexts of requests that processes received.
#[derive(Debug)]
pub struct Headers {
    received: LruCache<Carried, Candidate, RandomState>,
}

impl Default for Headers {
    fn default() -> Self {
        Self {
            received: LruCache::unbounded_with_hasher(RandomState::default()),
        }
    }
}

impl Headers {
    /// A process received a request.
    pub fn received(&mut self, process: ProcessKey, context: &TraceContext, key: Key) {
        if context.parent().is_none() {
            // It names a trace, which many requests may belong to.
            return;
        }
        let carried = (process, context.trace_id, context.parent_id);
        if let Some(before) = self.received.get_mut(&carried) {
            *before = Candidate::Ambiguous;
            return;
        }
        self.received.put(carried, Candidate::One(key));
        if self.received.len() > LIMIT {
            self.received.pop_lru();
        }
    }

    /// The received request that one sent now with this context belongs to.
    #[must_use]
    pub fn parent(&self, process: ProcessKey, context: &TraceContext) -> Candidate {
        self.received
            .peek(&(process, context.trace_id, context.parent_id))
            .copied()
            .unwrap_or(Candidate::None)
    }
}
