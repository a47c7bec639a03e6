//! Cgroups of a test's own, gone when it ends.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::skip::Skip;

/// A cgroup on one hierarchy. Removed on drop, with what still runs in it.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
    /// 1 or 2.
    pub version: u32,
}

impl Cgroup {
    /// A new cgroup that has this controller, beside the host's own.
    ///
    /// # Errors
    /// No hierarchy has the controller for new cgroups, or it cannot be made.
    pub fn new(controller: &str, name: &str) -> Result<Self, Skip> {
        let mounts = fs::read_to_string("/proc/self/mounts").map_err(|e| Skip(e.to_string()))?;
        let (point, version) = mounts
            .lines()
            .find_map(|line| mounted(line, controller))
            .ok_or_else(|| {
                Skip(format!(
                    "no cgroup hierarchy has the controller {controller}"
                ))
            })?;
        Self::make(&point.join(name), version)
    }

    /// A new cgroup on the unified hierarchy, whatever controllers that has.
    ///
    /// # Errors
    /// There is none, or it cannot be made.
    pub fn unified(name: &str) -> Result<Self, Skip> {
        let mounts = fs::read_to_string("/proc/self/mounts").map_err(|e| Skip(e.to_string()))?;
        let point = mounts
            .lines()
            .find_map(|line| {
                let mut fields = line.split(' ').skip(1);
                let point = fields.next()?;
                (fields.next()? == "cgroup2").then(|| PathBuf::from(point))
            })
            .ok_or_else(|| Skip("the unified cgroup hierarchy is not mounted".into()))?;
        Self::make(&point.join(name), 2)
    }

    fn make(path: &Path, version: u32) -> Result<Self, Skip> {
        fs::create_dir(path).map_err(|error| Skip(format!("{}: {error}", path.display())))?;
        Ok(Self {
            path: path.to_owned(),
            version,
        })
    }

    /// Writes one of its files.
    ///
    /// # Panics
    /// If the kernel refuses it.
    #[track_caller]
    pub fn set(&self, file: &str, value: &str) {
        let path = self.path.join(file);
        fs::write(&path, value).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// One of its files, if it is there.
    #[must_use]
    pub fn read(&self, file: &str) -> Option<String> {
        fs::read_to_string(self.path.join(file)).ok()
    }

    /// A number that is all of one of its files.
    ///
    /// # Panics
    /// If it is not.
    #[must_use]
    #[track_caller]
    pub fn number(&self, file: &str) -> u64 {
        let text = self.read(file).unwrap_or_else(|| panic!("no {file}"));
        let number = text.trim().parse();
        number.unwrap_or_else(|_| panic!("{file}: {text}"))
    }

    /// The number after `name` in one of its files.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    #[track_caller]
    pub fn field(&self, file: &str, name: &str) -> u64 {
        let text = self.read(file).unwrap_or_else(|| panic!("no {file}"));
        text.lines()
            .find_map(|line| {
                line.strip_prefix(name)?
                    .strip_prefix(' ')?
                    .trim()
                    .parse()
                    .ok()
            })
            .unwrap_or_else(|| panic!("no {name} in {file}: {text}"))
    }

    /// Has the command started within it.
    ///
    /// # Panics
    /// If it is gone.
    pub fn hold(&self, command: &mut Command) {
        let procs = File::options()
            .write(true)
            .open(self.path.join("cgroup.procs"))
            .expect("our own cgroup");
        // SAFETY: one write to a descriptor that the closure owns; nothing is allocated.
        unsafe {
            command.pre_exec(move || (&procs).write_all(b"0"));
        }
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Those who were killed leave it a moment later.
        let deadline = Instant::now() + Duration::from_secs(10);
        while fs::remove_dir(&self.path).is_err() && Instant::now() < deadline {
            for pid in self.read("cgroup.procs").unwrap_or_default().lines() {
                if let Some(pid) = pid.parse().ok().and_then(rustix::process::Pid::from_raw) {
                    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                }
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The mount point and version of a line of mounts, if cgroups below it have the controller.
fn mounted(line: &str, controller: &str) -> Option<(PathBuf, u32)> {
    let mut fields = line.split(' ').skip(1);
    let (point, kind, options) = (fields.next()?, fields.next()?, fields.next()?);
    match kind {
        "cgroup" => options
            .split(',')
            .any(|option| option == controller)
            .then(|| (point.into(), 1)),
        "cgroup2" => fs::read_to_string(Path::new(point).join("cgroup.subtree_control"))
            .ok()?
            .split_whitespace()
            .any(|enabled| enabled == controller)
            .then(|| (point.into(), 2)),
        _ => None,
    }
}
