use super::*;
use proptest::prelude::*;

/// `code` at address `0x1000`.
fn of(code: &[u8]) -> Result<Exits, ExitsError> {
    exits(0x1000, |at| {
        at.checked_sub(0x1000)
            .and_then(|skip| code.get(usize::try_from(skip).ok()?..))
            .unwrap_or(&[])
    })
}

#[cfg(target_arch = "x86_64")]
#[test]
fn every_branch_is_followed() {
    // test edi,edi; je +1; ret; ret
    let found = of(&[0x85, 0xff, 0x74, 0x01, 0xc3, 0xc3]).unwrap();
    assert_eq!(found.returns, [0x1004, 0x1005]);
    assert_eq!(found.indirect, 0);
    // jmp +1; (never) ret; ret 8
    let found = of(&[0xeb, 0x01, 0xc3, 0xc2, 0x08, 0x00]).unwrap();
    assert_eq!(found.returns, [0x1003]);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_byte_that_looks_like_a_return_is_none() {
    // mov eax,0xc3c3c3c3; ret
    let found = of(&[0xb8, 0xc3, 0xc3, 0xc3, 0xc3, 0xc3]).unwrap();
    assert_eq!(found.returns, [0x1005]);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn what_cannot_be_followed_is_said() {
    // jmp *rax
    assert_eq!(of(&[0xff, 0xe0]), Err(ExitsError::NoReturn));
    // jmp to itself
    assert_eq!(of(&[0xeb, 0xfe]), Err(ExitsError::NoReturn));
    // The file ends.
    assert_eq!(of(&[0x90]), Err(ExitsError::Undecodable));
    assert_eq!(of(&[]), Err(ExitsError::Undecodable));
    // je +2; jmp *rax; ret
    let found = of(&[0x74, 0x02, 0xff, 0xe0, 0xc3]).unwrap();
    assert_eq!((found.returns, found.indirect), (vec![0x1004], 1));
    // A jump out of the file.
    assert_eq!(
        of(&[0xe9, 0xff, 0xff, 0xff, 0x7f]),
        Err(ExitsError::Undecodable)
    );
}

#[cfg(target_arch = "x86_64")]
#[test]
fn too_long_is_said() {
    let code = vec![0x90; INSTRUCTION_LIMIT + 10];
    assert_eq!(of(&code), Err(ExitsError::TooLong));
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_probe_stands_behind_what_marks_an_entry() {
    let entry = [
        0xf3, 0x0f, 0x1e, 0xfa, 0x0f, 0x1f, 0x44, 0x00, 0x00, 0x55, 0xc3,
    ];
    assert_eq!(past_marks(0x40, &entry), 0x49);
    assert_eq!(past_marks(0x40, &entry[4..]), 0x45);
    assert_eq!(past_marks(0x40, &entry[9..]), 0x40);
    assert_eq!(past_marks(0x40, &[]), 0x40);
}

/// The words are those of GNU as.
#[test]
fn branches_of_aarch64() {
    for (word, flow) in [
        (0xd65f_03c0, Flow::Return),         // ret
        (0xd65f_0bff, Flow::Return),         // retaa
        (0x1400_0002, Flow::Jump(0x1008)),   // b .+8
        (0x17ff_ffff, Flow::Jump(0xffc)),    // b .-4
        (0x5400_0040, Flow::Branch(0x1008)), // b.eq .+8
        (0xb400_0040, Flow::Branch(0x1008)), // cbz x0, .+8
        (0x35ff_ffe0, Flow::Branch(0xffc)),  // cbnz w0, .-4
        (0x3600_0040, Flow::Branch(0x1008)), // tbz w0, #0, .+8
        (0xd61f_0200, Flow::Indirect),       // br x16
        (0xd63f_0200, Flow::Next),           // blr x16
        (0x9400_0010, Flow::Next),           // bl
        (0x0000_0000, Flow::End),            // udf #0
        (0xd420_0000, Flow::End),            // brk #0
        (0xa9bf_7bfd, Flow::Next),           // stp x29, x30, [sp, #-16]!
    ] {
        assert_eq!(decode_aarch64(word, 0x1000), flow, "{word:#x}");
    }
}

proptest! {
    #[test]
    fn anything_at_all(code in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(found) = of(&code) {
            prop_assert!(!found.returns.is_empty());
            for at in found.returns {
                let at = usize::try_from(at - 0x1000).unwrap();
                prop_assert!(at < code.len());
            }
        }
    }
}
