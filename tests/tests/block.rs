//! Disks: what the agent says of requests equals what was asked for and what the kernel has in its
//! books. Each test has a loop device of its own, which nobody else uses.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use hark_tests::agent::{self, Agent};
use hark_tests::disk::{Io, Loop, outcome, output};
use hark_tests::metrics::Page;
use hark_tests::{bpf, need, tools, wait};

const MIB: u64 = 1 << 20;

const READ: Io = Io {
    writes: false,
    block: 4096,
    stride: 1,
    offset: 0,
    count: 1,
    threads: 1,
};

type ByOperation = BTreeMap<String, u64>;

fn by(of: &[(&str, u64)]) -> ByOperation {
    of.iter().map(|(o, n)| ((*o).to_owned(), *n)).collect()
}

/// What of `now` was not there `earlier`.
fn since(now: &ByOperation, earlier: &ByOperation) -> ByOperation {
    now.iter()
        .map(|(operation, value)| {
            let before = earlier.get(operation).copied().unwrap_or(0);
            (operation.clone(), value - before)
        })
        .filter(|(_, value)| *value > 0)
        .collect()
}

fn of_device(page: &Page, name: &str, device: &str) -> ByOperation {
    page.by(name, "operation", &[("device", device)])
}

/// Operations and bytes. One that only writes may read too: pages of its program that were evicted.
fn of_service(page: &Page, service: &str, operation: &str) -> [ByOperation; 2] {
    ["operations", "bytes"].map(|what| {
        let name = format!("hark_service_disk_{what}_total");
        let of_it = [("service_name", service), ("operation", operation)];
        page.by(&name, "operation", &of_it)
    })
}

/// What the agent says that it missed, by reason: some of what was in flight when it came.
fn lost(agent: &Agent) -> ByOperation {
    let lost = agent
        .page()
        .by("hark_disk_events_lost_total", "reason", &[]);
    since(&lost, &ByOperation::new())
}

/// Waits until a service has asked for so many blocks, but for those of which the kernel told no end, and
/// gives how many these are: on a loaded host Linux 6.18 does that to a few in a thousand. The agent counts
/// them, when another request has their place (of any disk: there may be more); until then, in flight.
#[track_caller]
fn untold(agent: &Agent, disk: &Loop, (service, operation): (&str, &str), io: &Io) -> u64 {
    let blocks = [io.count, io.count * io.block];
    let want = blocks.map(|value| by(&[(operation, value)]));
    let seen = wait::settle(wait::SETTLE, &want, || {
        of_service(&agent.page(), service, operation)
    });
    let page = agent.page();
    let noticed = page.total("hark_disk_events_lost_total", &[("reason", "end_unseen")]);
    let in_flight = page.total("hark_disk_in_flight", &[("device", disk.name())]);
    let [operations, bytes] = seen.map(|of| of.get(operation).copied().unwrap_or(0));
    let missing = blocks[0].checked_sub(operations);
    assert!(
        missing.is_some_and(|missing| missing <= noticed + in_flight),
        "{service}: {operations} of {}, {noticed} counted as lost, {in_flight} in flight",
        blocks[0]
    );
    assert_eq!(bytes, operations * io.block, "{service}");
    blocks[0] - operations
}

