//! The standard `OTEL_…` variables, read into an [`OtlpConfig`].
//!
//! Source: the OpenTelemetry specification, `protocol/exporter.md` and
//! `configuration/sdk-environment-variables.md`. The variable of the signal
//! (`OTEL_EXPORTER_OTLP_TRACES_…`, `OTEL_EXPORTER_OTLP_LOGS_…`) wins over the general one; an empty value is an unset one. Where
//! the specification lets a bad value pass with a warning, hark refuses to start: an agent that
//! quietly sends nowhere is worse. Zero is refused where the specification reads it as "no limit":
//! everything here is bounded.

use std::path::PathBuf;
use std::time::Duration;

use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use super::config::{Batching, ClientIdentity, Compression, OtlpConfig, Protocol};
use super::signal::Signal;

/// Why the environment is not a usable configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OtlpConfigError {
    /// A value that is not one of those accepted.
    #[error("{variable} is {value:?}; accepted is {accepted}")]
    Value {
        /// The variable that was read.
        variable: String,
        /// Its value, without credentials, cut at 200 characters.
        value: String,
        /// What would have been accepted.
        accepted: String,
    },
    /// A list of headers that cannot be read. The value is a secret and not shown.
    #[error(
        "{variable} cannot be used: entry {entry} {problem}; accepted is a list such as \
         `name=value,other=value` with values percent-encoded"
    )]
    Headers {
        /// The variable that was read.
        variable: String,
        /// Number of the entry, from 1.
        entry: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Half of a client certificate.
    #[error("{present} is set but {missing} is not; a client certificate needs both")]
    Incomplete {
        /// The variable that is set.
        present: String,
        /// The variable that is missing.
        missing: String,
    },
}

/// How much of a bad value an error shows, in characters.
const SHOWN: usize = 200;

/// Longest time that can be set: one day. Unit: milliseconds.
const MAX_MILLIS: u64 = 86_400_000;

/// Longest queue that can be set. Unit: spans or log records.
const MAX_QUEUE: usize = 1_000_000;

