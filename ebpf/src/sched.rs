//! Kernel programs of the scheduler: how long each thread waited for a CPU, and how long it had one.
//!
//! One BTF tracepoint, and no measuring: the kernel itself adds up, per thread, the waits
//! (`sched_info.run_delay`), the times it got onto a CPU (`sched_info.pcount`), its time on it
//! (`se.sum_exec_runtime`) and its involuntary switches (`nivcsw`). When a thread leaves a CPU all
//! four are complete for the run that ends, so what each has gained since the thread last left one
//! is one wait and one run. A wait that moved from the queue of one CPU to that of another is
//! complete too, which time stamps of wake-ups would not give.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(target_arch = "bpf")]
mod kernel {
    use core::ffi::c_void;
    use core::mem::zeroed;

    use aya_ebpf::macros::{btf_map, btf_tracepoint, map};
    use aya_ebpf::maps::{Array, HashMap, PerCpuArray};
    use aya_ebpf::programs::BtfTracePointContext;
    use hark_common::process::ProcessKey;
    use hark_common::sched::{MAX_PROCESSES, SchedCounter, SchedHost, SchedOffsets, SchedTally};
    use hark_ebpf::histogram::{self, bucket, within};
    use hark_ebpf::kernel::{PF_KTHREAD, add, describe, field, process_of};
    use hark_ebpf::maps::of_process;
    use hark_ebpf::offset;
    use hark_ebpf::task_storage::TaskStorage;

    /// `PF_EXITING` of `include/linux/sched.h`.
    const PF_EXITING: u32 = 0x4;

    /// Where this kernel's fields lie.
    #[unsafe(no_mangle)]
    // SAFETY: integers, for which zero is a value.
    static OFFSETS: SchedOffsets = unsafe { zeroed() };

    /// The kernel's sums for a thread, as they were when it last left a CPU.
    #[repr(C)]
    struct Left {
        pcount: u64,
        run_delay: u64,
        runtime: u64,
        nivcsw: u64,
        /// The process that it belonged to then; the pid is 0 until it is known.
        process: ProcessKey,
        /// Not 0 once the rest is filled in.
        seen: u64,
    }

    /// When the agent began to watch: `CLOCK_BOOTTIME`, ns; 0 until it does. What a thread has from
    /// before is left out; of one that was started later, all counts. No global: only once the
    /// program is attached can it be said from when on nothing is missed.
    #[map]
    static WATCHED_SINCE: Array<u64> = Array::with_max_entries(1, 0);
    #[btf_map]
    static THREADS: TaskStorage<Left> = TaskStorage::new();
    /// All of it is there from the start: with the scheduler's lock held nothing is to be
    /// allocated. The agent removes what is gone.
    #[map]
    static TALLIES: HashMap<ProcessKey, SchedTally> = HashMap::with_max_entries(MAX_PROCESSES, 0);
    #[map]
    static HOST: PerCpuArray<SchedHost> = PerCpuArray::with_max_entries(1, 0);
    #[map]
    static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(SchedCounter::COUNT, 0);
    /// Where a tally is put together: too large for the stack. All but `task` stays zero.
    #[map]
    static FRESH: PerCpuArray<SchedTally> = PerCpuArray::with_max_entries(1, 0);

    #[inline(always)]
    fn bump(counter: SchedCounter, n: u64) {
        if let Some(value) = COUNTERS.get_ptr_mut(counter as u32) {
            // SAFETY: a slot of this CPU's own.
            unsafe { *value = (*value).wrapping_add(n) }
        }
    }

    /// What a run has added to the kernel's sums for its thread.
    struct Run {
        waits: u64,
        wait_ns: u64,
        /// The bucket of `wait_ns`.
        at: usize,
        cpu_ns: u64,
        involuntary: u64,
    }