#[test]
fn direct_reads_and_writes() {
    need!(agent::root());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let agent = Agent::start(&[]);
    let disk = need!(Loop::new(&folder.path().join("disk"), 64 * MIB));
    let device = disk.name();
    let (operations, bytes) = disk.books();

    let write = Io {
        writes: true,
        stride: 4,
        count: 300,
        threads: 3,
        ..READ
    };
    let read = Io {
        block: 16_384,
        count: 200,
        ..READ
    };
    let (mut writer, writes) = write.start("block-writer", disk.path());
    assert_eq!(outcome(&mut writer), (300, 0));
    let (mut reader, reads) = read.start("block-reader", disk.path());
    assert_eq!(outcome(&mut reader), (200, 0));

    eprintln!("missed: {:?}", lost(&agent));
    let unwritten = untold(&agent, &disk, (&writes, "write"), &write);
    let unread = untold(&agent, &disk, (&reads, "read"), &read);

    let now = disk.books();
    let want = [since(&now.0, &operations), since(&now.1, &bytes)];
    // Something may look at a new device, and that is in the books as well.
    assert!(
        want[0]["read"] >= 200 && want[0]["write"] == 300,
        "{want:?}"
    );
    let page = agent.page();
    let shown = |name: &str, before: &ByOperation| since(&of_device(&page, name, device), before);
    assert_eq!(shown("hark_disk_operations_total", &operations), want[0]);
    assert_eq!(shown("hark_disk_bytes_total", &bytes), want[1]);
    // The kernel's own flushes go past the queue, one for many who asked.
    let data = [("read", unread), ("write", unwritten)];
    let data = data.map(|(operation, untold)| (operation, want[0][operation] - untold));
    for family in [
        "hark_disk_device_seconds_count",
        "hark_disk_queue_wait_seconds_count",
    ] {
        let mut seen = of_device(&page, family, device);
        seen.remove("flush");
        assert_eq!(seen, by(&data), "{family}");
    }
    let here = [("device", device)];
    assert_eq!(page.total("hark_disk_errors_total", &here), 0);
    assert!(page.total("hark_disk_in_flight", &here) <= unread + unwritten);

    // What a process has done stays with its service when it is gone.
    drop(writer);
    let still = untold(&agent, &disk, (&writes, "write"), &write);
    assert_eq!(still, unwritten, "by one that is gone");
}

/// What lies behind the end of the file under the device cannot be read.
#[test]
fn errors() {
    need!(agent::root());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let agent = Agent::start(&[]);
    let file = folder.path().join("disk");
    let disk = need!(Loop::new(&file, MIB));
    let before = disk.books();
    std::fs::File::options()
        .write(true)
        .open(&file)
        .and_then(|file| file.set_len(16 * 4096))
        .expect("our own file");

    let (mut reader, service) = Io { count: 26, ..READ }.start("block-errors", disk.path());
    assert_eq!(outcome(&mut reader), (16, 10));
    // Half of it is there: it is done in two parts, the second of which fails.
    let half = Io {
        block: 8192,
        offset: 15 * 4096,
        ..READ
    };
    let (mut other, half_of) = half.start("block-half", disk.path());
    assert_eq!(outcome(&mut other), (0, 1));

    eprintln!("missed: {:?}", lost(&agent));
    let here = [("device", disk.name())];
    let errors = || agent.page().by("hark_disk_errors_total", "error", &here);
    wait::expect("errors", &by(&[("io", 11)]), errors);
    let page = agent.page();
    assert_eq!(page.total("hark_disk_requeues_total", &here), 1);
    let whole = [by(&[("read", 26)]), by(&[("read", 26 * 4096)])];
    wait::expect("with errors", &whole, || {
        of_service(&agent.page(), &service, "read")
    });
    let whole = [by(&[("read", 1)]), by(&[("read", 8192)])];
    wait::expect("in two parts", &whole, || {
        of_service(&agent.page(), &half_of, "read")
    });
    let want = since(&disk.books().0, &before.0)["read"];
    let seen = of_device(&page, "hark_disk_device_seconds_count", disk.name());
    assert_eq!(seen["read"], want);
}

/// A file system of the test's own, which can be made to take no writes for a while.
struct Lower {
    mount: PathBuf,
    _disk: Loop,
}

/// While this lives it takes none.
struct Frozen<'a>(&'a Path);

impl Lower {
    fn new(folder: &Path) -> Result<Self, hark_tests::skip::Skip> {
        let mkfs = tools::find("mkfs.ext4")?;
        tools::find("fsfreeze")?;
        let disk = Loop::new(&folder.join("lower"), 64 * MIB)?;
        let mut make = Command::new(mkfs);
        make.arg("-q").arg(disk.path());
        output(make);
        let mount = folder.join("mount");
        std::fs::create_dir(&mount).expect("our own folder");
        let mut command = Command::new("mount");
        command.arg(disk.path()).arg(&mount);
        output(command);
        Ok(Self { mount, _disk: disk })
    }

