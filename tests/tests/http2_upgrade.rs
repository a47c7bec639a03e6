//! HTTP/2 by an upgrade from HTTP/1.1 (RFC 7540 §3.2), with curl and Go's server; apart from the other
//! tests because it counts all connections on the host.

use std::process::Command;
use std::time::Duration;

use hark_tests::agent::{self, Agent};
use hark_tests::grpc::Server;
use hark_tests::metrics::counts;
use hark_tests::process::Process;
use hark_tests::{names, need, tools};

/// Each client asks twice on one connection: the request that is upgraded is one of HTTP/1.1 whose answer
/// comes by HTTP/2, the next is HTTP/2. The connection counts as both.
#[test]
fn an_upgrade_is_followed() {
    const CLIENTS: u64 = 5;
    need!(agent::root());
    let agent = Agent::start(&[]);
    let server = need!(Server::upgradable());
    let curl = need!(tools::find("curl"));
    let connections = || {
        let by = agent.page().by("hark_connections_total", "protocol", &[]);
        (by["http1"], by["http2"])
    };
    agent.barrier();
    let before = connections();
    let client = names::unique("curl");
    for _ in 0..CLIENTS {
        let mut command = Command::new(&curl);
        command
            .args([
                "--silent",
                "--show-error",
                "--http2",
                "--write-out",
                "%{http_code} ",
            ])
            .arg(format!("http://{}/first", server.address))
            .arg(format!("http://{}/second", server.address))
            .env("OTEL_SERVICE_NAME", &client);
        let said = Process::run(command, Duration::from_secs(30));
        assert_eq!(said, "HTTP/1.1\n200 HTTP/2.0\n200 ", "curl");
    }
    let want = counts(&[("GET", "200", 2 * CLIENTS)]);
    agent.expect_served(&server.service, &want);
    agent.expect_sent(&client, &want);
    let after = connections();
    // Both ends of each; the barrier has made one exchange before, and the pages are the agent's own.
    assert_eq!(after.0 - before.0, 2 * CLIENTS);
    assert_eq!(after.1 - before.1, 2 * CLIENTS);
    let page = agent.page();
    for (family, service) in [(agent::SERVER, &server.service), (agent::CLIENT, &client)] {
        let name = format!("{family}_count");
        let version = page.by(
            &name,
            "network_protocol_version",
            &[("service_name", service)],
        );
        let version: Vec<_> = version.iter().map(|(v, count)| (&**v, *count)).collect();
        assert_eq!(version, [("1.1", CLIENTS), ("2", CLIENTS)]);
        // "HTTP/1.1\n" and "HTTP/2.0\n".
        let sizes = family.replace("request_duration_seconds", "response_body_size_bytes");
        let bytes = page.total(&format!("{sizes}_sum"), &[("service_name", service)]);
        assert_eq!(bytes, 2 * 9 * CLIENTS);
        for (_, active) in page.by(
            &family.replace("request_duration_seconds", "active_requests"),
            "url_scheme",
            &[("service_name", service)],
        ) {
            assert_eq!(active, 0);
        }
    }
}
