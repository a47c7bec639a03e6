//! The request log: one JSON line, or one OTLP log record, for each exchange that was chosen.
//!
//! ```text
//! offer ─> choice ─> rate ─┬─> queue ─> thread: line ─> file | standard output
//!                          └─> exporter of log records
//! ```
//!
//! The pipeline's thread chooses and never waits: lines are made and written by a thread of their
//! own behind a bounded queue, so that a disk that is full or a pipe that nobody reads costs lines,
//! which are counted, and nothing else. Metrics and spans go before the log.
//!
//! Nothing secret is in a line that is not in a span: no query, no body, no header but those that
//! the conventions name; see [`crate::http1`].

mod choice;
mod counters;
mod file;
mod line;
mod lines;
mod rate;
#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use prometheus_client::registry::Registry;

use crate::config::{self, LogOutput};
use crate::otlp::{Exporter, Span};
use choice::Choice;
use counters::Counters;
use file::RotatingFile;
pub use lines::Lines;
use lines::Output;
use rate::Rate;

/// Why there can be no request log.
#[derive(Debug, thiserror::Error)]
pub enum RequestLogError {
    /// The file cannot be opened.
    #[error("the request log {} cannot be opened: {source}", path.display())]
    File {
        /// The file of the configuration.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Standard output is closed.
    #[error("the request log cannot be written to standard output: {0}")]
    Stdout(io::Error),
    /// The thread cannot be started.
    #[error("the request log's thread cannot be started: {0}")]
    Thread(io::Error),
}

/// What the pipeline's thread holds.
#[derive(Debug)]
pub struct RequestLog {
    choice: Choice,
    rate: Rate,
    lines: Option<Lines>,
    records: Option<Exporter>,
    counters: Counters,
}

impl RequestLog {
    /// Opens the output and starts the thread that writes to it. `records` exports log records, if
    /// that was asked for. `None` if there is nowhere to write to.
    ///
    /// # Errors
    ///
    /// The output cannot be opened, or the thread not be started.
    pub fn start(
        config: &config::RequestLog,
        records: Option<Exporter>,
    ) -> Result<Option<Self>, RequestLogError> {
        let output = match config.output {
            LogOutput::None => None,
            LogOutput::Stdout => Some(Output::stdout().map_err(RequestLogError::Stdout)?),
            LogOutput::File => {
                let limit = u64::from(config.max_file_bytes);
                let file = RotatingFile::open(&config.path, limit, config.max_files);
                Some(Output::File(file.map_err(|source| {
                    RequestLogError::File {
                        path: config.path.clone(),
                        source,
                    }
                })?))
            }
        };
        let counters = Counters::new();
        let lines = output
            .map(|output| Lines::start(output, counters.clone()))
            .transpose()
            .map_err(RequestLogError::Thread)?;
        if lines.is_none() && records.is_none() {
            return Ok(None);
        }
        Ok(Some(Self {
            choice: Choice::new(config),
            rate: Rate::new(config.max_per_second),
            lines,
            records,
            counters,
        }))
    }

    /// Logs the exchange of a span if it is one of those that are wanted. `kept` says that the span
    /// was not sampled out. Never waits.
    pub fn offer(&mut self, span: &Span, kept: bool) {
        if !self.choice.takes(span, kept) {
            return;
        }
        self.counters.chosen.inc();
        if !self.rate.allows(&span.service, Instant::now()) {
            self.counters.rate_limited.inc();
            return;
        }
        if let Some(lines) = &self.lines {
            lines.push(span.clone(), kept);
        }
        if let Some(records) = &self.records {
            records.export(span.clone());
        }
    }

    /// What writes the lines, to be [finished](Lines::finish) at the end.
    #[must_use]
    pub fn lines(&self) -> Option<Lines> {
        self.lines.clone()
    }

    /// Registers `hark_request_log_…`, and what the exporter of log records says of itself.
    pub fn register(&self, registry: &mut Registry) {
        self.counters.register(registry);
        if let Some(records) = &self.records {
            records.register(registry);
        }
    }

    /// Exchanges chosen so far.
    #[must_use]
    pub fn chosen(&self) -> u64 {
        self.counters.chosen.get()
    }
}

/// How long what is queued may take to be written at the end.
pub const FLUSH: Duration = Duration::from_secs(2);
