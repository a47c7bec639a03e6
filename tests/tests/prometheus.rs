//! A real Prometheus scrapes the agent, and PromQL gives the client's counts.

use std::process::Command;
use std::time::Duration;

use hark_tests::agent::{self, Agent};
use hark_tests::load::{Body, Plan, Request};
use hark_tests::process::Process;
use hark_tests::prometheus::Prometheus;
use hark_tests::server::Server;
use hark_tests::{http, need, tools, wait};

fn requests() -> Vec<Request> {
    vec![
        Request::get("/ok"),
        Request::get("/status/404"),
        Request::get("/status/503"),
        Request::post("/echo", Body::Length(100)),
        Request::get("/sleep/30"),
    ]
}

#[test]
fn promql_gives_the_clients_counts() {
    need!(agent::root());
    let agent = Agent::shared();
    let prometheus = need!(Prometheus::scraping(agent.address()));
    let server = need!(Server::python("prometheus-python"));
    let sent = Plan::new(&server.target, requests())
        .connections(3)
        .rounds(20)
        .run();
    let limit = Duration::from_secs(20);
    wait::expect_within(limit, "served, by PromQL", &sent.counts(), || {
        prometheus.counts(agent::SERVER, &server.service)
    });
    wait::expect_within(limit, "sent, by PromQL", &sent.counts(), || {
        prometheus.counts(agent::CLIENT, &sent.service)
    });
    let one = |promql: String| -> Vec<f64> {
        prometheus
            .query(&promql)
            .into_iter()
            .map(|(_, value)| value)
            .collect()
    };
    assert_eq!(one("up{job=\"hark\"}".into()), [1.0]);
    let of = format!("{{service_name=\"{}\"", server.service);
    let family = agent::SERVER;
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let total = sent.total() as f64;
    assert_eq!(
        one(format!("sum({family}_bucket{of},le=\"+Inf\"}})")),
        [total]
    );
    // Sixty requests slept 30 ms: none of them is in the buckets below.
    let slept = "http_route=\"/sleep/{id}\"";
    assert_eq!(
        one(format!("sum({family}_bucket{of},{slept},le=\"0.025\"}})")),
        [0.0]
    );
    assert_eq!(one(format!("sum({family}_count{of},{slept}}})")), [60.0]);
    // Errors by the label that tells them apart.
    assert_eq!(
        one(format!("sum({family}_count{of},error_type=\"503\"}})")),
        [60.0]
    );
    assert_eq!(
        one(format!("sum({family}_count{of},error_type!=\"\"}})")),
        [60.0]
    );
    let scraped = one("scrape_samples_scraped{job=\"hark\"}".into());
    assert!(scraped[0] > 0.0, "{scraped:?}");
}

/// A service with some of everything, so that the page has something to check.
fn page_with_traffic(accept: &str) -> http::Response {
    let agent = Agent::shared();
    let server = Server::one_shot("prometheus-page");
    let sent = Plan::new(&server.target, vec![Request::get("/marker")]).run();
    agent.expect_sent(&sent.service, &sent.counts());
    let page = http::get(agent.address(), "/metrics", accept).expect("the agent answers");
    assert_eq!(page.status, 200);
    page
}

#[test]
fn promtool_finds_nothing_to_complain_of() {
    need!(agent::root());
    let promtool = need!(tools::find("promtool"));
    let page = page_with_traffic("text/plain;version=0.0.4");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("page");
    std::fs::write(&file, &page.body).expect("our own folder");
    let mut command = Command::new("sh");
    command
        .args(["-c", "exec \"$0\" check metrics < \"$1\""])
        .arg(promtool)
        .arg(&file);
    let (status, stdout, stderr) = Process::finish(command, Duration::from_secs(20));
    assert!(
        status.success() && stdout.is_empty() && stderr.is_empty(),
        "{stdout}{stderr}"
    );
}

#[test]
fn both_formats_by_negotiation() {
    need!(agent::root());
    let text = page_with_traffic("text/plain;version=0.0.4");
    let kind = text.content_type.unwrap_or_default();
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    assert!(!text.body.contains("# EOF"));
    let open = page_with_traffic(
        "application/openmetrics-text;version=1.0.0;q=0.9,text/plain;version=0.0.4;q=0.5",
    );
    let kind = open.content_type.unwrap_or_default();
    assert!(
        kind.starts_with("application/openmetrics-text; version=1.0.0"),
        "{kind}"
    );
    assert!(open.body.ends_with("# EOF\n"));
}

#[test]
fn health_pages() {
    need!(agent::root());
    let agent = Agent::shared();
    for (path, status) in [("/healthz", 200), ("/readyz", 200), ("/nothing", 404)] {
        let page = http::get(agent.address(), path, "*/*").expect("the agent answers");
        assert_eq!(page.status, status, "{path}: {}", page.body);
    }
}
