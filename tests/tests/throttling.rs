//! CPU limits against the kernel's own books.

use std::process::Command;
use std::time::Duration;

use hark_tests::agent::{self, Agent};
use hark_tests::cgroup::Cgroup;
use hark_tests::process::Process;
use hark_tests::{names, need, tools, wait};
use rustix::process::Signal;

/// A tenth of one CPU, so that a machine that is busy otherwise gives that much.
fn limited(name: &str) -> Result<Cgroup, hark_tests::skip::Skip> {
    let cgroup = Cgroup::new("cpu", name)?;
    if cgroup.version == 1 {
        cgroup.set("cpu.cfs_period_us", "20000");
        cgroup.set("cpu.cfs_quota_us", "2000");
    } else {
        cgroup.set("cpu.max", "2000 20000");
    }
    Ok(cgroup)
}

#[test]
fn throttling_is_what_the_cgroup_says() {
    need!(agent::root());
    let python = need!(tools::find("python3"));
    let agent = Agent::shared();
    let service = names::unique("throttled");
    let cgroup = need!(limited(&service));
    let mut command = Command::new(python);
    command
        .args(["-B", "-c", "while True: pass"])
        .env("OTEL_SERVICE_NAME", &service)
        .env_remove("OTEL_RESOURCE_ATTRIBUTES");
    cgroup.hold(&mut command);
    let process = Process::start(command);
    let seen = |name: &str| {
        let page = agent.page();
        let labels = [("service_name", service.as_str())];
        let mut samples = page.with(name, &labels);
        samples.next().map(|sample| sample.value)
    };
    wait::until(Duration::from_secs(120), "twenty throttled periods", || {
        seen("hark_service_cpu_throttled_periods_total")?;
        (cgroup.field("cpu.stat", "nr_throttled") > 20).then_some(())
    });
    process.signal(Signal::STOP);
    // The last period ends within 20 ms; nothing runs in those that follow.
    wait::until(
        Duration::from_secs(10),
        "the end of the last period",
        || {
            let look = || cgroup.read("cpu.stat");
            let before = look();
            std::thread::sleep(Duration::from_millis(200));
            (before == look()).then_some(())
        },
    );
    let (time, unit) = if cgroup.version == 1 {
        ("throttled_time", 1e9)
    } else {
        ("throttled_usec", 1e6)
    };
    for (name, want) in [
        (
            "hark_service_cpu_limit_periods_total",
            cgroup.field("cpu.stat", "nr_periods") as f64,
        ),
        (
            "hark_service_cpu_throttled_periods_total",
            cgroup.field("cpu.stat", "nr_throttled") as f64,
        ),
        (
            "hark_service_cpu_throttled_seconds_total",
            cgroup.field("cpu.stat", time) as f64 / unit,
        ),
    ] {
        wait::expect(name, &Some(want), || seen(name));
    }
}
