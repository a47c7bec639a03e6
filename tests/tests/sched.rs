//! CPU and scheduler metrics against the kernel's own books.

use std::time::Duration;

use hark_tests::agent::{self, Agent};
use hark_tests::cpu_group::CpuGroup;
use hark_tests::metrics::Page;
use hark_tests::process::Process;
use hark_tests::schedstat::{self, Threads};
use hark_tests::{bpf, names, need, tools, wait};

const WAITS: &str = "hark_service_cpu_run_queue_wait_seconds";
const SECONDS: &str = "hark_service_cpu_seconds_total";
/// Of the kernel's clock for `/proc/PID/stat`.
const TICK: Duration = Duration::from_millis(10);

/// `hark-test-spin` as a service in a cgroup.
fn spin(group: &CpuGroup, service: &str, arguments: &[&str]) -> Process {
    let mut command = group.command(&tools::helper("hark-test-spin"));
    command.args(arguments).env("OTEL_SERVICE_NAME", service);
    Process::start(command)
}

fn nanos(page: &Page, name: &str, service: &str) -> u64 {
    let labels = [("service_name", service)];
    let seconds: f64 = page.with(name, &labels).map(|sample| sample.value).sum();
    (seconds * 1e9).round() as u64
}

/// What the agent has of a service.
fn told(agent: &Agent, service: &str) -> Threads {
    let page = agent.page();
    let labels = [("service_name", service)];
    Threads {
        cpu_ns: nanos(&page, SECONDS, service),
        wait_ns: nanos(&page, &format!("{WAITS}_sum"), service),
        runs: page.total(&format!("{WAITS}_count"), &labels),
        involuntary: page.total("hark_service_cpu_involuntary_switches_total", &labels),
    }
}

fn close(what: &str, told: Duration, truth: Duration, within: Duration) {
    assert!(
        told.abs_diff(truth) <= within,
        "{what}: {told:?} told, {truth:?} true, more than {within:?} apart"
    );
}

fn cpus() -> usize {
    std::thread::available_parallelism()
        .expect("there are CPUs")
        .get()
}

/// Two services with more busy threads than there are CPUs: once all sleep, what the agent has is
/// what the kernel has, to the nanosecond and the count, each service for itself.
#[test]
fn run_queue_of_two_services() {
    need!(agent::root());
    let agent = &Agent::start(&[]);
    let counts = [cpus() + 1, 2 * cpus() + 1];
    let mut running = Vec::new();
    for count in counts {
        let service = names::unique("sched-queue");
        let group = need!(CpuGroup::new("hark-sched"));
        let process = spin(&group, &service, &["threads", &count.to_string(), "1500"]);
        running.push((process, service, group));
    }
    for (process, service, group) in &mut running {
        process.line("DONE").expect("it computes");
        let truth = schedstat::asleep(process.id());
        assert!(truth.wait_ns > 100_000_000, "nobody waited: {truth:?}");
        wait::expect(service, &truth, || told(agent, service));
        close(
            "CPU time of the cgroup",
            Duration::from_nanos(truth.cpu_ns),
            group.usage(),
            TICK,
        );
    }
    let page = agent.page();
    let host = page.total("hark_cpu_run_queue_wait_seconds_count", &[]);
    let services = page.total(&format!("{WAITS}_count"), &[]);
    assert!(host >= services, "{services} of {host}");
    let of_services = page.total("hark_service_cpu_involuntary_switches_total", &[]);
    let of_host = page.total("hark_cpu_involuntary_switches_total", &[]);
    assert!(
        of_host >= of_services && of_services > 0,
        "{of_services} of {of_host}"
    );
    for reason in ["no_room", "skipped"] {
        let labels = [("reason", reason)];
        assert_eq!(
            page.total("hark_sched_unaccounted_total", &labels),
            0,
            "{reason}"
        );
    }
}

/// What threads did that have ended is not lost, and the runs of those that still run are not
/// waited for.
#[test]
fn threads_that_end_and_threads_that_run() {
    need!(agent::root());
    let agent = &Agent::start(&[]);
    let (ending, service) = (
        need!(CpuGroup::new("hark-sched")),
        names::unique("sched-brief"),
    );
    let mut process = spin(&ending, &service, &["brief", "50", "5"]);
    process.line("DONE").expect("it computes");
    let _ = schedstat::asleep(process.id());
    let usage = ending.usage();
    let told_ns = |service: &str| nanos(&agent.page(), SECONDS, service);
    close(
        "threads that ended",
        Duration::from_nanos(told_ns(&service)),
        usage,
        TICK,
    );
    let page = agent.page();
    let runs = page.total(&format!("{WAITS}_count"), &[("service_name", &service)]);
    assert!(runs > 50, "{runs} runs of fifty threads");

    // One CPU hog, asked while it runs.
    let (group, service) = (
        need!(CpuGroup::new("hark-sched")),
        names::unique("sched-hog"),
    );
    let process = spin(&group, &service, &["threads", "1", "2000"]);
    wait::until(Duration::from_secs(20), "the hog to be named", || {
        (told_ns(&service) > 0).then_some(())
    });
    for _ in 0..5 {
        std::thread::sleep(Duration::from_millis(100));
        let before = group.usage();
        let told = Duration::from_nanos(told_ns(&service));
        let after = group.usage();
        // `/proc/PID/stat` rounds user and system time down, each for itself; what it has was read
        // up to half a second ago.
        let earliest = before.saturating_sub(2 * TICK + Duration::from_millis(500));
        assert!(
            earliest <= told && told <= after + TICK,
            "{told:?} is not between {earliest:?} and {after:?}"
        );
    }
    drop(process);
}

