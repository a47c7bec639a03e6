//! Which exchanges are wanted.

use std::collections::HashMap;

use crate::config::{RequestLog, Which};
use crate::otlp::Span;

/// The rule for all, and those of single services.
#[derive(Debug)]
pub(super) struct Choice {
    which: Which,
    services: HashMap<Box<str>, Which>,
    slow_ns: u64,
}

impl Choice {
    pub(super) fn new(config: &RequestLog) -> Self {
        let rules = config.services.iter().filter_map(|rule| {
            let (service, which) = rule.rsplit_once('=')?;
            Some((service.into(), Which::from_word(which)?))
        });
        Self {
            which: config.which,
            services: rules.collect(),
            slow_ns: u64::try_from(config.slow.as_nanos()).unwrap_or(u64::MAX),
        }
    }

    pub(super) fn takes(&self, span: &Span, kept: bool) -> bool {
        let exchange = &span.exchange;
        let which = self.services.get(&*span.service.name).copied();
        match which.unwrap_or(self.which) {
            Which::Kept => kept,
            Which::All => true,
            Which::Errors => exchange.error_type().is_some(),
            Which::Slow => exchange.duration_ns() >= self.slow_ns,
            Which::None => false,
        }
    }
}
