//! Spans as a real receiver decodes them, and receivers that misbehave.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hark_tests::agent::{self, Agent};
use hark_tests::grpc::{self, Client, Library, Load};
use hark_tests::load::{Plan, Request, Sent};
use hark_tests::metrics::Counts;
use hark_tests::otlp::{ARRIVAL, Manner, Receiver, Span, Value};
use hark_tests::server::Server;
use hark_tests::{names, need, wait};

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn load(server: &Server) -> Sent {
    let requests = vec![
        Request::get("/ok"),
        Request::get("/status/404"),
        Request::get("/status/503"),
        Request::get("/traced").header(&format!("traceparent: 00-{TRACE}-{PARENT}-01")),
        // Not a trace context: an all-zero trace id.
        Request::get("/zero").header(&format!("traceparent: 00-{:032}-{PARENT}-01", 0)),
    ];
    Plan::new(&server.target, requests).rounds(10).run()
}

#[track_caller]
fn arrived(receiver: &Receiver, service: &str, count: usize) -> Vec<Span> {
    wait::expect_within(ARRIVAL, &format!("spans of {service}"), &count, || {
        receiver.spans(service).len()
    });
    receiver.spans(service)
}

/// Name, status code and `error.type` of the spans, by path.
fn shapes(spans: &[Span]) -> BTreeSet<(String, String, i32, String)> {
    spans
        .iter()
        .map(|span| {
            let error = match span.attributes.get("error.type") {
                Some(Value::Text(error)) => error.clone(),
                _ => String::new(),
            };
            (
                span.path().to_owned(),
                span.name.clone(),
                span.status,
                error,
            )
        })
        .collect()
}

fn own(of: &[(&str, &str, i32, &str)]) -> BTreeSet<(String, String, i32, String)> {
    of.iter()
        .map(|(path, name, status, error)| {
            (
                (*path).to_owned(),
                (*name).to_owned(),
                *status,
                (*error).to_owned(),
            )
        })
        .collect()
}

fn delivers(receiver: &Receiver, environment: &[(&str, &str)]) {
    let server = need!(Server::python("otlp-python"));
    let agent = Agent::start(environment);
    let sent = load(&server);
    let served = arrived(receiver, &server.service, 50);
    let asked = arrived(receiver, &sent.service, 50);

    let want = own(&[
        ("/ok", "GET /ok", 0, ""),
        ("/status/404", "GET /status/{id}", 0, ""),
        ("/status/503", "GET /status/{id}", 2, "503"),
        ("/traced", "GET /traced", 0, ""),
        ("/zero", "GET /zero", 0, ""),
    ]);
    assert_eq!(shapes(&served), want);
    // A client's span has no route, and 4xx is its error.
    let want = own(&[
        ("/ok", "GET", 0, ""),
        ("/status/404", "GET", 2, "404"),
        ("/status/503", "GET", 2, "503"),
        ("/traced", "GET", 0, ""),
        ("/zero", "GET", 0, ""),
    ]);
    assert_eq!(shapes(&asked), want);

    let all: Vec<&Span> = served.iter().chain(&asked).collect();
    let ids: BTreeSet<&[u8]> = all.iter().map(|span| span.span_id.as_slice()).collect();
    assert_eq!(ids.len(), 100, "span ids are unique");
    for span in &all {
        assert_eq!(
            (span.trace_id.len(), span.span_id.len()),
            (16, 8),
            "{span:?}"
        );
        assert!(span.trace_id.iter().any(|byte| *byte != 0), "{span:?}");
        assert!(span.span_id.iter().any(|byte| *byte != 0), "{span:?}");
        assert!(span.start_ns <= span.end_ns, "{span:?}");
        assert_eq!(span.message, "", "the status code explains it");
        assert_eq!(
            hex(&span.trace_id) == TRACE,
            span.path() == "/traced",
            "{span:?}"
        );
    }
    for span in &asked {
        // What the header names, or nobody.
        let named = if span.path() == "/traced" { PARENT } else { "" };
        assert_eq!(hex(&span.parent_id), named, "{span:?}");
    }
    for span in &served {
        let parent = asked.iter().find(|asked| asked.span_id == span.parent_id);
        let parent = parent.expect("the other end of the connection is on this host");
        assert_eq!(
            (&parent.trace_id, parent.path()),
            (&span.trace_id, span.path())
        );
    }
    let roots: BTreeSet<&[u8]> = all
        .iter()
        .filter(|span| span.parent_id.is_empty())
        .map(|span| span.trace_id.as_slice())
        .collect();
    assert_eq!(roots.len(), 40, "each root has a trace of its own");
    assert!(served.iter().all(|span| span.kind == 2) && asked.iter().all(|span| span.kind == 3));

    for request in receiver.requests() {
        let mut resources = BTreeSet::new();
        for spans in &request.resource_spans {
            let shown = format!("{:?}", spans.resource);
            assert!(
                resources.insert(shown.clone()),
                "twice in one request: {shown}"
            );
        }
    }
    drop(agent);
}

