use std::io::Cursor;

use proptest::prelude::*;

use super::*;
use crate::tls::exits::exits;
use crate::tls::points::{Unfit, of_bytes, of_elf};

/// Looked for in the program that these tests are.
#[unsafe(no_mangle)]
extern "C" fn hark_test_of_elf(n: u64) -> u64 {
    if n == 0 { 7 } else { std::hint::black_box(n) }
}

fn cache(bytes: Vec<u8>) -> ReadCache<Limited<Cursor<Vec<u8>>>> {
    ReadCache::new(Limited::new(Cursor::new(bytes)))
}

#[test]
fn a_function_of_this_program() {
    assert_eq!(hark_test_of_elf(3), 3);
    let file = File::open("/proc/self/exe").unwrap();
    let cache: Cache = ReadCache::new(Limited::new(file));
    let elf = Elf::open(&cache).unwrap();
    let [found, missing] = elf
        .functions(["hark_test_of_elf", "hark_test_of_nothing"])
        .unwrap();
    assert_eq!(missing, None);
    let found = found.unwrap();
    let exits = exits(found.address, |at| elf.code(at)).unwrap();
    let inside = found.address..found.address + found.size;
    assert!(exits.returns.iter().any(|at| inside.contains(at)));
    // What is read from the file is what runs.
    let code = elf.code(found.address);
    // SAFETY: the function's own bytes.
    let running = unsafe {
        std::slice::from_raw_parts(
            hark_test_of_elf as *const u8,
            found.size.try_into().unwrap(),
        )
    };
    assert_eq!(&code[..running.len()], running);
    assert!(elf.code(u64::MAX).is_empty() && elf.offset(0).is_none());
    // It may hold functions of TLS or not, but it is no Go program.
    let again = File::open("/proc/self/exe").unwrap();
    assert!(!matches!(of_elf(&elf, &again), Err(Unfit::Go(_))));
}

#[test]
fn no_more_is_read_than_the_limit() {
    let mut limited = Limited::new(Cursor::new(vec![0; 64]));
    limited.left = 40;
    let mut to = [0; 32];
    assert_eq!(Read::read(&mut limited, &mut to).unwrap(), 32);
    assert!(Read::read(&mut limited, &mut to).is_err());
}

#[test]
fn what_is_no_elf_file_is_said() {
    for bytes in [&b""[..], b"#!/bin/sh\n", b"\x7fELF", &[0; 4096]] {
        let cache = cache(bytes.to_vec());
        assert!(matches!(Elf::open(&cache), Err(ElfError::Malformed(_))));
    }
}

/// A small library with functions of TLS, whole.
fn small() -> Vec<u8> {
    include_bytes!("../../../../fuzz/corpus/tls_elf/openssl.so").to_vec()
}

proptest! {
    #[test]
    fn cut_or_changed_anywhere(
        cut in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..20),
    ) {
        let mut bytes = small();
        bytes.truncate(cut.index(bytes.len()) + 1);
        for (place, value) in changes {
            // Most changes to the tables at the front and the back matter.
            let len = bytes.len();
            bytes[place.index(len)] = value;
        }
        look(bytes);
    }

    #[test]
    fn headers_of_anything(header in prop::collection::vec(any::<u8>(), 58)) {
        let mut bytes = small();
        bytes[6..64].copy_from_slice(&header);
        look(bytes.clone());
        // With a machine that is right.
        bytes[18..20].copy_from_slice(&small()[18..20]);
        look(bytes);
    }
}

/// A header that promises more than there is, and a symbol that lies there.
#[test]
fn functions_behind_the_end() {
    look(include_bytes!("../../../../fuzz/corpus/tls_elf/functions-behind-the-end.so").to_vec());
}

/// Whatever is found lies in the file.
fn look(bytes: Vec<u8>) {
    let len = bytes.len() as u64;
    if let Ok(found) = of_bytes(&bytes) {
        assert!(found.points.iter().all(|point| point.offset < len));
    }
}
