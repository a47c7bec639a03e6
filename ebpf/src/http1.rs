//! The framing of HTTP/1 (RFC 9112) in one direction of a connection.
//!
//! [`Stream`] is what is known between two system calls; [`scan`] moves it on through a window of
//! bytes, one step per call, and says what it came upon. Header names other than
//! `Content-Length` and `Transfer-Encoding` are passed over eight bytes at a time.
//!
//! It is lenient where servers are (bare LF, empty lines before a request) and strict where
//! leniency would take another protocol for HTTP (the whole request line must be right).

/// Bytes looked at in one go; a power of two.
pub const WINDOW: usize = 1024;
/// Bytes that may be read, though never believed, past the end of a window.
pub const SLACK: usize = 16;
/// Longest method token followed, in bytes. IANA's longest is 17 (`UPDATEREDIRECTREF`).
pub const METHOD_LIMIT: u8 = 32;
/// Longest head followed, in bytes. What goes on longer is not HTTP that any server accepts.
pub const HEAD_LIMIT: u32 = 1 << 20;

/// A window of the stream, with [`SLACK`].
pub type Window = [u8; WINDOW + SLACK];

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
    /// Unused, 0.
    pub reserved: u8,
    /// Working memory of [`Stream::forget`].
    cursor: u32,
    /// Unused, 0.
    pub reserved2: u32,
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

/// Whether the window's bytes from `at` on begin like a status line.
#[inline(always)]
#[must_use]
pub fn is_status_line(window: &Window, at: u32, end: u32) -> bool {
    let version = eight(window, at);
    end.wrapping_sub(at) >= 12 && (version == word(b"HTTP/1.1") || version == word(b"HTTP/1.0"))
}

const fn word(bytes: &[u8; 8]) -> u64 {
    u64::from_le_bytes(*bytes)
}

const LOWER: u64 = 0x2020_2020_2020_2020;
const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// The names that matter, lower case; each padded to 32 so that any index can be masked.
static NAMES: [[u8; 32]; 2] = [
    *b"content-length:\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    *b"transfer-encoding:\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
];
static NAME_LENGTHS: [u8; 2] = [15, 18];

/// Byte `at` of the window. `at` is masked: beyond the window's end it reads an earlier byte.
#[inline(always)]
fn byte(window: &Window, at: u32) -> u8 {
    // SAFETY: the mask keeps the index below WINDOW.
    unsafe { *window.as_ptr().add(at as usize & (WINDOW - 1)) }
}

/// Eight bytes from `at` on, the first lowest. Up to seven of them may lie in the slack.
#[inline(always)]
fn eight(window: &Window, at: u32) -> u64 {
    // SAFETY: the mask keeps the start below WINDOW, and SLACK is at least eight bytes.
    unsafe {
        window
            .as_ptr()
            .add(at as usize & (WINDOW - 1))
            .cast::<u64>()
            .read_unaligned()
    }
}

/// Marks with its high bit every byte of `x` that is `b`; the lowest mark is right, higher ones may
/// not be.
#[inline(always)]
const fn matches(x: u64, b: u8) -> u64 {
    let x = x ^ (ONES * b as u64);
    x.wrapping_sub(ONES) & !x & HIGHS
}

/// Index of the byte whose high bit is the lowest set. BPF has no instruction for it, and branches
/// would multiply the verifier's work.
#[inline(always)]
const fn lowest(marks: u64) -> u32 {
    let below = (marks & marks.wrapping_neg()).wrapping_sub(1) & ONES;
    (below.wrapping_mul(ONES) >> 56) as u32 - 1
}

/// The first line feed in `at..end`, looking at no more than 64 bytes: `(where it is or where
/// looking stopped, whether it was found)`.
#[inline(always)]
fn line_feed(window: &Window, at: u32, end: u32) -> (u32, bool) {
    let mut at = at;
    let mut rounds = 0;
    while rounds < 8 && at < end {
        let marks = matches(eight(window, at), b'\n');
        if marks != 0 {
            let found = at + lowest(marks);
            return if found < end {
                (found, true)
            } else {
                (end, false)
            };
        }
        at += 8;
        rounds += 1;
    }
    (if at < end { at } else { end }, false)
}

