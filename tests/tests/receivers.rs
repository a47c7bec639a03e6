//! The harness's receivers against clients that are not the agent: the OTLP receiver decodes what
//! another implementation sends, Prometheus's answers are read as it means them.

use std::net::SocketAddr;

use hark_tests::agent::SERVER;
use hark_tests::metrics::counts;
use hark_tests::need;
use hark_tests::otlp::{Attributes, Manner, Receiver, Value};
use hark_tests::prometheus::Prometheus;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("the test's own")
}

fn pair(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn request() -> ExportTraceServiceRequest {
    let span = Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        parent_span_id: vec![3; 8],
        name: "GET /a".into(),
        kind: 3,
        start_time_unix_nano: 10,
        end_time_unix_nano: 25,
        attributes: vec![
            pair(
                "url.full",
                any_value::Value::StringValue("http://h:1/a?b".into()),
            ),
            pair("n", any_value::Value::IntValue(-7)),
        ],
        status: Some(Status {
            code: 2,
            message: "m".into(),
        }),
        ..Span::default()
    };
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: vec![pair(
                    "service.name",
                    any_value::Value::StringValue("s".into()),
                )],
                ..Resource::default()
            }),
            scope_spans: vec![ScopeSpans {
                spans: vec![span],
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    }
}

#[track_caller]
fn expect_the_span(receiver: &Receiver) {
    let [span] = &receiver.spans("s")[..] else {
        panic!("{:?}", receiver.requests())
    };
    assert_eq!(
        (span.trace_id.clone(), span.span_id.clone()),
        (vec![1; 16], vec![2; 8])
    );
    assert_eq!(span.parent_id, vec![3; 8]);
    assert_eq!(
        (span.name.as_str(), span.kind, span.path()),
        ("GET /a", 3, "/a?b")
    );
    assert_eq!((span.start_ns, span.end_ns), (10, 25));
    assert_eq!((span.status, span.message.as_str()), (2, "m"));
    let want = Attributes::from([
        ("url.full".to_owned(), Value::from("http://h:1/a?b")),
        ("n".to_owned(), Value::from(-7)),
    ]);
    assert_eq!(span.attributes, want);
    assert_eq!(receiver.spans("t"), []);
}

#[test]
fn otlp_over_grpc() {
    let runtime = runtime();
    for (manner, code) in [
        (Manner::Accepting, None),
        (Manner::Refusing, Some(tonic::Code::InvalidArgument)),
        (Manner::Unavailable, Some(tonic::Code::Unavailable)),
    ] {
        let receiver = Receiver::grpc(manner);
        let answer = runtime.block_on(async {
            let client = TraceServiceClient::connect(receiver.endpoint())
                .await
                .expect("the test's own");
            let gzip = tonic::codec::CompressionEncoding::Gzip;
            client.send_compressed(gzip).export(request()).await
        });
        assert_eq!(answer.err().map(|status| status.code()), code);
        assert_eq!(receiver.requests(), [request()]);
        if manner == Manner::Accepting {
            expect_the_span(&receiver);
        } else {
            assert_eq!(receiver.spans("s"), []);
        }
    }
}

/// Posts and gives the status line.
async fn post(address: &str, kind: &str, encoding: &str, body: &[u8]) -> String {
    let mut stream = tokio::net::TcpStream::connect(address)
        .await
        .expect("the test's own");
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\n{encoding}\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream
        .write_all(head.as_bytes())
        .await
        .expect("the test's own");
    stream.write_all(body).await.expect("the test's own");
    let mut answer = Vec::new();
    stream
        .read_to_end(&mut answer)
        .await
        .expect("the test's own");
    String::from_utf8_lossy(&answer)
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn otlp_over_http() {
    let runtime = runtime();
    let plain = request().encode_to_vec();
    let mut zipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut zipped, &plain).expect("the test's own");
    let zipped = zipped.finish().expect("the test's own");
    let right = "application/x-protobuf";
    for (manner, kind, encoding, body, status) in [
        (Manner::Accepting, right, "", &plain, "HTTP/1.1 200 OK"),
        (
            Manner::Accepting,
            right,
            "Content-Encoding: gzip\r\n",
            &zipped,
            "HTTP/1.1 200 OK",
        ),
        (
            Manner::Accepting,
            "application/json",
            "",
            &plain,
            "HTTP/1.1 400 Bad Request",
        ),
        (
            Manner::Refusing,
            right,
            "",
            &plain,
            "HTTP/1.1 400 Bad Request",
        ),
        (
            Manner::Unavailable,
            right,
            "",
            &plain,
            "HTTP/1.1 503 Service Unavailable",
        ),
    ] {
        let receiver = Receiver::http(manner);
        let endpoint = receiver.endpoint();
        let address = endpoint.strip_prefix("http://").expect("the test's own");
        assert_eq!(
            runtime.block_on(post(address, kind, encoding, body)),
            status
        );
        if status.contains("200") {
            expect_the_span(&receiver);
        } else {
            assert_eq!(receiver.spans("s"), []);
        }
    }
}

#[test]
fn promql_over_a_page_that_is_known() {
    const PAGE: &str = "# TYPE http_server_request_duration_seconds histogram\n\
        http_server_request_duration_seconds_bucket{service_name=\"s\",le=\"+Inf\"} 7\n\
        http_server_request_duration_seconds_sum{service_name=\"s\"} 1\n\
        http_server_request_duration_seconds_count{service_name=\"s\",http_request_method=\"GET\",\
        http_response_status_code=\"200\",http_route=\"/a\"} 3\n\
        http_server_request_duration_seconds_count{service_name=\"s\",http_request_method=\"GET\",\
        http_response_status_code=\"200\",http_route=\"/b\"} 4\n\
        http_server_request_duration_seconds_count{service_name=\"s\",http_request_method=\"PUT\"} 5\n";
    let runtime = runtime();
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
        .expect("the test's own");
    let address: SocketAddr = listener.local_addr().expect("the test's own");
    let page = || async { ([("content-type", "text/plain; version=0.0.4")], PAGE) };
    let app = axum::Router::new().route("/metrics", axum::routing::get(page));
    runtime.spawn(async move { axum::serve(listener, app).await });
    let prometheus = need!(Prometheus::scraping(address));
    let want = counts(&[("GET", "200", 7), ("PUT", "", 5)]);
    hark_tests::wait::expect("by PromQL", &want, || prometheus.counts(SERVER, "s"));
}
