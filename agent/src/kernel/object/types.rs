//! What all objects are loaded with.

use std::cell::RefCell;

use aya::EbpfLoader;

use super::ObjectError;
use crate::kernel::btf::Btf;
use crate::kernel::room::Room;

/// How many objects there are, at most.
const OBJECTS: usize = 8;

/// What all objects are loaded with: the running kernel's type information, read once, and how large
/// their maps may be. Takes some 6 MB; to be dropped when all are loaded.
pub struct Types {
    /// For offsets, and for the ids of what programs are attached to.
    pub btf: Btf,
    room: Room,
    /// aya reads the kernel's type information into each loader when it makes it, 25 MB for a moment,
    /// wanted or not. In a cgroup with little memory that has to be over before maps are made.
    loaders: RefCell<Vec<EbpfLoader<'static>>>,
}

impl Types {
    /// Reads it.
    ///
    /// # Errors
    ///
    /// The kernel was built without it, or sysfs is not mounted.
    pub fn of_running_kernel(room: Room) -> Result<Self, ObjectError> {
        let loaders = (0..OBJECTS).map(|_| new_loader()).collect();
        give_back_memory();
        Ok(Self {
            btf: Btf::of_running_kernel()?,
            room,
            loaders: RefCell::new(loaders),
        })
    }

    /// A loader for one object, which makes its maps as large as there is room for.
    #[must_use]
    pub fn loader<'a>(&self, object: &str) -> EbpfLoader<'a> {
        let spare = self.loaders.borrow_mut().pop();
        let mut loader = spare.unwrap_or_else(new_loader);
        for (map, entries) in self.room.maps(object) {
            loader.map_max_entries(map, entries);
        }
        loader
    }
}

impl Drop for Types {
    fn drop(&mut self) {
        self.loaders.borrow_mut().clear();
        self.btf = Btf::default();
        give_back_memory();
    }
}

/// The allocator would keep what reading types and loading programs took, some 30 MB, for ever.
pub(super) fn give_back_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes any value, and moves nothing that is in use.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Without the kernel's types: nothing of the objects is relocated by them, for the agent hands over
/// what offsets it found.
fn new_loader() -> EbpfLoader<'static> {
    let mut loader = EbpfLoader::new();
    loader.btf(None);
    loader
}
