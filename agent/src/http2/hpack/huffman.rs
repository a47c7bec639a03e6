//! The Huffman code of HPACK (RFC 7541 §5.2, appendix B).
//!
//! The code is canonical: within a length, codes count up with the symbols. So the lengths are all
//! that has to be written down, and the tables follow from them at compile time: one look-up for
//! the symbols that text is made of, a few comparisons for the rest.

use super::HpackError;

/// Symbols: the bytes, and the end of the string, which must not be sent; its first bits are the
/// padding (RFC 7541 §5.2).
const SYMBOLS: usize = 257;

/// Longest code, in bits.
const LONGEST: usize = 30;

/// Bits that the first look-up takes.
const SHORT: usize = 10;

/// Length of each symbol's code, in bits (RFC 7541 appendix B).
#[rustfmt::skip]
const LENGTHS: [u8; SYMBOLS] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

/// The codes of one length.
#[derive(Clone, Copy)]
struct Length {
    /// The first of them.
    first: u32,
    /// How many there are.
    count: u32,
    /// Place of the first one's symbol in [`Tables::symbols`].
    place: usize,
}

/// A short code: its symbol and its length in bits; a length of 0 stands for a longer code.
#[derive(Clone, Copy)]
struct Short {
    symbol: u8,
    length: u8,
}

struct Tables {
    /// By the next [`SHORT`] bits.
    short: [Short; 1 << SHORT],
    /// By length in bits.
    lengths: [Length; LONGEST + 1],
    /// In the order of their codes.
    symbols: [u16; SYMBOLS],
}

static TABLES: Tables = tables();

#[expect(
    clippy::cast_possible_truncation,
    reason = "symbols are below 257, lengths below 31; checked conversions are not const"
)]
const fn tables() -> Tables {
    let none = Length {
        first: 0,
        count: 0,
        place: 0,
    };
    let mut tables = Tables {
        short: [Short {
            symbol: 0,
            length: 0,
        }; 1 << SHORT],
        lengths: [none; LONGEST + 1],
        symbols: [0; SYMBOLS],
    };
    let mut code = 0;
    let mut place = 0;
    let mut length = 1;
    while length <= LONGEST {
        code <<= 1;
        tables.lengths[length].first = code;
        tables.lengths[length].place = place;
        let mut symbol = 0;
        while symbol < SYMBOLS {
            if LENGTHS[symbol] as usize == length {
                tables.symbols[place] = symbol as u16;
                place += 1;
                if length <= SHORT {
                    let mut at = (code as usize) << (SHORT - length);
                    let end = (code as usize + 1) << (SHORT - length);
                    while at < end {
                        tables.short[at] = Short {
                            symbol: symbol as u8,
                            length: length as u8,
                        };
                        at += 1;
                    }
                }
                code += 1;
                tables.lengths[length].count += 1;
            }
            symbol += 1;
        }
        length += 1;
    }
    tables
}

/// Decodes a string and puts it at the end of `out`: at most eight fifths of its length, for the
/// shortest code has five bits.
///
/// # Errors
///
/// [`HpackError::Huffman`] if a code is none, is that of the end, or if what is left at the end is
/// not the beginning of that code, shorter than a byte.
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> Result<(), HpackError> {
    out.reserve(input.len() * 8 / 5);
    let mut input = input.iter();
    // The next bits, from the top; below them there are zeros.
    let mut next: u64 = 0;
    let mut bits: usize = 0;
    loop {
        while bits <= 56 {
            let Some(byte) = input.next() else { break };
            next |= u64::from(*byte) << (56 - bits);
            bits += 8;
        }
        if bits == 0 {
            return Ok(());
        }
        let short = TABLES.short[(next >> (64 - SHORT)) as usize];
        let (symbol, length) = match short.length {
            0 => match long(next) {
                Some(found) => found,
                // Padding looks like the beginning of the end's code.
                None => return padding(next, bits),
            },
            length => (short.symbol, usize::from(length)),
        };
        if length > bits {
            return padding(next, bits);
        }
        next <<= length;
        bits -= length;
        out.push(symbol);
    }
}

