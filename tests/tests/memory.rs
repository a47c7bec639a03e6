//! Memory against the kernel's own books: kills, stalls, faults, limits, pressure.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use hark_tests::agent::{self, Agent};
use hark_tests::cgroup::Cgroup;
use hark_tests::metrics::Page;
use hark_tests::process::{Process, died_of};
use hark_tests::{names, need, tools, wait};
use rustix::process::Signal;

const MIB: u64 = 1 << 20;

/// Begins when it is told to by a signal, and says when it is done.
const TOLD: &str = "
import signal, sys, os, mmap
told = {signal.SIGUSR1}
signal.pthread_sigmask(signal.SIG_BLOCK, told)
print('READY', flush=True)
signal.sigwait(told)
";

/// A Python program of this service in these cgroups, that waits to be told.
fn start(
    python: &Path,
    service: &str,
    script: &str,
    arguments: &[&str],
    cgroups: &[&Cgroup],
) -> Process {
    let mut command = Command::new(python);
    command
        .args([
            "-B",
            "-c",
            &format!("{TOLD}{script}\nprint('DONE', flush=True)\nsignal.sigwait(told)"),
        ])
        .args(arguments)
        .env("OTEL_SERVICE_NAME", service)
        .env_remove("OTEL_RESOURCE_ATTRIBUTES");
    for cgroup in cgroups {
        cgroup.hold(&mut command);
    }
    let mut process = Process::start(command);
    process.line("READY").expect("it starts");
    process
}

fn limited(name: &str, bytes: u64) -> Result<Cgroup, hark_tests::skip::Skip> {
    let cgroup = Cgroup::new("memory", name)?;
    let file = if cgroup.version == 1 {
        "memory.limit_in_bytes"
    } else {
        "memory.max"
    };
    cgroup.set(file, &bytes.to_string());
    Ok(cgroup)
}

/// The value of the one series of the service.
fn value(page: &Page, name: &str, service: &str) -> Option<f64> {
    page.with(name, &[("service_name", service)])
        .next()
        .map(|sample| sample.value)
}

/// Waits until the agent has looked at the service.
fn await_seen(agent: &Agent, service: &str) {
    wait::until(Duration::from_secs(10), "the service's memory", || {
        value(&agent.page(), "hark_service_memory_resident_bytes", service)
    });
}

/// A field of `/proc/PID/stat`, numbered as in proc_pid_stat(5).
fn field(pid: u32, number: usize) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it lives");
    let (_, rest) = stat.rsplit_once(") ").expect("a name in parentheses");
    let field = rest.split(' ').nth(number - 3);
    field.and_then(|text| text.parse().ok()).expect("a number")
}

fn vmstat(name: &str) -> u64 {
    let stat = fs::read_to_string("/proc/vmstat").expect("procfs");
    stat.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
        .expect("this kernel counts it")
}

#[test]
fn a_kill_is_of_the_victims_service() {
    need!(agent::root());
    let python = need!(tools::find("python3"));
    let agent = Agent::shared();
    let service = names::unique("memory-oom");
    let cgroup = need!(limited(&service, 48 * MIB));
    let mut process = start(
        &python,
        &service,
        "b = bytearray(1 << 30)\nfor i in range(0, len(b), 4096): b[i] = 1",
        &[],
        &[&cgroup],
    );
    await_seen(agent, &service);
    let before = vmstat("oom_kill");
    process.signal(Signal::USR1);
    let status = process.wait(Duration::from_secs(60));
    assert!(died_of(status, Signal::KILL), "{status}");
    let file = if cgroup.version == 1 {
        "memory.oom_control"
    } else {
        "memory.events"
    };
    assert_eq!(cgroup.field(file, "oom_kill"), 1);
    assert_eq!(vmstat("oom_kill"), before + 1);
    wait::expect("kills of the service", &1, || {
        agent.page().total(
            "hark_service_memory_oom_kills_total",
            &[("service_name", &service)],
        )
    });
    wait::expect("kills on the host", &vmstat("oom_kill"), || {
        agent.page().total("hark_memory_oom_kills_total", &[])
    });
}

#[test]
fn a_cgroup_at_its_limit_stalls() {
    need!(agent::root());
    let python = need!(tools::find("python3"));
    let agent = Agent::shared();
    let service = names::unique("memory-stall");
    let cgroup = need!(limited(&service, 48 * MIB));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("large");
    let mut process = start(
        &python,
        &service,
        "piece = bytes(1 << 20)\nwith open(sys.argv[1], 'wb') as f:\n  for _ in range(256): f.write(piece)",
        &[file.to_str().expect("plain")],
        &[&cgroup],
    );
    await_seen(agent, &service);
    let labels = [("service_name", service.as_str()), ("cause", "cgroup")];
    let count = "hark_service_memory_stall_seconds_count";
    let host = |page: &Page| page.total("hark_memory_stall_seconds_count", &[("cause", "cgroup")]);
    let host_before = host(&agent.page());
    process.signal(Signal::USR1);
    process.line("DONE").expect("it has room for its own pages");
    // The kernel counts each time that the limit was met; not after each it had to free pages.
    let met = if cgroup.version == 1 {
        cgroup.number("memory.failcnt")
    } else {
        cgroup.field("memory.events", "max")
    };
    let stalls = wait::until(Duration::from_secs(10), "stalls", || {
        let page = agent.page();
        let stalls = page.total(count, &labels);
        (stalls > 0).then_some(stalls)
    });
    assert!(
        stalls <= met,
        "{stalls} stalls, the limit was met {met} times"
    );
    let page = agent.page();
    assert!(host(&page) - host_before >= stalls, "the host has them too");
    let seconds = page
        .with("hark_service_memory_stall_seconds_sum", &labels)
        .next()
        .map(|sample| sample.value);
    assert!(
        seconds.is_some_and(|sum| sum > 0.0 && sum < 60.0),
        "{seconds:?}"
    );
    assert_eq!(page.total("hark_memory_events_lost_total", &[]), 0);
}

