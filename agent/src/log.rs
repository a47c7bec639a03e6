//! The agent's own log: structured events on standard error, as text or JSON lines.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat, LogLevel};

/// Why the log cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// `HARK_LOG` is not a filter.
    #[error("HARK_LOG: `{directives}` is not a filter such as `hark=debug,info`: {reason}")]
    Filter {
        /// What it says.
        directives: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Somebody has set up a log in this process already.
    #[error("the log is already set up")]
    Twice,
}

/// Makes the filter: `directives` (the variable `HARK_LOG`) if there are any, else the level of the
/// configuration for every module.
///
/// # Errors
///
/// The directives are not valid.
fn filter(log: &Log, directives: Option<&str>) -> Result<EnvFilter, LogError> {
    let Some(directives) = directives.filter(|text| !text.trim().is_empty()) else {
        return Ok(EnvFilter::new(match log.level {
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
            LogLevel::Trace => "trace",
        }));
    };
    EnvFilter::builder()
        .parse(directives)
        .map_err(|error| LogError::Filter {
            directives: directives.into(),
            reason: error.to_string(),
        })
}

/// Sets up the log of this process; once. `directives` is what the variable `HARK_LOG` says.
///
/// # Errors
///
/// The directives are not valid, or there is a log already.
pub fn init(log: &Log, directives: Option<&str>) -> Result<(), LogError> {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter(log, directives)?)
        .with_writer(std::io::stderr);
    match log.format {
        // Colours are for eyes; a file or a journal keeps them as garbage.
        LogFormat::Text => builder
            .with_ansi(std::io::stderr().is_terminal())
            .try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    }
    .map_err(|_| LogError::Twice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn directives_win_over_the_level() {
        let mut log = Config::default().log;
        log.level = LogLevel::Warn;
        assert_eq!(filter(&log, None).unwrap().to_string(), "warn");
        assert_eq!(filter(&log, Some(" ")).unwrap().to_string(), "warn");
        assert_eq!(
            filter(&log, Some("hark=debug,info")).unwrap().to_string(),
            "hark=debug,info"
        );
    }

    #[test]
    fn bad_directives_are_an_error() {
        let log = Config::default().log;
        let error = filter(&log, Some("hark=loud")).unwrap_err().to_string();
        assert!(
            error.starts_with("HARK_LOG: `hark=loud` is not a filter such as `hark=debug,info`: "),
            "{error}"
        );
    }
}
