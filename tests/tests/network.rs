//! The network of the host, against `ip`, and against the kernel's own files.

use std::process::Command;
use std::time::Duration;

use hark_tests::agent::{self, Agent};
use hark_tests::metrics::Page;
use hark_tests::netns::counter;
use hark_tests::process::Process;
use hark_tests::skip::Skip;
use hark_tests::{names, need, tools};
use serde_json::Value;

/// An interface of the host's, removed on drop.
struct Interface(String);

impl Interface {
    fn new(arguments: &[&str]) -> Result<Self, Skip> {
        // At most 15 bytes.
        let name = names::unique("hk").replace('-', "");
        ip(&[&["link", "add", &name], arguments].concat())?;
        Ok(Self(name))
    }
}

impl Drop for Interface {
    fn drop(&mut self) {
        let _ = ip(&["link", "del", &self.0]);
    }
}

fn ip(arguments: &[&str]) -> Result<String, Skip> {
    let mut command = Command::new(tools::find("ip")?);
    command.args(arguments);
    let (status, stdout, stderr) = Process::finish(command, Duration::from_secs(20));
    if status.success() {
        Ok(stdout)
    } else {
        Err(Skip(format!(
            "ip {}: {}",
            arguments.join(" "),
            stderr.trim()
        )))
    }
}

/// `(bytes, packets, errors, dropped)`, received and transmitted.
type Counts = [[u64; 4]; 2];

fn by_ip(interface: &str) -> Counts {
    let text = ip(&["-s", "-j", "link", "show", interface]).expect("it is there");
    let links: Value = serde_json::from_str(&text).expect("JSON");
    ["rx", "tx"].map(|direction| {
        ["bytes", "packets", "errors", "dropped"].map(|what| {
            links[0]["stats64"][direction][what]
                .as_u64()
                .expect("a count")
        })
    })
}

fn by_agent(page: &Page, interface: &str) -> Counts {
    ["receive", "transmit"].map(|direction| {
        ["bytes", "packets", "errors", "dropped"].map(|what| {
            let name = format!("hark_network_interface_{what}_total");
            page.total(&name, &[("interface", interface), ("direction", direction)])
        })
    })
}

/// A page, and what another source said before and after it, when that was the same.
#[track_caller]
fn still<T: PartialEq>(agent: &Agent, look: impl Fn() -> T) -> (Page, T) {
    for _ in 0..50 {
        let before = look();
        let page = agent.page();
        if look() == before {
            return (page, before);
        }
    }
    panic!("it never stood still for as long as a scrape takes");
}

#[test]
fn an_interface_counts_what_ip_shows() {
    need!(agent::root());
    let bridge = need!(Interface::new(&["type", "bridge"]));
    need!(ip(&["address", "add", "198.18.77.1/24", "dev", &bridge.0]));
    need!(ip(&["link", "set", &bridge.0, "up"]));
    let agent = Agent::shared();
    let socket = std::net::UdpSocket::bind("198.18.77.1:0").expect("its own address");
    socket.set_broadcast(true).expect("a socket");
    let before = by_ip(&bridge.0);
    for _ in 0..100 {
        // A broadcast needs nobody to answer.
        socket
            .send_to(&[0; 100], "198.18.77.255:9")
            .expect("it is sent");
    }
    // What the loopback interface moves never stands still, what it drops does.
    let faults = || by_ip("lo").map(|[_, _, errors, dropped]| [errors, dropped]);
    let (page, (now, of_loopback)) = still(agent, || (by_ip(&bridge.0), faults()));
    assert!(now[1][1] >= before[1][1] + 100, "{before:?} {now:?}");
    assert_eq!(by_agent(&page, &bridge.0), now);
    let told = by_agent(&page, "lo").map(|[_, _, errors, dropped]| [errors, dropped]);
    assert_eq!(told, of_loopback);
}

/// The ends of a pair have no series, and are counted.
#[test]
fn pairs_are_left_out() {
    need!(agent::root());
    let agent = Agent::shared();
    let left_out =
        |page: &Page| page.total("hark_network_interfaces_left_out", &[("reason", "pair")]);
    let peer = names::unique("hkp").replace('-', "");
    let pair = need!(Interface::new(&["type", "veth", "peer", "name", &peer]));
    let page = agent.page();
    let shown = page
        .0
        .iter()
        .filter_map(|sample| sample.labels.get("interface"))
        .filter(|name| **name == pair.0 || **name == peer);
    assert_eq!(shown.count(), 0);
    assert!(left_out(&page) >= 2);
}

#[test]
fn the_hosts_counters_are_the_kernels() {
    need!(agent::root());
    let agent = Agent::shared();
    for (file, protocol, field, name) in [
        ("snmp", "Tcp", "AttemptFails", "tcp_attempt_fails"),
        ("snmp", "Tcp", "EstabResets", "tcp_established_resets"),
        ("snmp", "Udp", "NoPorts", "udp_no_port"),
        (
            "netstat",
            "TcpExt",
            "ListenOverflows",
            "tcp_listen_overflows",
        ),
        ("netstat", "TcpExt", "ListenDrops", "tcp_listen_drops"),
    ] {
        let read = || {
            let text = std::fs::read_to_string(format!("/proc/1/net/{file}"));
            counter(&text.expect("the kernel's file"), protocol, field)
        };
        let (page, value) = still(agent, read);
        assert_eq!(
            page.total(&format!("hark_network_{name}_total"), &[]),
            value
        );
    }
    let (page, rows) = still(agent, || {
        let text = std::fs::read_to_string("/proc/1/net/softnet_stat").expect("the kernel's file");
        let row = |line: &str| -> [u64; 2] {
            let column = |n| line.split(' ').nth(n).expect("a column");
            // Processed packets rise all the time; these do not.
            [1, 2].map(|n| u64::from_str_radix(column(n), 16).expect("a number"))
        };
        text.lines().map(row).collect::<Vec<_>>()
    });
    for (cpu, row) in rows.iter().enumerate() {
        let cpu = cpu.to_string();
        let seen = ["dropped", "squeezed"].map(|what| {
            let name = format!("hark_network_softnet_{what}_total");
            page.total(&name, &[("cpu", &cpu)])
        });
        assert_eq!(seen, *row);
    }
}