#[test]
fn what_a_service_has_and_may_have() {
    need!(agent::root());
    let python = need!(tools::find("python3"));
    let agent = Agent::shared();
    let service = names::unique("memory-limit");
    let outer = need!(limited(&service, 96 * MIB));
    let inner = need!(limited(&format!("{service}/inner"), 1024 * MIB));
    let process = start(&python, &service, "", &[], &[&inner]);
    await_seen(agent, &service);
    let limit = || value(&agent.page(), "hark_service_memory_limit_bytes", &service);
    wait::expect("the outer limit", &Some((96 * MIB) as f64), limit);
    // SAFETY: no pointers.
    let page_size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as u64;
    let resident = || Some((field(process.id(), 24) * page_size) as f64);
    wait::expect("resident memory", &resident(), || {
        value(
            &agent.page(),
            "hark_service_memory_resident_bytes",
            &service,
        )
    });
    let file = if outer.version == 1 {
        "memory.usage_in_bytes"
    } else {
        "memory.current"
    };
    wait::expect(
        "what the cgroup is charged",
        &Some(outer.number(file) as f64),
        || value(&agent.page(), "hark_service_memory_cgroup_bytes", &service),
    );
    // Another service in the outer one: then it is no longer theirs alone.
    let other = names::unique("memory-guest");
    let guest = start(&python, &other, "", &[], &[&outer]);
    wait::expect(
        "what its own cgroup is charged",
        &Some(inner.number(file) as f64),
        || value(&agent.page(), "hark_service_memory_cgroup_bytes", &service),
    );
    assert_eq!(
        value(&agent.page(), "hark_service_memory_cgroup_bytes", &other),
        None
    );
    drop(guest);
}

#[test]
fn major_faults_are_those_of_its_processes() {
    need!(agent::root());
    let python = need!(tools::find("python3"));
    let agent = Agent::shared();
    let service = names::unique("memory-faults");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("mapped");
    fs::write(&file, vec![1; 4 * MIB as usize]).expect("our own folder");
    let mut process = start(
        &python,
        &service,
        "
f = open(sys.argv[1], 'rb')
os.fsync(f.fileno())
os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)
m.madvise(mmap.MADV_RANDOM)
sum(m[i] for i in range(0, len(m), 4096))",
        &[file.to_str().expect("plain")],
        &[],
    );
    await_seen(agent, &service);
    process.signal(Signal::USR1);
    process.line("DONE").expect("it reads");
    let faults = field(process.id(), 12);
    assert!(
        faults >= 1000,
        "{faults} faults: the file was not read from the disk"
    );
    let seen = || {
        agent.page().total(
            "hark_service_memory_major_faults_total",
            &[("service_name", &service)],
        )
    };
    wait::expect("major faults", &faults, seen);
    drop(process);
    wait::expect("major faults after its end", &faults, seen);
}

#[test]
fn pressure_is_what_the_kernel_says() {
    need!(agent::root());
    let python = need!(tools::find("python3"));
    need!(fs::read("/proc/pressure/memory").map_err(|e| hark_tests::skip::Skip(e.to_string())));
    let agent = Agent::shared();
    let service = names::unique("memory-pressure");
    let memory = need!(limited(&service, 32 * MIB));
    let unified = need!(Cgroup::unified(&service));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("large");
    let mut process = start(
        &python,
        &service,
        "piece = bytes(1 << 20)\nwith open(sys.argv[1], 'wb') as f:\n  for _ in range(512): f.write(piece)",
        &[file.to_str().expect("plain")],
        &[&memory, &unified],
    );
    await_seen(agent, &service);
    process.signal(Signal::USR1);
    process.line("DONE").expect("it has room for its own pages");
    let micros = |text: &str| -> f64 {
        let some = text.lines().next().expect("a line of `some`");
        let (_, total) = some.rsplit_once("total=").expect("psi.rst");
        total.parse::<f64>().expect("a number")
    };
    let host = || micros(&fs::read_to_string("/proc/pressure/memory").expect("it is there"));
    let own = || micros(&unified.read("memory.pressure").expect("PSI is on"));
    // What moves is caught between two looks.
    let (host_before, own_before) = (host(), own());
    // The groups share a look for half a second.
    std::thread::sleep(Duration::from_millis(600));
    let page = agent.page();
    let (host_after, own_after) = (host(), own());
    let seen = |name, labels: &[(&str, &str)]| {
        let sample = page.with(name, labels).next();
        sample.map_or(-1.0, |sample| (sample.value * 1e6).round())
    };
    let of_host = seen("hark_memory_pressure_seconds_total", &[("tasks", "some")]);
    assert!(
        (host_before..=host_after).contains(&of_host),
        "{host_before} {of_host} {host_after}"
    );
    let of_service = seen(
        "hark_service_memory_pressure_seconds_total",
        &[("service_name", &service), ("tasks", "some")],
    );
    assert!(own_after > 0.0, "the load made no pressure");
    assert!(
        (own_before..=own_after).contains(&of_service),
        "{own_before} {of_service} {own_after}"
    );
}
