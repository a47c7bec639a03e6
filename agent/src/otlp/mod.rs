//! Spans to an OpenTelemetry Collector, over OTLP.
