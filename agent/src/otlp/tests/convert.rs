//! Names, status and attributes, by the tables of the HTTP conventions.

use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span as OtlpSpan;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

use super::*;
use crate::exchange::ErrorType;
use crate::otlp::convert::request;
use crate::otlp::resource::Host;
use crate::otlp::span::Span;
use crate::rpc::Code;

type Attribute = (String, Option<AnyValue>);

fn attribute(key: &str, value: Value) -> Attribute {
    (key.to_owned(), Some(AnyValue { value: Some(value) }))
}

pub(super) fn text(key: &str, value: &str) -> Attribute {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn int(key: &str, value: i64) -> Attribute {
    attribute(key, Value::IntValue(value))
}

fn host() -> Host {
    Host {
        name: "node-7".to_owned(),
    }
}

fn convert(exchange: &Exchange, route: Option<&str>) -> OtlpSpan {
    let span = Span::new(exchange, &service("shop"), route, &clock());
    let mut message = request(&[span], &host());
    message.resource_spans[0].scope_spans[0].spans.remove(0)
}

/// All attributes, ordered by key.
fn attributes(exchange: &Exchange, route: Option<&str>) -> Vec<Attribute> {
    sorted(
        convert(exchange, route)
            .attributes
            .into_iter()
            .map(|pair| (pair.key, pair.value))
            .collect(),
    )
}

fn sorted(mut attributes: Vec<Attribute>) -> Vec<Attribute> {
    attributes.sort_by(|a, b| a.0.cmp(&b.0));
    attributes
}

/// The values of one attribute, over texts and numbers.
fn value(exchange: &Exchange, key: &str) -> Option<String> {
    let mut found = attributes(exchange, None)
        .into_iter()
        .filter(|(name, _)| name == key)
        .map(|(_, value)| match value.unwrap().value.unwrap() {
            Value::StringValue(text) => text,
            Value::IntValue(number) => number.to_string(),
            other => panic!("{other:?}"),
        });
    let value = found.next();
    assert_eq!(found.next(), None, "{key} is there twice");
    value
}

#[test]
fn a_server_span_with_everything() {
    let mut exchange = exchange(Role::Server);
    exchange.request.scheme = Some("https".into());
    exchange.request.user_agent = Some("curl/8".into());
    exchange.request.client_address = Some("203.0.113.9".into());
    exchange.request_body_bytes = Some(3);
    exchange.status = Some(503);
    assert_eq!(
        attributes(&exchange, Some("/orders/{id}")),
        [
            text("client.address", "203.0.113.9"),
            text("error.type", "503"),
            attribute("hark.time_to_first_byte", Value::DoubleValue(0.25)),
            int("http.request.body.size", 3),
            text("http.request.method", "GET"),
            int("http.response.body.size", 12),
            int("http.response.status_code", 503),
            text("http.route", "/orders/{id}"),
            text("network.peer.address", "10.0.0.2"),
            int("network.peer.port", 50_000),
            text("network.protocol.version", "1.1"),
            text("network.transport", "tcp"),
            text("network.type", "ipv4"),
            text("server.address", "shop.example"),
            int("server.port", 8080),
            text("url.path", "/orders/7"),
            text("url.scheme", "https"),
            text("user_agent.original", "curl/8"),
        ]
    );
}

#[test]
fn a_client_span_that_got_no_answer_over_a_unix_socket() {
    let mut exchange = exchange(Role::Client);
    exchange.request.method = Method::Other("PURGE".into());
    exchange.request.protocol = exchange::Protocol::Http10;
    exchange.request.host = None;
    exchange.request.port = None;
    exchange.request.path_truncated = true;
    exchange.local = Endpoint::Unix;
    exchange.peer = Endpoint::Unix;
    exchange.status = None;
    exchange.first_response_ns = None;
    exchange.response_body_bytes = Some(0);
    exchange.error = Some(ErrorType::ConnectionReset);
    assert_eq!(
        attributes(&exchange, Some("/ignored")),
        [
            text("error.type", "connection_reset"),
            attribute("hark.url.path.truncated", Value::BoolValue(true)),
            text("http.request.method", "_OTHER"),
            text("http.request.method_original", "PURGE"),
            text("network.protocol.version", "1.0"),
            text("network.transport", "unix"),
            text("url.path", "/orders/7"),
            text("url.scheme", "http"),
        ]
    );
}

/// A call is one span, that of the call.
#[test]
fn a_span_of_a_call() {
    let mut exchange = exchange(Role::Server);
    exchange.request.method = Method::Post;
    exchange.request.protocol = exchange::Protocol::Http2;
    exchange.request.path = "/shop.Orders/Get".into();
    exchange.rpc = Some(exchange::Rpc {
        status: Some(Code::DataLoss),
        sent: Some(3),
        received: None,
    });
    let span = convert(&exchange, None);
    assert_eq!(span.name, "shop.Orders/Get");
    assert_eq!(span.status.unwrap().code(), StatusCode::Error);
    let found = attributes(&exchange, None);
    for expected in [
        text("rpc.system.name", "grpc"),
        text("rpc.method", "shop.Orders/Get"),
        text("rpc.response.status_code", "DATA_LOSS"),
        text("error.type", "DATA_LOSS"),
        text("network.protocol.version", "2"),
        int("hark.rpc.messages.sent", 3),
    ] {
        assert!(found.contains(&expected), "{expected:?} not in {found:?}");
    }
    assert!(
        !found
            .iter()
            .any(|(key, _)| key.starts_with("http.") || key.starts_with("url."))
    );
    exchange.rpc = Some(exchange::Rpc {
        status: Some(Code::Unimplemented),
        sent: Some(3),
        received: None,
    });
    assert_eq!(convert(&exchange, None).name, "grpc");
    let found = attributes(&exchange, None);
    assert!(found.contains(&text("rpc.method", "_OTHER")));
    assert!(found.contains(&text("rpc.method_original", "shop.Orders/Get")));
    exchange.rpc = Some(exchange::Rpc {
        status: Some(Code::NotFound),
        sent: Some(3),
        received: None,
    });
    assert_eq!(
        convert(&exchange, None).status.unwrap().code(),
        StatusCode::Unset
    );
    exchange.role = Role::Client;
    assert_eq!(
        convert(&exchange, None).status.unwrap().code(),
        StatusCode::Error
    );
}

#[test]
fn a_client_span_over_ipv6() {
    let mut exchange = exchange(Role::Client);
    exchange.peer = Endpoint::Inet("[2001:db8::1]:8080".parse().unwrap());
    exchange.status = Some(404);
    assert_eq!(
        attributes(&exchange, None),
        [
            text("error.type", "404"),
            attribute("hark.time_to_first_byte", Value::DoubleValue(0.25)),
            text("http.request.method", "GET"),
            int("http.response.body.size", 12),
            int("http.response.status_code", 404),
            text("network.peer.address", "2001:db8::1"),
            int("network.peer.port", 8080),
            text("network.protocol.version", "1.1"),
            text("network.transport", "tcp"),
            text("network.type", "ipv6"),
            text("server.address", "shop.example"),
            int("server.port", 8080),
            text("url.full", "http://shop.example:8080/orders/7"),
            text("url.path", "/orders/7"),
            text("url.scheme", "http"),
        ]
    );
}

#[test]
fn names() {
    let cases = [
        (Role::Server, Method::Get, Some("/a/{id}"), "GET /a/{id}"),
        (Role::Server, Method::Post, None, "POST"),
        (Role::Server, Method::Other("PURGE".into()), None, "HTTP"),
        (
            Role::Server,
            Method::Other("get".into()),
            Some("/a"),
            "HTTP /a",
        ),
        (Role::Client, Method::Get, Some("/a/{id}"), "GET"),
        (
            Role::Client,
            Method::Other("PURGE".into()),
            Some("/a"),
            "HTTP",
        ),
    ];
    for (role, method, route, expected) in cases {
        let mut exchange = exchange(role);
        exchange.request.method = method;
        assert_eq!(convert(&exchange, route).name, expected);
    }
}

#[test]
fn statuses() {
    let cases = [
        (Role::Server, Some(101), None, None),
        (Role::Server, Some(200), None, None),
        (Role::Server, Some(304), None, None),
        (Role::Server, Some(400), None, None),
        (Role::Server, Some(499), None, None),
        (Role::Server, Some(500), None, Some("500")),
        (Role::Client, Some(302), None, None),
        (Role::Client, Some(400), None, Some("400")),
        (Role::Client, Some(503), None, Some("503")),
        (
            Role::Server,
            Some(200),
            Some(ErrorType::ConnectionClosed),
            Some("connection_closed"),
        ),
        (
            Role::Server,
            None,
            Some(ErrorType::ConnectionAborted),
            Some("connection_aborted"),
        ),
        (
            Role::Client,
            None,
            Some(ErrorType::Timeout),
            Some("timeout"),
        ),
        (
            Role::Client,
            Some(404),
            Some(ErrorType::Other),
            Some("_OTHER"),
        ),
    ];
    for (role, status, error, expected) in cases {
        let mut exchange = exchange(role);
        exchange.status = status;
        exchange.error = error;
        let found = convert(&exchange, None).status.unwrap();
        let code = match expected {
            Some(_) => StatusCode::Error,
            None => StatusCode::Unset,
        };
        assert_eq!((found.code(), found.message.as_str()), (code, ""));
        assert_eq!(value(&exchange, "error.type").as_deref(), expected);
    }
}

#[test]
fn flags_and_parents() {
    let cases = [
        (Role::Server, Some(0x00), 0x300),
        (Role::Server, Some(0x01), 0x301),
        (Role::Server, Some(0xff), 0x3ff),
        (Role::Client, Some(0x00), 0x100),
        (Role::Client, Some(0x03), 0x103),
        (Role::Server, None, 0x103),
        (Role::Client, None, 0x103),
    ];
    for (role, flags, expected) in cases {
        let mut exchange = exchange(role);
        exchange.request.context = flags.map(context);
        let span = convert(&exchange, None);
        assert_eq!(span.flags, expected, "{role:?} {flags:?}");
        match flags {
            Some(_) => {
                assert_eq!(span.trace_id, [0xa1; 16]);
                assert_eq!(span.parent_span_id, [0xb2; 8]);
            }
            None => assert_eq!(span.parent_span_id, [0; 0]),
        }
        assert_eq!(span.trace_state, "");
    }
}

/// Host, port and scheme of a request; what the span says of them.
#[test]
fn urls() {
    struct Case {
        host: Option<&'static str>,
        port: Option<u16>,
        scheme: Option<&'static str>,
        path: &'static str,
        address: Option<&'static str>,
        server_port: Option<&'static str>,
        full: Option<&'static str>,
    }
    let case = |host, port, scheme, path, address, server_port, full| Case {
        host,
        port,
        scheme,
        path,
        address,
        server_port,
        full,
    };
    let cases = [
        case(
            Some("a.example"),
            None,
            None,
            "/x",
            Some("a.example"),
            Some("80"),
            Some("http://a.example/x"),
        ),
        case(
            Some("a.example"),
            Some(80),
            None,
            "/x",
            Some("a.example"),
            Some("80"),
            Some("http://a.example/x"),
        ),
        case(
            Some("a.example"),
            Some(443),
            None,
            "/",
            Some("a.example"),
            Some("443"),
            Some("http://a.example:443/"),
        ),
        case(
            Some("a.example"),
            None,
            Some("https"),
            "/x",
            Some("a.example"),
            Some("443"),
            Some("https://a.example/x"),
        ),
        case(
            Some("a.example"),
            None,
            Some("gopher"),
            "/x",
            Some("a.example"),
            None,
            Some("gopher://a.example/x"),
        ),
        case(
            Some("[::1]"),
            Some(81),
            None,
            "/",
            Some("::1"),
            Some("81"),
            Some("http://[::1]:81/"),
        ),
        case(
            Some("::1"),
            None,
            None,
            "/",
            Some("::1"),
            Some("80"),
            Some("http://[::1]/"),
        ),
        case(
            Some("joe:pw@a.example"),
            None,
            None,
            "/",
            Some("a.example"),
            Some("80"),
            Some("http://a.example/"),
        ),
        case(
            Some("a.example"),
            None,
            None,
            "*",
            Some("a.example"),
            Some("80"),
            Some("http://a.example"),
        ),
        // No name: where it was sent to.
        case(
            None,
            None,
            None,
            "/x",
            Some("10.0.0.2"),
            Some("50000"),
            Some("http://10.0.0.2:50000/x"),
        ),
        case(
            Some(""),
            Some(9),
            None,
            "/x",
            Some("10.0.0.2"),
            Some("50000"),
            Some("http://10.0.0.2:50000/x"),
        ),
    ];
    for case in cases {
        let mut exchange = exchange(Role::Client);
        exchange.request.host = case.host.map(Into::into);
        exchange.request.port = case.port;
        exchange.request.scheme = case.scheme.map(Into::into);
        exchange.request.path = case.path.into();
        let found = |key| value(&exchange, key);
        assert_eq!(found("server.address").as_deref(), case.address);
        assert_eq!(found("server.port").as_deref(), case.server_port);
        assert_eq!(found("url.full").as_deref(), case.full);

        // A server is what the request names, or nothing.
        exchange.role = Role::Server;
        let named = case.host.is_some_and(|host| !host.is_empty());
        let found = |key| value(&exchange, key);
        assert_eq!(
            found("server.address").as_deref(),
            case.address.filter(|_| named)
        );
        assert_eq!(
            found("server.port").as_deref(),
            case.server_port.filter(|_| named)
        );
        assert_eq!(found("url.full"), None);
    }
}

#[test]
fn a_tunnel_has_no_url() {
    let mut exchange = exchange(Role::Client);
    exchange.request.method = Method::Connect;
    exchange.request.path = "".into();
    assert_eq!(value(&exchange, "url.full"), None);
    assert_eq!(value(&exchange, "url.path"), None);
    assert_eq!(
        value(&exchange, "server.address").as_deref(),
        Some("shop.example")
    );
    assert_eq!(value(&exchange, "server.port").as_deref(), Some("8080"));
}

#[test]
fn the_client_of_a_server_is_its_peer_unless_a_proxy_says_otherwise() {
    let mut exchange = exchange(Role::Server);
    assert_eq!(
        value(&exchange, "client.address").as_deref(),
        Some("10.0.0.2")
    );
    exchange.peer = Endpoint::Inet("[::ffff:192.0.2.1]:5".parse().unwrap());
    assert_eq!(
        value(&exchange, "client.address").as_deref(),
        Some("192.0.2.1")
    );
    assert_eq!(
        value(&exchange, "network.peer.address").as_deref(),
        Some("192.0.2.1")
    );
    assert_eq!(value(&exchange, "network.type").as_deref(), Some("ipv4"));
    exchange.peer = Endpoint::Unix;
    assert_eq!(value(&exchange, "client.address"), None);
    exchange.role = Role::Client;
    exchange.request.client_address = Some("203.0.113.9".into());
    assert_eq!(value(&exchange, "client.address"), None);
}

#[test]
fn sizes_beyond_what_can_be_said_and_times_that_run_backwards() {
    let mut exchange = exchange(Role::Server);
    exchange.request_body_bytes = Some(u64::MAX);
    exchange.response_body_bytes = Some(1 << 40);
    exchange.first_response_ns = Some(1);
    let all = attributes(&exchange, None);
    for expected in [
        int("http.request.body.size", i64::MAX),
        int("http.response.body.size", 1 << 40),
        attribute("hark.time_to_first_byte", Value::DoubleValue(0.0)),
    ] {
        assert!(all.contains(&expected), "{expected:?}");
    }
    exchange.end_ns = exchange.start_ns - 1;
    let span = convert(&exchange, None);
    assert_eq!(span.start_time_unix_nano, span.end_time_unix_nano);
}

fn resource(service: Service) -> Vec<Attribute> {
    let span = Span::new(&exchange(Role::Server), &Arc::new(service), None, &clock());
    let mut message = request(&[span], &host());
    let resource = message.resource_spans.remove(0).resource.unwrap();
    assert_eq!(resource.dropped_attributes_count, 0);
    let pairs = resource.attributes.into_iter();
    sorted(pairs.map(|pair| (pair.key, pair.value)).collect())
}

#[test]
fn resources() {
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        resource(Service::clone(&service("shop"))),
        [
            text("host.name", "node-7"),
            int("process.pid", 4242),
            text("service.instance.id", "shop-1"),
            text("service.name", "shop"),
            text("telemetry.distro.name", "hark"),
            text("telemetry.distro.version", version),
            text("telemetry.sdk.language", "rust"),
            text("telemetry.sdk.name", "hark"),
            text("telemetry.sdk.version", version),
        ]
    );
    let own = [
        ("deployment.environment.name", "prod"),
        ("service.name", "not this"),
        ("telemetry.sdk.name", "opentelemetry"),
        ("host.name", "its own"),
        ("deployment.environment.name", "second"),
        ("", "nameless"),
        ("process.pid", "1"),
    ];
    assert_eq!(
        resource(Service {
            namespace: Some("store".into()),
            version: Some("1.2".into()),
            executable: Some("shopd".into()),
            container_id: Some("abc".into()),
            attributes: own.map(|(key, value)| (key.into(), value.into())).to_vec(),
            ..Service::clone(&service("shop"))
        }),
        [
            text("container.id", "abc"),
            text("deployment.environment.name", "prod"),
            text("host.name", "its own"),
            text("process.executable.name", "shopd"),
            text("process.pid", "1"),
            text("service.instance.id", "shop-1"),
            text("service.name", "shop"),
            text("service.namespace", "store"),
            text("service.version", "1.2"),
            text("telemetry.distro.name", "hark"),
            text("telemetry.distro.version", version),
            text("telemetry.sdk.language", "rust"),
            text("telemetry.sdk.name", "hark"),
            text("telemetry.sdk.version", version),
        ]
    );
}
