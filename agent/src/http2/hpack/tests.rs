//! The examples of RFC 7541 appendix C, and what no example shows.

mod appendix;
mod joined;
pub(in crate::http2) mod random;

use super::*;

type Owned = (Option<Vec<u8>>, Option<Vec<u8>>);

/// What a decoder says of a block.
fn fields(decoder: &mut Decoder, block: &[u8]) -> (Vec<Owned>, Result<(), HpackError>) {
    let mut fields = Vec::new();
    let decoded = decoder.decode(block, &mut Scratch::default(), &mut |field| {
        fields.push((
            field.name.map(<[u8]>::to_vec),
            field.value.map(<[u8]>::to_vec),
        ));
    });
    (fields, decoded)
}

fn known(name: &str, value: &str) -> Owned {
    (Some(name.into()), Some(value.into()))
}

/// Bytes written as hexadecimal digits with spaces between.
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .bytes()
        .filter_map(|byte| char::from(byte).to_digit(16))
        .map(|digit| u8::try_from(digit).unwrap())
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

#[test]
fn what_is_not_valid_is_an_error_and_the_table_unknown() {
    for (block, error) in [
        ("80", HpackError::Index(0)),
        ("be", HpackError::Index(62)),
        ("7f 80 80 80 80 80 00", HpackError::Integer),
        ("ff", HpackError::Truncated),
        ("40", HpackError::Truncated),
        ("40 01", HpackError::Truncated),
        ("40 01 61", HpackError::Truncated),
        ("40 01 61 05 61", HpackError::Truncated),
        ("04 81 ff", HpackError::Huffman),
        ("82 20", HpackError::LateResize),
        (
            "3f e2 1f",
            HpackError::Resize {
                size: 4097,
                limit: 4096,
            },
        ),
    ] {
        let mut decoder = Decoder::new();
        assert_eq!(fields(&mut decoder, &hex(block)).1, Err(error), "{block}");
        assert!(decoder.is_partial(), "{block}");
        let (after, decoded) = fields(&mut decoder, &hex("be 82"));
        assert_eq!(after, [(None, None), known(":method", "GET")], "{block}");
        assert_eq!(decoded, Ok(()));
    }
}

#[test]
fn the_fields_before_a_fault_are_right() {
    let mut decoder = Decoder::new();
    let (before, decoded) = fields(&mut decoder, &hex("83 86 40 01 61 01 62 44 05 2f"));
    assert_eq!(
        before,
        [
            known(":method", "POST"),
            known(":scheme", "http"),
            known("a", "b")
        ]
    );
    assert_eq!(decoded, Err(HpackError::Truncated));
}

#[test]
fn the_table_may_grow_as_far_as_was_allowed() {
    let mut decoder = Decoder::new();
    decoder.allow(8192);
    decoder.allow(100);
    assert_eq!(fields(&mut decoder, &hex("3f e1 3f")).1, Ok(()), "8192");
    let value = "v".repeat(4500);
    let mut block = hex("40 01 61 7f");
    block.extend([0x80 | u8::try_from((4500 - 127) & 0x7f).unwrap(), 34]);
    block.extend(value.bytes());
    assert_eq!(fields(&mut decoder, &block).0, [known("a", &value)]);
    assert_eq!(fields(&mut decoder, &hex("be")).0, [known("a", &value)]);
    // Smaller again: the entry goes, and the index is none.
    assert_eq!(fields(&mut decoder, &hex("3f 45")).1, Ok(()), "100");
    assert_eq!(decoder.size(), 0);
    assert_eq!(
        fields(&mut decoder, &hex("be")).1,
        Err(HpackError::Index(62))
    );
}

#[test]
fn two_sizes_may_begin_a_block() {
    let mut decoder = Decoder::new();
    assert_eq!(fields(&mut decoder, &hex("40 01 61 01 62")).1, Ok(()));
    assert_eq!(decoder.size(), 34);
    let (after, decoded) = fields(&mut decoder, &hex("20 3f e1 1f 82"));
    assert_eq!(decoded, Ok(()));
    assert_eq!(after, [known(":method", "GET")]);
    assert_eq!(decoder.size(), 0, "0 bytes, then 4096");
}

/// RFC 7541 §4.4: the new entry may take its name from the one that it drives out.
#[test]
fn a_name_may_come_from_the_entry_that_goes() {
    let mut decoder = Decoder::new();
    // 64 bytes: one entry of 36.
    assert_eq!(
        fields(&mut decoder, &hex("3f 21 40 03 61 62 63 01 78")).1,
        Ok(())
    );
    let (after, decoded) = fields(&mut decoder, &hex("7e 02 79 7a be"));
    assert_eq!(decoded, Ok(()));
    assert_eq!(after, [known("abc", "yz"), known("abc", "yz")]);
    assert_eq!(decoder.size(), 37);
}

#[test]
fn an_entry_larger_than_the_table_empties_it() {
    let mut decoder = Decoder::new();
    assert_eq!(fields(&mut decoder, &hex("3f 09 40 01 61 01 62")).1, Ok(()));
    assert_eq!(decoder.size(), 34, "of 40");
    let (after, decoded) = fields(&mut decoder, &hex("40 05 61 61 61 61 61 05 62 62 62 62 62"));
    assert_eq!(decoded, Ok(()));
    assert_eq!(after, [known("aaaaa", "bbbbb")]);
    assert_eq!(decoder.size(), 0);
}
