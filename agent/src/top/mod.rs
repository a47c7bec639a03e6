//! `hark top`: a live table of services, read from a running agent's `/metrics`.
//!
//! It is a client like Prometheus, and no part of the agent: what it shows anybody can compute from
//! the same page.

use std::collections::VecDeque;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

pub mod exposition;
pub mod fetch;
mod host;
mod quantile;
mod screen;
pub mod snapshot;
mod summary;
mod table;
pub(crate) mod text;

use fetch::{FetchError, Target};
use snapshot::{Snapshot, SnapshotError};

/// Where an agent listens unless it is told otherwise.
pub const DEFAULT_URL: &str = "http://127.0.0.1:9465";

/// On a terminal, rates and quantiles are over this time at most: a single interval has too few
/// requests for a p99.
const WINDOW: Duration = Duration::from_secs(10);

/// What `hark top` was asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Address of the agent; `/metrics` is added if it has no path.
    pub url: String,
    /// Print once, even on a terminal.
    pub once: bool,
    /// Time between two readings.
    pub interval: Duration,
}

/// Why there is no table.
#[derive(Debug, thiserror::Error)]
pub enum TopError {
    /// The page could not be had.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The page is not one of metrics.
    #[error("the page at {url} is not valid: {source}")]
    Page {
        /// Address of the page.
        url: String,
        /// What is wrong.
        source: SnapshotError,
    },
    /// The terminal or the pipe failed.
    #[error("cannot write the table: {0}")]
    Output(#[from] std::io::Error),
}

/// Shows the table until the user leaves, or prints it once.
///
/// # Errors
///
/// The address is not valid, the agent cannot be reached at the first reading, its page is not
/// valid, or the output fails. On a terminal, an agent that goes away later is waited for.
pub fn run(options: &Options) -> Result<(), TopError> {
    let target = Target::parse(&options.url)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let live = !options.once && std::io::stdout().is_terminal();
    if live {
        runtime.block_on(screen::run(&target, options.interval))
    } else {
        let page = runtime.block_on(once(&target, options.interval))?;
        match std::io::stdout().lock().write_all(page.as_bytes()) {
            // Whoever reads has seen enough, as `head` does.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            result => Ok(result?),
        }
    }
}

/// Reads twice and gives the table.
async fn once(target: &Target, interval: Duration) -> Result<String, TopError> {
    let mut history = History::default();
    history.push(read(target).await?);
    tokio::time::sleep(interval).await;
    history.push(read(target).await?);
    let width = if std::io::stdout().is_terminal() {
        crossterm::terminal::size().map_or(usize::MAX, |(columns, _)| columns.into())
    } else {
        usize::MAX
    };
    let mut page = history.table(target, width).join("\n");
    page.push('\n');
    Ok(page)
}

async fn read(target: &Target) -> Result<Snapshot, TopError> {
    let page = fetch::fetch(target).await?;
    Snapshot::read(&page).map_err(|source| TopError::Page {
        url: target.to_string(),
        source,
    })
}

/// The readings that are compared.
#[derive(Default)]
struct History {
    snapshots: VecDeque<Snapshot>,
}

impl History {
    fn push(&mut self, snapshot: Snapshot) {
        // The oldest goes when the one after it is old enough to stand for the whole window.
        while self
            .snapshots
            .get(1)
            .is_some_and(|second| snapshot.at.duration_since(second.at) >= WINDOW)
        {
            self.snapshots.pop_front();
        }
        self.snapshots.push_back(snapshot);
    }

    fn clear(&mut self) {
        self.snapshots.clear();
    }

    /// The lines of the table, at most `width` columns wide.
    fn table(&self, target: &Target, width: usize) -> Vec<String> {
        let (Some(first), Some(last)) = (self.snapshots.front(), self.snapshots.back()) else {
            return vec![table::fit("waiting for the agent", width)];
        };
        let summary = summary::compare(first, last);
        table::render(&summary, &target.to_string(), width)
    }
}
