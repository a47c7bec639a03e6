//! The memory object: loaded, attached, and its maps.

use aya::maps::{MapData, PerCpuArray};
use hark_common::memory::{MemoryCounter, MemoryOffsets, MemoryStalls, MemoryTally};

use super::Hook;
use super::counters::Counters;
use super::object::{Object, ObjectError, Types, Wanted};
use crate::resources::group::CollectError;
use crate::resources::histogram::add_since;
use crate::resources::ledger::ProcessMap;

/// The object that `cargo xtask build` made; empty in an agent that was built without it.
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("HARK_MEMORY_OBJECT"));

/// Tasks that may be in a stall at a time, per CPU: those beyond make others be forgotten.
const STALLED_PER_CPU: usize = 256;

/// What this object attaches to.
pub const WANTED: [Wanted; 5] = [
    Wanted {
        name: "mm_vmscan_direct_reclaim_begin",
        args: 0,
        gives: "how long tasks stand still because the host is short of memory",
        required: false,
        since: "",
    },
    Wanted {
        name: "mm_vmscan_direct_reclaim_end",
        args: 0,
        gives: "how long tasks stand still because the host is short of memory",
        required: false,
        since: "",
    },
    Wanted {
        name: "mm_vmscan_memcg_reclaim_begin",
        args: 0,
        gives: "how long tasks stand still because their cgroup is at its memory limit",
        required: false,
        since: "",
    },
    Wanted {
        name: "mm_vmscan_memcg_reclaim_end",
        args: 0,
        gives: "how long tasks stand still because their cgroup is at its memory limit",
        required: false,
        since: "",
    },
    Wanted {
        name: "mark_victim",
        args: 2,
        gives: "out-of-memory kills by service (their number on the host is known without)",
        required: false,
        since: "; it names the process since Linux 6.8",
    },
];

/// The memory programs, running. They are detached when this is dropped, or its process ends.
pub struct MemoryPrograms {
    object: Object,
    /// What happened, by process.
    pub processes: ProcessMap<MemoryTally>,
    stalls: PerCpuArray<MapData, MemoryStalls>,
    counters: Counters,
}

impl MemoryPrograms {
    /// Loads and attaches the programs, and says what they are attached to.
    ///
    /// # Errors
    ///
    /// The maps cannot be made, or a field of the kernel's is missing. A program that cannot be
    /// attached is told in the hooks.
    pub fn load(types: &Types) -> Result<(Self, Vec<Hook>), ObjectError> {
        let offsets = MemoryOffsets {
            process: super::offsets::process_from_btf(&types.btf)?,
        };
        let cpus = aya::util::nr_cpus().unwrap_or(1);
        let stalled = u32::try_from(cpus * STALLED_PER_CPU).unwrap_or(u32::MAX);
        let mut loader = types.loader("memory");
        loader
            .override_global("OFFSETS", &offsets, true)
            .map_max_entries("STALLED", stalled.max(4096));
        let mut object = Object::load("memory", OBJECT, &WANTED, types, &mut loader)?;
        let hooks = object.hooks.clone();
        Ok((
            Self {
                processes: ProcessMap::new("PROCESSES", object.map("PROCESSES")?),
                stalls: object.map("STALLS")?,
                counters: Counters::take(&mut object, "COUNTERS")?,
                object,
            },
            hooks,
        ))
    }

    /// The stalls of all tasks.
    ///
    /// # Errors
    ///
    /// The map cannot be read.
    pub fn stalls(&self) -> Result<MemoryStalls, CollectError> {
        let none = MemoryStalls::default();
        let mut sum = none;
        let per_cpu = self.stalls.get(&0, 0);
        let per_cpu = per_cpu.map_err(|error| CollectError::of_map("STALLS", &error))?;
        for of_cpu in per_cpu.iter() {
            add_since(&mut sum.direct, &of_cpu.direct, &none.direct);
            add_since(&mut sum.cgroup, &of_cpu.cgroup, &none.cgroup);
        }
        Ok(sum)
    }

    /// A counter over all CPUs.
    ///
    /// # Errors
    ///
    /// The map cannot be read.
    pub fn counter(&self, counter: MemoryCounter) -> Result<u64, CollectError> {
        self.counters.total(counter as u32)
    }

    /// Events that the kernel did not hand to a program, because it was running already on that
    /// CPU.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.object.skipped()
    }
}
