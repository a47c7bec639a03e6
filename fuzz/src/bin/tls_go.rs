//! Any bytes as a Go program's table of functions, and as its build information: where the functions
//! are, or why they cannot be found, in bounded time.
#![no_main]

use hark::tls::go::build_info;
use hark::tls::go::pclntab::Table;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = build_info::read(bytes, 0, Some);
    let Ok(table) = Table::open(bytes, 0, bytes.len() as u64) else {
        return;
    };
    let Ok(found) = table.functions(["crypto/tls.(*Conn).Read", "main.main"]) else {
        return;
    };
    let addresses = table.text().is_none();
    for function in found.into_iter().flatten() {
        assert!(addresses || function.address <= u64::from(u32::MAX));
        assert!(function.address.checked_add(function.size).is_some());
    }
});
