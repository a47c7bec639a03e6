//! Groups of metrics that are collected at the scrape, each on a thread of its own.
//!
//! A scrape asks all groups at once and waits until a deadline that they share. What is not there by
//! then is left out of the page, and `hark_collector_success` is 0 for that group; a group that is
//! stuck in the kernel costs its own series and nothing else.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use thiserror::Error;

use crate::kernel::sock_diag::SockDiagError;
use crate::telemetry::page::{Family, Format, Kind, Page};

/// How long a scrape waits for all groups together.
const DEADLINE: Duration = Duration::from_secs(1);

/// How often [`Collect::tend`] is called when nobody scrapes, so that what ends between two scrapes
/// is seen while it is there.
const TEND: Duration = Duration::from_secs(2);

/// Scrapes that may wait for one group. Those that wait at the same time share one collection, so
/// that many who ask at once wait no longer than two.
const QUEUE: usize = 64;

/// Why a group has not all of its metrics.
#[derive(Debug, Error)]
pub enum CollectError {
    /// A file that should be there cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A file does not say what it says on other kernels.
    #[error("{path} is not understood: {detail}")]
    Malformed {
        /// The file.
        path: String,
        /// What is wrong.
        detail: String,
    },
    /// A map of the kernel side cannot be read.
    #[error("cannot read the kernel side's map {map}: {detail}")]
    Map {
        /// Its name.
        map: &'static str,
        /// Why.
        detail: String,
    },
    /// There was more than is looked at in one collection.
    #[error("there are more {what} than the {limit} that are looked at")]
    TooMany {
        /// What.
        what: &'static str,
        /// How many are looked at.
        limit: usize,
    },
    /// The kernel's list of TCP sockets is not to be had, or not all of it.
    #[error(transparent)]
    Sockets(#[from] SockDiagError),
    /// The page.
    #[error(transparent)]
    Page(#[from] io::Error),
}

impl CollectError {
    /// The map cannot be read, for this reason.
    #[must_use]
    pub fn of_map(map: &'static str, error: &dyn Error) -> Self {
        let detail = error.to_string();
        Self::Map { map, detail }
    }
}

/// What collects one group.
pub trait Collect: Send + 'static {
    /// Writes the group's families as they are now. Work is bounded. What fails does not keep the
    /// rest from being written: the first failure is returned at the end.
    ///
    /// # Errors
    ///
    /// Something is missing from the page that should be on it.
    fn collect(&mut self, page: &mut Page<'_>) -> Result<(), CollectError>;

    /// Does what must be done more often than somebody scrapes.
    fn tend(&mut self) {}
}

const SUCCESS: Family = Family {
    name: "hark_collector_success",
    help: "Whether the group has all of its metrics on this page.",
    unit: None,
    kind: Kind::Gauge,
    source: "the agent",
    labels: &["collector"],
};

const DURATION: Family = Family {
    name: "hark_collector_duration_seconds",
    help: "How long the group took; the time waited for it if it is not on this page.",
    unit: Some("seconds"),
    kind: Kind::Gauge,
    source: "the agent",
    labels: &["collector"],
};

/// What this module writes.
pub const FAMILIES: &[&Family] = &[&SUCCESS, &DURATION];

struct Request {
    format: Format,
    reply: SyncSender<Reply>,
}

#[derive(Clone)]
struct Reply {
    page: Arc<[u8]>,
    success: bool,
    took: Duration,
}

#[derive(Debug)]
struct Group {
    name: &'static str,
    requests: SyncSender<Request>,
}

/// All groups that run. Their threads end when this is dropped.
#[derive(Debug)]
pub struct Groups(Vec<Group>);

impl Groups {
    /// Starts a thread for each.
    ///
    /// # Errors
    ///
    /// A thread cannot be started.
    pub fn start(groups: Vec<(&'static str, Box<dyn Collect>)>) -> io::Result<Self> {
        groups
            .into_iter()
            .map(|(name, collect)| {
                let (requests, received) = sync_channel(QUEUE);
                thread::Builder::new()
                    .name(format!("hark-{name}"))
                    .spawn(move || serve(name, collect, &received))?;
                Ok(Group { name, requests })
            })
            .collect::<io::Result<_>>()
            .map(Self)
    }

    /// Asks all groups and writes what they have.
    ///
    /// # Errors
    ///
    /// Those of the page.
    pub fn write(&self, page: &mut Page<'_>) -> io::Result<()> {
        let started = Instant::now();
        let asked: Vec<_> = self
            .0
            .iter()
            .map(|group| {
                let (reply, answer) = sync_channel(1);
                let request = Request {
                    format: page.format(),
                    reply,
                };
                let sent = match group.requests.try_send(request) {
                    Ok(()) => true,
                    Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
                };
                (group.name, sent.then_some(answer))
            })
            .collect();
        let mut outcomes = Vec::with_capacity(asked.len());
        for (name, answer) in asked {
            let left = DEADLINE.saturating_sub(started.elapsed());
            let reply = answer.and_then(|answer| answer.recv_timeout(left).ok());
            if let Some(reply) = &reply {
                page.raw(&reply.page)?;
            }
            outcomes.push(match reply {
                Some(reply) => (name, reply.success, reply.took),
                None => (name, false, started.elapsed()),
            });
        }
        page.family(&SUCCESS)?;
        for (name, success, _) in &outcomes {
            page.sample(
                &SUCCESS,
                &format!("collector=\"{name}\""),
                u8::from(*success),
            )?;
        }
        page.family(&DURATION)?;
        for (name, _, took) in &outcomes {
            page.sample(
                &DURATION,
                &format!("collector=\"{name}\""),
                took.as_secs_f64(),
            )?;
        }
        Ok(())
    }
}

/// A group's thread.
fn serve(name: &'static str, mut collect: Box<dyn Collect>, requests: &Receiver<Request>) {
    let mut complained = false;
    loop {
        let first = match requests.recv_timeout(TEND) {
            Ok(request) => request,
            Err(RecvTimeoutError::Timeout) => {
                collect.tend();
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let mut waiting: Vec<Request> = std::iter::once(first).chain(requests.try_iter()).collect();
        while let Some(format) = waiting.first().map(|request| request.format) {
            let (reply, error) = answer(collect.as_mut(), format);
            // Once, not with each scrape.
            if let Some(error) = error
                && !std::mem::replace(&mut complained, true)
            {
                tracing::warn!(collector = name, %error, "metrics are missing");
            }
            waiting.retain(|request| {
                let same = request.format == format;
                if same {
                    // Nobody waits any more if it took too long.
                    let _ = request.reply.try_send(reply.clone());
                }
                !same
            });
        }
    }
}

/// One collection, and what kept it from being whole.
fn answer(collect: &mut dyn Collect, format: Format) -> (Reply, Option<CollectError>) {
    let started = Instant::now();
    let mut body = Vec::new();
    let mut page = Page::new(format, &mut body);
    let collected = collect.collect(&mut page);
    let flushed = page.flush().map_err(CollectError::from);
    let error = collected.and(flushed).err();
    let reply = Reply {
        page: body.into(),
        success: error.is_none(),
        took: started.elapsed(),
    };
    (reply, error)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::channel;

    use super::*;

    const THINGS: Family = Family {
        name: "things",
        help: "Things.",
        unit: None,
        kind: Kind::Counter,
        source: "a test",
        labels: &[],
    };

    struct Good;
    impl Collect for Good {
        fn collect(&mut self, page: &mut Page<'_>) -> Result<(), CollectError> {
            page.family(&THINGS)?;
            Ok(page.sample(&THINGS, "", 7)?)
        }
    }

    /// Half of what it should have.
    struct Half;
    impl Collect for Half {
        fn collect(&mut self, page: &mut Page<'_>) -> Result<(), CollectError> {
            Good.collect(page)?;
            Err(CollectError::TooMany {
                what: "things",
                limit: 1,
            })
        }
    }

    /// Never answers, until it is let go.
    struct Stuck(Mutex<Receiver<()>>);
    impl Collect for Stuck {
        fn collect(&mut self, _: &mut Page<'_>) -> Result<(), CollectError> {
            let _ = self.0.lock().unwrap().recv();
            Ok(())
        }
    }

    fn page(groups: &Groups) -> String {
        let mut out = Vec::new();
        let mut page = Page::new(Format::Text, &mut out);
        groups.write(&mut page).unwrap();
        page.finish().unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn one_that_is_stuck_costs_its_own_metrics_only() {
        let (let_go, wait) = channel();
        let groups = Groups::start(vec![
            (
                "stuck",
                Box::new(Stuck(Mutex::new(wait))) as Box<dyn Collect>,
            ),
            ("good", Box::new(Good)),
        ])
        .unwrap();
        for _ in 0..2 {
            let page = page(&groups);
            assert!(page.contains("things_total 7\n"), "{page}");
            assert!(page.contains("hark_collector_success{collector=\"good\"} 1\n"));
            assert!(page.contains("hark_collector_success{collector=\"stuck\"} 0\n"));
        }
        drop(let_go);
    }

    /// Slow, so that others come meanwhile; counts how often.
    struct Slow(Arc<AtomicUsize>);
    impl Collect for Slow {
        fn collect(&mut self, page: &mut Page<'_>) -> Result<(), CollectError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(150));
            Good.collect(page)
        }
    }

    /// One after the other, the last of them would wait for more than the deadline, and get nothing.
    #[test]
    fn those_who_ask_at_once_are_answered_together() {
        let collected = Arc::new(AtomicUsize::new(0));
        let slow = Box::new(Slow(Arc::clone(&collected))) as Box<dyn Collect>;
        let groups = Groups::start(vec![("slow", slow)]).unwrap();
        thread::scope(|scope| {
            for _ in 0..10 {
                scope.spawn(|| {
                    let page = page(&groups);
                    assert!(page.contains("hark_collector_success{collector=\"slow\"} 1\n"));
                    assert!(page.contains("things_total 7\n"), "{page}");
                });
            }
        });
        let times = collected.load(Ordering::Relaxed);
        assert!(times < 10, "{times} collections");
    }

    #[test]
    fn what_is_there_is_shown_though_something_is_missing() {
        let groups = Groups::start(vec![("half", Box::new(Half) as Box<dyn Collect>)]).unwrap();
        let page = page(&groups);
        assert!(page.contains("things_total 7\n"), "{page}");
        assert!(page.contains("hark_collector_success{collector=\"half\"} 0\n"));
    }
}
