//! HTTP/2 in clear text: what h2load counts is what the agent reports of both ends.

use std::process::Command;
use std::time::Duration;

use hark_tests::agent::{self, Agent};
use hark_tests::metrics::counts;
use hark_tests::process::Process;
use hark_tests::{h2load, names, need, tools};

/// A file to send.
fn body(bytes: &[u8]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), bytes).expect("a file");
    file
}

#[test]
fn every_stream_is_an_exchange_on_both_ends() {
    need!(agent::root());
    let agent = Agent::shared();
    let server = need!(h2load::Server::start("nghttpd"));
    let (mut found, mut missing) = (0, 0);
    for (path, requests, connections, streams) in [
        ("/small", 2, 2, 1),
        ("/small", 5000, 2, 1),
        ("/small", 10_000, 4, 32),
        ("/small", 10_000, 10, 100),
        ("/large", 200, 4, 10),
        ("/none", 1000, 2, 10),
    ] {
        let report = need!(h2load::run(
            &server,
            path,
            requests,
            connections,
            streams,
            &[]
        ));
        let [two, _, four, _] = report.statuses;
        assert_eq!((two + four, report.failed), (requests, 0), "{report:?}");
        let sent = if path == "/none" {
            counts(&[("GET", "404", four)])
        } else {
            counts(&[("GET", "200", two)])
        };
        agent.expect_sent(&report.service, &sent);
        found += two;
        missing += four;
    }
    agent.expect_served(
        &server.service,
        &counts(&[("GET", "200", found), ("GET", "404", missing)]),
    );
    let page = agent.page();
    let labels = [
        ("service_name", &*server.service),
        ("network_protocol_version", "2"),
    ];
    assert_eq!(
        page.total("http_server_request_duration_seconds_count", &labels),
        found + missing
    );
    let routes = page.by(
        "http_server_request_duration_seconds_count",
        "http_route",
        &labels,
    );
    assert_eq!(
        routes.keys().collect::<Vec<_>>(),
        ["/large", "/none", "/small"]
    );
    let labels = [("service_name", &*server.service)];
    let active = page.with("hark_http2_server_active_streams", &labels);
    assert!(active.map(|sample| sample.value).eq([0.0]));
}

/// A server that takes one stream at a time on a connection: each request takes the last one.
#[test]
fn streams_at_the_limit() {
    need!(agent::root());
    let agent = Agent::shared();
    let server = need!(h2load::Server::with(
        "nghttpd-limit",
        &["--max-concurrent-streams=1"]
    ));
    let report = need!(h2load::run(&server, "/small", 500, 4, 1, &[]));
    assert_eq!(report.statuses, [500, 0, 0, 0]);
    agent.expect_sent(&report.service, &counts(&[("GET", "200", 500)]));
    agent.expect_served(&server.service, &counts(&[("GET", "200", 500)]));
    let page = agent.page();
    // A client may ask first on each connection before it has heard of the limit.
    for (end, service, at_limit) in [
        ("server", &server.service, 500..=500),
        ("client", &report.service, 496..=500),
    ] {
        let figure = |name: &str| {
            let name = format!("hark_http2_{end}_{name}");
            page.total(&name, &[("service_name", service)])
        };
        let seen = figure("streams_at_limit_total");
        assert!(at_limit.contains(&seen), "{end}: {seen}");
        assert_eq!(figure("streams_refused_total"), 0, "{end}");
        assert_eq!(figure("active_connections"), 0, "{end}");
    }
}

