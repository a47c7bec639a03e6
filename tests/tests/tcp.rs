//! TCP per service, against what the clients did and what the kernel's own books say, each in a
//! network namespace of its own.

use std::process::Command;

use hark_tests::agent::{self, Agent};
use hark_tests::metrics::Page;
use hark_tests::netns::Netns;
use hark_tests::process::Process;
use hark_tests::skip::Skip;
use hark_tests::{http, names, need, tools, wait};

/// A namespace, and what runs in it.
struct Stage {
    netns: Netns,
    python: std::path::PathBuf,
}

impl Stage {
    fn new() -> Result<Self, Skip> {
        agent::root()?;
        Ok(Self {
            netns: Netns::new("tcp")?,
            python: tools::find("python3")?,
        })
    }

    /// Starts `tests/servers/tcp.py` as a service and waits until it says `line`; gives the rest of
    /// that line.
    #[track_caller]
    fn run(&self, service: &str, arguments: &[&str], line: &str) -> (Process, String) {
        let mut command = self.netns.command(&self.python);
        command
            .arg(tools::source("tcp.py"))
            .args(arguments)
            .env("OTEL_SERVICE_NAME", service);
        let mut process = Process::start(command);
        let rest = process.line(line).expect("it says so");
        (process, rest)
    }

    fn ip(&self, arguments: &[&str]) -> Result<(), Skip> {
        let mut command: Command = self.netns.command(tools::find("ip")?);
        command.args(arguments);
        let (status, _, stderr) = Process::finish(command, std::time::Duration::from_secs(20));
        if status.success() {
            Ok(())
        } else {
            Err(Skip(format!(
                "ip {}: {}",
                arguments.join(" "),
                stderr.trim()
            )))
        }
    }

    fn retransmitted(&self) -> u64 {
        self.netns.counter("snmp", "Tcp", "RetransSegs")
    }
}

/// A counter of a service.
fn of(page: &Page, name: &str, service: &str, labels: &[(&str, &str)]) -> u64 {
    let mut all = vec![("service_name", service)];
    all.extend_from_slice(labels);
    page.total(&format!("hark_service_tcp_{name}"), &all)
}

const CLIENT: (&str, &str) = ("role", "client");
const SERVER: (&str, &str) = ("role", "server");

/// `count` connections, each with `size` bytes there and `reply` bytes back.
#[track_caller]
fn exchange(count: u64, size: u64, reply: u64) {
    let stage = need!(Stage::new());
    let agent = Agent::start(&[]);
    let (server, client) = (names::unique("tcp-server"), names::unique("tcp-client"));
    let _server = stage.run(&server, &["serve", "7000", &reply.to_string()], "listening");
    let arguments = ["connect", "7000", &count.to_string(), &size.to_string()];
    let (_client, took) = stage.run(&client, &arguments, "took");
    let took: f64 = took.trim().parse().expect("nanoseconds");
    let look = || {
        let page = agent.page();
        [
            of(&page, "connections_opened_total", &client, &[]),
            of(&page, "connections_accepted_total", &server, &[]),
            of(&page, "connections_accepted_total", &client, &[]),
            of(&page, "connect_duration_seconds_count", &client, &[]),
            of(&page, "sent_bytes_total", &client, &[CLIENT]),
            of(&page, "received_bytes_total", &server, &[SERVER]),
            of(&page, "sent_bytes_total", &server, &[SERVER]),
            of(&page, "received_bytes_total", &client, &[CLIENT]),
            of(&page, "rtt_seconds_count", &client, &[CLIENT]),
            of(&page, "rtt_seconds_count", &server, &[SERVER]),
            of(&page, "connections_open", &client, &[]),
            of(&page, "connections_open", &server, &[]),
            of(&page, "retransmits_total", &client, &[])
                + of(&page, "retransmits_total", &server, &[]),
        ]
    };
    let (there, back) = (count * size, count * reply);
    let retransmitted = stage.retransmitted();
    let want = [
        count,
        count,
        0,
        count,
        there,
        there,
        back,
        back,
        count,
        count,
        0,
        0,
        retransmitted,
    ];
    wait::expect("TCP of both services", &want, look);
    let page = agent.page();
    let labels = [("service_name", client.as_str())];
    let sum: f64 = page
        .with("hark_service_tcp_connect_duration_seconds_sum", &labels)
        .map(|sample| sample.value)
        .sum();
    // The kernel's part of what the client measured around its call.
    assert!(sum > 0.0 && sum * 1e9 < took, "{sum} s of {took} ns");
    for reason in ["table_full", "process_table_full"] {
        assert_eq!(
            page.total("hark_tcp_unattributed_total", &[("reason", reason)]),
            0
        );
    }
}

