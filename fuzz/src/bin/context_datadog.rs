//! Any bytes to the parser of Datadog's headers: what is accepted are the numbers that they say.
#![no_main]

use hark::context::{Carrier, Format};

libfuzzer_sys::fuzz_target!(|input: (&[u8], &[u8], &[u8], &[u8])| {
    let (trace, parent, priority, tags) = input;
    let mut carrier = Carrier::default();
    carrier.take("x-datadog-trace-id", trace);
    carrier.take("x-datadog-parent-id", parent);
    carrier.take("x-datadog-sampling-priority", priority);
    carrier.take("x-datadog-tags", tags);
    let Some(found) = carrier.read(&[Format::Datadog]) else {
        return;
    };
    let context = found.context;
    let number = |digits: &[u8]| -> u64 {
        assert!(digits.iter().all(u8::is_ascii_digit));
        let digits = std::str::from_utf8(digits).expect("digits");
        digits.parse().expect("a number of 64 bits")
    };
    let [high @ .., _, _, _, _, _, _, _, _] = context.trace_id;
    let [_, _, _, _, _, _, _, _, low @ ..] = context.trace_id;
    assert_eq!(u64::from_be_bytes(low), number(trace));
    assert_eq!(u64::from_be_bytes(context.parent_id), number(parent));
    if high != [0; 8] {
        let written = format!("_dd.p.tid={:016x}", u64::from_be_bytes(high));
        let mut tags = tags.split(|byte| *byte == b',');
        assert!(tags.any(|tag| tag == written.as_bytes()));
    }
    assert_eq!(context.flags == 1, matches!(priority, b"1" | b"2"));
});
