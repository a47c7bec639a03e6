//! What can go wrong with a capture file, each in a sentence.

use std::io;

use super::{FRAME_LIMIT, HEADER_LIMIT, VERSION};

/// Why a capture file cannot be written or read. Offsets are in bytes from its beginning.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The file does not take more bytes.
    #[error("cannot write the capture file at offset {offset}: {source}; {}", advice(.source))]
    Write {
        /// How much was written before.
        offset: u64,
        /// What the system says.
        source: io::Error,
    },
    /// The file does not give its bytes.
    #[error("cannot read the capture file at offset {offset}: {source}")]
    Read {
        /// Where.
        offset: u64,
        /// What the system says.
        source: io::Error,
    },
    /// It is something else.
    #[error("this is not a capture file of hark: it does not begin with HARKCAP")]
    Magic,
    /// It was written by another version of hark.
    #[error(
        "the capture file has format version {0}, this hark reads version {VERSION}: use the hark that wrote it"
    )]
    Version(u32),
    /// The header is not one.
    #[error("the header of the capture file is damaged: {0}")]
    Header(#[from] serde_json::Error),
    /// The header is too long to be one.
    #[error("the capture file says that its header is {0} bytes long, the limit is {HEADER_LIMIT}")]
    HeaderLength(u32),
    /// It was written on a machine of another byte order.
    #[error("the capture file is from a machine of the other byte order: replay it on such a one")]
    ByteOrder,
    /// The file ends within something.
    #[error("the capture file ends at offset {offset}, within {within}")]
    Truncated {
        /// Where.
        offset: u64,
        /// What should be there.
        within: &'static str,
    },
    /// A length that cannot be one: the file is damaged from there.
    #[error(
        "the capture file is damaged at offset {offset}: a record of {length} bytes, the limit is {FRAME_LIMIT}"
    )]
    Length {
        /// Where the length is.
        offset: u64,
        /// What it says.
        length: u32,
    },
}

/// What to do about a failed write.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            "make room or set a lower limit for the file"
        }
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            "choose a place that can be written to"
        }
        _ => "what was written before is a good capture file up to its last whole record",
    }
}
