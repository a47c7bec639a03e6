//! Which spans are kept. Metrics are made from all exchanges, before this.
//!
//! - A span that failed or was slow is kept. That does not depend on the randomness of its trace, so
//!   it stands for itself alone: `th:0`.
//! - Of the rest, those whose trace has a randomness that reaches a [`Threshold`]: the same traces
//!   everywhere. They say by `th` how many they stand for.
//! - The rest of a fragment that has a span that failed or was slow is kept as well, to show what led
//!   to it. With what probability is not known, so these have no `th`, and count for nothing.
//!
//! A budget in spans per second raises the threshold for all that follow, rather than dropping some.
//! Where it is configured so, what the sender of the request decided holds instead, but for what
//! failed or was slow.

mod budget;
mod slow;
pub mod threshold;

pub use slow::SlowAfter;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::exchange::Exchange;
use crate::fragment::{Fragment, Notable};
use budget::Budget;
use slow::Slow;
use threshold::Threshold;

/// How spans are sampled.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// Share of the traces that are kept, of those in which nothing failed or was slow.
    pub probability: f64,
    /// Spans per second that may be kept; 0 for any number.
    pub spans_per_second: usize,
    /// What is slow.
    pub slow_after: Vec<SlowAfter>,
    /// Share of the recent exchanges of a route that are not slow; 0 for no such judgement.
    pub slow_quantile: f64,
    /// Whose decision holds.
    pub parent: ParentDecision,
}

/// What becomes of the decision of who sent the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParentDecision {
    /// Nothing.
    Ignore,
    /// It holds.
    Honour,
}

/// What was decided of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Kept: it failed.
    Error,
    /// Kept: it was slow.
    Slow,
    /// Kept by its trace's randomness.
    Probability,
    /// Kept because the sender of the request did.
    Parent,
    /// Kept for another span of its fragment.
    Fragment,
    /// Not kept, by its trace's randomness.
    SampledOut,
    /// Not kept because the sender of the request did not.
    ParentSampledOut,
    /// Not kept: its process exports spans of its own.
    LeftOut,
}

impl Decision {
    const ALL: [Self; 8] = [
        Self::Error,
        Self::Slow,
        Self::Probability,
        Self::Parent,
        Self::Fragment,
        Self::SampledOut,
        Self::ParentSampledOut,
        Self::LeftOut,
    ];

    /// Value of the label `decision`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Slow => "slow",
            Self::Probability => "probability",
            Self::Parent => "parent",
            Self::Fragment => "fragment",
            Self::SampledOut => "sampled_out",
            Self::ParentSampledOut => "parent_sampled_out",
            Self::LeftOut => "left_out",
        }
    }

    /// Whether the span is kept.
    #[must_use]
    pub const fn keeps(self) -> bool {
        match self {
            Self::Error | Self::Slow | Self::Probability | Self::Parent | Self::Fragment => true,
            Self::SampledOut | Self::ParentSampledOut | Self::LeftOut => false,
        }
    }
}

type Label = [(&'static str, &'static str); 1];

/// Decides.
#[derive(Debug)]
pub struct Sampler {
    slow: Slow,
    budget: Budget,
    parent: ParentDecision,
    /// `tracestate` by threshold, where there is nothing else in it: mostly the same again.
    written: Option<(Option<Threshold>, Arc<str>)>,
    family: Family<Label, Counter>,
    by_decision: [Counter; Decision::ALL.len()],
    probability: Gauge<f64, AtomicU64>,
}

/// What is decided of one span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// Whether it is kept, and why.
    pub decision: Decision,
    /// Its `tracestate`; may be empty.
    pub tracestate: Arc<str>,
}

impl Sampler {
    /// One that has seen nothing yet.
    #[must_use]
    pub fn new(config: &Sampling) -> Self {
        let family = Family::<Label, Counter>::default();
        let budget = Budget::new(
            Threshold::of_probability(config.probability),
            config.spans_per_second,
        );
        let probability = Gauge::default();
        probability.set(budget.threshold().probability());
        Self {
            slow: Slow::new(
                config.slow_after.clone(),
                // Nobody asks what is slow where everything is kept.
                if budget.keeps_all() && config.parent != ParentDecision::Honour {
                    0.0
                } else {
                    config.slow_quantile
                },
            ),
            budget,
            parent: config.parent,
            written: None,
            by_decision: Decision::ALL
                .map(|decision| family.get_or_create_owned(&[("decision", decision.as_str())])),
            family,
            probability,
        }
    }

