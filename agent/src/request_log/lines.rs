//! The thread that makes and writes lines, and the queue in front of it.
//!
//! The queue is bounded by count and by bytes. The thread takes all there is at once and is woken
//! when the queue is no longer empty and when a batch is full, not once per line.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::counters::{Counters, DropReason};
use super::file::RotatingFile;
use super::line;
use crate::otlp::Span;
use crate::rights;

/// Lines that may wait.
pub(super) const MAX_LINES: usize = 8192;

/// Bytes that waiting lines may hold.
const MAX_BYTES: usize = 8 << 20;

/// The thread is woken when so many wait.
const BATCH: usize = 512;

/// How long one waits for others.
const GATHER: Duration = Duration::from_millis(50);

/// About how much is handed to the output at once, in bytes.
const CHUNK: usize = 64 << 10;

/// Where lines go.
#[derive(Debug)]
pub(super) enum Output {
    /// Standard output, or in tests another stream. `torn` says that the last line is not whole.
    Stream { file: File, torn: bool },
    /// A file that is rotated.
    File(RotatingFile),
}

impl Output {
    pub(super) fn stdout() -> io::Result<Self> {
        let file = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        Ok(Self::Stream { file, torn: false })
    }

    /// Writes whole lines, `ends` being where each ends; gives how many of them were written, and
    /// why not all.
    fn write(&mut self, text: &[u8], ends: &[usize]) -> (usize, io::Result<()>) {
        match self {
            Self::File(file) => file.write(text, ends),
            Self::Stream { file, torn } => {
                if *torn {
                    // What is there of the last line must not swallow this one.
                    if let Err(error) = file.write_all(b"\n") {
                        return (0, Err(error));
                    }
                    *torn = false;
                }
                let (written, result) = write_some(file, text);
                let whole = ends.partition_point(|end| *end <= written);
                let begun = whole.checked_sub(1).map_or(0, |last| ends[last]);
                *torn = written > begun;
                (whole, result)
            }
        }
    }
}

/// Writes as much as it can, and says how much that was.
pub(super) fn write_some(file: &mut File, text: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < text.len() {
        match file.write(&text[written..]) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(bytes) => written += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

/// A handle: clones feed the same thread.
#[derive(Clone, Debug)]
pub struct Lines {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// There is something to write, or the end has come.
    ready: Condvar,
    /// The thread has ended.
    done: Condvar,
    counters: Counters,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<(Span, bool)>,
    bytes: usize,
    closed: bool,
    ended: bool,
}

impl Lines {
    pub(super) fn start(output: Output, counters: Counters) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            ready: Condvar::new(),
            done: Condvar::new(),
            counters,
        });
        thread::Builder::new().name("hark-log".into()).spawn({
            let shared = Arc::clone(&shared);
            move || {
                rights::keep(rights::request_log());
                shared.run(output);
            }
        })?;
        Ok(Self { shared })
    }

    /// Queues a line. Never waits; one that finds no room is dropped and counted.
    pub(super) fn push(&self, span: Span, kept: bool) {
        let bytes = span.weight();
        let mut state = self.shared.lock();
        let refused = if state.closed {
            Some(DropReason::Shutdown)
        } else if state.waiting.len() >= MAX_LINES || state.bytes + bytes > MAX_BYTES {
            Some(DropReason::QueueFull)
        } else {
            None
        };
        if let Some(reason) = refused {
            drop(state);
            self.shared.counters.dropped(reason, 1);
            return;
        }
        self.shared.counters.queued.inc();
        state.bytes += bytes;
        state.waiting.push((span, kept));
        let due = matches!(state.waiting.len(), 1 | BATCH);
        drop(state);
        if due {
            self.shared.ready.notify_one();
        }
    }

    /// Takes no more lines, and returns when those that wait are written or `within` is over; those
    /// that still wait then are dropped and counted.
    pub fn finish(&self, within: Duration) {
        let end = Instant::now() + within;
        let mut state = self.shared.lock();
        state.closed = true;
        self.shared.ready.notify_one();
        while !state.ended {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self
                .shared
                .done
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        let left = std::mem::take(&mut state.waiting).len() as u64;
        drop(state);
        self.shared.counters.dropped(DropReason::Shutdown, left);
        self.shared.counters.queued.dec_by(left.cast_signed());
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics under the lock; if it did, the state would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread, until the queue is closed and empty.
    fn run(&self, mut output: Output) {
        let mut failing = false;
        let mut text = Vec::with_capacity(CHUNK);
        let mut ends = Vec::new();
        while let Some(batch) = self.next() {
            let mut batch = batch.into_iter().peekable();
            while batch.peek().is_some() {
                text.clear();
                ends.clear();
                for (span, kept) in &mut batch {
                    line::write(&span, kept, &mut text);
                    ends.push(text.len());
                    if text.len() >= CHUNK {
                        break;
                    }
                }
                let (written, result) = output.write(&text, &ends);
                self.count(written, ends.len() - written, result, &mut failing);
            }
        }
        self.lock().ended = true;
        self.done.notify_all();
    }

    /// All that waits; `None` when the queue is closed and empty.
    fn next(&self) -> Option<Vec<(Span, bool)>> {
        let state = self
            .ready
            .wait_while(self.lock(), |state| {
                state.waiting.is_empty() && !state.closed
            })
            .unwrap_or_else(PoisonError::into_inner);
        let (mut state, _) = self
            .ready
            .wait_timeout_while(state, GATHER, |state| {
                state.waiting.len() < BATCH && !state.closed
            })
            .unwrap_or_else(PoisonError::into_inner);
        state.bytes = 0;
        let batch = std::mem::take(&mut state.waiting);
        (!batch.is_empty() || !state.closed).then_some(batch)
    }

    fn count(&self, written: usize, lost: usize, result: io::Result<()>, failing: &mut bool) {
        self.counters.written.inc_by(written as u64);
        self.counters.dropped(DropReason::WriteFailed, lost as u64);
        self.counters
            .queued
            .dec_by((written as u64 + lost as u64).cast_signed());
        match result {
            Ok(()) if std::mem::take(failing) => {
                tracing::info!("the request log is written again");
            }
            Ok(()) => {}
            Err(error) => {
                if !std::mem::replace(failing, true) {
                    tracing::warn!(
                        %error,
                        "the request log cannot be written; lines are counted in \
                         hark_request_log_lines_dropped_total until it can"
                    );
                }
            }
        }
    }
}
