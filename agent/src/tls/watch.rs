//! Looks for TLS libraries in processes and has the probes attached, on a thread of its own.
//!
//! What is looked at: the libraries in the host's own folders, at start, so that a process of a few
//! milliseconds is seen too; every process, once at start, and again every `SWEEP`, because
//! libraries may be loaded late; and at once each process of which the kernel side says that it
//! speaks TLS.
//!
//! A file is looked into once, however many processes have it mapped, and known by its device and
//! inode. Its probes go when two sweeps in a row find nobody who has it mapped.

mod files;
mod survey;

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lru::LruCache;

pub use files::{Attach, Outcome};
use files::{FileId, Files};
pub use survey::{Surveyed, survey};

use super::maps::{self, Kind};

/// How often all processes are looked at.
const SWEEP: Duration = Duration::from_secs(10);
/// How often processes that are new are looked for.
const TICK: Duration = Duration::from_millis(250);
/// Processes that wait to be looked at; what is beyond is found by the next sweep.
const QUEUE: usize = 1024;
/// Processes whose libraries are remembered, gone ones among them.
const REMEMBERED: usize = 8192;

/// By what a process encrypts, as far as that is known: the value of the label `library`.
pub const UNKNOWN: &str = "unknown";

/// The thread that looks. It ends when this is dropped, which waits until its probes are detached:
/// some 50 ms for each.
#[derive(Debug)]
pub struct Watch {
    eye: Eye,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What others tell the thread, and are told.
#[derive(Clone, Debug)]
pub struct Eye {
    sender: SyncSender<u32>,
    known: Known,
}

/// The library of each process, by its id.
type Known = Arc<Mutex<LruCache<u32, &'static str>>>;

fn lock(known: &Known) -> MutexGuard<'_, LruCache<u32, &'static str>> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watch {
    /// Begins to look. `proc_root` is `/proc`, or where the host's is mounted.
    ///
    /// # Errors
    ///
    /// There can be no thread.
    pub fn start(attach: impl Attach, proc_root: PathBuf) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(QUEUE);
        let known: Known = Arc::new(Mutex::new(LruCache::new(
            REMEMBERED.try_into().map_err(io::Error::other)?,
        )));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::Builder::new().name("hark-tls".into()).spawn({
            let (known, stop) = (Arc::clone(&known), Arc::clone(&stop));
            move || Looker::new(attach, proc_root, known).run(&receiver, &stop)
        })?;
        Ok(Self {
            eye: Eye { sender, known },
            stop,
            thread: Some(thread),
        })
    }

    /// For those who hear of processes that speak TLS.
    #[must_use]
    pub fn eye(&self) -> Eye {
        self.eye.clone()
    }
}

impl Eye {
    /// A process speaks TLS: it is looked at soon. Never waits.
    pub fn look_at(&self, pid: u32) {
        // If the queue is full, the next sweep finds the process.
        let _ = self.sender.try_send(pid);
    }

    /// By what a process encrypts: the name of a library, or [`UNKNOWN`].
    #[must_use]
    pub fn library(&self, pid: u32) -> &'static str {
        lock(&self.known).peek(&pid).copied().unwrap_or(UNKNOWN)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the thread has.
struct Looker<A: Attach> {
    files: Files<A>,
    proc_root: PathBuf,
    known: Known,
    /// Processes that were there when last looked.
    processes: HashMap<u32, ()>,
}

impl<A: Attach> Looker<A> {
    fn new(attach: A, proc_root: PathBuf, known: Known) -> Self {
        Self {
            files: Files::new(attach),
            proc_root,
            known,
            processes: HashMap::new(),
        }
    }

    fn run(&mut self, receiver: &Receiver<u32>, stop: &AtomicBool) {
        for file in survey::of_host(&self.proc_root) {
            self.files.standing(&file);
        }
        let mut swept: Option<Instant> = None;
        while !stop.load(Ordering::Acquire) {
            let due = swept.is_none_or(|at| at.elapsed() >= SWEEP);
            for pid in self.look_around(due) {
                self.process(pid);
            }
            if due {
                self.files.sweep();
                swept = Some(Instant::now());
            }
            match receiver.recv_timeout(TICK) {
                Ok(pid) => {
                    self.process(pid);
                    while let Ok(pid) = receiver.try_recv() {
                        self.process(pid);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// The processes that are new, or all of them.
    fn look_around(&mut self, all: bool) -> Vec<u32> {
        let Ok(processes) = survey::processes(&self.proc_root) else {
            return Vec::new();
        };
        let due = processes
            .iter()
            .copied()
            .filter(|pid| all || !self.processes.contains_key(pid))
            .collect();
        self.processes = processes.into_iter().map(|pid| (pid, ())).collect();
        due
    }

    fn process(&mut self, pid: u32) {
        let process = self.proc_root.join(pid.to_string());
        let mut library = None;
        // A process that is gone keeps the library that it was last seen with.
        let Ok(mapped) = maps::mapped(&process) else {
            return;
        };
        for (mapped, kind) in mapped {
            match kind {
                Kind::Library => {
                    if let Outcome::Attached(found) = self.files.mapped(&mapped.link) {
                        library = Some(found);
                    }
                }
                Kind::Unreadable(name) => library = library.or(Some(name)),
            }
        }
        // A library inside the program itself is the one that it uses.
        match self.files.mapped(&process.join("exe")) {
            Outcome::Attached(found) | Outcome::Known(found) => library = Some(found),
            Outcome::Nothing => {}
        }
        let mut known = lock(&self.known);
        known.put(pid, library.unwrap_or(UNKNOWN));
    }
}

/// The file behind a path or a link.
fn id(path: &Path) -> io::Result<FileId> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = fs::metadata(path)?;
    Ok(FileId {
        device: metadata.dev(),
        inode: metadata.ino(),
    })
}

#[cfg(test)]
mod tests;
