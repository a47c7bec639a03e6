//! Which BPF programs and maps a process holds, and what the kernel has of them.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};

use aya::maps::{MapData, MapInfo, MapType};

/// Ids of the programs that a process holds by a descriptor of the program or of a link to it.
///
/// # Panics
/// If the process is gone or another user's.
#[must_use]
pub fn programs_of(pid: u32) -> BTreeSet<u32> {
    held(pid, "prog_id:")
}

/// The numbers after `field` in what the kernel tells of a process's descriptors.
fn held(pid: u32, field: &str) -> BTreeSet<u32> {
    let folder = format!("/proc/{pid}/fdinfo");
    std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{folder}: {error}"))
        .filter_map(Result::ok)
        // A descriptor may be closed while we read; then it holds nothing.
        .filter_map(|entry| std::fs::read_to_string(entry.path()).ok())
        .filter_map(|info| {
            let id = info.lines().find_map(|line| line.strip_prefix(field))?;
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

/// How many entries each hash table that a process holds has now, by the map's name and id. Those that
/// make room by themselves are left out: they may be full.
///
/// # Panics
/// If the kernel does not say (it does to root).
#[must_use]
pub fn entries_of(pid: u32) -> BTreeMap<String, u64> {
    held(pid, "map_id:")
        .into_iter()
        .filter_map(|id| {
            let info = MapInfo::from_id(id).ok()?;
            if info.map_type().ok()? != MapType::Hash {
                return None;
            }
            let name = format!("{} {id}", info.name_as_str().unwrap_or("?"));
            let map = MapData::from_id(id).ok()?;
            let limit = u64::from(info.max_entries());
            Some((name, count(map.fd().as_fd(), info.key_size(), limit)))
        })
        .collect()
}

/// Walks the keys of a map. A walk may begin anew when its key is removed meanwhile, so it has a limit.
fn count(map: BorrowedFd<'_>, key_size: u32, limit: u64) -> u64 {
    const BPF_MAP_GET_NEXT_KEY: libc::c_int = 4;
    /// The part of `union bpf_attr` that this command reads.
    #[repr(C)]
    struct Attributes {
        map_fd: u64,
        key: u64,
        next_key: u64,
    }
    let mut key = vec![0u8; key_size as usize];
    let mut next = key.clone();
    for entries in 0..limit {
        let attributes = Attributes {
            map_fd: map.as_raw_fd().cast_unsigned().into(),
            // The first is what follows none.
            key: if entries == 0 { 0 } else { key.as_ptr() as u64 },
            next_key: next.as_mut_ptr() as u64,
        };
        // SAFETY: both keys have the size that the kernel says keys of this map have, and it writes
        // the second one only.
        let found = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                BPF_MAP_GET_NEXT_KEY,
                &raw const attributes,
                size_of::<Attributes>(),
            )
        };
        if found != 0 {
            return entries;
        }
        std::mem::swap(&mut key, &mut next);
    }
    limit
}
