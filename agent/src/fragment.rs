//! The part of a trace that this host sees, held until it is whole.
//!
//! ```text
//! begun ──> open ──> ended ──(SETTLE)──> parent known ──> part of its parent's fragment
//!                                   │ └─ parent still open: waits for it
//!                                   └──> no parent: root ──(LINGER)──> decided, with all below it
//! ```
//!
//! A fragment is a span without a parent on this host and everything that is linked to it. What is
//! decided of it (its ids, whether it is kept) is decided when all of it has ended, so that an error
//! at the bottom keeps the whole. The rules of [`crate::links`] name candidates when a request is
//! sent; here they are judged, when both ends are known. Records of two CPUs may come in another order
//! than that of their events, by as much as a thread may be kept from running in the middle of a
//! system call; that is what the two waits are for.
//!
//! Everything is bounded: exchanges held, and how long one waits for another. At the limit the oldest
//! are decided with what is known, and counted.

mod counters;
mod decide;
mod settle;

pub use counters::{Counters, Early};
pub(crate) use decide::alone;

use std::collections::VecDeque;
use std::sync::Arc;

use hark_common::socket::Task;

use crate::connection::Opening;
use crate::exchange::{Exchange, Role, TraceContext};
use crate::hash::HashMap;
use crate::identity::Service;
use crate::links::connection::{self, Place, Places};
use crate::links::headers::Headers;
use crate::links::thread::{self, Threads};
use crate::links::{self, Candidate, Key, Outcome};

/// How long after its end an exchange waits for the other end of its connection, ns.
const SETTLE_NS: u64 = 100_000_000;

/// How long after that a root waits for what belongs below it, ns.
const LINGER_NS: u64 = 100_000_000;

/// How long an exchange that has ended waits for one that has not, ns.
const PATIENCE_NS: u64 = 30_000_000_000;

/// Room for so many exchanges is kept when none are held.
const KEPT: usize = 2048;

/// The place of a span in its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    /// 16 bytes, never all zero.
    pub trace_id: [u8; 16],
    /// 8 bytes, never all zero.
    pub span_id: [u8; 8],
    /// The parent, here or elsewhere; `None` for the root of the trace.
    pub parent_id: Option<[u8; 8]>,
    /// The flags of W3C Trace Context.
    pub flags: u8,
    /// The parent is in another process.
    pub remote: bool,
}

/// An exchange that has ended, with what is known of it so far.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The exchange.
    pub exchange: Exchange,
    /// The service of its process.
    pub service: Arc<Service>,
    /// The template of its path.
    pub route: Option<Arc<str>>,
    /// When it ended: ns since 1970-01-01 UTC.
    pub end_unix_ns: u64,
    /// It is to be kept whatever becomes of the others.
    pub notable: Option<Notable>,
    /// Its process exports its own spans.
    pub left_out: bool,
}

/// Why a span is always kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notable {
    /// It failed.
    Error,
    /// It was slow.
    Slow,
}

/// A span of a fragment that has been put together.
#[derive(Debug)]
pub struct Member {
    /// What happened.
    pub ended: Ended,
    /// Where it belongs.
    pub ids: Ids,
}

/// A fragment. The first member is the root; each other comes after its parent.
#[derive(Debug)]
pub struct Fragment {
    /// The spans.
    pub members: Vec<Member>,
    /// The context that the root's request carried; the trace is new if there is none.
    pub context: Option<TraceContext>,
    /// The `tracestate` beside it.
    pub tracestate: Option<Arc<str>>,
}

/// All fragments that are not decided.
#[derive(Debug)]
pub struct Fragments {
    nodes: HashMap<Key, Node>,
    /// What has ended, and when it may be settled.
    settling: VecDeque<(Key, u64)>,
    /// Roots, and when they may be decided.
    roots: VecDeque<(Key, u64)>,
    /// What waits for another exchange, and until when.
    parked: VecDeque<(Key, u64)>,
    threads: Threads,
    headers: Headers,
    places: Places,
    now_ns: u64,
    max: usize,
    linking: bool,
    counters: Counters,
    links: links::Counters,
}