/// A stream that the server does not take up has no status, and is counted at both ends.
#[test]
fn streams_that_are_refused() {
    const CONNECTIONS: u64 = 20;
    need!(agent::root());
    let agent = Agent::shared();
    let service = names::unique("refuses");
    let mut command = Command::new(need!(tools::find("python3")));
    command
        .arg(tools::source("refuses.py"))
        .arg(CONNECTIONS.to_string())
        .env("OTEL_SERVICE_NAME", &service);
    let said = Process::run(command, Duration::from_secs(60));
    assert_eq!(said, format!("REFUSED {CONNECTIONS}\n"));
    let want = counts(&[("GET", "200", CONNECTIONS), ("GET", "", CONNECTIONS)]);
    agent.expect_served(&service, &want);
    agent.expect_sent(&service, &want);
    let page = agent.page();
    for (end, family, error) in [
        ("server", agent::SERVER, "stream_aborted:REFUSED_STREAM"),
        ("client", agent::CLIENT, "stream_reset:REFUSED_STREAM"),
    ] {
        let name = format!("hark_http2_{end}_streams_refused_total");
        assert_eq!(
            page.total(&name, &[("service_name", &service)]),
            CONNECTIONS,
            "{end}"
        );
        let mut errors = agent.errors(family, &service);
        errors.retain(|error, _| !error.is_empty());
        assert_eq!(errors, [(error.to_owned(), CONNECTIONS)].into());
    }
}

/// gRPC-Web has messages and trailers alike, but is HTTP.
#[test]
fn grpc_web_is_http() {
    need!(agent::root());
    let agent = Agent::shared();
    let server = need!(h2load::Server::start("nghttpd-web"));
    let file = body(&[0, 0, 0, 0, 2, 8, 1]);
    let body = file.path().to_str().expect("a path in UTF-8");
    for of in ["grpc-web", "grpc-web+proto", "grpc-web-text"] {
        let header = format!("content-type: application/{of}");
        let more = ["-d", body, "-H", &header, "-H", "grpc-timeout: 1S"];
        let report = need!(h2load::run(&server, "/small", 200, 2, 5, &more));
        assert_eq!(report.statuses, [200, 0, 0, 0]);
        agent.expect_sent(&report.service, &counts(&[("POST", "200", 200)]));
        assert!(
            agent
                .page()
                .calls(agent::CALL_CLIENT, &report.service)
                .is_empty()
        );
    }
    agent.expect_served(&server.service, &counts(&[("POST", "200", 600)]));
    assert!(
        agent
            .page()
            .calls(agent::CALL_SERVER, &server.service)
            .is_empty()
    );
}

/// Bodies go up, headers are many, and the header table is tiny or off.
#[test]
fn uploads_and_tables_of_other_sizes() {
    need!(agent::root());
    let agent = Agent::shared();
    let server = need!(h2load::Server::start("nghttpd-tables"));
    let file = body(&[b'y'; 50_000]);
    let body = file.path().to_str().expect("a path in UTF-8");
    let long = format!("x-long: {}", "z".repeat(3000));
    let mut served = 0;
    for more in [
        &["--header-table-size=0", "--encoder-header-table-size=0"][..],
        &["--header-table-size=128", "--encoder-header-table-size=128"],
        &[
            "--header-table-size=65536",
            "--encoder-header-table-size=65536",
        ],
        &["-H", &long],
    ] {
        let report = need!(h2load::run(&server, "/small", 1000, 2, 20, more));
        assert_eq!(report.statuses, [1000, 0, 0, 0]);
        agent.expect_sent(&report.service, &counts(&[("GET", "200", 1000)]));
        served += 1000;
    }
    let report = need!(h2load::run(&server, "/small", 300, 3, 5, &["-d", body]));
    let [ok, ..] = report.statuses;
    assert_eq!(ok, 300);
    agent.expect_sent(&report.service, &counts(&[("POST", "200", 300)]));
    agent.expect_served(
        &server.service,
        &counts(&[("GET", "200", served), ("POST", "200", 300)]),
    );
    let page = agent.page();
    let sizes = "http_server_request_body_size_bytes_sum";
    let labels = [
        ("service_name", &*server.service),
        ("http_request_method", "POST"),
    ];
    assert_eq!(page.total(sizes, &labels), 300 * 50_000);
}
