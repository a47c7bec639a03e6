//! What the agent says of itself, and the page on which all metrics are put together.
//!
//! A page has two sources: [`page::Section`]s that write themselves, for what is large (the
//! request metrics), and a [`Registry`] for the rest. Each subsystem owns a struct of counters and
//! registers them with [`Telemetry::registry_mut`].

#[cfg(test)]
mod docs;
pub mod page;
mod process;
pub mod seconds;
#[cfg(test)]
pub(crate) mod testing;
mod text;

use std::io;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use page::{Format, Page, Section};

/// All metrics of the agent.
#[derive(Debug)]
pub struct Telemetry {
    registry: Registry,
    sections: Vec<Box<dyn Section>>,
    scrape_duration: Gauge<f64, AtomicU64>,
    refused: Family<RefusedLabels, Counter>,
}

/// What the agent's HTTP server had no room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A connection.
    Connection,
    /// A scrape.
    Scrape,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusedLabels {
    limit: &'static str,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self::new()
    }
}

impl Telemetry {
    /// With what the agent says of itself as a process.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::default();
        registry.register(
            "hark_build",
            "Version of the agent",
            Info::new([
                ("version", env!("CARGO_PKG_VERSION")),
                ("arch", std::env::consts::ARCH),
            ]),
        );
        let scrape_duration = Gauge::default();
        registry.register_with_unit(
            "hark_scrape_duration",
            "Time that the scrape before this one took to write, with the time its reader took",
            Unit::Seconds,
            scrape_duration.clone(),
        );
        let refused = Family::default();
        registry.register(
            "hark_http_refused",
            "Requests to the agent's own endpoints refused, by the limit that was reached",
            refused.clone(),
        );
        for limit in [Refused::Connection, Refused::Scrape] {
            drop(refused.get_or_create(&limit.labels()));
        }
        registry.register_collector(Box::new(process::ProcessCollector::default()));
        Self {
            registry,
            sections: Vec::new(),
            scrape_duration,
            refused,
        }
    }

    /// Where a subsystem registers its counters. Help texts must be plain: no line breaks.
    pub const fn registry_mut(&mut self) -> &mut Registry {
        &mut self.registry
    }

    /// Adds a part of the page that writes itself.
    pub fn add(&mut self, section: impl Section) {
        self.sections.push(Box::new(section));
    }

    /// Writes all metrics.
    ///
    /// # Errors
    ///
    /// Those of `out`; the page is then not whole.
    pub fn write(&self, format: Format, out: &mut dyn io::Write) -> io::Result<()> {
        let started = Instant::now();
        let mut page = Page::new(format, out);
        for section in &self.sections {
            section.write(&mut page)?;
        }
        let mut own = String::new();
        prometheus_client::encoding::text::encode_registry(&mut own, &self.registry)
            .map_err(io::Error::other)?;
        match format {
            Format::OpenMetrics => page.raw(own.as_bytes())?,
            Format::Text => page.raw(text::from_open_metrics(&own).as_bytes())?,
        }
        page.finish()?;
        self.scrape_duration.set(started.elapsed().as_secs_f64());
        Ok(())
    }

    /// Counts what the HTTP server refused.
    pub fn count_refused(&self, what: Refused) {
        self.refused.get_or_create(&what.labels()).inc();
    }
}

impl Refused {
    const fn labels(self) -> RefusedLabels {
        RefusedLabels {
            limit: match self {
                Self::Connection => "connections",
                Self::Scrape => "scrapes",
            },
        }
    }
}

#[cfg(test)]
mod tests;
