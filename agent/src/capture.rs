//! Capture files: the raw records on disk, written by `hark record`, read by `hark replay`.
//!
//! # Format, version 2
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `HARKCAP\n` |
//! | 4 | version of the format, little-endian |
//! | 4 | length of the header, little-endian, at most [`HEADER_LIMIT`] |
//! | … | the header: a JSON object, [`Header`] |
//! | 4 + … | per record: its length, little-endian, at most [`RECORD_LIMIT`], and its bytes |
//!
//! Records are as they came from the ring buffer, in the byte order that the header names; only
//! slack after a record is left off. The file may end after any record: a recorder that was killed
//! leaves a good file but for the record it was writing.
//!
//! # What is private
//!
//! Unless asked for by `--raw`, a [`Redactor`] takes out of each record what DESIGN promises not to
//! keep: the query, fragment and user information of the target, the values of all headers but
//! those that hark reads, and all of a command line but what names the program. Every byte that is
//! taken out is replaced by `x`, so that lengths and framing stay and the file replays to the same
//! exchanges. A record that cannot be decoded cannot be redacted, and is left out; so are the frames
//! of HTTP/2, whose header blocks are compressed, each by what came before it. What stays: paths,
//! hosts, user agents, addresses.

mod error;
mod reader;
mod redact;
mod writer;

pub use error::CaptureError;
pub use reader::Reader;
pub use redact::Redactor;
pub use writer::{Recorded, Writer};

use serde::{Deserialize, Serialize};

use crate::record::RECORD_LIMIT;

/// A file begins with these bytes.
pub const MAGIC: [u8; 8] = *b"HARKCAP\n";

/// The version of the format that is written and read.
pub const VERSION: u32 = 2;

/// Longest header, in bytes.
pub const HEADER_LIMIT: usize = 64 << 10;

/// Longest record in a file, in bytes: room for slack and for records to grow.
pub const FRAME_LIMIT: usize = 4 * RECORD_LIMIT;

/// What a capture file says of where and how it was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Version of the agent that wrote it.
    pub hark_version: String,
    /// `uname -r`.
    pub kernel_release: String,
    /// `uname -m`.
    pub machine: String,
    /// `/proc/sys/kernel/random/boot_id`: sockets, processes and times are unique within a boot.
    pub boot_id: String,
    /// Byte order of the records.
    pub byte_order: ByteOrder,
    /// `CLOCK_REALTIME` minus `CLOCK_MONOTONIC` when the capture began, ns.
    pub realtime_offset_ns: i64,
    /// Header values, queries and command lines were taken out.
    pub redacted: bool,
}

/// Byte order of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ByteOrder {
    /// Least significant byte first.
    Little,
    /// Most significant byte first.
    Big,
}

impl ByteOrder {
    /// That of the machine this runs on.
    pub const NATIVE: Self = if cfg!(target_endian = "little") {
        Self::Little
    } else {
        Self::Big
    };
}

#[cfg(test)]
mod tests;
