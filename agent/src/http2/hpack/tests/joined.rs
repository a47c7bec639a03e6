//! A decoder that joined in the middle says what it knows and nothing else.

use super::random::integer;
use super::*;

#[test]
fn what_came_before_is_unknown_and_what_came_since_is_known() {
    let mut decoder = Decoder::joined();
    let (first, decoded) = fields(&mut decoder, &hex("83 86 c2 40 01 61 01 62 be bf"));
    assert_eq!(decoded, Ok(()));
    assert_eq!(
        first,
        [
            known(":method", "POST"),
            known(":scheme", "http"),
            (None, None),
            known("a", "b"),
            known("a", "b"),
            (None, None),
        ]
    );
    assert!(decoder.is_partial());
}

/// A name that is not known stays so in the entry that takes it; its value is known.
#[test]
fn an_entry_can_be_known_by_half() {
    let mut decoder = Decoder::joined();
    let half = (None, Some(b"v".to_vec()));
    let (first, decoded) = fields(&mut decoder, &hex("7e 01 76 be 7e 01 77"));
    assert_eq!(decoded, Ok(()));
    assert_eq!(
        first,
        [half.clone(), half, (None, Some(b"w".to_vec()))],
        "the second one has the name of the first"
    );
}

#[test]
fn a_table_of_no_size_is_known() {
    let mut decoder = Decoder::joined();
    assert_eq!(fields(&mut decoder, &hex("20 3f e1 1f 82")).1, Ok(()));
    assert!(!decoder.is_partial());
    assert_eq!(
        fields(&mut decoder, &hex("be")).1,
        Err(HpackError::Index(62))
    );
}

/// How large the table is may have been agreed on before: as much is kept as ever is, and an encoder with a
/// smaller one never refers to more than it has.
#[test]
fn a_table_of_unknown_size_is_kept_to_the_limit() {
    let mut decoder = Decoder::joined();
    let mut block = hex("40 01 61 7f 81 07");
    block.extend([b'v'; 1024]);
    for _ in 0..20 {
        assert_eq!(fields(&mut decoder, &block).1, Ok(()));
    }
    let (last, _) = fields(&mut decoder, &[0x80 | (61 + 20)]);
    assert_eq!(last, [known("a", &"v".repeat(1024))]);
    let size = hex("3f e1 1f");
    assert_eq!(fields(&mut decoder, &size).1, Ok(()), "4096");
    assert_eq!(decoder.size(), 3 * (1 + 1024 + 32));
}

/// A block of entries that are each as large as the table, over and over by reference: what it expands to is
/// a thousand times its length, and costs nothing.
#[test]
fn a_bomb_costs_the_table_and_no_more() {
    let mut decoder = Decoder::new();
    let mut scratch = Scratch::default();
    let mut block = hex("40 01 61");
    integer(0, 7, 4000, &mut block);
    block.extend([b'v'; 4000]);
    block.extend(vec![0xbe; 60_000]);
    let (mut count, mut bytes) = (0, 0);
    let decoded = decoder.decode(&block, &mut scratch, &mut |field| {
        count += 1;
        bytes += field.value.map_or(0, <[u8]>::len);
    });
    assert_eq!((decoded, count), (Ok(()), 60_001));
    assert_eq!(bytes, 60_001 * 4000, "240 MB");
    assert_eq!(decoder.size(), 1 + 4000 + 32);
    assert!(scratch.name.capacity() + scratch.value.capacity() <= 8 * block.len() / 5);
}

/// What the ends agree on may be more than what is kept: the entries beyond are unknown.
#[test]
fn a_table_beyond_the_limit_is_unknown_there() {
    let mut decoder = Decoder::new();
    decoder.allow(1 << 20);
    assert_eq!(fields(&mut decoder, &hex("3f e1 ff 3f")).1, Ok(()), "1 MiB");
    let mut block = hex("40 01 61 7f 81 07");
    block.extend([b'v'; 1024]);
    for _ in 0..100 {
        assert_eq!(fields(&mut decoder, &block).1, Ok(()));
        assert!(decoder.size() <= TABLE_LIMIT as usize);
    }
    let kept = TABLE_LIMIT as usize / (1 + 1024 + 32);
    assert_eq!(decoder.size(), kept * (1 + 1024 + 32));
    // The last one kept, and the one behind it.
    for (index, expected) in [
        (61 + kept, known("a", &"v".repeat(1024))),
        (62 + kept, (None, None)),
    ] {
        let mut block = Vec::new();
        integer(0x80, 7, index, &mut block);
        assert_eq!(fields(&mut decoder, &block), (vec![expected], Ok(())));
    }
}
