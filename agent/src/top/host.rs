//! The host's own line: how busy, how saturated, how broken its resources are.

use std::collections::BTreeMap;
use std::time::Duration;

use super::exposition::Sample;
use super::quantile::{Quantile, quantile};

/// What one reading says of the host. What the agent does not say, because a group is switched off
/// or failed, is `None` or empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Reading {
    /// CPU time by whether the CPU had something to do, over all CPUs, s.
    cpu: Option<Cpu>,
    /// Cumulative buckets of the wait for a CPU, by the bits of their bounds, which are in the order
    /// of the numbers.
    run_queue: BTreeMap<u64, f64>,
    memory_used: Option<f64>,
    memory_size: Option<f64>,
    /// Busy seconds by disk.
    disks: BTreeMap<String, f64>,
    retransmits: Option<f64>,
    overflows: Option<f64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Cpu {
    busy: f64,
    idle: f64,
}

impl Reading {
    /// Takes a sample, if it is of interest.
    pub(super) fn take(&mut self, sample: &Sample<'_>) {
        let value = sample.value;
        if !value.is_finite() || value < 0.0 {
            return;
        }
        let add = |sum: &mut Option<f64>| *sum.get_or_insert_default() += value;
        match sample.name {
            "hark_cpu_seconds_total" => {
                let cpu = self.cpu.get_or_insert_default();
                match sample.label("mode") {
                    Some("idle" | "iowait") => cpu.idle += value,
                    // Time of guests is in user time already (proc_stat(5)).
                    Some("guest" | "guest_nice") => {}
                    _ => cpu.busy += value,
                }
            }
            "hark_cpu_run_queue_wait_seconds_bucket" => {
                let bound = match sample.label("le") {
                    Some("+Inf") => Some(f64::INFINITY),
                    text => text.and_then(|text| text.parse().ok()),
                };
                if let Some(bound) = bound.filter(|bound: &f64| *bound >= 0.0) {
                    *self.run_queue.entry(bound.to_bits()).or_default() += value;
                }
            }
            "hark_memory_used_bytes" => add(&mut self.memory_used),
            "hark_memory_size_bytes" => add(&mut self.memory_size),
            "hark_disk_busy_seconds_total" => {
                let disk = sample.label("device").unwrap_or_default().to_owned();
                *self.disks.entry(disk).or_default() += value;
            }
            "hark_tcp_retransmits_total" => add(&mut self.retransmits),
            "hark_network_tcp_listen_overflows_total" => add(&mut self.overflows),
            _ => {}
        }
    }
}

/// The host between two readings.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Host {
    /// Share of the time of all CPUs that they had something to do, 0 to 1.
    pub(super) cpu: Option<f64>,
    /// 99 of 100 threads that could run had a CPU after so long.
    pub(super) run_queue: Option<Quantile>,
    /// Bytes in use, and bytes that there are.
    pub(super) memory: Option<(f64, f64)>,
    /// The disk that was busy for the greatest share of the time, and that share, 0 to 1.
    pub(super) disk: Option<(String, f64)>,
    /// Segments sent again.
    pub(super) retransmits: Option<f64>,
    /// Connections turned away because an accept queue was full.
    pub(super) overflows: Option<f64>,
}

/// Compares two readings that are `window` apart; without it there are gauges only.
pub(super) fn compare(first: &Reading, last: &Reading, window: Option<Duration>) -> Host {
    let memory = last.memory_used.zip(last.memory_size);
    let Some(window) = window else {
        return Host {
            memory,
            ..Host::default()
        };
    };
    // A counter that fell was begun anew by another agent.
    let rise = |now: f64, before: f64| if now < before { now } else { now - before };
    let rise_of = |now: Option<f64>, before: Option<f64>| {
        now.map(|now| rise(now, before.unwrap_or_default()))
    };
    let cpu = last.cpu.and_then(|now| {
        let before = first.cpu.unwrap_or_default();
        let (busy, idle) = (rise(now.busy, before.busy), rise(now.idle, before.idle));
        (busy + idle > 0.0).then(|| busy / (busy + idle))
    });
    let is_same = first.run_queue.iter().all(|(bound, before)| {
        let now = last.run_queue.get(bound);
        now.is_some_and(|now| now >= before)
    });
    let waits: Vec<(f64, f64)> = last
        .run_queue
        .iter()
        .map(|(bound, now)| {
            let before = first.run_queue.get(bound).filter(|_| is_same);
            (f64::from_bits(*bound), now - before.unwrap_or(&0.0))
        })
        .collect();
    let shares = last.disks.iter().map(|(disk, now)| {
        let before = first.disks.get(disk).copied().unwrap_or_default();
        let share = rise(*now, before) / window.as_secs_f64();
        // The kernel counts in jiffies, and may be one late.
        (disk.clone(), share.min(1.0))
    });
    Host {
        cpu,
        run_queue: (!waits.is_empty()).then(|| quantile(0.99, &waits)),
        memory,
        disk: shares.max_by(|a, b| a.1.total_cmp(&b.1)),
        retransmits: rise_of(last.retransmits, first.retransmits),
        overflows: rise_of(last.overflows, first.overflows),
    }
}

