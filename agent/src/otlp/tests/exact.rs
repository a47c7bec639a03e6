//! What arrives at a collector, field by field.

use std::net::SocketAddr;

use http::HeaderMap;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};

use super::receiver::{Received, Receiver, Reply};
use super::*;
use crate::otlp::config::Compression;

/// A server's span in a trace that goes on, two that begin one, of two services.
async fn export(config: OtlpConfig, receiver: &Receiver) -> Received {
    let exporter = start(config);
    let (shop, cart) = (service("shop"), service("cart"));
    let mut first = exchange(Role::Server);
    first.request.context = Some(context(0x01));
    let mut third = exchange(Role::Client);
    third.end_ns += 1_000;
    exporter.offer(&first, &shop, Some("/orders/{id}"), &clock());
    exporter.offer(&exchange(Role::Server), &cart, None, &clock());
    exporter.offer(&third, &shop, Some("/orders/{id}"), &clock());
    exporter.shutdown(FOREVER).await;
    let expected = Books {
        offered: 3,
        exported: 3,
        queued: 0,
        retries: 0,
        dropped: vec![],
    };
    assert_eq!(books(&exporter), expected);
    let [received] = <[_; 1]>::try_from(receiver.received()).unwrap();
    received
}

fn check(received: &Received) {
    let groups = &received.message.resource_spans;
    let name = |group: &ResourceSpans| {
        let attributes = &group.resource.as_ref().unwrap().attributes;
        (attributes[0].key.clone(), attributes[0].value.clone())
    };
    let text = |text: &str| convert::text("service.name", text);
    assert_eq!(groups.len(), 2);
    assert_eq!(name(&groups[0]), text("shop"));
    assert_eq!(name(&groups[1]), text("cart"));
    let mut spans: Vec<&Span> = Vec::new();
    for group in groups {
        assert_eq!(group.schema_url, "https://opentelemetry.io/schemas/1.42.0");
        let [scope] = group.scope_spans.as_slice() else {
            panic!("{} scopes", group.scope_spans.len());
        };
        let instrumentation = scope.scope.as_ref().unwrap();
        assert_eq!(instrumentation.name, "hark");
        assert_eq!(instrumentation.version, env!("CARGO_PKG_VERSION"));
        spans.extend(&scope.spans);
    }
    let [continued, client, root] = spans[..] else {
        panic!("{} spans", spans.len());
    };

    assert_eq!(continued.trace_id, [0xa1; 16]);
    assert_eq!(continued.parent_span_id, [0xb2; 8]);
    assert_eq!(continued.flags, 0x301);
    assert_eq!(continued.name, "GET /orders/{id}");
    assert_eq!(continued.kind(), SpanKind::Server);
    assert_eq!(continued.start_time_unix_nano, 1_700_000_005_000_000_000);
    assert_eq!(continued.end_time_unix_nano, 1_700_000_005_500_000_000);

    assert_eq!(client.parent_span_id, [0; 0]);
    assert_eq!(client.flags, 0x103);
    assert_eq!(client.name, "GET");
    assert_eq!(client.kind(), SpanKind::Client);
    assert_eq!(client.start_time_unix_nano, 1_700_000_005_000_000_000);
    assert_eq!(client.end_time_unix_nano, 1_700_000_005_500_001_000);

    assert_eq!(root.parent_span_id, [0; 0]);
    assert_eq!(root.flags, 0x103);
    assert_eq!(root.name, "GET");
    assert_eq!(root.kind(), SpanKind::Server);

    for span in [continued, client, root] {
        assert_eq!(span.span_id.len(), 8);
        assert_ne!(span.span_id, [0; 8]);
        assert_eq!(span.trace_id.len(), 16);
        assert_ne!(span.trace_id, [0; 16]);
        assert_eq!(span.status.as_ref().unwrap().code, 0);
        assert_eq!(span.dropped_attributes_count, 0);
    }
    assert_ne!(client.trace_id, root.trace_id);
    assert_ne!(client.span_id, root.span_id);
}

fn configured(protocol: Protocol, address: SocketAddr, compression: Compression) -> OtlpConfig {
    OtlpConfig {
        compression,
        headers: HeaderMap::from_iter([(
            http::header::AUTHORIZATION,
            "Bearer secret".parse().unwrap(),
        )]),
        ..config(protocol, address)
    }
}

fn header<'a>(received: &'a Received, name: &str) -> Option<&'a str> {
    received
        .headers
        .get(name)
        .map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn over_http() {
    let receiver = Receiver::http(&[Reply::OK]).await;
    let config = configured(Protocol::HttpProtobuf, receiver.address, Compression::None);
    let received = export(config, &receiver).await;
    check(&received);
    assert_eq!(received.target, "POST /v1/traces");
    let expected = [
        ("content-type", Some("application/x-protobuf")),
        ("content-encoding", None),
        ("authorization", Some("Bearer secret")),
        (
            "user-agent",
            Some(concat!("hark/", env!("CARGO_PKG_VERSION"))),
        ),
    ];
    for (name, value) in expected {
        assert_eq!(header(&received, name), value, "{name}");
    }
}

#[tokio::test]
async fn over_http_with_gzip() {
    let receiver = Receiver::http(&[Reply::OK]).await;
    let config = configured(Protocol::HttpProtobuf, receiver.address, Compression::Gzip);
    let received = export(config, &receiver).await;
    check(&received);
    assert_eq!(header(&received, "content-encoding"), Some("gzip"));
}

#[tokio::test]
async fn over_grpc() {
    let receiver = Receiver::grpc(&[Reply::OK]).await;
    let config = configured(Protocol::Grpc, receiver.address, Compression::None);
    let received = export(config, &receiver).await;
    check(&received);
    assert_eq!(header(&received, "authorization"), Some("Bearer secret"));
    let agent = header(&received, "user-agent").unwrap();
    let own = concat!("hark/", env!("CARGO_PKG_VERSION"));
    assert_eq!(agent.split(' ').next(), Some(own), "{agent}");
}

#[tokio::test]
async fn over_grpc_with_gzip() {
    let receiver = Receiver::grpc(&[Reply::OK]).await;
    let config = configured(Protocol::Grpc, receiver.address, Compression::Gzip);
    let received = export(config, &receiver).await;
    check(&received);
    assert_eq!(header(&received, "grpc-encoding"), Some("gzip"));
}

#[tokio::test]
async fn a_step_of_the_clock_inside_a_span_leaves_its_duration() {
    let receiver = Receiver::http(&[Reply::OK]).await;
    let exporter = start(config(Protocol::HttpProtobuf, receiver.address));
    // The clock goes back an hour in the middle of the exchange.
    let mut clock = clock();
    clock.push(Sample {
        mono_ns: 5_250_000_000,
        offset_ns: OFFSET_NS.cast_signed() - 3_600_000_000_000,
    });
    exporter.offer(&exchange(Role::Server), &service("shop"), None, &clock);
    exporter.shutdown(FOREVER).await;
    let received = receiver.received();
    let span = &received[0].message.resource_spans[0].scope_spans[0].spans[0];
    assert_eq!(span.start_time_unix_nano, 1_699_996_405_000_000_000);
    assert_eq!(span.end_time_unix_nano, 1_699_996_405_500_000_000);
}
