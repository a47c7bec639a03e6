//! Data that is lost on its way: what each service sent again equals the kernel's own count of its
//! namespace, and what was dropped has the reason that it was dropped for.
//!
//! Three namespaces in a row. The one in the middle forwards from a fast link to a slow one with next
//! to no queue, which is what loses packets in real networks.

use std::process::Command;
use std::time::Duration;

use hark_tests::agent::{self, Agent};
use hark_tests::netns::Netns;
use hark_tests::process::Process;
use hark_tests::skip::Skip;
use hark_tests::{names, need, tools, wait};

const SERVER: &str = "10.98.0.1";

/// `server` - `router` - `client`.
struct Path {
    server: Netns,
    router: Netns,
    client: Netns,
    tc: std::path::PathBuf,
}

impl Path {
    fn new() -> Result<Self, Skip> {
        agent::root()?;
        let path = Self {
            server: Netns::new("loss-server")?,
            router: Netns::new("loss-router")?,
            client: Netns::new("loss-client")?,
            tc: tools::find("tc")?,
        };
        let router = path.router.name();
        for (end, network) in [(&path.server, "10.98.0"), (&path.client, "10.98.1")] {
            let link = if network == "10.98.0" { "fast" } else { "slow" };
            end.configure(&format!(
                "link add up0 type veth peer name {link} netns {router}"
            ))?;
            end.configure(&format!("address add {network}.1/24 dev up0"))?;
            end.configure("link set up0 up")?;
            path.router
                .configure(&format!("address add {network}.2/24 dev {link}"))?;
            path.router.configure(&format!("link set {link} up"))?;
            end.configure(&format!("route add default via {network}.2"))?;
        }
        let mut forward = path.router.command("/bin/sh");
        forward.args(["-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]);
        let _ = Process::run(forward, Duration::from_secs(20));
        path.tc("qdisc add dev slow root tbf rate 50mbit burst 10kb limit 15kb")?;
        Ok(path)
    }

    fn tc(&self, args: &str) -> Result<String, Skip> {
        let mut command: Command = self.router.command(&self.tc);
        command.args(args.split(' '));
        let (status, stdout, stderr) = Process::finish(command, Duration::from_secs(20));
        let refused = || Skip(format!("tc {args}: {}", stderr.trim()));
        status.success().then_some(stdout).ok_or_else(refused)
    }

    /// Packets that the router has dropped, by its own count.
    fn dropped(&self) -> u64 {
        let shown = self.tc("-s -j qdisc show dev slow").expect("it is there");
        let qdiscs: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
        let drops = |qdisc: &serde_json::Value| qdisc["drops"].as_u64();
        let all = qdiscs.as_array().expect("a list");
        all.iter().filter_map(drops).sum()
    }
}

fn retransmitted(netns: &Netns) -> u64 {
    netns.counter("snmp", "Tcp", "RetransSegs")
}

/// Starts `tests/servers/tcp.py` in a namespace as a service, and waits until it says `line`.
#[track_caller]
fn run(netns: &Netns, service: &str, arguments: &[&str], line: &str) -> Process {
    let mut command = netns.command(tools::find("python3").expect("found before"));
    command
        .arg(tools::source("tcp.py"))
        .args(arguments)
        .env("OTEL_SERVICE_NAME", service);
    let mut process = Process::start(command);
    process.line(line).expect("it says so");
    process
}

#[test]
fn data_that_is_lost_is_sent_again_by_the_service_that_sent_it() {
    let path = need!(Path::new());
    need!(tools::find("python3"));
    let agent = Agent::start(&[]);
    let (server, client) = (names::unique("loss-server"), names::unique("loss-client"));
    let reply = 3_000_000u64;
    let serve = ["serve", "7000", &reply.to_string(), SERVER];
    let _server = run(&path.server, &server, &serve, "listening");
    let dropped = || {
        agent
            .page()
            .by("hark_network_dropped_packets_total", "reason", &[])
    };
    let before = dropped();
    let _client = run(
        &path.client,
        &client,
        &["connect", "7000", "3", "100", SERVER],
        "took",
    );
    let by_server = retransmitted(&path.server);
    let by_client = retransmitted(&path.client);
    let lost = path.dropped();
    assert!(
        lost > 0 && by_server > 0,
        "{lost} lost, {by_server} sent again"
    );
    let look = || {
        let page = agent.page();
        let of = |name: &str, service: &str, role: &str| {
            let labels = [("service_name", service), ("role", role)];
            page.total(&format!("hark_service_tcp_{name}"), &labels)
        };
        [
            of("retransmits_total", &server, "server"),
            of("retransmits_total", &client, "client"),
            // What was sent again is no new byte.
            of("sent_bytes_total", &server, "server"),
            of("received_bytes_total", &client, "client"),
            of("connections_open", &server, "server"),
        ]
    };
    let want = [by_server, by_client, 3 * reply, 3 * reply, 0];
    wait::expect("what was sent, and sent again", &want, look);
    // The reasons are of the whole host, where somebody else's packet may be dropped as well.
    let mut seen = dropped();
    for (reason, count) in before {
        *seen.entry(reason).or_default() -= count;
    }
    seen.retain(|_, count| *count > 0);
    let queues = ["qdisc_drop", "qdisc_overlimit"];
    let by_queues: u64 = queues.iter().filter_map(|reason| seen.get(*reason)).sum();
    // On a loaded host the kernel has told of up to one in a hundred less than the queue counts, at
    // no hook; `drop.rs` compares for equality where there is no load.
    assert!(
        by_queues >= lost - lost / 20,
        "{by_queues} of {lost} drops were seen: {seen:?}"
    );
}
