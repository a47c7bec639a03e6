//! Any bytes as the beginning of a TLS stream.
#![no_main]

use hark::tls::hello::read;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some(hello) = read(bytes) else { return };
    for text in [hello.server_name, hello.protocols].into_iter().flatten() {
        assert!(!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()));
    }
});
