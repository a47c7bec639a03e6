//! `/proc/stat`: where the time of each CPU went, context switches, threads that can run.

use std::collections::BTreeMap;
use std::io;

use crate::resources::group::CollectError;
use crate::telemetry::page::{Family, Kind, Page};
use crate::telemetry::seconds::Seconds;

const SECONDS: Family = Family {
    name: "hark_cpu_seconds",
    help: "Time of each CPU by what it was used for since the host's start: every moment is in one mode.",
    unit: Some("seconds"),
    kind: Kind::Counter,
    source: "/proc/stat",
    labels: &["cpu", "mode"],
};

const ONLINE: Family = Family {
    name: "hark_cpu_online",
    help: "CPUs that are online.",
    unit: None,
    kind: Kind::Gauge,
    source: "/proc/stat",
    labels: &[],
};

const SWITCHES: Family = Family {
    name: "hark_cpu_context_switches",
    help: "Times that a CPU went from one thread to another, since the host's start.",
    unit: None,
    kind: Kind::Counter,
    source: "/proc/stat ctxt",
    labels: &[],
};

const RUNNABLE: Family = Family {
    name: "hark_cpu_runnable_threads",
    help: "Threads that have a CPU or wait for one, at the scrape, the one that reads this included: those \
           beyond hark_cpu_online wait.",
    unit: None,
    kind: Kind::Gauge,
    source: "/proc/stat procs_running",
    labels: &[],
};

/// What this module writes.
pub(super) const FAMILIES: [&Family; 4] = [&SECONDS, &ONLINE, &SWITCHES, &RUNNABLE];

/// The modes in the order of the file (proc_stat(5)), the two of guests left out: that time is in
/// `user` and `nice` too.
const MODES: [&str; 8] = [
    "user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal",
];

/// `USER_HZ`: 100 a second on every machine that Linux runs on but Alpha.
const NANOS_PER_TICK: u64 = 10_000_000;

/// The kernel's own sums of idle time may go back a little when a CPU goes to sleep. More than
/// this is a CPU that was taken off and put on again, and begins anew.
const JITTER: u64 = 300;

/// The file, understood. Not by the crate `procfs`, which drops the numbers of the CPUs: with one
/// that is offline, they are not those in the list.
#[derive(Debug, Default, PartialEq, Eq)]
struct Stat {
    cpus: BTreeMap<u32, [u64; MODES.len()]>,
    context_switches: Option<u64>,
    running: Option<u64>,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        let mut stat = Self::default();
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            let Some(name) = words.next() else { continue };
            let mut number = || words.next()?.parse::<u64>().ok();
            match name {
                "ctxt" => stat.context_switches = Some(number()?),
                "procs_running" => stat.running = Some(number()?),
                // The sum of them all.
                "cpu" => {}
                _ => {
                    let Some(cpu) = name.strip_prefix("cpu") else {
                        continue;
                    };
                    let mut ticks = [0; MODES.len()];
                    for ticks in &mut ticks {
                        *ticks = number()?;
                    }
                    stat.cpus.insert(cpu.parse().ok()?, ticks);
                }
            }
        }
        (!stat.cpus.is_empty()).then_some(stat)
    }
}

/// The modes of the CPUs as they were told last.
#[derive(Debug, Default)]
pub(super) struct Modes {
    told: BTreeMap<u32, [u64; MODES.len()]>,
}

impl Modes {
    /// Writes what the text of `/proc/stat`, read from `path`, says.
    pub(super) fn write(
        &mut self,
        text: &str,
        path: &str,
        page: &mut Page<'_>,
    ) -> Result<(), CollectError> {
        let stat = Stat::parse(text).ok_or_else(|| CollectError::Malformed {
            path: path.into(),
            detail: "it has no line of eight numbers for each CPU".into(),
        })?;
        self.tell(stat.cpus);
        page.family(&SECONDS)?;
        for (cpu, ticks) in &self.told {
            for (mode, ticks) in MODES.iter().zip(ticks) {
                let nanos = u128::from(*ticks) * u128::from(NANOS_PER_TICK);
                let labels = format!("cpu=\"{cpu}\",mode=\"{mode}\"");
                page.sample(&SECONDS, &labels, Seconds(nanos))?;
            }
        }
        one(page, &ONLINE, Some(self.told.len() as u64))?;
        one(page, &SWITCHES, stat.context_switches)?;
        one(page, &RUNNABLE, stat.running)?;
        Ok(())
    }

    fn tell(&mut self, cpus: BTreeMap<u32, [u64; MODES.len()]>) {
        self.told.retain(|cpu, _| cpus.contains_key(cpu));
        for (cpu, now) in cpus {
            let told = self.told.entry(cpu).or_insert(now);
            for (told, now) in told.iter_mut().zip(now) {
                if now > *told || told.saturating_sub(now) > JITTER {
                    *told = now;
                }
            }
        }
    }
}

fn one(page: &mut Page<'_>, family: &Family, value: Option<u64>) -> io::Result<()> {
    let Some(value) = value else { return Ok(()) };
    page.family(family)?;
    page.sample(family, "", value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::page::Format;

    const TEXT: &str = "cpu  30 3 30 300 9 0 3 0 0 0\n\
                        cpu0 10 1 20 150 4 0 2 0 5 0\n\
                        cpu2 20 2 10 150 5 0 1 7 0 0\n\
                        intr 5 0 1\nctxt 2079755\nbtime 1700000000\nprocesses 12\n\
                        procs_running 3\nprocs_blocked 0\n";

    fn page(modes: &mut Modes, text: &str) -> Result<String, CollectError> {
        let mut out = Vec::new();
        let mut page = Page::new(Format::Text, &mut out);
        modes.write(text, "/proc/stat", &mut page)?;
        page.finish().unwrap();
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn cpus_keep_their_numbers() {
        let page = page(&mut Modes::default(), TEXT).unwrap();
        for line in [
            "hark_cpu_seconds_total{cpu=\"0\",mode=\"user\"} 0.1\n",
            "hark_cpu_seconds_total{cpu=\"2\",mode=\"steal\"} 0.07\n",
            "hark_cpu_seconds_total{cpu=\"2\",mode=\"idle\"} 1.5\n",
            "hark_cpu_online 2\n",
            "hark_cpu_context_switches_total 2079755\n",
            "hark_cpu_runnable_threads 3\n",
        ] {
            assert!(page.contains(line), "{line}{page}");
        }
        assert!(!page.contains("cpu=\"1\""), "{page}");
    }

    #[test]
    fn idle_time_does_not_go_back() {
        let mut modes = Modes::default();
        let idle = |modes: &mut Modes, ticks: u64| {
            let text = format!("cpu0 1 1 1 {ticks} 1 0 0 0 0 0\n");
            page(modes, &text).unwrap();
            modes.told[&0][3]
        };
        assert_eq!(idle(&mut modes, 1000), 1000);
        assert_eq!(idle(&mut modes, 998), 1000);
        assert_eq!(idle(&mut modes, 1001), 1001);
        // Put on again.
        assert_eq!(idle(&mut modes, 5), 5);
    }

    #[test]
    fn what_is_no_such_file_is_said() {
        for text in ["", "ctxt 5\n", "cpu0 1 2\n", "cpux 1 2 3 4 5 6 7 8\n"] {
            let result = page(&mut Modes::default(), text);
            assert!(
                matches!(result, Err(CollectError::Malformed { .. })),
                "{text:?}"
            );
        }
    }
}
