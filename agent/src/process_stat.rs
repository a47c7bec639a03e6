//! `/proc/PID/stat` (proc_pid_stat(5)): what is used of it, and its clock.
//!
//! Read here and not by the crate `procfs`, whose reader panics on a line that ends early and makes
//! a structure of 52 fields and a `String` of each: this is done for every process of the host at
//! every scrape.

/// Longest line there can be: 52 numbers of at most 20 digits, and the name.
pub const MAX_LENGTH: usize = 2048;

/// `PF_KTHREAD` of `include/linux/sched.h`.
const PF_KTHREAD: u64 = 0x0020_0000;

/// Nanoseconds of a clock tick: `USER_HZ` is 100 on every machine that Linux runs on but Alpha.
pub const NANOS_PER_TICK: u64 = 10_000_000;

/// Nanoseconds since boot in whole clock ticks, rounded down as the file rounds them
/// (`nsec_to_clock_t`).
#[must_use]
pub const fn ticks(nanos: u64) -> u64 {
    nanos / NANOS_PER_TICK
}

/// Clock ticks in nanoseconds.
#[must_use]
pub const fn nanos(ticks: u64) -> u64 {
    ticks.saturating_mul(NANOS_PER_TICK)
}

/// One line of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessStat {
    /// Field 3: `R`, `S`, `Z` and others.
    pub state: u8,
    /// Field 4: the parent's pid in the pid namespace of the mount; 0 for none.
    pub parent: u32,
    /// Field 9: `PF_*` of the kernel.
    flags: u64,
    /// Field 12: major faults, of all threads.
    pub major_faults: u64,
    /// Fields 14 and 15: user and system time of all threads, in clock ticks.
    pub cpu_ticks: u64,
    /// Field 20: threads.
    pub threads: u64,
    /// Field 22: when it was started, in clock ticks since boot.
    pub start_ticks: u64,
    /// Field 24: resident pages.
    pub resident_pages: u64,
    /// Field 28: the bottom of the stack, which exec draws anew; 0 for who may not know.
    pub stack: u64,
}

impl ProcessStat {
    /// Reads a line; `None` if it is not one.
    #[must_use]
    pub fn parse(line: &[u8]) -> Option<Self> {
        // The second field is the name in parentheses, and may hold any byte; nothing after it does.
        let end = line.iter().rposition(|byte| *byte == b')')?;
        let text = std::str::from_utf8(line.get(end + 1..)?).ok()?;
        let mut fields = text.split_ascii_whitespace();
        // What is between those that are used may be negative, and is passed over.
        let mut after = |skipped: usize| fields.nth(skipped);
        let number = |field: Option<&str>| field?.parse::<u64>().ok();
        Some(Self {
            state: *after(0)?.as_bytes().first()?,
            parent: after(0)?.parse().ok()?,
            flags: number(after(4))?,
            major_faults: number(after(2))?,
            cpu_ticks: number(after(1))?.saturating_add(number(after(0))?),
            threads: number(after(4))?,
            start_ticks: number(after(1))?,
            resident_pages: number(after(1))?,
            stack: number(after(3))?,
        })
    }

    /// It is the kernel's own.
    #[must_use]
    pub const fn is_kernel_thread(&self) -> bool {
        self.flags & PF_KTHREAD != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAIL: &str = "S 17 4211 4211 0 -1 4194560 500 0 7 0 30 12 0 0 20 0 3 0 812345 1000000 250 \
                        18446744073709551615 1 2 140722 0 0 0 0 4096 0 0 0 0 17 1 0 0 0 0 0";

    #[test]
    fn a_line_is_read_whatever_the_name() {
        let expected = ProcessStat {
            state: b'S',
            parent: 17,
            flags: 4_194_560,
            major_faults: 7,
            cpu_ticks: 42,
            threads: 3,
            start_ticks: 812_345,
            resident_pages: 250,
            stack: 140_722,
        };
        for name in ["cat", "a b", ") S 9", "((", "\u{fffd}"] {
            let line = format!("4211 ({name}) {TAIL}");
            assert_eq!(
                ProcessStat::parse(line.as_bytes()),
                Some(expected),
                "{name}"
            );
        }
        let mut bytes = b"4211 (\xff) ".to_vec();
        bytes.extend(TAIL.as_bytes());
        assert_eq!(ProcessStat::parse(&bytes), Some(expected));
        assert!(!expected.is_kernel_thread());
    }

    #[test]
    fn a_broken_line_is_refused() {
        let whole = format!("4211 (x) {TAIL}");
        // Field 28 is the last that is used.
        let used = 28;
        let cut = whole
            .split(' ')
            .take(used - 1)
            .collect::<Vec<_>>()
            .join(" ");
        let replaced = |number: usize, by: &str| {
            let mut fields: Vec<&str> = whole.split(' ').collect();
            fields[number - 1] = by;
            fields.join(" ")
        };
        for line in [
            "",
            "1",
            "4211 (x",
            "4211 (x)",
            ") (",
            "4211 (x) S 1",
            &cut,
            &replaced(4, "-1"),
            &replaced(22, "99999999999999999999"),
            &replaced(24, "many"),
        ] {
            assert_eq!(ProcessStat::parse(line.as_bytes()), None, "{line:?}");
        }
        assert_eq!(ProcessStat::parse(b"1234 (\xff) S \xff"), None);
    }

    #[test]
    fn this_process_and_a_thread_of_the_kernel() {
        let of = |pid: &str| {
            let line = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
            assert!(line.len() < MAX_LENGTH);
            ProcessStat::parse(&line)
        };
        let own = of("self").unwrap();
        assert_eq!(own.parent, std::os::unix::process::parent_id());
        assert!(own.start_ticks > 0 && own.resident_pages > 0 && !own.is_kernel_thread());
        // In a pid namespace of our own it is somebody else.
        let second = std::fs::read_to_string("/proc/2/comm").unwrap_or_default();
        if second.trim() == "kthreadd" {
            assert!(of("2").unwrap().is_kernel_thread());
        }
    }
}
