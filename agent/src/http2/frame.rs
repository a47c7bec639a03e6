//! One frame (RFC 9113 §4.1, §6), as the kernel side hands it over.

use hark_common::http2::{MESSAGES_SIZE, OTHER_DIRECTION, messages};

use crate::exchange::ErrorCode;

/// Bytes of a frame header.
pub(super) const HEADER: usize = 9;

/// Types of the frames that are handed over (RFC 9113 §6).
mod kind {
    pub(super) const DATA: u8 = 0;
    pub(super) const HEADERS: u8 = 1;
    pub(super) const RST_STREAM: u8 = 3;
    pub(super) const SETTINGS: u8 = 4;
    pub(super) const PUSH_PROMISE: u8 = 5;
    pub(super) const GOAWAY: u8 = 7;
    pub(super) const CONTINUATION: u8 = 9;
}

/// Flags of frames (RFC 9113 §6).
mod flag {
    pub(super) const END_STREAM: u8 = 0x01;
    pub(super) const ACK: u8 = 0x01;
    pub(super) const END_HEADERS: u8 = 0x04;
    pub(super) const PADDED: u8 = 0x08;
    pub(super) const PRIORITY: u8 = 0x20;
}

/// A frame header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Length of the payload on the wire, in bytes; of DATA, that of all DATA not told before.
    length: usize,
    kind: u8,
    flags: u8,
    stream: u32,
}

impl Header {
    /// Reads the header with which `bytes` begin, if all of it is there.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = *bytes.first_chunk::<HEADER>()?;
        Some(Self {
            length: u32::from_be_bytes([0, l0, l1, l2]) as usize,
            kind,
            flags,
            // The first bit is reserved (RFC 9113 §4.1).
            stream: u32::from_be_bytes([s0, s1, s2, s3]) & 0x7fff_ffff,
        })
    }

    /// Bytes that follow: the payload, or what is said of that.
    pub(super) const fn follows(&self) -> usize {
        match self.kind {
            kind::DATA => MESSAGES_SIZE,
            _ => self.length,
        }
    }

    /// It carries a part of a header block.
    pub(super) const fn has_block(&self) -> bool {
        matches!(
            self.kind,
            kind::HEADERS | kind::PUSH_PROMISE | kind::CONTINUATION
        )
    }
}

/// What is said of the gRPC messages in DATA, see [`hark_common::http2::messages`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Messages(u32);

impl Messages {
    /// How many came to their end; `None` if that is not known.
    pub(super) const fn ended(self) -> Option<u32> {
        if self.0 & messages::UNKNOWN == 0 {
            Some(self.0 & messages::COUNT)
        } else {
            None
        }
    }

    /// Another one has begun.
    pub(super) const fn within(self) -> bool {
        self.0 & messages::WITHIN != 0
    }
}

/// What a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    /// DATA has moved.
    Data {
        stream: u32,
        /// Bytes, padding included.
        bytes: u64,
        messages: Messages,
        end_stream: bool,
        /// It moved in the direction that the record is not of.
        other: bool,
    },
    /// A header block begins, with HEADERS or PUSH_PROMISE.
    Block {
        stream: u32,
        end_stream: bool,
        /// It is that of a request which the server makes up.
        push: bool,
        end_headers: bool,
        fragment: &'a [u8],
    },
    /// A header block goes on.
    Continuation {
        stream: u32,
        end_headers: bool,
        fragment: &'a [u8],
    },
    /// RST_STREAM.
    Reset { stream: u32, code: ErrorCode },
    /// GOAWAY: no stream above `last` was or will be looked at.
    GoAway { last: u32 },
    /// SETTINGS, and what of them matters, the last value of each.
    Settings {
        /// `SETTINGS_HEADER_TABLE_SIZE`, the largest value in the frame, in bytes.
        table_size: Option<u32>,
        /// `SETTINGS_MAX_CONCURRENT_STREAMS`.
        max_streams: Option<u32>,
    },
    /// Nothing that matters.
    Other,
}

