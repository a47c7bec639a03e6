//! Bytes of a request made into text that is safe to keep and to show.

use std::borrow::Cow;
use std::fmt::Write;

/// A path as valid UTF-8 of at most `limit` bytes, and whether it was longer. Bytes that are not
/// UTF-8, control characters and spaces are percent-encoded; the end never falls inside such a code.
pub(super) fn printable(path: &[u8], limit: usize) -> (Cow<'_, str>, bool) {
    if path.iter().all(u8::is_ascii_graphic) {
        let kept = &path[..path.len().min(limit)];
        return (String::from_utf8_lossy(kept), kept.len() < path.len());
    }
    let mut text = String::with_capacity(path.len().min(limit));
    let mut escaped = String::new();
    for chunk in path.utf8_chunks() {
        for character in chunk.valid().chars() {
            escaped.clear();
            if character.is_control() || character == ' ' {
                escape(character.encode_utf8(&mut [0; 4]).as_bytes(), &mut escaped);
            } else {
                escaped.push(character);
            }
            if text.len() + escaped.len() > limit {
                return (text.into(), true);
            }
            text.push_str(&escaped);
        }
        for byte in chunk.invalid() {
            if text.len() + 3 > limit {
                return (text.into(), true);
            }
            escape(&[*byte], &mut text);
        }
    }
    (text.into(), false)
}

/// RFC 3986 §2.1, upper-case digits.
fn escape(bytes: &[u8], out: &mut String) {
    for byte in bytes {
        // Writing to a String does not fail.
        let _: std::fmt::Result = write!(out, "%{byte:02X}");
    }
}

/// The beginning of a text, at most `limit` bytes, ending between two characters.
pub(super) fn bounded(text: &str, limit: usize) -> &str {
    let mut end = text.len().min(limit);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
