//! Debian packages: installed without starting a service, without removing anything, and only as
//! root. Everybody else gets the command.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::process;
use crate::setup::on_path;

/// What packages ask before they start a service (invoke-rc.d(8)).
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// 101: "action forbidden by policy".
const DENY: &str = "#!/bin/sh
# Written by hark's `cargo xtask setup` for the time of an install, so that a package starts no
# service. Safe to delete when no install is running.
exit 101
";

/// Installs packages with what they depend on.
///
/// # Errors
///
/// No apt here, not root (the error holds the command to run), no such package, or an install that
/// would remove another package.
pub(super) fn install(packages: &[&str]) -> Result<()> {
    if !on_path("apt-get") {
        bail!(
            "this is no Debian or Ubuntu; install what these packages hold by other means: {}",
            packages.join(" ")
        );
    }
    if !rustix::process::geteuid().is_root() {
        bail!("installing needs root. Run:\n\n    {}\n", command(packages));
    }
    update()?;
    let no_interruption = defer_signals()?;
    let policy = DenyStarts::at(Path::new(POLICY))
        .with_context(|| format!("cannot write {POLICY}, which keeps services from starting"))?;
    let result = process::run(
        apt_get()
            // A package that conflicts with one of the user's (rustc-web with rustc) must not win.
            .args(["install", "--yes", "--no-install-recommends", "--no-remove"])
            .args(["-q", "-o", "DPkg::Lock::Timeout=300"])
            .args(packages),
    );
    drop(policy);
    drop(no_interruption);
    result
}

/// Refreshes the package lists, once per run of xtask.
pub(super) fn update() -> Result<()> {
    static DONE: AtomicBool = AtomicBool::new(false);
    if !DONE.swap(true, Ordering::Relaxed) {
        process::run(apt_get().args(["update", "-q"]))?;
    }
    Ok(())
}

/// The version that apt would install, without epoch and Debian revision.
pub(super) fn candidate(package: &str) -> Option<String> {
    let policy = process::output(
        Command::new("apt-cache")
            .env("LC_ALL", "C")
            .args(["policy", package]),
    );
    upstream(&policy.ok()?)
}

/// The packages among `packages` that are not installed. Without dpkg, none: there is nobody to ask.
pub(super) fn not_installed(packages: &[String]) -> Vec<&str> {
    let installed = |package: &String| {
        process::output(
            Command::new("dpkg-query")
                .args(["--show", "--showformat", "${db:Status-Status}"])
                .arg(package),
        )
        .is_ok_and(|status| status == "installed")
    };
    if !on_path("dpkg-query") {
        return Vec::new();
    }
    packages
        .iter()
        .filter(|package| !installed(package))
        .map(String::as_str)
        .collect()
}

/// Stops a service that a package just installed brought along, now and at the next boot. Under a
/// policy of the user's own it may have been started, under systemd it is enabled in any case.
pub(super) fn keep_stopped(service: &str) -> Result<()> {
    if Path::new("/run/systemd/system").exists() {
        process::run(Command::new("systemctl").args(["disable", "--now", service]))
    } else if Path::new("/etc/init.d").join(service).exists() && on_path("service") {
        // A service that is not running makes some init scripts fail; it is stopped either way.
        process::output(Command::new("service").args([service, "stop"]))
            .map(drop)
            .or(Ok(()))
    } else {
        Ok(())
    }
}

/// The command that a person would run.
fn command(packages: &[&str]) -> String {
    format!(
        "sudo apt-get update && sudo apt-get install --no-install-recommends {}",
        packages.join(" ")
    )
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn upstream(policy: &str) -> Option<String> {
    let version = policy
        .lines()
        .find_map(|line| line.trim().strip_prefix("Candidate: "))?;
    let version = version.split_once(':').map_or(version, |(_, rest)| rest);
    let version = version.rsplit_once('-').map_or(version, |(head, _)| head);
    (version != "(none)").then(|| version.to_owned())
}

/// While it lives, Ctrl-C and the like end apt, not xtask, which has a policy file to remove.
struct DeferSignals(Arc<AtomicBool>);

fn defer_signals() -> Result<DeferSignals> {
    static TERMINATE: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    let terminate = match TERMINATE.get() {
        Some(terminate) => terminate,
        None => {
            let terminate = Arc::new(AtomicBool::new(true));
            for signal in [SIGINT, SIGTERM, SIGHUP] {
                signal_hook::flag::register_conditional_default(signal, Arc::clone(&terminate))
                    .context("cannot install a signal handler")?;
            }
            TERMINATE.get_or_init(|| terminate)
        }
    };
    terminate.store(false, Ordering::SeqCst);
    Ok(DeferSignals(Arc::clone(terminate)))
}

impl Drop for DeferSignals {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A policy file of ours, removed on drop. One that the user has stays as it is.
struct DenyStarts(Option<PathBuf>);

impl DenyStarts {
    fn at(path: &Path) -> io::Result<Self> {
        let mut file = match OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o755)
            .open(path)
        {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // Ours is one that an earlier run had no chance to remove.
                let ours = std::fs::read(path).is_ok_and(|content| content == DENY.as_bytes());
                return Ok(Self(ours.then(|| path.to_owned())));
            }
            Err(error) => return Err(error),
        };
        let policy = Self(Some(path.to_owned()));
        file.write_all(DENY.as_bytes())?;
        Ok(policy)
    }
}

impl Drop for DenyStarts {
    fn drop(&mut self) {
        if let Some(path) = &self.0
            && let Err(error) = std::fs::remove_file(path)
        {
            eprintln!(
                "setup: cannot remove {}, which keeps services from starting ({error}); remove it",
                path.display()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_for_those_without_root_is_complete() {
        assert_eq!(
            command(&["a", "b"]),
            "sudo apt-get update && sudo apt-get install --no-install-recommends a b"
        );
    }

    #[test]
    fn the_candidate_is_the_upstream_version() {
        let policy = |version| format!("golang:\n  Installed: (none)\n  Candidate: {version}\n");
        assert_eq!(upstream(&policy("2:1.19~1")).unwrap(), "1.19~1");
        assert_eq!(
            upstream(&policy("1.96.0+dfsg1-1~deb12u2")).unwrap(),
            "1.96.0+dfsg1"
        );
        assert_eq!(upstream(&policy("1:7-0-ubuntu1")).unwrap(), "7-0");
        assert_eq!(upstream(&policy("(none)")), None);
        assert_eq!(upstream(""), None);
    }

    #[test]
    fn a_policy_file_lives_as_long_as_the_install() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy-rc.d");
        let policy = DenyStarts::at(&path).unwrap();
        let status = Command::new(&path).status().unwrap();
        assert_eq!(status.code(), Some(101));
        drop(policy);
        assert!(!path.exists());
    }

    #[test]
    fn a_policy_file_of_the_users_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy-rc.d");
        std::fs::write(&path, "#!/bin/sh\nexit 0\n").unwrap();
        drop(DenyStarts::at(&path).unwrap());
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "#!/bin/sh\nexit 0\n"
        );
    }

    #[test]
    fn a_policy_file_that_a_killed_run_left_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy-rc.d");
        std::fs::write(&path, DENY).unwrap();
        drop(DenyStarts::at(&path).unwrap());
        assert!(!path.exists());
    }
}
