//! What is counted of an exchange.

use super::histogram::{DURATION, Durations, SIZE, Sizes};
use crate::exchange::Exchange;

/// Series that each label set of HTTP exchanges takes: one per histogram of [`Counts`].
pub(super) const SERIES_PER_SET: usize = 4;

/// Series that each label set of calls takes: the duration, and the messages both ways.
pub(super) const SERIES_PER_CALL_SET: usize = 3;

/// What the exchanges of one label set add up to.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    pub(super) duration: Durations,
    pub(super) first_byte: Durations,
    pub(super) request_size: Sizes,
    pub(super) response_size: Sizes,
    /// Messages of calls.
    pub(super) sent: u64,
    pub(super) received: u64,
}

impl Counts {
    pub(super) fn observe(&mut self, exchange: &Exchange) {
        self.duration.observe(&DURATION, exchange.duration_ns());
        if let Some(rpc) = exchange.rpc {
            self.sent = self.sent.saturating_add(rpc.sent.unwrap_or(0));
            self.received = self.received.saturating_add(rpc.received.unwrap_or(0));
        }
        if let Some(first) = exchange.first_response_ns {
            self.first_byte
                .observe(&DURATION, first.saturating_sub(exchange.start_ns));
        }
        if let Some(bytes) = exchange.request_body_bytes {
            self.request_size.observe(&SIZE, bytes);
        }
        // Without a response there is no response body, not an empty one.
        if let (Some(_), Some(bytes)) = (exchange.status, exchange.response_body_bytes) {
            self.response_size.observe(&SIZE, bytes);
        }
    }
}
