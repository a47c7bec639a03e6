//! Any bytes to the parser of `traceparent`: it accepts what the recommendation's grammar, read the
//! other way round, writes, and nothing else.
#![no_main]

use hark::otlp::traceparent::parse;

libfuzzer_sys::fuzz_target!(|value: &[u8]| {
    let Some(context) = parse(value) else { return };
    let written = format!(
        "-{:032x}-{:016x}-{:02x}",
        u128::from_be_bytes(context.trace_id),
        u64::from_be_bytes(context.parent_id),
        context.flags
    );
    assert_eq!(&value[2..55], written.as_bytes());
    assert_ne!(context.trace_id, [0; 16]);
    assert_ne!(context.parent_id, [0; 8]);
    assert_ne!(&value[..2], b"ff");
    let digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    assert!(value[..2].iter().all(digit));
    match value.get(55) {
        None => {}
        Some(b'-') => assert_ne!(&value[..2], b"00"),
        Some(other) => panic!("{other} behind the flags was accepted"),
    }
});
