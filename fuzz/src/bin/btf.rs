//! Any bytes as a kernel's type information: an answer or an error for every question that the
//! agent asks of it, in bounded time.
#![no_main]

use hark::kernel::btf::Btf;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(btf) = Btf::parse(bytes.to_vec()) else {
        return;
    };
    // The names that the seeds have, so that the questions lead somewhere.
    for (of, path) in [
        ("outer", "inner"),
        ("outer", "inner.x"),
        ("outer", "missing"),
        ("leaf", "x"),
        ("", ""),
    ] {
        let _ = btf.offset_of(of, path);
    }
    let _ = btf.tracepoint_args("ev");
    let _ = btf.has_function("ev");
    let _ = btf.enumeration("small");
});
