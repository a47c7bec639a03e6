//! The bytes under the eye, and looking at eight of them at a time.

/// Bytes looked at in one go; a power of two.
pub const WINDOW: usize = 1024;
/// Bytes that may be read, though never believed, past the end of a window.
pub const SLACK: usize = 16;

/// A window of the stream, with [`SLACK`].
pub type Window = [u8; WINDOW + SLACK];

pub(super) const LOWER: u64 = 0x2020_2020_2020_2020;
pub(super) const ONES: u64 = 0x0101_0101_0101_0101;
pub(super) const HIGHS: u64 = 0x8080_8080_8080_8080;

pub(super) const fn word(bytes: &[u8; 8]) -> u64 {
    u64::from_le_bytes(*bytes)
}

/// Byte `at` of the window. `at` is masked: beyond the window's end it reads an earlier byte.
#[inline(always)]
pub(super) fn byte(window: &Window, at: u32) -> u8 {
    // SAFETY: the mask keeps the index below WINDOW.
    unsafe { *window.as_ptr().add(at as usize & (WINDOW - 1)) }
}

/// Eight bytes from `at` on, the first lowest. Up to seven of them may lie in the slack.
#[inline(always)]
pub(super) fn eight(window: &Window, at: u32) -> u64 {
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
pub(super) const fn matches(x: u64, b: u8) -> u64 {
    let x = x ^ (ONES * b as u64);
    x.wrapping_sub(ONES) & !x & HIGHS
}

/// Index of the byte whose high bit is the lowest set. BPF has no instruction for it, and branches
/// would multiply the verifier's work.
#[inline(always)]
pub(super) const fn lowest(marks: u64) -> u32 {
    let below = (marks & marks.wrapping_neg()).wrapping_sub(1) & ONES;
    (below.wrapping_mul(ONES) >> 56) as u32 - 1
}

/// The first line feed in `at..end`, looking at no more than 64 bytes: `(where it is or where
/// looking stopped, whether it was found)`.
#[inline(always)]
pub(super) fn line_feed(window: &Window, at: u32, end: u32) -> (u32, bool) {
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
pub(super) const fn is_token(b: u8) -> bool {
    // RFC 9110 §5.6.2.
    matches!(b, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'!' | b'#' | b'$' | b'%' | b'&' | b'\''
        | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~')
}
