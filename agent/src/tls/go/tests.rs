use super::*;

#[test]
fn the_look_at_the_stack_is_passed_over() {
    // cmp rsp,[r14+16]; jbe near; push rbp
    let small = [
        0x49, 0x3b, 0x66, 0x10, 0x0f, 0x86, 0x7a, 0x03, 0, 0, 0x55, 0xc3,
    ];
    assert_eq!(prologue_x86_64(&small), Some(10));
    // lea r12,[rsp-0x48]; cmp r12,[r14+16]; jbe short
    let middle = [
        0x4c, 0x8d, 0x64, 0x24, 0xb8, 0x4d, 0x3b, 0x66, 0x10, 0x76, 0x20, 0x55,
    ];
    assert_eq!(prologue_x86_64(&middle), Some(11));
    // lea r12,[rsp-0x190]; cmp r12,[r14+16]; jbe near
    let large = [
        0x4c, 0x8d, 0xa4, 0x24, 0x70, 0xfe, 0xff, 0xff, 0x4d, 0x3b, 0x66, 0x10, 0x0f, 0x86, 0, 0,
        0, 0, 0x55,
    ];
    assert_eq!(prologue_x86_64(&large), Some(18));
    // mov rcx,fs:[-8]; cmp rsp,[rcx+16]: arguments on the stack, Go 1.16
    let old = [
        0x64, 0x48, 0x8b, 0x0c, 0x25, 0xf8, 0xff, 0xff, 0xff, 0x48, 0x3b, 0x61, 0x10, 0x76, 0x20,
    ];
    for code in [&old[..], &[], &small[..4], &small[..3], &[0x55, 0xc3]] {
        assert_eq!(prologue_x86_64(code), None);
    }
}

/// The words are those of Go's own assembler.
#[test]
fn the_look_at_the_stack_on_aarch64() {
    let code = |words: &[u32]| -> Vec<u8> { words.iter().flat_map(|w| w.to_le_bytes()).collect() };
    let small = code(&[0xf940_0b90, 0xeb30_63ff, 0x5400_1909, 0xf819_0ffe]);
    assert_eq!(prologue_aarch64(&small), Some(12));
    let large = code(&[0xf940_0b90, 0xd104_c3f1, 0xeb10_023f, 0x5400_0a69]);
    assert_eq!(prologue_aarch64(&large), Some(16));
    for words in [
        &[][..],
        &[0xf940_0b90],
        &[0xf940_0b90, 0xeb30_63ff, 0x1400_0001],
        &[0xf819_0ffe, 0xeb30_63ff, 0x5400_1909],
        &[0xf940_0b90, 0xd104_c3f1, 0x5400_0a69, 0x5400_0a69],
    ] {
        assert_eq!(prologue_aarch64(&code(words)), None);
    }
}
