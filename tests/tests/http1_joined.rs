//! An agent that starts while connections are busy; apart from the other tests because its agent cannot
//! be shared with them.

use std::time::Duration;

use hark_tests::agent::{self, Agent};
use hark_tests::load::{Plan, Request};
use hark_tests::need;
use hark_tests::server::Server;
use hark_tests::turn::Turn;

/// Requests and answers are heard from one instant on. Were requests heard first, one of each connection
/// would get the next one's answer, and so on, and the last would be left without.
#[test]
fn nothing_is_shifted() {
    need!(agent::root());
    let server = need!(Server::go("joined"));
    for _ in 0..3 {
        let turn = Turn::take();
        let plan = Plan::new(&server.target, vec![Request::get("/ok")]);
        let load = plan.connections(8).rounds(20_000).start();
        std::thread::sleep(Duration::from_millis(300));
        let agent = Agent::start_in_turn(turn, &[]);
        let sent = load.finish();
        agent.barrier();
        let page = agent.page();
        for (family, service) in [
            (agent::CLIENT, &sent.service),
            (agent::SERVER, &server.service),
        ] {
            let outcomes = page.outcomes(family, &[("service_name", service)]);
            // Go reads the first byte of a request by itself: an agent that comes between the two reads
            // hears a method that nobody knows.
            for (method, status, error) in outcomes.keys() {
                let method = ["GET", "_OTHER"].contains(&method.as_str());
                assert!(
                    method && status == "200" && error.is_empty(),
                    "{family}: {outcomes:?}"
                );
            }
            let seen: u64 = outcomes.values().sum();
            assert!(
                0 < seen && seen < sent.total(),
                "{family}: it began before the load, or after"
            );
        }
        // All CPUs are busy: the ring may be full for a while, but nothing else costs an exchange.
        let lost = page.by("hark_exchanges_lost_total", "reason", &[]);
        for (reason, count) in lost {
            assert!(count == 0 || reason == "ring_full", "{count} by {reason}");
        }
    }
}
