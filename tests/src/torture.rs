//! Load and faults, case by case: what is done to the host, the services or the agent, and the books
//! that must balance after it.
//!
//! `cargo xtask torture` runs all cases in full and prints a table; `tests/torture.rs` runs each in
//! short. After each case the watched services have had no error, what was sent is what the agent saw
//! plus what it counts as lost, to the last exchange, and the agent has its memory back.

mod books;
mod churn;
mod faults;
mod outputs;
mod scrapes;
mod speed;

use std::time::Duration;

use crate::skip::Skip;

/// How much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Seconds, for the test suite.
    Short,
    /// Minutes.
    Full,
}

impl Scale {
    /// One of two numbers.
    #[must_use]
    pub const fn of(self, short: usize, full: usize) -> usize {
        match self {
            Self::Short => short,
            Self::Full => full,
        }
    }

    /// One of two times, s.
    #[must_use]
    pub const fn seconds(self, short: u64, full: u64) -> Duration {
        Duration::from_secs(match self {
            Self::Short => short,
            Self::Full => full,
        })
    }
}

/// What came of a case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Exchanges that clients sent and servers served, by their own counts: each end counts.
    pub sent: u64,
    /// Those that the agent reports.
    pub seen: u64,
    /// Those that it says it lost.
    pub lost: u64,
    /// Resident memory of the agent before, bytes.
    pub before: u64,
    /// The same after.
    pub after: u64,
}

/// One thing that is done.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Its name on the command line.
    pub name: &'static str,
    /// What is done, in a line.
    pub what: &'static str,
    /// Does it. Panics if something does not hold.
    pub run: fn(Scale) -> Result<Outcome, Skip>,
}

const fn case(
    name: &'static str,
    what: &'static str,
    run: fn(Scale) -> Result<Outcome, Skip>,
) -> Case {
    Case { name, what, run }
}

/// All of them.
pub const CASES: &[Case] = &[
    case(
        "full-speed",
        "pipelined, kept-alive and fresh connections, bodies, gRPC, all at once",
        speed::mixed,
    ),
    case(
        "little-memory",
        "the same, with 64 MiB for the agent's own cgroup",
        speed::little_memory,
    ),
    case(
        "tiny-ring",
        "a ring buffer of 64 KiB: much is lost, and what follows is whole",
        speed::tiny_ring,
    ),
    case(
        "tables-full",
        "more connections under way than the agent may follow",
        speed::tables_full,
    ),
    case(
        "connections",
        "a connection per request, until ports are used again",
        churn::connections,
    ),
    case(
        "processes",
        "processes that ask once and are gone",
        churn::processes,
    ),
    case("idle", "10,000 connections that stay open", churn::idle),
    case(
        "stopped",
        "the agent is stopped for 10 s under load, and continued",
        faults::stopped,
    ),
    case(
        "killed",
        "kill -9 and a new agent, again and again under load",
        faults::killed,
    ),
    case(
        "collector",
        "the collector goes, and comes back at its address",
        outputs::collector,
    ),
    case(
        "disk-full",
        "no room for the request log, then room again",
        outputs::disk_full,
    ),
    case(
        "scrapes",
        "/metrics by 50 at once, by one that reads a byte at a time, by rubbish",
        scrapes::all,
    ),
];
