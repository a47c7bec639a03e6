//! The accept queue: how long connections wait in it, against the server's own clock, and how full
//! it is, against the kernel's own counters.

use std::process::Command;
use std::time::Duration;

use hark_tests::agent::{self, Agent};
use hark_tests::metrics::Page;
use hark_tests::netns::Netns;
use hark_tests::process::Process;
use hark_tests::server::Server;
use hark_tests::server::nginx::Nginx;
use hark_tests::skip::Skip;
use hark_tests::{names, need, tools, wait};

const WAIT: &str = "hark_service_accept_wait_seconds";
const UNKNOWN: &str = "hark_service_accept_wait_unknown_total";

/// `queue.py`, as a service of its own.
fn queue(mut command: Command, service: &str, arguments: &[&str]) -> Result<Process, Skip> {
    // Through env: what runs the command may be `ip netns exec`.
    command
        .args([tools::source("queue.py").as_os_str()])
        .args(arguments)
        .env("OTEL_SERVICE_NAME", service);
    let mut process = Process::start(command);
    process.line("PORT ").map_err(Skip)?;
    Ok(process)
}

fn python() -> Result<Command, Skip> {
    Ok(Command::new(tools::find("python3")?))
}

/// Connections that were seen being accepted, and those that were not.
fn accepts(page: &Page, service: &str) -> (u64, u64) {
    let of = [("service_name", service)];
    let count = page.total(&format!("{WAIT}_count"), &of);
    (count, page.total(UNKNOWN, &of))
}

#[track_caller]
fn expect_accepts(agent: &Agent, service: &str, want: (u64, u64)) {
    let got = wait::settle(wait::SETTLE, &want, || accepts(&agent.page(), service));
    assert_eq!(
        got,
        want,
        "accepts seen and not seen of {service}; the host's and everybody's: {:?} {:?}",
        agent.page().total("hark_accept_wait_seconds_count", &[]),
        agent
            .page()
            .by(&format!("{WAIT}_count"), "service_name", &[]),
    );
}

/// The wait lies between bounds that the server took with its own clock around it.
fn measured(v6: bool) {
    need!(agent::root());
    let agent = Agent::shared();
    let service = names::unique("accept-wait");
    let mut command = need!(python());
    if v6 {
        need!(
            std::net::TcpListener::bind("[::1]:0")
                .map_err(|error| Skip(format!("no IPv6 loopback: {error}")))
        );
        command.env("V6", "1");
    }
    let mut server = need!(queue(command, &service, &["wait", "20", "300"]));
    let bounds = server.line("BOUNDS ").expect("it accepts");
    let bounds: Vec<f64> = bounds
        .split(' ')
        .map(|ns| ns.parse::<f64>().expect("a number") / 1e9)
        .collect();
    expect_accepts(agent, &service, (20, 0));
    let page = agent.page();
    let of = [("service_name", service.as_str())];
    let value = |name: &str| {
        let name = format!("{WAIT}_{name}");
        page.with(&name, &of).map(|s| s.value).sum::<f64>()
    };
    let sum = value("sum");
    assert!(bounds[0] <= sum && sum <= bounds[1], "{sum} of {bounds:?}");
    // Each waited 300 ms at least: nothing in the buckets below.
    let below = page.total(
        &format!("{WAIT}_bucket"),
        &[("service_name", &service), ("le", "0.262144")],
    );
    assert_eq!(below, 0);
}

#[test]
fn the_wait_is_what_the_server_made_it() {
    measured(false);
}

#[test]
fn the_wait_is_what_the_server_made_it_over_ipv6() {
    measured(true);
}

/// An accept that does not ask for the address is counted as unknown, and a later getpeername is
/// not taken for it.
#[test]
fn what_is_not_seen_is_counted() {
    need!(agent::root());
    let agent = Agent::shared();
    let service = names::unique("accept-blind");
    let mut server = need!(queue(need!(python()), &service, &["blind", "10"]));
    server.line("DONE").expect("it accepts");
    expect_accepts(agent, &service, (0, 10));
}

/// Which servers are seen: the help of the metric names them.
#[test]
fn servers_that_people_use() {
    need!(agent::root());
    let agent = Agent::shared();
    for (start, seen) in [
        (Server::python as fn(&str) -> Result<Server, Skip>, true),
        (Server::go, true),
        (Server::java, true),
        (Server::node, false),
        // Last, because it may not be installed.
        (|name| Nginx::default().start(name), true),
    ] {
        let server = need!(start("accept-kind"));
        // The harness may have connected to see whether it is there.
        let mut last = None;
        let before = wait::until(Duration::from_secs(20), "the counts to stand", || {
            std::thread::sleep(Duration::from_millis(300));
            let now = accepts(&agent.page(), &server.service);
            (last.replace(now) == Some(now)).then_some(now)
        });
        for _ in 0..7 {
            let answer = hark_tests::http::get(server.tcp(), "/ok", "*/*").expect("it answers");
            assert_eq!(answer.status, 200);
        }
        let want = if seen {
            (before.0 + 7, before.1)
        } else {
            (before.0, before.1 + 7)
        };
        expect_accepts(agent, &server.service, want);
    }
}

/// A queue of 1 that nobody accepts from: its length and limit as `ss` shows them, and what it
/// turned away as the kernel counts it for the namespace, which has no other listener.
#[test]
fn a_full_queue() {
    need!(agent::root());
    let ss = need!(tools::find("ss"));
    let netns = need!(Netns::new("accept-full"));
    let agent = Agent::shared();
    // It has looked once before the listener is made.
    let _ = agent.page();
    let service = names::unique("accept-full");
    let command = netns.command(need!(tools::find("python3")));
    let mut server = need!(queue(command, &service, &["full", "5"]));
    server.line("DONE").expect("the queue fills");

    let turned_away = netns.counter("netstat", "TcpExt", "ListenDrops");
    let overflows = netns.counter("netstat", "TcpExt", "ListenOverflows");
    assert!(overflows >= 3, "three found no room, again and again");
    assert_eq!(turned_away, overflows);
    let mut command = netns.command(ss);
    command.arg("-ltnH");
    let shown = Process::run(command, Duration::from_secs(20));
    let columns: Vec<u64> = shown
        .split_ascii_whitespace()
        .skip(1)
        .take(2)
        .map(|n| n.parse().expect("a number"))
        .collect();
    assert_eq!(columns, [2, 1], "{shown}");

    let want = (columns[0], columns[1], turned_away, 1);
    wait::expect("length, limit, turned away, ratio", &want, || {
        let page = agent.page();
        let of = |name: &str| {
            let name = format!("hark_service_accept_queue_{name}");
            page.total(&name, &[("service_name", &service)])
        };
        (
            of("length"),
            of("limit"),
            of("drops_total"),
            of("fullest_ratio"),
        )
    });
}
