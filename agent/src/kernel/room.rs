//! How large the kernel's tables are made.
//!
//! They are allocated whole when they are made, and are on the account of the agent's own cgroup: with
//! little memory there, full ones would have the agent killed at its start.

use hark_common::{block, memory, sched, socket, tcp, tls};

/// With so much memory, or without a limit, the tables are as large as they are written.
const ENOUGH: u64 = 256 << 20;
/// They are made at most 2 to this power smaller.
const SMALLEST: u32 = 4;

/// The tables that are allocated whole: the object, the map, and how many entries it has at most.
/// All together they take 43 MiB.
const TABLES: &[(&str, &str, u32)] = &[
    ("socket", "PROCESSES", socket::MAX_PROCESSES),
    ("socket", "SESSIONS", tls::MAX_SESSIONS),
    ("socket", "GO_CALLS", tls::MAX_GOROUTINES),
    ("tcp", "CONNECTIONS", tcp::MAX_CONNECTIONS),
    ("tcp", "LISTENERS", tcp::MAX_LISTENERS),
    ("tcp", "PROCESSES", tcp::MAX_PROCESSES),
    ("sched", "TALLIES", sched::MAX_PROCESSES),
    ("block", "REQUESTS", block::MAX_REQUESTS),
    ("block", "PROCESSES", block::MAX_PROCESSES),
    ("memory", "PROCESSES", memory::MAX_PROCESSES),
];

/// The share of their full size that the kernel's tables are made with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// A half to the power of this.
    halved: u32,
}

impl Room {
    /// For an agent that may have so much memory, in bytes; `None` if there is no limit.
    #[must_use]
    pub fn within(memory: Option<u64>) -> Self {
        let memory = memory.unwrap_or(ENOUGH);
        let halved = (0..SMALLEST).find(|halved| memory >= ENOUGH >> halved);
        Self {
            halved: halved.unwrap_or(SMALLEST),
        }
    }

    /// Whether the tables are smaller than they could be.
    #[must_use]
    pub const fn is_short(self) -> bool {
        self.halved > 0
    }

    /// Of how many TCP connections the tables have room.
    #[must_use]
    pub const fn connections(self) -> u32 {
        tcp::MAX_CONNECTIONS >> self.halved
    }

    /// How many entries each table of an object has, where it is not as many as are written there.
    pub(super) fn maps(self, object: &str) -> impl Iterator<Item = (&'static str, u32)> {
        TABLES
            .iter()
            .filter(move |(of, ..)| self.is_short() && *of == object)
            .map(move |(_, map, entries)| (*map, entries >> self.halved))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_memory_makes_smaller_tables() {
        let connections = |memory| Room::within(memory).connections();
        assert_eq!(connections(None), 65_536);
        assert_eq!(connections(Some(1 << 40)), 65_536);
        assert_eq!(connections(Some(256 << 20)), 65_536);
        assert_eq!(connections(Some((256 << 20) - 1)), 32_768);
        assert_eq!(connections(Some(128 << 20)), 32_768);
        assert_eq!(connections(Some(64 << 20)), 16_384);
        assert_eq!(connections(Some(1)), 4_096);
        assert_eq!(connections(Some(0)), 4_096);
    }

    #[test]
    fn each_object_has_its_own_tables() {
        let room = Room::within(Some(64 << 20));
        let tcp: Vec<_> = room.maps("tcp").collect();
        assert_eq!(
            tcp,
            [
                ("CONNECTIONS", 16_384),
                ("LISTENERS", 4_096),
                ("PROCESSES", 1_024)
            ]
        );
        assert_eq!(room.maps("drop").count(), 0);
        assert_eq!(Room::default().maps("tcp").count(), 0);
    }
}
