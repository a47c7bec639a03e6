//! Bytes from the ring buffer or a capture file, decoded into records.
//!
//! The layout is that of [`hark_common::socket`] and [`hark_common::http2`]. The bytes may come from a file that anybody
//! wrote, so every length and every enumeration is checked before it is believed, fields are read
//! one by one whatever the alignment, and nothing is trusted to be there. What this module lets
//! through is well-formed, not necessarily true: [`crate::connection`] judges the sequence.
//!
//! A buffer may be longer than the record in it (a ring-buffer reservation has a fixed size); the
//! record ends where its header says. Unknown bits in `flags` are let through: they only add.

mod decode;
mod encode;

pub use decode::decode;
pub use encode::encode;

use hark_common::http2::{Http2Direction, Http2EndRecord, Http2Record, PIECE_LIMIT};
use hark_common::socket::{
    AbortReason, AbortRecord, ProcessRecord, RecordHeader, RequestBodyRecord, RequestRecord,
    ResponseRecord,
};

use hark_common::tls::TlsRecord;

use crate::exchange::{Endpoint, Role};

/// Longest record there is, in bytes: a [`ProcessRecord`] with all that may follow it.
pub const RECORD_LIMIT: usize = size_of::<ProcessRecord>()
    + hark_common::socket::ARGS_LIMIT
    + hark_common::socket::ENVIRON_LIMIT;

const _: () = assert!(RECORD_LIMIT >= size_of::<Http2Record>() + PIECE_LIMIT);

const _: () = assert!(RECORD_LIMIT >= size_of::<RequestRecord>() + hark_common::socket::HEAD_CHUNK);

/// One record, checked. The enumerations that the raw structure holds as integers stand beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// A request head, or a piece of one.
    Request {
        /// Which end of the connection this is.
        role: Role,
        /// This end of the connection.
        local: Endpoint,
        /// The other end.
        peer: Endpoint,
        /// The fixed part.
        record: RequestRecord,
        /// The bytes of the head, `record.captured` of them.
        head: &'a [u8],
    },
    /// A final response that has ended.
    Response {
        /// Which end of the connection this is.
        role: Role,
        /// The record.
        record: ResponseRecord,
    },
    /// Exchanges that ended without a whole response.
    Abort {
        /// Which end of the connection this is.
        role: Role,
        /// Why.
        reason: AbortReason,
        /// The record.
        record: AbortRecord,
    },
    /// A process that does HTTP for the first time.
    Process {
        /// The fixed part.
        record: ProcessRecord,
        /// The beginning of its command line, arguments separated by NUL.
        args: &'a [u8],
        /// The beginning of its environment, variables separated by NUL.
        environ: &'a [u8],
    },
    /// The size of a request body.
    RequestBody(RequestBodyRecord),
    /// A part of one direction of an HTTP/2 connection.
    Http2 {
        /// Which end of the connection this is; `None` if that is not known yet.
        role: Option<Role>,
        /// Which way the bytes moved.
        direction: Http2Direction,
        /// This end of the connection.
        local: Endpoint,
        /// The other end.
        peer: Endpoint,
        /// The fixed part.
        record: Http2Record,
        /// The bytes, `record.len` of them. That they are frames is not checked here.
        frames: &'a [u8],
    },
    /// A connection with TLS.
    Tls {
        /// This end of the connection.
        local: Endpoint,
        /// The other end.
        peer: Endpoint,
        /// The fixed part.
        record: TlsRecord,
        /// The beginning of the encrypted stream, `record.captured` bytes.
        stream: &'a [u8],
    },
    /// An HTTP/2 connection has ended.
    Http2End {
        /// Which end of the connection this is; `None` if that was never known.
        role: Option<Role>,
        /// Why.
        reason: AbortReason,
        /// The record.
        record: Http2EndRecord,
    },
}

impl Record<'_> {
    /// What every record begins with.
    #[must_use]
    pub const fn header(&self) -> &RecordHeader {
        match self {
            Self::Request { record, .. } => &record.header,
            Self::Response { record, .. } => &record.header,
            Self::Abort { record, .. } => &record.header,
            Self::Process { record, .. } => &record.header,
            Self::RequestBody(record) => &record.header,
            Self::Http2 { record, .. } => &record.header,
            Self::Http2End { record, .. } => &record.header,
            Self::Tls { record, .. } => &record.header,
        }
    }
}

/// Why bytes are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Fewer bytes than the structure, or than the header's `size`.
    #[error("the record is cut short: {have} bytes of {need}")]
    Short {
        /// Bytes there are.
        have: usize,
        /// Bytes there should be.
        need: usize,
    },
    /// The header's `size` does not match the kind of record and what it says follows.
    #[error("the record says it is {size} bytes long, its content makes it {content}")]
    Size {
        /// `size` of the header.
        size: usize,
        /// Size of the fixed part and what should follow it.
        content: u64,
    },
    /// Not a kind that this version knows.
    #[error("{0} is not a kind of record")]
    Kind(u32),
    /// Neither server nor client.
    #[error("{0} is not a role")]
    Role(u8),
    /// Not a reason that this version knows.
    #[error("{0} is not a reason to end an exchange")]
    Reason(u16),
    /// An address family that no socket seen by hark has.
    #[error("{0} is not an address family of a socket that is watched")]
    Family(u16),
    /// A status that is not three digits.
    #[error("{0} is not an HTTP status")]
    Status(u16),
    /// A piece of a head, or a command line, beyond its limit.
    #[error("{length} bytes follow the record, the limit is {limit}")]
    TooLong {
        /// Length (for a head: end of the piece in the head), in bytes.
        length: u64,
        /// The limit, in bytes.
        limit: usize,
    },
    /// An abort of no exchange.
    #[error("an abort of the exchanges {from}..{to}, which is none")]
    EmptyRange {
        /// `from` of the record.
        from: u32,
        /// `to` of the record.
        to: u32,
    },
    /// Neither received nor sent.
    #[error("{0} is not a direction")]
    Direction(u8),
    /// More bytes belong to an earlier frame than there are.
    #[error("{continued} of {len} bytes are said to belong to an earlier frame")]
    Continued {
        /// `continued` of the record.
        continued: u32,
        /// `len` of the record.
        len: u32,
    },
}

impl DecodeError {
    /// Every value that [`DecodeError::reason`] can have.
    pub const REASONS: [&'static str; 11] = [
        "short",
        "size",
        "kind",
        "role",
        "reason",
        "family",
        "status",
        "too_long",
        "empty_range",
        "direction",
        "continued",
    ];

    /// The error's place in [`DecodeError::REASONS`].
    #[must_use]
    pub const fn index(&self) -> usize {
        match self {
            Self::Short { .. } => 0,
            Self::Size { .. } => 1,
            Self::Kind(_) => 2,
            Self::Role(_) => 3,
            Self::Reason(_) => 4,
            Self::Family(_) => 5,
            Self::Status(_) => 6,
            Self::TooLong { .. } => 7,
            Self::EmptyRange { .. } => 8,
            Self::Direction(_) => 9,
            Self::Continued { .. } => 10,
        }
    }

    /// Value of the label `reason`.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        Self::REASONS[self.index()]
    }
}

#[cfg(test)]
mod tests;
