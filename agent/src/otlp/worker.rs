//! The export task: takes batches from the queue, sends them, tries again, and counts what became
//! of every span. What is said of spans holds for log records.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use prost::Message as _;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::MAX_REQUEST_BYTES;
use super::answer::Answer;
use super::backoff::Backoff;
use super::config::{OtlpConfig, Protocol};
use super::counters::{Counters, DropReason};
use super::exporter::OtlpError;
use super::grpc::GrpcTransport;
use super::post::HttpTransport;
use super::queue::{Batch, Queue};
use super::resource::Host;
use super::signal::Signal;
use super::span::Span;
use super::tls::Files;
use super::{convert, logs};

/// How requests travel.
pub(super) enum Transport {
    Grpc(Box<GrpcTransport>),
    Http(Box<HttpTransport>),
}

impl Transport {
    /// Must be called within a runtime.
    pub(super) fn new(config: &OtlpConfig) -> Result<Self, OtlpError> {
        Ok(match config.protocol {
            Protocol::Grpc => Self::Grpc(Box::new(GrpcTransport::new(config)?)),
            Protocol::HttpProtobuf => Self::Http(Box::new(HttpTransport::new(config)?)),
        })
    }

    fn prepare(&self, body: Vec<u8>) -> Bytes {
        match self {
            // tonic compresses by itself, message by message.
            Self::Grpc(_) => body.into(),
            Self::Http(http) => http.prepare(body),
        }
    }

    async fn send(&mut self, body: Bytes, spans: usize) -> Answer {
        match self {
            Self::Grpc(grpc) => grpc.send(body, spans).await,
            Self::Http(http) => http.send(body, spans).await,
        }
    }

    /// Called after an attempt without an answer: the connection may be dead without knowing, as
    /// when the collector's machine is gone.
    fn reset(&mut self) {
        match self {
            Self::Grpc(grpc) => grpc.reset(),
            // HTTP/1 closes the connection of a request that is given up.
            Self::Http(_) => {}
        }
    }
}

/// What the export task owns.
pub(super) struct Worker {
    pub(super) queue: Arc<Queue>,
    pub(super) counters: Counters,
    pub(super) sender: Sender,
    /// When the agent will wait no longer; set at shutdown.
    pub(super) deadline: watch::Receiver<Option<Instant>>,
    pub(super) hook: Hook,
}

/// What is to see the spans that the collector has accepted, once there is somebody.
pub(super) type Hook = Arc<OnceLock<Box<dyn Fn(&[Span]) + Send + Sync>>>;

/// Sends one batch at a time: exports of one exporter never overlap.
pub(super) struct Sender {
    pub(super) config: OtlpConfig,
    pub(super) transport: Transport,
    /// Certificates as they were when the transport was made.
    pub(super) files: Files,
    pub(super) host: Host,
    pub(super) counters: Counters,
    pub(super) endpoint: String,
    /// The last batch failed; a change is logged, not every failure.
    pub(super) failing: bool,
}

/// The end of a batch.
enum Fate {
    Exported { rejected: u64 },
    Dropped(DropReason),
}

impl Worker {
    /// Runs until the queue is closed and empty.
    pub(super) async fn run(mut self) {
        while let Some(batch) = self
            .queue
            .next(self.sender.config.batching.schedule_delay)
            .await
        {
            let spans = batch.spans.len() as u64;
            let fate = tokio::select! {
                biased;
                () = passed(&mut self.deadline) => Fate::Dropped(DropReason::Shutdown),
                fate = self.sender.deliver(&batch) => fate,
            };
            match fate {
                Fate::Exported { rejected } => {
                    // Which ones were rejected, no collector says.
                    if let (0, Some(hook)) = (rejected, self.hook.get()) {
                        hook(&batch.spans);
                    }
                    self.counters.exported.inc_by(spans - rejected);
                    self.counters.dropped(DropReason::Rejected).inc_by(rejected);
                }
                Fate::Dropped(reason) => {
                    self.counters.dropped(reason).inc_by(spans);
                }
            }
            self.counters.queued.dec_by(spans.cast_signed());
        }
    }
}

