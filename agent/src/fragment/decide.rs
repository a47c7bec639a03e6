//! A fragment that is whole: its spans take their places in the trace.

use rand::random;

use super::{Ended, Fragment, Fragments, Ids, Inherited, Key, Member, Parent, Phase};
use crate::exchange::{Exchange, Role};

/// The W3C flag of a trace that is recorded.
const SAMPLED: u8 = 0x01;
/// The W3C flag of a trace id whose right-most seven bytes are random.
const RANDOM: u8 = 0x02;

/// A new id, never all zero, which would mean "none".
pub(super) fn new_id<const N: usize>() -> [u8; N] {
    loop {
        let id = std::array::from_fn(|_| random());
        if id != [0; N] {
            return id;
        }
    }
}

impl Inherited {
    /// What an exchange has without a parent here: its headers, or a trace of its own.
    ///
    /// The flags of a trace that is continued stay as they came (W3C Trace Context level 2 asks so
    /// for the random flag). The parent of a server's span is in the process that sent the request;
    /// that of a client's span is in the client itself, which wrote the header.
    fn of_root(exchange: &Exchange) -> Self {
        match &exchange.request.context {
            Some(context) => Self {
                trace_id: context.trace_id,
                parent_id: context.parent(),
                flags: context.flags,
                remote: exchange.role == Role::Server && context.parent().is_some(),
                context: Some(*context),
                tracestate: exchange.request.tracestate.clone(),
            },
            None => Self {
                trace_id: new_id(),
                parent_id: None,
                flags: SAMPLED | RANDOM,
                remote: false,
                context: None,
                tracestate: None,
            },
        }
    }

    const fn ids(&self, span_id: [u8; 8]) -> Ids {
        Ids {
            trace_id: self.trace_id,
            span_id,
            parent_id: self.parent_id,
            flags: self.flags,
            remote: self.remote,
        }
    }
}

/// An exchange that nothing was held of.
pub(crate) fn alone(ended: Ended) -> Fragment {
    let inherited = Inherited::of_root(&ended.exchange);
    Fragment {
        context: ended.exchange.request.context,
        tracestate: inherited.tracestate.clone(),
        members: vec![Member {
            ids: inherited.ids(new_id()),
            ended,
        }],
    }
}

impl Fragments {
    /// Takes a root and everything below it out, and hands it on: as several fragments where there
    /// are spans left out between.
    pub(super) fn decide(&mut self, root: Key, out: &mut impl FnMut(Fragment)) {
        if self
            .nodes
            .get(&root)
            .is_none_or(|node| node.phase != Phase::Root)
        {
            return;
        }
        // Each with what it takes from its parent, if that goes on.
        let mut roots: Vec<(Key, Option<Inherited>)> = vec![(root, None)];
        while let Some((root, inherited)) = roots.pop() {
            self.assemble(root, inherited, &mut roots, out);
        }
    }

    fn assemble(
        &mut self,
        root: Key,
        inherited: Option<Inherited>,
        roots: &mut Vec<(Key, Option<Inherited>)>,
        out: &mut impl FnMut(Fragment),
    ) {
        let mut fragment = Fragment {
            members: Vec::new(),
            context: None,
            tracestate: None,
        };
        let mut below: Vec<(Key, Option<Inherited>)> = vec![(root, inherited)];
        while let Some((key, inherited)) = below.pop() {
            let Some(mut node) = self.nodes.remove(&key) else {
                continue;
            };
            let Some(ended) = node.ended.take() else {
                continue;
            };
            let inherited = match (inherited, node.parent.take()) {
                (Some(inherited), _) => inherited,
                (None, Some(Parent::Decided(inherited))) => *inherited,
                (None, _) => Inherited::of_root(&ended.exchange),
            };
            let span_id = node.span_id;
            let passed_on = Inherited {
                parent_id: Some(span_id),
                remote: false,
                ..inherited.clone()
            };
            for child in std::mem::take(&mut node.children) {
                if ended.left_out {
                    // It is below a span that somebody else exports, as its own headers say.
                    roots.push((child, None));
                } else {
                    let remote = self
                        .nodes
                        .get(&child)
                        .is_some_and(|node| node.role == Role::Server);
                    let passed_on = Inherited {
                        remote,
                        ..passed_on.clone()
                    };
                    below.push((child, Some(passed_on)));
                }
            }
            if fragment.members.is_empty() {
                fragment.context = inherited.context;
                fragment.tracestate.clone_from(&inherited.tracestate);
            }
            let left_out = ended.left_out;
            node.ended = Some(ended);
            self.forget(&node, key, (!left_out).then_some(&passed_on));
            if let Some(ended) = node.ended {
                fragment.members.push(Member {
                    ids: inherited.ids(span_id),
                    ended: *ended,
                });
            }
        }
        if !fragment.members.is_empty() {
            out(fragment);
        }
    }
}
