//! What services use of the machine, against what the kernel and the processes themselves say.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use hark_tests::agent::Agent;
use hark_tests::cgroup::Cgroup;
use hark_tests::metrics::Page;
use hark_tests::process::{Process, died_of};
use hark_tests::schedstat::{self, Threads};
use hark_tests::{names, tools, wait};
use rustix::process::Signal;

use crate::{PATIENCE, SETTLE, attached};

const MIB: u64 = 1 << 20;

/// Connections that are refused.
const REFUSED: u64 = 20;

/// More busy threads than this machine has processors: what they computed, how long they waited for a
/// processor and how often, to the nanosecond.
pub(crate) fn cpu(agent: &Agent) -> String {
    let service = names::unique("spin");
    let mut command = Command::new(tools::helper("hark-test-spin"));
    command
        .args(["threads", "5", "400"])
        .env("OTEL_SERVICE_NAME", &service);
    let skipped =
        |page: &Page| page.total("hark_sched_unaccounted_total", &[("reason", "skipped")]);
    let before = skipped(&agent.page());
    let mut process = Process::start(command);
    process.line("DONE").expect("it computes");
    let truth = schedstat::asleep(process.id());
    assert!(
        truth.wait_ns > 0 && truth.runs > 5,
        "nobody waited: {truth:?}"
    );
    let look = || told(&agent.page(), &service);
    if attached::left_alone().contains(&"sched_switch") {
        assert_eq!(look().runs, 0, "heard without a hook");
        return "not without sched_switch".into();
    }
    // A switch that the kernel skipped is entered with the next one: the sums have it, the counts do
    // not.
    let told = wait::settle(SETTLE, &truth, look);
    let merged = truth.runs - told.runs;
    assert_eq!(
        told,
        Threads {
            runs: told.runs,
            ..truth
        },
        "by the agent, by the kernel"
    );
    let skipped = skipped(&agent.page()) - before;
    assert!(
        merged <= skipped,
        "{merged} of {truth:?} merged, {skipped} skipped"
    );
    match merged {
        0 => format!("{} of {} runs", truth.runs, truth.runs),
        merged => format!("{} of {} runs, {merged} merged", told.runs, truth.runs),
    }
}

/// What the agent has of a service.
fn told(page: &Page, service: &str) -> Threads {
    let labels = [("service_name", service)];
    let nanos = |name: &str| {
        let seconds: f64 = page.with(name, &labels).map(|sample| sample.value).sum();
        Duration::from_secs_f64(seconds).as_nanos() as u64
    };
    let waits = "hark_service_cpu_run_queue_wait_seconds";
    Threads {
        cpu_ns: nanos("hark_service_cpu_seconds_total"),
        wait_ns: nanos(&format!("{waits}_sum")),
        runs: page.total(&format!("{waits}_count"), &labels),
        involuntary: page.total("hark_service_cpu_involuntary_switches_total", &labels),
    }
}

/// A process that the kernel kills because its cgroup is out of memory.
pub(crate) fn memory(agent: &Agent) -> String {
    let service = names::unique("eater");
    let cgroup = Cgroup::new("memory", &service).unwrap_or_else(|skip| panic!("{}", skip.0));
    cgroup.set("memory.max", &(24 * MIB).to_string());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let gate = folder.path().join("gate");
    let mut command = ourselves("eat", &gate.to_string_lossy(), &service);
    cgroup.hold(&mut command);
    let mut process = Process::start(command);
    let labels = [("service_name", service.as_str())];
    wait::until(PATIENCE, "the agent to know it", || {
        let page = agent.page();
        let mut resident = page.with("hark_service_memory_resident_bytes", &labels);
        resident.next().map(drop)
    });
    std::fs::write(gate, "").expect("our own folder");
    let status = process.wait(PATIENCE);
    assert!(died_of(status, Signal::KILL), "{status}");
    assert_eq!(cgroup.field("memory.events", "oom_kill"), 1);
    let kills = "hark_service_memory_oom_kills_total";
    let told = wait::settle(SETTLE, &1, || agent.page().total(kills, &labels));
    let page = agent.page();
    assert_eq!(
        told,
        1,
        "kills of the service; of all: {:?}; lost: {:?}",
        page.by(kills, "service_name", &[]),
        page.by("hark_memory_events_lost_total", "reason", &[])
    );
    "1 of 1 kills".into()
}

/// Connections to a port that nobody listens on.
pub(crate) fn network(agent: &Agent) -> String {
    let service = names::unique("knocker");
    let missed = |page: &Page| page.total("hark_network_events_missed_total", &[("object", "tcp")]);
    let before = missed(&agent.page());
    let address = names::free_address();
    let mut process = Process::start(ourselves("knock", &address.to_string(), &service));
    let refused = process.line("REFUSED ").expect("it says how many");
    assert_eq!(refused, REFUSED.to_string());
    let look = || {
        agent.page().total(
            "hark_service_tcp_connections_failed_total",
            &[("service_name", &service), ("error_type", "refused")],
        )
    };
    let told = wait::settle(SETTLE, &REFUSED, look);
    let missed = missed(&agent.page()) - before;
    assert!(
        told <= REFUSED && REFUSED - told <= missed,
        "{told} of {REFUSED} heard, {missed} events missed"
    );
    match REFUSED - told {
        0 => format!("{told} of {REFUSED} refused"),
        lost => format!("{told} of {REFUSED} refused, {lost} counted as missed"),
    }
}

/// This program in another role.
fn ourselves(role: &str, argument: &str, service: &str) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command
        .args([role, argument])
        .env("OTEL_SERVICE_NAME", service);
    command
}

/// Role: takes more memory than it may have, once this file is there.
pub(crate) fn eat(gate: &str) -> anyhow::Result<()> {
    while !Path::new(gate).exists() {
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut taken = Vec::new();
    for byte in 0..64 {
        taken.push(vec![byte + 1_u8; MIB as usize]);
    }
    anyhow::bail!("{} MiB could be had", std::hint::black_box(taken).len())
}

/// Role: connects where nobody listens, says how often it was refused, and stays.
pub(crate) fn knock(at: &str) -> anyhow::Result<()> {
    let address: SocketAddr = at.parse()?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, address.port()));
    let mut refused = 0;
    for _ in 0..REFUSED {
        match TcpStream::connect(address) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => refused += 1,
            Err(error) => return Err(error).context("not refused"),
            Ok(_) => anyhow::bail!("somebody listens on {address}"),
        }
    }
    println!("REFUSED {refused}");
    loop {
        std::thread::park();
    }
}
