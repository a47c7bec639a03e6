//! What all kernel objects need of the kernel: fields of its structures, and who a task is.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use hark_common::process::{ProcessKey, ProcessOffsets, Task};

/// `PF_KTHREAD` of `include/linux/sched.h`: the kernel's own thread.
pub const PF_KTHREAD: u32 = 0x0020_0000;

/// What a program that panics does. None does: the verifier would refuse it.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The licence of all objects, by which the kernel decides which helpers it gives them.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// A field of the object's `OFFSETS`. One at a time: a copy of them all costs more than what is done
/// with it.
#[macro_export]
macro_rules! offset {
    ($($name:ident).+) => {
        $crate::kernel::constant(&OFFSETS.$($name).+)
    };
}

/// A value that the agent writes before the program is loaded, which the compiler must not know
/// better than.
#[inline(always)]
pub fn constant(field: &'static u32) -> u32 {
    // SAFETY: a live static.
    unsafe { (&raw const *field).read_volatile() }
}

/// A field of type `T` at `offset` of the kernel object at `base`, a BTF pointer.
///
/// # Safety
///
/// `base` must be a pointer that the verifier knows the type of, and `offset` that of a field of
/// this size; the verifier refuses anything else.
#[inline(always)]
pub unsafe fn field<T: Copy>(base: *const c_void, offset: u32) -> T {
    // SAFETY: by the caller.
    unsafe {
        base.cast::<u8>()
            .add(offset as usize)
            .cast::<T>()
            .read_volatile()
    }
}

/// Adds to a value that other CPUs, and other programs on this one, add to as well.
///
/// # Safety
///
/// `value` must be aligned and lie in a map's value.
#[inline(always)]
pub unsafe fn add(value: *mut u64, n: u64) {
    // SAFETY: by the caller. Written out because the compiler offers no atomic addition for BPF,
    // which has no compare-and-swap in its first instruction set but has this.
    unsafe {
        core::arch::asm!(
            "lock *(u64 *)({value} + 0) += {n}",
            value = in(reg) value,
            n = in(reg) n,
            options(nostack),
        );
    }
}

/// Takes memory of a CPU, if no other program on it has it, one that was preempted for instance: `wanted`
/// is how many want it. To be given back with [`release`].
///
/// # Safety
///
/// As for [`add`].
#[inline(always)]
pub unsafe fn claim(wanted: *mut u64) -> bool {
    // SAFETY: by the caller. Whoever sees its own addition alone was first; two that see each other's
    // both let go.
    unsafe {
        add(wanted, 1);
        let first = wanted.read_volatile() == 1;
        if !first {
            release(wanted);
        }
        first
    }
}

/// Gives back what [`claim`] took.
///
/// # Safety
///
/// As for [`add`].
#[inline(always)]
pub unsafe fn release(wanted: *mut u64) {
    // SAFETY: by the caller.
    unsafe { add(wanted, u64::MAX) }
}

/// A field of any kernel object; zero if it cannot be read.
#[inline(always)]
pub fn probe<T: Copy + Default>(base: u64, offset: u32) -> T {
    let mut value = T::default();
    // SAFETY: the helper checks the source, and writes within `value`.
    unsafe {
        bpf_probe_read_kernel(
            (&raw mut value).cast(),
            size_of::<T>() as u32,
            base.wrapping_add(offset as u64) as *const c_void,
        );
    }
    value
}

/// `AF_INET` of `include/linux/socket.h`.
pub const AF_INET: u16 = 2;

/// One of the two addresses of an IPv4 or IPv6 socket: that of IPv4 in the first four bytes of
/// `to`, the rest of which stays. `v4` and `v6` are where its fields lie.
///
/// # Safety
///
/// `sk` must be a BTF pointer to a `sock`.
#[inline(always)]
pub unsafe fn address(
    sk: *const c_void,
    family: u16,
    v4: &'static u32,
    v6: &'static u32,
    to: &mut [u8; 16],
) {
    // SAFETY: by the caller; what is written is within the address.
    unsafe {
        if family == AF_INET {
            let word: u32 = field(sk, constant(v4));
            to.as_mut_ptr().cast::<u32>().write_unaligned(word);
        } else {
            let at = constant(v6);
            let words: [u64; 2] = [probe(sk as u64, at), probe(sk as u64, at + 8)];
            let to = to.as_mut_ptr().cast::<u64>();
            to.write_unaligned(words[0]);
            to.add(1).write_unaligned(words[1]);
        }
    }
}

/// Whether the task is the kernel's own: it belongs to no service.
///
/// # Safety
///
/// `task` must be a BTF pointer to a `task_struct`.
#[inline(always)]
pub unsafe fn is_kernel_thread(task: *const c_void, offsets: &'static ProcessOffsets) -> bool {
    // SAFETY: by the caller.
    unsafe { field::<u32>(task, constant(&offsets.task_flags)) & PF_KTHREAD != 0 }
}

/// The process that a task belongs to.
///
/// # Safety
///
/// `task` must be a BTF pointer to a `task_struct`.
#[inline(always)]
pub unsafe fn process_of(task: *const c_void, offsets: &'static ProcessOffsets) -> ProcessKey {
    // SAFETY: by the caller; a task's leader is never null, and a BTF pointer as well.
    unsafe {
        let leader: *const c_void = field(task, constant(&offsets.task_group_leader));
        ProcessKey {
            start_boottime_ns: field(leader, constant(&offsets.task_start_boottime)),
            pid: field(task, constant(&offsets.task_tgid)),
            exec_id: field(leader, constant(&offsets.task_self_exec_id)),
        }
    }
}

/// Says who a task is, for the agent to name a process that may be gone by then. `tid` stays 0: it
/// is about the process.
///
/// # Safety
///
/// `task` must be a BTF pointer to a `task_struct`.
#[inline(always)]
pub unsafe fn describe(
    to: &mut Task,
    key: ProcessKey,
    task: *const c_void,
    offsets: &'static ProcessOffsets,
) {
    // SAFETY: by the caller; the helper checks what it reads and writes within `comm`.
    unsafe {
        let leader: *const c_void = field(task, constant(&offsets.task_group_leader));
        bpf_probe_read_kernel(
            to.comm.as_mut_ptr().cast(),
            16,
            leader
                .cast::<u8>()
                .add(constant(&offsets.task_comm) as usize)
                .cast(),
        );
    }
    let set: u64 = probe(task as u64, constant(&offsets.task_cgroups));
    let cgroup: u64 = probe(set, constant(&offsets.css_set_dfl_cgrp));
    let node: u64 = probe(cgroup, constant(&offsets.cgroup_kn));
    to.process = key;
    to.cgroup_id = probe(node, constant(&offsets.kernfs_node_id));
    to.tid = 0;
    to.reserved = 0;
}