    /// Called with the lock of this CPU's run queue held and interrupts off: nothing comes between.
    #[inline(always)]
    fn left(prev: *const c_void) {
        // SAFETY: a field of a BTF pointer.
        if unsafe { field::<u32>(prev, offset!(task_pid)) } == 0 {
            // The idle task waits for nothing.
            return;
        }
        // SAFETY: the tracepoint's argument; zero is a value of `Left`.
        let state = unsafe { THREADS.of(prev) };
        if state.is_null() {
            bump(SchedCounter::NoStorage, 1);
            return;
        }
        // SAFETY: not null; the task is on this CPU alone.
        let state = unsafe { &mut *state };
        let Some(run) = advance(state, prev) else {
            return;
        };
        if let Some(host) = HOST.get_ptr_mut(0) {
            // SAFETY: this CPU's own slot; what `within` gives is within the array.
            unsafe {
                if run.waits != 0
                    && let Some(at) = within(run.at)
                {
                    let bucket = (&raw mut (*host).waits.buckets).cast::<u64>().add(at);
                    *bucket = (*bucket).wrapping_add(1);
                    (*host).waits.sum_ns = (*host).waits.sum_ns.wrapping_add(run.wait_ns);
                }
                (*host).involuntary = (*host).involuntary.wrapping_add(run.involuntary);
            }
        }
        if run.waits > 1 {
            bump(SchedCounter::Merged, run.waits - 1);
        }
        // SAFETY: a field of a BTF pointer.
        let flags: u32 = unsafe { field(prev, offset!(process.task_flags)) };
        if flags & PF_KTHREAD != 0 {
            return;
        }
        let process = owner(state, prev, flags);
        if let Some(tally) = tally(&process, prev) {
            enter(tally, &run);
        } else {
            bump(SchedCounter::NoRoom, 1);
        }
    }

    /// Moves the remembered sums on, and says by how much; `None` if they are from before the
    /// agent's time.
    #[inline(always)]
    fn advance(state: &mut Left, prev: *const c_void) -> Option<Run> {
        // SAFETY: fields of a BTF pointer.
        let (pcount, run_delay, runtime, nivcsw): (u64, u64, u64, u64) = unsafe {
            (
                field(prev, offset!(task_pcount)),
                field(prev, offset!(task_run_delay)),
                field(prev, offset!(task_sum_exec_runtime)),
                field(prev, offset!(task_nivcsw)),
            )
        };
        let wait_ns = run_delay.wrapping_sub(state.run_delay);
        let run = Run {
            waits: pcount.wrapping_sub(state.pcount),
            wait_ns,
            // Entered twice, looked for once.
            at: bucket(wait_ns),
            cpu_ns: runtime.wrapping_sub(state.runtime),
            involuntary: nivcsw.wrapping_sub(state.nivcsw),
        };
        if run.waits != 0 {
            state.pcount = pcount;
            // Otherwise what there is of a wait belongs to the next one that ends.
            state.run_delay = run_delay;
        }
        state.runtime = runtime;
        state.nivcsw = nivcsw;
        if state.seen == 0 {
            state.seen = 1;
            let since = WATCHED_SINCE.get(0).copied().unwrap_or(0);
            let start = offset!(process.task_start_boottime);
            // SAFETY: a field of a BTF pointer.
            if since == 0 || unsafe { field::<u64>(prev, start) } < since {
                return None;
            }
        }
        Some(run)
    }

    /// The process of a thread. It stays the same until the thread calls exec, which ends all others;
    /// of one that is ending it is the one that was remembered, for its leader may be gone.
    #[inline(always)]
    fn owner(state: &mut Left, prev: *const c_void, flags: u32) -> ProcessKey {
        // SAFETY: a field of a BTF pointer. All threads of a process have the same.
        let exec_id: u32 = unsafe { field(prev, offset!(process.task_self_exec_id)) };
        let called_exec = exec_id != state.process.exec_id;
        if state.process.pid == 0 || called_exec && flags & PF_EXITING == 0 {
            // SAFETY: a BTF pointer.
            state.process = unsafe { process_of(prev, &OFFSETS.process) };
        }
        state.process
    }

    #[inline(always)]
    fn tally(process: &ProcessKey, prev: *const c_void) -> Option<*mut SchedTally> {
        of_process(&TALLIES, process, (&FRESH, 0), |fresh| {
            // SAFETY: this CPU's own slot, and nothing comes between; a BTF pointer.
            unsafe { describe(&mut (*fresh).task, *process, prev, &OFFSETS.process) }
        })
    }

    #[inline(always)]
    fn enter(tally: *mut SchedTally, run: &Run) {
        // SAFETY: an entry of the map, which other CPUs only ever add to by atomic operations.
        unsafe {
            if run.waits != 0 {
                histogram::enter(&raw mut (*tally).waits, run.at, run.wait_ns);
            }
            add(&raw mut (*tally).cpu_ns, run.cpu_ns);
            if run.involuntary != 0 {
                add(&raw mut (*tally).involuntary, run.involuntary);
            }
        }
    }

    /// `trace_sched_switch(bool preempt, struct task_struct *prev, struct task_struct *next,
    /// unsigned int prev_state)`, kernel/sched/core.c, the last argument from Linux 5.18 on. Called
    /// once `prev` has been charged for its run and before the sums of `next` are touched.
    #[btf_tracepoint(function = "sched_switch")]
    fn sched_switch(ctx: BtfTracePointContext) -> i32 {
        left(ctx.arg(1));
        0
    }
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}
