use super::*;

/// A library with three functions, of some two kilobytes: two comparisons and two returns in
/// `SSL_read` (at 0x210), two comparisons and three returns in `SSL_write` (0x230), `SSL_free`
/// (0x260). It is mapped as it lies in the file.
#[cfg(target_arch = "x86_64")]
const SMALL: &[u8] = include_bytes!("../../../../fuzz/corpus/tls_elf/openssl.so");

#[cfg(target_arch = "x86_64")]
#[test]
fn entries_and_returns_of_a_library() {
    let found = of_bytes(SMALL).unwrap();
    assert_eq!(found.library, Library::OpenSsl);
    let read = cookie(Function::Read, Library::OpenSsl);
    let write = cookie(Function::Write, Library::OpenSsl);
    let free = cookie(Function::Free, Library::OpenSsl);
    let is = |place, offset, cookie| Point {
        place,
        offset,
        cookie,
    };
    // By objdump.
    let want = [
        is(Place::Return, 0x217, read),
        is(Place::Return, 0x225, read),
        is(Place::Return, 0x23d, write),
        is(Place::Return, 0x245, write),
        is(Place::Return, 0x252, write),
        is(Place::Entry, 0x210, read),
        is(Place::Entry, 0x230, write),
        is(Place::Entry, 0x260, free),
    ];
    assert_eq!(found.points, want);
}

#[test]
fn a_program_without_tls_is_said() {
    let error = points(File::open("/bin/true").unwrap()).unwrap_err();
    assert!(matches!(error, Unfit::NoLibrary), "{error}");
}
