//! What the memory programs count, and what they are told.

use crate::histogram::Exp2;
use crate::process::{ProcessOffsets, Task};

/// Most processes that are kept at a time.
pub const MAX_PROCESSES: u32 = 2048;

/// What the memory programs need to know of this kernel.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryOffsets {
    /// Where the kernel keeps who a task is.
    pub process: ProcessOffsets,
}

/// What happened to one process since it was first met.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryTally {
    /// Who it is.
    pub task: Task,
    /// How long its threads stood still, each time, to free pages because the host had none.
    pub direct: Exp2,
    /// How long its threads stood still, each time, to free pages because their cgroup was at its
    /// limit.
    pub cgroup: Exp2,
    /// 1 once the process was chosen to be killed because memory was out.
    pub killed: u64,
}

/// What all tasks together waited, those of the kernel too. One per CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryStalls {
    /// As [`MemoryTally::direct`].
    pub direct: Exp2,
    /// As [`MemoryTally::cgroup`].
    pub cgroup: Exp2,
}

/// A slot of the memory programs' per-CPU array `COUNTERS`. The order is part of the boundary:
/// append only, and raise [`MemoryCounter::COUNT`].
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryCounter {
    /// Stalls and kills of a process that are in no process's tally, because the table of
    /// processes is full.
    ProcessesFull = 0,
    /// Stalls not measured: the table of tasks that are in one is full, or the event of the
    /// beginning was not seen.
    Unpaired,
}

impl MemoryCounter {
    /// Number of slots.
    pub const COUNT: u32 = Self::Unpaired as u32 + 1;
}

const _: () = {
    assert!(size_of::<MemoryOffsets>() == 40 && align_of::<MemoryOffsets>() == 4);
    assert!(size_of::<MemoryTally>() == 48 + 2 * 232 + 8 && align_of::<MemoryTally>() == 8);
    assert!(size_of::<MemoryStalls>() == 2 * 232 && align_of::<MemoryStalls>() == 8);
};
