//! Any bytes to the parsers of B3: both forms agree, and what is accepted is what they write.
#![no_main]

use hark::context::{Carrier, Format};

libfuzzer_sys::fuzz_target!(|value: &[u8]| {
    let mut carrier = Carrier::default();
    carrier.take("b3", value);
    let single = carrier.read(&[Format::B3]);
    let fields: Vec<&[u8]> = value.split(|byte| *byte == b'-').collect();
    let names = [
        "X-B3-TraceId",
        "X-B3-SpanId",
        "X-B3-Sampled",
        "X-B3-ParentSpanId",
    ];
    let mut carrier = Carrier::default();
    for (name, field) in names.into_iter().zip(&fields) {
        match (name, *field) {
            ("X-B3-Sampled", b"d") => carrier.take("X-B3-Flags", b"1"),
            _ => carrier.take(name, field),
        }
    }
    let multi = carrier.read(&[Format::B3Multi]);
    // `true` and `false` are words of the other form only.
    let old = matches!(fields.get(2), Some(&b"true" | &b"false"));
    if fields.len() <= names.len() && !old {
        assert_eq!(single, multi);
    }
    let Some(found) = single else { return };
    let context = found.context;
    let trace = format!("{:032x}", u128::from_be_bytes(context.trace_id));
    assert!(trace.as_bytes().ends_with(fields[0]) && trace != "0".repeat(32));
    let span = format!("{:016x}", u64::from_be_bytes(context.parent_id));
    assert_eq!(span.as_bytes(), fields[1]);
    assert_eq!(context.deferred, fields.len() == 2);
    assert!(context.flags <= 1);
});
