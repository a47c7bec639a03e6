//! The books of a case: what clients and servers did, against what the agent has.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::agent::{self, Agent};
use crate::bpf;
use crate::load::Sent;
use crate::metrics::{Counts, Page};
use crate::server::Server;
use crate::torture::Outcome;
use crate::wait;

/// How long reports may take after the last request.
const SETTLE: Duration = Duration::from_secs(60);

/// A method or status of a call that was not heard whole.
const UNKNOWN: &str = "unknown";

/// The label that most ends are known by.
const SERVICE: &str = "service_name";

/// How much more the agent may have after a case: the ring's pages count once they were used, twice, as
/// they are mapped twice; tables that have grown keep their size, and the allocator what was freed.
const GROWTH: u64 = 64 << 20;

/// How many more entries a table may have after a case: of connections and processes of the host that
/// have nothing to do with it, and of the servers, which live on.
const OTHERS: u64 = 64;

/// One end of some traffic.
#[derive(Debug)]
struct End {
    family: &'static str,
    /// A label that all of it has, and nothing else: a service, or a server's port.
    label: (&'static str, String),
    own: Counts,
    /// What was there of it before.
    before: Counts,
}

impl End {
    fn heard(&self, page: &Page) -> Counts {
        let mut heard = all_of(page, self.family, &self.label);
        for (kind, count) in &mut heard {
            *count -= self.before.get(kind).copied().unwrap_or(0);
        }
        heard
    }
}

fn all_of(page: &Page, family: &str, (label, value): &(&str, String)) -> Counts {
    if [agent::CALL_SERVER, agent::CALL_CLIENT].contains(&family) {
        return page.calls(family, value);
    }
    let mut counts = Counts::new();
    for ((method, status, _), count) in page.outcomes(family, &[(label, value)]) {
        *counts.entry((method, status)).or_default() += count;
    }
    counts
}

/// What one agent is held to.
#[derive(Debug)]
pub(super) struct Books {
    page: Page,
    lost: u64,
    http2_lost: u64,
    before: u64,
    entries: BTreeMap<String, u64>,
    open: u64,
    ends: Vec<End>,
    calls: Vec<End>,
}

impl Books {
    /// Opened before the load, with an agent that has settled.
    pub(super) fn open(agent: &Agent) -> Self {
        let page = agent.page();
        Self {
            lost: lost(&page),
            http2_lost: http2_lost(&page),
            before: agent.resident_bytes(),
            entries: bpf::entries_of(agent.process().id()),
            open: 0,
            ends: Vec::new(),
            calls: Vec::new(),
            page,
        }
    }

    /// A service has served so many more requests, by its client's count.
    pub(super) fn served(&mut self, service: &str, counts: &Counts) {
        self.enter(agent::SERVER, SERVICE, service, counts);
    }

    /// A service has sent so many more requests, by its own count.
    pub(super) fn sent(&mut self, service: &str, counts: &Counts) {
        self.enter(agent::CLIENT, SERVICE, service, counts);
    }

    /// Clients, whoever they are, have sent so many more requests to a port.
    pub(super) fn sent_to(&mut self, port: u16, counts: &Counts) {
        self.enter(agent::CLIENT, "server_port", &port.to_string(), counts);
    }

    /// What the kernel side's tables had before.
    pub(super) const fn entries(&self) -> &BTreeMap<String, u64> {
        &self.entries
    }

    /// Has the tables held to what they had at another time.
    pub(super) fn with_entries(mut self, entries: BTreeMap<String, u64>) -> Self {
        self.entries = entries;
        self
    }

    /// So many connections, of which both ends are here, are open when the books are closed.
    pub(super) const fn keep_open(&mut self, connections: u64) {
        self.open += 2 * connections;
    }

    /// No table of the kernel side's keeps what is over.
    #[track_caller]
    fn tables_are_empty(&self, agent: &Agent) {
        for (table, before) in &self.entries {
            let before = before + self.open;
            let now = || bpf::entries_of(agent.process().id()).remove(table);
            let after = wait::settle_below(SETTLE, before + OTHERS, || now().unwrap_or(0));
            assert!(
                after <= before + OTHERS,
                "{table} had {before} entries and has {after}"
            );
        }
    }

    /// Both ends of a load, which must have had no error.
    #[track_caller]
    pub(super) fn load(&mut self, server: &Server, sent: &Sent) {
        assert_eq!(
            sent.outcome.failed,
            Default::default(),
            "the load had errors"
        );
        self.served(&server.service, &sent.counts());
        self.sent(&sent.service, &sent.counts());
    }

