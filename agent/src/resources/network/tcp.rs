//! TCP: who opens connections, how they fare, how they end; per service and for the host.
//!
//! The kernel side counts at the beginning and the end of a connection and at what goes wrong
//! between. Only bytes move in between without anybody looking: those of a living connection, and how
//! far away its peer is, are asked for with `sock_diag` at the scrape. A connection that ends between the two looks of one
//! scrape would be missing from both, never in both, because what is over is read first; so a sum
//! can lag for one scrape, and is held where it was rather than shown to fall.

mod families;
mod living;
mod seed;

use std::collections::HashMap;
use std::io;
use std::time::Instant;

use hark_common::process::{ProcessKey, Task};
use hark_common::tcp::{Connection, Failure, Figures, Lost, Tally, role, state};
use indexmap::IndexMap;

use self::families::{
    ACCEPTED, CONNECT_DURATION, FAILED, LOST, NAMESPACES, OPEN, OPENED, Pair, RECEIVED,
    RESETS_RECEIVED, RESETS_SENT, RETRANSMITS, RTT, SENT, UNBOUND,
};
use self::living::RoundTrips;
use crate::kernel::Hook;
use crate::kernel::object::{Object, Types};
use crate::kernel::tcp::{TcpPrograms, WANTED, add};
use crate::resources::group::CollectError;
use crate::resources::ledger::{self, Ledger};
use crate::resources::services::{Owner, ServiceLabels};
use crate::resources::{Host, histogram, hooks_of};
use crate::telemetry::page::Page;

pub use self::families::families;

/// The label of each [`role`].
const ROLES: [&str; role::COUNT] = ["client", "server"];

/// The label of each [`Failure`].
const FAILURES: [(&str, Failure); Failure::COUNT] = [
    ("refused", Failure::Refused),
    ("timed_out", Failure::TimedOut),
    ("unreachable", Failure::Unreachable),
    ("abandoned", Failure::Abandoned),
    ("other", Failure::Other),
];

/// The label of each [`Lost`].
const LOSSES: [(&str, Lost); Lost::COUNT as usize] = [
    ("table_full", Lost::Connections),
    ("process_table_full", Lost::Processes),
    ("unknown_listener", Lost::Listener),
];

impl ledger::Tally for Tally {
    fn task(&self) -> &Task {
        &self.task
    }

    fn add_since(&mut self, now: &Self, earlier: &Self) {
        add(&mut self.figures, &now.figures, &earlier.figures);
    }
}

/// What is open now, and what it moved so far.
#[derive(Clone, Copy, Debug, Default)]
struct Live {
    open: u64,
    sent: u64,
    received: u64,
}

/// By [`role`].
type Sides = [Live; role::COUNT];

/// The TCP part of the network group.
pub struct Tcp {
    programs: TcpPrograms,
    ledger: Ledger<Tally>,
    /// The bytes on the last page, by service, and those of the host with no labels.
    shown: HashMap<ServiceLabels, Sides>,
    shown_host: Sides,
    rtt: RoundTrips,
}

/// Loads the programs, and introduces what was there before them. Without them there is no TCP part.
#[must_use]
pub fn build(host: &Host, types: &Types) -> (Option<Tcp>, Vec<Hook>) {
    let loaded = TcpPrograms::load(types);
    let (object, programs) = match loaded {
        Ok(programs) => (None, Some(programs)),
        Err(error) => (Some(Err(error)), None),
    };
    let hooks = match (&object, &programs) {
        (Some(failed), _) => hooks_of("tcp", &WANTED, failed),
        (None, Some(programs)) => programs.object().hooks.clone(),
        (None, None) => Vec::new(),
    };
    let tcp = programs.map(|mut programs| {
        seed::seed(&mut programs, host);
        Tcp {
            programs,
            ledger: Ledger::default(),
            shown: HashMap::new(),
            shown_host: Sides::default(),
            rtt: RoundTrips::default(),
        }
    });
    (tcp, hooks)
}

