//! An agent that starts in the middle of connections; apart from the other tests because its agent
//! cannot be shared with them.

use hark_tests::agent::{self, Agent, CALL_CLIENT, CALL_SERVER};
use hark_tests::grpc::{Client, Server};
use hark_tests::need;
use hark_tests::turn::Turn;

/// The agent starts when the connections are there and the header tables are filled. What could
/// not be heard is not guessed: every call is counted, as a call or as the HTTP that it is on the
/// wire, and no method is one that was not called. Only what was sent before the kernel side had
/// seen enough of a connection to know it for HTTP/2 may be missing: its first calls, which are sent
/// at once.
#[test]
fn an_agent_that_starts_in_the_middle() {
    need!(agent::root());
    let turn = Turn::take();
    let server = Server::start("tonic-joined");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let gate = folder.path().join("gate");
    let (connections, concurrency) = (2, 10);
    let mut client = Client::start(&server, connections, 1000, concurrency, Some(&gate));
    let agent = Agent::start_in_turn(turn, &[]);
    std::fs::write(&gate, "").expect("a file");
    let counts = client.counts();
    agent.barrier();
    let page = agent.page();
    for (call, http, service) in [
        (CALL_SERVER, agent::SERVER, &server.service),
        (CALL_CLIENT, agent::CLIENT, &client.service),
    ] {
        let calls = page.calls(call, service);
        let requests = page.counts(http, service);
        let all: u64 = calls.values().chain(requests.values()).sum();
        let missing = counts.values().sum::<u64>().checked_sub(all);
        assert!(
            missing.is_some_and(|missing| missing <= (connections * concurrency) as u64),
            "{missing:?} {calls:?} {requests:?}"
        );
        for ((method, status), count) in &calls {
            if method == "unknown" || status == "unknown" {
                continue;
            }
            let right = counts.get(&(method.clone(), status.clone()));
            assert!(
                right.is_some_and(|right| right >= count),
                "{method} {status}"
            );
        }
        assert!(
            requests.keys().all(|(method, _)| method == "POST"),
            "{requests:?}"
        );
    }
}
