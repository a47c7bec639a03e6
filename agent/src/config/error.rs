//! What is wrong with a configuration, and where.

use std::fmt;
use std::path::PathBuf;

/// Where a problem is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file as a whole.
    File(PathBuf),
    /// A position in a file; line and column count characters from 1.
    Position {
        /// The file, as it was named.
        file: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
    },
    /// An environment variable.
    Variable(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => write!(f, "{}", file.display()),
            Self::Position { file, line, column } => {
                write!(f, "{}:{line}:{column}", file.display())
            }
            Self::Variable(name) => f.write_str(name),
        }
    }
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The file cannot be read.
    #[error("cannot read the configuration: {0}")]
    Unreadable(String),
    /// The file is larger than a configuration can be.
    #[error("the configuration is larger than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// The bytes are not UTF-8.
    #[error("is not UTF-8 text")]
    NotUtf8,
    /// The text is not YAML, or not the part of YAML that is read here.
    #[error("{0}")]
    Syntax(String),
    /// A key, or a variable, that does not exist.
    #[error("unknown {what} `{name}`; {hint}")]
    Unknown {
        /// `key` or `variable`.
        what: &'static str,
        /// The name as it was written, with its section.
        name: String,
        /// The nearest name, or the names that are valid there.
        hint: String,
    },
    /// A key that is there twice.
    #[error("`{key}` is already set in line {line}")]
    Duplicate {
        /// The key.
        key: String,
        /// The line of the first one.
        line: usize,
    },
    /// A value that the key cannot have.
    #[error("`{key}`: {reason}")]
    Value {
        /// The key.
        key: String,
        /// Why not.
        reason: String,
    },
}

/// One thing that is wrong, in one sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct ConfigError {
    /// Where.
    pub place: Place,
    /// What.
    pub problem: Problem,
}

/// Everything that is wrong with a configuration; never empty. One line each.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self(vec![error])
    }
}

/// Text of the user's, fit to stand in a sentence: cut, and without control characters.
pub(super) fn quote(text: &str) -> String {
    const LIMIT: usize = 60;
    let mut quoted: String = text
        .chars()
        .take(LIMIT)
        .map(|c| {
            if c.is_control() {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        })
        .collect();
    if text.chars().nth(LIMIT).is_some() {
        quoted.push('…');
    }
    quoted
}

/// The one of `candidates` that `name` was most likely meant to be, if any is near.
pub(super) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    // A third of the letters may be wrong; beyond that a proposal is noise. The length is bounded
    // because the distance is quadratic.
    let length = name.chars().count();
    if length > 100 {
        return None;
    }
    let allowed = (length / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
