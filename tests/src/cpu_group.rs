//! A cgroup that counts CPU time, of cgroup v1 or v2.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::names;
use crate::skip::Skip;

/// A cgroup of the test's own; removed on drop, which must come after the end of its processes.
#[derive(Debug)]
pub struct CpuGroup {
    folder: PathBuf,
}

impl CpuGroup {
    /// Makes one.
    ///
    /// # Errors
    /// This host has no cgroups that count CPU time, or they cannot be made.
    pub fn new(what: &str) -> Result<Self, Skip> {
        let roots = [
            "/sys/fs/cgroup/cpuacct",
            "/sys/fs/cgroup/cpu,cpuacct",
            "/sys/fs/cgroup",
        ];
        let root = roots
            .map(Path::new)
            .into_iter()
            .find(|root| {
                root.join("cpuacct.usage").is_file() || root.join("cgroup.controllers").is_file()
            })
            .ok_or_else(|| Skip("no cgroups that count CPU time are mounted".into()))?;
        let folder = root.join(names::unique(what));
        fs::create_dir(&folder).map_err(|error| {
            Skip(format!(
                "cannot make the cgroup {}: {error}",
                folder.display()
            ))
        })?;
        Ok(Self { folder })
    }

    /// `program`, to be run inside.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        // Before it becomes the program, so that all that it does is counted.
        let mut command = Command::new("sh");
        command
            .args(["-c", "echo $$ > \"$0/cgroup.procs\" && exec \"$@\""])
            .arg(&self.folder)
            .arg(program);
        command
    }

    /// CPU time of its processes, those that ended too, by the kernel's count.
    ///
    /// # Panics
    /// If the kernel does not say.
    #[must_use]
    pub fn usage(&self) -> Duration {
        if let Ok(nanos) = fs::read_to_string(self.folder.join("cpuacct.usage")) {
            return Duration::from_nanos(nanos.trim().parse().expect("a number of ns"));
        }
        let stat = fs::read_to_string(self.folder.join("cpu.stat")).expect("cgroup v2 has it");
        let micros = stat
            .lines()
            .find_map(|line| line.strip_prefix("usage_usec "))
            .expect("it has the usage");
        Duration::from_micros(micros.parse().expect("a number of µs"))
    }
}

impl Drop for CpuGroup {
    fn drop(&mut self) {
        // A process that was killed leaves its cgroup a little later.
        let deadline = Instant::now() + Duration::from_secs(5);
        while fs::remove_dir(&self.folder).is_err() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
