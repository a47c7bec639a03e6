//! Inside one process: the thread that sent the request was working for one received request.
//!
//! What must hold, and why:
//!
//! - The request was received by a read that would have waited for it. A thread that waits for one
//!   connection has no other to look after; an event loop never does, and neither do the coroutines
//!   that it runs. A thread that has once received a request without waiting is not believed again.
//! - The same thread sent the other request, before the answer, over HTTP/1. (HTTP/2 connections are
//!   shared, and whichever thread comes by writes for all of them.)
//! - The same thread sent the answer. One that reads requests and hands them to workers does not.
//! - No two requests were ever open on the thread at one time.
//!
//! What a thread does for a request of another thread, in a pool, has no link. That a process has
//! one request open proves nothing: a thread in the background may be polling something.

use hark_common::socket::ProcessKey;
use lru::LruCache;

use super::{Candidate, Key};
use crate::hash::{HashMap, RandomState};

/// Threads that are remembered.
const LIMIT: usize = 65_536;

/// A thread: its process, and its id.
pub type Id = (ProcessKey, u32);

/// Threads that receive requests, and processes with requests open.
#[derive(Debug)]
pub struct Threads {
    threads: LruCache<Id, Thread, RandomState>,
    /// The one that received without waiting last: mostly the same again.
    last: Option<Id>,
    open: HashMap<ProcessKey, u32>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Thread {
    open: Option<Key>,
    /// It may be working for several requests in turns.
    interleaves: bool,
}

impl Default for Threads {
    fn default() -> Self {
        Self {
            threads: LruCache::unbounded_with_hasher(RandomState::default()),
            last: None,
            open: HashMap::default(),
        }
    }
}

impl Threads {
    /// A thread received a request; `blocking` says that it waited for it.
    pub fn received(&mut self, id: Id, blocking: bool, key: Key) {
        *self.open.entry(id.0).or_default() += 1;
        if !blocking && self.last == Some(id) {
            return;
        }
        let thread = self.threads.get_or_insert_mut(id, Thread::default);
        thread.interleaves |= !blocking || thread.open.is_some();
        thread.open = Some(key);
        if thread.interleaves {
            self.last = Some(id);
        }
        if self.threads.len() > LIMIT
            && self
                .threads
                .pop_lru()
                .is_some_and(|(id, _)| self.last == Some(id))
        {
            self.last = None;
        }
    }

    /// That request is over.
    pub fn over(&mut self, id: Id, key: Key) {
        if let Some(open) = self.open.get_mut(&id.0) {
            *open = open.saturating_sub(1);
            if *open == 0 {
                self.open.remove(&id.0);
            }
        }
        if self.last != Some(id)
            && let Some(thread) = self.threads.peek_mut(&id)
            && thread.open == Some(key)
        {
            thread.open = None;
        }
    }

    /// The received request that one sent by this thread now may belong to.
    pub fn parent(&self, id: Id) -> Candidate {
        match self.threads.peek(&id) {
            Some(thread) if thread.interleaves => Candidate::Ambiguous,
            Some(Thread {
                open: Some(key), ..
            }) => Candidate::One(*key),
            // It may be for a request of another thread.
            _ if self.open.contains_key(&id.0) => Candidate::Ambiguous,
            _ => Candidate::None,
        }
    }
}
