//! Where the bytes of a message are: the caller's buffer, by the registers of its system call.

use super::*;

use hark_common::offsets::MACHINE_AARCH64;

const MSG_TRUNC: i32 = 0x20;

/// An event whose bytes are only counted.
#[inline(always)]
pub(super) fn nowhere(event: &mut Event) {
    event.readable = 0;
    event.segment = 0;
    event.segment_left = event.left;
    event.vector = 0;
    event.vector_left = 0;
    event.at = 0;
    event.end = 0;
    event.described = 0;
    event.unreadable_as = Counter::UnreadableSyscall as u8;
}

/// Finds the caller's buffer, and sets `event` to its first segment.
#[inline(always)]
pub(super) fn locate(event: &mut Event, sk: *const c_void, flags: i32) {
    nowhere(event);
    if flags & MSG_TRUNC != 0 {
        return;
    }
    // SAFETY: the helpers give BTF pointers; user memory is read by a helper that checks it.
    unsafe {
        let task: *mut task_struct = bpf_get_current_task_btf();
        let regs = bpf_task_pt_regs(task) as *const c_void;
        let syscall = field::<u64>(regs, offset!(regs_syscall)) as u32;
        let fd: u64 = field(regs, offset!(regs_arg0));
        let at: u64 = field(regs, offset!(regs_arg1));
        let count: u64 = field(regs, offset!(regs_arg2));
        let mode: u64 = field(regs, offset!(regs_mode));
        if is_compat(offset!(machine), mode) {
            event.unreadable_as = Counter::UnreadableCompat as u8;
            return;
        }
        let buffer = buffer_of(offset!(machine), syscall);
        match buffer {
            Buffer::None => return,
            Buffer::Ring => {
                event.unreadable_as = Counter::UnreadableForeign as u8;
                return;
            }
            Buffer::Plain | Buffer::Vector | Buffer::Message => {}
        }
        if !is_our_call(task.cast_const().cast(), fd, sk) {
            event.unreadable_as = Counter::UnreadableForeign as u8;
            return;
        }
        match buffer {
            Buffer::Plain => {
                event.segment = at;
                event.readable = 1;
            }
            Buffer::Vector => {
                event.vector = at;
                event.vector_left = count as u32;
                event.segment_left = 0;
                event.readable = 1;
            }
            Buffer::Message => {
                // struct user_msghdr: msg_iov at 16, msg_iovlen at 24.
                let to = (&raw mut event.iovec).cast();
                if bpf_probe_read_user(to, 16, (at + 16) as *const c_void) != 0 {
                    event.unreadable_as = Counter::UnreadableFault as u8;
                    return;
                }
                let [vector, count] = event.iovec;
                event.vector = vector;
                event.vector_left = count as u32;
                event.segment_left = 0;
                event.readable = 1;
            }
            Buffer::None | Buffer::Ring => {}
        }
    }
}

/// System calls whose first argument is the socket and whose second says where the bytes are.
enum Buffer {
    /// The second argument is the buffer.
    Plain,
    /// It is an array of `struct iovec`, the third argument its length.
    Vector,
    /// It is a `struct msghdr`.
    Message,
    /// There is no buffer, or it is not known.
    None,
    /// `io_uring_enter`.
    Ring,
}

/// System call numbers of `arch/x86/entry/syscalls/syscall_64.tbl` and
/// `include/uapi/asm-generic/unistd.h`.
#[inline(always)]
fn buffer_of(machine: u32, syscall: u32) -> Buffer {
    if machine == MACHINE_AARCH64 {
        return match syscall {
            // read, write, sendto, recvfrom
            63 | 64 | 206 | 207 => Buffer::Plain,
            // readv, writev, preadv2, pwritev2
            65 | 66 | 286 | 287 => Buffer::Vector,
            // sendmsg, recvmsg
            211 | 212 => Buffer::Message,
            426 => Buffer::Ring,
            _ => Buffer::None,
        };
    }
    match syscall {
        // read, write, sendto, recvfrom
        0 | 1 | 44 | 45 => Buffer::Plain,
        // readv, writev, preadv2, pwritev2
        19 | 20 | 327 | 328 => Buffer::Vector,
        // sendmsg, recvmsg
        46 | 47 => Buffer::Message,
        426 => Buffer::Ring,
        _ => Buffer::None,
    }
}

/// Whether the task runs 32-bit code: its structures have another layout.
#[inline(always)]
fn is_compat(machine: u32, mode: u64) -> bool {
    if machine == MACHINE_AARCH64 {
        // PSR_MODE32_BIT
        mode & 0x10 != 0
    } else {
        // __USER_CS is 0x33 for 64-bit code, 0x23 for 32-bit code.
        mode & 0xffff != 0x33
    }
}

/// Whether the file behind descriptor `fd` of the current task is the socket's. An `io_uring`
/// receive completes inside whatever system call the thread is in, and the registers then
/// describe that call.
///
/// # Safety
///
/// `task` and `sk` must be BTF pointers.
#[inline(always)]
pub(super) unsafe fn is_our_call(task: *const c_void, fd: u64, sk: *const c_void) -> bool {
    // SAFETY: fields of BTF pointers, and of what they point to.
    unsafe {
        let files: *const c_void = field(task, offset!(task_files));
        if files.is_null() {
            return false;
        }
        let fdt: *const c_void = field(files, offset!(files_fdt));
        if fdt.is_null() {
            return false;
        }
        let max: u32 = field(fdt, offset!(fdtable_max_fds));
        let table: u64 = field(fdt, offset!(fdtable_fd));
        let fd = fd as u32;
        if fd >= max {
            return false;
        }
        let socket: *const c_void = field(sk, offset!(sock_socket));
        if socket.is_null() {
            return false;
        }
        let file: u64 = field(socket, offset!(socket_file));
        file != 0 && probe::<u64>(table.wrapping_add(fd as u64 * 8), 0) == file
    }
}
