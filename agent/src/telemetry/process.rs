//! The agent as a process, by the names that Prometheus client libraries use.

use std::fmt;

use procfs::WithCurrentSystemInfo as _;
use procfs::process::{LimitValue, Process};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// Reads `/proc/self` at each scrape. What cannot be read is left out.
#[derive(Debug, Default)]
pub(super) struct ProcessCollector {}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Ok(process) = Process::myself() else {
            return Ok(());
        };
        let mut metric = |name, help, unit: Option<Unit>, value: &dyn EncodeMetric| {
            let kind = value.metric_type();
            value.encode(encoder.encode_descriptor(name, help, unit.as_ref(), kind)?)
        };
        if let Ok(stat) = process.stat() {
            let ticks = per_second(stat.utime + stat.stime);
            metric(
                "process_cpu",
                "User and system CPU time spent by the agent.",
                Some(Unit::Seconds),
                &ConstCounter::new(ticks),
            )?;
            metric(
                "process_resident_memory",
                "Resident memory of the agent.",
                Some(Unit::Bytes),
                &ConstGauge::new(signed(stat.rss_bytes().get())),
            )?;
            metric(
                "process_virtual_memory",
                "Virtual memory of the agent.",
                Some(Unit::Bytes),
                &ConstGauge::new(signed(stat.vsize)),
            )?;
            metric(
                "process_threads",
                "Threads of the agent.",
                None,
                &ConstGauge::new(stat.num_threads),
            )?;
            if let Ok(boot) = procfs::boot_time_secs() {
                #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 fit")]
                let start = boot as f64 + per_second(stat.starttime);
                metric(
                    "process_start_time",
                    "When the agent was started, in seconds since the epoch.",
                    Some(Unit::Seconds),
                    &ConstGauge::new(start),
                )?;
            }
        }
        if let Ok(open) = process.fd_count() {
            metric(
                "process_open_fds",
                "Open file descriptors of the agent.",
                None,
                &ConstGauge::new(signed(open as u64)),
            )?;
        }
        if let Ok(limits) = process.limits()
            && let LimitValue::Value(most) = limits.max_open_files.soft_limit
        {
            metric(
                "process_max_fds",
                "Most file descriptors that the agent may open.",
                None,
                &ConstGauge::new(signed(most)),
            )?;
        }
        Ok(())
    }
}

fn per_second(ticks: u64) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "2^53 ticks are millions of years"
    )]
    let seconds = ticks as f64 / procfs::ticks_per_second() as f64;
    seconds
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
