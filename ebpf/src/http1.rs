//! The framing of HTTP/1 (RFC 9112) in one direction of a connection.
//!
//! [`Stream`] is what is known between two system calls; [`scan`] moves it on through a window of
//! bytes, one step per call, and says what it came upon. Header names other than
//! `Content-Length` and `Transfer-Encoding` are passed over eight bytes at a time.
//!
//! It is lenient where servers are (bare LF, empty lines before a request) and strict where
//! leniency would take another protocol for HTTP (the whole request line must be right).

mod body;
mod bytes;
mod head;

pub use body::{body_begins, count};
pub use bytes::{SLACK, WINDOW, Window};
pub use head::{METHOD_LIMIT, is_status_line};

use body::scan_body;
use head::scan_head;

/// Longest head followed, in bytes. What goes on longer is not HTTP that any server accepts.
pub const HEAD_LIMIT: u32 = 1 << 20;

/// Where in a message a stream is.
pub mod phase {
    /// Before a head.
    pub const START: u8 = 0;
    /// In the method token.
    pub const METHOD: u8 = 1;
    /// In the rest of the request line.
    pub const TARGET: u8 = 2;
    /// In the first twelve bytes of a status line.
    pub const STATUS: u8 = 3;
    /// At the start of a header line.
    pub const LINE: u8 = 4;
    /// In a header line, or the rest of one, that does not matter.
    pub const SKIP: u8 = 5;
    /// In a header name that may matter.
    pub const NAME: u8 = 6;
    /// In the value of `Content-Length`.
    pub const LENGTH: u8 = 7;
    /// In the value of `Transfer-Encoding`.
    pub const ENCODING: u8 = 8;
    /// In a body of known length, or in the data of a chunk: `remaining` bytes to go.
    pub const BODY: u8 = 9;
    /// In a chunk's size.
    pub const CHUNK_SIZE: u8 = 10;
    /// In the rest of a chunk's size line.
    pub const CHUNK_EXTENSION: u8 = 11;
    /// In the line end behind a chunk's data.
    pub const CHUNK_END: u8 = 12;
    /// At the start of a trailer line.
    pub const TRAILER: u8 = 13;
    /// In a trailer line.
    pub const TRAILER_SKIP: u8 = 14;
    /// In a body that ends with the connection.
    pub const UNTIL_CLOSE: u8 = 15;
    /// The head is complete; what follows it is for the caller to decide.
    pub const HEAD_END: u8 = 16;
}

/// Bits of [`Stream::flags`].
pub mod flag {
    /// `Transfer-Encoding` ends in `chunked`.
    pub const CHUNKED: u16 = 1 << 0;
    /// A valid `Content-Length` was seen.
    pub const LENGTH: u16 = 1 << 1;
    /// The method is HEAD.
    pub const HEAD: u16 = 1 << 2;
    /// The method is CONNECT.
    pub const CONNECT: u16 = 1 << 3;
    /// The request line was whole and valid, and counted.
    pub const BEGUN: u16 = 1 << 4;
    /// A digit of the number under way was seen.
    pub const DIGIT: u16 = 1 << 5;
    /// The sequence number expected next is known.
    pub const SEQUENCE: u16 = 1 << 6;
    /// Pieces of the head under way were handed over.
    pub const PIECES: u16 = 1 << 7;
    /// One of them found no room.
    pub const LOST: u16 = 1 << 8;
}

/// One direction of a connection.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stream {
    /// When the first byte of the message under way moved, ns.
    pub first_ns: u64,
    /// When the last byte moved, ns.
    pub last_ns: u64,
    /// Bytes of the body, or of the chunk, still to come; while a number is read, the number.
    pub remaining: u64,
    /// Value of `Content-Length`.
    pub length: u64,
    /// Body bytes of the message under way so far, without chunk framing.
    pub body_bytes: u64,
    /// The last eight bytes of a line or value, the newest highest.
    pub tail: u64,
    /// Bytes of the head under way, or of the last one.
    pub head_bytes: u32,
    /// TCP sequence number expected next.
    pub sequence: u32,
    /// Status of the response under way.
    pub status: u16,
    /// Bits of [`flag`].
    pub flags: u16,
    /// One of [`phase`].
    pub phase: u8,
    /// Bytes of the method, status line or header name that matched so far.
    pub matched: u8,
    /// The header name under way: 0 for `Content-Length`, 1 for `Transfer-Encoding`.
    pub header: u8,
    /// 1: while nothing was outstanding, an answer came to what is sent in this direction.
    pub answered: u8,
    /// Working memory of [`Stream::forget`].
    cursor: u32,
    /// TCP's sequence number behind all that was sent by then.
    pub answered_at: u32,
}

