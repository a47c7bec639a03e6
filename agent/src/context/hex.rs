//! Hexadecimal digits to bytes.

/// Decodes exactly `N` bytes of lower-case hexadecimal.
pub(super) fn lower<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    if digits.len() != 2 * N {
        return None;
    }
    padded(digits, nibble)
}

/// Decodes 1 to `2 * N` digits of either case; what is missing on the left is zero.
pub(super) fn short<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    if digits.is_empty() || digits.len() > 2 * N {
        return None;
    }
    padded(digits, |digit| nibble(digit.to_ascii_lowercase()))
}

fn padded<const N: usize>(digits: &[u8], nibble: impl Fn(u8) -> Option<u8>) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    for (place, digit) in digits.iter().rev().enumerate() {
        let byte = &mut bytes[N - 1 - place / 2];
        *byte |= nibble(*digit)? << (4 * (place % 2));
    }
    Some(bytes)
}

const fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}
