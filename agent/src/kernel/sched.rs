//! The scheduler's object: loaded and attached.

use std::fs;
use std::path::Path;

use hark_common::sched::SchedOffsets;

use super::btf::{Btf, BtfError};
use super::object::{Object, ObjectError, Types, Wanted};

/// The object that `cargo xtask build` made; empty in an agent that was built without it.
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("HARK_SCHED_OBJECT"));

/// What this object attaches to.
pub const WANTED: [Wanted; 1] = [Wanted {
    name: "sched_switch",
    // Two are read; the first is there for its place.
    args: 2,
    gives: "how long threads wait for a CPU, involuntary switches, CPU time of processes that have ended",
    required: true,
    since: "",
}];

/// Why this kernel cannot say how long threads wait.
const NO_SUMS: &str = "this kernel does not add up how long its threads wait for a CPU: it was built without \
                       CONFIG_SCHED_INFO, which CONFIG_TASK_DELAY_ACCT or CONFIG_SCHEDSTATS brings";
/// Likewise, where only switching it on is missing.
const SUMS_OFF: &str = "this kernel does not add up how long its threads wait for a CPU; the kernel parameter \
                        `delayacct` makes it";
/// Before Linux 6.4 the memory came from the general allocator, which may wake a thread: with the
/// scheduler's lock held that stops the machine.
const NO_MEMORY: &str =
    "this kernel has no memory to give to programs inside the scheduler (it came with Linux 6.4)";

/// Loads and attaches the programs. They count from when they are told since when, by the map
/// `WATCHED_SINCE`.
///
/// # Errors
///
/// The kernel lacks what is needed, or refuses.
pub fn load(types: &Types, proc_root: &Path) -> Result<Object, ObjectError> {
    let offsets = offsets(&types.btf)?;
    if let Some(0) = own_times_on_a_cpu(proc_root) {
        return Err(ObjectError::Unfit(SUMS_OFF));
    }
    if !allocates_in_scheduler(&types.btf) {
        return Err(ObjectError::Unfit(NO_MEMORY));
    }
    let mut loader = types.loader("sched");
    loader
        // Storage of tasks, for which aya has no type: the agent does not look into it.
        .allow_unsupported_maps()
        .override_global("OFFSETS", &offsets, true);
    Object::load("sched", OBJECT, &WANTED, types, &mut loader)
}

fn offsets(btf: &Btf) -> Result<SchedOffsets, ObjectError> {
    let task = |field| btf.offset_of("task_struct", field);
    let sum = |field| {
        task(field).map_err(|error| match error {
            BtfError::NoField { .. } => ObjectError::Unfit(NO_SUMS),
            other => other.into(),
        })
    };
    Ok(SchedOffsets {
        process: super::offsets::process_from_btf(btf)?,
        task_pid: task("pid")?,
        task_pcount: sum("sched_info.pcount")?,
        task_run_delay: sum("sched_info.run_delay")?,
        task_sum_exec_runtime: task("se.sum_exec_runtime")?,
        task_nivcsw: task("nivcsw")?,
        reserved: 0,
    })
}

/// How often this process got onto a CPU, by the kernel's own count, which is the last number of
/// `schedstat` (Documentation/scheduler/sched-stats.rst); `None` if it does not say.
fn own_times_on_a_cpu(proc_root: &Path) -> Option<u64> {
    let text = fs::read_to_string(proc_root.join("self/schedstat")).ok()?;
    text.split_ascii_whitespace().nth(2)?.parse().ok()
}

/// Whether storage of tasks has an allocator of its own, or one that takes no locks: a field of the
/// map, which has changed its name once. Linux 7.3 has neither field, and always allocates by a
/// function that takes no locks; kernels without either have no such function.
fn allocates_in_scheduler(btf: &Btf) -> bool {
    ["bpf_ma", "use_kmalloc_nolock"]
        .iter()
        .any(|field| btf.offset_of("bpf_local_storage_map", field).is_ok())
        || btf.has_function("bpf_map_kmalloc_nolock")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_kernel_has_all_fields() {
        let Ok(btf) = Btf::of_running_kernel() else {
            eprintln!("SKIPPED the_running_kernel_has_all_fields: no /sys/kernel/btf/vmlinux");
            return;
        };
        let offsets = offsets(&btf).unwrap();
        // Two neighbours in `struct sched_info`: unsigned long, unsigned long long.
        assert_eq!(offsets.task_run_delay - offsets.task_pcount, 8);
        assert!(own_times_on_a_cpu(Path::new("/proc")).unwrap() > 0);
    }

    #[test]
    fn a_count_that_is_not_kept_is_told() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(own_times_on_a_cpu(folder.path()), None);
        fs::create_dir(folder.path().join("self")).unwrap();
        fs::write(folder.path().join("self/schedstat"), "0 0 0\n").unwrap();
        assert_eq!(own_times_on_a_cpu(folder.path()), Some(0));
    }
}
