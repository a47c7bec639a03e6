//! What the buffer of fragments says of itself.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Why something was decided before it was whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Early {
    /// An exchange that it waited for did not end in time.
    Age,
    /// There was no room.
    Full,
}

impl Early {
    const ALL: [Self; 2] = [Self::Age, Self::Full];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Age => "age",
            Self::Full => "full",
        }
    }
}

type Label = [(&'static str, &'static str); 1];

/// The counters. Clones count together.
#[derive(Clone, Debug)]
pub struct Counters {
    family: Family<Label, Counter>,
    early: [Counter; Early::ALL.len()],
    held: Gauge,
}

impl Default for Counters {
    fn default() -> Self {
        let family = Family::<Label, Counter>::default();
        Self {
            early: Early::ALL
                .map(|reason| family.get_or_create_owned(&[("reason", reason.as_str())])),
            held: Gauge::default(),
            family,
        }
    }
}

impl Counters {
    /// Adds them to a registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "hark_fragments_early",
            "Parts of traces that were decided before they were whole",
            self.family.clone(),
        );
        registry.register(
            "hark_fragment_exchanges",
            "Exchanges that are held until the part of the trace that they belong to is whole",
            self.held.clone(),
        );
    }

    /// Fragments decided early for this reason.
    #[must_use]
    pub fn early_for(&self, reason: Early) -> u64 {
        self.early[reason as usize].get()
    }

    pub(super) fn early(&self, reason: Early) {
        self.early[reason as usize].inc();
    }

    pub(super) fn held(&self, count: usize) {
        self.held.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}