    /// Adds what it says of itself to a registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "hark_spans_decided",
            "Spans by what was decided of them; those that are kept are offered for export",
            self.family.clone(),
        );
        registry.register(
            "hark_sampling_probability",
            "Share of the traces that are kept at present, of those in which nothing failed or was slow",
            self.probability.clone(),
        );
    }

    /// Spans of this decision so far.
    #[must_use]
    pub fn decided(&self, decision: Decision) -> u64 {
        self.by_decision[decision as usize].get()
    }

    /// Why an exchange that has just ended is always kept, if it is. To be asked once for each.
    pub fn notable(
        &mut self,
        exchange: &Exchange,
        service: &str,
        route: Option<&str>,
    ) -> Option<Notable> {
        let slow = self.slow.judge(exchange, service, route);
        if exchange.is_error() {
            Some(Notable::Error)
        } else {
            slow.then_some(Notable::Slow)
        }
    }

    /// Decides, for each member of a fragment in its order. `now_ns` is `CLOCK_MONOTONIC`.
    pub fn decide(&mut self, fragment: &Fragment, now_ns: u64) -> Vec<Decided> {
        let Some(root) = fragment.members.first() else {
            return Vec::new();
        };
        let state = fragment.tracestate.as_deref();
        let shown = fragment
            .members
            .iter()
            .any(|member| !member.ended.left_out && member.ended.notable.is_some());
        let sender = fragment
            .context
            .filter(|context| self.parent == ParentDecision::Honour && !context.deferred)
            .map(|context| context.flags & 1 != 0);
        let randomness = threshold::randomness(&root.ids.trace_id, state);
        let mut decided = Vec::with_capacity(fragment.members.len());
        for member in &fragment.members {
            let notable = member.ended.notable;
            let subject = !member.ended.left_out && notable.is_none() && sender.is_none();
            let limit = self.budget.next(now_ns, subject);
            let (decision, threshold) = match (member.ended.left_out, notable, sender) {
                (true, _, _) => (Decision::LeftOut, None),
                (false, Some(Notable::Error), _) => (Decision::Error, Some(Threshold::ALL)),
                (false, Some(Notable::Slow), _) => (Decision::Slow, Some(Threshold::ALL)),
                (false, None, Some(true)) => (Decision::Parent, None),
                (false, None, None) if limit.keeps(randomness) => {
                    (Decision::Probability, Some(limit))
                }
                (false, None, _) if shown => (Decision::Fragment, None),
                (false, None, Some(false)) => (Decision::ParentSampledOut, None),
                (false, None, None) => (Decision::SampledOut, None),
            };
            if decision.keeps() {
                self.budget.kept(subject);
            }
            self.by_decision[decision as usize].inc();
            let tracestate = if decision == Decision::Parent {
                // What the sender said of its probability holds for this span, too, unless it
                // contradicts itself.
                match (state, state.and_then(threshold::of)) {
                    (Some(state), Some(own)) if !own.keeps(randomness) => {
                        threshold::write(Some(state), None).into()
                    }
                    _ => fragment.tracestate.clone().unwrap_or_default(),
                }
            } else {
                self.tracestate(state, threshold)
            };
            decided.push(Decided {
                decision,
                tracestate,
            });
        }
        self.probability.set(self.budget.threshold().probability());
        decided
    }

    fn tracestate(&mut self, state: Option<&str>, threshold: Option<Threshold>) -> Arc<str> {
        if state.is_some() {
            return threshold::write(state, threshold).into();
        }
        match &self.written {
            Some((known, written)) if *known == threshold => Arc::clone(written),
            _ => {
                let written: Arc<str> = threshold::write(None, threshold).into();
                self.written = Some((threshold, Arc::clone(&written)));
                written
            }
        }
    }
}

#[cfg(test)]
mod tests;
