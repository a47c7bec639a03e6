//! gRPC calls of every kind between two processes.

use hark_tests::agent::{self, Agent};
use hark_tests::grpc::{Client, Library, Load, Server};
use hark_tests::skip::Skip;

use crate::books::{Books, End, Protocol};

/// Calls of each of [`CONNECTIONS`].
const CALLS: usize = 40;
const CONNECTIONS: usize = 2;

/// Makes calls; gives how many were heard at either end, by method and status.
pub(crate) fn check(agent: &Agent) -> String {
    let books = Books::open(agent);
    let started = |Skip(why)| -> ! { panic!("{why}") };
    let server = Server::start(Library::Tonic, &[]).unwrap_or_else(|skip| started(skip));
    let load = Load::of(CONNECTIONS, CALLS, 4);
    let mut client =
        Client::start(Library::Tonic, &server, &load).unwrap_or_else(|skip| started(skip));
    let calls = client.report().calls;
    let made: u64 = calls.values().sum();
    assert_eq!(made, (CONNECTIONS * CALLS) as u64, "{calls:?}");
    books.close(
        Protocol::Http2,
        &[
            End {
                what: "served",
                own: calls.clone(),
                heard: &|page| page.calls(agent::CALL_SERVER, &server.service),
            },
            End {
                what: "made",
                own: calls,
                heard: &|page| page.calls(agent::CALL_CLIENT, &client.service),
            },
        ],
    )
}
