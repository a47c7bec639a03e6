//! The service graph on a page.

use std::io;
use std::sync::Arc;

use super::Shared;
use super::edges::Counts;
use crate::red::histogram::{DURATION, Durations};
use crate::telemetry::page::{Family, Kind, Page, Section};
use crate::telemetry::seconds::Seconds;

const SOURCE: &str = "the exchanges heard on sockets";

const LABELS: &[&str] = &[
    "client",
    "server",
    "client_service_namespace",
    "server_service_namespace",
    "connection_type",
];

const fn counter(name: &'static str, help: &'static str) -> Family {
    Family {
        name,
        help,
        unit: None,
        kind: Kind::Counter,
        source: SOURCE,
        labels: LABELS,
    }
}

const fn seconds(name: &'static str, help: &'static str) -> Family {
    Family {
        name,
        help,
        unit: Some("seconds"),
        kind: Kind::Histogram,
        source: SOURCE,
        labels: LABELS,
    }
}

const TOTAL: Family = counter(
    "traces_service_graph_request",
    "Number of requests from client to server, each counted once: at the server, or at the client if the server is not on this host.",
);
const FAILED: Family = counter(
    "traces_service_graph_request_failed",
    "Number of these that failed, by the end at which they are counted.",
);
const SERVER: Family = seconds(
    "traces_service_graph_request_server_seconds",
    "Duration of requests from client to server, as the server had it.",
);
const CLIENT: Family = seconds(
    "traces_service_graph_request_client_seconds",
    "Duration of requests from client to server, as the client had it.",
);

/// All families, for the reference.
#[cfg(test)]
pub(crate) const fn families() -> [&'static Family; 4] {
    [&TOTAL, &FAILED, &SERVER, &CLIENT]
}

/// One of the counts of an edge.
type Count = fn(&Counts) -> u64;
/// One of its histograms.
type Histograms = fn(&Counts) -> &Durations;

/// The part of the page.
#[derive(Debug)]
pub(super) struct Graph(pub(super) Arc<Shared>);

impl Section for Graph {
    fn write(&self, page: &mut Page<'_>) -> io::Result<()> {
        let lines = self.0.edges().copy();
        if lines.is_empty() {
            return Ok(());
        }
        let counters: [(&Family, Count); 2] = [
            (&TOTAL, |counts| counts.total),
            (&FAILED, |counts| counts.failed),
        ];
        for (family, value) in counters {
            page.family(family)?;
            for (labels, counts) in &lines {
                page.sample(family, labels, value(counts))?;
            }
        }
        let histograms: [(&Family, Histograms); 2] = [
            (&SERVER, |counts| &counts.server),
            (&CLIENT, |counts| &counts.client),
        ];
        for (family, durations) in histograms {
            let mut written = false;
            for (labels, counts) in &lines {
                let histogram = durations(counts);
                if histogram.is_empty() {
                    continue;
                }
                if !std::mem::replace(&mut written, true) {
                    page.family(family)?;
                }
                let buckets = DURATION
                    .iter()
                    .map(|bound| bound.le)
                    .chain(["+Inf"])
                    .zip(histogram.counts);
                page.histogram(family, labels, buckets, Seconds(histogram.sum))?;
            }
        }
        Ok(())
    }
}
