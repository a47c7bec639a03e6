//! The network: utilization, saturation, errors.
//!
//! Interfaces and the kernel's own counters are those of the host's network namespace. What the
//! kernel programs count, drops and accepts, is of all namespaces.

mod accept;
mod drops;
mod interfaces;
mod missed;
mod protocols;
mod queues;
mod softnet;

pub mod tcp;

use super::Host;
use super::group::{Collect, CollectError};
use crate::kernel::Hook;
use crate::kernel::object::Types;
use crate::telemetry::page::{Family, Page};

struct Network {
    host: Host,
    interfaces: interfaces::Interfaces,
    softnet: softnet::Softnet,
    protocols: protocols::Protocols,
    drops: Option<drops::Drops>,
    accepts: Option<accept::Accepts>,
    queues: queues::Queues,
    tcp: Option<tcp::Tcp>,
}

/// Builds the group, and attaches what it needs.
#[must_use]
pub fn build(host: &Host, types: &Types) -> (Box<dyn Collect>, Vec<Hook>) {
    let (drops, mut hooks) = drops::build(types);
    let (accepts, accept_hooks) = accept::build(types);
    hooks.extend(accept_hooks);
    let (tcp, tcp_hooks) = tcp::build(host, types);
    hooks.extend(tcp_hooks);
    let network = Network {
        host: host.clone(),
        interfaces: interfaces::Interfaces::new(&host.proc_root),
        softnet: softnet::Softnet::new(&host.proc_root),
        protocols: protocols::Protocols::new(&host.proc_root),
        drops,
        accepts,
        queues: queues::Queues::default(),
        tcp,
    };
    (Box::new(network), hooks)
}

/// What the group writes.
#[must_use]
pub fn families() -> Vec<&'static Family> {
    let lists = [
        interfaces::FAMILIES,
        softnet::FAMILIES,
        drops::FAMILIES,
        accept::FAMILIES,
        queues::FAMILIES,
        missed::FAMILIES,
    ];
    let mut families = lists.concat();
    families.extend(protocols::families());
    families.extend(tcp::families());
    families
}

impl Collect for Network {
    fn collect(&mut self, page: &mut Page<'_>) -> Result<(), CollectError> {
        let mut results = vec![
            self.interfaces.write(page),
            self.softnet.write(page),
            self.protocols.write(page),
        ];
        if let Some(drops) = &self.drops {
            results.push(drops.write(page));
        }
        if let Some(accepts) = &mut self.accepts {
            results.push(accepts.write(page, &self.host));
        }
        results.push(self.queues.write(page, &self.host));
        if let Some(tcp) = &mut self.tcp {
            results.push(tcp.write(page, &self.host));
        }
        let objects = [
            self.drops.as_ref().map(drops::Drops::object),
            self.accepts.as_ref().map(accept::Accepts::object),
            self.tcp.as_ref().map(tcp::Tcp::object),
        ];
        results.push(missed::write(page, objects.into_iter().flatten()));
        results.into_iter().collect()
    }

    fn tend(&mut self) {
        // What fails is told at the scrape.
        if let Some(accepts) = &mut self.accepts {
            let _ = accepts.post(&self.host);
        }
        if let Some(tcp) = &mut self.tcp
            && let Err(error) = tcp.tend(&self.host)
        {
            tracing::debug!(%error, "what ended since the last scrape is counted at the next");
        }
    }
}
