//! Counters that the kernel programs keep, a value for each CPU.

use aya::maps::{MapData, PerCpuArray};

use super::object::{Object, ObjectError};
use crate::resources::group::CollectError;

/// An array of counters in a map of an object.
pub struct Counters {
    name: &'static str,
    map: PerCpuArray<MapData, u64>,
}

impl Counters {
    /// Takes the map out of the object.
    ///
    /// # Errors
    ///
    /// As [`Object::map`].
    pub fn take(object: &mut Object, name: &'static str) -> Result<Self, ObjectError> {
        let map = object.map(name)?;
        Ok(Self { name, map })
    }

    /// What the counter in a slot has come to, over all CPUs.
    ///
    /// # Errors
    ///
    /// The map cannot be read.
    pub fn total(&self, slot: u32) -> Result<u64, CollectError> {
        let per_cpu = self.map.get(&slot, 0);
        let per_cpu = per_cpu.map_err(|error| CollectError::of_map(self.name, &error))?;
        Ok(per_cpu.iter().sum())
    }
}
