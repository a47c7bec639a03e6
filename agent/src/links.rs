//! Which exchange caused which: a rule per file, each of which says so only where it is certain.
//!
//! 1. [`headers`]: a request that was sent carries the very trace context of one that was received.
//! 2. [`connection`]: both ends of one connection are on this host, so that the request that one of
//!    them sent is the one that the other received.
//! 3. [`thread`]: a request was sent by a thread that was working for one received request, and can
//!    have worked for no other.
//!
//! A wrong parent is a fault of the worst kind; a missing one is counted. So what is likely but not
//! certain is no link: what an event loop sends, what a pool of threads does for another thread, what
//! happens to be sent while one request is open (it may be a poller in the background).
//!
//! The rules keep tables of what is under way and name a candidate when a request is sent. Whether
//! the link holds is seen when the candidate has ended, see [`crate::fragment`].

pub mod connection;
pub mod headers;
pub mod thread;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// Names an exchange: the socket's cookie, and the number of the request or stream.
pub type Key = (u64, u32);

/// What a rule says of a request that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Candidate {
    /// The rule has nothing to say.
    None,
    /// Several received requests may have caused it, or one that is not known.
    Ambiguous,
    /// If any, it is this one.
    One(Key),
}

/// What became of the search for a span's parent. Each span has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Linked by [`headers`].
    Headers,
    /// Linked by [`connection`].
    Connection,
    /// Linked by [`thread`].
    Thread,
    /// Several exchanges of this process may have caused it.
    Ambiguous,
    /// There was one candidate, but that it is the parent could not be proven.
    Unproven,
    /// The candidate belongs to another trace by its headers.
    Conflict,
    /// The candidate did not end in time, or the buffer was full.
    Expired,
    /// There was no candidate: the span is the first of its trace on this host.
    Root,
}

impl Outcome {
    const ALL: [Self; 8] = [
        Self::Headers,
        Self::Connection,
        Self::Thread,
        Self::Ambiguous,
        Self::Unproven,
        Self::Conflict,
        Self::Expired,
        Self::Root,
    ];

    /// Value of the label `result`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Headers => "headers",
            Self::Connection => "connection",
            Self::Thread => "thread",
            Self::Ambiguous => "ambiguous",
            Self::Unproven => "unproven",
            Self::Conflict => "conflict",
            Self::Expired => "expired",
            Self::Root => "root",
        }
    }
}

type Label = [(&'static str, &'static str); 1];

/// Spans by what became of the search for their parent. Clones count together.
#[derive(Clone, Debug)]
pub struct Counters {
    family: Family<Label, Counter>,
    by_outcome: [Counter; Outcome::ALL.len()],
}

impl Default for Counters {
    fn default() -> Self {
        let family = Family::<Label, Counter>::default();
        Self {
            by_outcome: Outcome::ALL
                .map(|outcome| family.get_or_create_owned(&[("result", outcome.as_str())])),
            family,
        }
    }
}

impl Counters {
    /// Adds them to a registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "hark_span_links",
            "Spans by what became of the search for their parent on this host",
            self.family.clone(),
        );
    }

    pub(crate) fn count(&self, outcome: Outcome) {
        self.by_outcome[outcome as usize].inc();
    }

    /// Spans of this outcome so far.
    #[must_use]
    pub fn of(&self, outcome: Outcome) -> u64 {
        self.by_outcome[outcome as usize].get()
    }
}
