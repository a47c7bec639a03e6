//! Reads a hash map of the kernel side whole, many entries with one system call
//! (`BPF_MAP_LOOKUP_BATCH`, Linux 5.6), for which aya has no function.
//!
//! Entry by entry it is two calls each, and begins anew when the entry that was read last is removed
//! meanwhile. Here the kernel goes through its buckets once: what stays in the map while it is read
//! is seen exactly once.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, AsRawFd as _};

use aya::Pod;
use aya::maps::{HashMap, IterableMap as _, MapData};

const BPF_MAP_LOOKUP_BATCH: libc::c_long = 24;
/// Memory for keys and values, bytes.
const BUFFER: usize = 64 * 1024;
/// Entries that there is room for at least: those of one bucket are read together.
const LEAST: usize = 16;
/// Entries that there is room for at most. A hash function that puts more into one bucket is none.
const MOST: usize = 65_536;

/// `struct { … } batch` of `union bpf_attr` in `include/uapi/linux/bpf.h`.
#[repr(C)]
struct Attr {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

/// Hands over each entry.
///
/// # Errors
///
/// Those of the system call. What was read until then has been handed over.
pub fn each<K: Pod, V: Pod>(
    map: &HashMap<MapData, K, V>,
    see: &mut dyn FnMut(K, V),
) -> io::Result<()> {
    let map_fd = map.map().fd().as_fd().as_raw_fd().cast_unsigned();
    let mut room = (BUFFER / (size_of::<K>() + size_of::<V>())).max(LEAST);
    let mut keys = vec![MaybeUninit::<K>::uninit(); room];
    let mut values = vec![MaybeUninit::<V>::uninit(); room];
    let mut position: Option<u32> = None;
    loop {
        let mut next = 0u32;
        let mut attr = Attr {
            in_batch: position.as_ref().map_or(0, |at| &raw const *at as u64),
            out_batch: &raw mut next as u64,
            keys: keys.as_mut_ptr() as u64,
            values: values.as_mut_ptr() as u64,
            count: u32::try_from(room).unwrap_or(u32::MAX),
            map_fd,
            elem_flags: 0,
            flags: 0,
        };
        // SAFETY: the attribute names buffers with room for as many entries as it says, of the sizes
        // that aya has compared with the map's, and two numbers; all outlive the call.
        let result = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                BPF_MAP_LOOKUP_BATCH,
                &raw mut attr,
                size_of::<Attr>(),
            )
        };
        let mut is_end = false;
        if result < 0 {
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                // The last of them come with this.
                Some(libc::ENOENT) => is_end = true,
                // The next bucket has more than there is room for.
                Some(libc::ENOSPC) if room < MOST => {
                    room *= 2;
                    keys.resize(room, MaybeUninit::uninit());
                    values.resize(room, MaybeUninit::uninit());
                    continue;
                }
                _ => return Err(error),
            }
        }
        for (key, value) in keys.iter().zip(&values).take(attr.count as usize) {
            // SAFETY: the kernel has filled in so many of them; any bytes are a value.
            unsafe { see(key.assume_init(), value.assume_init()) }
        }
        if is_end {
            return Ok(());
        }
        position = Some(next);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn every_entry_once_however_many() {
        for count in [0u64, 1, 17, 20_000] {
            let Ok(mut map) = HashMap::<MapData, u64, [u64; 3]>::create(20_000, 0) else {
                eprintln!("SKIPPED every_entry_once_however_many: it takes CAP_BPF to make a map");
                return;
            };
            let expected: BTreeMap<u64, [u64; 3]> = (0..count)
                .map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15), [n, n + 1, n + 2]))
                .collect();
            for (key, value) in &expected {
                map.insert(key, value, 0).unwrap();
            }
            let (mut found, mut calls) = (BTreeMap::new(), 0);
            each(&map, &mut |key: u64, value| {
                calls += 1;
                found.insert(key, value);
            })
            .unwrap();
            assert_eq!(calls, count);
            assert_eq!(found, expected);
        }
    }
}
