//! gRPC: what the client's library counts, by method and status, is what the agent reports of both
//! ends.

use hark_tests::agent::{self, Agent};
use hark_tests::grpc::{Client, Server};
use hark_tests::metrics::Counts;
use hark_tests::need;

/// Calls of each kind, some of them refused, some given up.
fn counts_exactly(connections: usize, calls: usize, concurrency: usize) {
    let agent = Agent::shared();
    let server = Server::start("tonic");
    let mut client = Client::start(&server, connections, calls, concurrency, None);
    let counts = client.counts();
    assert_eq!(
        counts.values().sum::<u64>(),
        (connections * calls) as u64,
        "{counts:?}"
    );
    agent.expect_calls_sent(&client.service, &counts);
    agent.expect_calls_served(&server.service, &counts);
    let page = agent.page();
    for (family, service) in [
        ("http_server_request_duration_seconds", &server.service),
        ("http_client_request_duration_seconds", &client.service),
    ] {
        assert_eq!(
            page.counts(family, service),
            Counts::new(),
            "a call is no request"
        );
    }
}

#[test]
fn one_call_at_a_time() {
    need!(agent::root());
    counts_exactly(1, 500, 1);
}

#[test]
fn a_hundred_calls_at_a_time() {
    need!(agent::root());
    counts_exactly(3, 2000, 100);
}

#[test]
fn many_connections() {
    need!(agent::root());
    counts_exactly(40, 50, 4);
}
