//! An agent that starts in the middle of connections; apart from the other tests because its agent
//! cannot be shared with them.

use hark_tests::agent::{self, Agent, CALL_CLIENT, CALL_SERVER};
use hark_tests::grpc::{Client, Library, Load, Server};
use hark_tests::need;
use hark_tests::turn::Turn;

/// The agent starts when the connections are there and the header tables are filled. What could
/// not be heard is not guessed: every call is counted, as a call or as the HTTP that it is on the
/// wire, and no method or status is one that was not called. Those that are no calls lack what tells.
fn joins(library: Library) {
    let turn = Turn::take();
    let server = need!(Server::start(library, &[]));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let gate = folder.path().join("gate");
    let load = Load {
        gate: Some(&gate),
        ..Load::of(2, 1000, 10)
    };
    let mut client = need!(Client::start(library, &server, &load));
    let agent = Agent::start_in_turn(turn, &[]);
    std::fs::write(&gate, "").expect("a file");
    let counts = client.report().calls;
    agent.barrier();
    let page = agent.page();
    let (mut as_http, mut passed) = (0, 0);
    for (call, http, service) in [
        (CALL_SERVER, agent::SERVER, &server.service),
        (CALL_CLIENT, agent::CLIENT, &client.service),
    ] {
        let calls = page.calls(call, service);
        let requests = page.counts(http, service);
        let all: u64 = calls.values().chain(requests.values()).sum();
        passed += counts.values().sum::<u64>() - all;
        as_http += requests.values().sum::<u64>();
        for ((method, status), count) in &calls {
            if method == "unknown" || status == "unknown" {
                continue;
            }
            let right = counts.get(&(method.clone(), status.clone()));
            assert!(
                right.is_some_and(|right| right >= count),
                "{library:?} {method} {status}"
            );
        }
        let known = |method: &str| method == "POST" || method == "unknown";
        assert!(
            requests.keys().all(|(method, _)| known(method)),
            "{requests:?}"
        );
    }
    let field = [("field", "content_type")];
    let unknown = page.total("hark_http2_fields_unknown_total", &field);
    assert_eq!(as_http, unknown, "{library:?}");
    // What tells is in most calls.
    let all = 2 * counts.values().sum::<u64>();
    assert!(as_http <= all / 10, "{library:?}: {as_http} of {all}");
    // A header block that moved before its connection was known for HTTP/2 costs one exchange.
    let blocks = page.total("hark_http2_blocks_passed_total", &[]);
    assert_eq!(passed, blocks, "{library:?}");
    let what: Vec<_> = page
        .calls(CALL_SERVER, &server.service)
        .into_iter()
        .collect();
    eprintln!("{library:?}: {as_http} as HTTP, {passed} passed over; served {what:?}");
}

#[test]
fn an_agent_that_starts_in_the_middle() {
    need!(agent::root());
    for library in Library::ALL {
        joins(library);
    }
}
