//! Spans to an OpenTelemetry Collector, over OTLP.

pub mod traceparent;
