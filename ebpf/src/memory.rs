//! Kernel programs of the memory: how long tasks stand still to free pages, and whom the kernel
//! kills when there are none.
//!
//! A task that finds no free page frees some itself before it goes on (direct reclaim); one whose
//! cgroup is at its limit does so within the cgroup. Both are rare where all is well, and none of
//! these programs runs otherwise.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(target_arch = "bpf")]
mod kernel {
    use core::ffi::c_void;
    use core::mem::zeroed;

    use aya_ebpf::helpers::generated::{
        bpf_get_current_pid_tgid, bpf_get_current_task_btf, bpf_ktime_get_ns,
    };
    use aya_ebpf::macros::{btf_tracepoint, map};
    use aya_ebpf::maps::{HashMap, LruHashMap, PerCpuArray};
    use aya_ebpf::programs::BtfTracePointContext;
    use hark_common::memory::{
        MAX_PROCESSES, MemoryCounter, MemoryOffsets, MemoryStalls, MemoryTally,
    };
    use hark_common::process::ProcessKey;
    use hark_ebpf::histogram::observe;
    use hark_ebpf::kernel::{describe, is_kernel_thread, process_of};
    use hark_ebpf::maps::{count, of_process};

    /// Where this kernel's fields lie.
    #[unsafe(no_mangle)]
    // SAFETY: integers, for which zero is a value.
    static OFFSETS: MemoryOffsets = unsafe { zeroed() };

    // All maps are made in full at once: these programs run when there is no memory to be had.

    /// When the stall began that a thread is in, by thread id. A thread is in one at a time. What is
    /// left of a beginning whose end was not seen makes room when it is needed. The agent sets the
    /// size by the number of CPUs.
    #[map]
    static STALLED: LruHashMap<u32, u64> = LruHashMap::with_max_entries(4096, 0);
    /// By process. The agent removes those that are gone.
    #[map]
    static PROCESSES: HashMap<ProcessKey, MemoryTally> =
        HashMap::with_max_entries(MAX_PROCESSES, 0);
    #[map]
    static STALLS: PerCpuArray<MemoryStalls> = PerCpuArray::with_max_entries(1, 0);
    #[map]
    static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(MemoryCounter::COUNT, 0);
    /// A new entry of `PROCESSES`, for its size; one per program, because from Linux 7.0 on one
    /// program may be interrupted by another on the same CPU, but none by itself.
    #[map]
    static FRESH: PerCpuArray<MemoryTally> = PerCpuArray::with_max_entries(3, 0);

    /// Slots of [`FRESH`].
    const DIRECT: u32 = 0;
    const CGROUP: u32 = 1;
    const VICTIM: u32 = 2;

    /// The tally of a task's process; makes one if there is none.
    ///
    /// # Safety
    ///
    /// `task` must be a BTF pointer to a `task_struct`; `slot` the calling program's own.
    #[inline(always)]
    unsafe fn tally(task: *const c_void, slot: u32) -> Option<*mut MemoryTally> {
        // SAFETY: by the caller.
        let key = unsafe { process_of(task, &OFFSETS.process) };
        let tally = of_process(&PROCESSES, &key, (&FRESH, slot), |fresh| {
            // SAFETY: this CPU's and this program's own slot; the task by the caller.
            unsafe { describe(&mut (*fresh).task, key, task, &OFFSETS.process) }
        });
        if tally.is_none() {
            count(&COUNTERS, MemoryCounter::ProcessesFull as u32);
        }
        tally
    }

    #[inline(always)]
    fn begin() {
        // SAFETY: helpers without preconditions.
        let (tid, now) = unsafe { (bpf_get_current_pid_tgid() as u32, bpf_ktime_get_ns()) };
        if STALLED.insert(&tid, &now, 0).is_err() {
            count(&COUNTERS, MemoryCounter::Unpaired as u32);
        }
    }

    #[inline(always)]
    fn end(slot: u32) {
        // SAFETY: helpers without preconditions.
        let (tid, now) = unsafe { (bpf_get_current_pid_tgid() as u32, bpf_ktime_get_ns()) };
        // SAFETY: the value is copied; no other thread has this key.
        let Some(began) = unsafe { STALLED.get(&tid) }.copied() else {
            count(&COUNTERS, MemoryCounter::Unpaired as u32);
            return;
        };
        let _ = STALLED.remove(&tid);
        let took = now.saturating_sub(began);
        if let Some(stalls) = STALLS.get_ptr_mut(0) {
            // SAFETY: a slot of a live map.
            unsafe {
                let histogram = if slot == DIRECT {
                    &raw mut (*stalls).direct
                } else {
                    &raw mut (*stalls).cgroup
                };
                observe(histogram, took);
            }
        }
        // SAFETY: the running task is a BTF pointer; the slot is the caller's.
        unsafe {
            let task: *const c_void = bpf_get_current_task_btf().cast_const().cast();
            if is_kernel_thread(task, &OFFSETS.process) {
                return;
            }
            if let Some(tally) = tally(task, slot) {
                let histogram = if slot == DIRECT {
                    &raw mut (*tally).direct
                } else {
                    &raw mut (*tally).cgroup
                };
                observe(histogram, took);
            }
        }
    }

    /// `trace_mm_vmscan_direct_reclaim_begin(int order, gfp_t gfp_flags)`, mm/vmscan.c; no argument
    /// is read, they differ between kernels.
    #[btf_tracepoint(function = "mm_vmscan_direct_reclaim_begin")]
    fn mm_vmscan_direct_reclaim_begin(_: BtfTracePointContext) -> i32 {
        begin();
        0
    }

    /// `trace_mm_vmscan_direct_reclaim_end(unsigned long nr_reclaimed)`, mm/vmscan.c.
    #[btf_tracepoint(function = "mm_vmscan_direct_reclaim_end")]
    fn mm_vmscan_direct_reclaim_end(_: BtfTracePointContext) -> i32 {
        end(DIRECT);
        0
    }

    /// `trace_mm_vmscan_memcg_reclaim_begin(int order, gfp_t gfp_flags)`, mm/vmscan.c.
    #[btf_tracepoint(function = "mm_vmscan_memcg_reclaim_begin")]
    fn mm_vmscan_memcg_reclaim_begin(_: BtfTracePointContext) -> i32 {
        begin();
        0
    }

    /// `trace_mm_vmscan_memcg_reclaim_end(unsigned long nr_reclaimed)`, mm/vmscan.c.
    #[btf_tracepoint(function = "mm_vmscan_memcg_reclaim_end")]
    fn mm_vmscan_memcg_reclaim_end(_: BtfTracePointContext) -> i32 {
        end(CGROUP);
        0
    }

    /// `trace_mark_victim(struct task_struct *task, uid_t uid)`, mm/oom_kill.c, Linux 6.8. Before,
    /// the argument was a number that may belong to another process by the time it is looked at. A
    /// process may be marked more than once, by several of its threads; it dies once.
    #[btf_tracepoint(function = "mark_victim")]
    fn mark_victim(ctx: BtfTracePointContext) -> i32 {
        let task: *const c_void = ctx.arg(0);
        // SAFETY: the tracepoint's argument is a BTF pointer; the slot is this program's.
        unsafe {
            if let Some(tally) = tally(task, VICTIM) {
                (&raw mut (*tally).killed).write_volatile(1);
            }
        }
        0
    }
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}
