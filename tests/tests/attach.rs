//! Coming and going: connections older than the agent, an agent that dies, and the next one.

use std::time::Duration;

use hark_tests::agent::{self, Agent};
use hark_tests::load::{Plan, Request};
use hark_tests::metrics::counts;
use hark_tests::process::died_of;
use hark_tests::server::Server;
use hark_tests::server::nginx::Nginx;
use hark_tests::{bpf, need, wait};
use rustix::process::Signal;

#[test]
fn connections_older_than_the_agent() {
    need!(agent::root());
    let server = need!(Server::python("attach-old"));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("go");
    let requests = vec![Request::get("/ok"), Request::get("/status/404")];
    let plan = Plan::new(&server.target, requests)
        .connections(4)
        .rounds(5)
        .wait_for(&file);
    let running = plan.start();
    wait::until(Duration::from_secs(20), "four connections", || {
        (running.process.stdout().matches("CONNECTED").count() == 4).then_some(())
    });
    let agent = Agent::start(&[]);
    std::fs::write(&file, "").expect("our own folder");
    let sent = running.finish();
    assert_eq!(sent.outcome.failed, Default::default());
    agent.expect_served(&server.service, &sent.counts());
    agent.expect_sent(&sent.service, &sent.counts());
}

/// A request that was under way when the agent came is not known whole, so it is not reported;
/// what follows on the same connection is.
#[test]
fn an_exchange_older_than_the_agent() {
    need!(agent::root());
    let mut server = need!(Server::python_logging("attach-under-way"));
    let requests = vec![
        Request::get("/gate"),
        Request::get("/status/404"),
        Request::new("HEAD", "/ok"),
    ];
    let running = Plan::new(&server.target, requests).start();
    server
        .process
        .line("GATED")
        .expect("the request has arrived");
    let agent = Agent::start(&[]);
    std::fs::write(server.folder().join("gate"), "").expect("our own folder");
    let sent = running.finish();
    assert_eq!(sent.total(), 3);
    assert_eq!(sent.outcome.failed, Default::default());
    let want = counts(&[("GET", "404", 1), ("HEAD", "200", 1)]);
    agent.expect_served(&server.service, &want);
    agent.expect_sent(&sent.service, &want);
}

#[test]
fn killed_under_load() {
    need!(agent::root());
    let nginx = need!(
        Nginx {
            workers: 2,
            ..Nginx::default()
        }
        .start("attach-killed")
    );
    let agent = Agent::start(&[]);
    let programs = bpf::programs_of(agent.process().id());
    assert_ne!(
        programs,
        Default::default(),
        "the agent holds the programs it attached"
    );
    assert_eq!(bpf::still_loaded(&programs), programs);

    let requests = vec![
        Request::get("/file"),
        Request::get("/none"),
        Request::get("/large"),
    ];
    let running = Plan::new(&nginx.target, requests)
        .connections(4)
        .rounds(400)
        .start();
    wait::until(Duration::from_secs(20), "the agent to see the load", || {
        (!agent.server_counts(&nginx.service).is_empty()).then_some(())
    });
    let (status, _, turn) = agent.end(Signal::KILL);
    assert!(died_of(status, Signal::KILL), "{status}");
    let sent = running.finish();
    assert_eq!(
        sent.outcome.failed,
        Default::default(),
        "the watched notice nothing"
    );
    assert_eq!(
        sent.counts(),
        counts(&[("GET", "200", 3200), ("GET", "404", 1600)])
    );
    wait::expect("programs left behind", &Default::default(), || {
        bpf::still_loaded(&programs)
    });

    // The same servers, the same connections' ends, and a new agent.
    let agent = Agent::start_in_turn(turn, &[]);
    let sent = Plan::new(&nginx.target, vec![Request::get("/ok")])
        .rounds(10)
        .run();
    agent.expect_served(&nginx.service, &counts(&[("GET", "200", 10)]));
    agent.expect_sent(&sent.service, &counts(&[("GET", "200", 10)]));
}

#[test]
fn ended_politely() {
    need!(agent::root());
    for signal in [Signal::TERM, Signal::INT] {
        let agent = Agent::start(&[]);
        let programs = bpf::programs_of(agent.process().id());
        assert_ne!(programs, Default::default());
        let (status, stderr, _turn) = agent.end(signal);
        assert!(status.success(), "{signal:?}: {status}\n{stderr}");
        wait::expect("programs left behind", &Default::default(), || {
            bpf::still_loaded(&programs)
        });
    }
}
