//! What becomes of records and exchanges, counted.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::exchange::Role;
use crate::record::DecodeError;

/// Why an exchange is not reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// Too many connections, or too many exchanges, were under way; this one's was quiet longest.
    TableFull,
    /// Too many exchanges were under way on its connection.
    PipelineDepth,
    /// Too much was held of heads that are not whole yet.
    PartialHeadsFull,
    /// Its request line is not one.
    HeadMalformed,
    /// It ended before its request line was whole.
    HeadCut,
    /// Its number does not follow those before it on its connection.
    OutOfOrder,
    /// The agent, or the capture file, ended first.
    Shutdown,
    /// A later exchange of its connection ended first: the record of its end is missing.
    Superseded,
    /// A piece of its head is missing.
    PieceLost,
    /// Its request is not known: lost on the way, or dropped with its connection before.
    NoRequest,
    /// The kernel side could not follow the connection any more.
    LostInKernel,
    /// A record of its connection is missing, which may have been that of its end.
    RecordLost,
}

impl DropReason {
    /// Every reason, in order.
    pub const ALL: [Self; 12] = [
        Self::TableFull,
        Self::PipelineDepth,
        Self::PartialHeadsFull,
        Self::HeadMalformed,
        Self::HeadCut,
        Self::OutOfOrder,
        Self::Shutdown,
        Self::Superseded,
        Self::PieceLost,
        Self::NoRequest,
        Self::LostInKernel,
        Self::RecordLost,
    ];

    /// Value of the label `reason`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TableFull => "table_full",
            Self::PipelineDepth => "pipeline_depth",
            Self::PartialHeadsFull => "partial_heads_full",
            Self::HeadMalformed => "head_malformed",
            Self::HeadCut => "head_cut",
            Self::OutOfOrder => "out_of_order",
            Self::Shutdown => "shutdown",
            Self::Superseded => "superseded",
            Self::PieceLost => "piece_lost",
            Self::NoRequest => "no_request",
            Self::LostInKernel => "lost_in_kernel",
            Self::RecordLost => "record_lost",
        }
    }

    /// The exchange is in the books already: the kernel side counted it as lost, or it was dropped
    /// here with its connection.
    #[must_use]
    pub const fn already_counted(self) -> bool {
        match self {
            Self::TableFull
            | Self::PipelineDepth
            | Self::PartialHeadsFull
            | Self::HeadMalformed
            | Self::HeadCut
            | Self::OutOfOrder
            | Self::Shutdown => false,
            Self::Superseded
            | Self::PieceLost
            | Self::NoRequest
            | Self::LostInKernel
            | Self::RecordLost => true,
        }
    }
}

type Label = [(&'static str, &'static str); 1];

/// The counters, with the handle of every series at hand. Clones count together.
#[derive(Clone, Debug)]
pub struct Counters {
    exchanges: Family<Label, Counter>,
    dropped: Family<Label, Counter>,
    unmatched: Family<Label, Counter>,
    decode_errors: Family<Label, Counter>,
    malformed: Counter,
    connections: Gauge,
    by_role: [Counter; 2],
    by_reason: [Counter; DropReason::ALL.len()],
    by_decode_error: [Counter; DecodeError::REASONS.len()],
}

impl Default for Counters {
    fn default() -> Self {
        Self::new()
    }
}

impl Counters {
    /// Counters at zero, every series present.
    #[must_use]
    pub fn new() -> Self {
        let exchanges = Family::<Label, Counter>::default();
        let dropped = Family::<Label, Counter>::default();
        let unmatched = Family::<Label, Counter>::default();
        let decode_errors = Family::<Label, Counter>::default();
        Self {
            by_role: ["server", "client"]
                .map(|role| exchanges.get_or_create_owned(&[("role", role)])),
            by_reason: DropReason::ALL.map(|reason| {
                let family = if reason.already_counted() {
                    &unmatched
                } else {
                    &dropped
                };
                family.get_or_create_owned(&[("reason", reason.as_str())])
            }),
            by_decode_error: DecodeError::REASONS
                .map(|reason| decode_errors.get_or_create_owned(&[("reason", reason)])),
            malformed: Counter::default(),
            connections: Gauge::default(),
            exchanges,
            dropped,
            unmatched,
            decode_errors,
        }
    }

    /// Adds them to a registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "hark_exchanges",
            "Exchanges reported, by the end that was observed",
            self.exchanges.clone(),
        );
        registry.register(
            "hark_exchanges_dropped",
            "Exchanges lost in the agent before they were reported",
            self.dropped.clone(),
        );
        registry.register(
            "hark_exchanges_unmatched",
            "Exchanges not reported because records of theirs are missing; the loss is counted where it happened",
            self.unmatched.clone(),
        );
        registry.register(
            "hark_record_decode_errors",
            "Records that could not be decoded",
            self.decode_errors.clone(),
        );
        registry.register(
            "hark_heads_malformed",
            "Request heads without a readable request line",
            self.malformed.clone(),
        );
        registry.register(
            "hark_connections_active",
            "Connections with an exchange under way",
            self.connections.clone(),
        );
    }

    /// Counts a record that could not be decoded.
    pub fn decode_error(&self, error: &DecodeError) {
        self.by_decode_error[error.index()].inc();
    }

    /// Exchanges not reported so far for this reason.
    #[must_use]
    pub fn dropped_for(&self, reason: DropReason) -> u64 {
        self.by_reason[reason as usize].get()
    }

    /// Exchanges reported so far by processes in this role.
    #[must_use]
    pub fn ended_by(&self, role: Role) -> u64 {
        self.by_role[role as usize].get()
    }

    pub(crate) fn ended(&self, role: Role) {
        self.by_role[role as usize].inc();
    }

    pub(crate) fn dropped(&self, reason: DropReason, exchanges: u32) {
        self.by_reason[reason as usize].inc_by(exchanges.into());
    }

    pub(crate) fn malformed(&self, reason: DropReason) {
        self.malformed.inc();
        self.dropped(reason, 1);
    }

    pub(super) fn connections(&self, count: usize) {
        self.connections
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}
