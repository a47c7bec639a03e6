//! What is exported, and what that changes: names of variables, paths, methods.
//!
//! Source: the OpenTelemetry specification, `protocol/exporter.md` and
//! `configuration/sdk-environment-variables.md`; the OTLP specification.

/// A signal of OpenTelemetry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Log records: an exchange each.
    Logs,
}

impl Signal {
    /// In the names of variables: `OTEL_EXPORTER_OTLP_{}_ENDPOINT`, `OTEL_{}_EXPORTER`.
    pub(super) const fn variable(self) -> &'static str {
        match self {
            Self::Traces => "TRACES",
            Self::Logs => "LOGS",
        }
    }

    /// What the variables of the queue begin with.
    pub(super) const fn processor(self) -> &'static str {
        match self {
            Self::Traces => "OTEL_BSP",
            Self::Logs => "OTEL_BLRP",
        }
    }

    /// How long one waits for its batch to fill, in ms, if nothing else is said.
    pub(super) const fn schedule_delay_ms(self) -> u64 {
        match self {
            Self::Traces => 5000,
            Self::Logs => 1000,
        }
    }

    /// What is behind the general endpoint's path.
    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Traces => "/v1/traces",
            Self::Logs => "/v1/logs",
        }
    }

    /// The method of the collector's gRPC service.
    pub(super) const fn grpc_method(self) -> &'static str {
        match self {
            Self::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Self::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        }
    }

    /// What the agent's own metrics call one: `hark_{}s_exported_total`.
    pub(super) const fn metric(self) -> &'static str {
        match self {
            Self::Traces => "span",
            Self::Logs => "log_record",
        }
    }

    /// In a sentence, more than one.
    pub(super) const fn noun(self) -> &'static str {
        match self {
            Self::Traces => "spans",
            Self::Logs => "log records",
        }
    }
}
