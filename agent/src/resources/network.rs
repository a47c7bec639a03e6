//! The network: utilization, saturation, errors.

pub mod tcp;

use super::Host;
use super::group::{Collect, CollectError};
use crate::kernel::Hook;
use crate::kernel::object::Types;
use crate::telemetry::page::{Family, Page};

struct Network {
    host: Host,
    tcp: Option<tcp::Tcp>,
}

/// Builds the group, and attaches what it needs.
#[must_use]
pub fn build(host: &Host, types: &Types) -> (Box<dyn Collect>, Vec<Hook>) {
    let (tcp, hooks) = tcp::build(host, types);
    let network = Network {
        host: host.clone(),
        tcp,
    };
    (Box::new(network), hooks)
}

/// What the group writes.
#[must_use]
pub fn families() -> Vec<&'static Family> {
    tcp::families()
}

impl Collect for Network {
    fn collect(&mut self, page: &mut Page<'_>) -> Result<(), CollectError> {
        match &mut self.tcp {
            Some(tcp) => tcp.write(page, &self.host),
            None => Ok(()),
        }
    }

    fn tend(&mut self) {
        if let Some(tcp) = &mut self.tcp
            && let Err(error) = tcp.tend(&self.host)
        {
            tracing::debug!(%error, "what ended since the last scrape is counted at the next");
        }
    }
}