/// Processes that live just long enough to be seen.
#[test]
fn children_one_after_the_other() {
    need!(agent::root());
    let agent = &Agent::start(&[]);
    let (group, service) = (
        need!(CpuGroup::new("hark-sched")),
        names::unique("sched-children"),
    );
    let process = spin(&group, &service, &["children", "4", "700"]);
    wait::until(Duration::from_secs(60), "the last child's end", || {
        let _ = agent.page();
        process.stdout().contains("DONE").then_some(())
    });
    let _ = schedstat::asleep(process.id());
    close(
        "children that ended",
        Duration::from_nanos(nanos(&agent.page(), SECONDS, &service)),
        group.usage(),
        TICK,
    );
}

/// What was before the agent is not counted, what comes after is.
#[test]
fn a_process_older_than_the_agent() {
    need!(agent::root());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("go");
    let (group, service) = (
        need!(CpuGroup::new("hark-sched")),
        names::unique("sched-older"),
    );
    let path = file.to_str().expect("a readable name");
    let mut process = spin(&group, &service, &["threads", "3", "600", path]);
    process.line("DONE").expect("it computes");
    let agent = &Agent::start(&[]);
    let before = schedstat::threads(process.id());
    let (usage, started) = (group.usage(), told(agent, &service));
    // The main thread looks for the file all the time.
    let after = schedstat::threads(process.id());
    std::fs::write(&file, "").expect("our own folder");
    wait::until(Duration::from_secs(30), "the second turn", || {
        (process.stdout().matches("DONE").count() == 2).then_some(())
    });
    let truth = schedstat::asleep(process.id());
    let now = told(agent, &service);
    close(
        "CPU time since",
        Duration::from_nanos(now.cpu_ns - started.cpu_ns),
        group.usage() - usage,
        3 * TICK,
    );
    // The first time that each of the four leaves a CPU tells where to count from.
    let (most, least) = (truth.runs - before.runs, truth.runs - after.runs);
    let told = now.runs - started.runs;
    assert!(
        told <= most && told + 4 >= least,
        "{told} of {least} to {most} runs"
    );
}

/// The host's books are the kernel's.
#[test]
fn seconds_by_mode() {
    need!(agent::root());
    let agent = &Agent::start(&[]);
    let before = stat();
    let page = agent.page();
    let after = stat();
    for ((name, before), (_, after)) in before.iter().zip(&after) {
        let cpu = name.trim_start_matches("cpu");
        for (mode, at) in [("user", 0), ("system", 2), ("softirq", 6)] {
            let labels = [("cpu", cpu), ("mode", mode)];
            let told: f64 = page
                .with("hark_cpu_seconds_total", &labels)
                .map(|sample| sample.value)
                .sum();
            let ticks = (told * 100.0).round() as u64;
            assert!(
                before[at] <= ticks && ticks <= after[at],
                "{name} {mode}: {ticks} is not between {} and {}",
                before[at],
                after[at]
            );
        }
    }
    assert_eq!(page.total("hark_cpu_online", &[]), before.len() as u64);
    assert!(page.total("hark_cpu_runnable_threads", &[]) >= 1);
}

/// The lines of each CPU in `/proc/stat`.
fn stat() -> Vec<(String, Vec<u64>)> {
    let text = std::fs::read_to_string("/proc/stat").expect("procfs is mounted");
    text.lines()
        .filter(|line| line.starts_with("cpu") && !line.starts_with("cpu "))
        .map(|line| {
            let mut words = line.split_whitespace();
            let name = words.next().expect("a name").to_owned();
            (
                name,
                words.map(|word| word.parse().expect("ticks")).collect(),
            )
        })
        .collect()
}

/// Switched off is not attached.
#[test]
fn switched_off() {
    need!(agent::root());
    let has = |agent: &Agent| {
        let ids = bpf::programs_of(agent.process().id());
        bpf::names(&ids).contains("sched_switch")
    };
    let on = Agent::start(&[]);
    assert!(has(&on));
    drop(on);
    let off = Agent::start(&[("HARK_RESOURCES_CPU", "false")]);
    assert!(!has(&off));
    let page = off.page();
    let cpu = |name: &str| name.starts_with("hark_cpu_") || name.starts_with("hark_service_cpu_");
    assert!(!page.0.iter().any(|sample| cpu(&sample.name)));
    assert!(
        page.0
            .iter()
            .any(|sample| sample.name == "hark_collector_success")
    );
}
