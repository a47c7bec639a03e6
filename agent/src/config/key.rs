//! The table of every key: its name, what its values are, and what it does.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::{Config, LogFormat, LogLevel, LogOutput, Unmatched, Which, traces};
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

/// What is wrong with an item of a list: its place, and the reason.
pub(super) type Wrong = (usize, String);

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
        set: fn(&mut Config, items: &[String]) -> Result<(), Wrong>,
    },
}

/// A [`Kind::Choice`]: where it is in [`Config`], and the word for each variant of its type.
macro_rules! choice {
    ($section:ident.$field:ident: $type:ident { $($variant:ident = $word:literal),+ }) => {
        Kind::Choice {
            words: &[$($word),+],
            get: |config| match config.$section.$field {
                $($type::$variant => $word,)+
            },
            set: |config, word| match word {
                $($word => config.$section.$field = $type::$variant,)+
                _ => {}
            },
        }
    };
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
        kind: choice!(log.level: LogLevel {
            Error = "error", Warn = "warn", Info = "info", Debug = "debug", Trace = "trace"
        }),
        about: "The least severe events that the agent writes to its own log, on standard error.",
    },
    Key {
        name: "log.format",
        kind: choice!(log.format: LogFormat { Text = "text", Json = "json" }),
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
        kind: choice!(routes.unmatched: Unmatched { Fold = "fold", Unset = "unset" }),
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
        kind: choice!(sampling.parent: ParentDecision { Ignore = "ignore", Honour = "honour" }),
        about: "What becomes of the sampled flag of a trace context that a request carries. With \
                `honour`, it decides in place of the share; what failed or was slow is kept all the \
                same.",
    },
    Key {
        name: "service_graph.enabled",
        kind: Kind::Switch(|config| &mut config.service_graph.enabled),
        about: "Metrics of who calls whom (`traces_service_graph_…`).",
    },
    Key {
        name: "service_graph.max_edges",
        kind: Kind::Count {
            field: |config| &mut config.service_graph.max_edges,
            range: (1, 100_000),
        },
        about: "How many pairs of client and server the service graph may have. What is beyond is \
                counted between `other` and `other`.",
    },
    Key {
        name: "service_graph.max_remotes",
        kind: Kind::Count {
            field: |config| &mut config.service_graph.max_remotes,
            range: (0, 10_000),
        },
        about: "How many ends on other hosts a service may have by name, callers and called apart. \
                What is beyond is called `other`; with 0, all are.",
    },
    Key {
        name: "request_log.output",
        kind: choice!(request_log.output: LogOutput {
            None = "none", Stdout = "stdout", File = "file"
        }),
        about: "Where the request log goes: one JSON object per line and exchange, with time, \
                service, peer, method, route, path (without the query), status, sizes, durations, \
                `trace_id` and `span_id`. Lines that cannot be written are counted; nothing waits \
                for them.",
    },
    Key {
        name: "request_log.otlp",
        kind: Kind::Switch(|config| &mut config.request_log.otlp),
        about: "Export the request log as log records over OTLP too. The variables are \
                `OTEL_EXPORTER_OTLP_…`, `OTEL_EXPORTER_OTLP_LOGS_…` and `OTEL_BLRP_…`; an endpoint \
                must be set.",
    },
    Key {
        name: "request_log.which",
        kind: Kind::Choice {
            words: &Which::WORDS,
            get: |config| config.request_log.which.word(),
            set: |config, word| {
                config.request_log.which = Which::from_word(word).unwrap_or(Which::Kept);
            },
        },
        about: "Which exchanges it has: those whose span was kept, `all`, those that failed \
                (`errors`), those that took `request_log.slow` or longer (`slow`), or `none`.",
    },
    Key {
        name: "request_log.slow",
        kind: Kind::Duration {
            field: |config| &mut config.request_log.slow,
            range: (Duration::from_micros(1), Duration::from_secs(3_600)),
        },
        about: "How long an exchange takes that is slow.",
    },
    Key {
        name: "request_log.services",
        kind: Kind::List {
            of: "a list of `service=which`",
            get: |config| config.request_log.services.clone(),
            set: service_rules,
        },
        about: "Rules for single services, by `service_name`, in place of `request_log.which`: \
                `checkout=all`, `probes=none`.",
    },
    Key {
        name: "request_log.max_per_second",
        kind: Kind::Count {
            field: |config| &mut config.request_log.max_per_second,
            range: (1, 1_000_000),
        },
        about: "How many exchanges per second one service may log. What is beyond is left out and \
                counted.",
    },
    Key {
        name: "request_log.path",
        kind: Kind::Directory(|config| &mut config.request_log.path),
        about: "The file for `request_log.output: file`. Its folder is made if there is none.",
    },
    Key {
        name: "request_log.max_file_bytes",
        kind: Kind::Size {
            field: |config| &mut config.request_log.max_file_bytes,
            range: (64 << 10, 2 << 30),
        },
        about: "Size at which the file becomes `….1` and a new one begins.",
    },
    Key {
        name: "request_log.max_files",
        kind: Kind::Count {
            field: |config| &mut config.request_log.max_files,
            range: (1, 1_000),
        },
        about: "How many such files are kept, the present one included; the oldest goes.",
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

fn service_rules(config: &mut Config, items: &[String]) -> Result<(), (usize, String)> {
    for (index, item) in items.iter().enumerate() {
        if let Some(problem) = service_rule(item) {
            return Err((index, problem));
        }
    }
    config.request_log.services = items.to_vec();
    Ok(())
}

/// What is wrong with an item of `request_log.services`.
fn service_rule(item: &str) -> Option<String> {
    let words = || {
        let words: Vec<String> = Which::WORDS
            .iter()
            .map(|word| format!("`{word}`"))
            .collect();
        words.join(", ")
    };
    match item.rsplit_once('=') {
        None => Some("is not a service and a word such as `checkout=all`".into()),
        Some((service, _)) if service.trim() != service || service.is_empty() => {
            Some("has no proper name of a service before `=`".into())
        }
        Some((_, word)) if Which::from_word(word).is_none() => {
            Some(format!("has a word after `=` that is none of {}", words()))
        }
        Some(_) => None,
    }
}

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