/// The symbol whose code, longer than [`SHORT`], begins `next`; and the code's length.
fn long(next: u64) -> Option<(u8, usize)> {
    for (length, codes) in TABLES.lengths.iter().enumerate().skip(SHORT + 1) {
        let code = u32::try_from(next >> (64 - length)).ok()?;
        let number = code.wrapping_sub(codes.first);
        if number < codes.count {
            let symbol = *TABLES.symbols.get(codes.place + number as usize)?;
            return u8::try_from(symbol).ok().map(|symbol| (symbol, length));
        }
    }
    None
}

/// Fewer bits are left than a code has: they must be ones, and fewer than eight.
fn padding(next: u64, bits: usize) -> Result<(), HpackError> {
    if bits < 8 && next >> (64 - bits) == (1 << bits) - 1 {
        Ok(())
    } else {
        Err(HpackError::Huffman)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By RFC 7541 appendix B; the tables' codes are checked against the appendix below.
    fn encode(text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let (mut bits, mut held) = (0_u64, 0);
        for byte in text {
            let length = usize::from(LENGTHS[usize::from(*byte)]);
            let codes = TABLES.lengths[length];
            let number = LENGTHS[..usize::from(*byte)]
                .iter()
                .filter(|other| usize::from(**other) == length)
                .count();
            bits = (bits << length) | u64::from(codes.first + u32::try_from(number).unwrap());
            held += length;
            while held >= 8 {
                out.push((bits >> (held - 8)).to_le_bytes()[0]);
                held -= 8;
            }
        }
        if held > 0 {
            out.push(((bits << (8 - held)) | ((1 << (8 - held)) - 1)).to_le_bytes()[0]);
        }
        out
    }

    fn decoded(input: &[u8]) -> Result<Vec<u8>, HpackError> {
        let mut out = Vec::new();
        decode(input, &mut out).map(|()| out)
    }

    #[test]
    fn the_code_is_complete() {
        let sum: u64 = LENGTHS
            .iter()
            .map(|length| 1 << (LONGEST - usize::from(*length)))
            .sum();
        assert_eq!(sum, 1 << LONGEST, "Kraft's sum of a complete code is one");
        let last = TABLES.lengths[LONGEST];
        assert_eq!(last.first + last.count - 1, 0x3fff_ffff, "the end");
        assert_eq!(TABLES.symbols[SYMBOLS - 1], 256);
    }

    /// Codes that the appendix gives, one of each kind.
    #[test]
    fn codes_are_those_of_the_appendix() {
        for (symbol, code, length) in [
            (b'0', 0x0, 5),
            (b'a', 0x3, 5),
            (b' ', 0x14, 6),
            (b':', 0x5c, 7),
            (b'z', 0x7b, 7),
            (b'&', 0xf8, 8),
            (b'!', 0x3f8, 10),
            (b'|', 0x7fc, 11),
            (b'<', 0x7ffc, 15),
            (b'\\', 0x7fff0, 19),
            (0, 0x1ff8, 13),
            (22, 0x3fff_fffe, 30),
            (255, 0x03ff_ffee, 26),
        ] {
            let codes = TABLES.lengths[length];
            let number = code - codes.first;
            assert!(number < codes.count, "{symbol}");
            let place = codes.place + usize::try_from(number).unwrap();
            assert_eq!(TABLES.symbols[place], u16::from(symbol));
        }
    }

    #[test]
    fn every_byte_comes_back_at_every_offset() {
        for shift in 0..8 {
            for byte in 0..=255 {
                let mut text = vec![b'0'; shift];
                text.push(byte);
                text.push(b'e');
                assert_eq!(decoded(&encode(&text)).as_ref(), Ok(&text));
            }
        }
    }

    #[test]
    fn padding_is_short_and_of_ones() {
        assert_eq!(decoded(&[0b0001_1111]), Ok(b"a".to_vec()));
        assert_eq!(decoded(&[0b0001_1110]), Err(HpackError::Huffman));
        assert_eq!(decoded(&[0xff]), Err(HpackError::Huffman), "eight bits");
        assert_eq!(decoded(&[0b0001_1111, 0xff]), Err(HpackError::Huffman));
        assert_eq!(decoded(&[0xff, 0xff, 0xff, 0xff]), Err(HpackError::Huffman));
    }
}
