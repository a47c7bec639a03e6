//! The traps of the socket layer (DESIGN.md §1), each sprung on purpose.
//!
//! Losses are counted for the whole host, so these tests take turns.

use std::sync::{Mutex, MutexGuard, PoisonError};

use hark_tests::agent::{self, Agent};
use hark_tests::load::{Body, Plan, Request, Sent, Write};
use hark_tests::metrics::counts;
use hark_tests::server::Server;
use hark_tests::server::nginx::{LARGE, Nginx};
use hark_tests::{names, need, wait};

fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn requests() -> Vec<Request> {
    vec![
        Request::post("/a", Body::Length(20_000)),
        Request::get("/b"),
    ]
}

/// What the server is seen to serve, and what is counted as lost, is what was sent, and nothing
/// is reported that was not sent.
#[track_caller]
fn expect_seen_or_lost(server: &str, sent: &Sent, lost_before: u64) {
    let agent = Agent::shared();
    assert_eq!(
        sent.outcome.failed,
        Default::default(),
        "the load itself failed"
    );
    let settled = wait::settle(wait::SETTLE, &sent.total(), || {
        let seen: u64 = agent.server_counts(server).values().sum();
        seen + (agent.lost() - lost_before)
    });
    let seen = agent.server_counts(server);
    assert!(
        settled == sent.total(),
        "sent {:?}\nseen {seen:?}\nlost {}",
        sent.counts(),
        agent.lost() - lost_before
    );
    for (key, seen) in agent.server_counts(server) {
        let asked = sent.counts().get(&key).copied().unwrap_or(0);
        assert!(
            seen <= asked,
            "{key:?} was seen {seen} times and sent {asked} times"
        );
    }
}

#[test]
fn an_armed_receive_does_not_report_somebody_elses_bytes() {
    need!(agent::root());
    let _turn = turn();
    let agent = Agent::shared();
    let before = agent.lost();
    let service = names::unique("traps-uring");
    let server = Server::sockets(&service, "uring");
    let plan = Plan::new(&server.target, vec![Request::get("/uring")])
        .rounds(20)
        .pause_ms(30);
    let sent = plan.run();
    agent.expect_sent(&sent.service, &counts(&[("GET", "200", 20)]));
    agent.barrier();
    let page = agent.page();
    let stale: Vec<_> = page
        .requests_of(&service)
        .into_iter()
        .filter(|sample| {
            sample
                .labels
                .get("http_route")
                .is_some_and(|route| route != "/uring")
        })
        .collect();
    assert!(
        stale.is_empty(),
        "text that never passed the socket: {stale:?}"
    );
    expect_seen_or_lost(&service, &sent, before);
}

/// Looks at the bytes are not receipts.
#[test]
fn peeked_bytes_count_once() {
    need!(agent::root());
    let _turn = turn();
    for mode in ["peek", "readv", "recvmsg"] {
        let service = names::unique("traps-receive");
        let _ = Agent::shared();
        let server = Server::sockets(&service, mode);
        let sent = Plan::new(&server.target, requests()).rounds(10).run();
        assert_eq!(sent.outcome.failed, Default::default(), "{mode}");
        println!("{mode}");
        Agent::shared().expect_served(&service, &sent.counts());
        expect_body_sizes(&service, "request", 10 * 20_000);
    }
}

#[track_caller]
fn expect_body_sizes(service: &str, which: &str, bytes: u64) {
    let name = format!("http_server_{which}_body_size_bytes_sum");
    wait::expect(&name, &bytes, || {
        Agent::shared()
            .page()
            .total(&name, &[("service_name", service)])
    });
}

/// `MSG_TRUNC` gives a length and copies nothing; a splice never shows a buffer. The heads were
/// read in the usual way, so every exchange is known; so is what did not pass through a buffer.
#[test]
fn bodies_thrown_away_are_counted() {
    need!(agent::root());
    let _turn = turn();
    let service = names::unique("traps-trunc");
    let _ = Agent::shared();
    let server = Server::sockets(&service, "trunc");
    let sent = Plan::new(&server.target, requests()).rounds(10).run();
    assert_eq!(sent.outcome.failed, Default::default());
    Agent::shared().expect_served(&service, &sent.counts());
    expect_body_sizes(&service, "request", 10 * 20_000);
}

#[test]
fn a_body_spliced_out_of_the_socket() {
    need!(agent::root());
    let _turn = turn();
    let service = names::unique("traps-splice-in");
    let before = Agent::shared().lost();
    let server = Server::sockets(&service, "splice-in");
    let sent = Plan::new(&server.target, requests()).rounds(10).run();
    expect_seen_or_lost(&service, &sent, before);
}

#[test]
fn a_body_spliced_into_the_socket() {
    need!(agent::root());
    let _turn = turn();
    let service = names::unique("traps-splice-out");
    let _ = Agent::shared();
    let server = Server::sockets(&service, "splice-out");
    let sent = Plan::new(&server.target, requests()).rounds(10).run();
    assert_eq!(sent.outcome.failed, Default::default());
    Agent::shared().expect_served(&service, &sent.counts());
    expect_body_sizes(&service, "response", 20 * 50_000);
}

#[test]
fn a_body_sent_by_sendfile() {
    need!(agent::root());
    let _turn = turn();
    let _ = Agent::shared();
    let nginx = need!(Nginx::default().start("traps-sendfile"));
    let sent = Plan::new(&nginx.target, vec![Request::get("/large")])
        .rounds(5)
        .run();
    assert_eq!(sent.outcome.failed, Default::default());
    Agent::shared().expect_served(&nginx.service, &sent.counts());
    Agent::shared().expect_sent(&sent.service, &sent.counts());
    expect_body_sizes(&nginx.service, "response", 5 * LARGE as u64);
}

/// One event per message, all with the registers of the first.
#[test]
fn many_messages_in_one_call() {
    need!(agent::root());
    let _turn = turn();
    let agent = Agent::shared();
    let before = agent.lost();
    let service = names::unique("traps-recvmmsg");
    let server = Server::sockets(&service, "recvmmsg");
    let sent = Plan::new(&server.target, requests()).rounds(10).run();
    agent.expect_sent(&sent.service, &sent.counts());
    expect_seen_or_lost(&service, &sent, before);

    let before = agent.lost();
    let server = need!(Server::python("traps-sendmmsg"));
    let requests = vec![
        Request::get("/ok"),
        Request::post("/echo", Body::Length(300)),
    ];
    let sent = Plan::new(&server.target, requests)
        .rounds(10)
        .write(Write::Messages(16))
        .run();
    agent.expect_served(&server.service, &sent.counts());
    wait::expect("sent = seen + lost", &sent.total(), || {
        let seen: u64 = agent.client_counts(&sent.service).values().sum();
        seen + (agent.lost() - before)
    });
}
