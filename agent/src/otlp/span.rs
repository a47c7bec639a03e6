//! An exchange that became a span: what waits in the queue.
//!
//! Ids and wall-clock times are settled here, on the pipeline's thread; the conversion to protobuf
//! is left to the export task, see [`super::convert`].

use std::sync::Arc;

use rand::random;

use crate::clock::Clock;
use crate::exchange::{Exchange, Method, Role};
use crate::identity::Service;

/// The W3C flag of a trace that is recorded.
const SAMPLED: u32 = 0x01;
/// The W3C flag of a trace id whose right-most seven bytes are random.
const RANDOM: u32 = 0x02;
/// `SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK` of OTLP: the next bit means something.
const HAS_IS_REMOTE: u32 = 0x100;
/// `SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK` of OTLP: the parent is in another process.
const IS_REMOTE: u32 = 0x200;

/// A span that waits for export.
#[derive(Clone, Debug)]
pub struct Span {
    pub(crate) exchange: Exchange,
    pub(crate) service: Arc<Service>,
    pub(crate) route: Option<Box<str>>,
    pub(crate) trace_id: [u8; 16],
    pub(crate) span_id: [u8; 8],
    /// Flags as OTLP has them: the W3C flags in the low eight bits.
    pub(crate) flags: u32,
    /// ns since 1970-01-01 UTC.
    pub(crate) start_unix_ns: u64,
    /// ns since 1970-01-01 UTC.
    pub(crate) end_unix_ns: u64,
}

impl Span {
    /// Continues the trace that the request names, or begins one.
    ///
    /// The flags of a trace that is continued are copied as they came (W3C Trace Context level 2
    /// asks so for the random flag). The parent of a server's span is in the process that sent the
    /// request; that of a client's span is in the client itself, which wrote the header.
    #[must_use]
    pub fn new(
        exchange: &Exchange,
        service: &Arc<Service>,
        route: Option<&str>,
        clock: &Clock,
    ) -> Self {
        let (trace_id, flags) = match &exchange.request.context {
            Some(context) => {
                let remote = match exchange.role {
                    Role::Server => IS_REMOTE,
                    Role::Client => 0,
                };
                (context.trace_id, u32::from(context.flags) | remote)
            }
            None => (nonzero(random), SAMPLED | RANDOM),
        };
        let end_unix_ns = clock.wall_ns(exchange.end_ns);
        Self {
            exchange: exchange.clone(),
            service: Arc::clone(service),
            route: route.map(Into::into),
            trace_id,
            span_id: nonzero(random),
            flags: flags | HAS_IS_REMOTE,
            start_unix_ns: end_unix_ns.saturating_sub(exchange.duration_ns()),
            end_unix_ns,
        }
    }

    /// The route, if this is a server's span: a client's has none.
    pub(crate) fn server_route(&self) -> Option<&str> {
        self.route
            .as_deref()
            .filter(|_| self.exchange.role == Role::Server)
    }

    /// The duration in seconds.
    pub(crate) fn duration_s(&self) -> f64 {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a duration needs no more than 53 bits of nanoseconds"
        )]
        let nanos = self.exchange.duration_ns() as f64;
        nanos / 1e9
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

/// An id that is not all zero, which would mean "none".
fn nonzero<const N: usize>(draw: impl Fn() -> [u8; N]) -> [u8; N] {
    loop {
        let id = draw();
        if id != [0; N] {
            return id;
        }
    }
}
