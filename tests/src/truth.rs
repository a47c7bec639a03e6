//! Which socket each request went over: what the programs say, and what the spans say.

use std::collections::BTreeMap;

use crate::otlp::{Span, Value};

/// `<prefix> path port` by path, of what a program printed.
///
/// # Panics
/// If a line is not of that form.
#[must_use]
pub fn lines(said: &str, prefix: &str) -> BTreeMap<String, i64> {
    let words = said.lines().filter_map(|line| line.strip_prefix(prefix));
    words
        .map(|line| {
            let (path, port) = line.split_once(' ').expect("a path and a port");
            (path.to_owned(), port.parse().expect("a port"))
        })
        .collect()
}

/// The peer's port by path; 0 if a span has none.
#[must_use]
pub fn peers(spans: &[Span]) -> BTreeMap<String, i64> {
    let of = |span: &Span| match span.attributes.get("network.peer.port") {
        Some(Value::Int(port)) => *port,
        _ => 0,
    };
    spans
        .iter()
        .map(|span| (span.path().to_owned(), of(span)))
        .collect()
}