#[cfg(test)]
mod tests {
    use super::super::exposition::samples;
    use super::*;

    fn reading(page: &str) -> Reading {
        let mut reading = Reading::default();
        for sample in samples(page) {
            reading.take(&sample.unwrap());
        }
        reading
    }

    const FIRST: &str = "\
hark_cpu_seconds_total{cpu=\"0\",mode=\"user\"} 10\n\
hark_cpu_seconds_total{cpu=\"0\",mode=\"guest\"} 10\n\
hark_cpu_seconds_total{cpu=\"0\",mode=\"idle\"} 90\n\
hark_cpu_run_queue_wait_seconds_bucket{le=\"1e-06\"} 100\n\
hark_cpu_run_queue_wait_seconds_bucket{le=\"0.001\"} 100\n\
hark_cpu_run_queue_wait_seconds_bucket{le=\"+Inf\"} 100\n\
hark_memory_used_bytes 1000\n\
hark_memory_size_bytes 4000\n\
hark_disk_busy_seconds_total{device=\"vda\"} 5\n\
hark_disk_busy_seconds_total{device=\"vdb\"} 50\n\
hark_tcp_retransmits_total{role=\"client\"} 1\n\
hark_tcp_retransmits_total{role=\"server\"} 2\n\
hark_network_tcp_listen_overflows_total 7\n";

    const LAST: &str = "\
hark_cpu_seconds_total{cpu=\"0\",mode=\"user\"} 12\n\
hark_cpu_seconds_total{cpu=\"0\",mode=\"system\"} 1\n\
hark_cpu_seconds_total{cpu=\"0\",mode=\"guest\"} 12\n\
hark_cpu_seconds_total{cpu=\"0\",mode=\"idle\"} 95\n\
hark_cpu_seconds_total{cpu=\"0\",mode=\"iowait\"} 2\n\
hark_cpu_run_queue_wait_seconds_bucket{le=\"1e-06\"} 100\n\
hark_cpu_run_queue_wait_seconds_bucket{le=\"0.001\"} 200\n\
hark_cpu_run_queue_wait_seconds_bucket{le=\"+Inf\"} 200\n\
hark_memory_used_bytes 1500\n\
hark_memory_size_bytes 4000\n\
hark_disk_busy_seconds_total{device=\"vda\"} 9\n\
hark_disk_busy_seconds_total{device=\"vdb\"} 51\n\
hark_tcp_retransmits_total{role=\"client\"} 1\n\
hark_tcp_retransmits_total{role=\"server\"} 6\n\
hark_network_tcp_listen_overflows_total 7\n";

    #[test]
    fn two_readings() {
        let window = Some(Duration::from_secs(8));
        let host = compare(&reading(FIRST), &reading(LAST), window);
        let p99 = 1e-6 + (0.001 - 1e-6) * 0.99;
        assert_eq!(
            host,
            Host {
                // 2 user and 1 system of 10.
                cpu: Some(0.3),
                run_queue: Some(Quantile::About(p99)),
                memory: Some((1500.0, 4000.0)),
                disk: Some(("vda".into(), 0.5)),
                retransmits: Some(4.0),
                overflows: Some(0.0),
            }
        );
    }

    #[test]
    fn a_restarted_agent_counts_from_zero() {
        let window = Some(Duration::from_secs(8));
        let host = compare(&reading(LAST), &reading(FIRST), window);
        assert_eq!(host.retransmits, Some(3.0));
        assert_eq!(host.run_queue, Some(Quantile::Below(1e-6)));
    }

    #[test]
    fn what_is_not_said_is_not_shown() {
        let window = Some(Duration::from_secs(8));
        let nothing = Reading::default();
        assert_eq!(compare(&nothing, &nothing, window), Host::default());
        let one = compare(&reading(FIRST), &reading(FIRST), None);
        let memory = Some((1000.0, 4000.0));
        let gauges = Host {
            memory,
            ..Host::default()
        };
        assert_eq!(one, gauges);
    }
}
