//! The effective configuration: defaults, then the file, then the environment.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::error::{ConfigError, ConfigErrors, Place, Problem};
use super::key::{KEYS, Key};
use super::value::Raw;
use super::yaml::At;
use super::{Config, environment, yaml};

/// The largest file that is read, in bytes.
const FILE_LIMIT: u64 = 1 << 20;

/// Where the value of a key is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The configuration file.
    File {
        /// The file, as it was named.
        file: PathBuf,
        /// The line of the value, from 1.
        line: usize,
    },
    /// This environment variable.
    Variable(String),
}

/// A configuration, and where each value is from.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// Where they are from, in the order of [`KEYS`].
    pub origins: Vec<Origin>,
}

impl Loaded {
    /// Where the value of a key is from.
    #[must_use]
    pub fn origin(&self, name: &str) -> Option<&Origin> {
        let index = KEYS.iter().position(|key| key.name == name)?;
        self.origins.get(index)
    }
}

/// Reads the configuration: the file, if one is named, and the variables, which win over it.
///
/// The caller passes the environment (`std::env::vars_os()`), so that what is read is plain to see
/// and to test.
///
/// # Errors
///
/// Everything that is wrong, each with its place. Values are checked even where a variable wins
/// over them.
pub fn load(
    file: Option<&Path>,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Loaded, ConfigErrors> {
    let mut loading = Loading {
        loaded: Loaded {
            config: Config::default(),
            origins: vec![Origin::Default; KEYS.len()],
        },
        errors: Vec::new(),
    };
    if let Some(file) = file {
        let bytes = read_file(file)?;
        loading.take_file(&bytes, file)?;
    }
    let (entries, errors) = environment::read(variables);
    loading.errors.extend(errors);
    for entry in entries {
        let place = Place::Variable(entry.variable.clone());
        let origin = Origin::Variable(entry.variable);
        loading.set(entry.key, &entry.raw, origin, |_| place);
    }
    if loading.errors.is_empty() {
        Ok(loading.loaded)
    } else {
        Err(ConfigErrors(loading.errors))
    }
}

/// Checks a file alone, whatever the environment says.
///
/// # Errors
///
/// As [`load`].
pub fn check(file: &Path) -> Result<Loaded, ConfigErrors> {
    load(Some(file), [])
}

struct Loading {
    loaded: Loaded,
    errors: Vec<ConfigError>,
}

impl Loading {
    fn take_file(&mut self, bytes: &[u8], file: &Path) -> Result<(), ConfigErrors> {
        let (entries, errors) = yaml::read_bytes(bytes, file)?;
        self.errors.extend(errors);
        for entry in entries {
            let place = |at: At| Place::Position {
                file: file.to_path_buf(),
                line: at.line,
                column: at.column,
            };
            let origin = Origin::File {
                file: file.to_path_buf(),
                line: entry.at.line,
            };
            self.set(entry.key, &entry.raw, origin, |item| {
                let item = item.and_then(|index| entry.items.get(index));
                place(*item.unwrap_or(&entry.at))
            });
        }
        // Wrong values were found after wrong keys; people read a file from the top.
        self.errors.sort_by_key(|error| match &error.place {
            Place::Position { line, column, .. } => (*line, *column),
            Place::File(_) | Place::Variable(_) => (0, 0),
        });
        Ok(())
    }

    /// Sets a key; `place` says where the value is, or its item of that number.
    fn set(
        &mut self,
        key: &'static Key,
        raw: &Raw,
        origin: Origin,
        place: impl FnOnce(Option<usize>) -> Place,
    ) {
        match key.set(&mut self.loaded.config, raw) {
            Ok(()) => {
                let index = KEYS.iter().position(|other| std::ptr::eq(other, key));
                if let Some(slot) = index.and_then(|index| self.loaded.origins.get_mut(index)) {
                    *slot = origin;
                }
            }
            Err(refused) => self.errors.push(ConfigError {
                place: place(refused.item),
                problem: Problem::Value {
                    key: key.name.into(),
                    reason: refused.reason,
                },
            }),
        }
    }
}

/// Reads a file that may be no file, or have no end.
fn read_file(file: &Path) -> Result<Vec<u8>, ConfigErrors> {
    let fail = |problem| ConfigError {
        place: Place::File(file.to_path_buf()),
        problem,
    };
    let mut bytes = Vec::new();
    File::open(file)
        .and_then(|opened| opened.take(FILE_LIMIT + 1).read_to_end(&mut bytes))
        .map_err(|error| fail(Problem::Unreadable(error.to_string())))?;
    if bytes.len() as u64 > FILE_LIMIT {
        return Err(fail(Problem::TooLarge { limit: FILE_LIMIT }).into());
    }
    Ok(bytes)
}
