//! Child processes that never outlive the test.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use crate::wait;

/// A running child: a process group of its own, killed whole on drop, and by the kernel should
/// the test process die first.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stdout: Output,
    stderr: Output,
}

type Output = Arc<Mutex<Vec<u8>>>;
type Job = (Command, Sender<std::io::Result<Child>>);

/// Starts children from a thread that lives as long as the process: the death signal is sent when
/// the starting *thread* ends, and the threads of tests end early.
fn spawner() -> Sender<Job> {
    static SPAWNER: OnceLock<Mutex<Sender<Job>>> = OnceLock::new();
    let sender = SPAWNER.get_or_init(|| {
        let (sender, jobs) = channel::<Job>();
        std::thread::Builder::new()
            .name("spawner".into())
            .spawn(move || {
                for (mut command, reply) in jobs {
                    let _ = reply.send(command.spawn());
                }
            })
            .expect("a thread can be started");
        Mutex::new(sender)
    });
    sender
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
}

impl Process {
    /// Starts `command`; its stdin is empty, its output is kept.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    #[track_caller]
    pub fn start(command: Command) -> Self {
        Self::start_signalled(command, libc::SIGKILL)
    }

    /// As [`start`](Self::start), for a program with children of its own that ends them when it
    /// is sent `signal`: that is what it gets if the test process dies.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    #[track_caller]
    pub fn start_signalled(mut command: Command, signal: libc::c_int) -> Self {
        let shown = format!("{command:?}");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        // SAFETY: prctl is async-signal-safe and touches nothing of the parent's.
        unsafe {
            command.pre_exec(move || {
                if libc::prctl(libc::PR_SET_PDEATHSIG, signal) != 0 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            });
        }
        let (reply, answer) = channel();
        spawner().send((command, reply)).expect("the spawner lives");
        let mut child = answer
            .recv()
            .expect("the spawner answers")
            .unwrap_or_else(|error| panic!("{shown} does not start: {error}"));
        let stdout = collect(child.stdout.take());
        let stderr = collect(child.stderr.take());
        Self {
            child,
            stdout,
            stderr,
        }
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        text(&self.stdout)
    }

    /// What it has complained of so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        text(&self.stderr)
    }

    /// Waits for a whole line that begins with `prefix`, gives what follows it.
    ///
    /// # Errors
    /// What the process said instead, if it has ended or a minute has passed.
    pub fn line(&mut self, prefix: &str) -> Result<String, String> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let ended = self.ended().is_some();
            if ended {
                // Its last words are still in the pipe.
                std::thread::sleep(Duration::from_millis(100));
            }
            let stdout = self.stdout();
            let whole = stdout.rfind('\n').map_or("", |end| &stdout[..end]);
            if let Some(rest) = whole.lines().find_map(|line| line.strip_prefix(prefix)) {
                return Ok(rest.trim().to_owned());
            }
            if ended || Instant::now() >= deadline {
                return Err(format!("no line {prefix:?}; stderr: {}", self.stderr()));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Its exit status, if it has ended.
    ///
    /// # Panics
    /// If the kernel does not know the child.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        // It stays a zombie until the drop, so that its id, which names the group, stays its own.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let status = rustix::process::waitid(WaitId::Pid(self.pid()), options)
            .expect("the child is ours to wait for")?;
        // As `wait` would give them (wait(2)): the code in the second byte, the signal in the first.
        let code = status.exit_status().map(|code| code << 8);
        Some(ExitStatus::from_raw(
            code.or(status.terminating_signal()).unwrap_or(0),
        ))
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If it has not ended within `limit`.
    #[track_caller]
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let id = self.id();
        let status = wait::until(limit, &format!("the end of process {id}"), || self.ended());
        // The readers see the end of the pipes at the same time; give them the processor.
        std::thread::sleep(Duration::from_millis(20));
        status
    }

    /// Runs `command` to its end and gives what it printed.
    ///
    /// # Panics
    /// If it fails, or has not ended within `limit`.
    #[must_use]
    #[track_caller]
    pub fn run(command: Command, limit: Duration) -> String {
        let shown = format!("{command:?}");
        let (status, stdout, stderr) = Self::finish(command, limit);
        assert!(status.success(), "{shown}: {status}\n{stdout}\n{stderr}");
        stdout
    }

    /// Runs `command` to its end and gives its status, stdout and stderr.
    ///
    /// # Panics
    /// If it has not ended within `limit`.
    #[must_use]
    #[track_caller]
    pub fn finish(command: Command, limit: Duration) -> (ExitStatus, String, String) {
        let mut process = Self::start(command);
        let status = process.wait(limit);
        // Only when both pipes are closed is everything there.
        wait::until(Duration::from_secs(5), "the end of the output", || {
            (Arc::strong_count(&process.stdout) == 1 && Arc::strong_count(&process.stderr) == 1)
                .then_some(())
        });
        (status, process.stdout(), process.stderr())
    }

    /// Sends a signal to the process alone, not to its group.
    pub fn signal(&self, signal: Signal) {
        let _ = rustix::process::kill_process(self.pid(), signal);
    }

    /// Whether it has ended but was not waited for.
    #[must_use]
    pub fn is_zombie(&self) -> bool {
        // "pid (comm) state …", and the name may hold anything but ends at the last parenthesis.
        std::fs::read_to_string(format!("/proc/{}/stat", self.id()))
            .ok()
            .and_then(|stat| Some(stat.rsplit_once(") ")?.1.starts_with('Z')))
            .unwrap_or(true)
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The group may outlive its leader; its id stays taken as long as a member lives.
        let _ = rustix::process::kill_process_group(self.pid(), Signal::KILL);
        let _ = self.child.wait();
    }
}

/// Whether the status is death by this signal.
#[must_use]
pub fn died_of(status: ExitStatus, signal: Signal) -> bool {
    status.signal() == Some(signal.as_raw())
}

fn text(output: &Output) -> String {
    let bytes = output.lock().unwrap_or_else(PoisonError::into_inner);
    String::from_utf8_lossy(&bytes).into_owned()
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> Output {
    let output = Output::default();
    let Some(pipe) = pipe else { return output };
    let kept = Arc::clone(&output);
    std::thread::spawn(move || {
        let mut lines = BufReader::new(pipe);
        let mut line = Vec::new();
        while lines
            .read_until(b'\n', &mut line)
            .is_ok_and(|read| read > 0)
        {
            kept.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .append(&mut line);
        }
    });
    output
}
