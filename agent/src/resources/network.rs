//! The network: utilization, saturation, errors.

use super::Host;
use super::group::{Collect, CollectError};
use crate::kernel::Hook;
use crate::kernel::object::Types;
use crate::telemetry::page::{Family, Page};

struct Network {
    host: Host,
}

/// Builds the group, and attaches what it needs.
#[must_use]
pub fn build(host: &Host, types: &Types) -> (Box<dyn Collect>, Vec<Hook>) {
    let _ = types;
    (Box::new(Network { host: host.clone() }), Vec::new())
}

/// What the group writes.
#[must_use]
pub fn families() -> Vec<&'static Family> {
    Vec::new()
}

impl Collect for Network {
    fn collect(&mut self, page: &mut Page<'_>) -> Result<(), CollectError> {
        let _ = (&self.host, page);
        Ok(())
    }
}