impl Stream {
    /// Forgets the message under way, not the sequence number.
    #[inline(always)]
    pub fn reset(&mut self) {
        self.phase = phase::START;
        self.flags &= flag::SEQUENCE;
        clear(&mut self.matched);
        clear(&mut self.remaining);
        clear(&mut self.length);
        clear(&mut self.body_bytes);
        clear(&mut self.tail);
        clear(&mut self.head_bytes);
        clear(&mut self.status);
    }

    /// Gives back `at` by way of memory, so that the kernel's verifier forgets what it knows of it.
    /// Wherever many paths meet, it would otherwise walk what follows once for each of them.
    #[inline(always)]
    fn forget(&mut self, at: u32) -> u32 {
        let cursor = &raw mut self.cursor;
        // SAFETY: a field of a live value.
        unsafe {
            cursor.write_volatile(at);
            cursor.read_volatile()
        }
    }

    /// The phase, by way of memory, to the same end.
    #[inline(always)]
    fn phase(&self) -> u8 {
        // SAFETY: a field of a live value.
        unsafe { (&raw const self.phase).read_volatile() }
    }

    /// Whether bytes are only counted here, so that nothing of them need be read.
    #[inline(always)]
    #[must_use]
    pub const fn counts_only(&self) -> bool {
        matches!(self.phase, phase::BODY | phase::UNTIL_CLOSE)
    }

    /// Whether a head is under way.
    #[inline(always)]
    #[must_use]
    pub const fn in_head(&self) -> bool {
        self.phase >= phase::METHOD && self.phase <= phase::ENCODING
    }
}

/// Sets a field to 0 by a store of its own. Those of neighbours would be gathered into a call of
/// `memset`, which is a loop over bytes here, and the verifier goes through each round of it.
#[inline(always)]
fn clear<T: Default>(field: &mut T) {
    // SAFETY: a live value.
    unsafe { (&raw mut *field).write_volatile(T::default()) }
}

/// What a step came upon.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing; call again.
    Nothing,
    /// The request line is whole and valid.
    RequestLine,
    /// The head is complete ([`phase::HEAD_END`]).
    HeadEnd,
    /// The message is complete.
    MessageEnd,
    /// This is not HTTP/1.
    NotHttp,
    /// This is the connection preface of HTTP/2.
    Http2,
    /// It was HTTP/1, and has become something that cannot be followed.
    Broken,
}

impl Found {
    /// The one of this code, as `found as u8` gives it.
    #[inline(always)]
    #[must_use]
    pub const fn of(code: u8) -> Self {
        match code {
            0 => Self::Nothing,
            1 => Self::RequestLine,
            2 => Self::HeadEnd,
            3 => Self::MessageEnd,
            4 => Self::NotHttp,
            5 => Self::Http2,
            _ => Self::Broken,
        }
    }
}

/// Moves `stream` on through `window[at..end]` by one step; `at < end`. Returns the new position
/// and what was found. The caller has seen to it that the phase is one that reads bytes.
///
/// `request` says what a head in this direction begins with: a request line or a status line.
///
/// A step goes through the phases of a head in the order in which they mostly follow each other,
/// each at most once: for the verifier that is a straight line, where a loop would be walked anew
/// for every state that it can be in.
#[inline(always)]
pub fn scan(
    stream: &mut Stream,
    window: &Window,
    at: u32,
    end: u32,
    request: bool,
) -> (u32, Found) {
    let from = at;
    if stream.phase > phase::ENCODING {
        return scan_body(stream, window, at, end);
    }
    let (at, found) = scan_head(stream, window, at, end, request);
    stream.head_bytes = stream.head_bytes.wrapping_add(at.wrapping_sub(from));
    if stream.head_bytes > HEAD_LIMIT {
        return (at, Found::Broken);
    }
    (at, found)
}
