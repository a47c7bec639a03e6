//! What the lookups cost and miss, as `hark_identity_*`.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// How a lookup ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// All that was asked for could be read.
    Found,
    /// The process had ended, or called exec, before it was looked at.
    Gone,
    /// Something could not be read: the agent lacks the right, or the kernel refused.
    Denied,
    /// It was in the middle of exec: it is looked up again when it is next met.
    Unsettled,
}

type Label = [(&'static str, &'static str); 1];

/// The counters, with their handles at hand.
#[derive(Clone, Debug)]
pub(super) struct Metrics {
    lookups: Family<Label, Counter>,
    found: Counter,
    gone: Counter,
    denied: Counter,
    unsettled: Counter,
    /// Processes forgotten because the table was full.
    pub(super) evictions: Counter,
    /// Processes in the table.
    pub(super) processes: Gauge,
    /// Services whose departure was not reported.
    pub(super) departures_lost: Counter,
    attributes_discarded: Counter,
    environ_cut: Counter,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let lookups = Family::<Label, Counter>::default();
        let of = |outcome| lookups.get_or_create(&[("outcome", outcome)]).clone();
        Self {
            found: of("found"),
            gone: of("gone"),
            denied: of("denied"),
            unsettled: of("unsettled"),
            lookups,
            evictions: Counter::default(),
            processes: Gauge::default(),
            departures_lost: Counter::default(),
            attributes_discarded: Counter::default(),
            environ_cut: Counter::default(),
        }
    }

    pub(super) fn lookup(&self, outcome: Outcome) {
        match outcome {
            Outcome::Found => &self.found,
            Outcome::Gone => &self.gone,
            Outcome::Denied => &self.denied,
            Outcome::Unsettled => &self.unsettled,
        }
        .inc();
    }

    #[cfg(test)]
    pub(super) fn lookups_by_outcome(&self) -> [u64; 4] {
        [
            self.found.get(),
            self.gone.get(),
            self.denied.get(),
            self.unsettled.get(),
        ]
    }

    pub(super) fn attributes_discarded(&self) {
        self.attributes_discarded.inc();
    }

    pub(super) fn environ_cut(&self) {
        self.environ_cut.inc();
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "hark_identity_lookups",
            "Processes looked up in /proc: found whole, gone before they were looked at, denied in part, or unsettled in the middle of exec, to be looked up again",
            self.lookups.clone(),
        );
        registry.register(
            "hark_identity_evictions",
            "Processes forgotten because the table of processes was full",
            self.evictions.clone(),
        );
        registry.register(
            "hark_identity_processes",
            "Processes whose identity is kept",
            self.processes.clone(),
        );
        registry.register(
            "hark_identity_departures_lost",
            "Services without a living process that were not reported, so that their series stay",
            self.departures_lost.clone(),
        );
        registry.register(
            "hark_identity_attributes_discarded",
            "Values of OTEL_RESOURCE_ATTRIBUTES ignored because they are malformed",
            self.attributes_discarded.clone(),
        );
        registry.register(
            "hark_identity_environ_cut",
            "Environments longer than what is read of them",
            self.environ_cut.clone(),
        );
    }
}