/// An exchange from its beginning until it is decided.
#[derive(Debug)]
struct Node {
    role: Role,
    thread: thread::Id,
    context: Option<TraceContext>,
    /// Where on a connection it is.
    place: Option<Place>,
    span_id: [u8; 8],
    /// What caused it, if it was sent.
    candidate: Candidate,
    /// The rule that named the candidate.
    rule: Outcome,
    phase: Phase,
    /// `None` while it is open.
    ended: Option<Box<Ended>>,
    /// What the search for its parent came to, once it is settled.
    parent: Option<Parent>,
    /// Exchanges that wait for the end of this one.
    waiters: Vec<Key>,
    /// Exchanges that name this one as their candidate, the first few.
    named_by: Vec<Key>,
    children: Vec<Key>,
}

/// How far an exchange is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// It has ended; the search for its parent has yet to begin.
    Settling,
    /// It waits for its candidate to end.
    Parked,
    /// It is in the list of children of its parent.
    Linked,
    /// It has no parent here.
    Root,
}

/// A parent.
#[derive(Clone, Debug)]
enum Parent {
    /// It is held here.
    Held(Key),
    /// It was decided before this exchange ended: its ids, and what goes on from it.
    Decided(Box<Inherited>),
}

/// What a span takes from its parent.
#[derive(Clone, Debug)]
struct Inherited {
    trace_id: [u8; 16],
    parent_id: Option<[u8; 8]>,
    flags: u8,
    remote: bool,
    /// The context that the fragment's first request carried, and its `tracestate`.
    context: Option<TraceContext>,
    tracestate: Option<Arc<str>>,
}

impl Fragments {
    /// Room for `max` exchanges, open or ended. Without `linking` each is a fragment of its own.
    #[must_use]
    pub fn new(max: usize, linking: bool) -> Self {
        Self {
            nodes: HashMap::default(),
            settling: VecDeque::new(),
            roots: VecDeque::new(),
            parked: VecDeque::new(),
            threads: Threads::default(),
            headers: Headers::default(),
            places: Places::default(),
            now_ns: 0,
            max: max.max(1),
            linking,
            counters: Counters::default(),
            links: links::Counters::default(),
        }
    }

    /// The counters, for registration.
    #[must_use]
    pub const fn counters(&self) -> (&Counters, &links::Counters) {
        (&self.counters, &self.links)
    }

    /// An exchange has begun.
    pub fn begun(
        &mut self,
        role: Role,
        task: &Task,
        opening: &Opening,
        out: &mut impl FnMut(Fragment),
    ) {
        if !self.linking {
            return;
        }
        let key = (opening.socket, opening.index);
        let thread = (task.process, task.tid);
        if role == Role::Server {
            // Also where there is no room: what is not known of makes others look certain.
            self.threads.received(thread, opening.trail.blocking, key);
            if let Some(context) = &opening.context {
                self.headers.received(thread.0, context, key);
            }
        }
        self.make_room(out);
        if self.nodes.len() >= self.max || !self.is_free(key) {
            return;
        }
        let mut node = Node {
            role,
            thread,
            context: opening.context,
            place: connection::place(role, opening),
            span_id: decide::new_id(),
            candidate: Candidate::None,
            rule: Outcome::Root,
            phase: Phase::Open,
            ended: None,
            parent: None,
            waiters: Vec::new(),
            named_by: Vec::new(),
            children: Vec::new(),
        };
        if role == Role::Client {
            self.name_candidate(&mut node, opening);
            if let Some(place) = node.place {
                self.places.sent(place, key);
            }
        }
        self.nodes.insert(key, node);
        self.counters.held(self.nodes.len());
    }

    /// Whether no exchange has this key. One that is still open has lost its end: it is forgotten.
    fn is_free(&mut self, key: Key) -> bool {
        match self.nodes.get(&key) {
            None => true,
            Some(node) if node.phase == Phase::Open => {
                if let Some(node) = self.nodes.remove(&key) {
                    self.forget(&node, key, None);
                }
                true
            }
            Some(_) => false,
        }
    }

