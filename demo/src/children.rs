//! Processes that end with the demo, however it ends.
//!
//! Each leads a process group of its own, which is killed when the [`Child`] is dropped: what it
//! started itself goes too. Should the demo be killed with -9, the kernel kills its children (the
//! parent-death signal), for a drop does not run then.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid,
};

use crate::stop::Stop;

/// A process, and what it prints.
#[derive(Debug)]
pub(crate) struct Child {
    name: String,
    process: std::process::Child,
    /// Whether it leads a process group of its own.
    group: bool,
    /// Whether it was waited for: from then on its number may be another's.
    is_reaped: bool,
    /// Its standard output, line by line; `None` if that is the demo's own.
    lines: Option<Receiver<String>>,
    /// The file that its standard error goes to.
    log: Option<PathBuf>,
}

impl Child {
    /// Starts a process in the background: in a group of its own, its output read line by line, its
    /// standard error in a file in `directory`.
    ///
    /// To be called on the main thread: the parent-death signal follows the thread.
    pub(crate) fn background(name: &str, mut command: Command, directory: &Path) -> Result<Self> {
        let log = directory.join(format!("{name}.log"));
        let file =
            File::create(&log).with_context(|| format!("cannot create {}", log.display()))?;
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(file)
            .process_group(0);
        let mut process = spawn(&mut command, Signal::KILL)?;
        let output = process.stdout.take().context("it has no output")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            // Reads to the end even when nobody listens, or the process would block on a full pipe.
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Ok(Self {
            name: name.into(),
            process,
            group: true,
            is_reaped: false,
            lines: Some(lines),
            log: Some(log),
        })
    }

    /// Starts a process in the foreground: on the demo's terminal or pipe, in the demo's group.
    pub(crate) fn foreground(name: &str, mut command: Command) -> Result<Self> {
        // SIGTERM, so that it can restore the terminal.
        let process = spawn(&mut command, Signal::TERM)?;
        Ok(Self {
            name: name.into(),
            process,
            group: false,
            is_reaped: false,
            lines: None,
            log: None,
        })
    }