/// One span for each call at each end, named after its method, with the status that the client's library
/// says; below each client's span that of the server.
#[test]
fn calls() {
    need!(agent::root());
    let receiver = Receiver::grpc(Manner::Accepting);
    let agent = Agent::start(&[(ENDPOINT, &receiver.endpoint()), (PROTOCOL, "grpc")]);
    for library in Library::ALL {
        let server = need!(grpc::Server::start(library, &[]));
        let mut client = need!(Client::start(library, &server, &Load::of(1, 110, 10)));
        let calls = client.report().calls;
        let all = usize::try_from(calls.values().sum::<u64>()).expect("a few");
        let served = arrived(&receiver, &server.service, all);
        let sent = arrived(&receiver, &client.service, all);
        for (spans, kind, is_error) in [
            (&served, 2, server_error as fn(&str) -> bool),
            (&sent, 3, client_error),
        ] {
            let mut counts = Counts::new();
            for span in spans {
                let text = |name: &str| match span.attributes.get(name) {
                    Some(Value::Text(text)) => text.clone(),
                    other => panic!("{name}: {other:?} in {span:?}"),
                };
                assert_eq!((span.kind, &*text("rpc.system.name")), (kind, "grpc"));
                let (method, status) = (text("rpc.method"), text("rpc.response.status_code"));
                // What the server does not implement can be named anything.
                let name = if method == "_OTHER" { "grpc" } else { &method };
                assert_eq!(span.name, name);
                let error = is_error(&status);
                assert_eq!(span.status, if error { 2 } else { 0 }, "{span:?}");
                assert_eq!(span.attributes.contains_key("error.type"), error);
                assert!(!span.attributes.contains_key("http.response.status_code"));
                *counts.entry((method, status)).or_default() += 1;
            }
            assert_eq!(counts, calls, "{library:?}");
        }
        let ids: BTreeMap<&[u8], &Span> = (sent.iter())
            .map(|span| (span.span_id.as_slice(), span))
            .collect();
        for span in &served {
            let parent = ids.get(span.parent_id.as_slice());
            let parent = parent.unwrap_or_else(|| panic!("{library:?}: {span:?}"));
            assert_eq!(
                (&parent.trace_id, &parent.name),
                (&span.trace_id, &span.name)
            );
        }
    }
    drop(agent);
}

/// What a server is to blame for (OpenTelemetry conventions for gRPC).
fn server_error(status: &str) -> bool {
    [
        "UNKNOWN",
        "DEADLINE_EXCEEDED",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
    ]
    .contains(&status)
}

fn client_error(status: &str) -> bool {
    status != "OK"
}

#[test]
fn over_grpc() {
    need!(agent::root());
    let receiver = Receiver::grpc(Manner::Accepting);
    delivers(
        &receiver,
        &[(ENDPOINT, &receiver.endpoint()), (PROTOCOL, "grpc")],
    );
}

#[test]
fn over_http_compressed() {
    need!(agent::root());
    let receiver = Receiver::http(Manner::Accepting);
    let endpoint = receiver.endpoint();
    let gzip = ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip");
    delivers(
        &receiver,
        &[(ENDPOINT, &endpoint), (PROTOCOL, "http/protobuf"), gzip],
    );
}

