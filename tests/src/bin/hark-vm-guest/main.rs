//! The one job of a virtual machine of `cargo xtask vm`: as its first process, runs the real agent
//! on the machine's kernel, makes traffic that is counted at both ends, and reports on the second
//! serial port what came of it. Started by that process with `serve`, it is a server.

mod attached;
mod heard;
mod machine;
mod refused;
mod report;
mod serve;

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

fn main() -> anyhow::Result<()> {
    if std::process::id() != 1 {
        let mut arguments = std::env::args().skip(1);
        anyhow::ensure!(
            arguments.next().as_deref() == Some("serve"),
            "this is the first process of a virtual machine; see `cargo xtask vm`"
        );
        return serve::serve(arguments.next().as_deref());
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
        let agent =
            Agent::start_within(2 * PATIENCE, Turn::take(), &[("HARK_CAPTURE_TLS", "true")]);
        ("ready".into(), agent)
    }) else {
        return;
    };
    let agent = &*Box::leak(Box::new(agent));
    report.check("hooks", || attached::hooks(agent));
    for check in heard::CHECKS {
        report.check(check.name, || heard::check_one(check, agent));
    }
    report.check("losses", || losses(agent));
    report.check("collectors", || collectors(agent));
    report.check("doctor", || attached::doctor(0));
    for (name, count) in attached::programs(agent) {
        report.line("program", &[&name, &count.to_string()]);
    }
    report.check("ends", || ends(agent));
}

/// No exchange is lost, and the kernel skipped no event. From Linux 7.0 on it skips one when a program
/// is interrupted by itself, of whatever socket: that is told, and that all was heard is checked above.
fn losses(agent: &Agent) -> String {
    let skipped = agent.page().total("hark_events_skipped_total", &[]);
    assert_eq!(agent.lost(), 0, "lost exchanges");
    if machine::version() >= (7, 0) {
        return format!("none, {skipped} events skipped");
    }
    assert_eq!(skipped, 0, "skipped events");
    "none".into()
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
