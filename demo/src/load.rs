//! The load: a fixed mix of requests at a fixed rate, bounded in time and number, every one of them
//! counted with its answer.
//!
//! It is a process of its own, so that its client side is a service of its own in the table.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::children::Child;
use crate::shop::own_binary;
use crate::stop::Stop;

/// Requests per second, and how many may be under way at one time.
const RATE: u64 = 100;
const WORKERS: u64 = 10;

/// What was sent.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sent {
    /// How many requests had each answer.
    pub(crate) answers: Vec<Answers>,
    /// How many had none.
    pub(crate) failed: u64,
}

/// The requests to one entry point that had one status.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Answers {
    /// The method.
    pub(crate) method: String,
    /// The route, as hark names it.
    pub(crate) route: String,
    /// The status.
    pub(crate) status: u16,
    /// How many.
    pub(crate) count: u64,
}

/// A load that runs in a process of its own.
#[derive(Debug)]
pub(crate) struct Load {
    child: Child,
}

impl Load {
    /// Starts it against this address.
    pub(crate) fn start(url: &str, duration: Duration, directory: &Path) -> Result<Self> {
        let mut command = Command::new(own_binary()?);
        command
            .args(["load", url, &duration.as_secs().to_string()])
            .env("OTEL_SERVICE_NAME", "shoppers");
        Ok(Self {
            child: Child::background("shoppers", command, directory)?,
        })
    }

    /// Whether it has ended.
    pub(crate) fn is_done(&self) -> Result<bool> {
        Ok(self.child.ended()?.is_some())
    }

    /// Ends it, lets it receive the answers that are due, and gives its count.
    pub(crate) fn finish(mut self, stop: &Stop) -> Result<Sent> {
        self.child.terminate();
        let line = self.child.line(Duration::from_secs(15), stop)?;
        serde_json::from_str(&line).context("the load generator printed no count")
    }
}

/// What one request asks for.
#[derive(Debug, PartialEq, Eq)]
struct Ask {
    method: &'static str,
    route: &'static str,
    path: String,
    body: String,
}

/// The request of this number: half of them products (one in eleven of those does not exist), a
/// quarter the front page, a quarter orders.
fn ask(number: u64) -> Ask {
    let (method, route, path, body) = match number % 4 {
        0 | 2 => {
            let product = number / 2 % 110 + 1;
            (
                "GET",
                "/products/{id}",
                format!("/products/{product}"),
                String::new(),
            )
        }
        1 => ("GET", "/", "/".to_owned(), String::new()),
        _ => (
            "POST",
            "/checkout",
            "/checkout".to_owned(),
            (number / 4).to_string(),
        ),
    };
    Ask {
        method,
        route,
        path,
        body,
    }
}

/// Sends until the time is over or SIGTERM comes; prints the count as one line of JSON.
pub(crate) fn run(url: &str, duration: Duration) -> Result<()> {
    let sent = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(send(url, duration))?;
    println!("{}", serde_json::to_string(&sent)?);
    Ok(())
}

async fn send(url: &str, duration: Duration) -> Result<Sent> {
    let mut terminate = signal(SignalKind::terminate())?;
    let (end, ended) = watch::channel(());
    let limit = RATE * duration.as_secs();
    let next = Arc::new(AtomicU64::new(0));
    let client: Client<HttpConnector, Full<Bytes>> =
        Client::builder(TokioExecutor::new()).build_http();
    let workers: Vec<_> = (0..WORKERS)
        .map(|_| {
            let worker = Worker {
                client: client.clone(),
                url: url.to_owned(),
                next: Arc::clone(&next),
                limit,
            };
            tokio::spawn(worker.run(ended.clone()))
        })
        .collect();
    drop(ended);
    tokio::select! {
        // All workers are done, at the limit.
        () = end.closed() => {}
        () = tokio::time::sleep(duration) => {}
        _ = terminate.recv() => {}
    }
    drop(end);
    let mut answers: BTreeMap<(&str, &str, u16), u64> = BTreeMap::new();
    let mut failed = 0;
    for worker in workers {
        let (own, own_failed) = worker.await?;
        for (key, count) in own {
            *answers.entry(key).or_default() += count;
        }
        failed += own_failed;
    }
    Ok(Sent {
        answers: answers
            .into_iter()
            .map(|((method, route, status), count)| Answers {
                method: method.into(),
                route: route.into(),
                status,
                count,
            })
            .collect(),
        failed,
    })
}

/// The answers to one worker's requests by method, route and status.
type Counts = BTreeMap<(&'static str, &'static str, u16), u64>;

struct Worker {
    client: Client<HttpConnector, Full<Bytes>>,
    url: String,
    next: Arc<AtomicU64>,
    limit: u64,
}

impl Worker {
    async fn run(self, mut ended: watch::Receiver<()>) -> (Counts, u64) {
        let mut counts = Counts::new();
        let mut failed = 0;
        let mut pace = tokio::time::interval(Duration::from_nanos(1_000_000_000 * WORKERS / RATE));
        loop {
            tokio::select! {
                _ = pace.tick() => {}
                // The sender was dropped: the time is over.
                _ = ended.changed() => break,
            }
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.limit {
                break;
            }
            // Not cancelled half way: every request that is sent is counted.
            let ask = ask(number);
            match self.send(&ask).await {
                Ok(status) => *counts.entry((ask.method, ask.route, status)).or_default() += 1,
                Err(error) => {
                    failed += 1;
                    eprintln!("{} {}: {error:#}", ask.method, ask.path);
                }
            }
        }
        (counts, failed)
    }

    async fn send(&self, ask: &Ask) -> Result<u16> {
        let request = http::Request::builder()
            .method(ask.method)
            .uri(format!("{}{}", self.url, ask.path))
            .body(Full::new(Bytes::from(ask.body.clone())))?;
        let response = tokio::time::timeout(Duration::from_secs(10), async {
            let response = self.client.request(request).await?;
            let status = response.status().as_u16();
            response.into_body().collect().await?;
            anyhow::Ok(status)
        });
        response.await.context("no answer within 10 s")?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mix_has_errors_and_a_slow_path() {
        let asks: Vec<Ask> = (0..880).map(ask).collect();
        let count = |test: &dyn Fn(&Ask) -> bool| asks.iter().filter(|ask| test(ask)).count();
        assert_eq!(count(&|ask| ask.route == "/products/{id}"), 440);
        assert_eq!(count(&|ask| ask.route == "/"), 220);
        assert_eq!(count(&|ask| ask.route == "/checkout"), 220);
        // 440 products are numbers 1, 2, 3, … in turn: 4 rounds of 110, of which 10 do not exist.
        assert_eq!(
            count(&|ask| {
                ask.path
                    .strip_prefix("/products/")
                    .is_some_and(|id| id.parse::<u32>().unwrap() > 100)
            }),
            40
        );
        assert_eq!(ask(3).body, "0");
        assert_eq!(ask(99).body, "24");
    }
}
