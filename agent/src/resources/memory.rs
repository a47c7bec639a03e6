//! Memory: utilization, saturation, errors.

mod ecc;
mod faults;
mod host;
mod limits;
mod service;
mod stalls;

pub use limits::own as own_limit;

use super::group::{Collect, CollectError};
use super::pressure::{self, Pressure, Resource};
use super::{Host, hooks_of};
use crate::kernel::Hook;
use crate::kernel::memory::{MemoryPrograms, WANTED};
use crate::kernel::object::Types;
use crate::telemetry::page::{Family, Page};

use faults::Faults;
use stalls::Stalls;

struct Memory {
    host: Host,
    faults: Faults,
    pressure: Pressure,
    /// `None` if this kernel refuses the programs.
    stalls: Option<Stalls>,
}

/// Builds the group, and attaches what it needs.
#[must_use]
pub fn build(host: &Host, types: &Types) -> (Box<dyn Collect>, Vec<Hook>) {
    let (programs, hooks) = match MemoryPrograms::load(types) {
        Ok((programs, hooks)) => (Some(programs), hooks),
        Err(error) => (None, hooks_of("memory", &WANTED, &Err(error))),
    };
    let memory = Memory {
        host: host.clone(),
        faults: Faults::default(),
        pressure: Pressure::new(Resource::Memory),
        stalls: programs.map(Stalls::new),
    };
    (Box::new(memory), hooks)
}

/// What the group writes.
#[must_use]
pub fn families() -> Vec<&'static Family> {
    [
        host::FAMILIES,
        ecc::FAMILIES,
        service::FAMILIES,
        faults::FAMILIES,
        stalls::FAMILIES,
        &pressure::families(Resource::Memory),
    ]
    .concat()
}

impl Collect for Memory {
    fn collect(&mut self, page: &mut Page<'_>) -> Result<(), CollectError> {
        let Self {
            host,
            faults,
            pressure,
            stalls,
        } = self;
        // One that fails does not keep the others from being written.
        let parts = [
            host::write(page, host),
            ecc::write(page, ecc::FOLDER.as_ref()),
            service::write(page, host),
            faults.write(page, host),
            pressure.write(page, host),
            stalls
                .as_mut()
                .map_or(Ok(()), |stalls| stalls.write(page, host)),
        ];
        parts.into_iter().collect()
    }

    fn tend(&mut self) {
        self.faults.post(&self.host);
        if let Some(stalls) = &mut self.stalls {
            stalls.tend(&self.host);
        }
    }
}
