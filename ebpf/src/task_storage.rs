//! Task-local storage: values that the kernel keeps with a task and frees with it. `aya-ebpf` has
//! no wrapper for it.

use core::ffi::c_void;
use core::marker::PhantomData;
use core::ptr::{null, null_mut};

use aya_ebpf::bindings::bpf_map_type::BPF_MAP_TYPE_TASK_STORAGE;
use aya_ebpf::bindings::{BPF_F_NO_PREALLOC, BPF_LOCAL_STORAGE_GET_F_CREATE};
use aya_ebpf::helpers::generated::bpf_task_storage_get;

/// A map of type `BPF_MAP_TYPE_TASK_STORAGE`, to be declared with `#[btf_map]`: the loader reads
/// what it is from the types of these fields.
#[repr(C)]
#[expect(
    missing_debug_implementations,
    reason = "a declaration, of which nothing is left at run time"
)]
pub struct TaskStorage<T> {
    r#type: *const [i32; BPF_MAP_TYPE_TASK_STORAGE as usize],
    key: *const i32,
    value: *const T,
    max_entries: *const [i32; 0],
    map_flags: *const [i32; BPF_F_NO_PREALLOC as usize],
    _value: PhantomData<T>,
}

// SAFETY: the fields are never read; the kernel keeps the values apart by task.
unsafe impl<T> Sync for TaskStorage<T> {}

impl<T> TaskStorage<T> {
    /// A declaration.
    #[must_use]
    #[expect(
        clippy::new_without_default,
        reason = "statics need a constant function"
    )]
    pub const fn new() -> Self {
        Self {
            r#type: null(),
            key: null(),
            value: null(),
            max_entries: null(),
            map_flags: null(),
            _value: PhantomData,
        }
    }

    /// The value of `task`, zero at first; null if there is none and no memory for one.
    ///
    /// # Safety
    ///
    /// `task` must be an argument of the program, a BTF pointer to a `task_struct`; zero must be a
    /// value of `T`.
    #[inline(always)]
    pub unsafe fn of(&'static self, task: *const c_void) -> *mut T {
        // SAFETY: by the caller; the helper checks the map.
        unsafe {
            bpf_task_storage_get(
                (&raw const *self).cast_mut().cast(),
                task.cast_mut().cast(),
                null_mut(),
                BPF_LOCAL_STORAGE_GET_F_CREATE as u64,
            )
        }
        .cast()
    }

    /// The value of `task`; null if it has none.
    ///
    /// # Safety
    ///
    /// As for [`of`](Self::of).
    #[inline(always)]
    pub unsafe fn existing(&'static self, task: *const c_void) -> *mut T {
        // SAFETY: by the caller; the helper checks the map.
        unsafe {
            bpf_task_storage_get(
                (&raw const *self).cast_mut().cast(),
                task.cast_mut().cast(),
                null_mut(),
                0,
            )
        }
        .cast()
    }
}
