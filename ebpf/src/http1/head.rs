//! Heads: request line or status line, and the header lines that say how the body ends.

use super::bytes::{
    HIGHS, LOWER, ONES, Window, byte, eight, is_token, line_feed, lowest, matches, word,
};
use super::{Found, Stream, flag, phase};

/// A step in a head.
#[inline(always)]
pub(super) fn scan_head(
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

/// Longest method token followed, in bytes. IANA's longest is 17 (`UPDATEREDIRECTREF`).
pub const METHOD_LIMIT: u8 = 32;

/// The names that matter, lower case; each padded to 32 so that any index can be masked.
static NAMES: [[u8; 32]; 2] = [
    *b"content-length:\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    *b"transfer-encoding:\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
];

static NAME_LENGTHS: [u8; 2] = [15, 18];

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
    }
    stream.reset();
    stream.phase = if request {
        phase::METHOD
    } else {
        phase::STATUS
    };
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

/// Whether the window's bytes from `at` on begin like a status line.
#[inline(always)]
#[must_use]
pub fn is_status_line(window: &Window, at: u32, end: u32) -> bool {
    let version = eight(window, at);
    end.wrapping_sub(at) >= 12 && (version == word(b"HTTP/1.1") || version == word(b"HTTP/1.0"))
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