impl OtlpConfig {
    /// Reads the configuration of the export of spans.
    ///
    /// `get` looks up one environment variable. The result is `None`, and nothing else is looked
    /// at, if export is off: no endpoint is set, `OTEL_TRACES_EXPORTER` is `none`, or
    /// `OTEL_SDK_DISABLED` is `true`.
    ///
    /// # Errors
    ///
    /// The first value that cannot be used, by the name of its variable.
    pub fn from_env(get: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, OtlpConfigError> {
        Self::of_signal(Signal::Traces, &get)
    }

    /// Reads the configuration of the export of log records, as [`from_env`](Self::from_env) does.
    ///
    /// # Errors
    ///
    /// The first value that cannot be used, by the name of its variable.
    pub fn logs_from_env(
        get: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, OtlpConfigError> {
        Self::of_signal(Signal::Logs, &get)
    }

    fn of_signal(
        signal: Signal,
        get: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, OtlpConfigError> {
        let env = Env { signal, get };
        if env.boolean("OTEL_SDK_DISABLED")? == Some(true) || env.exporter_is_none()? {
            return Ok(None);
        }
        let Some(endpoint) = env.signal("ENDPOINT") else {
            return Ok(None);
        };
        let protocol = env.protocol()?;
        let config = Self {
            signal,
            headers: env.headers()?,
            compression: env.compression()?,
            timeout: env
                .signal("TIMEOUT")
                .map_or(Ok(Duration::from_secs(10)), |found| found.millis())?,
            certificate: env.signal("CERTIFICATE").map(|found| found.value.into()),
            client_identity: env.client_identity()?,
            batching: env.batching()?,
            ..Self::new(protocol, env.endpoint(&endpoint, protocol)?)
        };
        Ok(Some(config))
    }
}

/// A variable that is set.
struct Found {
    variable: String,
    value: String,
    /// It is the signal's own, such as `OTEL_EXPORTER_OTLP_TRACES_…`.
    of_signal: bool,
}

impl Found {
    fn bad(&self, accepted: impl Into<String>) -> OtlpConfigError {
        OtlpConfigError::Value {
            variable: self.variable.clone(),
            value: shown(&self.value),
            accepted: accepted.into(),
        }
    }

    fn integer(&self, max: u64, unit: &str) -> Result<u64, OtlpConfigError> {
        self.value
            .parse()
            .ok()
            .filter(|value| (1..=max).contains(value))
            .ok_or_else(|| self.bad(format!("a whole number of {unit} from 1 to {max}")))
    }

    fn millis(&self) -> Result<Duration, OtlpConfigError> {
        self.integer(MAX_MILLIS, "milliseconds")
            .map(Duration::from_millis)
    }

    fn items(&self, noun: &str) -> Result<usize, OtlpConfigError> {
        let value = self.integer(MAX_QUEUE as u64, noun)?;
        Ok(usize::try_from(value).unwrap_or(MAX_QUEUE))
    }
}

struct Env<'a> {
    signal: Signal,
    get: &'a dyn Fn(&str) -> Option<String>,
}

impl Env<'_> {
    fn variable(&self, variable: &str) -> Option<Found> {
        let value = (self.get)(variable)?.trim().to_owned();
        (!value.is_empty()).then(|| Found {
            variable: variable.to_owned(),
            value,
            of_signal: variable
                .strip_prefix("OTEL_EXPORTER_OTLP_")
                .and_then(|rest| rest.strip_prefix(self.signal.variable()))
                .is_some_and(|rest| rest.starts_with('_')),
        })
    }

    /// The signal's own variable, else the general one.
    fn signal(&self, name: &str) -> Option<Found> {
        let signal = self.signal.variable();
        self.variable(&format!("OTEL_EXPORTER_OTLP_{signal}_{name}"))
            .or_else(|| self.variable(&format!("OTEL_EXPORTER_OTLP_{name}")))
    }

    fn boolean(&self, variable: &str) -> Result<Option<bool>, OtlpConfigError> {
        self.variable(variable)
            .map(|found| boolean(&found))
            .transpose()
    }

    fn exporter_is_none(&self) -> Result<bool, OtlpConfigError> {
        let variable = format!("OTEL_{}_EXPORTER", self.signal.variable());
        let Some(found) = self.variable(&variable) else {
            return Ok(false);
        };
        match found.value.as_str() {
            "none" => Ok(true),
            "otlp" => Ok(false),
            _ => Err(found.bad("`otlp` or `none`")),
        }
    }

    fn protocol(&self) -> Result<Protocol, OtlpConfigError> {
        let Some(found) = self.signal("PROTOCOL") else {
            return Ok(Protocol::HttpProtobuf);
        };
        match found.value.as_str() {
            "grpc" => Ok(Protocol::Grpc),
            "http/protobuf" => Ok(Protocol::HttpProtobuf),
            "http/json" => {
                Err(found.bad("`grpc` or `http/protobuf` (OTLP in JSON is not supported)"))
            }
            _ => Err(found.bad("`grpc` or `http/protobuf`")),
        }
    }

    fn compression(&self) -> Result<Compression, OtlpConfigError> {
        let Some(found) = self.signal("COMPRESSION") else {
            return Ok(Compression::None);
        };
        match found.value.as_str() {
            "gzip" => Ok(Compression::Gzip),
            "none" => Ok(Compression::None),
            _ => Err(found.bad("`gzip` or `none`")),
        }
    }

    fn endpoint(&self, found: &Found, protocol: Protocol) -> Result<Uri, OtlpConfigError> {
        const URL: &str = "an http:// or https:// URL without credentials, such as \
                           http://localhost:4318";
        const TARGET: &str = "an http:// or https:// URL without credentials, or host:port, such \
                              as http://localhost:4317";
        let bad = || {
            found.bad(match protocol {
                Protocol::Grpc => TARGET,
                Protocol::HttpProtobuf => URL,
            })
        };
        let uri: Uri = found.value.parse().map_err(|_| bad())?;
        let mut parts = uri.into_parts();
        let authority = parts.authority.as_ref().ok_or_else(bad)?;
        if authority.as_str().contains('@')
            || authority.host().is_empty()
            || authority.as_str().len() != authority.host().len() && authority.port_u16().is_none()
        {
            return Err(bad());
        }
        match (protocol, parts.scheme.as_ref().map(Scheme::as_str)) {
            (_, Some("http" | "https")) => {}
            (Protocol::Grpc, None) => {
                let insecure = self
                    .signal("INSECURE")
                    .map_or(Ok(false), |found| boolean(&found))?;
                parts.scheme = Some(if insecure {
                    Scheme::HTTP
                } else {
                    Scheme::HTTPS
                });
            }
            (_, _) => return Err(bad()),
        }
        parts.path_and_query = Some(match protocol {
            // A gRPC target has no path.
            Protocol::Grpc => PathAndQuery::from_static("/"),
            Protocol::HttpProtobuf => {
                let given = parts
                    .path_and_query
                    .unwrap_or_else(|| PathAndQuery::from_static("/"));
                if found.of_signal {
                    given
                } else {
                    let query = given
                        .query()
                        .map_or(String::new(), |query| format!("?{query}"));
                    let base = given.path().trim_end_matches('/');
                    PathAndQuery::try_from(format!("{base}{}{query}", self.signal.path()))
                        .map_err(|_| bad())?
                }
            }
        });
        Uri::from_parts(parts).map_err(|_| bad())
    }

    fn headers(&self) -> Result<HeaderMap, OtlpConfigError> {
        self.signal("HEADERS")
            .map_or_else(|| Ok(HeaderMap::new()), |found| headers(&found))
    }

    fn client_identity(&self) -> Result<Option<ClientIdentity>, OtlpConfigError> {
        let half = |present: Found, missing: &str| {
            let scope = match present.of_signal {
                true => format!("{}_", self.signal.variable()),
                false => String::new(),
            };
            OtlpConfigError::Incomplete {
                missing: format!("OTEL_EXPORTER_OTLP_{scope}{missing}"),
                present: present.variable,
            }
        };
        match (self.signal("CLIENT_CERTIFICATE"), self.signal("CLIENT_KEY")) {
            (None, None) => Ok(None),
            (Some(certificate), Some(key)) => Ok(Some(ClientIdentity {
                certificate: PathBuf::from(certificate.value),
                key: PathBuf::from(key.value),
            })),
            (Some(certificate), None) => Err(half(certificate, "CLIENT_KEY")),
            (None, Some(key)) => Err(half(key, "CLIENT_CERTIFICATE")),
        }
    }

    fn batching(&self) -> Result<Batching, OtlpConfigError> {
        let defaults = Batching::default();
        let processor = self.signal.processor();
        let noun = self.signal.noun();
        let named = |name: &str| self.variable(&format!("{processor}_{name}"));
        let max_queue_size = named("MAX_QUEUE_SIZE")
            .map_or(Ok(defaults.max_queue_size), |found| found.items(noun))?;
        let max_export_batch_size = match named("MAX_EXPORT_BATCH_SIZE") {
            None => defaults.max_export_batch_size.min(max_queue_size),
            Some(found) => {
                let size = found.items(noun)?;
                if size > max_queue_size {
                    return Err(found.bad(format!(
                        "at most {processor}_MAX_QUEUE_SIZE, which is {max_queue_size}"
                    )));
                }
                size
            }
        };
        let millis =
            |name: &str, default: Duration| named(name).map_or(Ok(default), |found| found.millis());
        let delay = Duration::from_millis(self.signal.schedule_delay_ms());
        Ok(Batching {
            max_queue_size,
            max_queue_bytes: defaults.max_queue_bytes,
            max_export_batch_size,
            schedule_delay: millis("SCHEDULE_DELAY", delay)?,
            export_timeout: millis("EXPORT_TIMEOUT", defaults.export_timeout)?,
            max_age: defaults.max_age,
        })
    }
}

fn boolean(found: &Found) -> Result<bool, OtlpConfigError> {
    if found.value.eq_ignore_ascii_case("true") {
        Ok(true)
    } else if found.value.eq_ignore_ascii_case("false") {
        Ok(false)
    } else {
        Err(found.bad("`true` or `false`"))
    }
}

/// Reads a list in the syntax of W3C Baggage, without properties. Of two entries with one name the
/// last wins.
fn headers(found: &Found) -> Result<HeaderMap, OtlpConfigError> {
    let mut headers = HeaderMap::new();
    for (number, entry) in (1..).zip(found.value.split(',')) {
        let entry = entry.trim();
        if entry.is_empty() {
            continue;
        }
        let bad = |problem| OtlpConfigError::Headers {
            variable: found.variable.clone(),
            entry: number,
            problem,
        };
        let (name, value) = entry.split_once('=').ok_or_else(|| bad("has no `=`"))?;
        let name = HeaderName::from_bytes(name.trim_end().as_bytes())
            .map_err(|_| bad("has a name that is not a header name"))?;
        let value =
            percent_decode(value.trim()).ok_or_else(|| bad("has a `%` without two digits"))?;
        let mut value = HeaderValue::from_bytes(&value)
            .map_err(|_| bad("has a value that a header cannot carry"))?;
        value.set_sensitive(true);
        headers
            .try_insert(name, value)
            .map_err(|_| bad("is one too many"))?;
    }
    Ok(headers)
}

/// Decodes percent-encoding; `None` for a `%` that is not followed by two hexadecimal digits, which
/// the library would let pass.
fn percent_decode(value: &str) -> Option<Vec<u8>> {
    let well_formed = value.split('%').skip(1).all(|rest| {
        let digits = rest.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });
    well_formed.then(|| percent_encoding::percent_decode_str(value).collect())
}

/// The value as an error shows it: cut, and what may be credentials left out.
fn shown(value: &str) -> String {
    let value = match (value.find("://"), value.rfind('@')) {
        (Some(scheme), Some(at)) if scheme + 3 <= at => {
            format!("{}REDACTED{}", &value[..scheme + 3], &value[at..])
        }
        (None, Some(at)) => format!("REDACTED{}", &value[at..]),
        (_, _) => value.to_owned(),
    };
    match value.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value,
    }
}
