//! The search for the parent of an exchange that has ended.

use super::{Fragments, Inherited, Key, LINGER_NS, Node, PATIENCE_NS, Parent, Phase};
use crate::connection::Opening;
use crate::exchange::{Exchange, Protocol, Role};
use crate::links::{Candidate, Outcome, connection};

/// Longest chain of parents that is looked through for a circle.
const DEPTH_LIMIT: usize = 256;

/// Exchanges that may take their parent's ids with them if it is decided before they have ended.
const NAMED_LIMIT: usize = 256;

/// What is known of a possible parent.
enum Judged {
    /// It is the parent.
    Holds,
    /// It has not ended.
    Waits,
    /// It is none, or not for certain.
    Fails(Outcome),
}

impl Fragments {
    /// Asks the rules for the request that may have caused one that is sent now.
    pub(super) fn name_candidate(&mut self, node: &mut Node, opening: &Opening) {
        if let Some(context) = &opening.context {
            node.candidate = self.headers.parent(node.thread.0, context);
            node.rule = Outcome::Headers;
        }
        if !matches!(node.candidate, Candidate::One(_)) {
            // Also where the headers are ambiguous: the thread may tell.
            node.rule = Outcome::Thread;
            node.candidate = match self.threads.parent(node.thread) {
                Candidate::One(_) if opening.protocol == Protocol::Http2 => Candidate::Ambiguous,
                Candidate::None => node.candidate,
                named => named,
            };
        }
        // A process that asks itself has received the very request, with its context, maybe before the
        // write has returned: the other end of an exchange is what it causes.
        if let Candidate::One(named) = node.candidate
            && node.place.is_some()
            && (self.nodes.get(&named)).is_some_and(|named| named.place == node.place)
        {
            node.candidate = Candidate::None;
        }
        if let Candidate::One(parent) = node.candidate
            && let Some(parent) = self.nodes.get_mut(&parent)
            && parent.named_by.len() < NAMED_LIMIT
        {
            parent.named_by.push((opening.socket, opening.index));
        }
    }

    /// Looks for the parent of an exchange that has ended, and then once more at those that waited
    /// for its end.
    pub(super) fn settle(&mut self, key: Key) {
        let Some(node) = self.nodes.get(&key) else {
            return;
        };
        if !matches!(node.phase, Phase::Settling | Phase::Parked) {
            return;
        }
        let candidate = match node.role {
            Role::Client => node.candidate,
            Role::Server => node
                .place
                .and_then(|place| self.places.get(&place))
                .map_or(Candidate::None, Candidate::One),
        };
        match candidate {
            Candidate::None => self.root(key, Outcome::Root),
            Candidate::Ambiguous => self.root(key, Outcome::Ambiguous),
            Candidate::One(parent) => match self.judge(key, parent) {
                Judged::Holds => self.link(key, parent),
                Judged::Waits => self.park(key, parent),
                Judged::Fails(outcome) => self.root(key, outcome),
            },
        }
        let waiters = self
            .nodes
            .get_mut(&key)
            .map(|node| std::mem::take(&mut node.waiters))
            .unwrap_or_default();
        for waiter in waiters {
            self.settle(waiter);
        }
    }

    fn judge(&self, key: Key, parent_key: Key) -> Judged {
        let Some(child) = self.nodes.get(&key) else {
            return Judged::Fails(Outcome::Expired);
        };
        let Some(parent) = self.nodes.get(&parent_key) else {
            return match child.parent {
                // It was decided, and left what is needed.
                Some(Parent::Decided(_)) => Judged::Holds,
                _ => Judged::Fails(Outcome::Expired),
            };
        };
        let (Some(child_ended), Some(parent_ended)) = (&child.ended, &parent.ended) else {
            return Judged::Waits;
        };
        let proven = match child.role {
            Role::Server => connection::agree(&parent_ended.exchange, &child_ended.exchange),
            Role::Client => child.rule == Outcome::Headers || worked_for(&parent_ended.exchange),
        };
        if !proven {
            return Judged::Fails(Outcome::Unproven);
        }
        if !same_trace(child, parent) || self.is_above(key, parent_key) {
            return Judged::Fails(Outcome::Conflict);
        }
        Judged::Holds
    }

