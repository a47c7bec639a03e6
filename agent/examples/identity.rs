//! What the identity of processes costs: prints nanoseconds of CPU time per cached `resolve`, per lookup in
//! `/proc`, and per process swept, over all processes of this host. With `--names`, prints instead
//! what hark calls each of them.
//!
//! `cargo run --release --example identity`

use std::hint::black_box;
use std::path::PathBuf;
use std::time::Duration;

use hark::identity::Identities;
use hark_common::socket::{ProcessKey, Task};
use rustix::time::{ClockId, clock_gettime};

/// Calls of `resolve` that are timed.
const CALLS: usize = 10_000_000;
/// Rounds of lookups and sweeps that are timed.
const ROUNDS: usize = 20;

fn main() -> anyhow::Result<()> {
    let tasks = tasks()?;
    let mut identities = Identities::new(PathBuf::from("/proc"), 8_192);
    if std::env::args().any(|arg| arg == "--names") {
        for task in &tasks {
            let service = identities.resolve(task);
            println!(
                "{:>8} {:<12} {}",
                service.pid,
                format!("{:?}", service.source),
                service.name
            );
        }
        return Ok(());
    }

    let started = cpu_time()?;
    for _ in 0..ROUNDS {
        let mut fresh = Identities::new(PathBuf::from("/proc"), 8_192);
        for task in &tasks {
            black_box(fresh.resolve(task));
        }
    }
    report("lookup in /proc", started, ROUNDS * tasks.len())?;

    for task in &tasks {
        identities.resolve(task);
    }
    let started = cpu_time()?;
    for task in tasks.iter().cycle().take(CALLS) {
        black_box(identities.resolve(black_box(task)));
    }
    report("cached resolve", started, CALLS)?;

    // One call sweeps all, if they are fewer than its batch.
    let started = cpu_time()?;
    for _ in 0..ROUNDS {
        black_box(identities.sweep());
    }
    report("sweep", started, ROUNDS * tasks.len().min(64))?;
    Ok(())
}

fn report(what: &str, started: Duration, calls: usize) -> anyhow::Result<()> {
    let spent = cpu_time()?.saturating_sub(started);
    let each = spent.as_nanos() / calls.max(1) as u128;
    println!("{what}: {each} ns each, {calls} calls");
    Ok(())
}

/// What this thread has used of a CPU: other load on the machine does not count.
fn cpu_time() -> anyhow::Result<Duration> {
    Ok(Duration::try_from(clock_gettime(ClockId::ThreadCPUTime))?)
}

/// A task of every process, as the kernel side would give it.
fn tasks() -> anyhow::Result<Vec<Task>> {
    let tick = 1_000_000_000 / procfs::ticks_per_second();
    let mut tasks = Vec::new();
    for process in procfs::process::all_processes()? {
        // One may end while the list is read.
        let Ok(stat) = process.and_then(|process| process.stat()) else {
            continue;
        };
        let pid = u32::try_from(stat.pid)?;
        tasks.push(Task {
            process: ProcessKey {
                start_boottime_ns: stat.starttime * tick,
                pid,
                exec_id: 1,
            },
            tid: pid,
            ..Task::default()
        });
    }
    Ok(tasks)
}
