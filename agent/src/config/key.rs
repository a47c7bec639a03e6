//! The table of every key: its name, what its values are, and what it does.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::{Config, LogFormat, LogLevel, Unmatched, traces};
use crate::sampling::ParentDecision;

/// One key.
#[derive(Debug)]
pub struct Key {
    /// Its full name, sections separated by dots.
    pub name: &'static str,
    /// What its values are, and where they are in [`Config`].
    pub kind: Kind,
    /// What it does: whole sentences, Markdown.
    pub about: &'static str,
}

impl Key {
    /// The environment variable that sets it: `routes.max_per_service` is
    /// `HARK_ROUTES_MAX_PER_SERVICE`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("HARK_{}", self.name.replace('.', "_").to_uppercase())
    }

    /// The key with this full name.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.name == name)
    }
}

/// The place of a value in [`Config`].
type Field<T> = fn(&mut Config) -> &mut T;

/// What the values of a key are.
#[derive(Debug)]
pub enum Kind {
    /// An IP address with a port.
    Address(Field<SocketAddr>),
    /// An absolute path.
    Directory(Field<PathBuf>),
    /// `true` or `false`.
    Switch(Field<bool>),
    /// A whole number.
    Count {
        /// Where it is.
        field: Field<usize>,
        /// The smallest and the largest value.
        range: (usize, usize),
    },
    /// A size in bytes.
    Size {
        /// Where it is.
        field: Field<u32>,
        /// The smallest and the largest value, in bytes.
        range: (u32, u32),
    },
    /// A length of time.
    Duration {
        /// Where it is.
        field: Field<Duration>,
        /// The smallest and the largest value.
        range: (Duration, Duration),
    },
    /// One of several words.
    Choice {
        /// The words.
        words: &'static [&'static str],
        /// The word for the present value.
        get: fn(&Config) -> &'static str,
        /// Sets the value for one of `words`.
        set: fn(&mut Config, word: &str),
    },
    /// A share, from 0 to 1.
    Share(Field<f64>),
    /// Route templates.
    Templates(Field<Vec<String>>),
    /// A list of another kind.
    List {
        /// What the items are: `a list of …`.
        of: &'static str,
        /// The present items.
        get: fn(&Config) -> Vec<String>,
        /// Sets them, or says which is wrong and why; the reason goes on after the item.
        set: fn(&mut Config, items: &[String]) -> Result<(), (usize, String)>,
    },
}

