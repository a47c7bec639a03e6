//! The service graph, exactly, from real connections.

use std::collections::BTreeMap;

use hark_tests::agent::{self, Agent};
use hark_tests::load::{Plan, Request};
use hark_tests::server::Server;
use hark_tests::{need, wait};

const PREFIX: &str = "traces_service_graph_request";

/// Of the edges at which this service is: requests, failures, durations at either end.
fn edges(agent: &Agent, service: &str) -> BTreeMap<(String, String, String), [u64; 4]> {
    let page = agent.page();
    let mut edges = BTreeMap::new();
    for (place, name) in [
        "_total",
        "_failed_total",
        "_server_seconds_count",
        "_client_seconds_count",
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("{PREFIX}{name}");
        for sample in page.with(&name, &[]) {
            let label = |name: &str| sample.labels.get(name).cloned().unwrap_or_default();
            let key = (label("client"), label("server"), label("connection_type"));
            if key.0 == service || key.1 == service {
                let counts: &mut [u64; 4] = edges.entry(key).or_default();
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a small whole number"
                )]
                let count = sample.value as u64;
                counts[place] += count;
            }
        }
    }
    edges
}

#[test]
fn two_services_of_this_host_are_one_edge() {
    need!(agent::root());
    let agent = Agent::shared();
    let server = need!(Server::python("graph-python"));
    let requests = vec![
        Request::get("/ok"),
        Request::get("/status/404"),
        Request::get("/status/503"),
    ];
    // On connections that are kept, and on one for each.
    let mut total = 0;
    let mut wanted = BTreeMap::new();
    for plan in [
        Plan::new(&server.target, requests.clone())
            .connections(4)
            .rounds(25),
        Plan::new(&server.target, requests.clone()).rounds(2),
    ] {
        let sent = plan.run();
        total += sent.total();
        let failed = sent.counts()[&("GET".to_owned(), "503".to_owned())];
        let key = (sent.service.clone(), server.service.clone(), String::new());
        wanted.insert(key, [sent.total(), failed, sent.total(), sent.total()]);
    }
    wait::expect("edges", &wanted, || edges(agent, &server.service));
    assert!(total > 0);
}

/// A unix socket has no addresses, but knows its other end.
#[test]
fn two_services_on_a_unix_socket() {
    need!(agent::root());
    let agent = Agent::shared();
    let server = need!(Server::python_unix("graph-unix"));
    let sent = Plan::new(&server.target, vec![Request::get("/ok")])
        .connections(3)
        .rounds(10)
        .run();
    let key = (sent.service.clone(), server.service.clone(), String::new());
    let total = sent.total();
    let wanted = BTreeMap::from([(key, [total, 0, total, total])]);
    wait::expect("edges", &wanted, || edges(agent, &server.service));
}
