//! Any bytes to the parsers of `traceparent` and `tracestate`: what is accepted is what the
//! recommendation's grammar, read the other way round, writes, and nothing else.
#![no_main]

use hark::context::tracestate::{LENGTH_LIMIT, MEMBER_LIMIT};
use hark::context::{Carrier, Format};

libfuzzer_sys::fuzz_target!(|input: (&[u8], Vec<&[u8]>)| {
    let (value, states) = input;
    let mut carrier = Carrier::default();
    carrier.take("traceparent", value);
    for state in &states {
        carrier.take("tracestate", state);
    }
    let Some(found) = carrier.read(&[Format::W3c]) else {
        return;
    };
    let context = found.context;
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
    let Some(state) = found.tracestate else {
        return;
    };
    assert!(state.len() <= LENGTH_LIMIT && state.is_ascii());
    let members: Vec<&str> = state.split(',').collect();
    assert!(members.len() <= MEMBER_LIMIT);
    let given = states.join(&b',');
    for member in members {
        assert_eq!(member.matches('=').count(), 1, "{member}");
        let is_given = given
            .windows(member.len())
            .any(|window| window == member.as_bytes());
        assert!(is_given, "{member} was made up");
    }
    // What was accepted is accepted again, as it is.
    let mut again = Carrier::default();
    again.take("traceparent", value);
    again.take("tracestate", state.as_bytes());
    let again = again
        .read(&[Format::W3c])
        .and_then(|found| found.tracestate);
    assert_eq!(again.as_deref(), Some(state.as_str()));
});
