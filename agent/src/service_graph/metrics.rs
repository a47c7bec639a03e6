//! What the service graph says of itself.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Clones count together.
#[derive(Clone, Debug, Default)]
pub(super) struct GraphMetrics {
    pub(super) edges: Gauge,
    pub(super) overflow: Counter,
    pub(super) remotes: Counter,
    pub(super) hurried: Counter,
    pub(super) unplaced: Counter,
}

impl GraphMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        let Self {
            edges,
            overflow,
            remotes,
            hurried,
            unplaced,
        } = self;
        registry.register(
            "hark_service_graph_edges",
            "Pairs of client and server in the service graph",
            edges.clone(),
        );
        registry.register(
            "hark_service_graph_overflow",
            "Exchanges counted between other and other because the limit of edges was reached",
            overflow.clone(),
        );
        registry.register(
            "hark_service_graph_remotes_beyond_limit",
            "Exchanges whose remote end is called other because its service has reached its number of names",
            remotes.clone(),
        );
        registry.register(
            "hark_service_graph_hurried",
            "Exchanges placed before their other end had its time to be heard, because too many waited",
            hurried.clone(),
        );
        registry.register(
            "hark_service_graph_unplaced",
            "Exchanges over AF_UNIX whose other end was not heard, left out of the graph",
            unplaced.clone(),
        );
    }
}
