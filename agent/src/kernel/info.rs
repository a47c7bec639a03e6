//! What the kernel knows of a loaded program: `BPF_OBJ_GET_INFO_BY_FD`.
//!
//! aya's `ProgramInfo` does not give these fields.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

/// Figures of one program since it was loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProgramFigures {
    /// Time spent in it, ns; 0 unless `kernel.bpf_stats_enabled` is on.
    pub run_time_ns: u64,
    /// Times it ran; 0 unless `kernel.bpf_stats_enabled` is on.
    pub run_count: u64,
    /// Times it was due and was skipped, because it was interrupted by itself on the same CPU.
    /// Events that nobody saw.
    pub recursion_misses: u64,
}

const BPF_OBJ_GET_INFO_BY_FD: libc::c_long = 15;
/// `struct bpf_prog_info` in `include/uapi/linux/bpf.h`; longer ones are cut, shorter zero-filled.
const INFO_SIZE: usize = 232;
const RUN_TIME_NS: usize = 192;
const RUN_COUNT: usize = 200;
const RECURSION_MISSES: usize = 208;

/// Asks the kernel for the figures of a program.
pub fn figures(program: BorrowedFd<'_>) -> io::Result<ProgramFigures> {
    #[repr(C, align(8))]
    struct Attr {
        fd: u32,
        len: u32,
        info: u64,
    }
    let mut info = [0u64; INFO_SIZE / 8];
    let attr = Attr {
        fd: program.as_raw_fd().cast_unsigned(),
        len: INFO_SIZE as u32,
        info: info.as_mut_ptr() as u64,
    };
    // SAFETY: the attribute names a buffer of the length it says, which outlives the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_OBJ_GET_INFO_BY_FD,
            &raw const attr,
            size_of::<Attr>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(ProgramFigures {
        run_time_ns: info[RUN_TIME_NS / 8],
        run_count: info[RUN_COUNT / 8],
        recursion_misses: info[RECURSION_MISSES / 8],
    })
}
