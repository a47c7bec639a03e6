//! What became of every span or log record: offered = exported + dropped + queued, exactly,
//! whenever nothing moves.

use std::fmt;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::signal::Signal;

/// Why a span was not exported; label `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// `queue_full`: no room, by count or by bytes; the newest is dropped.
    QueueFull,
    /// `expired`: it waited longer than the limit of age while earlier ones were tried.
    Expired,
    /// `unavailable`: the collector could not be reached, or asked to wait, until the time for the
    /// batch was over.
    Unavailable,
    /// `timeout`: the collector did not answer until the time for the batch was over.
    Timeout,
    /// `refused`: the collector answered that it will not have the batch.
    Refused,
    /// `rejected`: the collector took the batch but for these (partial success).
    Rejected,
    /// `malformed_answer`: the answer was success but not OTLP, so nothing shows that the spans
    /// were taken.
    MalformedAnswer,
    /// `too_large`: the request would be longer than OTLP allows.
    TooLarge,
    /// `shutdown`: the agent ended before they were exported, or had ended before they came.
    Shutdown,
}

impl DropReason {
    /// All of them, in order.
    pub const ALL: [Self; 9] = [
        Self::QueueFull,
        Self::Expired,
        Self::Unavailable,
        Self::Timeout,
        Self::Refused,
        Self::Rejected,
        Self::MalformedAnswer,
        Self::TooLarge,
        Self::Shutdown,
    ];

    /// Value of the label `reason`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::Expired => "expired",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::Refused => "refused",
            Self::Rejected => "rejected",
            Self::MalformedAnswer => "malformed_answer",
            Self::TooLarge => "too_large",
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

/// Bounds of the histogram of attempts, in seconds.
const ATTEMPT_BUCKETS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

/// The exporter's own metrics. Clones count together.
#[derive(Clone, Debug)]
pub(super) struct Counters {
    pub(super) offered: Counter,
    pub(super) exported: Counter,
    dropped: Family<DropLabels, Counter>,
    /// One handle per reason, in the order of [`DropReason::ALL`]: no look-up when spans are
    /// dropped at full speed.
    by_reason: [Counter; DropReason::ALL.len()],
    /// Waiting, or in the batch that is being exported.
    pub(super) queued: Gauge,
    /// Attempts after the first of a batch.
    pub(super) retries: Counter,
    /// Duration of each attempt, s.
    pub(super) attempts: Histogram,
}

impl Counters {
    pub(super) fn new() -> Self {
        let dropped = Family::<DropLabels, Counter>::default();
        Self {
            offered: Counter::default(),
            exported: Counter::default(),
            by_reason: DropReason::ALL
                .map(|reason| dropped.get_or_create(&DropLabels { reason }).clone()),
            dropped,
            queued: Gauge::default(),
            retries: Counter::default(),
            attempts: Histogram::new(ATTEMPT_BUCKETS),
        }
    }

    pub(super) fn dropped(&self, reason: DropReason) -> &Counter {
        &self.by_reason[reason as usize]
    }

    pub(super) fn register(&self, signal: Signal, registry: &mut Registry) {
        let Self {
            offered,
            exported,
            dropped,
            by_reason: _,
            queued,
            retries,
            attempts,
        } = self;
        let metric = signal.metric();
        let noun = signal.noun();
        let capital = match signal {
            Signal::Traces => "Spans",
            Signal::Logs => "Log records",
        };
        registry.register(
            format!("hark_{metric}s_offered"),
            format!("{capital} handed to the exporter"),
            offered.clone(),
        );
        registry.register(
            format!("hark_{metric}s_exported"),
            format!("{capital} that the collector accepted"),
            exported.clone(),
        );
        registry.register(
            format!("hark_{metric}s_dropped"),
            format!("{capital} that were not exported, by reason"),
            dropped.clone(),
        );
        registry.register(
            format!("hark_{metric}s_queued"),
            format!("{capital} waiting for export or being exported"),
            queued.clone(),
        );
        registry.register(
            format!("hark_{metric}_export_retries"),
            format!("Requests with {noun} to the collector that repeated an earlier one"),
            retries.clone(),
        );
        registry.register_with_unit(
            format!("hark_{metric}_export_duration"),
            format!("Duration of requests with {noun} to the collector, each attempt by itself"),
            Unit::Seconds,
            attempts.clone(),
        );
    }
}
