//! CPUs: utilization, saturation, errors.

use super::Host;
use super::group::{Collect, CollectError};
use super::throttling::{self, Throttling};
use crate::kernel::Hook;
use crate::kernel::object::Types;
use crate::telemetry::page::{Family, Page};

struct Cpu {
    host: Host,
    throttling: Throttling,
}

/// Builds the group, and attaches what it needs.
#[must_use]
pub fn build(host: &Host, types: &Types) -> (Box<dyn Collect>, Vec<Hook>) {
    let _ = types;
    let cpu = Cpu {
        host: host.clone(),
        throttling: Throttling::default(),
    };
    (Box::new(cpu), Vec::new())
}

/// What the group writes.
#[must_use]
pub fn families() -> Vec<&'static Family> {
    throttling::FAMILIES.to_vec()
}

impl Collect for Cpu {
    fn collect(&mut self, page: &mut Page<'_>) -> Result<(), CollectError> {
        self.throttling.write(page, &self.host)
    }

    fn tend(&mut self) {
        self.throttling.tend(&self.host);
    }
}