    fn freeze(&self) -> Frozen<'_> {
        let mut command = Command::new("fsfreeze");
        command.arg("--freeze").arg(&self.mount);
        output(command);
        Frozen(&self.mount)
    }
}

impl Drop for Lower {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.mount).status();
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        let thaw = Command::new("fsfreeze")
            .arg("--unfreeze")
            .arg(self.0)
            .status();
        // A panic within a panic would end the process before the rest is put away.
        assert!(thaw.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

/// Threads of a process that wait for a disk (`D`, proc_pid_stat(5)).
fn waiting(pid: u32) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("a process that lives");
    let stats = tasks
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok());
    stats.filter(|stat| stat.contains(") D ")).count() as u64
}

/// Holds back the device of `upper` while more requests are in flight than it takes.
#[test]
fn waiting_in_the_queue_is_not_the_time_of_the_device() {
    const DEPTH: u64 = 160;
    /// A bound of the histograms that is shorter than the device is held back.
    const BOUND: &str = "1.048576";
    const HELD: Duration = Duration::from_millis(1500);

    need!(agent::root());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let agent = Agent::start(&[]);
    let lower = need!(Lower::new(folder.path()));
    let upper = need!(Loop::new(&lower.mount.join("upper"), 32 * MIB));
    // What the driver takes at once; a scheduler holds twice as many.
    let taken: u64 = upper.queue("nr_requests").parse().expect("a number");
    upper.set_queue("scheduler", "mq-deadline");
    assert!(taken < DEPTH, "the device takes {taken} at once");

    let io = Io {
        writes: true,
        // Apart from each other, so that none are merged.
        stride: 16,
        count: DEPTH,
        threads: DEPTH,
        ..READ
    };
    // Named before the freeze, and so put away after it: what waits for a disk cannot be killed.
    let (mut writer, service);
    let frozen = lower.freeze();
    (writer, service) = io.start("block-depth", upper.path());
    wait::expect("waiting for the disk", &DEPTH, || waiting(writer.id()));
    std::thread::sleep(HELD);
    drop(frozen);
    assert_eq!(outcome(&mut writer), (DEPTH, 0));

    let untold = untold(&agent, &upper, (&service, "write"), &io);
    let page = agent.page();
    let long = |family: &str| {
        let labels = [("device", upper.name()), ("operation", "write")];
        let all = page.total(&format!("{family}_count"), &labels);
        let short = [&labels[..], &[("le", BOUND)]].concat();
        assert_eq!(all, DEPTH - untold, "{family}");
        all - page.total(&format!("{family}_bucket"), &short)
    };
    for (family, want) in [
        ("hark_disk_queue_wait_seconds", DEPTH - taken),
        ("hark_disk_device_seconds", taken),
    ] {
        let seen = long(family);
        assert!(
            (want - untold..=want).contains(&seen),
            "{family}: {seen} of {want}"
        );
    }
}

#[test]
fn switched_off() {
    need!(agent::root());
    let names = |agent: &Agent| -> Vec<String> {
        let own = bpf::programs_of(agent.process().id());
        aya::programs::loaded_programs()
            .filter_map(Result::ok)
            .filter(|program| own.contains(&program.id()))
            .filter_map(|program| program.name_as_str().map(str::to_owned))
            .filter(|name| name.starts_with("block_"))
            .collect()
    };
    let disk_families = |agent: &Agent| {
        let page = agent.page();
        let samples = page.0.iter();
        samples.filter(|s| s.name.contains("_disk_")).count()
    };
    let on = Agent::start(&[]);
    assert_eq!(names(&on).len(), 6);
    assert_ne!(disk_families(&on), 0);
    drop(on);
    let off = Agent::start(&[("HARK_RESOURCES_DISK", "false")]);
    assert_eq!(names(&off), Vec::<String>::new());
    assert_eq!(disk_families(&off), 0);
}
