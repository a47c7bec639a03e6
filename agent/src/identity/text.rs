//! Text that comes from a watched process, made safe to be a name.

/// Longest name that is kept, in bytes.
pub(super) const MAX_NAME: usize = 128;

/// The longest beginning of `text` that has at most `max` bytes and ends between two characters.
pub(super) fn cut(text: &str, max: usize) -> &str {
    if text.len() <= max {
        return text;
    }
    let end = (0..=max)
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0);
    &text[..end]
}

/// `text` as a name: without control characters, without space around it, at most [`MAX_NAME`]
/// bytes; `None` if nothing is left.
pub(super) fn name(text: &str) -> Option<String> {
    // A control character becomes nothing, so what is beyond four times the limit cannot matter
    // unless the text is hostile; it is not looked at.
    let kept: String = cut(text, 4 * MAX_NAME)
        .chars()
        .filter(|c| !c.is_control())
        .collect();
    let kept = cut(kept.trim(), MAX_NAME).trim_end();
    (!kept.is_empty()).then(|| kept.to_owned())
}

/// As [`name`], of bytes; what is not UTF-8 becomes U+FFFD.
pub(super) fn name_of_bytes(bytes: &[u8]) -> Option<String> {
    let bytes = &bytes[..bytes.len().min(4 * MAX_NAME)];
    name(&String::from_utf8_lossy(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_clean_and_bounded() {
        let a128 = "a".repeat(128);
        let table: &[(&[u8], Option<&str>)] = &[
            (b"orders", Some("orders")),
            (b"  or\x1b[31mders\n", Some("or[31mders")),
            (b"", None),
            (b" \t\0\x07", None),
            (b"a\xffb", Some("a\u{fffd}b")),
            (&[b'a'; 5000], Some(&a128)),
        ];
        for (bytes, expected) in table {
            assert_eq!(name_of_bytes(bytes).as_deref(), *expected, "{bytes:?}");
        }
        // 127 bytes and a character of two bytes: it does not fit.
        let long = format!("{}é", "a".repeat(127));
        assert_eq!(name(&long), Some("a".repeat(127)));
    }
}
