//! Spans as OTLP has them: names, status and attributes by the conventions for HTTP and RPC. A call
//! is one span, that of the call.
//!
//! Source: OpenTelemetry semantic conventions, `docs/http/http-spans.md`, `docs/rpc/rpc-spans.md`,
//! `docs/rpc/grpc.md`. What has no convention
//! carries the prefix `hark.`:
//!
//! - `hark.time_to_first_byte` (double, s): from the start of the span to the first byte of the
//!   final response.
//! - `hark.rpc.messages.sent`, `hark.rpc.messages.received` (int): whole messages of the call, as the
//!   observed process sent and received them; left out where they are not known.
//! - `hark.url.path.truncated` (bool): the path was longer than what is kept.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as OtlpSpan, Status};

use super::resource::{Host, resource};
use super::span::Span;
use super::url;
use crate::exchange::{Endpoint, Exchange, Method, Role, Rpc};
use crate::identity::Service;
use crate::rpc::Code;

/// The version of the conventions that names and values follow.
pub const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.42.0";

/// Value of `rpc.system.name`, the only one so far.
const GRPC: &str = "grpc";

/// Builds one request, with one `ResourceSpans` per service, in the order in which they appear.
pub(super) fn request(spans: &[Span], host: &Host) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest {
        resource_spans: by_service(spans, convert)
            .into_iter()
            .map(|(service, spans)| ResourceSpans {
                resource: Some(resource(service, host)),
                scope_spans: vec![ScopeSpans {
                    scope: Some(scope()),
                    spans,
                    schema_url: SCHEMA_URL.to_owned(),
                }],
                schema_url: SCHEMA_URL.to_owned(),
            })
            .collect(),
    }
}

/// What is made of spans, by service, in the order in which they appear.
pub(super) fn by_service<T>(
    spans: &[Span],
    make: impl Fn(&Span) -> T,
) -> Vec<(&Arc<Service>, Vec<T>)> {
    let mut places: HashMap<*const Service, usize> = HashMap::new();
    let mut groups: Vec<(&Arc<Service>, Vec<T>)> = Vec::new();
    for span in spans {
        let place = *places.entry(Arc::as_ptr(&span.service)).or_insert_with(|| {
            groups.push((&span.service, Vec::new()));
            groups.len() - 1
        });
        groups[place].1.push(make(span));
    }
    groups
}

/// The agent, who says all this.
pub(super) fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: env!("CARGO_PKG_NAME").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}

fn convert(span: &Span) -> OtlpSpan {
    let exchange = &span.exchange;
    let route = span.server_route();
    OtlpSpan {
        trace_id: span.trace_id.to_vec(),
        span_id: span.span_id.to_vec(),
        parent_span_id: span.parent_id.map_or_else(Vec::new, |id| id.to_vec()),
        trace_state: span.trace_state.to_string(),
        flags: span.flags,
        name: exchange.rpc_method().map_or_else(
            || name(&exchange.request.method, route),
            |method| match method {
                // No method that is known: the name of the system (`docs/rpc/rpc-spans.md`).
                "_OTHER" | "unknown" => GRPC.to_owned(),
                method => method.to_owned(),
            },
        ),
        kind: match exchange.role {
            Role::Server => SpanKind::Server,
            Role::Client => SpanKind::Client,
        }
        .into(),
        start_time_unix_nano: span.start_unix_ns,
        end_time_unix_nano: span.end_unix_ns,
        attributes: attributes(exchange, route),
        status: Some(Status {
            // Never `Ok`, which is for the application to say; and no message, because
            // `error.type` explains it.
            code: match exchange.error_type() {
                Some(_) => StatusCode::Error,
                None => StatusCode::Unset,
            }
            .into(),
            message: String::new(),
        }),
        ..OtlpSpan::default()
    }
}

/// `{method} {route}` or `{method}`, with `HTTP` for a method that is not in the convention's list.
fn name(method: &Method, route: Option<&str>) -> String {
    let method = match method {
        Method::Other(_) | Method::Unknown => "HTTP",
        known => known.name(),
    };
    route.map_or_else(|| method.to_owned(), |route| format!("{method} {route}"))
}

