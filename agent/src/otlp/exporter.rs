//! The handle that the rest of the agent holds.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::config::{OtlpConfig, Protocol};
use super::counters::{Counters, DropReason};
use super::grpc::GrpcTransport;
use super::post::HttpTransport;
use super::queue::Queue;
use super::resource::Host;
use super::span::Span;
use super::tls::TlsError;
use super::worker::{Sender, Transport, Worker};
#[cfg(test)]
use crate::{clock::Clock, exchange::Exchange, identity::Service};

/// Why the export of spans cannot start.
#[derive(Debug, thiserror::Error)]
pub enum OtlpError {
    /// Certificates.
    #[error("spans cannot be exported: {0}")]
    Tls(#[from] TlsError),
    /// The transport cannot be set up for the endpoint. A collector that is absent is no such
    /// error.
    #[error("spans cannot be exported to {endpoint}: {problem}")]
    Transport {
        /// The endpoint of the configuration.
        endpoint: String,
        /// What is wrong.
        problem: String,
    },
}

/// Takes exchanges, exports them as spans. A handle: clones feed the same queue.
#[derive(Clone)]
pub struct Exporter {
    control: Arc<Control>,
    counters: Counters,
    /// Closed when the export task has ended.
    running: watch::Receiver<()>,
}

/// What ends the export task.
struct Control {
    queue: Arc<Queue>,
    deadline: watch::Sender<Option<Instant>>,
}

impl Drop for Control {
    /// The last handle is gone: nothing can be offered any more.
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl Exporter {
    /// Reads the certificates and spawns the export task on `runtime`. Connects to nothing yet: the
    /// collector may come and go.
    ///
    /// # Errors
    ///
    /// Certificates that cannot be used, or an endpoint that the transport will not have.
    pub fn start(config: OtlpConfig, runtime: &Handle) -> Result<Self, OtlpError> {
        // Both clients spawn tasks.
        let _within = runtime.enter();
        let transport = match config.protocol {
            Protocol::Grpc => Transport::Grpc(Box::new(GrpcTransport::new(&config)?)),
            Protocol::HttpProtobuf => Transport::Http(Box::new(HttpTransport::new(&config)?)),
        };
        let queue = Arc::new(Queue::new(&config.batching));
        let counters = Counters::new();
        let (deadline, deadline_seen) = watch::channel(None);
        let (alive, running) = watch::channel(());
        let worker = Worker {
            queue: Arc::clone(&queue),
            counters: counters.clone(),
            sender: Sender {
                transport,
                host: Host::read(),
                timeout: config.timeout,
                export_timeout: config.batching.export_timeout,
                retrying: config.retrying,
                counters: counters.clone(),
                endpoint: config.endpoint.to_string(),
                failing: false,
            },
            deadline: deadline_seen,
            schedule_delay: config.batching.schedule_delay,
        };
        runtime.spawn(async move {
            worker.run().await;
            drop(alive);
        });
        Ok(Self {
            control: Arc::new(Control { queue, deadline }),
            counters,
            running,
        })
    }

    /// Queues a span. Never waits; one that finds no room is dropped and counted.
    pub(crate) fn export(&self, span: Span) {
        self.counters.offered.inc();
        // Before the push, so that the export task cannot take it off first.
        self.counters.queued.inc();
        if let Err(reason) = self.control.queue.push(span) {
            self.counters.queued.dec();
            self.counters.dropped(reason).inc();
        }
    }

    /// Queues an exchange as a span by itself.
    #[cfg(test)]
    pub(super) fn offer(
        &self,
        exchange: &Exchange,
        service: &Arc<Service>,
        route: Option<&str>,
        clock: &Clock,
    ) {
        self.export(Span::new(exchange, service, route, clock));
    }

    /// Takes no more spans, exports those that are queued, and returns when that is done or
    /// `within` is over; what is left then is dropped and counted. A further call waits for the end
    /// that the first one set.
    pub async fn shutdown(&self, within: Duration) {
        let mut end = Instant::now() + within;
        self.control
            .deadline
            .send_if_modified(|deadline| match *deadline {
                Some(earlier) => {
                    end = earlier;
                    false
                }
                None => {
                    *deadline = Some(end);
                    true
                }
            });
        self.control.queue.close();
        let mut running = self.running.clone();
        // Nothing is ever sent: it changes when the task has dropped its side. The task needs a
        // moment beyond the end, to count what is left.
        let grace = Duration::from_secs(1);
        let _ = timeout_at(end + grace, running.changed()).await;
    }

    /// Registers `hark_spans_offered_total`, `hark_spans_exported_total`,
    /// `hark_spans_dropped_total{reason}`, `hark_spans_queued`, `hark_span_export_retries_total` and
    /// `hark_span_export_duration_seconds`.
    pub fn register(&self, registry: &mut Registry) {
        self.counters.register(registry);
    }

    /// Spans offered so far.
    #[must_use]
    pub fn offered(&self) -> u64 {
        self.counters.offered.get()
    }

    /// Spans that the collector accepted so far.
    #[must_use]
    pub fn exported(&self) -> u64 {
        self.counters.exported.get()
    }

    /// Spans dropped so far for one reason.
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.counters.dropped(reason).get()
    }

    /// Requests that repeated an earlier one.
    #[must_use]
    pub fn retries(&self) -> u64 {
        self.counters.retries.get()
    }

    /// Spans that wait, or are being exported.
    #[must_use]
    pub fn queued(&self) -> u64 {
        self.counters.queued.get().max(0).unsigned_abs()
    }
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter")
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}
