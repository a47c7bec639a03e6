//! Disks: utilization, saturation, errors.
//!
//! How much and how busy is in the kernel's own books (`books`), for every disk. How long requests
//! wait and how long the device takes, and for whom, is what programs of hark's own see
//! (`requests`, `services`); a device that hands on what it gets without a queue of requests of
//! its own (zram, most of the device mapper) is in the books alone.

mod books;
mod requests;
mod services;
mod status;

use super::group::{Collect, CollectError};
use super::ledger::ProcessMap;
use super::pressure::{self, Pressure, Resource};
use super::{Host, hooks_of};
use crate::kernel::Hook;
use crate::kernel::block::{self, BlockPrograms};
use crate::kernel::object::{Object, ObjectError, Types};
use crate::telemetry::page::{Family, Page};

use books::Books;
use requests::Requests;
use services::Accounts;

struct Disk {
    host: Host,
    books: Books,
    programs: Option<(Requests, Accounts)>,
    pressure: Pressure,
}

/// Builds the group, and attaches what it needs.
#[must_use]
pub fn build(host: &Host, types: &Types) -> (Box<dyn Collect>, Vec<Hook>) {
    let loaded = block::load(types);
    let hooks = hooks_of("block", &block::WANTED, &loaded);
    let programs = loaded.and_then(|object| take(object, types));
    let disk = Disk {
        host: host.clone(),
        books: Books::new(&host.proc_root),
        // `hooks_of` has said why there are none.
        programs: programs.ok(),
        pressure: Pressure::new(Resource::Io),
    };
    (Box::new(disk), hooks)
}

fn take(mut object: Object, types: &Types) -> Result<(Requests, Accounts), ObjectError> {
    let accounts = Accounts::new(ProcessMap::new("PROCESSES", object.map("PROCESSES")?));
    let programs = BlockPrograms::new(object)?;
    let new_status_numbers = block::has_new_status_numbers(&types.btf);
    Ok((Requests::new(programs, new_status_numbers), accounts))
}

/// What the group writes.
#[must_use]
pub fn families() -> Vec<&'static Family> {
    [
        books::FAMILIES,
        requests::FAMILIES,
        services::FAMILIES,
        &pressure::families(Resource::Io),
    ]
    .concat()
}

impl Collect for Disk {
    fn collect(&mut self, page: &mut Page<'_>) -> Result<(), CollectError> {
        let stats = self.books.read();
        if let Ok(stats) = &stats {
            self.books.write(stats, page)?;
        }
        let mut done = Ok(());
        if let Some((requests, accounts)) = &mut self.programs {
            let posted = accounts.post(&self.host);
            accounts.write(page)?;
            let written = requests.write(stats.as_deref().ok(), page);
            done = written.and(posted);
        }
        let pressure = self.pressure.write(page, &self.host);
        stats.and(done).and(pressure)
    }

    fn tend(&mut self) {
        if let Some((_, accounts)) = &mut self.programs {
            // Said with the next scrape, if it fails again.
            let _ = accounts.post(&self.host);
        }
    }
}
