//! As fast as two cores go: what is missing is counted as lost, to the last exchange.

use std::process::Command;
use std::time::Duration;

use hark_tests::agent::{self, Agent};
use hark_tests::metrics::counts;
use hark_tests::process::Process;
use hark_tests::server::Server;
use hark_tests::server::nginx::Nginx;
use hark_tests::{names, need, tools, wait};

/// Runs wrk with an exact number of requests; gives its service name and its own count.
fn wrk(program: &std::path::Path, server: &Server, depth: u32, batches: u32) -> (String, u64) {
    let service = names::unique("wrk");
    let mut command = Command::new(program);
    command
        .args(["-t2", "-c32", "-d8s", "--timeout", "20s", "-s"])
        .arg(tools::source("pipeline.lua"))
        .arg(format!("http://{}/", server.tcp()))
        .args(["--", &depth.to_string(), &batches.to_string(), "/file"])
        .env("OTEL_SERVICE_NAME", &service);
    let report = Process::run(command, Duration::from_secs(60));
    let line = report
        .lines()
        .find_map(|line| line.strip_prefix("WRK "))
        .expect("wrk's own count");
    let (count, errors) = line.split_once(' ').expect("two numbers");
    assert_eq!(errors, "0", "{report}");
    (service, count.parse().expect("a number"))
}

/// Sent on both sides = seen on both sides + lost.
fn expect_nothing_unaccounted(depth: u32, batches: u32, environment: &[(&str, &str)]) {
    let program = need!(tools::find("wrk"));
    let nginx = need!(
        Nginx {
            workers: 2,
            ..Nginx::default()
        }
        .start("speed-nginx")
    );
    let agent = Agent::start(environment);
    let before = agent.lost();
    let (service, sent) = wrk(&program, &nginx, depth, batches);
    // wrk takes one batch of one thread to see how deep it pipelines, and does not send it.
    assert_eq!(
        sent,
        u64::from(depth) * u64::from(2 * batches - 1),
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
