//! gRPC: what the client's library counts, by method and status, is what the agent reports of both
//! ends, and so are the messages; with the libraries that people use.

use std::collections::BTreeMap;

use hark_tests::agent::{self, Agent};
use hark_tests::grpc::{COUNTED, Client, Library, Load, Server};
use hark_tests::metrics::Counts;
use hark_tests::{need, wait};

/// Calls of each kind, some of them refused, some given up, some too late.
fn counts_exactly(library: Library, load: &Load<'_>) {
    let agent = Agent::shared();
    let server = need!(Server::start(library, load.environment));
    let mut client = need!(Client::start(library, &server, load));
    let report = client.report();
    let counts = &report.calls;
    assert_eq!(
        counts.values().sum::<u64>(),
        (load.connections * load.calls) as u64,
        "{counts:?}"
    );
    agent.expect_calls_sent(&client.service, counts);
    agent.expect_calls_served(&server.service, counts);
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
    // Those of the client go to the server, and the other way round.
    for (at, of_client, of_server) in [(0, "sent", "received"), (1, "received", "sent")] {
        let want: BTreeMap<String, u64> = report
            .messages
            .iter()
            .map(|(method, messages)| (method.clone(), messages[at]))
            .collect();
        for (end, service, which) in [
            ("client", &client.service, of_client),
            ("server", &server.service, of_server),
        ] {
            let name = format!("hark_rpc_{end}_messages_{which}_total");
            let seen = wait::settle(wait::SETTLE, &want, || {
                let labels = [("service_name", &**service)];
                let mut seen = agent.page().by(&name, "rpc_method", &labels);
                seen.retain(|method, _| COUNTED.contains(&&**method));
                seen
            });
            let unknown = agent
                .page()
                .by("hark_http2_fields_unknown_total", "field", &[]);
            assert_eq!(seen, want, "{library:?} {name}; not known: {unknown:?}");
        }
    }
}

#[test]
fn one_call_at_a_time() {
    need!(agent::root());
    counts_exactly(Library::Tonic, &Load::of(1, 500, 1));
}

#[test]
fn a_hundred_calls_at_a_time() {
    need!(agent::root());
    counts_exactly(Library::Tonic, &Load::of(3, 2000, 100));
}

#[test]
fn many_connections() {
    need!(agent::root());
    counts_exactly(Library::Tonic, &Load::of(40, 50, 4));
}

#[test]
fn grpcio() {
    need!(agent::root());
    counts_exactly(Library::Grpcio, &Load::of(2, 110, 1));
    counts_exactly(Library::Grpcio, &Load::of(2, 800, 100));
}

#[test]
fn grpc_go() {
    need!(agent::root());
    counts_exactly(Library::GrpcGo, &Load::of(2, 110, 1));
    counts_exactly(Library::GrpcGo, &Load::of(3, 2000, 100));
}

/// Header tables of no entry, of a few, and of many.
#[test]
fn tables_of_other_sizes() {
    need!(agent::root());
    for library in [Library::Grpcio, Library::GrpcGo] {
        for size in ["0", "150", "65536"] {
            let environment = [("TABLE", size)];
            let load = Load {
                environment: &environment,
                ..Load::of(2, 200, 20)
            };
            counts_exactly(library, &load);
        }
    }
}

/// Header blocks of up to 40,000 bytes, which take several frames and leave nothing in the tables.
#[test]
fn long_header_blocks() {
    need!(agent::root());
    let environment = [("METADATA", "40000")];
    for library in [Library::Grpcio, Library::GrpcGo] {
        let load = Load {
            environment: &environment,
            ..Load::of(1, 200, 5)
        };
        counts_exactly(library, &load);
    }
}