impl<'a> Frame<'a> {
    /// Reads a frame. `payload` is shorter than the header says if the rest was left out. `None` if
    /// it breaks the rules for its type.
    pub(super) fn read(header: &Header, payload: &'a [u8]) -> Option<Self> {
        let Header {
            length,
            kind,
            flags,
            stream,
        } = *header;
        let has = |flag| flags & flag != 0;
        let whole = payload.len() == header.follows();
        Some(match kind {
            kind::DATA if stream != 0 => Self::Data {
                stream,
                bytes: length as u64,
                messages: Messages(u32::from_be_bytes(*exactly(payload)?)),
                end_stream: has(flag::END_STREAM),
                other: has(OTHER_DIRECTION),
            },
            kind::HEADERS if stream != 0 => {
                let skipped = if has(flag::PRIORITY) { 5 } else { 0 };
                Self::Block {
                    stream,
                    end_stream: has(flag::END_STREAM),
                    push: false,
                    end_headers: has(flag::END_HEADERS),
                    fragment: fragment(payload, has(flag::PADDED), skipped, whole)?,
                }
            }
            kind::PUSH_PROMISE if stream != 0 => Self::Block {
                stream,
                end_stream: false,
                push: true,
                end_headers: has(flag::END_HEADERS),
                fragment: fragment(payload, has(flag::PADDED), 4, whole)?,
            },
            kind::CONTINUATION if stream != 0 => Self::Continuation {
                stream,
                end_headers: has(flag::END_HEADERS),
                fragment: payload,
            },
            kind::RST_STREAM if stream != 0 => Self::Reset {
                stream,
                code: ErrorCode::from_number(u32::from_be_bytes(*exactly(payload)?)),
            },
            kind::SETTINGS if stream == 0 && has(flag::ACK) => Self::Other,
            kind::SETTINGS if stream == 0 && whole => settings(payload)?,
            kind::GOAWAY if stream == 0 => {
                let last = payload.first_chunk()?;
                Self::GoAway {
                    last: u32::from_be_bytes(*last) & 0x7fff_ffff,
                }
            }
            kind::SETTINGS if stream == 0 => Self::Other,
            kind::DATA
            | kind::HEADERS
            | kind::PUSH_PROMISE
            | kind::CONTINUATION
            | kind::RST_STREAM
            | kind::SETTINGS
            | kind::GOAWAY => return None,
            _ => Self::Other,
        })
    }
}

/// The fragment of a header block, without the padding and the fields in front of it.
fn fragment(payload: &[u8], padded: bool, skipped: usize, whole: bool) -> Option<&[u8]> {
    let (padding, rest) = if padded {
        let (padding, rest) = payload.split_first()?;
        (usize::from(*padding), rest)
    } else {
        (0, payload)
    };
    let rest = rest.get(skipped..)?;
    // What was left out of a frame took the padding with it; what is left may hold some, which
    // reads as a field of HPACK that is not valid, behind all those that are.
    let padding = if whole { padding } else { 0 };
    rest.len().checked_sub(padding).map(|end| &rest[..end])
}

fn exactly<const N: usize>(payload: &[u8]) -> Option<&[u8; N]> {
    payload.try_into().ok()
}

/// RFC 9113 §6.5.1: pairs of a 16-bit identifier and a 32-bit value.
fn settings(payload: &[u8]) -> Option<Frame<'_>> {
    const HEADER_TABLE_SIZE: u16 = 1;
    const MAX_CONCURRENT_STREAMS: u16 = 3;
    let (mut table_size, mut max_streams) = (None, None);
    let (pairs, rest) = payload.as_chunks::<6>();
    if !rest.is_empty() {
        return None;
    }
    for [i0, i1, v0, v1, v2, v3] in pairs {
        let value = u32::from_be_bytes([*v0, *v1, *v2, *v3]);
        match u16::from_be_bytes([*i0, *i1]) {
            HEADER_TABLE_SIZE => table_size = table_size.max(Some(value)),
            MAX_CONCURRENT_STREAMS => max_streams = Some(value),
            _ => {}
        }
    }
    Some(Frame::Settings {
        table_size,
        max_streams,
    })
}
