//! The process that sends or receives: who it is, and how the agent hears of it.

use super::*;

use core::hint::black_box;

use aya_ebpf::helpers::generated::{bpf_get_current_cgroup_id, bpf_get_current_comm};
use hark_common::socket::{ARGS_LIMIT, ENVIRON_LIMIT, MAX_PROCESSES, ProcessKey, ProcessRecord};
use hark_ebpf::kernel::{claim, release};

/// Processes that were introduced by a [`ProcessRecord`].
#[map]
static PROCESSES: LruHashMap<ProcessKey, u8> = LruHashMap::with_max_entries(MAX_PROCESSES, 0);
#[map]
static INTRODUCTION: PerCpuArray<Introduction> = PerCpuArray::with_max_entries(1, 0);

/// A record that is being made: too large for the stack.
#[repr(C)]
struct Introduction {
    /// How many want it: a probe of a TLS library may be preempted in here, and from Linux 7.0 on all.
    wanted: u64,
    record: ProcessRecord,
    /// The command line, and right behind it the environment.
    /// Twice as long as they may be, because that is what the mask in [`copy`] bounds them to.
    bytes: [u8; 2 * (ARGS_LIMIT + ENVIRON_LIMIT)],
}

/// Says who the current thread is.
#[inline(always)]
pub(super) fn who(to: &mut Task) {
    // SAFETY: helpers without preconditions; the task is a BTF pointer, as is what it points to.
    unsafe {
        let task: *const c_void = bpf_get_current_task_btf().cast_const().cast();
        let leader: *const c_void = field(task, offset!(task_group_leader));
        let pid_tgid = bpf_get_current_pid_tgid();
        to.process.start_boottime_ns = field(leader, offset!(task_start_boottime));
        to.process.pid = (pid_tgid >> 32) as u32;
        to.process.exec_id = field::<u32>(leader, offset!(task_self_exec_id));
        to.cgroup_id = bpf_get_current_cgroup_id();
        to.tid = pid_tgid as u32;
        to.reserved = 0;
        bpf_get_current_comm(to.comm.as_mut_ptr().cast(), 16);
    }
}

/// Sends command line and environment of a process that was not seen before, unless there is no
/// room or another program is at it, and wakes the agent, because the process may be gone in a moment.
#[inline(always)]
pub(super) fn introduce(task: &Task) -> bool {
    let key = task.process;
    // SAFETY: the value is not kept.
    if unsafe { PROCESSES.get(&key) }.is_some() {
        return true;
    }
    let Some(to) = INTRODUCTION.get_ptr_mut(0) else {
        return false;
    };
    // SAFETY: an aligned field of a map value.
    if !unsafe { claim(&raw mut (*to).wanted) } {
        return false;
    }
    let sent = send(task, to);
    // SAFETY: it was taken.
    unsafe { release(&raw mut (*to).wanted) };
    if sent {
        bump(Counter::RecordsSubmitted as u32, 1);
        let _ = PROCESSES.insert(&key, &1, 0);
    } else {
        bump(Counter::RecordsLost as u32, 1);
    }
    sent
}

/// Sends it by `to`, which was taken.
#[inline(always)]
fn send(task: &Task, to: *mut Introduction) -> bool {
    // SAFETY: this CPU's own slot, of the right size; helpers check what they read.
    unsafe {
        let current: u64 = bpf_get_current_task_btf() as u64;
        let mm: u64 = probe(current, offset!(task_mm));
        let bytes = (&raw mut (*to).bytes).cast::<u8>();
        let args_len = copy(
            bytes,
            ARGS_LIMIT as u64,
            probe(mm, offset!(mm_arg_start)),
            probe(mm, offset!(mm_arg_end)),
        );
        let environ_len = copy(
            bytes.add(args_len as usize),
            ENVIRON_LIMIT as u64,
            probe(mm, offset!(mm_env_start)),
            probe(mm, offset!(mm_env_end)),
        );
        let size = size_of::<ProcessRecord>() as u32 + args_len + environ_len;
        // Field by field: a whole record would lie on the stack first, which has little room.
        let record = &mut (*to).record;
        record.header.kind = RecordKind::Process as u32;
        record.header.size = size;
        record.header.time_ns = bpf_ktime_get_ns();
        record.header.socket = 0;
        record.task = *task;
        record.args_len = args_len;
        record.environ_len = environ_len;
        let map = (&raw const RECORDS).cast_mut().cast::<c_void>();
        bpf_ringbuf_output(map, (&raw mut *record).cast(), size as u64, FORCE_WAKEUP) == 0
    }
}

/// Copies at most `limit` bytes of the current task's memory from `start` to `end`. Returns how
/// many; none if the memory is not there.
///
/// # Safety
///
/// `to` must have room for twice `limit` bytes.
#[inline(always)]
unsafe fn copy(to: *mut u8, limit: u64, start: u64, end: u64) -> u32 {
    let mut len = end.wrapping_sub(start);
    if len > limit {
        len = limit;
    }
    // The verifier of Linux 6.1 believes a bound only from a mask, which the compiler must not see to
    // be of no effect.
    let len = (black_box(len) & (2 * limit - 1)) as u32;
    // SAFETY: by the caller; the helper checks the source.
    let read = unsafe { bpf_probe_read_user(to.cast(), len, start as *const c_void) == 0 };
    if read { len } else { 0 }
}
