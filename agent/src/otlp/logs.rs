//! Exchanges as log records: the request log over OTLP.
//!
//! Source: OpenTelemetry logs data model. Attributes are those of the span, so that both can be
//! asked the same questions; `duration` has no convention and is `hark.duration` (double, s).

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};

use super::SCHEMA_URL;
use super::convert::{attribute, attributes, by_service, scope};
use super::resource::{Host, resource};
use super::span::Span;
use crate::exchange::Role;

/// Builds one request, with one `ResourceLogs` per service, in the order in which they appear.
pub(super) fn request(spans: &[Span], host: &Host) -> ExportLogsServiceRequest {
    ExportLogsServiceRequest {
        resource_logs: by_service(spans, record)
            .into_iter()
            .map(|(service, log_records)| ResourceLogs {
                resource: Some(resource(service, host)),
                scope_logs: vec![ScopeLogs {
                    scope: Some(scope()),
                    log_records,
                    schema_url: SCHEMA_URL.to_owned(),
                }],
                schema_url: SCHEMA_URL.to_owned(),
            })
            .collect(),
    }
}

fn record(span: &Span) -> LogRecord {
    let exchange = &span.exchange;
    let failed = exchange.error_type().is_some();
    let severity = if failed {
        SeverityNumber::Error
    } else {
        SeverityNumber::Info
    };
    let mut attributes = attributes(exchange, span.server_route());
    attributes.push(attribute(
        "hark.duration",
        Value::DoubleValue(span.duration_s()),
    ));
    LogRecord {
        time_unix_nano: span.end_unix_ns,
        observed_time_unix_nano: span.end_unix_ns,
        severity_number: severity.into(),
        severity_text: if failed { "ERROR" } else { "INFO" }.to_owned(),
        body: Some(AnyValue {
            value: Some(Value::StringValue(sentence(span))),
        }),
        attributes,
        // The W3C flags alone: a log record has no others.
        flags: span.flags & 0xff,
        trace_id: span.trace_id.to_vec(),
        span_id: span.span_id.to_vec(),
        event_name: match exchange.role {
            Role::Server => "hark.request.server",
            Role::Client => "hark.request.client",
        }
        .to_owned(),
        ..LogRecord::default()
    }
}

/// What people read: `GET /orders/7 200`, `GET /orders/7 connection_reset`.
fn sentence(span: &Span) -> String {
    let exchange = &span.exchange;
    let what = exchange.rpc_method().map_or_else(
        || {
            let request = &exchange.request;
            format!("{} {}", request.method.name(), request.path)
        },
        str::to_owned,
    );
    let outcome = match (exchange.rpc, exchange.status) {
        (Some(rpc), _) => rpc.status.map(|status| status.name().to_owned()),
        (None, Some(status)) if exchange.error.is_none() => Some(status.to_string()),
        (None, _) => exchange.error_type().map(Into::into),
    };
    match outcome {
        Some(outcome) => format!("{what} {outcome}"),
        None => what,
    }
}