/// Whatever the collector does, metrics go on exactly and every span is accounted for.
fn survives(endpoint: &str, protocol: &str) {
    let server = need!(Server::python("otlp-survives"));
    let agent = Agent::start(&[(ENDPOINT, endpoint), (PROTOCOL, protocol)]);
    let sent = load(&server);
    agent.expect_served(&server.service, &sent.counts());
    agent.expect_sent(&sent.service, &sent.counts());
    wait::expect(
        "spans offered = dropped + waiting, and none exported",
        &(0, true),
        || {
            let page = agent.page();
            let total = |name: &str| page.total(name, &[]);
            let offered = total("hark_spans_offered_total");
            let kept = total("hark_spans_dropped_total") + total("hark_spans_queued");
            (
                total("hark_spans_exported_total"),
                offered >= 2 * sent.total() && offered == kept,
            )
        },
    );
    let ready = hark_tests::http::get(agent.address(), "/readyz", "*/*").expect("a page");
    assert_eq!(
        ready.status, 200,
        "readiness never depends on the collector: {}",
        ready.body
    );
    let (status, stderr, _turn) = agent.end(rustix::process::Signal::TERM);
    assert!(status.success(), "{status}: {stderr}");
}

#[test]
fn no_collector() {
    need!(agent::root());
    for protocol in ["grpc", "http/protobuf"] {
        survives(&format!("http://{}", names::free_address()), protocol);
    }
}

#[test]
fn a_collector_that_is_unavailable() {
    need!(agent::root());
    let receiver = Receiver::grpc(Manner::Unavailable);
    survives(&receiver.endpoint(), "grpc");
    let receiver = Receiver::http(Manner::Unavailable);
    survives(&receiver.endpoint(), "http/protobuf");
}

#[test]
fn a_collector_that_never_answers() {
    need!(agent::root());
    let receiver = Receiver::grpc(Manner::Silent);
    survives(&receiver.endpoint(), "grpc");
    let receiver = Receiver::http(Manner::Silent);
    survives(&receiver.endpoint(), "http/protobuf");
}

#[test]
fn a_collector_that_refuses() {
    need!(agent::root());
    for (receiver, protocol) in [
        (Receiver::grpc(Manner::Refusing), "grpc"),
        (Receiver::http(Manner::Refusing), "http/protobuf"),
    ] {
        let server = need!(Server::python("otlp-refused"));
        let agent = Agent::start(&[(ENDPOINT, &receiver.endpoint()), (PROTOCOL, protocol)]);
        let sent = load(&server);
        agent.expect_served(&server.service, &sent.counts());
        wait::expect_within(
            Duration::from_secs(20),
            "all spans refused, once each",
            &true,
            || {
                let page = agent.page();
                let refused = page.total("hark_spans_dropped_total", &[("reason", "refused")]);
                let offered = page.total("hark_spans_offered_total", &[]);
                let retries = page.total("hark_span_export_retries_total", &[]);
                refused >= 2 * sent.total() && refused == offered && retries == 0
            },
        );
    }
}

/// Spans that wait when the agent is told to end are sent, all of them, before it does.
#[test]
fn what_waits_is_sent_at_the_end() {
    need!(agent::root());
    for (receiver, protocol) in [
        (Receiver::grpc(Manner::Accepting), "grpc"),
        (Receiver::http(Manner::Accepting), "http/protobuf"),
    ] {
        let server = need!(Server::python("otlp-flush"));
        let agent = Agent::start(&[
            (ENDPOINT, &receiver.endpoint()),
            (PROTOCOL, protocol),
            // Nothing is sent before its time, and that never comes.
            ("OTEL_BSP_SCHEDULE_DELAY", "3600000"),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2048"),
        ]);
        let sent = load(&server);
        agent.expect_served(&server.service, &sent.counts());
        agent.expect_sent(&sent.service, &sent.counts());
        assert_eq!(receiver.requests().len(), 0);
        let (status, stderr, _turn) = agent.end(rustix::process::Signal::TERM);
        assert!(status.success(), "{status}: {stderr}");
        assert_eq!(receiver.spans(&server.service).len(), 50);
        assert_eq!(receiver.spans(&sent.service).len(), 50);
    }
}
