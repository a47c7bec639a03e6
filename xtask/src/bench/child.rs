//! Programs that run while something is measured, and end with it, however it ends.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group, set_parent_process_death_signal};

use crate::process;

/// Set when the user wants to stop. Everything that waits looks at it.
#[derive(Clone, Debug)]
pub(super) struct Interrupt(Arc<AtomicBool>);

/// How long a wait sleeps between two looks.
const LOOK: Duration = Duration::from_millis(5);

impl Interrupt {
    /// Listens for SIGINT and SIGTERM from now on.
    pub(super) fn listen() -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&stop))
                .context("cannot listen for Ctrl-C")?;
        }
        Ok(Self(stop))
    }

    /// An error once the user wants to stop.
    pub(super) fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) {
            bail!("interrupted");
        }
        Ok(())
    }

    /// Calls `done` until it gives a value; `None` if it has not after `within`.
    pub(super) fn wait<T>(
        &self,
        within: Duration,
        mut done: impl FnMut() -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        let deadline = Instant::now() + within;
        loop {
            self.check()?;
            if let Some(value) = done()? {
                return Ok(Some(value));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// A running program. It is ended when this is dropped, and by the kernel should we be killed.
pub(super) struct Running {
    child: Child,
    name: String,
    /// Both its streams: a file, because nobody reads them while it runs.
    output: File,
}

/// How long a program that is asked to end may take before it is killed.
const GRACE: Duration = Duration::from_secs(8);

impl Running {
    /// Starts it, in a process group of its own, so that a Ctrl-C in the terminal reaches only us
    /// and children end in our order.
    pub(super) fn start(command: &mut Command) -> Result<Self> {
        let output = tempfile::tempfile().context("cannot make a temporary file")?;
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output.try_clone()?)
            .process_group(0);
        // SAFETY: prctl(2) is async-signal-safe, and nothing else is done between fork and exec.
        unsafe {
            command.pre_exec(|| {
                set_parent_process_death_signal(Some(Signal::KILL)).map_err(Into::into)
            });
        }
        let child = command
            .spawn()
            .with_context(|| format!("cannot start `{}`", process::line(command)))?;
        Ok(Self {
            child,
            name: process::line(command),
            output,
        })
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed so far.
    pub(super) fn output(&self) -> Result<String> {
        let len = usize::try_from(self.output.metadata()?.len())?;
        let mut text = vec![0; len];
        // The position in the file is shared with the program, which may be writing.
        self.output.read_exact_at(&mut text, 0)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// An error, with its last words, if it has ended.
    pub(super) fn expect_running(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            let words = self.output()?;
            bail!("`{}` has ended: {status}\n{}", self.name, words.trim_end());
        }
        Ok(())
    }

    /// Waits for its end by itself and gives what it printed. Anything but success is an error.
    pub(super) fn finish(mut self, interrupt: &Interrupt, within: Duration) -> Result<String> {
        let ended = interrupt.wait(within, || Ok(self.child.try_wait()?))?;
        let words = self.output()?;
        match ended {
            Some(status) if status.success() => Ok(words),
            Some(status) => bail!("`{}` failed: {status}\n{}", self.name, words.trim_end()),
            None => bail!("`{}` has not ended after {within:?}", self.name),
        }
    }

    /// Asks it to end, and kills it if it does not.
    pub(super) fn end(&mut self) -> std::io::Result<ExitStatus> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(status);
        }
        // All of the group: a shell does not hand a signal on.
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::TERM);
        let deadline = Instant::now() + GRACE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(LOOK);
        }
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        self.child.wait()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("xtask: cannot end `{}`: {error}", self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Running {
        Running::start(Command::new("sh").args(["-c", script])).unwrap()
    }

    fn never() -> Interrupt {
        Interrupt(Arc::default())
    }

    #[test]
    fn a_program_that_ends_gives_what_it_printed() {
        let words = shell("echo out; echo err >&2").finish(&never(), GRACE);
        assert_eq!(words.unwrap(), "out\nerr\n");
    }

    #[test]
    fn a_program_that_fails_is_an_error_with_its_last_words() {
        let error = shell("echo why >&2; exit 3").finish(&never(), GRACE);
        assert_eq!(
            error.unwrap_err().to_string(),
            "`sh -c 'echo why >&2; exit 3'` failed: exit status: 3\nwhy"
        );
    }

    #[test]
    fn a_program_that_is_dropped_is_gone() {
        let running = shell("exec sleep 1000");
        let folder = format!("/proc/{}", running.id());
        assert!(std::fs::exists(&folder).unwrap());
        drop(running);
        assert!(!std::fs::exists(&folder).unwrap());
    }

    #[test]
    fn an_interrupt_ends_every_wait() {
        let interrupt = Interrupt(Arc::new(AtomicBool::new(true)));
        let error = shell("exec sleep 1000").finish(&interrupt, Duration::from_secs(1000));
        assert_eq!(error.unwrap_err().to_string(), "interrupted");
    }
}
