//! Any header blocks, one after the other, to the HPACK decoder and to another one: what both
//! accept both read the same; and a decoder that joined in the middle says the same or "unknown".
//!
//! The input is a list of blocks, each behind its length in one byte.
#![no_main]

use hark::http2::hpack::{Decoder, Field, HpackError, Scratch, TABLE_LIMIT};

type Fields = Vec<(Option<Vec<u8>>, Option<Vec<u8>>)>;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let mut ours = Decoder::new();
    let mut joined: Option<Decoder> = None;
    let mut theirs = loona_hpack::Decoder::new();
    let mut scratch = Scratch::default();
    let mut rest = input;
    while let Some((length, after)) = rest.split_first() {
        let (block, after) = after.split_at(after.len().min(usize::from(*length)));
        rest = after;
        let (read, decoded) = fields(&mut ours, block, &mut scratch);
        assert!(read.len() <= block.len());
        assert!(ours.size() <= TABLE_LIMIT as usize);
        if let Some(joined) = &mut joined {
            let (said, _) = fields(joined, block, &mut scratch);
            if decoded.is_ok() {
                assert_eq!(said.len(), read.len());
                for (said, read) in said.iter().zip(&read) {
                    assert!(said.0.is_none() || said.0 == read.0);
                    assert!(said.1.is_none() || said.1 == read.1);
                }
            }
        }
        let Ok(expected) = theirs.decode(block) else {
            return;
        };
        if decoded.is_err() {
            return;
        }
        assert!(!ours.is_partial());
        let expected: Fields = expected
            .into_iter()
            .map(|(name, value)| (Some(name), Some(value)))
            .collect();
        assert_eq!(read, expected);
        joined.get_or_insert_with(Decoder::joined);
    }
});

fn fields(
    decoder: &mut Decoder,
    block: &[u8],
    scratch: &mut Scratch,
) -> (Fields, Result<(), HpackError>) {
    let mut fields = Vec::new();
    let decoded = decoder.decode(block, scratch, &mut |Field { name, value }| {
        fields.push((name.map(<[u8]>::to_vec), value.map(<[u8]>::to_vec)));
    });
    (fields, decoded)
}
