//! What became of every exchange that was chosen: of the lines, chosen = rate-limited + written +
//! dropped + queued, exactly, whenever nothing moves. Log records have books of their own.

use std::fmt;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Why a line was not written; label `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum DropReason {
    /// `queue_full`: the output is slower than the exchanges; the newest is dropped.
    QueueFull,
    /// `write_failed`: the disk is full, or the reader is gone.
    WriteFailed,
    /// `shutdown`: the agent ended first.
    Shutdown,
}

impl DropReason {
    const ALL: [Self; 3] = [Self::QueueFull, Self::WriteFailed, Self::Shutdown];

    const fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::WriteFailed => "write_failed",
            Self::Shutdown => "shutdown",
        }
    }
}

impl EncodeLabelValue for DropReason {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        EncodeLabelValue::encode(&self.as_str(), encoder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DropLabels {
    reason: DropReason,
}

/// Clones count together.
#[derive(Clone, Debug)]
pub(super) struct Counters {
    pub(super) chosen: Counter,
    pub(super) rate_limited: Counter,
    pub(super) written: Counter,
    pub(super) queued: Gauge,
    dropped: Family<DropLabels, Counter>,
}

impl Counters {
    pub(super) fn new() -> Self {
        let dropped = Family::<DropLabels, Counter>::default();
        for reason in DropReason::ALL {
            drop(dropped.get_or_create(&DropLabels { reason }));
        }
        Self {
            chosen: Counter::default(),
            rate_limited: Counter::default(),
            written: Counter::default(),
            queued: Gauge::default(),
            dropped,
        }
    }

    pub(super) fn dropped(&self, reason: DropReason, lines: u64) {
        self.dropped
            .get_or_create(&DropLabels { reason })
            .inc_by(lines);
    }

    #[cfg(test)]
    pub(super) fn drops(&self, reason: DropReason) -> u64 {
        self.dropped.get_or_create(&DropLabels { reason }).get()
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let Self {
            chosen,
            rate_limited,
            written,
            queued,
            dropped,
        } = self;
        registry.register(
            "hark_request_log_chosen",
            "Exchanges that the request log was to have",
            chosen.clone(),
        );
        registry.register(
            "hark_request_log_rate_limited",
            "Exchanges left out because their service had logged its share of the second",
            rate_limited.clone(),
        );
        registry.register(
            "hark_request_log_lines_written",
            "Lines written to the request log",
            written.clone(),
        );
        registry.register(
            "hark_request_log_lines_dropped",
            "Lines that were not written, by reason",
            dropped.clone(),
        );
        registry.register(
            "hark_request_log_lines_queued",
            "Lines that wait or are being written",
            queued.clone(),
        );
    }
}
