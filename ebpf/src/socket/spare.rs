//! Spare programs, for events that the kernel does not hand to the first ones.
//!
//! From Linux 7.0 on a program at a tracepoint may be preempted. Until it goes on, the kernel skips it for
//! all other tasks of that CPU (`prog->active`), and their events would be lost. A second program at the
//! same tracepoint runs next, and takes those that the first has not had. Only if both are preempted on
//! one CPU an event is lost, and counted.

use super::*;

use hark_ebpf::task_storage::TaskStorage;

/// Whether there are spares.
#[unsafe(no_mangle)]
static SPARES: Global<u32> = Global::new(0);

/// 1: the first program has had the event that this task is in.
#[btf_map]
static HAD: TaskStorage<u32> = TaskStorage::new();

/// The current task's; null without memory.
#[inline(always)]
fn had() -> *mut u32 {
    // SAFETY: a helper without preconditions, which gives a BTF pointer.
    unsafe {
        let task: *mut task_struct = bpf_get_current_task_btf();
        HAD.of(task.cast())
    }
}

/// Whether the first program takes the event. It leaves it to the spare, and counts that, if it cannot
/// note that it had it: the spare would take it again. There may be no memory for the note, and while
/// another task of the CPU was preempted in the making of its own, the kernel makes none.
#[inline(always)]
pub(super) fn have(counter: Counter) -> bool {
    if SPARES.load() == 0 {
        return true;
    }
    // SAFETY: the task's own, and nobody else's, if there is one.
    let Some(had) = (unsafe { had().as_mut() }) else {
        bump(counter as u32, 1);
        return false;
    };
    *had = 1;
    true
}

/// Whether the spare takes the event, which it counts then.
#[inline(always)]
fn take(counter: Counter) -> bool {
    // SAFETY: as in `have`.
    let Some(had) = (unsafe { had().as_mut() }) else {
        return false;
    };
    if *had != 0 {
        *had = 0;
        return false;
    }
    bump(counter as u32, 1);
    true
}

/// As `sock_send_length`.
#[btf_tracepoint(function = "spare_sock_send_length")]
fn spare_sock_send_length(ctx: BtfTracePointContext) -> i32 {
    if take(Counter::SpareSent) {
        on_message(ctx.arg(0), ctx.arg(1), ctx.arg(2), TX, slot::SEND_SPARE);
    }
    0
}

/// As `sock_recv_length`.
#[btf_tracepoint(function = "spare_sock_recv_length")]
fn spare_sock_recv_length(ctx: BtfTracePointContext) -> i32 {
    if take(Counter::SpareReceived) {
        on_message(ctx.arg(0), ctx.arg(1), ctx.arg(2), RX, slot::RECV_SPARE);
    }
    0
}
