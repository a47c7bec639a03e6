//! Blocks of an encoder of our own, with a table of its own, and bytes at random.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

/// How one field is encoded.
#[derive(Clone, Copy, Debug)]
pub(in crate::http2) enum Form {
    /// As an entry, if there is one that equals it; else as a literal that becomes one.
    Entry,
    /// As a literal that becomes an entry.
    Kept,
    /// As a literal that does not.
    Passing,
    /// As a literal that never may.
    Never,
}

/// An encoder by the letter of RFC 7541, without Huffman code, which has tests of its own.
pub(in crate::http2) struct Encoder {
    table: VecDeque<(String, String)>,
    capacity: usize,
}

impl Encoder {
    pub(in crate::http2) const fn new() -> Self {
        Self {
            table: VecDeque::new(),
            capacity: 4096,
        }
    }

    fn resize(&mut self, capacity: usize, out: &mut Vec<u8>) {
        integer(0x20, 5, capacity, out);
        self.capacity = capacity;
        self.shrink();
    }

    fn shrink(&mut self) {
        let size = |(name, value): &(String, String)| name.len() + value.len() + 32;
        while self.table.iter().map(size).sum::<usize>() > self.capacity {
            self.table.pop_back();
        }
    }

    fn entries(&self) -> impl Iterator<Item = (&str, &str)> {
        let dynamic = self.table.iter().map(|(name, value)| (&**name, &**value));
        STATIC.iter().copied().chain(dynamic)
    }

    pub(in crate::http2) fn field(
        &mut self,
        form: Form,
        name: &str,
        value: &str,
        out: &mut Vec<u8>,
    ) {
        let whole = self.entries().position(|entry| entry == (name, value));
        if let (Form::Entry, Some(place)) = (form, whole) {
            integer(0x80, 7, place + 1, out);
            return;
        }
        let named = self.entries().position(|entry| entry.0 == name);
        let (pattern, prefix) = match form {
            Form::Entry | Form::Kept => (0x40, 6),
            Form::Passing => (0x00, 4),
            Form::Never => (0x10, 4),
        };
        integer(pattern, prefix, named.map_or(0, |place| place + 1), out);
        if named.is_none() {
            integer(0, 7, name.len(), out);
            out.extend(name.bytes());
        }
        integer(0, 7, value.len(), out);
        out.extend(value.bytes());
        if pattern == 0x40 {
            self.table.push_front((name.into(), value.into()));
            self.shrink();
        }
    }
}

/// RFC 7541 §5.1.
pub(super) fn integer(pattern: u8, prefix: u32, value: usize, out: &mut Vec<u8>) {
    let full = (1 << prefix) - 1;
    if value < full {
        out.push(pattern | u8::try_from(value).unwrap());
        return;
    }
    out.push(pattern | u8::try_from(full).unwrap());
    let mut rest = value - full;
    while rest >= 128 {
        out.push(0x80 | u8::try_from(rest & 0x7f).unwrap());
        rest >>= 7;
    }
    out.push(u8::try_from(rest).unwrap());
}

type Block = (Option<usize>, Vec<(Form, String, String)>);

fn block() -> impl Strategy<Value = Block> {
    let form = prop_oneof![
        4 => Just(Form::Entry),
        2 => Just(Form::Kept),
        1 => Just(Form::Passing),
        1 => Just(Form::Never),
    ];
    let name = prop_oneof![
        Just(":path".to_owned()),
        Just("content-type".to_owned()),
        "[a-d]{1,3}",
        "[a-z-]{1,200}",
    ];
    let field = (form, name, prop_oneof!["[a-c]{0,2}", "[ -~]{0,300}"]);
    (
        proptest::option::weighted(0.1, 0..=4096_usize),
        proptest::collection::vec(field, 0..12),
    )
}

fn encoded(blocks: &[Block]) -> Vec<(Vec<u8>, Vec<Owned>)> {
    let mut encoder = Encoder::new();
    blocks
        .iter()
        .map(|(resize, fields)| {
            let mut out = Vec::new();
            if let Some(capacity) = resize {
                encoder.resize(*capacity, &mut out);
            }
            let mut expected = Vec::new();
            for (form, name, value) in fields {
                encoder.field(*form, name, value, &mut out);
                expected.push(known(name, value));
            }
            (out, expected)
        })
        .collect()
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(blocks in proptest::collection::vec(block(), 1..30)) {
        let mut decoder = Decoder::new();
        for (block, expected) in encoded(&blocks) {
            let (fields, decoded) = fields(&mut decoder, &block);
            prop_assert_eq!(decoded, Ok(()));
            prop_assert_eq!(fields, expected);
            prop_assert!(!decoder.is_partial());
        }
    }

    /// Blocks go missing; what is said is right or unknown, and there is as much of it.
    #[test]
    fn nothing_is_ever_misnamed(
        blocks in proptest::collection::vec((block(), proptest::bool::weighted(0.8)), 1..30),
    ) {
        let (blocks, heard): (Vec<_>, Vec<_>) = blocks.into_iter().unzip();
        let mut decoder = Decoder::new();
        for ((block, expected), heard) in encoded(&blocks).into_iter().zip(heard) {
            if !heard {
                decoder.forget();
                continue;
            }
            let (fields, decoded) = fields(&mut decoder, &block);
            prop_assert_eq!(decoded, Ok(()));
            prop_assert_eq!(fields.len(), expected.len());
            for ((name, value), (right_name, right_value)) in fields.into_iter().zip(expected) {
                prop_assert!(name.is_none() || name == right_name);
                prop_assert!(value.is_none() || value == right_value);
            }
        }
    }

    #[test]
    fn any_bytes_are_survived(
        blocks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..64), 0..20),
        joined: bool,
    ) {
        let mut decoder = if joined { Decoder::joined() } else { Decoder::new() };
        for block in blocks {
            let (fields, _) = fields(&mut decoder, &block);
            prop_assert!(fields.len() <= block.len());
            prop_assert!(decoder.size() <= TABLE_LIMIT as usize);
        }
    }
}
