//! How spans are exported: plain data, checked. Read from the environment by [`super::env`].

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderMap, Uri};

use super::signal::Signal;

/// The transport of OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `grpc`
    Grpc,
    /// `http/protobuf`
    HttpProtobuf,
}

/// How requests are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// `gzip`
    Gzip,
}

/// A certificate and its key, for a collector that asks who is there (mutual TLS).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientIdentity {
    /// The chain, PEM, the client's own first.
    pub certificate: PathBuf,
    /// The private key, PEM.
    pub key: PathBuf,
}

/// The queue in front of the exporter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batching {
    /// Spans that may wait; the next is dropped. Default 2048.
    pub max_queue_size: usize,
    /// Bytes that waiting spans may hold. Default 8 MiB; no variable sets it.
    pub max_queue_bytes: usize,
    /// Spans per request. Default 512, never more than `max_queue_size`.
    pub max_export_batch_size: usize,
    /// How long a span waits for its batch to fill. Default 5 s.
    pub schedule_delay: Duration,
    /// How long one batch is tried, retries included, before it is dropped. Default 30 s.
    pub export_timeout: Duration,
    /// How old a batch may get, from its first span on; it is dropped then. Default 5 min; no
    /// variable sets it.
    pub max_age: Duration,
}

impl Default for Batching {
    fn default() -> Self {
        Self {
            max_queue_size: 2048,
            max_queue_bytes: 8 << 20,
            max_export_batch_size: 512,
            schedule_delay: Duration::from_secs(5),
            export_timeout: Duration::from_secs(30),
            max_age: Duration::from_secs(300),
        }
    }
}

/// How the pause between two attempts grows. It doubles; the server may ask for a longer one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retrying {
    /// The first pause, before jitter. Default 1 s.
    pub initial: Duration,
    /// The longest pause that is not asked for by the server. Default 10 s.
    pub max: Duration,
}

impl Default for Retrying {
    fn default() -> Self {
        Self {
            initial: Duration::from_secs(1),
            max: Duration::from_secs(10),
        }
    }
}

/// Everything the exporter needs to know.
#[derive(Clone, PartialEq)]
pub struct OtlpConfig {
    /// What is exported. Default traces.
    pub signal: Signal,
    /// The transport. Default `http/protobuf`.
    pub protocol: Protocol,
    /// HTTP: what is posted to. gRPC: scheme and authority. The scheme is `http` or `https`.
    pub endpoint: Uri,
    /// Sent with every request; the values are secrets and never shown.
    pub headers: HeaderMap,
    /// Default none.
    pub compression: Compression,
    /// How long one attempt may take. Default 10 s.
    pub timeout: Duration,
    /// PEM file with the certificates that are trusted in place of the system's.
    pub certificate: Option<PathBuf>,
    /// What hark shows to a collector that asks for a client certificate.
    pub client_identity: Option<ClientIdentity>,
    /// The queue.
    pub batching: Batching,
    /// The pauses between attempts.
    pub retrying: Retrying,
}

impl OtlpConfig {
    /// A configuration with all defaults for a collector at `endpoint`.
    #[must_use]
    pub fn new(protocol: Protocol, endpoint: Uri) -> Self {
        Self {
            signal: Signal::Traces,
            protocol,
            endpoint,
            headers: HeaderMap::new(),
            compression: Compression::None,
            timeout: Duration::from_secs(10),
            certificate: None,
            client_identity: None,
            batching: Batching::default(),
            retrying: Retrying::default(),
        }
    }
}

impl fmt::Debug for OtlpConfig {
    /// Shows the names of the headers, not their values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            signal,
            protocol,
            endpoint,
            headers,
            compression,
            timeout,
            certificate,
            client_identity,
            batching,
            retrying,
        } = self;
        f.debug_struct("OtlpConfig")
            .field("signal", signal)
            .field("protocol", protocol)
            .field("endpoint", endpoint)
            .field("headers", &headers.keys().collect::<Vec<_>>())
            .field("compression", compression)
            .field("timeout", timeout)
            .field("certificate", certificate)
            .field("client_identity", client_identity)
            .field("batching", batching)
            .field("retrying", retrying)
            .finish()
    }
}
