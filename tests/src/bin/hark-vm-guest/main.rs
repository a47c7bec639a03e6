//! The one job of a virtual machine of `cargo xtask vm`: as its first process, runs the real agent
//! on the machine's kernel, makes traffic that is counted at both ends, and reports on the second
//! serial port what came of it. Started by that process with a role, it is the other end of a check.

mod attached;
mod books;
mod clock;
mod grpc;
mod heard;
mod log;
mod machine;
mod refused;
mod report;
mod resources;
mod serve;
mod sockets;
mod tls;

use std::time::Duration;

use hark_tests::agent::Agent;
use hark_tests::turn::Turn;
use hark_tests::{bpf, http, wait};
use rustix::process::Signal;

use self::machine::KernelLog;
use self::report::Report;

/// How long this machine may take for anything that takes others a moment: it is emulated, beside
/// whatever else its host does.
const PATIENCE: Duration = Duration::from_secs(300);

/// How long the agent may take to report what has happened, until it is judged by what it has.
const SETTLE: Duration = Duration::from_secs(60);

fn main() -> anyhow::Result<()> {
    if std::process::id() != 1 {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        return match arguments[..] {
            ["serve", at] => serve::serve(at),
            ["eat", gate] => resources::eat(gate),
            ["knock", at] => resources::knock(at),
            _ => anyhow::bail!(
                "this is the first process of a virtual machine; see `cargo xtask vm`"
            ),
        };
    }
    machine::set_up()?;
    let mut report = Report::open()?;
    let log = KernelLog::from_now()?;
    report.line("kernel", &[&machine::release()]);
    let verdict = if attached::heard_at().is_some() {
        agent(&mut report);
        "runs"
    } else {
        refused::check(&mut report);
        "refused"
    };
    report.check("kernel log", move || {
        let complaints = log.complaints();
        assert!(complaints.is_empty(), "{}", complaints.join(" | "));
        "quiet".into()
    });
    report.end(verdict);
    machine::power_off()
}

/// Everything that is asked of an agent that this kernel can run.
fn agent(report: &mut Report) {
    // Twice the patience: the verifier gives up a program only after a million instructions.
    let Some(agent) = report.check_for("starts", || {
        let environment = [
            ("HARK_CAPTURE_TLS", "true"),
            ("HARK_REQUEST_LOG_OUTPUT", "file"),
            ("HARK_REQUEST_LOG_PATH", log::PATH),
            ("HARK_REQUEST_LOG_WHICH", "all"),
            ("HARK_REQUEST_LOG_MAX_PER_SECOND", "1000000"),
        ];
        let agent = Agent::start_within(2 * PATIENCE, Turn::take(), &environment);
        ("ready".into(), agent)
    }) else {
        return;
    };
    let agent = &*Box::leak(Box::new(agent));
    report.check("hooks", || attached::hooks(agent));
    for check in heard::CHECKS {
        report.check(check.name, || heard::check_one(check, agent));
    }
    report.check("sockets", || sockets::check(agent));
    report.check("gRPC", || grpc::check(agent));
    for (name, protocol, manner) in tls::CHECKS {
        report.check(name, || tls::check(agent, protocol, manner));
    }
    report.check("losses", || losses(agent));
    report.check("clock set by hours", || clock::check(agent));
    report.check("CPU of a service", || resources::cpu(agent));
    report.check("memory of a service", || resources::memory(agent));
    report.check("network of a service", || resources::network(agent));
    report.check("collectors", || collectors(agent));
    report.check("doctor", || attached::doctor(0));
    for (name, count) in attached::programs(agent) {
        report.line("program", &[&name, &count.to_string()]);
    }
    report.check("ends", || ends(agent));
}

/// What the kernel did not hand over, and what the agent lost by that. From Linux 7.0 on programs of
/// tracepoints can be interrupted, and the kernel skips an event if the program is running already on
/// that processor: a spare takes most of these. Before that it must not happen, and nothing may be lost.
fn losses(agent: &Agent) -> String {
    let page = agent.page();
    let skipped = page.total("hark_events_skipped_total", &[]);
    let spared = page.total("hark_events_spared_total", &[]);
    let lost = agent.lost();
    if machine::version() < (7, 0) {
        let none = "lost exchanges, skipped events, those that a spare took";
        assert_eq!((lost, skipped, spared), (0, 0, 0), "{none}");
    }
    assert!(lost == 0 || skipped > 0, "{lost} lost without a reason");
    match (skipped, spared) {
        (0, 0) => "none".into(),
        (0, spared) => format!("none; {spared} events by a spare"),
        _ => format!("{lost} exchanges, by {skipped} events skipped"),
    }
}

/// Every group of resource metrics says that it has all that it should have. Debian's kernels have
/// `tcp_diag`, which lists sockets, as a module, and this guest has no modules: what is missing without
/// it is named, and costs nothing else.
fn collectors(agent: &Agent) -> String {
    let groups = agent.page().by("hark_collector_success", "collector", &[]);
    assert!(!groups.is_empty(), "there is no hark_collector_success");
    let failed: Vec<_> = groups
        .iter()
        .filter(|(_, success)| **success != 1)
        .collect();
    assert!(failed.is_empty(), "without success: {failed:?}");
    groups.len().to_string()
}

/// It ends when it is asked to, and takes its programs along.
fn ends(agent: &Agent) -> String {
    let programs = bpf::programs_of(agent.process().id());
    assert!(!programs.is_empty(), "the agent holds no programs");
    agent.process().signal(Signal::TERM);
    wait::until(PATIENCE, "the end of the agent", || {
        agent.process().is_zombie().then_some(())
    });
    wait::expect_within(
        PATIENCE,
        "programs left behind",
        &Default::default(),
        || bpf::still_loaded(&programs),
    );
    assert!(
        http::get(agent.address(), "/healthz", "*/*").is_err(),
        "something still listens at its address"
    );
    "clean".into()
}
