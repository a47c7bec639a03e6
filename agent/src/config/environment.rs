//! `HARK_…` variables: each key has one; any other is a mistake, said at the start.

use std::ffi::OsString;

use super::error::{ConfigError, Place, Problem, nearest, quote};
use super::key::{KEYS, Key, Kind};
use super::value::Raw;

/// A `HARK_` variable that is not a key of the configuration.
#[derive(Debug)]
pub struct Reserved {
    /// Its name.
    pub name: &'static str,
    /// What it is for.
    pub about: &'static str,
}

/// The variables that begin with `HARK_` and are not keys.
pub const RESERVED: &[Reserved] = &[
    Reserved {
        name: "HARK_CONFIG",
        about: "The configuration file, as `--config` names it; the option wins.",
    },
    Reserved {
        name: "HARK_LOG",
        about: "A filter per module for the agent's log, such as `hark=debug,info`; wins over \
                `log.level`.",
    },
    Reserved {
        name: "HARK_RUN_DIR",
        about: "The folder of the file that keeps a second agent from starting; `/run/hark` if it \
                is not set.",
    },
    Reserved {
        name: "HARK_BIN",
        about: "For developers: the agent that the demo and the end-to-end tests start.",
    },
    Reserved {
        name: "HARK_BPF_LINKER",
        about: "For developers: the `bpf-linker` that `cargo xtask` uses instead of its own.",
    },
    Reserved {
        name: "HARK_EBPF_DIR",
        about: "For developers: where the build finds the kernel programs.",
    },
    Reserved {
        name: "HARK_SOCKET_OBJECT",
        about: "For developers: set by the build itself.",
    },
    Reserved {
        name: "HARK_REGENERATE",
        about: "For developers: `cargo test -p hark docs` writes the generated pages anew.",
    },
];

/// A key that the environment sets.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: &'static Key,
    pub(super) raw: Raw,
    pub(super) variable: String,
}

/// Reads the `HARK_…` variables among `variables`; others are none of ours.
pub(super) fn read(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> (Vec<Entry>, Vec<ConfigError>) {
    let mut entries = Vec::new();
    let mut errors = Vec::new();
    for (name, value) in variables {
        let name = name.to_string_lossy();
        if !name.starts_with("HARK_")
            || RESERVED.iter().any(|reserved| reserved.name == name)
            || is_service_link(&name)
        {
            continue;
        }
        let place = Place::Variable(quote(&name));
        let Some(key) = KEYS.iter().find(|key| key.variable() == name) else {
            errors.push(ConfigError {
                place,
                problem: Problem::Unknown {
                    what: "variable",
                    name: quote(&name),
                    hint: hint(&name),
                },
            });
            continue;
        };
        match value.into_string() {
            Ok(text) => entries.push(Entry {
                raw: raw(key, text),
                key,
                variable: name.into_owned(),
            }),
            Err(_) => errors.push(ConfigError {
                place,
                problem: Problem::NotUtf8,
            }),
        }
    }
    // The order of the environment is nobody's intention.
    entries.sort_by(|a, b| a.variable.cmp(&b.variable));
    errors.sort_by_key(ToString::to_string);
    (entries, errors)
}

/// A list is separated by commas; an empty variable is an empty list.
fn raw(key: &Key, text: String) -> Raw {
    match key.kind {
        Kind::Templates(_) | Kind::List { .. } => Raw::List(
            text.split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(str::to_owned)
                .collect(),
        ),
        _ => Raw::Text(text),
    }
}

/// Whether Kubernetes made the variable up. For a Service that is named `hark` or `hark-…` every
/// pod of the namespace gets `HARK_SERVICE_HOST`, `HARK_PORT_9465_TCP_ADDR` and others like them,
/// also the agent's own; they must not stop it.
/// <https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables>
fn is_service_link(name: &str) -> bool {
    if name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || name.ends_with("_PORT")
    {
        return true;
    }
    let Some((_, port)) = name.rsplit_once("_PORT_").map(|(_, rest)| {
        // `…_PORT_9465_TCP_PORT` ends with `_PORT` and is covered above.
        ((), rest)
    }) else {
        return false;
    };
    let mut parts = port.split('_');
    let number = parts.next().is_some_and(|part| part.parse::<u16>().is_ok());
    let protocol = parts
        .next()
        .is_some_and(|part| matches!(part, "TCP" | "UDP" | "SCTP"));
    let field = parts
        .next()
        .is_none_or(|part| matches!(part, "PROTO" | "ADDR"));
    number && protocol && field && parts.next().is_none()
}

/// What to propose for an unknown variable.
fn hint(name: &str) -> String {
    let variables: Vec<String> = KEYS
        .iter()
        .map(Key::variable)
        .chain(RESERVED.iter().map(|reserved| reserved.name.to_owned()))
        .collect();
    // The prefix is the same for all and must not count as likeness.
    let bare = |name: &str| name.trim_start_matches("HARK_").to_owned();
    let bare_names: Vec<String> = variables.iter().map(|name| bare(name)).collect();
    nearest(&bare(name), bare_names.iter().map(String::as_str)).map_or_else(
        || "`hark config print` shows those that there are".to_owned(),
        |near| format!("did you mean `HARK_{near}`?"),
    )
}
