//! As fast as two cores go: what is missing is counted as lost, to the last exchange.

use hark_tests::agent::{self, Agent};
use hark_tests::metrics::counts;
use hark_tests::server::nginx::Nginx;
use hark_tests::{need, wait, wrk};

/// Sent on both sides = seen on both sides + lost.
fn expect_nothing_unaccounted(depth: u32, batches: u32, environment: &[(&str, &str)]) {
    let nginx = Nginx {
        workers: 2,
        ..Nginx::default()
    };
    let nginx = need!(nginx.start("speed-nginx"));
    let agent = Agent::start(environment);
    let before = agent.lost();
    let wrk::Report {
        service,
        requests: sent,
        errors,
    } = need!(wrk::run(&nginx, "/file", depth, batches));
    assert_eq!(
        (sent, errors),
        (wrk::requests(depth, batches), 0),
        "the load itself failed"
    );
    let whole = counts(&[("GET", "200", sent)]);
    wait::expect(
        "sent on both sides = seen on both sides + lost",
        &(2 * sent),
        || {
            let page = agent.page();
            let seen = |family| page.counts(family, &nginx.service).values().sum::<u64>();
            let client = page.counts(agent::CLIENT, &service).values().sum::<u64>();
            seen(agent::SERVER) + client + agent.lost() - before
        },
    );
    let lost = agent.lost() - before;
    eprintln!("{sent} requests pipelined {depth} deep, seen from both ends: {lost} lost");
    if lost == 0 {
        agent.expect_served(&nginx.service, &whole);
        agent.expect_sent(&service, &whole);
    }
}

#[test]
fn wrk_one_at_a_time() {
    need!(agent::root());
    expect_nothing_unaccounted(1, 60_000, &[]);
}

#[test]
fn wrk_sixteen_deep() {
    need!(agent::root());
    expect_nothing_unaccounted(16, 8_000, &[]);
}

/// The smallest ring buffer there is: much is lost, and all of it is counted.
#[test]
fn through_a_ring_that_is_too_small() {
    need!(agent::root());
    expect_nothing_unaccounted(16, 4_000, &[("HARK_RING_BUFFER_BYTES", "64KiB")]);
}