/// One row of the page: the host, or a service.
struct Row<'a> {
    labels: &'a str,
    figures: Figures,
    live: Sides,
}

impl Tcp {
    pub(super) const fn object(&self) -> &Object {
        self.programs.object()
    }

    /// Reads what is over, so that a process that ends between two scrapes is still known.
    ///
    /// # Errors
    ///
    /// The map cannot be read.
    pub fn tend(&mut self, host: &Host) -> Result<(), CollectError> {
        self.ledger.post(&mut self.programs.processes, host)
    }

    /// Writes the families as they are now.
    ///
    /// # Errors
    ///
    /// Something is missing from the page that should be on it.
    pub fn write(&mut self, page: &mut Page<'_>, host: &Host) -> Result<(), CollectError> {
        // In this order: see above.
        let posted = self.ledger.post(&mut self.programs.processes, host);
        let all = self.programs.host()?;
        let connections = self.programs.connections()?;
        let mut owners: HashMap<ProcessKey, Owner> = HashMap::new();
        let mut whose = |connection: &Connection| {
            if connection.task.process.pid == 0 {
                return Owner::Unknown;
            }
            let owner = owners.entry(connection.task.process);
            owner
                .or_insert_with(|| host.census.owner(&connection.task))
                .clone()
        };
        let mut by_service: IndexMap<ServiceLabels, Sides> = IndexMap::new();
        let mut of_host = Sides::default();
        let mut enter = |connection: &Connection, owner: &Owner, live: Live| {
            let side = usize::from(connection.role) % role::COUNT;
            of_host[side].add(live);
            if let Owner::Service(labels) = owner {
                by_service.entry(labels.clone()).or_default()[side].add(live);
            }
        };
        let open = |connection: &&Connection| connection.state == state::OPEN;
        for connection in connections.values().filter(open) {
            let one = Live {
                open: 1,
                ..Live::default()
            };
            enter(connection, &whose(connection), one);
        }
        let now = Instant::now();
        let (living, unread) = living::look(host, now);
        for (cookie, counters) in &living {
            let Some(connection) = connections.get(cookie).filter(open) else {
                continue;
            };
            let since = Live {
                open: 0,
                sent: counters.sent.saturating_sub(connection.sent_before),
                received: counters.received.saturating_sub(connection.received_before),
            };
            let owner = whose(connection);
            enter(connection, &owner, since);
            self.rtt
                .see(*cookie, connection.role, counters, &owner, now);
        }
        self.rtt
            .retain(|cookie| connections.contains_key(cookie), host);
        self.shown.retain(|labels, _| host.services.has(labels));
        let mut rows = Vec::new();
        for (labels, entry) in self.ledger.services() {
            by_service.entry(labels.clone()).or_default();
            rows.push((labels.clone(), entry.figures));
        }
        for labels in self.rtt.services() {
            by_service.entry(labels.clone()).or_default();
        }
        for labels in by_service.keys() {
            if !rows.iter().any(|(known, _)| known == labels) {
                rows.push((labels.clone(), Figures::default()));
            }
        }
        for (labels, figures) in &mut rows {
            self.rtt.add_to(Some(labels), figures);
        }
        let mut all = all;
        self.rtt.add_to(None, &mut all);
        let mut services: Vec<Row<'_>> = Vec::new();
        for (labels, figures) in &rows {
            let live = by_service.get(labels).copied().unwrap_or_default();
            let shown = self.shown.entry(labels.clone()).or_default();
            services.push(Row {
                labels,
                figures: *figures,
                live: hold(shown, figures, live),
            });
        }
        let everything = [Row {
            labels: "",
            figures: all,
            live: hold(&mut self.shown_host, &all, of_host),
        }];
        write_rows(page, false, &everything)?;
        write_rows(page, true, &services)?;
        self.write_losses(page, &all, unread)?;
        posted
    }

