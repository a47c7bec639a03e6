//! Inside Go's own TLS: exact counts at both ends, and every exchange on its own socket.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::Duration;

use hark_tests::agent::{self, Agent};
use hark_tests::certificate::Certificate;
use hark_tests::metrics::counts;
use hark_tests::otlp::{ARRIVAL, Manner, Receiver};
use hark_tests::process::Process;
use hark_tests::server::Server;
use hark_tests::server::https::{self, Build};
use hark_tests::skip::Skip;
use hark_tests::truth::{lines, peers};
use hark_tests::{names, need, wait};

/// With the probes, which other tests go without.
const READ: (&str, &str) = ("HARK_CAPTURE_TLS", "true");

const LIMIT: Duration = Duration::from_secs(120);

/// So many requests on each of so many connections at a time.
#[derive(Clone, Copy)]
struct Load {
    connections: usize,
    requests: usize,
    /// Of HTTP/2, at a time; 0: HTTP/1.1.
    streams: usize,
}

impl Load {
    fn total(self) -> u64 {
        (self.connections * self.requests) as u64
    }
}

/// What a client asked for, and from which port, by path; and its service name.
fn get(build: Build, server: &Server, load: Load) -> Result<(String, BTreeMap<String, i64>), Skip> {
    let service = names::unique("tls-go-client");
    let words = [load.connections, load.requests, load.streams];
    let mut command = Command::new(https::program(build)?);
    command
        .args(["get", &server.tcp().port().to_string()])
        .args(words.map(|n| n.to_string()))
        .env("OTEL_SERVICE_NAME", &service);
    let said = Process::run(command, LIMIT);
    let sent = lines(&said, "SENT ");
    assert_eq!(sent.len() as u64, load.total(), "{said}");
    Ok((service, sent))
}

/// Has the agent look into the program: what it does before is missed in part.
fn found(agent: &Agent, build: Build, certificate: &Certificate) -> Result<(), Skip> {
    let server = https::serve(build, certificate)?;
    let once = Load {
        connections: 1,
        requests: 1,
        streams: 0,
    };
    wait::until(LIMIT, "the program to be found", || {
        let (client, _) = get(build, &server, once).ok()?;
        agent.barrier();
        (agent.client_counts(&client).values().sum::<u64>() == 1).then_some(())
    });
    Ok(())
}

/// Exact counts, and each exchange's socket as both ends know it.
fn on_the_right_socket(build: Build, load: Load) {
    need!(agent::root());
    let certificate = need!(Certificate::make());
    let receiver = Receiver::http(Manner::Accepting);
    let endpoint = receiver.endpoint();
    // All spans of a load at once are more than the standard queue holds.
    let agent = Agent::start(&[
        READ,
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "16384"),
    ]);
    need!(found(&agent, build, &certificate));
    let server = need!(https::serve(build, &certificate));
    let (client, sent) = need!(get(build, &server, load));
    let want = counts(&[("GET", "200", load.total())]);
    agent.expect_sent(&client, &want);
    agent.expect_served(&server.service, &want);
    assert_eq!(lines(&server.process.stdout(), "SEEN "), sent);
    let total = usize::try_from(load.total()).expect("few");
    for service in [&client, &server.service] {
        wait::expect_within(ARRIVAL, "spans", &total, || receiver.spans(service).len());
    }
    let served = receiver.spans(&server.service);
    assert_eq!(peers(&served), sent, "each request's client");
    let port = i64::from(server.tcp().port());
    let asked = receiver.spans(&client);
    assert!(peers(&asked).values().all(|peer| *peer == port));
    let version = if load.streams == 0 { "1.1" } else { "2" };
    for (service, family) in [(&server.service, agent::SERVER), (&client, agent::CLIENT)] {
        let labels = [
            ("service_name", service.as_str()),
            ("network_protocol_version", version),
            ("url_scheme", "https"),
        ];
        let page = agent.page();
        let counted = page.total(&format!("{family}_count"), &labels);
        assert_eq!(counted, load.total());
        // Each connection is one, and read.
        let labels = [("service_name", service.as_str()), ("library", "go")];
        let by = page.by("hark_tls_connections_total", "readable", &labels);
        let connections = sent.values().collect::<BTreeSet<_>>().len() as u64;
        assert_eq!(by, [("true".to_owned(), connections)].into());
    }
    assert_eq!(agent.lost(), 0);
}

const HTTP1: Load = Load {
    connections: 100,
    requests: 12,
    streams: 0,
};
const HTTP2: Load = Load {
    connections: 50,
    requests: 16,
    streams: 8,
};

#[test]
fn http1() {
    on_the_right_socket(Build::Plain, HTTP1);
}

#[test]
fn http2() {
    on_the_right_socket(Build::Plain, HTTP2);
}

/// Neither names nor debug information; and by another linker, where Go's code does not begin the
/// section.
#[test]
fn stripped() {
    on_the_right_socket(Build::Stripped, HTTP2);
    on_the_right_socket(Build::External, HTTP1);
}

/// Without any library, and loaded anywhere.
#[test]
fn without_libraries() {
    on_the_right_socket(Build::Static, HTTP1);
    on_the_right_socket(Build::Anywhere, HTTP2);
}
