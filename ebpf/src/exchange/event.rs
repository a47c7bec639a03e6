//! One event on a socket, and the memory that it is worked through in.

use hark_common::socket::{
    AbortRecord, RecordHeader, RecordKind, RequestBodyRecord, RequestRecord, ResponseRecord,
};

use crate::http1::Window;

/// Working memory of one event; too large for the kernel's stack.
#[repr(C)]
pub struct Scratch {
    /// The record of a request; the window behind it holds the piece of the head, so that the two
    /// are handed over as one.
    pub request: RequestRecord,
    /// The bytes under the eye.
    pub window: Window,
    /// The record of a response.
    pub response: ResponseRecord,
    /// The record of an abort.
    pub abort: AbortRecord,
    /// The record of a request's body.
    pub request_body: RequestBodyRecord,
    /// The event.
    pub event: Event,
}

/// One event on one socket, and how far it has been worked through.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Event {
    /// When, ns.
    pub now: u64,
    /// The socket's cookie.
    pub socket: u64,
    /// Bytes that moved and were not yet worked through.
    pub left: u64,
    /// Address of the next byte in the current segment.
    pub segment: u64,
    /// Bytes left in the current segment.
    pub segment_left: u64,
    /// Address of the next `struct iovec`.
    pub vector: u64,
    /// An `iovec` as read.
    pub iovec: [u64; 2],
    /// Segments that follow the current one.
    pub vector_left: u32,
    /// Position in the window.
    pub at: u32,
    /// End of the valid bytes in the window.
    pub end: u32,
    /// [`RX`](super::RX) or [`TX`](super::TX).
    pub direction: u8,
    /// 0: the content cannot be had.
    pub readable: u8,
    /// 1: the record's task and addresses are filled in.
    pub described: u8,
    /// The counter under which unreadable content goes: a
    /// [`Counter`](hark_common::counter::Counter).
    pub unreadable_as: u8,
    /// 1: a read that would have waited for the bytes.
    pub blocking: u8,
    /// 1: the bytes are what a TLS library handed over in clear.
    pub tls: u8,
    /// 1: `written` is known.
    pub numbered: u8,
    /// Unused, 0.
    pub reserved: u8,
    /// TCP's sequence number behind all that was sent when this was received.
    pub written: u32,
}

impl Event {
    /// Moves on by `n` bytes.
    #[inline(always)]
    pub fn consume(&mut self, n: u64) {
        self.left = self.left.wrapping_sub(n);
        self.segment = self.segment.wrapping_add(n);
        self.segment_left = self.segment_left.wrapping_sub(n);
        let room = (self.end.wrapping_sub(self.at)) as u64;
        self.at = if n >= room {
            self.end
        } else {
            self.at.wrapping_add(n as u32)
        };
    }
}

#[inline(always)]
pub(super) fn header(kind: RecordKind, size: u32, event: &Event) -> RecordHeader {
    RecordHeader {
        kind: kind as u32,
        size,
        time_ns: event.now,
        socket: event.socket,
    }
}