/// Returns when the deadline is set and over.
async fn passed(deadline: &mut watch::Receiver<Option<Instant>>) {
    let at = match deadline.wait_for(Option::is_some).await {
        Ok(at) => *at,
        // All handles are gone, and nobody waits.
        Err(_) => None,
    };
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

impl Sender {
    async fn deliver(&mut self, batch: &Batch) -> Fate {
        let spans = batch.spans.len();
        let begun = Instant::now();
        let expires = batch.expires(self.config.batching.max_age);
        if expires <= begun {
            return self.failed(spans, DropReason::Expired, "they have waited for too long");
        }
        let end = expires.min(begun + self.config.batching.export_timeout);
        let encoded = match self.config.signal {
            Signal::Traces => convert::request(&batch.spans, &self.host).encode_to_vec(),
            Signal::Logs => logs::request(&batch.spans, &self.host).encode_to_vec(),
        };
        if encoded.len() > MAX_REQUEST_BYTES {
            let message = format!("a request of {} bytes is too large", encoded.len());
            return self.failed(spans, DropReason::TooLarge, &message);
        }
        let body = self.transport.prepare(encoded);
        let mut backoff = Backoff::new(&self.config.retrying);
        let mut earlier = None;
        loop {
            self.renew();
            let started = Instant::now();
            let left = end.saturating_duration_since(started);
            let limit = self.config.timeout.min(left);
            let answer = match timeout(limit, self.transport.send(body.clone(), spans)).await {
                Ok(answer) => answer,
                Err(_) => {
                    self.transport.reset();
                    // An attempt that the end of the batch's time cut short says nothing new.
                    let (reason, message) = earlier
                        .filter(|_| left < self.config.timeout)
                        .unwrap_or_else(|| {
                            (DropReason::Timeout, format!("no answer in {limit:?}"))
                        });
                    Answer::Retry {
                        after: None,
                        reason,
                        message,
                    }
                }
            };
            self.counters
                .attempts
                .observe(started.elapsed().as_secs_f64());
            match answer {
                Answer::Accepted { rejected, message } => {
                    self.accepted(rejected, &message);
                    return Fate::Exported { rejected };
                }
                Answer::Failed { reason, message } => return self.failed(spans, reason, &message),
                Answer::Retry {
                    after,
                    reason,
                    message,
                } => {
                    let pause = backoff.pause(after, rand::random());
                    let left = end.saturating_duration_since(Instant::now());
                    if pause >= left {
                        return self.failed(spans, reason, &message);
                    }
                    tracing::debug!(
                        endpoint = self.endpoint,
                        message,
                        ?pause,
                        "export is repeated"
                    );
                    sleep(pause).await;
                    earlier = Some((reason, message));
                    self.counters.retries.inc();
                }
            }
        }
    }

    /// Takes up certificates that were replaced: they live for hours where they are renewed by
    /// machines, the agent for months.
    fn renew(&mut self) {
        if !self.files.have_changed() {
            return;
        }
        match Transport::new(&self.config) {
            Ok(transport) => {
                self.transport = transport;
                tracing::info!(endpoint = self.endpoint, "the certificates are read anew");
            }
            // Half written, perhaps; the old ones may still do.
            Err(error) => {
                tracing::warn!(endpoint = self.endpoint, %error, "certificates were replaced");
            }
        }
    }

    fn accepted(&mut self, rejected: u64, message: &str) {
        if rejected > 0 || !message.is_empty() {
            tracing::warn!(
                endpoint = self.endpoint,
                rejected,
                message,
                "the collector accepted {} with a remark",
                self.config.signal.noun()
            );
        }
        if std::mem::take(&mut self.failing) {
            tracing::info!(
                endpoint = self.endpoint,
                "{} are exported again",
                self.config.signal.noun()
            );
        }
    }

    fn failed(&mut self, spans: usize, reason: DropReason, message: &str) -> Fate {
        let reason_text = reason.as_str();
        if std::mem::replace(&mut self.failing, true) {
            tracing::debug!(
                endpoint = self.endpoint,
                spans,
                reason = reason_text,
                message,
                "{} were dropped",
                self.config.signal.noun()
            );
        } else {
            tracing::warn!(
                endpoint = self.endpoint,
                spans,
                reason = reason_text,
                message,
                "{} were dropped; further ones are counted in hark_{}s_dropped_total until an export \
                 succeeds",
                self.config.signal.noun(),
                self.config.signal.metric()
            );
        }
        Fate::Dropped(reason)
    }
}