    fn write_losses(
        &self,
        page: &mut Page<'_>,
        all: &Figures,
        unread: usize,
    ) -> Result<(), CollectError> {
        page.family(&UNBOUND)?;
        page.sample(&UNBOUND, "", all.resets_unbound)?;
        page.family(&LOST)?;
        for (reason, what) in LOSSES {
            let lost = self.programs.lost(what)?;
            page.sample(&LOST, &format!("reason=\"{reason}\""), lost)?;
        }
        page.family(&NAMESPACES)?;
        Ok(page.sample(&NAMESPACES, "", unread)?)
    }
}

impl Live {
    fn add(&mut self, other: Self) {
        self.open += other.open;
        self.sent += other.sent;
        self.received += other.received;
    }
}

/// The bytes of what is over and of what lives, not less than was shown before.
fn hold(shown: &mut Sides, over: &Figures, live: Sides) -> Sides {
    for ((shown, over), live) in shown.iter_mut().zip(&over.sides).zip(live) {
        shown.open = live.open;
        shown.sent = shown.sent.max(over.sent + live.sent);
        shown.received = shown.received.max(over.received + live.received);
    }
    *shown
}

/// Labels of a row with one more, which has no character that must be escaped.
fn with(labels: &str, name: &str, value: &str) -> String {
    let comma = if labels.is_empty() { "" } else { "," };
    format!("{labels}{comma}{name}=\"{value}\"")
}

fn write_rows(page: &mut Page<'_>, is_service: bool, rows: &[Row<'_>]) -> io::Result<()> {
    let client = usize::from(role::CLIENT);
    let server = usize::from(role::SERVER);
    for (pair, side) in [(&OPENED, client), (&ACCEPTED, server)] {
        let family = pair.of(is_service);
        page.family(family)?;
        for row in rows {
            page.sample(family, row.labels, row.figures.sides[side].established)?;
        }
    }
    let family = FAILED.of(is_service);
    page.family(family)?;
    for row in rows {
        for (error, failure) in FAILURES {
            let labels = with(row.labels, "error_type", error);
            page.sample(family, &labels, row.figures.failed[failure as usize])?;
        }
    }
    let family = CONNECT_DURATION.of(is_service);
    page.family(family)?;
    for row in rows {
        histogram::write(page, family, row.labels, &row.figures.connect)?;
    }
    type Value = fn(&Row<'_>, usize) -> u64;
    let by_role: [(&Pair, Value); 6] = [
        (&OPEN, |row, side| row.live[side].open),
        (&RETRANSMITS, |row, side| {
            row.figures.sides[side].retransmits
        }),
        (&RESETS_SENT, |row, side| {
            row.figures.sides[side].resets_sent
        }),
        (&RESETS_RECEIVED, |row, side| {
            row.figures.sides[side].resets_received
        }),
        (&SENT, |row, side| row.live[side].sent),
        (&RECEIVED, |row, side| row.live[side].received),
    ];
    for (pair, value) in by_role {
        let family = pair.of(is_service);
        page.family(family)?;
        for row in rows {
            for (side, name) in ROLES.iter().enumerate() {
                page.sample(family, &with(row.labels, "role", name), value(row, side))?;
            }
        }
    }
    let family = RTT.of(is_service);
    page.family(family)?;
    for row in rows {
        for (side, name) in ROLES.iter().enumerate() {
            let labels = with(row.labels, "role", name);
            histogram::write(page, family, &labels, &row.figures.sides[side].rtt)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_held_while_a_connection_is_between_the_looks() {
        let mut shown = Sides::default();
        let mut over = Figures::default();
        let mut live = Sides::default();
        live[1].sent = 700;
        assert_eq!(hold(&mut shown, &over, live)[1].sent, 700);
        // It has ended after what is over was read.
        assert_eq!(hold(&mut shown, &over, Sides::default())[1].sent, 700);
        over.sides[1].sent = 900;
        assert_eq!(hold(&mut shown, &over, Sides::default())[1].sent, 900);
        assert_eq!(shown[0].sent, 0);
    }

    #[test]
    fn a_label_more() {
        assert_eq!(with("", "role", "client"), "role=\"client\"");
        assert_eq!(with("a=\"b\"", "role", "server"), "a=\"b\",role=\"server\"");
    }
}
