//! Real processes, and the table that holds them.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::*;

/// A process that ends with the test.
struct Running {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            input: child.stdin.take(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    /// `cat`, past its exec: until that has ended `/proc/PID/environ` is empty.
    fn cat(environment: &[(&str, &str)]) -> Self {
        let mut cat = Self::start(
            Command::new("cat")
                .env_remove("OTEL_SERVICE_NAME")
                .env_remove("OTEL_RESOURCE_ATTRIBUTES")
                .envs(environment.iter().copied()),
        );
        cat.send("ready\n");
        assert_eq!(cat.line(), "ready");
        cat
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn send(&mut self, line: &str) {
        self.input
            .as_mut()
            .unwrap()
            .write_all(line.as_bytes())
            .unwrap();
    }

    fn task(&self) -> Task {
        task(self.child.id())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail if the test has ended it already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The task as the kernel side would give it.
fn task(pid: u32) -> Task {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // Field 22; the second ends with the last parenthesis.
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let ticks: u64 = fields.split(' ').nth(19).unwrap().parse().unwrap();
    let mut comm = [0; 16];
    comm[..5].copy_from_slice(b"thing");
    Task {
        process: ProcessKey {
            pid,
            start_boottime_ns: ticks * 10_000_000 + 1234,
            exec_id: 1,
        },
        tid: pid,
        comm,
        ..Task::default()
    }
}

fn record(task: Task) -> ProcessRecord {
    ProcessRecord {
        task,
        ..ProcessRecord::default()
    }
}

/// Of the real `/proc`, without the cgroup that the tests happen to run in.
fn identities(max: usize) -> Identities {
    let mut identities = Identities::new("/proc".into(), max);
    identities.lookup.cgroup_file = "no-such-file";
    identities
}

fn named(service: &Service) -> (&str, NameSource) {
    (&service.name, service.source)
}

fn base(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

#[test]
fn a_shell_script() {
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("orders.sh");
    std::fs::write(&script, "echo ready; read x\n").unwrap();
    let mut running = Running::start(Command::new("/bin/sh").arg("-e").arg(&script));
    assert_eq!(running.line(), "ready");
    let service = identities(8).resolve(&running.task());
    assert_eq!(named(&service), ("orders", NameSource::Program));
    let shell = std::fs::canonicalize("/bin/sh").unwrap();
    assert_eq!(service.executable.as_deref(), Some(&*base(&shell)));
    assert_eq!(service.pid, running.child.id());
}

#[test]
fn a_program_and_its_environment() {
    let mut identities = identities(8);
    let plain = Running::cat(&[]);
    let service = identities.resolve(&plain.task());
    assert_eq!(named(&service), ("cat", NameSource::Executable));

    let declared = Running::cat(&[
        ("OTEL_SERVICE_NAME", "orders"),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "service.namespace=shop,team=a%20b",
        ),
    ]);
    let service = identities.resolve(&declared.task());
    assert_eq!(named(&service), ("orders", NameSource::Environment));
    assert_eq!(service.namespace.as_deref(), Some("shop"));
    assert_eq!(service.attributes, [("team".into(), "a b".into())]);
}

#[test]
fn a_title_is_no_name() {
    let mut running = Running::start(Command::new("cat").arg0("worker: idle now"));
    running.send("ready\n");
    assert_eq!(running.line(), "ready");
    let service = identities(8).resolve(&running.task());
    assert_eq!(named(&service), ("cat", NameSource::Executable));
}

#[test]
fn exec_makes_another_service_and_leaves_the_old_one_its_name() {
    let mut identities = identities(8);
    let mut running =
        Running::start(Command::new("/bin/sh").args(["-c", "echo one; read x; exec cat"]));
    assert_eq!(running.line(), "one");
    let before = running.task();
    let first = identities.resolve(&before);
    assert_eq!(named(&first), ("sh", NameSource::Executable));

    running.send("go\nx\n");
    assert_eq!(running.line(), "x");
    let mut after = before;
    after.process.exec_id = 2;
    assert_eq!(&*identities.resolve(&after).name, "cat");
    assert_eq!(&*identities.resolve(&before).name, "sh");
    assert_ne!(identities.resolve(&after).instance_id, first.instance_id);

    // Seen as a script before the exec, looked at only after it.
    let mut late = before;
    late.process.exec_id = 7;
    identities.learn(
        &record(late),
        Remains {
            args: b"sh\0/srv/fetch.sh\0",
            environ: b"",
        },
    );
    let service = identities.resolve(&late);
    assert_eq!(named(&service), ("fetch", NameSource::Program));
    assert_eq!(service.executable.as_deref(), Some("sh"));
    assert_eq!(
        identities.metrics_text("hark_identity_lookups_total{outcome=\"gone\"}"),
        "1"
    );
}

#[test]
fn a_process_that_has_exited_is_known_by_its_command_line() {
    let mut identities = identities(8);
    let mut running = Running::cat(&[("OTEL_SERVICE_NAME", "unseen")]);
    let task = running.task();
    running.child.kill().unwrap();
    running.child.wait().unwrap();

    // Without the command line there is only `comm`; it makes up for that when it comes.
    assert_eq!(
        named(&identities.resolve(&task)),
        ("thing", NameSource::Comm)
    );
    identities.learn(
        &record(task),
        Remains {
            args: b"/usr/bin/curl\0-s\0http://x/\0",
            environ: b"",
        },
    );
    let service = identities.resolve(&task);
    assert_eq!(named(&service), ("curl", NameSource::Executable));
    assert_eq!(identities.processes.len(), 1);
}

#[test]
fn one_that_is_gone_is_named_by_the_environment_it_had() {
    let mut identities = identities(8);
    let task = absent(7);
    let remains = Remains {
        args: b"/usr/bin/curl\0-s\0http://x/\0",
        environ: b"PATH=/bin\0OTEL_SERVICE_NAME=checkout\0",
    };
    identities.learn(&record(task), remains);
    let service = identities.resolve(&task);
    assert_eq!(named(&service), ("checkout", NameSource::Environment));
}

#[test]
fn another_process_with_the_same_pid_is_not_taken_for_it() {
    let mut identities = identities(8);
    let running = Running::cat(&[("OTEL_SERVICE_NAME", "orders")]);
    let mut earlier = running.task();
    earlier.process.start_boottime_ns -= 10_000_000;
    let service = identities.resolve(&earlier);
    assert_eq!(named(&service), ("thing", NameSource::Comm));
    identities.learn(
        &record(earlier),
        Remains {
            args: b"curl\0",
            environ: b"",
        },
    );
    let service = identities.resolve(&earlier);
    assert_eq!(named(&service), ("curl", NameSource::Executable));
    assert_eq!(&*identities.resolve(&running.task()).name, "orders");
}

#[test]
fn a_zombie_is_gone() {
    let mut identities = identities(8);
    let mut running = Running::cat(&[("OTEL_SERVICE_NAME", "orders")]);
    let service = identities.resolve(&running.task());
    assert_eq!(identities.sweep(), []);
    assert!(identities.is_live(&service.name, None));

    // It ends, but is not waited for until the test ends.
    running.input = None;
    assert_eq!(running.line(), "");
    let stat = format!("/proc/{}/stat", running.child.id());
    while !std::fs::read_to_string(&stat).unwrap().contains(") Z ") {
        std::thread::yield_now();
    }
    let now = Instant::now();
    let departed = Departed {
        name: "orders".into(),
        namespace: None,
        since: now,
    };
    assert_eq!(identities.sweep_at(now), [departed]);
    assert!(!identities.is_live(&service.name, None));
    assert_eq!(identities.sweep_at(now), []);
}

#[test]
fn threads_outlive_their_leader() {
    let code = "\
import ctypes, os, sys, threading
def work():
    leader = '/proc/%d/stat' % os.getpid()
    while ') Z ' not in open(leader).read():
        pass
    print(threading.get_native_id(), flush=True)
    sys.stdin.readline()
    os._exit(0)
threading.Thread(target=work).start()
exit = {'x86_64': 60, 'aarch64': 93}[os.uname().machine]
ctypes.CDLL(None).syscall(exit, 0)
";
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("orders.py");
    std::fs::write(&script, code).unwrap();
    let mut running = Running::start(
        Command::new("python3")
            .arg(&script)
            .env("OTEL_RESOURCE_ATTRIBUTES", "service.namespace=shop"),
    );
    let mut task = running.task();
    task.tid = running.line().parse().unwrap();
    let mut identities = identities(8);
    let service = identities.resolve(&task);
    assert_eq!(named(&service), ("orders", NameSource::Program));
    assert_eq!(service.namespace.as_deref(), Some("shop"));
    assert_eq!(identities.sweep(), []);
}

#[test]
fn helpers_of_python_are_called_what_their_parent_is() {
    let code = "\
import multiprocessing, os, signal, sys
def work():
    print(os.getpid(), flush=True)
    signal.pause()
if __name__ == '__main__':
    helper = multiprocessing.get_context(sys.argv[1]).Process(target=work)
    helper.start()
    sys.stdin.readline()
    helper.kill()
";
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("orders.py");
    std::fs::write(&script, code).unwrap();
    for method in ["spawn", "forkserver"] {
        let mut running = Running::start(Command::new("python3").arg(&script).arg(method));
        let helper: u32 = running.line().parse().unwrap();
        let service = identities(8).resolve(&task(helper));
        assert_eq!(named(&service), ("orders", NameSource::Program), "{method}");
        assert_eq!(service.pid, helper);
        running.send("end\n");
        // The helper's end of the pipe closes with it.
        assert_eq!(running.line(), "");
    }
}

/// A process that is not there.
fn absent(number: u32) -> Task {
    let mut task = Task::default();
    task.process.pid = 0x7fff_0000 + number;
    task.comm[..4].copy_from_slice(b"comm");
    task
}

#[test]
fn the_table_is_bounded_and_keeps_what_is_used() {
    let mut identities = identities(4);
    let used = absent(0);
    let first = identities.resolve(&used);
    for number in 1..100 {
        identities.resolve(&absent(number));
        // The same Arc: it was not looked up again.
        assert!(Arc::ptr_eq(&identities.resolve(&used), &first), "{number}");
        let newest = absent(number).process;
        assert!(identities.processes.contains_key(&newest), "{number}");
        assert!(identities.processes.len() <= 4);
    }
    assert_eq!(
        identities.metrics_text("hark_identity_evictions_total"),
        "96"
    );
    assert_eq!(identities.metrics_text("hark_identity_processes"), "4");
    assert_eq!(
        identities.metrics_text("hark_identity_lookups_total{outcome=\"gone\"}"),
        "100"
    );
}

#[test]
fn services_depart_with_their_last_process() {
    let now = Instant::now();
    let mut identities = identities(64);
    let orders = || Running::cat(&[("OTEL_SERVICE_NAME", "orders")]);
    let (one, two) = (orders(), orders());
    let name = Arc::clone(&identities.resolve(&one.task()).name);
    identities.resolve(&two.task());
    drop(one);
    assert_eq!(identities.sweep_at(now), []);
    assert!(identities.is_live(&name, None));
    drop(two);
    let departed = Departed {
        name: Arc::clone(&name),
        namespace: None,
        since: now,
    };
    assert_eq!(identities.sweep_at(now), std::slice::from_ref(&departed));
    assert_eq!(identities.sweep_at(now), []);

    // Records may still be on their way: the name is kept for a minute.
    assert_eq!(identities.processes.len(), 2);
    identities.sweep_at(now + GONE_KEPT - Duration::from_nanos(1));
    assert_eq!(identities.processes.len(), 2);
    identities.sweep_at(now + GONE_KEPT);
    assert_eq!(identities.processes.len(), 0);

    // One more comes back before anybody asked: nothing departs.
    let three = orders();
    identities.resolve(&three.task());
    let task = three.task();
    drop(three);
    let four = orders();
    identities.resolve(&four.task());
    assert_eq!(identities.sweep_at(now), []);
    assert_eq!(&*identities.resolve(&task).name, "orders");
}

#[test]
fn a_process_that_was_gone_at_once_departs_too() {
    let mut identities = identities(4);
    identities.learn(
        &record(absent(1)),
        Remains {
            args: b"curl\0",
            environ: b"",
        },
    );
    let names: Vec<Arc<str>> = identities.sweep().into_iter().map(|d| d.name).collect();
    assert_eq!(names, ["curl".into()]);
    assert_eq!(identities.sweep(), []);
}

#[test]
fn an_evicted_process_departs() {
    let mut identities = identities(1);
    let running = Running::cat(&[("OTEL_SERVICE_NAME", "orders")]);
    identities.resolve(&running.task());
    identities.resolve(&absent(1));
    let mut names: Vec<Arc<str>> = identities.sweep().into_iter().map(|d| d.name).collect();
    names.sort();
    assert_eq!(names, ["comm".into(), "orders".into()]);
}

#[test]
fn a_sweep_looks_at_a_bounded_number() {
    let mut identities = identities(1000);
    let now = Instant::now();
    for number in 0..300 {
        identities.resolve(&absent(number));
    }
    for entry in identities.processes.values_mut() {
        entry.gone = Some(now);
    }
    let mut left = Vec::new();
    for _ in 0..4 {
        identities.sweep_at(now + GONE_KEPT);
        left.push(identities.processes.len());
    }
    assert_eq!(left, [236, 172, 108, 44]);
}

impl Identities {
    /// The value of one series as it is scraped.
    fn metrics_text(&self, series: &str) -> String {
        let mut registry = Registry::default();
        self.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text.lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))
            .unwrap_or_else(|| panic!("{series} is not in\n{text}"))
            .to_owned()
    }
}
