//! What the store of request metrics says of itself.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// What the store says of itself; clones count together.
#[derive(Clone, Debug, Default)]
pub(super) struct StoreMetrics {
    pub(super) series: Gauge,
    pub(super) overflow: Counter,
    pub(super) addresses: Counter,
    pub(super) methods: Counter,
    pub(super) expired: Counter,
}

impl StoreMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "hark_series",
            "Series of request metrics held; a histogram is one",
            self.series.clone(),
        );
        registry.register(
            "hark_series_overflow",
            "Exchanges and active requests that went to the overflow series because the limit was reached",
            self.overflow.clone(),
        );
        registry.register(
            "hark_series_expired",
            "Series let go because their service was gone",
            self.expired.clone(),
        );
        registry.register(
            "hark_server_addresses_beyond_limit",
            "Client exchanges whose server_address is other because their service has reached its number of addresses",
            self.addresses.clone(),
        );
        registry.register(
            "hark_rpc_methods_beyond_limit",
            "Calls whose rpc_method is other because their service has reached its number of methods",
            self.methods.clone(),
        );
    }
}
