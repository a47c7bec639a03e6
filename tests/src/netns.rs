//! A network namespace of a test's own, with its loopback interface up.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::process::Process;
use crate::skip::Skip;
use crate::{names, tools};

/// A network namespace, removed on drop.
#[derive(Debug)]
pub struct Netns {
    name: String,
    ip: std::path::PathBuf,
}

impl Netns {
    /// Makes one.
    ///
    /// # Errors
    /// There is no `ip`, or the kernel refuses.
    pub fn new(what: &str) -> Result<Self, Skip> {
        let netns = Self {
            name: names::unique(what),
            ip: tools::find("ip")?,
        };
        netns.ip(&["netns", "add", &netns.name])?;
        netns.ip(&["-n", &netns.name, "link", "set", "lo", "up"])?;
        Ok(netns)
    }

    /// A command that runs inside.
    #[must_use]
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(&self.ip);
        command
            .args(["netns", "exec", &self.name])
            .arg(program.as_ref());
        command
    }

    /// What a file of `/proc/net` says inside.
    ///
    /// # Panics
    /// If it cannot be read.
    #[must_use]
    #[track_caller]
    pub fn proc_net(&self, file: &str) -> String {
        let mut command = self.command("/bin/cat");
        command.arg(format!("/proc/self/net/{file}"));
        Process::run(command, Duration::from_secs(20))
    }

    /// A field of `/proc/net/snmp` or `netstat` inside, by its protocol and name.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    #[track_caller]
    pub fn counter(&self, file: &str, protocol: &str, name: &str) -> u64 {
        counter(&self.proc_net(file), protocol, name)
    }

    /// Its name, for `ip`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `ip` inside, with arguments that a space is between.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn configure(&self, args: &str) -> Result<(), Skip> {
        let args: Vec<&str> = args.split(' ').collect();
        self.ip(&[&["-n", &self.name], &args[..]].concat())
    }

    fn ip(&self, args: &[&str]) -> Result<(), Skip> {
        let mut command = Command::new(&self.ip);
        command.args(args);
        let (status, _, stderr) = Process::finish(command, Duration::from_secs(20));
        if status.success() {
            Ok(())
        } else {
            Err(Skip(format!("ip {}: {}", args.join(" "), stderr.trim())))
        }
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        // It may not have been made.
        let _ = self.ip(&["netns", "del", &self.name]);
    }
}

/// A field of the text of `/proc/net/snmp` or `netstat`.
///
/// # Panics
/// If there is none.
#[must_use]
#[track_caller]
pub fn counter(text: &str, protocol: &str, name: &str) -> u64 {
    let prefix = format!("{protocol}: ");
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(&prefix));
    let names = lines.next().expect("a line of names");
    let values = lines.next().expect("a line of values");
    let mut pairs = names.split(' ').zip(values.split(' '));
    let (_, value) = pairs
        .find(|(found, _)| *found == name)
        .unwrap_or_else(|| panic!("no {protocol}: {name}"));
    value.parse().expect("a count")
}
