//! Records of HTTP/2 connections (RFC 9113).
//!
//! The kernel side follows the frames of each direction of a connection and hands over *the stream
//! with what nobody needs left out*. What travels is a sequence of frames, each as it was on the
//! wire: nine bytes of header, then its payload. In detail:
//!
//! - HEADERS, PUSH_PROMISE, CONTINUATION, SETTINGS, RST_STREAM: header and payload.
//! - GOAWAY: header and the first eight bytes of the payload, the header's length set to 8; the
//!   debug data stays behind.
//! - DATA: only a header, and behind it, in place of the payload, [`MESSAGES_SIZE`] bytes of the
//!   kernel side's own, a big-endian number: [`messages`]. Frames without END_STREAM are summed per
//!   stream: one such header may stand for several frames and its length is the sum of theirs,
//!   padding included; it comes late, at the latest before the HEADERS with END_STREAM or the
//!   RST_STREAM of the same stream and direction, so its record's time means nothing. The header
//!   with END_STREAM comes when the last byte of that frame has moved, and its length is the sum of
//!   all that was not told before. Before an RST_STREAM comes one more, with
//!   [`OTHER_DIRECTION`] set: what was not told of the same stream in the other direction, whose
//!   sender may never come to tell it. Frames that have not moved to their last byte are not in it.
//! - PING, PRIORITY, WINDOW_UPDATE, what has no known type, and the client's preface: nothing.
//!
//! A frame may be spread over several records of its direction; bytes of one record all moved in
//! the same system call. The records of one direction are numbered: a hole is a lost record.

use crate::socket::{RecordHeader, SocketAddress, Task};

/// Longest part of the stream carried by one [`Http2Record`], in bytes.
pub const PIECE_LIMIT: usize = 4096;

/// Longest header block that is handed over, in bytes of payload: HEADERS or PUSH_PROMISE with the
/// CONTINUATIONs that belong to it. A frame that goes beyond is [`flag::CUT`]. The same holds for
/// the payload of SETTINGS.
pub const BLOCK_LIMIT: usize = 64 << 10;

/// Bytes that follow the header of a DATA frame in place of its payload.
pub const MESSAGES_SIZE: usize = 4;

/// Flag of a DATA header, of no meaning in RFC 9113: it speaks of the direction that its record is not
/// of.
pub const OTHER_DIRECTION: u8 = 0x40;

/// What the number behind a DATA header says. Every body is read as if it were one of gRPC
/// (`doc/PROTOCOL-HTTP2.md` of gRPC, "Length-Prefixed-Message"): a byte that is 0 or 1, a length of
/// four bytes, and so much payload, again and again. Whether it is one, the header fields tell.
pub mod messages {
    /// How many messages came to their end within the bytes that the header stands for.
    pub const COUNT: u32 = (1 << 30) - 1;
    /// These bytes end within a message.
    pub const WITHIN: u32 = 1 << 30;
    /// The messages of this stream and direction cannot be told, here or from here on: a prefix
    /// could not be read, or is none.
    pub const UNKNOWN: u32 = 1 << 31;
}

/// Bits of [`Http2Record::flags`].
pub mod flag {
    /// This direction is known from its beginning: no header block was sent in it before this
    /// record, so the dynamic table of HPACK is empty here. Told once per direction. It may come
    /// after a RESYNC, when a server that spoke first turns out to have been followed whole.
    pub const START: u16 = 1 << 0;
    /// Following began, or began again, with this record's first byte, which is that of a frame
    /// header. What came before is not known, nor is the dynamic table.
    pub const RESYNC: u16 = 1 << 1;
    /// The rest of the frame that this record's last byte belongs to is left out, as is the rest of
    /// its header block; the next record begins with a frame header. The block is too long
    /// ([`super::BLOCK_LIMIT`]) or could not be read.
    pub const CUT: u16 = 1 << 2;
    /// After this record's bytes the frames could not be followed: bytes that could not be read,
    /// bytes that no event reported, or bytes that are no frame. A frame under way is left out. The
    /// next record of this direction, if there is one, is a RESYNC.
    pub const LOST: u16 = 1 << 3;
    /// The bytes came through a TLS library, in clear.
    pub const TLS: u16 = 1 << 4;
    /// With RESYNC: since the first event that was seen of this direction no frame was left out that
    /// matters to its header blocks, and before that event the socket stood at
    /// [`super::Http2Record::origin`].
    pub const ORIGIN: u16 = 1 << 5;
}

/// How far a direction was followed. Read from outside at the end of the agent, from the beginning
/// of the socket's storage: that of what was received, then that of what was sent.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Http2Position {
    /// TCP's own sequence number (`copied_seq`, `write_seq`) behind the last event.
    pub sequence: u32,
    /// Number of the next record.
    pub seq: u32,
    /// 1: the next byte is the first of a frame, and no header block is under way. Else 0.
    pub settled: u32,
}

/// Which way the bytes moved, as the local end sees it.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Http2Direction {
    /// They were received.
    Received = 0,
    /// They were sent.
    Sent = 1,
}

/// A part of one direction of an HTTP/2 connection. `len` bytes of frames follow.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Http2Record {
    /// Common to all records.
    pub header: RecordHeader,
    /// The task that read or wrote.
    pub task: Task,
    /// This end.
    pub local: SocketAddress,
    /// The other end.
    pub peer: SocketAddress,
    /// Payload of DATA frames, padding included, that moved in this direction since it was first
    /// followed, in bytes.
    pub data_bytes: u64,
    /// The record's number in its direction of its connection, from 0, wrapping.
    pub seq: u32,
    /// Bytes of frames that follow this structure; may be 0 with [`flag::LOST`] or [`flag::CUT`].
    pub len: u32,
    /// How many of them, at the beginning, belong to a frame that began in an earlier record: where
    /// to take up again if that was lost.
    pub continued: u32,
    /// [`flag`] bits.
    pub flags: u16,
    /// An [`Http2Direction`].
    pub direction: u8,
    /// A [`crate::socket::SocketRole`]; 0 if following began in the middle, so that only the header
    /// blocks can tell.
    pub role: u8,
    /// See [`flag::ORIGIN`]; else 0.
    pub origin: u32,
    /// Unused, 0.
    pub reserved: u32,
}

/// An HTTP/2 connection has ended, and its streams with it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Http2EndRecord {
    /// Common to all records.
    pub header: RecordHeader,
    /// When the last byte in either direction moved, ns.
    pub last_ns: u64,
    /// Number that the next record would have had, by [`Http2Direction`]: where one is greater than
    /// what arrived, records were lost.
    pub next_seq: [u32; 2],
    /// The socket's error, or 0.
    pub errno: u32,
    /// A [`crate::socket::AbortReason`]; never `Lost`.
    pub reason: u16,
    /// As in [`Http2Record`].
    pub role: u8,
    /// Unused, 0.
    pub reserved: u8,
}

const _: () = {
    assert!(size_of::<Http2Record>() == 24 + 48 + 48 + 8 + 24);
    assert!(size_of::<Http2Position>() == 12);
    assert!(align_of::<Http2Record>() == 8);
    assert!(size_of::<Http2EndRecord>() == 24 + 8 + 8 + 8);
    assert!(align_of::<Http2EndRecord>() == 8);
};
