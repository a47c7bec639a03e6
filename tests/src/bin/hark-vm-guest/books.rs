//! What was done, against what the agent heard of it and what it says it could not hear.

use hark_tests::agent::Agent;
use hark_tests::metrics::{Counts, Page};
use hark_tests::wait;

use crate::SETTLE;

/// A status of gRPC that was sent and not heard.
const UNKNOWN: &str = "unknown";

/// How losses are counted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Each exchange.
    Http1,
    /// Each exchange, where there are numbers to tell by that an event was skipped. An `AF_UNIX` socket
    /// has none: there a skipped event may be one exchange less, or one of another kind.
    Unix,
    /// Each time that a direction could not be followed for a while, with the bytes that are missing:
    /// how many requests were in those, nobody can say.
    Http2,
}

/// One end of some traffic.
pub(crate) struct End<'a> {
    /// Which, as the beginning of a sentence.
    pub(crate) what: &'a str,
    /// What it did by its own count.
    pub(crate) own: Counts,
    /// What a page has of it.
    pub(crate) heard: &'a dyn Fn(&Page) -> Counts,
}

/// What the agent says it could not hear.
#[derive(Clone, Copy, Debug)]
struct Losses {
    /// Exchanges, in the kernel and after it.
    exchanges: u64,
    /// Directions of HTTP/2 connections.
    directions: u64,
    /// Calls whose status was not heard.
    statuses: u64,
    /// Events that the kernel did not hand over.
    skipped: u64,
}

impl Losses {
    fn of(page: &Page) -> Self {
        let total = |name| page.total(name, &[]);
        Self {
            exchanges: total("hark_exchanges_lost_total") + total("hark_exchanges_dropped_total"),
            directions: total("hark_http2_directions_lost_total"),
            statuses: page.total(
                "hark_http2_fields_unknown_total",
                &[("field", "grpc_status")],
            ),
            skipped: total("hark_events_skipped_total"),
        }
    }

    fn since(self, before: Self) -> Self {
        Self {
            exchanges: self.exchanges - before.exchanges,
            directions: self.directions - before.directions,
            statuses: self.statuses - before.statuses,
            skipped: self.skipped - before.skipped,
        }
    }
}

/// Opened before the traffic, closed after it.
pub(crate) struct Books<'a> {
    agent: &'a Agent,
    before: Losses,
}

impl<'a> Books<'a> {
    pub(crate) fn open(agent: &'a Agent) -> Self {
        Self {
            agent,
            before: Losses::of(&agent.page()),
        }
    }

    /// Done = heard + counted as lost, over all ends; and of no kind more is heard than was done. Says
    /// so in a few words.
    pub(crate) fn close(&self, protocol: Protocol, ends: &[End<'_>]) -> String {
        let done: u64 = ends.iter().map(|end| total(&end.own)).sum();
        let look = |page: &Page| {
            let heard: u64 = ends.iter().map(|end| total(&(end.heard)(page))).sum();
            (heard, Losses::of(page).since(self.before))
        };
        let _ = wait::settle(SETTLE, &done, || {
            let (heard, lost) = look(&self.agent.page());
            heard + lost.exchanges
        });
        let page = self.agent.page();
        let (heard, lost) = look(&page);
        if protocol == Protocol::Unix && lost.skipped > 0 {
            assert!(heard <= done, "{heard} heard of {done}; {lost:?}");
            let skipped = lost.skipped;
            return format!("{heard} of {done}, {skipped} events skipped");
        }
        let mut unknown = 0;
        for end in ends {
            for (kind, count) in (end.heard)(&page) {
                if kind.1 == UNKNOWN {
                    unknown += count;
                    continue;
                }
                let own = end.own.get(&kind).copied().unwrap_or(0);
                let what = end.what;
                assert!(
                    count <= own,
                    "{what}: {count} heard of {kind:?}, of {own}; {lost:?}"
                );
            }
        }
        assert!(
            unknown <= lost.statuses || lost.directions > 0,
            "{unknown} statuses unknown; {lost:?}"
        );
        let missing = done.checked_sub(heard);
        let words = match (protocol, missing) {
            (_, Some(0)) if lost.exchanges == 0 => {
                let one = done / ends.len() as u64;
                format!("{one} of {one}")
            }
            (_, Some(missing)) if missing == lost.exchanges => {
                format!("{heard} of {done}, {missing} counted as lost")
            }
            (Protocol::Http2, Some(_)) if lost.directions > 0 => format!(
                "{heard} of {done}, {} times a direction was lost",
                lost.directions
            ),
            _ => panic!("{heard} heard of {done}; {lost:?}; {}", told(&page)),
        };
        match unknown {
            0 => words,
            unknown => format!("{words}, {unknown} without a status"),
        }
    }
}

fn total(counts: &Counts) -> u64 {
    counts.values().sum()
}

/// All that the agent says of losses.
fn told(page: &Page) -> String {
    let of_losses = ["hark_exchanges_", "hark_events_skipped_", "hark_gap_"];
    page.0
        .iter()
        .filter(|sample| sample.value > 0.0)
        .filter(|sample| of_losses.iter().any(|name| sample.name.starts_with(name)))
        .map(|sample| format!("{} {:?} {}", sample.name, sample.labels, sample.value))
        .collect::<Vec<_>>()
        .join(", ")
}
