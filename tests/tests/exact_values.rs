//! Each exchange against what its client knows of it, value by value, by its spans.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use hark_tests::agent::{self, Agent};
use hark_tests::load::{Body, Exchange, Plan, Request, Sent};
use hark_tests::metrics::Counts;
use hark_tests::otlp::{ARRIVAL, Manner, Receiver, Span, Value};
use hark_tests::server::Server;
use hark_tests::{need, wait};

static RECEIVER: OnceLock<Receiver> = OnceLock::new();

fn receiver() -> &'static Receiver {
    RECEIVER.get_or_init(|| Receiver::grpc(Manner::Accepting))
}

fn agent() -> &'static Agent {
    Agent::shared_with(|| {
        Agent::start(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver().endpoint()),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ])
    })
}

/// The service's spans, once there are as many as exchanges; by path.
#[track_caller]
fn spans(service: &str, sent: &Sent) -> BTreeMap<String, Span> {
    let want = usize::try_from(sent.total()).expect("a small number");
    wait::expect_within(ARRIVAL, &format!("spans of {service}"), &want, || {
        receiver().spans(service).len()
    });
    let spans: BTreeMap<String, Span> = receiver()
        .spans(service)
        .into_iter()
        .map(|span| (span.path().to_owned(), span))
        .collect();
    assert_eq!(spans.len(), want, "one span per path: {:?}", spans.keys());
    spans
}

fn text(span: &Span, key: &str) -> Option<String> {
    match span.attributes.get(key) {
        Some(Value::Text(text)) => Some(text.clone()),
        None => None,
        other => panic!("{key} is not text: {other:?}"),
    }
}

fn number(span: &Span, key: &str) -> Option<i64> {
    match span.attributes.get(key) {
        Some(Value::Int(number)) => Some(*number),
        None => None,
        other => panic!("{key} is not a number: {other:?}"),
    }
}

/// What the client knows, and what a span says of the same.
#[derive(Debug, PartialEq)]
struct Facts {
    method: String,
    status: Option<i64>,
    error: Option<String>,
    /// A request without a body has none, or one of no bytes.
    request_body: i64,
    response_body: i64,
    version: Option<String>,
    scheme: Option<String>,
    peer_port: i64,
}

impl Facts {
    fn sent(exchange: &Exchange, error_from: u16, peer_port: u16) -> Self {
        let error = exchange.status.filter(|status| *status >= error_from);
        Self {
            method: exchange.method.clone(),
            status: exchange.status.map(i64::from),
            error: error.map(|status| status.to_string()),
            request_body: i64::try_from(exchange.request_body).expect("a small number"),
            response_body: i64::try_from(exchange.response_body).expect("a small number"),
            version: Some("1.1".into()),
            scheme: Some("http".into()),
            peer_port: i64::from(peer_port),
        }
    }

    fn seen(span: &Span) -> Self {
        Self {
            method: text(span, "http.request.method").unwrap_or_default(),
            status: number(span, "http.response.status_code"),
            error: text(span, "error.type"),
            request_body: number(span, "http.request.body.size").unwrap_or(0),
            response_body: number(span, "http.response.body.size").unwrap_or(0),
            version: text(span, "network.protocol.version"),
            scheme: text(span, "url.scheme"),
            peer_port: number(span, "network.peer.port").unwrap_or(0),
        }
    }
}

/// Each with a path of its own, so that exchange and span can be told to belong together.
fn varied() -> Vec<Request> {
    vec![
        Request::get("/ok"),
        Request::new("HEAD", "/bytes/4321"),
        Request::get("/status/201"),
        Request::get("/status/204"),
        Request::get("/status/304"),
        Request::get("/status/400"),
        Request::get("/status/404"),
        Request::get("/status/500"),
        Request::get("/status/503"),
        Request::get("/bytes/0"),
        Request::get("/bytes/1"),
        Request::get("/bytes/65536"),
        Request::get("/bytes/3000001"),
        Request::get("/chunked/1/1"),
        Request::get("/chunked/100/777"),
        Request::post("/echo/a", Body::Length(1)),
        Request::post("/echo/b", Body::Length(1_000_003)),
        Request::post("/echo/c", Body::Chunked(vec![1, 2, 3, 40_000])),
        Request::post("/echo/d", Body::ChunkedOddly(vec![5, 5, 5])),
        Request::new("PUT", "/put"),
        Request::new("DELETE", "/delete"),
        Request::get("/with%20space/%C3%A9"),
    ]
}