#[test]
fn connections_and_bytes_are_those_that_both_ends_moved() {
    exchange(200, 1000, 500);
}

#[test]
fn ten_thousand_short_connections_are_all_there_and_none_stays() {
    exchange(10_000, 1, 1);
}

#[test]
fn failed_connects_by_error_and_retransmits_as_the_kernel_counts_them() {
    let stage = need!(Stage::new());
    // A neighbour that never answers: its address leads to nobody.
    need!(stage.ip(&[
        "link",
        "add",
        "void",
        "type",
        "veth",
        "peer",
        "name",
        "void-peer"
    ]));
    need!(stage.ip(&["link", "set", "void-peer", "up"]));
    need!(stage.ip(&["link", "set", "void", "up"]));
    need!(stage.ip(&["address", "add", "10.99.0.1/24", "dev", "void"]));
    let neighbour = [
        "neigh",
        "add",
        "10.99.0.2",
        "lladdr",
        "02:00:00:00:00:02",
        "dev",
        "void",
    ];
    need!(stage.ip(&neighbour));
    let agent = Agent::start(&[]);
    let (refused, silent) = (names::unique("tcp-refused"), names::unique("tcp-silent"));
    let before = stage.retransmitted();
    let _refused = stage.run(&refused, &["fail", "127.0.0.1", "7001", "50"], "done");
    let _silent = stage.run(&silent, &["fail", "10.99.0.2", "7001", "2"], "done");
    let retransmitted = stage.retransmitted() - before;
    // How often depends on the kernel's `tcp_syn_linear_timeouts`.
    assert!(retransmitted >= 2, "{retransmitted} segments sent again");
    let look = || {
        let page = agent.page();
        let failed = |service: &str, error| {
            of(
                &page,
                "connections_failed_total",
                service,
                &[("error_type", error)],
            )
        };
        [
            failed(&refused, "refused"),
            of(&page, "connections_failed_total", &refused, &[]),
            of(&page, "resets_received_total", &refused, &[CLIENT]),
            failed(&silent, "timed_out"),
            of(&page, "connections_failed_total", &silent, &[]),
            of(&page, "retransmits_total", &silent, &[CLIENT]),
            of(&page, "connections_opened_total", &silent, &[]),
        ]
    };
    let want = [50, 50, 50, 2, 2, retransmitted, 0];
    wait::expect("failed connects", &want, look);
}

#[test]
fn resets_of_both_ends() {
    let stage = need!(Stage::new());
    let agent = Agent::start(&[]);
    let (server, client) = (names::unique("tcp-server"), names::unique("tcp-client"));
    let _server = stage.run(&server, &["serve", "7000", "0"], "listening");
    let sent = stage.netns.counter("snmp", "Tcp", "OutRsts");
    let _client = stage.run(&client, &["reset", "7000", "100"], "done");
    assert_eq!(stage.netns.counter("snmp", "Tcp", "OutRsts") - sent, 100);
    let look = || {
        let page = agent.page();
        [
            of(&page, "resets_sent_total", &client, &[CLIENT]),
            of(&page, "resets_received_total", &server, &[SERVER]),
            of(&page, "resets_sent_total", &server, &[]),
            of(&page, "connections_open", &server, &[]),
        ]
    };
    wait::expect("resets", &[100, 100, 0, 0], look);
}

