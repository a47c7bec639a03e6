//! CPUs: utilization, saturation, errors.

mod faults;
mod modes;
mod run_queue;
mod service_seconds;

use std::fs;
use std::path::Path;

use rustix::time::{ClockId, clock_gettime};

use super::Host;
use super::group::{Collect, CollectError};
use super::hooks_of;
use super::pressure::{self, Pressure, Resource};
use super::throttling::{self, Throttling};
use crate::kernel::Hook;
use crate::kernel::object::Types;
use crate::kernel::sched;
use crate::telemetry::page::{Family, Kind, Page};
use crate::telemetry::seconds::Seconds;

use modes::Modes;
use run_queue::RunQueue;
use service_seconds::ServiceSeconds;

/// Where sysfs has the CPUs.
const CPUS: &str = "/sys/devices/system/cpu";

const SERVICE_SECONDS: Family = Family {
    name: "hark_service_cpu_seconds",
    help: "Time that the service's threads had a CPU, in user mode and in the kernel.",
    unit: Some("seconds"),
    kind: Kind::Counter,
    source: "tp_btf sched_switch, /proc/PID/stat",
    labels: &["service_name", "service_namespace"],
};

struct Cpu {
    host: Host,
    modes: Modes,
    /// `None` if the scheduler's programs do not run.
    run_queue: Option<RunQueue>,
    seconds: ServiceSeconds,
    throttling: Throttling,
    pressure: Pressure,
}

/// Builds the group, and attaches what it needs.
#[must_use]
pub fn build(host: &Host, types: &Types) -> (Box<dyn Collect>, Vec<Hook>) {
    let loaded = sched::load(types, &host.proc_root);
    let since = nanos_since_boot();
    let hooks = hooks_of("sched", &sched::WANTED, &loaded);
    let run_queue = loaded.ok().and_then(|object| {
        RunQueue::open(object, since)
            .inspect_err(|error| tracing::warn!(%error, "the scheduler's maps cannot be read"))
            .ok()
    });
    let mut cpu = Cpu {
        host: host.clone(),
        modes: Modes::default(),
        run_queue,
        seconds: ServiceSeconds::new(since),
        throttling: Throttling::default(),
        pressure: Pressure::new(Resource::Cpu),
    };
    // What processes have by now is history.
    cpu.tend();
    (Box::new(cpu), hooks)
}

/// `CLOCK_BOOTTIME` in ns, the clock of the start times of tasks.
fn nanos_since_boot() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

/// What the group writes.
#[must_use]
pub fn families() -> Vec<&'static Family> {
    [
        &modes::FAMILIES[..],
        &run_queue::FAMILIES,
        &faults::FAMILIES,
        throttling::FAMILIES,
        &pressure::families(Resource::Cpu),
        &[&SERVICE_SECONDS],
    ]
    .concat()
}

impl Cpu {
    fn post(&mut self) -> Result<(), CollectError> {
        let posted = match &mut self.run_queue {
            Some(run_queue) => run_queue.post(&self.host, &mut self.seconds),
            None => Ok(()),
        };
        let look = self.host.census.look();
        for process in &look.processes {
            self.seconds.seen(process);
        }
        let forgotten = self.seconds.forget(&self.host);
        posted.and(forgotten)
    }

    fn modes(&mut self, page: &mut Page<'_>) -> Result<(), CollectError> {
        let path = self.host.proc_root.join("stat");
        let name = path.display().to_string();
        match fs::read_to_string(&path) {
            Ok(text) => self.modes.write(&text, &name, page),
            Err(source) => Err(CollectError::Read { path: name, source }),
        }
    }
}

impl Collect for Cpu {
    fn collect(&mut self, page: &mut Page<'_>) -> Result<(), CollectError> {
        let posted = self.post();
        let modes = self.modes(page);
        let pressure = self.pressure.write(page, &self.host);
        let throttling = self.throttling.write(page, &self.host);
        faults::write(page, &self.host.proc_root, Path::new(CPUS))?;
        page.family(&SERVICE_SECONDS)?;
        for (labels, nanos) in self.seconds.services() {
            page.sample(&SERVICE_SECONDS, labels, Seconds(nanos.into()))?;
        }
        let run_queue = match &self.run_queue {
            Some(run_queue) => run_queue.write(page),
            None => Ok(()),
        };
        posted
            .and(modes)
            .and(pressure)
            .and(throttling)
            .and(run_queue)
    }

    /// Names processes while they are there, and makes room for others.
    fn tend(&mut self) {
        if let Err(error) = self.post() {
            tracing::debug!(%error, "CPU time is not posted");
        }
        self.throttling.tend(&self.host);
    }
}
