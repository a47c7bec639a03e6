use proptest::prelude::*;

use super::*;

/// A table with functions of these names, each 0x40 bytes long, one after the other.
fn table(form: Form, magic: u32, names: &[&str]) -> Vec<u8> {
    let width = if form == Form::Offsets { 4 } else { 8 };
    let mut texts = Vec::new();
    let places: Vec<usize> = names
        .iter()
        .map(|name| {
            let place = texts.len();
            texts.extend(name.as_bytes());
            texts.push(0);
            place
        })
        .collect();
    let entries = HEADER + texts.len();
    let begin = 0x1000 * u64::from(form == Form::Addresses);
    let mut bytes = Vec::new();
    let put = |bytes: &mut Vec<u8>, value: u64, width: usize| {
        bytes.extend(&value.to_le_bytes()[..width]);
    };
    put(&mut bytes, u64::from(magic), 4);
    bytes.extend([0, 0, 1, 8]);
    put(&mut bytes, names.len() as u64, 8);
    put(&mut bytes, 1, 8);
    if form == Form::Offsets {
        put(&mut bytes, 0x40_1000, 8);
    }
    put(&mut bytes, HEADER as u64, 8);
    for _ in 0..3 {
        put(&mut bytes, entries as u64, 8);
    }
    put(&mut bytes, entries as u64, 8);
    bytes.resize(HEADER, 0);
    bytes.extend(texts);
    let rows = (2 * names.len() + 1) * width;
    for k in 0..names.len() {
        put(&mut bytes, begin + 0x40 * k as u64, width);
        put(&mut bytes, (rows + k * 24) as u64, width);
    }
    put(&mut bytes, begin + 0x40 * names.len() as u64, width);
    for (k, place) in places.iter().enumerate() {
        let start = bytes.len();
        put(&mut bytes, begin + 0x40 * k as u64, width);
        put(&mut bytes, *place as u64, 4);
        bytes.resize(start + 24, 0);
    }
    bytes
}

const NAMES: [&str; 4] = ["a", "main.main", "main.mainly", "crypto/tls.(*Conn).Read"];

fn look(bytes: &[u8]) -> Result<[Option<Function>; 2], PclntabError> {
    Table::open(bytes, 0, bytes.len() as u64)?.functions(["crypto/tls.(*Conn).Read", "main.main"])
}

const FORMS: [(Form, u32); 3] = [
    (Form::Addresses, 0xffff_fffa),
    (Form::Offsets, 0xffff_fff0),
    (Form::Offsets, 0xffff_fff1),
];

#[test]
fn every_form_that_is_known() {
    for (form, magic) in FORMS {
        let begin = 0x1000 * u64::from(form == Form::Addresses);
        let is = |n: u64| {
            Some(Function {
                address: begin + 0x40 * n,
                size: 0x40,
            })
        };
        let bytes = table(form, magic, &NAMES);
        assert_eq!(look(&bytes), Ok([is(3), is(1)]));
        let text = Table::open(&bytes[..], 0, bytes.len() as u64)
            .unwrap()
            .text();
        assert_eq!(text, (form == Form::Offsets).then_some(0x40_1000));
    }
}

/// Names that begin in one window and end in the next, and one that is longer than a window.
#[test]
fn names_beyond_a_window() {
    let long = "x".repeat(3 * WINDOW / 2);
    for gap in 0..40 {
        let filler = "y".repeat(WINDOW - 20 + gap);
        let names = [&filler, "main.main", &long, "z", "crypto/tls.(*Conn).Read"];
        let found = look(&table(Form::Offsets, 0xffff_fff1, &names)).unwrap();
        assert_eq!(found.map(|f| f.unwrap().address), [4 * 0x40, 0x40], "{gap}");
    }
}

#[test]
fn what_is_none_is_said() {
    assert_eq!(look(b""), Err(PclntabError::Malformed));
    // Go 1.2 to 1.15.
    let old = table(Form::Addresses, 0xffff_fffb, &NAMES);
    assert_eq!(look(&old), Err(PclntabError::Unknown(0xffff_fffb)));
    let mut narrow = table(Form::Offsets, 0xffff_fff1, &NAMES);
    narrow[7] = 4;
    assert_eq!(look(&narrow), Err(PclntabError::Malformed));
    let mut many = table(Form::Offsets, 0xffff_fff1, &NAMES);
    many[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
    assert_eq!(look(&many), Err(PclntabError::TooLarge));
}

proptest! {
    #[test]
    fn cut_or_changed_anywhere(
        form in 0..FORMS.len(),
        cut in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
    ) {
        let (form, magic) = FORMS[form];
        let mut bytes = table(form, magic, &NAMES);
        let keep = cut.index(2 * bytes.len());
        bytes.truncate(keep.max(1));
        for (place, value) in changes {
            let len = bytes.len();
            bytes[place.index(len)] = value;
        }
        let _ = look(&bytes);
    }
}
