//! Any bytes to the parser of Jaeger's header: what is accepted are the numbers that it says.
#![no_main]

use hark::context::{Carrier, Format};

libfuzzer_sys::fuzz_target!(|value: &[u8]| {
    let mut carrier = Carrier::default();
    carrier.take("uber-trace-id", value);
    let Some(found) = carrier.read(&[Format::Jaeger]) else {
        return;
    };
    let context = found.context;
    let text = std::str::from_utf8(value).expect("digits and colons");
    let text = text.replace("%3A", ":").replace("%3a", ":");
    let fields: Vec<&str> = text.split(':').collect();
    assert_eq!(fields.len(), 4);
    let number = |digits: &str| u128::from_str_radix(digits, 16).expect("a number");
    assert_eq!(u128::from_be_bytes(context.trace_id), number(fields[0]));
    assert_eq!(
        u128::from(u64::from_be_bytes(context.parent_id)),
        number(fields[1])
    );
    assert_eq!(context.flags, u8::from(number(fields[3]) & 3 != 0));
    assert!(number(fields[0]) != 0 && number(fields[1]) != 0);
});
