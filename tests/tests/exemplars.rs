//! A real Prometheus stores the exemplars, and each of them leads to a span that was exported.

use std::collections::BTreeMap;
use std::time::Duration;

use hark_tests::agent::{self, Agent};
use hark_tests::load::{Plan, Request};
use hark_tests::otlp::{ARRIVAL, Manner, Receiver};
use hark_tests::prometheus::Prometheus;
use hark_tests::server::Server;
use hark_tests::{http, need, wait};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn start(receiver: &Receiver) -> Agent {
    Agent::start(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.endpoint()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_BSP_SCHEDULE_DELAY", "200"),
    ])
}

#[test]
fn each_exemplar_is_a_span_that_was_exported() {
    need!(agent::root());
    let receiver = Receiver::http(Manner::Accepting);
    let agent = start(&receiver);
    let prometheus = need!(Prometheus::scraping(agent.address()));
    let server = need!(Server::python("exemplars"));
    let requests = vec![
        Request::get("/ok"),
        Request::get("/status/503"),
        Request::get("/sleep/30"),
    ];
    let sent = Plan::new(&server.target, requests).rounds(20).run();
    wait::expect_within(ARRIVAL, "spans", &(60, 60), || {
        (
            receiver.spans(&server.service).len(),
            receiver.spans(&sent.service).len(),
        )
    });
    // Durations by trace and span, of both ends.
    let spans: BTreeMap<(String, String), f64> = [&server.service, &sent.service]
        .iter()
        .flat_map(|service| receiver.spans(service))
        .map(|span| {
            #[expect(clippy::cast_precision_loss, reason = "a short time")]
            let seconds = (span.end_ns - span.start_ns) as f64 / 1e9;
            ((hex(&span.trace_id), hex(&span.span_id)), seconds)
        })
        .collect();
    assert_eq!(spans.len(), 120);
    for (family, service) in [
        (agent::SERVER, &server.service),
        (agent::CLIENT, &sent.service),
    ] {
        let promql = format!("{family}_bucket{{service_name=\"{service}\"}}");
        // Each of the three kinds of request is in one bucket at least.
        let found = wait::until(Duration::from_secs(20), "exemplars in Prometheus", || {
            let found = prometheus.exemplars(&promql);
            (found.len() >= 3).then_some(found)
        });
        for (labels, value) in found {
            let key = (labels["trace_id"].clone(), labels["span_id"].clone());
            assert_eq!(labels.len(), 2, "{labels:?}");
            let seconds = spans
                .get(&key)
                .unwrap_or_else(|| panic!("{key:?} was never exported"));
            assert!((seconds - value).abs() < 1e-9, "{seconds} {value}");
        }
    }
}

/// Spans that no collector has are nobody's exemplars, and the older format has none at all.
#[test]
fn no_exemplar_without_a_span() {
    need!(agent::root());
    let open = "application/openmetrics-text;version=1.0.0";
    for manner in [Manner::Refusing, Manner::Accepting] {
        let receiver = Receiver::http(manner);
        let server = need!(Server::python("exemplars-none"));
        let agent = start(&receiver);
        let sent = Plan::new(&server.target, vec![Request::get("/ok")]).run();
        agent.expect_sent(&sent.service, &sent.counts());
        wait::expect_within(ARRIVAL, "nothing waits", &true, || {
            let page = agent.page();
            page.total("hark_spans_offered_total", &[]) >= 2
                && page.total("hark_spans_queued", &[]) == 0
        });
        let page = http::get(agent.address(), "/metrics", open)
            .expect("a page")
            .body;
        assert_eq!(
            page.contains("# {trace_id="),
            manner == Manner::Accepting,
            "{manner:?}"
        );
        let text = http::get(agent.address(), "/metrics", "text/plain;version=0.0.4");
        assert!(!text.expect("a page").body.contains("trace_id"));
    }
}