fn values_agree(server: &Server, port: u16) {
    let sent = Plan::new(&server.target, varied())
        .host("shop.example:8042")
        .keep()
        .run();
    assert_eq!(sent.outcome.failed, Default::default());
    let served = spans(&server.service, &sent);
    let asked = spans(&sent.service, &sent);
    for exchange in &sent.outcome.exchanges {
        let path = exchange.target.as_str();
        let span = served
            .get(path)
            .unwrap_or_else(|| panic!("{path} among {:?}", served.keys()));
        assert_eq!(
            Facts::seen(span),
            Facts::sent(exchange, 500, exchange.local_port),
            "{path}"
        );
        assert_eq!(span.kind, 2, "{path}: server");
        let span = asked
            .get(path)
            .unwrap_or_else(|| panic!("{path} among {:?}", asked.keys()));
        assert_eq!(
            Facts::seen(span),
            Facts::sent(exchange, 400, port),
            "{path}"
        );
        assert_eq!(span.kind, 3, "{path}: client");
        assert_eq!(
            text(span, "server.address").as_deref(),
            Some("shop.example"),
            "{path}"
        );
        assert_eq!(number(span, "server.port"), Some(8042), "{path}");
        let full = format!("http://shop.example:8042{path}");
        assert_eq!(text(span, "url.full"), Some(full), "{path}");
    }
}

#[test]
fn values_over_tcp() {
    need!(agent::root());
    let _ = agent();
    let server = need!(Server::python("values-tcp"));
    values_agree(&server, server.tcp().port());
}

#[test]
fn values_over_a_unix_socket() {
    need!(agent::root());
    let _ = agent();
    values_agree(&need!(Server::python_unix("values-unix")), 0);
}

#[test]
fn values_from_node_and_go() {
    need!(agent::root());
    let _ = agent();
    let server = need!(Server::node("values-node"));
    values_agree(&server, server.tcp().port());
    let server = need!(Server::go("values-go"));
    values_agree(&server, server.tcp().port());
}

/// Routes by the rules of the issue: what looks like an identifier becomes `{id}`.
#[test]
fn routes_fold_identifiers() {
    need!(agent::root());
    let agent = agent();
    let server = need!(Server::framing("values-routes"));
    let cases = [
        ("/", "/"),
        ("/orders", "/orders"),
        ("/orders/17", "/orders/{id}"),
        ("/orders/17/lines/3", "/orders/{id}/lines/{id}"),
        ("/users/550e8400-e29b-41d4-a716-446655440000", "/users/{id}"),
        ("/objects/9f86d081884c7d659a2feaa0c55ad015", "/objects/{id}"),
        ("/days/2026-02-28/report", "/days/{id}/report"),
        ("/s/eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9", "/s/{id}"),
        ("/api/v2/health", "/api/v2/health"),
    ];
    let requests = cases.iter().map(|(path, _)| Request::get(path)).collect();
    let sent = Plan::new(&server.target, requests).run();
    let spans = spans(&server.service, &sent);
    for (path, route) in cases {
        let span = &spans[path];
        assert_eq!(text(span, "http.route").as_deref(), Some(route), "{path}");
        assert_eq!(span.name, format!("GET {route}"), "{path}");
    }
    // And in the metrics, where two paths may share one route.
    let mut want = BTreeMap::new();
    for (_, route) in cases {
        *want.entry(route.to_owned()).or_insert(0) += 1;
    }
    let name = format!("{}_count", agent::SERVER);
    wait::expect("exchanges by route", &want, || {
        agent
            .page()
            .by(&name, "http_route", &[("service_name", &server.service)])
    });
}

