//! Which BPF programs a process holds, and which of them the kernel still has.

use std::collections::BTreeSet;

/// Ids of the programs that a process holds by a descriptor of the program or of a link to it.
///
/// # Panics
/// If the process is gone or another user's.
#[must_use]
pub fn programs_of(pid: u32) -> BTreeSet<u32> {
    let folder = format!("/proc/{pid}/fdinfo");
    std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{folder}: {error}"))
        .filter_map(Result::ok)
        // A descriptor may be closed while we read; then it holds nothing.
        .filter_map(|entry| std::fs::read_to_string(entry.path()).ok())
        .filter_map(|info| {
            let id = info
                .lines()
                .find_map(|line| line.strip_prefix("prog_id:"))?;
            id.trim().parse().ok()
        })
        .collect()
}

/// Those of `ids` that are still loaded.
///
/// # Panics
/// If the kernel does not say (it does to root).
#[must_use]
pub fn still_loaded(ids: &BTreeSet<u32>) -> BTreeSet<u32> {
    aya::programs::loaded_programs()
        // A program that is freed between two steps of the listing is not loaded.
        .filter_map(Result::ok)
        .map(|program| program.id())
        .filter(|id| ids.contains(id))
        .collect()
}

/// The kernel's names of those of `ids` that are loaded: the first 15 bytes of each.
///
/// # Panics
/// If the kernel does not say (it does to root).
#[must_use]
pub fn names(ids: &BTreeSet<u32>) -> BTreeSet<String> {
    aya::programs::loaded_programs()
        .filter_map(Result::ok)
        .filter(|program| ids.contains(&program.id()))
        .filter_map(|program| program.name_as_str().map(str::to_owned))
        .collect()
}
