//! Any bytes as a program or library: the places for probes, or why there are none, in bounded time.
#![no_main]

use std::collections::HashSet;

use hark::tls::points::{Place, of_bytes};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(found) = of_bytes(bytes) else {
        return;
    };
    let mut returns = HashSet::new();
    for point in &found.points {
        // In the file, and no place twice.
        assert!(usize::try_from(point.offset).is_ok_and(|at| at < bytes.len()));
        if point.place == Place::Return {
            assert!(returns.insert(point.offset));
        }
    }
});
