//! What is said of HTTP/2 itself; exchanges are counted with those of HTTP/1.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Why the table of header fields of one direction became unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableLoss {
    /// Following began in the middle of the connection.
    Joined,
    /// A record is missing.
    RecordLost,
    /// The kernel side could not follow the frames.
    LostInKernel,
    /// A header block was too long to be handed over.
    BlockCut,
    /// A header block is not valid.
    BlockInvalid,
}

impl TableLoss {
    const ALL: [Self; 5] = [
        Self::Joined,
        Self::RecordLost,
        Self::LostInKernel,
        Self::BlockCut,
        Self::BlockInvalid,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Joined => "joined",
            Self::RecordLost => "record_lost",
            Self::LostInKernel => "lost_in_kernel",
            Self::BlockCut => "block_cut",
            Self::BlockInvalid => "block_invalid",
        }
    }
}

/// A field that a reported exchange lacks because it could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownField {
    /// `:method`
    Method,
    /// `:path`
    Path,
    /// `content-type`, or whatever else tells gRPC from other HTTP.
    ContentType,
    /// `:status`
    Status,
    /// `grpc-status`
    GrpcStatus,
    /// How many messages a call had, in one direction or both: no field, but as unknown.
    Messages,
    /// The size of a response that was cut off with its connection: no field either.
    ResponseBody,
}

impl UnknownField {
    const ALL: [Self; 7] = [
        Self::Method,
        Self::Path,
        Self::ContentType,
        Self::Status,
        Self::GrpcStatus,
        Self::Messages,
        Self::ResponseBody,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::Path => "path",
            Self::ContentType => "content_type",
            Self::Status => "status",
            Self::GrpcStatus => "grpc_status",
            Self::Messages => "messages",
            Self::ResponseBody => "response_body",
        }
    }
}

type Label = [(&'static str, &'static str); 1];

/// The counters, with the handle of every series at hand. Clones count together.
#[derive(Clone, Debug)]
pub struct Counters {
    tables: Family<Label, Counter>,
    fields: Family<Label, Counter>,
    invalid: Counter,
    unplaced: Counter,
    resumed: Counter,
    connections: Gauge,
    by_table_loss: [Counter; TableLoss::ALL.len()],
    by_field: [Counter; UnknownField::ALL.len()],
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
        let tables = Family::<Label, Counter>::default();
        let fields = Family::<Label, Counter>::default();
        Self {
            by_table_loss: TableLoss::ALL
                .map(|loss| tables.get_or_create_owned(&[("reason", loss.as_str())])),
            by_field: UnknownField::ALL
                .map(|field| fields.get_or_create_owned(&[("field", field.as_str())])),
            invalid: Counter::default(),
            unplaced: Counter::default(),
            resumed: Counter::default(),
            connections: Gauge::default(),
            tables,
            fields,
        }
    }

    /// Adds them to a registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "hark_http2_header_tables_unknown",
            "Times that the header table of one direction of an HTTP/2 connection became unknown",
            self.tables.clone(),
        );
        registry.register(
            "hark_http2_fields_unknown",
            "HTTP/2 exchanges that lack a field because it was sent by reference to a header that was not heard, calls that lack the number of their messages, and exchanges that lack the size of the response because the connection was lost",
            self.fields.clone(),
        );
        registry.register(
            "hark_http2_frames_invalid",
            "HTTP/2 frames that break the protocol",
            self.invalid.clone(),
        );
        registry.register(
            "hark_http2_blocks_unplaced",
            "HTTP/2 header blocks that could be neither told to be a request nor a response",
            self.unplaced.clone(),
        );
        registry.register(
            "hark_http2_header_tables_resumed",
            "Header tables of HTTP/2 connections that were known from the agent before this one, one for each direction",
            self.resumed.clone(),
        );
        registry.register(
            "hark_http2_connections",
            "HTTP/2 connections that are followed",
            self.connections.clone(),
        );
    }

    /// Times that a table became unknown for this reason.
    #[must_use]
    pub fn tables_unknown_for(&self, loss: TableLoss) -> u64 {
        self.by_table_loss[loss as usize].get()
    }

    /// Exchanges reported without this field.
    #[must_use]
    pub fn unknown_of(&self, field: UnknownField) -> u64 {
        self.by_field[field as usize].get()
    }

    /// Header tables that were known from before.
    #[must_use]
    pub fn tables_resumed(&self) -> u64 {
        self.resumed.get()
    }

    pub(super) fn table_lost(&self, loss: TableLoss) {
        self.by_table_loss[loss as usize].inc();
    }

    pub(super) fn unknown(&self, field: UnknownField) {
        self.by_field[field as usize].inc();
    }

    pub(super) fn invalid(&self) {
        self.invalid.inc();
    }

    pub(super) fn unplaced(&self) {
        self.unplaced.inc();
    }

    pub(super) fn resumed(&self) {
        self.resumed.inc();
    }

    pub(super) fn connections(&self, count: usize) {
        self.connections
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}
