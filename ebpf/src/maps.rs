//! What kernel objects do with their maps, all in the same way.

use core::ffi::c_void;
use core::ptr::null_mut;

use aya_ebpf::bindings;
use aya_ebpf::btf_maps::SkStorage;
use aya_ebpf::helpers::generated::bpf_sk_storage_get;
use aya_ebpf::maps::{HashMap, PerCpuArray};
use hark_common::process::ProcessKey;

use crate::kernel::add;

/// Makes storage of a socket where there is none; for [`of_socket`].
pub const CREATE: u64 = bindings::BPF_SK_STORAGE_GET_F_CREATE as u64;
/// Inserts only what is not there yet.
pub const NOEXIST: u64 = bindings::BPF_NOEXIST as u64;
/// A map of which no entry is allocated before it is needed.
pub const NO_PREALLOC: u32 = bindings::BPF_F_NO_PREALLOC;

/// Adds one to a counter. Atomically: a program may be interrupted by another on the same CPU, and
/// from Linux 7.0 on by that of another task.
#[inline(always)]
pub fn count(counters: &'static PerCpuArray<u64>, slot: u32) {
    if let Some(value) = counters.get_ptr_mut(slot) {
        // SAFETY: a slot of the map.
        unsafe { add(value, 1) }
    }
}

/// What is kept with a socket; nothing if there is none, and with [`CREATE`] no memory for it. It is
/// freed with the socket only.
///
/// # Safety
///
/// `sk` must be a BTF pointer to a socket that is held as long as what is given; zero must be a value
/// of `T` if `flags` is [`CREATE`].
#[inline(always)]
pub unsafe fn of_socket<'a, T>(
    storage: &'static SkStorage<T>,
    sk: *mut c_void,
    flags: u64,
) -> Option<&'a mut T> {
    // SAFETY: by the caller; the map is a socket storage with this value type.
    unsafe {
        bpf_sk_storage_get(
            (&raw const *storage).cast_mut().cast(),
            sk,
            null_mut(),
            flags,
        )
        .cast::<T>()
        .as_mut()
    }
}

/// The entry of a process. If there is none, it is made in the slot of `fresh` that is given, for its
/// size: all of it is zero but what `introduce` writes, which is who the process is. Nothing is given
/// if the map is full.
///
/// The slot must be the calling program's own, as none is interrupted by itself; where one may be,
/// the caller looks at what it has got.
#[inline(always)]
pub fn of_process<T>(
    entries: &'static HashMap<ProcessKey, T>,
    key: &ProcessKey,
    (fresh, slot): (&'static PerCpuArray<T>, u32),
    introduce: impl FnOnce(*mut T),
) -> Option<*mut T> {
    if let Some(entry) = entries.get_ptr_mut(key) {
        return Some(entry);
    }
    let fresh = fresh.get_ptr_mut(slot)?;
    introduce(fresh);
    // Another thread of the process may be first on another CPU.
    // SAFETY: a slot of the map.
    let _ = entries.insert(key, unsafe { &*fresh }, NOEXIST);
    entries.get_ptr_mut(key)
}