    /// An exchange has ended.
    pub fn ended(&mut self, ended: Ended, out: &mut impl FnMut(Fragment)) {
        let exchange = &ended.exchange;
        let key = (exchange.socket, exchange.index);
        self.now_ns = self.now_ns.max(exchange.end_ns);
        if exchange.role == Role::Server {
            let thread = (exchange.task.process, exchange.task.tid);
            self.threads.over(thread, key);
        }
        match self.nodes.get_mut(&key) {
            Some(node) if node.phase == Phase::Open => {
                node.phase = Phase::Settling;
                node.ended = Some(Box::new(ended));
                self.settling.push_back((key, self.now_ns + SETTLE_NS));
            }
            _ => {
                self.links.count(if self.linking {
                    Outcome::Expired
                } else {
                    Outcome::Root
                });
                out(alone(ended));
            }
        }
        self.advance(out);
    }

    /// An exchange will not be reported.
    pub fn dropped(&mut self, role: Role, task: &Task, key: Key, out: &mut impl FnMut(Fragment)) {
        if role == Role::Server {
            self.threads.over((task.process, task.tid), key);
        }
        if self
            .nodes
            .get(&key)
            .is_none_or(|node| node.phase != Phase::Open)
        {
            return;
        }
        if let Some(mut node) = self.nodes.remove(&key) {
            let waiters = std::mem::take(&mut node.waiters);
            self.forget(&node, key, None);
            for waiter in waiters {
                self.settle(waiter);
            }
        }
        self.advance(out);
    }

    /// Takes the time: `CLOCK_MONOTONIC`, ns.
    pub fn tick(&mut self, now_ns: u64, out: &mut impl FnMut(Fragment)) {
        self.now_ns = self.now_ns.max(now_ns);
        self.advance(out);
        self.give_back();
    }

    /// Gives memory back that a burst has needed, when an eighth of it would do.
    fn give_back(&mut self) {
        let enough = self.nodes.len().max(KEPT);
        if self.nodes.capacity() / 8 < enough {
            return;
        }
        self.nodes.shrink_to(2 * enough);
        self.places.shrink_to(2 * enough);
        for queue in [&mut self.settling, &mut self.roots, &mut self.parked] {
            queue.shrink_to(2 * enough);
        }
    }

    /// Decides all that has ended.
    pub fn finish(&mut self, out: &mut impl FnMut(Fragment)) {
        while let Some((key, _)) = self.settling.pop_front() {
            self.settle(key);
        }
        while let Some((key, _)) = self.parked.pop_front() {
            self.give_up(key);
        }
        while let Some((key, _)) = self.roots.pop_front() {
            self.decide(key, out);
        }
        self.counters.held(self.nodes.len());
    }

    /// Exchanges that are held, open or ended.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// None is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Does what is due.
    fn advance(&mut self, out: &mut impl FnMut(Fragment)) {
        let now = self.now_ns;
        let due = |queue: &VecDeque<(Key, u64)>| {
            queue
                .front()
                .filter(|(_, at)| *at <= now)
                .map(|(key, _)| *key)
        };
        while let Some(key) = due(&self.settling) {
            self.settling.pop_front();
            self.settle(key);
        }
        while let Some(key) = due(&self.parked) {
            self.parked.pop_front();
            if self.give_up(key) {
                self.counters.early(Early::Age);
            }
        }
        while let Some(key) = due(&self.roots) {
            self.roots.pop_front();
            self.decide(key, out);
        }
        self.counters.held(self.nodes.len());
    }

    /// Decides the oldest that has ended while there is no room for another.
    fn make_room(&mut self, out: &mut impl FnMut(Fragment)) {
        while self.nodes.len() >= self.max {
            if let Some((key, _)) = self.roots.pop_front() {
                self.counters.early(Early::Full);
                self.decide(key, out);
            } else if let Some((key, _)) = self.settling.pop_front() {
                self.settle(key);
            } else if let Some((key, _)) = self.parked.pop_front() {
                self.give_up(key);
            } else {
                self.counters.early(Early::Full);
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests;