    /// Calls of gRPC, at both ends.
    pub(super) fn calls(&mut self, server: &str, client: &str, counts: &Counts) {
        for (family, service) in [(agent::CALL_SERVER, server), (agent::CALL_CLIENT, client)] {
            self.enter(family, SERVICE, service, counts);
        }
    }

    fn enter(&mut self, family: &'static str, label: &'static str, value: &str, counts: &Counts) {
        let calls = [agent::CALL_SERVER, agent::CALL_CLIENT].contains(&family);
        let ends = if calls {
            &mut self.calls
        } else {
            &mut self.ends
        };
        let label = (label, value.to_owned());
        let known = ends
            .iter()
            .position(|end| end.family == family && end.label == label);
        let known = known.unwrap_or_else(|| {
            ends.push(End {
                family,
                before: all_of(&self.page, family, &label),
                label,
                own: Counts::new(),
            });
            ends.len() - 1
        });
        for (kind, count) in counts {
            *ends[known].own.entry(kind.clone()).or_default() += count;
        }
    }

    /// Sent = seen + counted as lost; of no kind more is seen than was sent; nothing is under way in
    /// the kernel; the agent is well and has its memory back.
    ///
    /// Of HTTP/2 a loss is counted in records and in directions, not in calls: only if there was none
    /// must each call be there, with its method and status.
    #[track_caller]
    pub(super) fn close(self, agent: &Agent) -> Outcome {
        let sent: u64 = self.ends.iter().map(|end| total(&end.own)).sum();
        let seen_on =
            |page: &Page| -> u64 { self.ends.iter().map(|end| total(&end.heard(page))).sum() };
        wait::expect_within(SETTLE, "sent = seen + counted as lost", &sent, || {
            let page = agent.page();
            seen_on(&page) + lost(&page) - self.lost
        });
        let page = agent.page();
        let http2_lost = http2_lost(&page) - self.http2_lost;
        for end in self.ends.iter().chain(&self.calls) {
            let (family, label) = (end.family, &end.label);
            let heard = end.heard(&page);
            assert!(total(&heard) <= total(&end.own), "{family} of {label:?}");
            for ((method, status), count) in heard {
                if http2_lost > 0 && [method.as_str(), &status].contains(&UNKNOWN) {
                    continue;
                }
                let kind = (method, status);
                let own = end.own.get(&kind).copied().unwrap_or(0);
                assert!(
                    count <= own,
                    "{family} of {label:?}: {count} of {kind:?}, where there were {own}"
                );
            }
        }
        if http2_lost == 0 {
            for end in &self.calls {
                wait::expect_within(SETTLE, &end.label.1, &end.own, || end.heard(&agent.page()));
            }
        }
        balance(agent);
        self.tables_are_empty(agent);
        let after = wait::settle_below(SETTLE, self.before + GROWTH, || agent.resident_bytes());
        assert!(
            after <= self.before + GROWTH,
            "the agent had {} bytes and has {after}",
            self.before
        );
        let calls: u64 = self.calls.iter().map(|end| total(&end.own)).sum();
        let heard: u64 = self.calls.iter().map(|end| total(&end.heard(&page))).sum();
        Outcome {
            sent: sent + calls,
            seen: seen_on(&page) + heard,
            lost: lost(&page) - self.lost,
            before: self.before,
            after,
        }
    }
}

/// The kernel side's own equation: begun = handed over + lost + under way. Of that, at most as many as
/// may be outstanding on the connections that the agent knows to have any: this host has others than
/// ours.
#[track_caller]
fn balance(agent: &Agent) {
    wait::until(SETTLE, "begun = handed over + lost + under way", || {
        let page = agent.page();
        let total = |name| page.total(name, &[]);
        let under_way = total("hark_exchanges_begun_total").checked_sub(
            total("hark_exchanges_handed_over_total") + total("hark_exchanges_lost_total"),
        )?;
        (under_way <= 64 * total("hark_connections_active")).then_some(())
    });
}

fn total(counts: &Counts) -> u64 {
    counts.values().sum()
}

fn lost(page: &Page) -> u64 {
    page.total("hark_exchanges_lost_total", &[]) + page.total("hark_exchanges_dropped_total", &[])
}

fn http2_lost(page: &Page) -> u64 {
    page.total("hark_http2_records_lost_total", &[])
        + page.total("hark_http2_directions_lost_total", &[])
}
