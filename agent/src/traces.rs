//! From exchanges to spans: links, fragments, sampling put together.

use std::collections::VecDeque;
use std::sync::Arc;

use hark_common::socket::Task;

use crate::config::Config;
use crate::connection::Opening;
use crate::exchange::{Exchange, Role};
use crate::fragment::{Ended, Fragment, Fragments};
use crate::identity::Service;
use crate::instrumented::Instrumented;
use crate::links::Key;
use crate::otlp::span::Span;
use crate::sampling::Sampler;
use crate::telemetry::Telemetry;

/// Everything between an exchange and its span.
#[derive(Debug)]
pub(crate) struct Traces {
    fragments: Fragments,
    sampler: Sampler,
    instrumented: Option<Instrumented>,
    decided: Decided,
}

/// Spans that wait to be taken, and whether each is kept. No more than one call has made.
type Decided = VecDeque<(Span, bool)>;

impl Traces {
    pub(crate) fn new(config: &Config) -> Self {
        let traces = &config.traces;
        Self {
            fragments: Fragments::new(config.limits.max_fragment_exchanges, traces.links),
            sampler: Sampler::new(&config.sampling),
            instrumented: traces
                .leave_out_instrumented
                .then(|| Instrumented::new(config.limits.max_processes)),
            decided: VecDeque::new(),
        }
    }

    /// Registers what its parts say of themselves.
    pub(crate) fn register(&self, telemetry: &mut Telemetry) {
        let registry = telemetry.registry_mut();
        let (fragments, links) = self.fragments.counters();
        fragments.register(registry);
        links.register(registry);
        self.sampler.register(registry);
        if let Some(instrumented) = &self.instrumented {
            instrumented.register(registry);
        }
    }

    /// An exchange has begun.
    pub(crate) fn begun(&mut self, role: Role, task: &Task, opening: &Opening) {
        let (fragments, mut sink) = self.parts();
        fragments.begun(role, task, opening, &mut sink);
    }

    /// An exchange that has begun will not be reported.
    pub(crate) fn dropped(&mut self, role: Role, task: &Task, key: Key) {
        let (fragments, mut sink) = self.parts();
        fragments.dropped(role, task, key, &mut sink);
    }

    /// An exchange has ended.
    pub(crate) fn ended(
        &mut self,
        exchange: Exchange,
        service: Arc<Service>,
        route: Option<Arc<str>>,
        end_unix_ns: u64,
    ) {
        let left_out = self
            .instrumented
            .as_mut()
            .is_some_and(|instrumented| instrumented.observe(&exchange, &service));
        let notable = self
            .sampler
            .notable(&exchange, &service.name, route.as_deref());
        let ended = Ended {
            exchange,
            service,
            route,
            end_unix_ns,
            notable,
            left_out,
        };
        let (fragments, mut sink) = self.parts();
        fragments.ended(ended, &mut sink);
    }

    /// Takes the time: `CLOCK_MONOTONIC`, ns.
    pub(crate) fn tick(&mut self, now_ns: u64) {
        if let Some(instrumented) = &mut self.instrumented {
            instrumented.tick(now_ns);
        }
        let (fragments, mut sink) = self.parts();
        fragments.tick(now_ns, &mut sink);
    }

    /// Decides all that is held.
    pub(crate) fn finish(&mut self) {
        let (fragments, mut sink) = self.parts();
        fragments.finish(&mut sink);
    }

    /// The next span that was decided, and whether it is kept.
    pub(crate) fn next(&mut self) -> Option<(Span, bool)> {
        self.decided.pop_front()
    }

    fn parts(&mut self) -> (&mut Fragments, impl FnMut(Fragment)) {
        let Self {
            fragments,
            sampler,
            decided,
            ..
        } = self;
        (fragments, |fragment| decide(sampler, fragment, decided))
    }
}

fn decide(sampler: &mut Sampler, fragment: Fragment, decided: &mut Decided) {
    // By the time of the last end, so that a capture that is replayed is sampled as it was.
    let now_ns = fragment
        .members
        .iter()
        .map(|member| member.ended.exchange.end_ns)
        .max()
        .unwrap_or(0);
    let decisions = sampler.decide(&fragment, now_ns);
    for (member, of_it) in fragment.members.into_iter().zip(decisions) {
        let span = Span::linked(member.ended, member.ids, of_it.tracestate);
        decided.push_back((span, of_it.decision.keeps()));
    }
}
