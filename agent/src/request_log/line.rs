//! One exchange as one line of JSON.
//!
//! The keys are the labels of the metrics where there are such, and the attributes of the span with
//! `_` for `.` otherwise, so that the three can be joined by name as well as by id.

use std::fmt;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use serde::Serializer as _;
use serde::ser::SerializeMap as _;
use time::OffsetDateTime;

use crate::exchange::Role;
use crate::otlp::{Span, attributes};

/// Appends the line with its line feed. All text is valid UTF-8, see [`crate::exchange::Request`];
/// control characters are escaped, so that a line is a line.
pub(super) fn write(span: &Span, kept: bool, out: &mut Vec<u8>) {
    let begun = out.len();
    if object(span, kept, out).is_err() {
        // Writing to memory does not fail, and no value here can be refused.
        out.truncate(begun);
        out.extend_from_slice(b"{}");
    }
    out.push(b'\n');
}

fn object(span: &Span, kept: bool, out: &mut Vec<u8>) -> serde_json::Result<()> {
    let exchange = &span.exchange;
    let mut json = serde_json::Serializer::new(out);
    let mut map = json.serialize_map(None)?;
    map.serialize_entry("time", &Rfc3339(span.end_unix_ns).to_string())?;
    let role = match exchange.role {
        Role::Server => "server",
        Role::Client => "client",
    };
    map.serialize_entry("role", role)?;
    map.serialize_entry("service_name", &*span.service.name)?;
    if let Some(namespace) = span.service.namespace.as_deref() {
        map.serialize_entry("service_namespace", namespace)?;
    }
    map.serialize_entry("duration_seconds", &span.duration_s())?;
    for attribute in attributes(exchange, span.server_route()) {
        let key = attribute.key.replace('.', "_");
        match attribute.value.and_then(|value| value.value) {
            Some(Value::StringValue(text)) => map.serialize_entry(&key, &text)?,
            Some(Value::IntValue(number)) => map.serialize_entry(&key, &number)?,
            Some(Value::DoubleValue(number)) => map.serialize_entry(&key, &number)?,
            Some(Value::BoolValue(yes)) => map.serialize_entry(&key, &yes)?,
            // Spans have no others.
            _ => {}
        }
    }
    map.serialize_entry("trace_id", &Hex(&span.trace_id).to_string())?;
    map.serialize_entry("span_id", &Hex(&span.span_id).to_string())?;
    map.serialize_entry("span_kept", &kept)?;
    map.end()
}

/// Bytes in lower-case hexadecimal.
pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

/// ns since 1970 as `2026-01-02T03:04:05.000000006Z` (RFC 3339).
struct Rfc3339(u64);

impl fmt::Display for Rfc3339 {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Every 64-bit number of nanoseconds is before the year 2555.
        let time = OffsetDateTime::from_unix_timestamp_nanos(self.0.into())
            .unwrap_or(OffsetDateTime::UNIX_EPOCH);
        write!(
            out,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:09}Z",
            time.year(),
            u8::from(time.month()),
            time.day(),
            time.hour(),
            time.minute(),
            time.second(),
            time.nanosecond()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Rfc3339;

    #[test]
    fn times() {
        for (nanos, text) in [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (951_827_696_000_000_001, "2000-02-29T12:34:56.000000001Z"),
            (u64::MAX, "2554-07-21T23:34:33.709551615Z"),
        ] {
            assert_eq!(Rfc3339(nanos).to_string(), text);
        }
    }
}
