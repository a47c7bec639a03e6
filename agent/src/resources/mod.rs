//! The resources under the requests, by the USE method: utilization, saturation and errors of CPU,
//! memory, disk and network, for the host and for each service.
//!
//! A [group](group::Collect) per resource, with a thread of its own: a scrape asks all groups at once and
//! takes what they have by a deadline, so a file system that does not answer costs its own group
//! only, and says so (`hark_collector_success`). What the kernel counts already is read from `/proc`,
//! `/sys` and the cgroups at the scrape; what it does not count, programs of hark's own keep in maps
//! that are read at the scrape too. Nothing travels per event.
//!
//! Whose it is: [`census`] knows the living processes and their services, [`ledger`] adds up what a
//! map has per process, also for those that are gone. What cannot be tied to a service is in the
//! host's series alone.

pub mod census;
pub mod cgroups;
pub mod cpu;
pub mod disk;
pub mod group;
pub mod histogram;
pub mod ledger;
pub mod memory;
pub mod network;
pub mod pressure;
pub mod services;
pub mod throttling;

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex};

use crate::config::Config;
use crate::identity::Identities;
use crate::kernel::Hook;
use crate::kernel::object::{Object, ObjectError, Types};
use crate::telemetry::page::{Family, Page, Section};

use census::Census;
use cgroups::Cgroups;
use group::{Collect, Groups};
use services::Services;

/// Everything that the groups share.
#[derive(Clone, Debug)]
pub struct Host {
    /// Where the host's procfs is mounted.
    pub proc_root: std::path::PathBuf,
    /// The living processes and their services.
    pub census: Arc<Census>,
    /// The cgroups that they are in, and whose these are.
    pub cgroups: Arc<Cgroups>,
    /// The services that have series.
    pub services: Arc<Services>,
}

/// The groups that are switched on, built and attached, not yet asked for anything.
pub struct Resources {
    groups: Vec<(&'static str, Box<dyn Collect>)>,
    hooks: Vec<Hook>,
    cgroups: Arc<Cgroups>,
    services: Arc<Services>,
}

/// The groups, running: a part of the page.
#[derive(Debug)]
pub struct Running {
    groups: Groups,
    cgroups: Arc<Cgroups>,
    services: Arc<Services>,
}

impl fmt::Debug for Resources {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Resources")
            .field("hooks", &self.hooks)
            .finish_non_exhaustive()
    }
}

/// All families that groups may write, by group, for the reference.
#[must_use]
pub fn families() -> Vec<(&'static str, Vec<&'static Family>)> {
    vec![
        ("CPU", cpu::families()),
        ("Memory", memory::families()),
        ("Disk", disk::families()),
        ("Network", network::families()),
        (
            "Collectors",
            [group::FAMILIES, services::FAMILIES, cgroups::FAMILIES].concat(),
        ),
    ]
}

impl Resources {
    /// Builds the groups that are switched on, and attaches what they need. A group whose kernel
    /// programs this kernel refuses goes on with what `/proc` has; its [`hooks`](Self::hooks) say so.
    #[must_use]
    pub fn build(config: &Config, types: &Types, identities: Arc<Mutex<Identities>>) -> Self {
        let services = Arc::new(Services::new(
            config.resources.max_services,
            config.metrics.expire_after,
        ));
        let census = Arc::new(Census::new(
            config.proc_root.clone(),
            identities,
            Arc::clone(&services),
        ));
        let cgroups = Cgroups::new(config.proc_root.clone(), Arc::clone(&census));
        let host = Host {
            proc_root: config.proc_root.clone(),
            census,
            cgroups: Arc::new(cgroups),
            services: Arc::clone(&services),
        };
        let mut built = Self {
            groups: Vec::new(),
            hooks: Vec::new(),
            cgroups: Arc::clone(&host.cgroups),
            services,
        };
        if config.resources.cpu {
            built.add("cpu", cpu::build(&host, types));
        }
        if config.resources.memory {
            built.add("memory", memory::build(&host, types));
        }
        if config.resources.disk {
            built.add("disk", disk::build(&host, types));
        }
        if config.resources.network {
            built.add("network", network::build(&host, types));
        }
        built
    }

    fn add(&mut self, name: &'static str, (collect, hooks): (Box<dyn Collect>, Vec<Hook>)) {
        self.groups.push((name, collect));
        self.hooks.extend(hooks);
    }

    /// Starts a thread for each group.
    ///
    /// # Errors
    ///
    /// A thread cannot be started.
    pub fn start(self) -> io::Result<Running> {
        Ok(Running {
            groups: Groups::start(self.groups)?,
            cgroups: self.cgroups,
            services: self.services,
        })
    }

    /// What the groups attach to, and what came of it.
    #[must_use]
    pub fn hooks(&self) -> &[Hook] {
        &self.hooks
    }
}

/// Takes the hooks of an object that was loaded, or says of each of `wanted` why there is none.
pub(crate) fn hooks_of(
    object: &'static str,
    wanted: &'static [crate::kernel::object::Wanted],
    loaded: &Result<Object, ObjectError>,
) -> Vec<Hook> {
    match loaded {
        Ok(object) => object.hooks.clone(),
        Err(error) => {
            tracing::warn!(object, %error, "kernel programs are not attached");
            wanted
                .iter()
                .map(|wanted| Hook {
                    object,
                    name: wanted.name,
                    kind: "tp_btf",
                    gives: wanted.gives,
                    failure: Some(error.to_string()),
                })
                .collect()
        }
    }
}

impl Section for Running {
    fn write(&self, page: &mut Page<'_>) -> io::Result<()> {
        self.groups.write(page)?;
        self.cgroups.write(page)?;
        self.services.write(page)
    }
}
