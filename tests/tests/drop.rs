//! Dropped packets: as many as the kernel's own counters of a namespace say, for the reason that
//! they were dropped for.

use std::time::Duration;

use hark_tests::agent::{self, Agent};
use hark_tests::netns::Netns;
use hark_tests::process::Process;
use hark_tests::skip::Skip;
use hark_tests::{need, tools};

const DROPPED: &str = "hark_network_dropped_packets_total";
const SENT: u64 = 500;

/// Rises of a counter. The agent's are of the whole host, so that somebody else's packet may be
/// among them; then it is tried again.
#[track_caller]
fn expect_equal(of_agent: impl Fn() -> u64, make: impl Fn() -> u64) {
    let mut seen = Vec::new();
    for _ in 0..5 {
        let before = of_agent();
        let want = make();
        let got = of_agent() - before;
        assert!(got >= want, "{got} of {want} drops were seen");
        if got == want {
            return;
        }
        seen.push((got, want));
    }
    panic!("drops seen and made, five times: {seen:?}");
}

fn send(netns: &Netns, reason: &str) {
    let mut command = netns.command(tools::find("python3").expect("found before"));
    command
        .arg(tools::source("drops.py"))
        .args([reason, &SENT.to_string()]);
    let _ = Process::run(command, Duration::from_secs(30));
}

fn dropped(agent: &Agent, reason: &str) -> u64 {
    agent.page().total(DROPPED, &[("reason", reason)])
}

#[test]
fn datagrams_that_nobody_listens_for() {
    need!(agent::root());
    need!(tools::find("python3"));
    let netns = need!(Netns::new("drop-port"));
    let agent = Agent::shared();
    let counter = || netns.counter("snmp", "Udp", "NoPorts");
    expect_equal(
        || dropped(agent, "no_socket"),
        || {
            let before = counter();
            send(&netns, "no_socket");
            let made = counter() - before;
            assert_eq!(made, SENT);
            made
        },
    );
}

#[test]
fn datagrams_that_a_filter_of_the_socket_refuses() {
    need!(agent::root());
    need!(tools::find("python3"));
    let netns = need!(Netns::new("drop-filter"));
    let agent = Agent::shared();
    expect_equal(
        || dropped(agent, "socket_filter"),
        || {
            send(&netns, "socket_filter");
            SENT
        },
    );
}

/// The same drops by the reason and by the hook of UDP itself.
#[test]
fn datagrams_for_a_full_receive_buffer() {
    need!(agent::root());
    need!(tools::find("python3"));
    let netns = need!(Netns::new("drop-buffer"));
    let agent = Agent::shared();
    let make = || {
        let counter = || netns.counter("snmp", "Udp", "RcvbufErrors");
        let before = counter();
        send(&netns, "socket_rcvbuff");
        let made = counter() - before;
        assert!(made > 0 && made < SENT, "some fit, and some do not: {made}");
        made
    };
    expect_equal(|| dropped(agent, "socket_rcvbuff"), make);
    let full = || {
        let udp = [("protocol", "udp")];
        agent
            .page()
            .total("hark_network_receive_buffer_full_total", &udp)
    };
    expect_equal(full, make);
}

/// A token bucket that lets next to nothing through: what it drops, by its own count.
#[test]
fn packets_that_traffic_control_drops() {
    need!(agent::root());
    need!(tools::find("python3"));
    let tc = need!(tools::find("tc"));
    let netns = need!(Netns::new("drop-tc"));
    let agent = Agent::shared();
    let run = |args: &str| {
        let mut command = netns.command(&tc);
        command.args(args.split(' '));
        let (status, stdout, stderr) = Process::finish(command, Duration::from_secs(20));
        let refused = || Skip(format!("tc {args}: {}", stderr.trim()));
        status.success().then_some(stdout).ok_or_else(refused)
    };
    need!(run(
        "qdisc add dev lo root tbf rate 8kbit burst 1600 limit 3000"
    ));
    let dropped_by_tc = || {
        let shown = run("-s -j qdisc show dev lo").expect("it is there");
        let qdiscs: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
        let drops = |qdisc: &serde_json::Value| qdisc["drops"].as_u64();
        let all = qdiscs.as_array().expect("a list");
        all.iter().filter_map(drops).sum::<u64>()
    };
    let by_reason = || dropped(agent, "qdisc_drop") + dropped(agent, "qdisc_overlimit");
    expect_equal(by_reason, || {
        let before = dropped_by_tc();
        send(&netns, "socket_filter");
        let made = dropped_by_tc() - before;
        assert!(made > SENT / 2, "{made}");
        made
    });
}

/// All reasons are there from the start, each once, and none of them by its number.
#[test]
fn reasons_have_names() {
    need!(agent::root());
    let page = Agent::shared().page();
    let reasons: Vec<&String> = page
        .with(DROPPED, &[])
        .map(|sample| &sample.labels["reason"])
        .collect();
    assert!(reasons.len() > 50, "{reasons:?}");
    for name in ["tcp_csum", "not_specified", "other"] {
        assert_eq!(reasons.iter().filter(|r| **r == name).count(), 1, "{name}");
    }
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    assert!(reasons.iter().all(|r| r.chars().all(plain)), "{reasons:?}");
}
