//! The queue between the pipeline's thread and the export task, bounded by count and by bytes.
//!
//! The pipeline must never wait: what it does under the lock is one push, what the export task does
//! is one take of a whole batch. The task is woken once per full batch, not once per span; batches
//! that do not fill are taken by its timer.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::config::Batching;
use super::counters::DropReason;
use super::span::Span;

pub(super) struct Queue {
    state: Mutex<State>,
    ready: Notify,
    max_spans: usize,
    max_bytes: usize,
    batch: usize,
}

#[derive(Default)]
struct State {
    full: VecDeque<Batch>,
    open: Batch,
    spans: usize,
    bytes: usize,
    closed: bool,
}

/// Spans that are exported together.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) spans: Vec<Span>,
    bytes: usize,
    /// When the first span came.
    since: Option<Instant>,
}

impl Batch {
    /// When the batch will be older than `max_age`.
    pub(super) fn expires(&self, max_age: Duration) -> Instant {
        self.since.unwrap_or_else(Instant::now) + max_age
    }
}

impl Queue {
    pub(super) fn new(batching: &Batching) -> Self {
        Self {
            state: Mutex::default(),
            ready: Notify::new(),
            max_spans: batching.max_queue_size,
            max_bytes: batching.max_queue_bytes,
            batch: batching.max_export_batch_size.max(1),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics under the lock; if it did, the state would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a span, or says why not.
    pub(super) fn push(&self, span: Span) -> Result<(), DropReason> {
        let bytes = span.weight();
        let mut state = self.lock();
        if state.closed {
            return Err(DropReason::Shutdown);
        }
        if state.spans >= self.max_spans || state.bytes + bytes > self.max_bytes {
            return Err(DropReason::QueueFull);
        }
        state.spans += 1;
        state.bytes += bytes;
        state.open.since.get_or_insert_with(Instant::now);
        state.open.spans.push(span);
        state.open.bytes += bytes;
        if state.open.spans.len() >= self.batch {
            let batch = std::mem::take(&mut state.open);
            state.full.push_back(batch);
            drop(state);
            self.ready.notify_one();
        }
        Ok(())
    }

    /// Takes nothing more in; what is queued can still be taken.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.ready.notify_one();
    }

    /// The next batch: as soon as one is full, or what there is after `delay`. `None` when the
    /// queue is closed and empty.
    pub(super) async fn next(&self, delay: Duration) -> Option<Batch> {
        let mut deadline = Instant::now() + delay;
        loop {
            let (batch, closed) = self.take(false);
            if batch.is_some() || closed {
                return batch;
            }
            tokio::select! {
                () = self.ready.notified() => {}
                () = sleep_until(deadline) => {
                    if let (Some(batch), _) = self.take(true) {
                        return Some(batch);
                    }
                    deadline = Instant::now() + delay;
                }
            }
        }
    }

    /// The oldest full batch; else, if asked or closed, the one that is open, unless it is empty.
    fn take(&self, open_too: bool) -> (Option<Batch>, bool) {
        let mut state = self.lock();
        let closed = state.closed;
        let batch = match state.full.pop_front() {
            None if (open_too || closed) && !state.open.spans.is_empty() => {
                Some(std::mem::take(&mut state.open))
            }
            full => full,
        };
        if let Some(batch) = &batch {
            state.spans -= batch.spans.len();
            state.bytes -= batch.bytes;
        }
        (batch, closed)
    }
}