#[inline(always)]
const fn is_token(b: u8) -> bool {
    // RFC 9110 §5.6.2.
    matches!(b, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'!' | b'#' | b'$' | b'%' | b'&' | b'\''
        | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~')
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

#[inline(always)]
fn scan_head(
    stream: &mut Stream,
    window: &Window,
    at: u32,
    end: u32,
    request: bool,
) -> (u32, Found) {
    let (mut at, mut found) = (at, Found::Nothing);
    macro_rules! stage {
        ($stage:expr) => {
            (at, found) = $stage;
            if found != Found::Nothing || at >= end {
                return (at, found);
            }
            at = stream.forget(at);
        };
    }
    if stream.phase() == phase::START {
        stage!(start(stream, window, at, request));
    }
    if stream.phase() == phase::METHOD {
        stage!(method(stream, window, at, end));
    }
    if stream.phase() == phase::TARGET {
        stage!(target(stream, window, at, end));
    }
    if stream.phase() == phase::STATUS {
        stage!(status(stream, window, at, end));
    }
    if stream.phase() == phase::NAME {
        stage!(name(stream, window, at, end));
    }
    if stream.phase() == phase::LENGTH {
        stage!(length(stream, window, at, end));
    }
    if stream.phase() == phase::ENCODING {
        stage!(encoding(stream, window, at));
    }
    if matches!(stream.phase(), phase::LINE | phase::SKIP) {
        return line(stream, window, at, end);
    }
    (at, found)
}

#[inline(always)]
fn scan_body(stream: &mut Stream, window: &Window, at: u32, end: u32) -> (u32, Found) {
    match stream.phase {
        phase::CHUNK_SIZE => chunk_size(stream, window, at),
        phase::CHUNK_EXTENSION => {
            let (at, lf) = line_feed(window, at, end);
            if lf {
                (at + 1, chunk_begins(stream))
            } else {
                (at, Found::Nothing)
            }
        }
        phase::CHUNK_END => match byte(window, at) {
            b'\r' => (at + 1, Found::Nothing),
            b'\n' => {
                stream.phase = phase::CHUNK_SIZE;
                stream.remaining = 0;
                stream.flags &= !flag::DIGIT;
                (at + 1, Found::Nothing)
            }
            _ => (at, Found::Broken),
        },
        phase::TRAILER => match byte(window, at) {
            b'\r' => (at + 1, Found::Nothing),
            b'\n' => (at + 1, Found::MessageEnd),
            _ => {
                stream.phase = phase::TRAILER_SKIP;
                (at, Found::Nothing)
            }
        },
        phase::TRAILER_SKIP => {
            let (at, lf) = line_feed(window, at, end);
            if lf {
                stream.phase = phase::TRAILER;
                (at + 1, Found::Nothing)
            } else {
                (at, Found::Nothing)
            }
        }
        _ => (at, Found::Broken),
    }
}

#[inline(always)]
fn start(stream: &mut Stream, window: &Window, at: u32, request: bool) -> (u32, Found) {
    let b = byte(window, at);
    if request {
        if b == b'\r' || b == b'\n' {
            return (at + 1, Found::Nothing);
        }
        // A token may begin with other characters; no method that anyone uses does, and
        // Redis' requests do ('*', '$').
        if !b.is_ascii_alphabetic() {
            return (at, Found::NotHttp);
        }
        stream.phase = phase::METHOD;
    } else {
        stream.phase = phase::STATUS;
    }
    stream.flags &= flag::SEQUENCE;
    clear(&mut stream.matched);
    clear(&mut stream.head_bytes);
    clear(&mut stream.body_bytes);
    clear(&mut stream.length);
    clear(&mut stream.tail);
    clear(&mut stream.status);
    (at, Found::Nothing)
}

/// One byte of the method; or all of it, if it is of upper-case letters and within eight bytes.
#[inline(always)]
fn method(stream: &mut Stream, window: &Window, at: u32, end: u32) -> (u32, Found) {
    if stream.matched == 0 && end - at >= 8 {
        let x = eight(window, at);
        let marks = matches(x, b' ');
        // Bytes of `x` below the space, and whether one of them is not in 'A'..='Z'.
        let before = (marks & marks.wrapping_neg()).wrapping_sub(1) >> 7;
        let below_a = (x | HIGHS).wrapping_sub(ONES * b'A' as u64);
        let above_z = (x & !HIGHS).wrapping_add(ONES * (127 - b'Z') as u64);
        let upper = below_a & !above_z & !x & HIGHS;
        if marks != 0 && before != 0 && upper & before == HIGHS & before {
            let length = lowest(marks);
            if x << 24 == word(b"HEAD \0\0\0") << 24 {
                stream.flags |= flag::HEAD;
            }
            if x == word(b"CONNECT ") {
                stream.flags |= flag::CONNECT;
            }
            return (at + length + 1, method_end(stream));
        }
    }
    let b = byte(window, at);
    if b == b' ' {
        if stream.matched == 4 && stream.tail >> 32 == word(b"HEAD\0\0\0\0") {
            stream.flags |= flag::HEAD;
        }
        if stream.matched == 7 && stream.tail >> 8 == word(b"CONNECT\0") {
            stream.flags |= flag::CONNECT;
        }
        return (at + 1, method_end(stream));
    }
    if !is_token(b) || stream.matched >= METHOD_LIMIT {
        return (at, Found::NotHttp);
    }
    stream.matched += 1;
    remember(stream, b);
    (at + 1, Found::Nothing)
}

#[inline(always)]
fn method_end(stream: &mut Stream) -> Found {
    stream.phase = phase::TARGET;
    stream.tail = 0;
    stream.matched = 0;
    Found::Nothing
}

/// Adds a byte to the tail.
#[inline(always)]
fn remember(stream: &mut Stream, b: u8) {
    stream.tail = stream.tail >> 8 | (b as u64) << 56;
}

/// The rest of the request line, as far as 64 bytes: only its last eight matter. Carriage returns
/// do not count: they are only ever part of the line's end.
#[inline(always)]
fn target(stream: &mut Stream, window: &Window, at: u32, end: u32) -> (u32, Found) {
    let b = byte(window, at);
    // One byte of the target is enough to know that there is one.
    if stream.matched == 0 {
        if b <= b' ' {
            return (at, Found::NotHttp);
        }
        stream.matched = 1;
    }
    let (to, lf) = line_feed(window, at, end);
    if to.wrapping_sub(at) < 9 {
        if b == b'\n' {
            return request_line_end(stream, at);
        }
        if b != b'\r' {
            remember(stream, b);
        }
        return (at + 1, Found::Nothing);
    }
    let cr = (byte(window, to - 1) == b'\r') as u32;
    stream.tail = eight(window, to - 8 - cr);
    if lf {
        request_line_end(stream, to)
    } else {
        (to, Found::Nothing)
    }
}

#[inline(always)]
fn request_line_end(stream: &mut Stream, at: u32) -> (u32, Found) {
    let version = stream.tail;
    if version == word(b"HTTP/1.1") || version == word(b"HTTP/1.0") {
        stream.phase = phase::LINE;
        stream.flags |= flag::BEGUN;
        (at + 1, Found::RequestLine)
    } else if version == word(b"HTTP/2.0") {
        (at + 1, Found::Http2)
    } else {
        (at, Found::NotHttp)
    }
}

/// One byte of the status line's first twelve; or all of them, if they are there.
#[inline(always)]
fn status(stream: &mut Stream, window: &Window, at: u32, end: u32) -> (u32, Found) {
    if stream.matched == 0 && end - at >= 12 {
        let version = eight(window, at);
        if version != word(b"HTTP/1.1") && version != word(b"HTTP/1.0") {
            return (at, Found::Broken);
        }
        // " 200": the digits in the upper three of four bytes.
        let code = eight(window, at + 8) as u32;
        let digits = code.wrapping_sub(u32::from_le_bytes(*b" 000"));
        if code & 0xff != b' ' as u32
            || (digits | digits.wrapping_add(0x7676_7600)) & 0x8080_8000 != 0
        {
            return (at, Found::Broken);
        }
        let (a, b, c) = (digits >> 8 & 0xff, digits >> 16 & 0xff, digits >> 24);
        stream.status = (a * 100 + b * 10 + c) as u16;
        return (at + 12, status_end(stream));
    }
    let b = byte(window, at);
    let ok = match stream.matched {
        0 => b == b'H',
        1 | 2 => b == b'T',
        3 => b == b'P',
        4 => b == b'/',
        5 => b == b'1',
        6 => b == b'.',
        7 => b == b'0' || b == b'1',
        8 => b == b' ',
        _ => b.is_ascii_digit(),
    };
    if !ok {
        return (at, Found::Broken);
    }
    if stream.matched >= 9 {
        stream.status = stream
            .status
            .wrapping_mul(10)
            .wrapping_add((b - b'0') as u16);
    }
    stream.matched += 1;
    if stream.matched == 12 {
        (at + 1, status_end(stream))
    } else {
        (at + 1, Found::Nothing)
    }
}

#[inline(always)]
fn status_end(stream: &mut Stream) -> Found {
    stream.phase = phase::SKIP;
    if stream.status < 100 {
        Found::Broken
    } else {
        Found::Nothing
    }
}

/// Header lines, from the start of one or within one that does not matter, up to one that does, the
/// head's end, or the window's.
#[inline(always)]
fn line(stream: &mut Stream, window: &Window, at: u32, end: u32) -> (u32, Found) {
    let mut at = at;
    let mut rounds = 0;
    while rounds < 4 && at < end {
        rounds += 1;
        if stream.phase() == phase::LINE {
            let b = byte(window, at);
            if b == b'\n' {
                stream.phase = phase::HEAD_END;
                return (at + 1, Found::HeadEnd);
            }
            if b == b'\r' {
                at = stream.forget(at + 1);
                continue;
            }
            let lower = b | 0x20;
            if lower == b'c' || lower == b't' {
                stream.header = (lower == b't') as u8;
                if end - at < 8 {
                    stream.matched = 0;
                    stream.phase = phase::NAME;
                    return (at, Found::Nothing);
                }
                let begins = eight(window, at) | LOWER;
                if begins == word(b"content-") || begins == word(b"transfer") {
                    stream.matched = 8;
                    stream.phase = phase::NAME;
                    return (at + 8, Found::Nothing);
                }
            }
        }
        let (to, lf) = line_feed(window, at, end);
        stream.phase = if lf { phase::LINE } else { phase::SKIP };
        at = stream.forget(to + lf as u32);
    }
    (at, Found::Nothing)
}

/// One byte of a header name; or what is left of `Content-Length`, if it is there.
#[inline(always)]
fn name(stream: &mut Stream, window: &Window, at: u32, end: u32) -> (u32, Found) {
    let header = stream.header as usize & 1;
    if header == 0 && stream.matched == 8 && end - at >= 8 {
        if (eight(window, at) | LOWER) << 8 == word(b"length:\0") << 8 {
            return (at + 7, value_begins(stream));
        }
        stream.phase = phase::SKIP;
        return (at, Found::Nothing);
    }
    let expected = NAMES[header][stream.matched as usize & 31];
    if byte(window, at) | 0x20 != expected | 0x20 {
        stream.phase = phase::SKIP;
        return (at, Found::Nothing);
    }
    stream.matched += 1;
    let found = if stream.matched >= NAME_LENGTHS[header] {
        value_begins(stream)
    } else {
        Found::Nothing
    };
    (at + 1, found)
}

#[inline(always)]
fn value_begins(stream: &mut Stream) -> Found {
    stream.phase = phase::LENGTH + stream.header;
    stream.remaining = 0;
    stream.tail = 0;
    stream.flags &= !flag::DIGIT;
    Found::Nothing
}

/// Bytes of the value of `Content-Length`.
#[inline(always)]
fn length(stream: &mut Stream, window: &Window, at: u32, end: u32) -> (u32, Found) {
    let mut at = at;
    let mut rounds = 0;
    while rounds < 8 && at < end {
        rounds += 1;
        let b = byte(window, at);
        if b.is_ascii_digit() {
            if stream.remaining > u64::MAX / 16 {
                return (at, Found::Broken);
            }
            stream.remaining = stream.remaining * 10 + (b - b'0') as u64;
            stream.flags |= flag::DIGIT;
        } else if b != b' ' && b != b'\t' && b != b'\r' {
            // A list of equal values is one value (RFC 9110 §8.6); anything else is not a length,
            // and no recipient takes the message.
            if stream.flags & flag::DIGIT != 0 && (b == b'\n' || b == b',') {
                stream.flags |= flag::LENGTH;
                stream.length = stream.remaining;
            }
            stream.phase = phase::SKIP;
            return (at, Found::Nothing);
        }
        at += 1;
    }
    (at, Found::Nothing)
}

#[inline(always)]
fn encoding(stream: &mut Stream, window: &Window, at: u32) -> (u32, Found) {
    let b = byte(window, at);
    if b == b'\n' {
        if stream.tail >> 8 == word(b"chunked\0") {
            stream.flags |= flag::CHUNKED;
        }
        stream.phase = phase::LINE;
    } else if b != b' ' && b != b'\t' && b != b'\r' {
        remember(stream, b | 0x20);
    }
    (at + 1, Found::Nothing)
}

#[inline(always)]
fn chunk_size(stream: &mut Stream, window: &Window, at: u32) -> (u32, Found) {
    let b = byte(window, at);
    let lower = b | 0x20;
    let digit = if b.is_ascii_digit() {
        b - b'0'
    } else if lower.wrapping_sub(b'a') < 6 {
        lower - b'a' + 10
    } else {
        if stream.flags & flag::DIGIT == 0 {
            return (at, Found::Broken);
        }
        // Extensions, and the line's end, are passed over alike.
        stream.phase = phase::CHUNK_EXTENSION;
        return (at, Found::Nothing);
    };
    if stream.remaining >> 56 != 0 {
        return (at, Found::Broken);
    }
    stream.remaining = stream.remaining << 4 | digit as u64;
    stream.flags |= flag::DIGIT;
    (at + 1, Found::Nothing)
}

/// The size line of a chunk is over.
#[inline(always)]
fn chunk_begins(stream: &mut Stream) -> Found {
    stream.flags &= !flag::DIGIT;
    stream.phase = if stream.remaining == 0 {
        phase::TRAILER
    } else {
        phase::BODY
    };
    Found::Nothing
}

/// Counts up to `n` bytes of a body. Returns how many were taken, and whether the message is
/// complete. Only for the phases that [`Stream::counts_only`] names.
#[inline(always)]
pub fn count(stream: &mut Stream, n: u64) -> (u64, Found) {
    if stream.phase == phase::UNTIL_CLOSE {
        stream.body_bytes = stream.body_bytes.wrapping_add(n);
        return (n, Found::Nothing);
    }
    let taken = if n < stream.remaining {
        n
    } else {
        stream.remaining
    };
    stream.remaining -= taken;
    stream.body_bytes = stream.body_bytes.wrapping_add(taken);
    if stream.remaining != 0 {
        return (taken, Found::Nothing);
    }
    if stream.flags & flag::CHUNKED != 0 {
        stream.phase = phase::CHUNK_END;
        return (taken, Found::Nothing);
    }
    (taken, Found::MessageEnd)
}

/// Decides what follows a complete head (RFC 9112 §6.3), given that a body may follow at all.
/// `close_delimited` is true for responses.
#[inline(always)]
pub fn body_begins(stream: &mut Stream, close_delimited: bool) -> Found {
    if stream.flags & flag::CHUNKED != 0 {
        stream.phase = phase::CHUNK_SIZE;
        stream.remaining = 0;
        stream.flags &= !flag::DIGIT;
        Found::Nothing
    } else if stream.flags & flag::LENGTH != 0 {
        stream.remaining = stream.length;
        if stream.remaining == 0 {
            return Found::MessageEnd;
        }
        stream.phase = phase::BODY;
        Found::Nothing
    } else if close_delimited {
        stream.phase = phase::UNTIL_CLOSE;
        Found::Nothing
    } else {
        Found::MessageEnd
    }
}
