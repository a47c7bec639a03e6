//! Any bytes to the parser of X-Ray's header: what is accepted is in it.
#![no_main]

use hark::context::{Carrier, Format};

libfuzzer_sys::fuzz_target!(|value: &[u8]| {
    let mut carrier = Carrier::default();
    carrier.take("x-amzn-trace-id", value);
    let Some(found) = carrier.read(&[Format::XRay]) else {
        return;
    };
    let context = found.context;
    let mut fields = value.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let id = format!("{:032x}", u128::from_be_bytes(context.trace_id));
    let root = format!("Root=1-{}-{}", &id[..8], &id[8..]);
    assert!(fields.clone().any(|field| field == root.as_bytes()));
    let parent = format!("Parent={:016x}", u64::from_be_bytes(context.parent_id));
    let has_parent = fields.clone().any(|field| field.starts_with(b"Parent="));
    assert_eq!(has_parent, context.parent_id != [0; 8]);
    assert!(!has_parent || fields.clone().any(|field| field == parent.as_bytes()));
    assert_eq!(
        context.flags == 1,
        fields.any(|field| field == b"Sampled=1")
    );
});
