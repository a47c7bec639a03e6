//! What the kernel itself has of the threads of a process.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::wait;

/// The kernel's sums over the threads that a process has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Threads {
    /// Time on a CPU, ns.
    pub cpu_ns: u64,
    /// Time waited for one, ns.
    pub wait_ns: u64,
    /// Times that one got onto a CPU.
    pub runs: u64,
    /// Involuntary context switches.
    pub involuntary: u64,
}

/// Adds up `/proc/PID/task/*`.
///
/// # Panics
/// If the process is gone, or its files are not understood.
#[must_use]
pub fn threads(pid: u32) -> Threads {
    let mut sum = Threads::default();
    for task in tasks(pid) {
        let read = |name: &str| fs::read_to_string(task.join(name)).expect("the thread lives");
        let schedstat = read("schedstat");
        let numbers: Vec<u64> = schedstat
            .split_whitespace()
            .map(|number| number.parse().expect("a number"))
            .collect();
        let [cpu_ns, wait_ns, runs] = numbers[..] else {
            panic!("not three numbers: {schedstat}");
        };
        let status = read("status");
        let involuntary = status
            .lines()
            .find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:"))
            .and_then(|number| number.trim().parse::<u64>().ok())
            .expect("a count");
        sum.cpu_ns += cpu_ns;
        sum.wait_ns += wait_ns;
        sum.runs += runs;
        sum.involuntary += involuntary;
    }
    sum
}

/// Waits until all threads of a process sleep, and gives the sums, which then stay as they are.
///
/// # Panics
/// If they do not sleep within half a minute.
#[must_use]
pub fn asleep(pid: u32) -> Threads {
    let mut before = None;
    wait::until(Duration::from_secs(30), "all threads to sleep", || {
        let now = threads(pid);
        let still = before.replace(now) == Some(now);
        let sleep = tasks(pid).iter().all(|task| {
            let stat = fs::read_to_string(task.join("stat")).expect("the thread lives");
            stat.rsplit_once(") ")
                .is_some_and(|(_, rest)| rest.starts_with('S'))
        });
        (still && sleep).then_some(now)
    })
}

fn tasks(pid: u32) -> Vec<PathBuf> {
    fs::read_dir(format!("/proc/{pid}/task"))
        .expect("the process lives")
        .map(|entry| entry.expect("it can be listed").path())
        .collect()
}
