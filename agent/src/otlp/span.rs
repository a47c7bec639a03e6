//! An exchange that became a span: what waits in the queue.
//!
//! Ids and wall-clock times are settled here, on the pipeline's thread; the conversion to protobuf
//! is left to the export task, see [`super::convert`].

use std::sync::Arc;

#[cfg(test)]
use crate::clock::Clock;
use crate::exchange::{Exchange, Method};
use crate::fragment::{Ended, Ids};
use crate::identity::Service;

/// `SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK` of OTLP: the next bit means something.
const HAS_IS_REMOTE: u32 = 0x100;
/// `SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK` of OTLP: the parent is in another process.
const IS_REMOTE: u32 = 0x200;

/// A span that waits for export.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) exchange: Exchange,
    pub(crate) service: Arc<Service>,
    pub(crate) route: Option<Arc<str>>,
    pub(crate) trace_id: [u8; 16],
    pub(crate) span_id: [u8; 8],
    /// `None` for the root of a trace.
    pub(crate) parent_id: Option<[u8; 8]>,
    /// `tracestate`; may be empty.
    pub(crate) trace_state: Arc<str>,
    /// Flags as OTLP has them: the W3C flags in the low eight bits.
    pub(crate) flags: u32,
    /// ns since 1970-01-01 UTC.
    pub(crate) start_unix_ns: u64,
    /// ns since 1970-01-01 UTC.
    pub(crate) end_unix_ns: u64,
}

impl Span {
    /// An exchange that has taken its place in a trace.
    pub(crate) fn linked(ended: Ended, ids: Ids, trace_state: Arc<str>) -> Self {
        let remote = if ids.remote { IS_REMOTE } else { 0 };
        Self {
            trace_id: ids.trace_id,
            span_id: ids.span_id,
            parent_id: ids.parent_id,
            trace_state,
            flags: u32::from(ids.flags) | HAS_IS_REMOTE | remote,
            start_unix_ns: ended
                .end_unix_ns
                .saturating_sub(ended.exchange.duration_ns()),
            end_unix_ns: ended.end_unix_ns,
            exchange: ended.exchange,
            service: ended.service,
            route: ended.route,
        }
    }

    /// An exchange by itself: it continues the trace that its request names, or begins one.
    #[cfg(test)]
    pub(crate) fn new(
        exchange: &Exchange,
        service: &Arc<Service>,
        route: Option<&str>,
        clock: &Clock,
    ) -> Self {
        let fragment = crate::fragment::alone(Ended {
            end_unix_ns: clock.wall_ns(exchange.end_ns),
            exchange: exchange.clone(),
            service: Arc::clone(service),
            route: route.map(Into::into),
            notable: None,
            left_out: false,
        });
        let state = fragment.tracestate.unwrap_or_default();
        let member = fragment.members.into_iter().next().expect("one exchange");
        Self::linked(member.ended, member.ids, state)
    }

    /// About how much memory the span holds, in bytes. The service is shared and not counted.
    pub(crate) fn weight(&self) -> usize {
        let request = &self.exchange.request;
        let texts = [
            Some(&request.path),
            request.host.as_ref(),
            request.scheme.as_ref(),
            request.user_agent.as_ref(),
            request.client_address.as_ref(),
            request.tracestate.as_ref(),
            Some(&self.trace_state),
        ];
        let method = match &request.method {
            Method::Other(token) => token.len(),
            _ => 0,
        };
        size_of::<Self>()
            + texts.iter().flatten().map(|text| text.len()).sum::<usize>()
            + self.route.as_ref().map_or(0, |route| route.len())
            + method
    }
}