    /// Whether `upper` is `lower` or above it. Causes come before effects, so this is never so, unless
    /// records lie.
    fn is_above(&self, upper: Key, lower: Key) -> bool {
        let mut at = lower;
        for _ in 0..DEPTH_LIMIT {
            if at == upper {
                return true;
            }
            match self.nodes.get(&at).and_then(|node| node.parent.as_ref()) {
                Some(Parent::Held(parent)) => at = *parent,
                Some(Parent::Decided(_)) | None => return false,
            }
        }
        true
    }

    fn link(&mut self, key: Key, parent_key: Key) {
        let Some(node) = self.nodes.get_mut(&key) else {
            return;
        };
        let outcome = match node.role {
            Role::Server => Outcome::Connection,
            Role::Client => node.rule,
        };
        if matches!(node.parent, Some(Parent::Decided(_))) {
            // The parent is gone: this is the first of what is left of the fragment.
            self.links.count(outcome);
            self.enter_roots(key);
            return;
        }
        node.phase = Phase::Linked;
        node.parent = Some(Parent::Held(parent_key));
        if let Some(parent) = self.nodes.get_mut(&parent_key) {
            parent.children.push(key);
        }
        self.links.count(outcome);
    }

    fn root(&mut self, key: Key, outcome: Outcome) {
        if let Some(node) = self.nodes.get_mut(&key) {
            node.parent = None;
            self.links.count(outcome);
            self.enter_roots(key);
        }
    }

    fn enter_roots(&mut self, key: Key) {
        if let Some(node) = self.nodes.get_mut(&key) {
            node.phase = Phase::Root;
            self.roots.push_back((key, self.now_ns + LINGER_NS));
        }
    }

    fn park(&mut self, key: Key, parent: Key) {
        if let Some(parent) = self.nodes.get_mut(&parent) {
            parent.waiters.push(key);
        }
        self.thin_out(parent);
        if let Some(node) = self.nodes.get_mut(&key) {
            node.phase = Phase::Parked;
            self.parked.push_back((key, self.now_ns + PATIENCE_NS));
        }
    }

    /// Those that gave up waiting do not stay in the list for ever. Done when the list has doubled.
    fn thin_out(&mut self, key: Key) {
        let full = |list: &Vec<Key>| list.len() >= 64 && list.len().is_power_of_two();
        let Some(waiters) = self
            .nodes
            .get_mut(&key)
            .filter(|node| full(&node.waiters))
            .map(|node| std::mem::take(&mut node.waiters))
        else {
            return;
        };
        let still = waiters
            .into_iter()
            .filter(|waiter| {
                self.nodes
                    .get(waiter)
                    .is_some_and(|node| matches!(node.phase, Phase::Parked | Phase::Settling))
            })
            .collect();
        if let Some(node) = self.nodes.get_mut(&key) {
            node.waiters = still;
        }
    }

    /// It has waited long enough. Returns whether it still did.
    pub(super) fn give_up(&mut self, key: Key) -> bool {
        let waits = self
            .nodes
            .get(&key)
            .is_some_and(|node| node.phase == Phase::Parked);
        if waits {
            self.root(key, Outcome::Expired);
        }
        waits
    }

    /// An exchange leaves the table; those that name it as their candidate and are still on their
    /// way take with them what they need of it, if there is anything.
    pub(super) fn forget(&mut self, node: &Node, key: Key, ids: Option<&Inherited>) {
        if let Some(place) = &node.place
            && node.role == Role::Client
        {
            self.places.forget(place, key);
        }
        let Some(ids) = ids else { return };
        let proven = node
            .ended
            .as_ref()
            .is_some_and(|ended| !ended.left_out && worked_for(&ended.exchange));
        for name in &node.named_by {
            if let Some(child) = self.nodes.get_mut(name)
                && child.phase == Phase::Open
                && (child.rule == Outcome::Headers || proven)
                && same_trace(child, node)
            {
                child.parent = Some(Parent::Decided(Box::new(ids.clone())));
            }
        }
    }
}

/// The thread that received the request also sent its answer, which was whole.
fn worked_for(received: &Exchange) -> bool {
    received.error.is_none() && received.trail.response_thread == received.task.tid
}

/// What the headers of a child say, if they say anything, is the trace of the parent.
fn same_trace(child: &Node, parent: &Node) -> bool {
    child.context.is_none_or(|own| {
        parent
            .context
            .is_some_and(|context| context.trace_id == own.trace_id)
    })
}