/// The query is private unless somebody switched it on: no attribute may hold a piece of it.
#[test]
fn queries_stay_private() {
    need!(agent::root());
    let _ = agent();
    let server = need!(Server::python("values-private"));
    let request = Request::post("/ok?token=s3cret&sig=s3cret", Body::Length(40))
        .header("Authorization: Bearer s3cret")
        .header("Cookie: session=s3cret")
        .header("Baggage: user=s3cret");
    let sent = Plan::new(&server.target, vec![request]).run();
    for service in [&server.service, &sent.service] {
        let spans = spans(service, &sent);
        let shown = format!("{spans:?}");
        assert!(spans.contains_key("/ok"), "{shown}");
        assert!(!shown.contains("s3cret"), "{shown}");
    }
    let page = hark_tests::http::get(agent().address(), "/metrics", "*/*").expect("a page");
    assert!(!page.body.contains("s3cret"));
}

/// The server sleeps a known time and logs its own times. Only cause and effect is asserted: the
/// answer leaves after the sleep, and both ends lie between the client's looks at the clock.
#[test]
fn durations_hold_what_the_server_slept() {
    need!(agent::root());
    let _ = agent();
    let server = need!(Server::python_logging("values-sleep"));
    let slept: Vec<u64> = (1..=40).map(|step| step * 5).collect();
    let requests = slept
        .iter()
        .map(|ms| Request::get(&format!("/sleep/{ms}")))
        .collect();
    let sent = Plan::new(&server.target, requests).keep().run();
    let served = spans(&server.service, &sent);
    let asked = spans(&sent.service, &sent);
    let log = std::fs::read_to_string(server.folder().join("log")).expect("the server's log");
    let own: BTreeMap<String, u64> = log.lines().map(own_duration).collect();
    let mut differences = Vec::new();
    for (ms, exchange) in slept.iter().zip(&sent.outcome.exchanges) {
        let path = exchange.target.as_str();
        for span in [&served[path], &asked[path]] {
            let duration = span.end_ns - span.start_ns;
            assert!(duration >= ms * 1_000_000, "{path} took only {duration} ns");
            // The wall clock may be set a little while the test runs.
            let slack = 5_000_000;
            let (before, after) = (exchange.before_ns - slack, exchange.after_ns + slack);
            assert!(
                before <= span.start_ns,
                "{path} began before it was sent: {span:?}"
            );
            assert!(
                span.end_ns <= after,
                "{path} ended after it was read: {span:?}"
            );
        }
        let span = &served[path];
        differences.push((span.end_ns - span.start_ns).abs_diff(own[path]));
    }
    differences.sort_unstable();
    let at = |percent: usize| differences[(differences.len() - 1) * percent / 100] / 1000;
    eprintln!(
        "reported duration against the handler's own, us: p50 {} p90 {} max {}",
        at(50),
        at(90),
        at(100)
    );
}

fn own_duration(line: &str) -> (String, u64) {
    let line: serde_json::Value = serde_json::from_str(line).expect("a JSON line");
    let time = |key: &str| line[key].as_u64().expect("a time in ns");
    let path = line["path"].as_str().expect("a path").to_owned();
    (path, time("ended") - time("begun"))
}

/// Spans and metrics tell the same number of exchanges.
#[test]
fn spans_and_metrics_agree() {
    need!(agent::root());
    let agent = agent();
    let server = need!(Server::go("values-agree"));
    let requests = vec![
        Request::get("/ok"),
        Request::get("/status/404"),
        Request::get("/bytes/9"),
    ];
    let sent = Plan::new(&server.target, requests)
        .connections(4)
        .rounds(50)
        .run();
    agent.expect_served(&server.service, &sent.counts());
    for service in [&server.service, &sent.service] {
        wait::expect_within(ARRIVAL, service, &sent.counts(), || {
            let mut counts = Counts::new();
            for span in receiver().spans(service) {
                let status = number(&span, "http.response.status_code")
                    .unwrap_or(0)
                    .to_string();
                let method = text(&span, "http.request.method").unwrap_or_default();
                *counts.entry((method, status)).or_default() += 1;
            }
            counts
        });
    }
}
