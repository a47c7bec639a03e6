//! Spans to an OpenTelemetry Collector, over OTLP.
//!
//! ```text
//! offer ─> span ─> queue ─> worker ─> convert, resource ─> grpc | post ─> answer ─┐
//!                             └──────────────────── backoff <─────────────────────┘
//! ```
//!
//! The pipeline's thread offers exchanges and never waits; one task exports them. The collector may
//! be absent, slow, refusing, or not a collector at all: memory stays bounded by the queue, and
//! every span that is offered is counted as exported or as dropped, by reason. Availability of the
//! agent goes before completeness of the traces.
//!
//! Requests are built from the protocol's own types and not by the OpenTelemetry SDK, whose
//! exporter sends one Resource; hark has one per service.

mod answer;
mod backoff;
pub mod config;
mod convert;
mod counters;
pub mod env;
mod exporter;
mod grpc;
mod post;
mod queue;
mod resource;
pub(crate) mod span;
mod tls;
mod url;
mod worker;

#[cfg(test)]
mod tests;

pub use config::OtlpConfig;
pub use convert::SCHEMA_URL;
pub use counters::DropReason;
pub use env::OtlpConfigError;
pub use exporter::{Exporter, OtlpError};
pub use tls::TlsError;

/// Sent as `User-Agent`.
const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// Longest request, before compression (OTLP specification). Unit: bytes.
const MAX_REQUEST_BYTES: usize = 64 << 20;

/// Longest answer that is read (OTLP specification). Unit: bytes.
const MAX_RESPONSE_BYTES: usize = 4 << 20;
