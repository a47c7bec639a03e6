//! An agent that is started again; apart from the other tests because its agent cannot be shared
//! with them.

use std::time::Duration;

use hark_tests::agent::{self, Agent, CALL_CLIENT, CALL_SERVER};
use hark_tests::grpc::{Client, Library, Load, Report, Server};
use hark_tests::metrics::Page;
use hark_tests::turn::Turn;
use hark_tests::{need, wait};
use rustix::process::Signal;

const LIMIT: Duration = Duration::from_secs(120);

const RESUMED: &str = "hark_http2_header_tables_resumed_total";

/// Connections on which nothing moves while no agent listens: everything is known at once, as if the
/// agent had been there from the beginning.
fn restarts_while_nothing_moves(library: Library) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let gate = folder.path().join("gate");
    let agent = Agent::start(&[]);
    let server = need!(Server::start(library, &[]));
    let load = Load {
        gate: Some(&gate),
        ..Load::of(3, 300, 10)
    };
    let mut client = need!(Client::start(library, &server, &load));
    agent.barrier();
    // What a connection says to itself when it has come to rest.
    std::thread::sleep(Duration::from_secs(1));
    let agent = agent.restart();
    std::fs::write(&gate, "").expect("a file");
    let Report { calls, .. } = client.report();
    agent.expect_calls_sent(&client.service, &calls);
    agent.expect_calls_served(&server.service, &calls);
    let page = agent.page();
    // Both directions of both ends of three connections.
    assert_eq!(page.total(RESUMED, &[]), 12, "{library:?}");
    let unknown = page.total("hark_http2_fields_unknown_total", &[]);
    let messages = page.total("hark_http2_fields_unknown_total", &[("field", "messages")]);
    assert_eq!(unknown - messages, 0, "{library:?}");
}

#[test]
fn nothing_moves_in_between() {
    need!(agent::root());
    for library in Library::ALL {
        restarts_while_nothing_moves(library);
    }
}

/// Calls on a page: those of a known method, and the others.
fn known(page: &Page, family: &str, service: &str) -> [u64; 2] {
    let mut counts = [0; 2];
    for ((method, _), count) in page.calls(family, service) {
        counts[usize::from(method == "unknown")] += count;
    }
    counts
}

/// Calls of a known method that a run of none that is not is to have: more than it takes to put out of
/// the tables all that was in them.
const TURNOVER: u64 = 300;

/// Under load, what was missed is not guessed, and what is inserted again is known again: no method
/// is ever wrong, and some calls after the restart all of them are known, on both ends, unless a table
/// is counted as lost once more.
#[test]
fn under_load() {
    need!(agent::root());
    for library in Library::ALL {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let until = folder.path().join("until");
        let agent = Agent::start(&[]);
        let server = need!(Server::start(library, &[]));
        // None that waits for seconds: it would have begun before the restart, and end long after.
        let environment = [("LATE", "0")];
        let load = Load {
            until: Some(&until),
            environment: &environment,
            ..Load::of(2, usize::MAX >> 1, 10)
        };
        let mut client = need!(Client::start(library, &server, &load));
        std::thread::sleep(Duration::from_secs(1));
        let agent = agent.restart();
        let sender = client.service.clone();
        let ends = [(CALL_SERVER, &server.service), (CALL_CLIENT, &sender)];
        // Calls of a known method, after the last of an unknown one, at both ends.
        let run_of = |calls: u64, what: &str| {
            let mut since = [[0; 2]; 2];
            wait::until(LIMIT, what, || {
                let page = agent.page();
                let now = ends.map(|(family, service)| known(&page, family, service));
                let mut run = true;
                for (now, since) in now.iter().zip(&mut since) {
                    if now[1] != since[1] {
                        *since = *now;
                    }
                    run &= now[0] >= since[0] + calls;
                }
                run.then_some(page)
            })
        };
        let before = run_of(TURNOVER, "methods are known again");
        let _ = run_of(
            known(&before, CALL_SERVER, &server.service)[0] + TURNOVER,
            "more calls",
        );
        std::fs::write(&until, "").expect("a file");
        let Report { calls, .. } = client.report();
        agent.barrier();
        let page = agent.page();
        let lost = |page: &Page| page.total("hark_http2_header_tables_unknown_total", &[]);
        for (family, service) in ends {
            let seen = page.calls(family, service);
            for ((method, status), count) in &seen {
                if method == "unknown" || status == "unknown" {
                    continue;
                }
                let right = calls.get(&(method.clone(), status.clone()));
                let right = right.is_some_and(|right| right >= count);
                assert!(right, "{library:?} {method} {status}: {seen:?}");
            }
            if lost(&page) == lost(&before) {
                let [before, now] = [&before, &page].map(|page| known(page, family, service));
                assert_eq!(now[1], before[1], "{library:?} {family}: {seen:?}");
            }
        }
    }
}

/// A file that is not what an agent left is refused with a sentence, and the agent starts.
#[test]
fn a_damaged_file_is_refused() {
    need!(agent::root());
    let agent = Agent::start(&[]);
    let (_, _, turn) = {
        let file = agent.run_dir().join("http2-tables");
        std::fs::write(&file, b"HARKHPCK\x01\0\0\0 and then something else").expect("a file");
        // Ours is not written over: there is no connection to leave.
        let agent = agent.restart();
        assert!(!file.exists());
        assert_eq!(agent.page().total(RESUMED, &[]), 0);
        let (status, said, turn) = agent.end(Signal::TERM);
        assert!(said.contains("it is damaged"), "{said}");
        (status, said, turn)
    };
    drop::<Turn>(turn);
}
