//! Integers with a prefix (RFC 7541 §5.1).

use super::HpackError;

/// Reads an integer whose first `prefix` bits (1 to 8) are the low bits of `first`, and moves `rest`
/// behind it.
///
/// # Errors
///
/// [`HpackError::Truncated`] if it does not end, [`HpackError::Integer`] if it is beyond 32 bits:
/// no length, index or size is.
pub(super) fn decode(first: u8, prefix: u32, rest: &mut &[u8]) -> Result<u32, HpackError> {
    let full = u8::MAX >> (8 - prefix);
    let low = first & full;
    if low < full {
        return Ok(u32::from(low));
    }
    let mut value = u64::from(full);
    let mut shift = 0;
    loop {
        let Some((byte, after)) = rest.split_first() else {
            return Err(HpackError::Truncated);
        };
        *rest = after;
        // Five bytes hold 35 bits; more of them, even of zeros, nobody sends who means well.
        if shift > 28 {
            return Err(HpackError::Integer);
        }
        value += u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return u32::try_from(value).map_err(|_| HpackError::Integer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], prefix: u32) -> Result<(u32, usize), HpackError> {
        let (first, mut rest) = bytes.split_first().unwrap();
        decode(*first, prefix, &mut rest).map(|value| (value, rest.len()))
    }

    /// RFC 7541 appendix C.1.
    #[test]
    fn the_appendix_is_read() {
        assert_eq!(read(&[0b1110_1010, 7], 5), Ok((10, 1)));
        assert_eq!(
            read(&[0b1111_1111, 0b1001_1010, 0b0000_1010], 5),
            Ok((1337, 0))
        );
        assert_eq!(read(&[42], 8), Ok((42, 0)));
    }

    #[test]
    fn bounds_are_kept() {
        assert_eq!(read(&[0x7f], 7), Err(HpackError::Truncated));
        assert_eq!(read(&[0x7f, 0x80], 7), Err(HpackError::Truncated));
        assert_eq!(read(&[0x7f, 0x00], 7), Ok((127, 0)));
        assert_eq!(
            read(&[0x7f, 0x80, 0xff, 0xff, 0xff, 0x0f], 7),
            Ok((u32::MAX, 0))
        );
        assert_eq!(
            read(&[0x7f, 0x81, 0xff, 0xff, 0xff, 0x0f], 7),
            Err(HpackError::Integer)
        );
        assert_eq!(
            read(&[0x7f, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00], 7),
            Err(HpackError::Integer)
        );
    }
}
