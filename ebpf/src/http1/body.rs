//! Bodies: of a known length, in chunks, or until the connection ends.

use super::bytes::{Window, byte, line_feed};
use super::{Found, Stream, flag, phase};

/// A step in the framing of a body.
#[inline(always)]
pub(super) fn scan_body(stream: &mut Stream, window: &Window, at: u32, end: u32) -> (u32, Found) {
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