/// The attributes of an exchange by the conventions; `route` is that of a server.
pub(crate) fn attributes(exchange: &Exchange, route: Option<&str>) -> Vec<KeyValue> {
    let mut attributes = Attributes(Vec::with_capacity(24));
    match exchange.rpc {
        Some(rpc) => call(exchange, rpc, &mut attributes),
        None => http(exchange, route, &mut attributes),
    }
    let (host, port) = url::server(exchange);
    if let Some(host) = host {
        attributes.text("server.address", &host);
        attributes.integer("server.port", port.map(u64::from));
    }
    connection(exchange, &mut attributes);
    attributes.0
}

/// What the conventions for RPC ask for.
fn call(exchange: &Exchange, rpc: Rpc, attributes: &mut Attributes) {
    attributes.text("rpc.system.name", GRPC);
    if let Some(method) = exchange.rpc_method() {
        attributes.text("rpc.method", method);
        if method == "_OTHER" {
            let path = &exchange.request.path;
            let original = path.strip_prefix('/').unwrap_or(path);
            attributes.text("rpc.method_original", original);
        }
    }
    attributes.optional("rpc.response.status_code", rpc.status.map(Code::name));
    attributes.integer("hark.rpc.messages.sent", rpc.sent);
    attributes.integer("hark.rpc.messages.received", rpc.received);
}

/// What the conventions for HTTP ask for.
fn http(exchange: &Exchange, route: Option<&str>, attributes: &mut Attributes) {
    let request = &exchange.request;
    attributes.text("http.request.method", request.method.name());
    if let Method::Other(token) = &request.method {
        attributes.text("http.request.method_original", token);
    }
    if !request.path.is_empty() {
        attributes.text("url.path", &request.path);
    }
    if request.path_truncated {
        attributes.add("hark.url.path.truncated", Value::BoolValue(true));
    }
    attributes.text("url.scheme", url::scheme(request));
    if exchange.role == Role::Client {
        attributes.optional("url.full", url::full(exchange).as_deref());
    }
    attributes.integer("http.response.status_code", exchange.status.map(u64::from));
    attributes.optional("http.route", route);
    attributes.optional("user_agent.original", request.user_agent.as_deref());
    attributes.integer("http.request.body.size", exchange.request_body_bytes);
    if exchange.status.is_some() {
        attributes.integer("http.response.body.size", exchange.response_body_bytes);
    }
}

/// What is the same for both: the connection, and how it went.
fn connection(exchange: &Exchange, attributes: &mut Attributes) {
    let request = &exchange.request;
    attributes.optional("error.type", exchange.error_type().as_deref());
    attributes.text("network.protocol.version", request.protocol.version());
    match exchange.peer {
        Endpoint::Inet(address) => {
            let ip = address.ip().to_canonical();
            attributes.text("network.peer.address", &ip.to_string());
            attributes.integer("network.peer.port", Some(address.port().into()));
            attributes.text("network.transport", "tcp");
            attributes.text(
                "network.type",
                match ip {
                    IpAddr::V4(_) => "ipv4",
                    IpAddr::V6(_) => "ipv6",
                },
            );
        }
        Endpoint::Unix => attributes.text("network.transport", "unix"),
    }
    if let Some(hello) = &exchange.tls {
        attributes.optional("tls.client.server_name", hello.server_name.as_deref());
        attributes.optional("hark.tls.offered_protocols", hello.protocols.as_deref());
    }
    if exchange.role == Role::Server {
        match (&request.client_address, exchange.peer.ip()) {
            (Some(client), _) => attributes.text("client.address", client),
            (None, Some(ip)) => attributes.text("client.address", &ip.to_canonical().to_string()),
            (None, None) => {}
        }
    }
    if let Some(first) = exchange.first_response_ns {
        let waited = first.saturating_sub(exchange.start_ns);
        #[expect(
            clippy::cast_precision_loss,
            reason = "a duration needs no more than 53 bits of nanoseconds"
        )]
        attributes.add(
            "hark.time_to_first_byte",
            Value::DoubleValue(waited as f64 / 1e9),
        );
    }
}

struct Attributes(Vec<KeyValue>);

impl Attributes {
    fn add(&mut self, key: &str, value: Value) {
        self.0.push(attribute(key, value));
    }

    fn text(&mut self, key: &str, value: &str) {
        self.add(key, Value::StringValue(value.to_owned()));
    }

    fn optional(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(key, value);
        }
    }

    /// Adds a count; one beyond what OTLP can carry is given as the greatest that it can.
    fn integer(&mut self, key: &str, value: Option<u64>) {
        if let Some(value) = value {
            let value = i64::try_from(value).unwrap_or(i64::MAX);
            self.add(key, Value::IntValue(value));
        }
    }
}

pub(super) fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}
