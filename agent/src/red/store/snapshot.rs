//! A copy of the store, made in parts, for a page.

use std::sync::Arc;

use super::Store;
use super::streams::Figures;
use crate::exchange::Role;
use crate::red::counts::Counts;
use crate::red::exemplar::Exemplars;
use crate::red::labels::OVERFLOW;

/// Label sets copied under one hold of the lock: some tens of microseconds.
const COPY_PART: usize = 256;

/// Which metrics exchanges are counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::red) enum Group {
    /// Those of HTTP requests.
    Http,
    /// Those of calls.
    Rpc,
}

/// One label set on its way to a page.
#[derive(Debug)]
pub(in crate::red) struct Line<T> {
    pub(in crate::red) role: Role,
    pub(in crate::red) labels: Arc<str>,
    pub(in crate::red) value: T,
}

/// What is said of the exchanges of a label set.
#[derive(Debug)]
pub(in crate::red) struct Counted {
    pub(in crate::red) group: Group,
    pub(in crate::red) counts: Counts,
    /// If they were wanted.
    pub(in crate::red) exemplars: Exemplars,
}

/// A copy of the store.
#[derive(Debug, Default)]
pub(in crate::red) struct Snapshot {
    pub(in crate::red) counts: Vec<Line<Counted>>,
    pub(in crate::red) active: Vec<Line<i64>>,
    pub(in crate::red) streams: Vec<Line<Figures>>,
    /// The next place to copy.
    next: usize,
    /// Whether exemplars are wanted.
    exemplars: bool,
}

impl Snapshot {
    pub(in crate::red) fn new(exemplars: bool) -> Self {
        Self {
            exemplars,
            ..Self::default()
        }
    }
}

impl Store {
    /// Copies the next part of the store; `false` once all is copied. Between parts no place may
    /// be freed.
    pub(in crate::red) fn copy_part(&mut self, snapshot: &mut Snapshot) -> bool {
        snapshot
            .counts
            .reserve(self.series.len().saturating_sub(snapshot.counts.len()) + 2);
        let end = self.series.len().min(snapshot.next + COPY_PART);
        for series in self.series[snapshot.next..end].iter_mut().flatten() {
            series.used.scraped = true;
            let key = series.key.as_key();
            snapshot.counts.push(Line {
                role: key.fixed.role,
                labels: Arc::clone(&series.labels),
                value: Counted {
                    group: if key.is_rpc() {
                        Group::Rpc
                    } else {
                        Group::Http
                    },
                    counts: series.counts.clone(),
                    exemplars: if snapshot.exemplars {
                        series.exemplars.clone()
                    } else {
                        Exemplars::default()
                    },
                },
            });
        }
        snapshot.next = end;
        if end < self.series.len() {
            return true;
        }
        for (key, active) in &mut self.active {
            active.used.scraped = true;
            snapshot.active.push(Line {
                role: key.role,
                labels: Arc::clone(&active.labels),
                value: active.count,
            });
        }
        for ((_, role), own) in &mut self.streams {
            own.used.scraped = true;
            snapshot.streams.push(Line {
                role: *role,
                labels: Arc::clone(&own.labels),
                value: own.streams.figures(),
            });
        }
        for (role, overflow) in [
            (Role::Server, &self.server_overflow),
            (Role::Client, &self.client_overflow),
        ] {
            for (group, counts) in [(Group::Http, &overflow.http), (Group::Rpc, &overflow.rpc)] {
                if !counts.duration.is_empty() {
                    snapshot.counts.push(Line {
                        role,
                        labels: OVERFLOW.into(),
                        value: Counted {
                            group,
                            counts: counts.clone(),
                            exemplars: Exemplars::default(),
                        },
                    });
                }
            }
            if overflow.requests > 0 {
                snapshot.active.push(Line {
                    role,
                    labels: OVERFLOW.into(),
                    value: overflow.requests,
                });
            }
            let streams = overflow.streams.figures();
            if streams != Figures::default() {
                snapshot.streams.push(Line {
                    role,
                    labels: OVERFLOW.into(),
                    value: streams,
                });
            }
        }
        false
    }
}
