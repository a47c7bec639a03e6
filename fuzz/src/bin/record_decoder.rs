//! Any bytes to the decoder of records: no panic, and what it accepts survives being written down.
#![no_main]

use hark::record::{decode, encode};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(record) = decode(bytes) else { return };
    let mut written = Vec::new();
    encode(&record, &mut written);
    assert_eq!(decode(&written), Ok(record));
});