/// Every key, in the order in which the documentation and `hark config print` show them. Keys of
/// one section stand together.
pub static KEYS: &[Key] = &[
    Key {
        name: "listen",
        kind: Kind::Address(|config| &mut config.listen),
        about: "Where `/metrics`, `/healthz` and `/readyz` are served. Only this host can reach the \
                default; anybody who can reach the address can read the metrics.",
    },
    Key {
        name: "proc_root",
        kind: Kind::Directory(|config| &mut config.proc_root),
        about: "Where the host's procfs is mounted. In a container that does not share the host's \
                PID namespace, the mount point of the host's `/proc`.",
    },
    Key {
        name: "ring_buffer_bytes",
        kind: Kind::Size {
            field: |config| &mut config.ring_buffer_bytes,
            range: (64 << 10, 1 << 30),
        },
        about: "Memory between the kernel and the agent, rounded up to a power of two. What does \
                not fit is lost and counted; raise it if `hark_records_lost_total` grows.",
    },
    Key {
        name: "log.level",
        kind: Kind::Choice {
            words: &["error", "warn", "info", "debug", "trace"],
            get: |config| match config.log.level {
                LogLevel::Error => "error",
                LogLevel::Warn => "warn",
                LogLevel::Info => "info",
                LogLevel::Debug => "debug",
                LogLevel::Trace => "trace",
            },
            set: |config, word| {
                config.log.level = match word {
                    "error" => LogLevel::Error,
                    "warn" => LogLevel::Warn,
                    "debug" => LogLevel::Debug,
                    "trace" => LogLevel::Trace,
                    _ => LogLevel::Info,
                };
            },
        },
        about: "The least severe events that the agent writes to its own log, on standard error.",
    },
    Key {
        name: "log.format",
        kind: Kind::Choice {
            words: &["text", "json"],
            get: |config| match config.log.format {
                LogFormat::Text => "text",
                LogFormat::Json => "json",
            },
            set: |config, word| {
                config.log.format = match word {
                    "json" => LogFormat::Json,
                    _ => LogFormat::Text,
                };
            },
        },
        about: "`text` is a line for people, `json` an object per line for machines.",
    },
    Key {
        name: "capture.unix",
        kind: Kind::Switch(|config| &mut config.capture.unix),
        about: "Hear `AF_UNIX` streams too, not TCP alone: an application behind a local proxy is \
                often served so.",
    },
    Key {
        name: "capture.tls",
        kind: Kind::Switch(|config| &mut config.capture.tls),
        about: "Hear what TLS libraries (OpenSSL, GnuTLS) are given and hand over in clear, by probes \
                in their functions. With `false`, no probe is attached, and encrypted connections \
                are only counted.",
    },
    Key {
        name: "routes.templates",
        kind: Kind::Templates(|config| &mut config.routes.templates),
        about: "Route templates such as `/orders/{id}` or `/static/{rest*}`; the first that matches \
                a path is its `http_route`. In the environment they are separated by commas.",
    },
    Key {
        name: "routes.unmatched",
        kind: Kind::Choice {
            words: &["fold", "unset"],
            get: |config| match config.routes.unmatched {
                Unmatched::Fold => "fold",
                Unmatched::Unset => "unset",
            },
            set: |config, word| {
                config.routes.unmatched = match word {
                    "unset" => Unmatched::Unset,
                    _ => Unmatched::Fold,
                };
            },
        },
        about: "What becomes of a path that no template matches. With `fold`, segments that look \
                like identifiers become `{id}`: useful, but a guess, which the conventions of \
                OpenTelemetry do not provide for. With `unset`, it has no route.",
    },
    Key {
        name: "routes.max_per_service",
        kind: Kind::Count {
            field: |config| &mut config.routes.max_per_service,
            range: (1, 10_000),
        },
        about: "How many different routes a service may have. What is beyond has the route `other` \
                and is counted.",
    },
    Key {
        name: "metrics.expire_after",
        kind: Kind::Duration {
            field: |config| &mut config.metrics.expire_after,
            range: (Duration::from_secs(10), Duration::from_secs(7 * 86_400)),
        },
        about: "How long the series of a process stay in `/metrics` after it is gone. Keep it above \
                twice the scrape interval, or the last requests are never seen.",
    },
    Key {
        name: "metrics.max_series",
        kind: Kind::Count {
            field: |config| &mut config.metrics.max_series,
            range: (100, 1_000_000),
        },
        about: "How many different series are kept. What is beyond goes to one overflow series and \
                is counted.",
    },
    Key {
        name: "traces.context",
        kind: Kind::List {
            of: "a list of `w3c`, `b3`, `b3multi`, `jaeger`, `datadog`, `xray`",
            get: traces::context,
            set: traces::set_context,
        },
        about: "Formats of trace context that are read from request headers. Where a request carries \
                several, the first of the list that is valid counts; a format that is not in the \
                list is not read.",
    },
    Key {
        name: "traces.links",
        kind: Kind::Switch(|config| &mut config.traces.links),
        about: "Link a span to what caused it on this host where that is certain: by the headers \
                that were passed on, by the two ends of a connection, by the thread that was at \
                work. With `false`, a span has the parent that its own headers name, or none.",
    },
    Key {
        name: "traces.leave_out_instrumented",
        kind: Kind::Switch(|config| &mut config.traces.leave_out_instrumented),
        about: "Leave out the spans of a process that was seen to export OpenTelemetry spans of its \
                own; its metrics stay. `hark_service_instrumented` names the services.",
    },
    Key {
        name: "sampling.probability",
        kind: Kind::Share(|config| &mut config.sampling.probability),
        about: "Share of the traces whose spans are kept. It is decided by the trace id, as \
                OpenTelemetry's consistent probability sampling has it: agents and Collectors with \
                the same share keep the same traces. Spans that failed or were slow are always kept, \
                with what belongs to them on this host.",
    },
    Key {
        name: "sampling.spans_per_second",
        kind: Kind::Count {
            field: |config| &mut config.sampling.spans_per_second,
            range: (0, 1_000_000),
        },
        about: "Spans that may be kept in a second; 0 for any number. Where there are more, the \
                share is lowered for all that follow. What failed or was slow is kept beyond it.",
    },
    Key {
        name: "sampling.slow_after",
        kind: Kind::List {
            of: "a list of thresholds such as `1s`, `shop 500ms`, `* /orders/{id} 200ms`, `shop /orders/{id} 100ms`",
            get: traces::slow_after,
            set: traces::set_slow_after,
        },
        about: "From which duration on a span is slow: for all, for a service, for a route, or for a \
                route of a service; the nearest counts. In the environment they are separated by \
                commas.",
    },
    Key {
        name: "sampling.slow_quantile",
        kind: Kind::Share(|config| &mut config.sampling.slow_quantile),
        about: "A span is slow, too, if it takes longer than this share of the recent ones of its \
                route; 0 for no such judgement. It matters only where not all spans are kept.",
    },
    Key {
        name: "sampling.parent",
        kind: Kind::Choice {
            words: &["ignore", "honour"],
            get: |config| match config.sampling.parent {
                ParentDecision::Ignore => "ignore",
                ParentDecision::Honour => "honour",
            },
            set: |config, word| {
                config.sampling.parent = match word {
                    "honour" => ParentDecision::Honour,
                    _ => ParentDecision::Ignore,
                };
            },
        },
        about: "What becomes of the sampled flag of a trace context that a request carries. With \
                `honour`, it decides in place of the share; what failed or was slow is kept all the \
                same.",
    },
    Key {
        name: "resources.cpu",
        kind: Kind::Switch(|config| &mut config.resources.cpu),
        about: "Metrics of the CPUs: time, run queues, throttling, pressure; for the host and each service. With \
                `false`, nothing is attached to the scheduler.",
    },
    Key {
        name: "resources.memory",
        kind: Kind::Switch(|config| &mut config.resources.memory),
        about: "Metrics of memory: use, limits, faults, reclaim, kills for lack of it.",
    },
    Key {
        name: "resources.disk",
        kind: Kind::Switch(|config| &mut config.resources.disk),
        about: "Metrics of disks: operations, bytes, time in the queue and in the device.",
    },
    Key {
        name: "resources.network",
        kind: Kind::Switch(|config| &mut config.resources.network),
        about: "Metrics of the network: interfaces, retransmissions, drops, accept queues.",
    },
    Key {
        name: "resources.max_services",
        kind: Kind::Count {
            field: |config| &mut config.resources.max_services,
            range: (1, 10_000),
        },
        about: "How many services have series of resources of their own. What is beyond is counted \
                under the service `other`.",
    },
    Key {
        name: "limits.max_connections",
        kind: Kind::Count {
            field: |config| &mut config.limits.max_connections,
            range: (16, 4_194_304),
        },
        about: "How many connections may have an exchange under way at one time. The exchanges of \
                others are lost and counted.",
    },
    Key {
        name: "limits.max_processes",
        kind: Kind::Count {
            field: |config| &mut config.limits.max_processes,
            range: (16, 4_194_304),
        },
        about: "Of how many processes the identity is kept; the one unused longest makes room.",
    },
    Key {
        name: "limits.max_fragment_exchanges",
        kind: Kind::Count {
            field: |config| &mut config.limits.max_fragment_exchanges,
            range: (16, 4_194_304),
        },
        about: "How many exchanges are held, from their beginning until the part of a trace that \
                they belong to is whole. Beyond it the oldest are decided with what is known, and \
                counted in `hark_fragments_early_total`.",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_sections_stand_together() {
        let mut seen: Vec<&str> = Vec::new();
        for key in KEYS {
            let section = key.name.split_once('.').map_or("", |(section, _)| section);
            assert!(
                seen.last() == Some(&section) || !seen.contains(&section),
                "{} is apart from its section",
                key.name
            );
            seen.push(section);
            assert_eq!(
                KEYS.iter()
                    .filter(|other| other.variable() == key.variable())
                    .count(),
                1,
                "{}",
                key.variable()
            );
        }
    }

    #[test]
    fn variables() {
        assert_eq!(Key::find("listen").unwrap().variable(), "HARK_LISTEN");
        assert_eq!(
            Key::find("routes.max_per_service").unwrap().variable(),
            "HARK_ROUTES_MAX_PER_SERVICE"
        );
    }

    #[test]
    fn every_word_of_a_choice_is_what_it_sets() {
        for key in KEYS {
            if let Kind::Choice { words, get, set } = &key.kind {
                for word in *words {
                    let mut config = Config::default();
                    set(&mut config, word);
                    assert_eq!(get(&config), *word, "{}", key.name);
                }
            }
        }
    }
}
