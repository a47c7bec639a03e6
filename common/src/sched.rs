//! What the scheduler's programs keep, and what they must know of this kernel.

use crate::histogram::Exp2;
use crate::process::{ProcessOffsets, Task};

/// Most processes whose scheduling is kept at a time.
pub const MAX_PROCESSES: u32 = 8192;

/// What the scheduler has done with the threads of one process, since the agent watches. Written by
/// atomic addition, for its threads run on many CPUs.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SchedTally {
    /// The process, as it was when it first left a CPU.
    pub task: Task,
    /// How long its threads waited for a CPU: one sample for each time that one got onto a CPU,
    /// entered when it leaves it.
    pub waits: Exp2,
    /// Time on a CPU, ns, up to when each thread last left one.
    pub cpu_ns: u64,
    /// Times that a thread was made to leave a CPU on which it could have gone on.
    pub involuntary: u64,
}

/// What the scheduler has done with all threads of the host, those of the kernel too; by CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SchedHost {
    /// As in [`SchedTally`].
    pub waits: Exp2,
    /// As in [`SchedTally`].
    pub involuntary: u64,
}

/// A slot of the per-CPU counter array `COUNTERS`: what is missing from the tallies.
///
/// The order is part of the boundary: append only, and raise [`Self::COUNT`].
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchedCounter {
    /// Times that a thread left a CPU and there was no memory to remember it. The next time makes
    /// up for its CPU time; its waits become one.
    NoStorage = 0,
    /// Times that a thread left a CPU and the map of processes was full.
    NoRoom,
    /// Waits that were entered together with another one, as one sample.
    Merged,
}

impl SchedCounter {
    /// Number of slots.
    pub const COUNT: u32 = Self::Merged as u32 + 1;
}

/// Byte offsets in `struct task_struct` that the scheduler's programs read.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SchedOffsets {
    /// Of the process.
    pub process: ProcessOffsets,
    /// `pid` (`pid_t`): 0 for the idle tasks.
    pub task_pid: u32,
    /// `sched_info.pcount` (`unsigned long`): times that it got onto a CPU.
    pub task_pcount: u32,
    /// `sched_info.run_delay` (`unsigned long long`, ns): waits for a CPU, added up.
    pub task_run_delay: u32,
    /// `se.sum_exec_runtime` (`u64`, ns): time on a CPU.
    pub task_sum_exec_runtime: u32,
    /// `nivcsw` (`unsigned long`): involuntary context switches.
    pub task_nivcsw: u32,
    /// Unused, 0.
    pub reserved: u32,
}

const _: () = {
    assert!(size_of::<SchedTally>() == 48 + 232 + 16 && align_of::<SchedTally>() == 8);
    assert!(size_of::<SchedHost>() == 232 + 8 && align_of::<SchedHost>() == 8);
    assert!(size_of::<SchedOffsets>() == 16 * 4 && align_of::<SchedOffsets>() == 4);
};
