//! Which encrypted connections are read, and through which library: the blind spot, measured.
//!
//! The kernel side tells of a connection when it sees that it is TLS, and again when a library hands
//! over the first clear bytes of it. One that is still dark after `PATIENCE` is counted as not
//! read: a request that comes later is heard all the same.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hark_common::tls::{Library, TlsRecord};
use lru::LruCache;

use super::points;
use super::watch::{Eye, UNKNOWN};
use crate::identity::{Identities, Service};
use crate::telemetry::page::{Family, Kind, Page, Section, push_label};

/// How long a connection may take until its first clear bytes.
const PATIENCE: Duration = Duration::from_secs(5);
/// Connections that wait for that. The oldest makes room and is counted as not read.
const WAITING_LIMIT: usize = 65536;
/// Series. What is beyond is counted under the service `other`.
const SERIES_LIMIT: usize = 4096;

/// The metric.
pub const CONNECTIONS: Family = Family {
    name: "hark_tls_connections",
    help: "Ends of connections with TLS, by the library, and whether hark reads what it hands over in clear.",
    unit: None,
    kind: Kind::Counter,
    source: "uprobes in the library; TLS records on sockets",
    labels: &["library", "readable", "service_name", "service_namespace"],
};

/// Connections that were seen and not counted yet, and the counts.
#[derive(Debug)]
pub struct Connections {
    /// By socket cookie, oldest first.
    waiting: LruCache<u64, Waiting>,
    counts: Counts,
    eye: Option<Eye>,
}

#[derive(Debug)]
struct Waiting {
    service: Arc<Service>,
    pid: u32,
    since: Instant,
}

/// The counts, shared with the page of metrics.
#[derive(Clone, Debug, Default)]
pub struct Counts(Arc<Mutex<HashMap<Labels, u64>>>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Labels {
    service: Arc<str>,
    namespace: Option<Arc<str>>,
    library: &'static str,
    readable: bool,
}

impl Connections {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            waiting: LruCache::unbounded(),
            counts: Counts::default(),
            eye: None,
        }
    }

    /// Has each process that speaks TLS looked at.
    pub fn watch_with(&mut self, eye: Eye) {
        self.eye = Some(eye);
    }

    /// The counts, for the page.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts.clone()
    }

    /// Takes a record in.
    pub fn record(&mut self, record: &TlsRecord, identities: &mut Identities) {
        let socket = record.header.socket;
        let pid = record.task.process.pid;
        let library = match record.library {
            0 => {
                if let Some(eye) = &self.eye {
                    eye.look_at(pid);
                }
                let waiting = Waiting {
                    service: identities.resolve(&record.task),
                    pid,
                    since: Instant::now(),
                };
                self.waiting.put(socket, waiting);
                if self.waiting.len() > WAITING_LIMIT {
                    self.give_up_oldest();
                }
                return;
            }
            n if n == Library::OpenSsl as u8 => points::name(Library::OpenSsl),
            n if n == Library::GnuTls as u8 => points::name(Library::GnuTls),
            n if n == Library::Go as u8 => points::name(Library::Go),
            _ => UNKNOWN,
        };
        // One that was given up before is counted: once is right, and which was not to be known.
        if let Some(waiting) = self.waiting.pop(&socket) {
            self.counts.add(&waiting.service, library, true);
        }
    }

    /// To be called about once a second.
    pub fn sweep(&mut self, now: Instant) {
        while let Some((_, oldest)) = self.waiting.peek_lru()
            && now.saturating_duration_since(oldest.since) >= PATIENCE
        {
            self.give_up_oldest();
        }
    }

    /// The end: what waits is not read.
    pub fn finish(&mut self) {
        while !self.waiting.is_empty() {
            self.give_up_oldest();
        }
    }

    fn give_up_oldest(&mut self) {
        let Some((_, waiting)) = self.waiting.pop_lru() else {
            return;
        };
        let library = match &self.eye {
            Some(eye) => eye.library(waiting.pid),
            None => UNKNOWN,
        };
        self.counts.add(&waiting.service, library, false);
    }
}

impl Default for Connections {
    fn default() -> Self {
        Self::new()
    }
}

impl Counts {
    fn lock(&self) -> MutexGuard<'_, HashMap<Labels, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, service: &Service, library: &'static str, readable: bool) {
        let mut counts = self.lock();
        let labels = Labels {
            service: Arc::clone(&service.name),
            namespace: service.namespace.clone().filter(|name| !name.is_empty()),
            library,
            readable,
        };
        if let Some(count) = counts.get_mut(&labels) {
            *count += 1;
            return;
        }
        let labels = if counts.len() < SERIES_LIMIT {
            labels
        } else {
            Labels {
                service: "other".into(),
                namespace: None,
                ..labels
            }
        };
        *counts.entry(labels).or_default() += 1;
    }
}

impl Section for Counts {
    fn write(&self, page: &mut Page<'_>) -> io::Result<()> {
        page.family(&CONNECTIONS)?;
        for (labels, count) in &*self.lock() {
            let mut text = String::new();
            push_label(&mut text, "service_name", &labels.service);
            if let Some(namespace) = &labels.namespace {
                push_label(&mut text, "service_namespace", namespace);
            }
            push_label(&mut text, "library", labels.library);
            let readable = if labels.readable { "true" } else { "false" };
            push_label(&mut text, "readable", readable);
            page.sample(&CONNECTIONS, &text, count)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
