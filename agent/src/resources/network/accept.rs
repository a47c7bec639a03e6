//! How long connections wait until the application accepts them.

use aya::maps::{Array, MapData};
use hark_common::accept::{Accepted, Counter};
use hark_common::histogram::Exp2;
use hark_common::process::Task;

use crate::kernel::Hook;
use crate::kernel::accept::{Maps, ON_CGROUP, WANTED, load};
use crate::kernel::counters::Counters;
use crate::kernel::object::{Object, Types};
use crate::resources::group::CollectError;
use crate::resources::ledger::{Ledger, ProcessMap, Tally};
use crate::resources::{Host, histogram, hooks_of};
use crate::telemetry::page::{Family, Kind, Page};

const SOURCE: &str = "inet_sock_set_state, cgroup getpeername";
const SERVICE: &[&str] = &["service_name", "service_namespace"];

const HOST_WAIT: Family = Family {
    name: "hark_accept_wait_seconds",
    help: "How long TCP connections waited from the end of the handshake until they were accepted, on the whole host.",
    unit: Some("seconds"),
    kind: Kind::Histogram,
    source: SOURCE,
    labels: &[],
};

const WAIT: Family = Family {
    name: "hark_service_accept_wait_seconds",
    help: "How long TCP connections waited from the end of the handshake until the service accepted them. Seen where accept is asked for the peer's address (nginx, Go, Python, Java); the others count in hark_service_accept_wait_unknown_total.",
    unit: Some("seconds"),
    kind: Kind::Histogram,
    source: SOURCE,
    labels: SERVICE,
};

const HOST_UNKNOWN: Family = Family {
    name: "hark_accept_wait_unknown",
    help: "Closed TCP connections whose wait is not known, because accept was not asked for the peer's address (Node.js), on the whole host.",
    unit: None,
    kind: Kind::Counter,
    source: SOURCE,
    labels: &[],
};

const UNKNOWN: Family = Family {
    name: "hark_service_accept_wait_unknown",
    help: "TCP connections that the service accepted and closed whose wait is not known, because accept was not asked for the peer's address (Node.js). Those that ended by a reset count for the host alone.",
    unit: None,
    kind: Kind::Counter,
    source: SOURCE,
    labels: SERVICE,
};

const LOST: Family = Family {
    name: "hark_accept_wait_lost",
    help: "Connections that could not be counted: the kernel had no memory (`no_memory`), or the table of processes was full, and they count for the host alone (`table_full`).",
    unit: None,
    kind: Kind::Counter,
    source: SOURCE,
    labels: &["reason"],
};

/// What this module writes.
pub(super) const FAMILIES: &[&Family] = &[&HOST_WAIT, &WAIT, &HOST_UNKNOWN, &UNKNOWN, &LOST];

impl Tally for Accepted {
    fn task(&self) -> &Task {
        &self.task
    }

    fn add_since(&mut self, now: &Self, earlier: &Self) {
        let Self {
            task: _,
            wait,
            unseen,
        } = self;
        histogram::add_since(wait, &now.wait, &earlier.wait);
        *unseen += now.unseen.saturating_sub(earlier.unseen);
    }
}

/// The running programs, and the sums of the services.
pub(super) struct Accepts {
    object: Object,
    processes: ProcessMap<Accepted>,
    host: Array<MapData, Exp2>,
    counters: Counters,
    ledger: Ledger<Accepted>,
}

/// Attaches what it needs; nothing if that cannot be.
pub(super) fn build(types: &Types) -> (Option<Accepts>, Vec<Hook>) {
    let loaded = load(types, std::process::id())
        .and_then(|mut object| Ok((Maps::take(&mut object)?, object)));
    let (maps, loaded) = match loaded {
        Ok((maps, object)) => (Some(maps), Ok(object)),
        Err(error) => (None, Err(error)),
    };
    let mut hooks = hooks_of("accept", &WANTED, &loaded);
    if let Err(error) = &loaded {
        let failed = |wanted: &crate::kernel::object::cgroup::OnCgroup| {
            wanted.hook("accept", Some(error.to_string()))
        };
        hooks.extend(ON_CGROUP.iter().map(failed));
    }
    let accepts = loaded.ok().zip(maps).map(|(object, maps)| Accepts {
        object,
        processes: ProcessMap::new("PROCESSES", maps.processes),
        host: maps.host,
        counters: maps.counters,
        ledger: Ledger::default(),
    });
    (accepts, hooks)
}

impl Accepts {
    pub(super) const fn object(&self) -> &Object {
        &self.object
    }

    /// Looks at the processes, also between two scrapes, so that those that end are not missed.
    pub(super) fn post(&mut self, host: &Host) -> Result<(), CollectError> {
        self.ledger.post(&mut self.processes, host)
    }

    /// Writes all families.
    pub(super) fn write(&mut self, page: &mut Page<'_>, host: &Host) -> Result<(), CollectError> {
        // What was posted is shown though not all could be read.
        let posted = self.post(host);
        let all = self.host.get(&0, 0);
        let all = all.map_err(|error| CollectError::of_map("HOST", &error))?;
        page.family(&HOST_WAIT)?;
        histogram::write(page, &HOST_WAIT, "", &all)?;
        page.family(&WAIT)?;
        for (labels, sum) in self.ledger.services() {
            if sum.wait.buckets.iter().any(|count| *count > 0) {
                histogram::write(page, &WAIT, labels, &sum.wait)?;
            }
        }
        page.family(&HOST_UNKNOWN)?;
        page.sample(
            &HOST_UNKNOWN,
            "",
            self.counters.total(Counter::Unseen as u32)?,
        )?;
        page.family(&UNKNOWN)?;
        for (labels, sum) in self.ledger.services() {
            page.sample(&UNKNOWN, labels, sum.unseen)?;
        }
        page.family(&LOST)?;
        for (reason, counter) in [
            ("reason=\"no_memory\"", Counter::StorageFailed),
            ("reason=\"table_full\"", Counter::MapFull),
        ] {
            page.sample(&LOST, reason, self.counters.total(counter as u32)?)?;
        }
        posted
    }
}