#[test]
fn what_was_there_before_the_agent_is_known_and_its_history_is_not_counted() {
    let stage = need!(Stage::new());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (go, end) = (file("go"), file("end"));
    let (server, client) = (names::unique("tcp-server"), names::unique("tcp-client"));
    let _server = stage.run(&server, &["serve", "7000", "30"], "listening");
    let (mut held, _) = stage.run(
        &client,
        &["hold", "7000", "1000", "5000", &go, &end],
        "held",
    );
    let agent = Agent::start(&[]);
    let look = || {
        let page = agent.page();
        [
            of(&page, "connections_open", &client, &[CLIENT]),
            of(&page, "connections_open", &server, &[SERVER]),
            of(&page, "connections_open", &client, &[SERVER]),
            of(&page, "sent_bytes_total", &client, &[CLIENT]),
            of(&page, "received_bytes_total", &server, &[SERVER]),
            of(&page, "sent_bytes_total", &server, &[SERVER]),
            of(&page, "connections_accepted_total", &server, &[]),
        ]
    };
    wait::expect("a connection that was there", &[1, 1, 0, 0, 0, 0, 0], look);
    std::fs::write(&go, "").expect("a file");
    held.line("sent").expect("it sends");
    wait::expect(
        "what it moves while it lives",
        &[1, 1, 0, 5000, 5000, 0, 0],
        look,
    );
    std::fs::write(&end, "").expect("a file");
    held.line("done").expect("it ends");
    wait::expect("what it has moved", &[0, 0, 0, 5000, 5000, 30, 0], look);
    // The listener's owner is known, though nobody saw it listen.
    let _next = stage.run(&client, &["connect", "7000", "3", "0"], "took");
    wait::expect("accepted", &3, || {
        of(&agent.page(), "connections_accepted_total", &server, &[])
    });
}

/// It need not end for its peer's distance to be known, and what is scraped often is not counted
/// often.
#[test]
fn a_connection_that_stays_open_has_a_round_trip_time() {
    let stage = need!(Stage::new());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (go, end) = (file("go"), file("end"));
    let agent = Agent::start(&[]);
    let (server, client) = (names::unique("tcp-server"), names::unique("tcp-client"));
    let _server = stage.run(&server, &["serve", "7000", "30"], "listening");
    let hold = ["hold", "7000", "1000", "5000", &go, &end];
    let (mut held, _) = stage.run(&client, &hold, "held");
    let look = || {
        let page = agent.page();
        [
            of(&page, "connections_open", &client, &[CLIENT]),
            of(&page, "rtt_seconds_count", &client, &[CLIENT]),
            of(&page, "rtt_seconds_count", &server, &[SERVER]),
        ]
    };
    wait::expect("a connection that was opened", &[1, 0, 0], look);
    std::fs::write(&go, "").expect("a file");
    held.line("sent").expect("it sends");
    let patience = std::time::Duration::from_secs(60);
    wait::expect_within(patience, "while it is open", &[1, 1, 1], look);
    std::fs::write(&end, "").expect("a file");
    held.line("done").expect("it ends");
    wait::expect("once more at its end", &[0, 2, 2], look);
}

#[test]
fn a_group_that_is_off_has_no_hook() {
    need!(agent::root());
    let hooks = |agent: &Agent| {
        let ready = http::get(agent.address(), "/readyz", "*/*").expect("it answers");
        ready.body.matches("tcp_receive_reset").count()
    };
    let off = Agent::start(&[("HARK_RESOURCES_NETWORK", "false")]);
    assert_eq!(hooks(&off), 0);
    assert_eq!(
        off.page()
            .with("hark_tcp_connections_opened_total", &[])
            .count(),
        0
    );
    drop(off);
    let on = Agent::start(&[]);
    assert_eq!(hooks(&on), 1);
}