    /// The number of the process.
    #[cfg(test)]
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// How it ended, if it has.
    ///
    /// It stays a zombie until [`Child::kill`], so that its number, and that of its group, is not
    /// given to another process that would then get a signal meant for this one.
    pub(crate) fn ended(&self) -> std::io::Result<Option<ExitStatus>> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let Some(status) = waitid(WaitId::Pid(Pid::from_child(&self.process)), options)? else {
            return Ok(None);
        };
        // As wait(2) has it: the exit code in the second byte, or the signal in the first.
        let code = status.exit_status().map(|code| (code & 0xff) << 8);
        let raw = code.or(status.terminating_signal()).unwrap_or_default();
        Ok(Some(ExitStatus::from_raw(raw)))
    }

    /// The next line that it prints within `patience`; an error if it ends before.
    pub(crate) fn line(&mut self, patience: Duration, stop: &Stop) -> Result<String> {
        let deadline = Instant::now() + patience;
        let lines = self.lines.as_ref().context("its output is not read")?;
        loop {
            stop.check()?;
            match lines.recv_timeout(Duration::from_millis(50)) {
                Ok(line) => return Ok(line),
                Err(RecvTimeoutError::Timeout) if Instant::now() < deadline => {}
                Err(RecvTimeoutError::Timeout) => bail!(
                    "{} printed nothing for {} s{}",
                    self.name,
                    patience.as_secs(),
                    self.log_tail()
                ),
                Err(RecvTimeoutError::Disconnected) => {
                    bail!("{} ended before it was ready{}", self.name, self.log_tail())
                }
            }
        }
    }

    /// The end of what it wrote to standard error, to stand after a sentence; empty if nothing.
    pub(crate) fn log_tail(&self) -> String {
        const LINES: usize = 5;
        const BYTES: u64 = 64 << 10;
        let mut text = Vec::new();
        if let Some(Ok(file)) = self.log.as_ref().map(File::open) {
            let _ = file.take(BYTES).read_to_end(&mut text);
        }
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
        let tail = &lines[lines.len().saturating_sub(LINES)..];
        if tail.is_empty() {
            String::new()
        } else {
            format!("; it said:\n  {}", tail.join("\n  "))
        }
    }

    /// Asks it to end.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Asks it to end, and kills it when it has not after `patience`.
    pub(crate) fn end(&mut self, patience: Duration) {
        self.terminate();
        let deadline = Instant::now() + patience;
        while matches!(self.ended(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        self.kill();
    }

    fn kill(&mut self) {
        if self.is_reaped {
            return;
        }
        // The group first: it may have members left when its leader has ended.
        self.signal(Signal::KILL);
        self.is_reaped = self.process.wait().is_ok();
    }

    fn signal(&self, signal: Signal) {
        if self.is_reaped {
            return;
        }
        let pid = Pid::from_child(&self.process);
        // It may have ended; that is what was wanted.
        let _ = if self.group {
            kill_process_group(pid, signal)
        } else {
            kill_process(pid, signal)
        };
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.group {
            // It may have the terminal in a state that only it can undo.
            self.end(Duration::from_secs(2));
        }
        self.kill();
    }
}

/// Starts a process that gets `signal` when the demo dies.
fn spawn(command: &mut Command, signal: Signal) -> Result<std::process::Child> {
    let parent = rustix::process::getpid();
    let program = command.get_program().to_string_lossy().into_owned();
    // SAFETY: between fork and exec only two system calls are made, prctl and getppid; both are
    // async-signal-safe and allocate nothing.
    unsafe {
        command.pre_exec(move || {
            rustix::process::set_parent_process_death_signal(Some(signal))?;
            // The demo may have died before the signal was set.
            if rustix::process::getppid() == Some(parent) {
                Ok(())
            } else {
                Err(std::io::ErrorKind::Interrupted.into())
            }
        });
    }
    command
        .spawn()
        .with_context(|| format!("cannot start `{program}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_child_takes_its_own_children_along() {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 1000 & echo $!; wait"]);
        let mut child = Child::background("sh", command, directory.path()).unwrap();
        let grandchild: u32 = child
            .line(Duration::from_secs(10), &Stop::default())
            .unwrap()
            .parse()
            .unwrap();
        let leader = child.id();
        drop(child);
        assert!(!Path::new(&format!("/proc/{leader}")).exists());
        // The orphan is a zombie until init has waited for it.
        let deadline = Instant::now() + Duration::from_secs(10);
        while is_alive(grandchild) {
            assert!(Instant::now() < deadline, "the grandchild is alive");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn is_alive(pid: u32) -> bool {
        std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
            !stat
                .rsplit(')')
                .next()
                .is_some_and(|rest| rest.starts_with(" Z"))
        })
    }

    #[test]
    fn a_child_that_fails_is_quoted() {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo no such thing >&2; exit 3"]);
        let mut child = Child::background("sh", command, directory.path()).unwrap();
        let error = child
            .line(Duration::from_secs(10), &Stop::default())
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "sh ended before it was ready; it said:\n  no such thing"
        );
    }

    #[test]
    fn how_it_ended() {
        let directory = tempfile::tempdir().unwrap();
        for (script, expected) in [
            ("exit 0", "exit status: 0"),
            ("exit 7", "exit status: 7"),
            ("kill -9 $$", "signal: 9 (SIGKILL)"),
        ] {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            let child = Child::background("sh", command, directory.path()).unwrap();
            let status = loop {
                match child.ended().unwrap() {
                    Some(status) => break status,
                    None => std::thread::sleep(Duration::from_millis(5)),
                }
            };
            assert_eq!(status.to_string(), expected);
            // Asking again gives the same answer.
            assert_eq!(child.ended().unwrap(), Some(status));
        }
    }

    #[test]
    fn a_program_that_is_not_there() {
        let directory = tempfile::tempdir().unwrap();
        let error =
            Child::background("x", Command::new("/nonexistent/x"), directory.path()).unwrap_err();
        assert_eq!(
            format!("{error:#}"),
            "cannot start `/nonexistent/x`: No such file or directory (os error 2)"
        );
    }
}
