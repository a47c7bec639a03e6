//! The span that stands for a bucket.

use super::histogram::{DURATION, bucket};
use crate::otlp::Span;
use crate::telemetry::page::Exemplar;

/// The newest span of each bucket of one duration histogram that has any: at most one per bucket.
#[derive(Clone, Debug, Default)]
pub(super) struct Exemplars(Vec<(usize, Exemplar)>);

impl Exemplars {
    /// Takes a span in, unless there is a later one in its bucket.
    pub(super) fn add(&mut self, span: &Span) {
        let value_ns = span.exchange.duration_ns();
        let exemplar = Exemplar {
            trace_id: span.trace_id,
            span_id: span.span_id,
            value_ns,
            time_unix_ns: span.end_unix_ns,
        };
        let bucket = bucket(&DURATION, value_ns);
        match self.0.iter_mut().find(|(place, _)| *place == bucket) {
            Some((_, present)) if present.time_unix_ns > exemplar.time_unix_ns => {}
            Some((_, present)) => *present = exemplar,
            None => self.0.push((bucket, exemplar)),
        }
    }

    /// That of one bucket.
    pub(super) fn of(&self, bucket: usize) -> Option<&Exemplar> {
        let (_, exemplar) = self.0.iter().find(|(place, _)| *place == bucket)?;
        Some(exemplar)
    }
}
