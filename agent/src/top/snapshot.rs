//! What one reading of the page says of services and of loss.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use super::exposition::{LineError, Sample, samples};
use super::host::Reading;

/// The end of the exchange that was observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// It received requests.
    Server,
    /// It sent requests.
    Client,
}

/// A service in one role.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceKey {
    /// Label `service_name`.
    pub name: String,
    /// Label `service_namespace`; empty for none.
    pub namespace: String,
    /// The role.
    pub role: Role,
}

/// One series of a duration histogram.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// The failures that it counts are marked by label `error_type`.
    pub is_error: bool,
    /// Upper bounds in seconds and cumulative counts, ascending; the last bound is infinite.
    pub buckets: Vec<(f64, f64)>,
}

impl Series {
    /// How many requests it counts.
    #[must_use]
    pub fn count(&self) -> f64 {
        self.buckets.last().map_or(0.0, |(_, count)| *count)
    }
}

/// One reading.
#[derive(Debug)]
pub struct Snapshot {
    /// When it was read.
    pub at: Instant,
    /// Histogram series by service and by their labels without `le`, in one canonical text.
    pub series: HashMap<(ServiceKey, String), Series>,
    /// Requests under way, by service.
    pub active: HashMap<ServiceKey, f64>,
    /// hark's own counters of loss: name without prefix and suffix, with the reason if there is
    /// one, and the count since the agent began.
    pub losses: BTreeMap<String, f64>,
    /// The host's resources.
    pub(super) host: Reading,
}

/// The series that the line before belonged to.
struct Last<'a> {
    role: Role,
    /// Labels without `le`, sorted.
    labels: Vec<(&'a str, Cow<'a, str>)>,
    key: (ServiceKey, String),
}

/// Why a page cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// A line is in neither format.
    #[error(transparent)]
    Line(#[from] LineError),
    /// A value that its metric cannot have.
    #[error("`{metric}` has a value that is not a count")]
    NotACount {
        /// The metric's name.
        metric: String,
    },
    /// A bucket without its bound, or a histogram without its last bucket.
    #[error("the buckets of `{metric}` are not a histogram: {reason}")]
    Buckets {
        /// The metric's name.
        metric: String,
        /// What is wrong.
        reason: &'static str,
    },
}

impl Snapshot {
    /// Reads a page.
    ///
    /// # Errors
    ///
    /// The page is in neither format, or its histograms are none.
    pub fn read(page: &str) -> Result<Self, SnapshotError> {
        let mut snapshot = Self {
            at: Instant::now(),
            series: HashMap::new(),
            active: HashMap::new(),
            losses: BTreeMap::new(),
            host: Reading::default(),
        };
        let mut last = None;
        for sample in samples(page) {
            let sample = sample?;
            match sample.name {
                "http_server_request_duration_seconds_bucket"
                | "rpc_server_call_duration_seconds_bucket" => {
                    last = Some(snapshot.bucket(sample, Role::Server, last)?);
                }
                "http_client_request_duration_seconds_bucket"
                | "rpc_client_call_duration_seconds_bucket" => {
                    last = Some(snapshot.bucket(sample, Role::Client, last)?);
                }
                "http_server_active_requests" => snapshot.active(&sample, Role::Server),
                "http_client_active_requests" => snapshot.active(&sample, Role::Client),
                name => {
                    if let Some(loss) = loss_name(name) {
                        snapshot.loss(loss, &sample)?;
                    }
                    snapshot.host.take(&sample);
                }
            }
        }
        for ((service, _), series) in &mut snapshot.series {
            series.finish().map_err(|reason| SnapshotError::Buckets {
                metric: duration_metric(service.role).into(),
                reason,
            })?;
        }
        Ok(snapshot)
    }

    /// Takes one bucket. The lines of a series follow each other, nearly always: `last`, the one
    /// before, saves making the key of each.
    fn bucket<'a>(
        &mut self,
        mut sample: Sample<'a>,
        role: Role,
        last: Option<Last<'a>>,
    ) -> Result<Last<'a>, SnapshotError> {
        let bound = match sample.label("le") {
            Some("+Inf") => Some(f64::INFINITY),
            Some(text) => text.parse().ok().filter(|bound: &f64| bound.is_finite()),
            None => None,
        }
        .ok_or_else(|| SnapshotError::Buckets {
            metric: duration_metric(role).into(),
            reason: "one has no bound",
        })?;
        let count = count(&sample)?;
        sample
            .labels
            .retain(|(name, value)| *name != "le" && !value.is_empty());
        sample.labels.sort_unstable();
        let last = match last {
            Some(last) if last.role == role && last.labels == sample.labels => last,
            _ => Last {
                role,
                // Debug form quotes and escapes, so that different labels never give the same text.
                key: (service(&sample, role), format!("{:?}", sample.labels)),
                labels: sample.labels,
            },
        };
        let is_error = || last.labels.iter().any(|(name, _)| *name == "error_type");
        match self.series.get_mut(&last.key) {
            Some(series) => series.buckets.push((bound, count)),
            None => {
                let series = Series {
                    is_error: is_error(),
                    buckets: vec![(bound, count)],
                };
                self.series.insert(last.key.clone(), series);
            }
        }
        Ok(last)
    }

    fn active(&mut self, sample: &Sample<'_>, role: Role) {
        // A gauge may be anything, but a negative number of requests is none.
        if sample.value.is_finite() && sample.value >= 0.0 {
            *self.active.entry(service(sample, role)).or_default() += sample.value;
        }
    }

    fn loss(&mut self, name: &str, sample: &Sample<'_>) -> Result<(), SnapshotError> {
        let name = name.replace('_', " ");
        let name = match sample.label("reason") {
            Some(reason) => format!("{name} ({reason})"),
            None => name,
        };
        *self.losses.entry(name).or_default() += count(sample)?;
        Ok(())
    }
}

impl Series {
    /// Puts the buckets in order and checks them.
    fn finish(&mut self) -> Result<(), &'static str> {
        self.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        if self.buckets.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err("one is there twice");
        }
        if self.buckets.windows(2).any(|pair| pair[0].1 > pair[1].1) {
            return Err("a count is below the one before");
        }
        match self.buckets.last() {
            Some((bound, _)) if bound.is_infinite() => Ok(()),
            _ => Err("the last one, `+Inf`, is not there"),
        }
    }
}

const fn duration_metric(role: Role) -> &'static str {
    match role {
        Role::Server => "http_server_request_duration_seconds",
        Role::Client => "http_client_request_duration_seconds",
    }
}

/// The name of one of hark's counters of loss, without its prefix and suffix.
fn loss_name(metric: &str) -> Option<&str> {
    metric
        .strip_prefix("hark_")
        .and_then(|name| name.strip_suffix("_total"))
        // What the host's network has dropped is no loss of hark's.
        .filter(|name| !name.starts_with("network_"))
        .filter(|name| {
            name.ends_with("_lost")
                || name.ends_with("_dropped")
                // What the kernel did not hand over, and what was handed over but is no record.
                || matches!(*name, "events_skipped" | "record_decode_errors")
        })
}

fn service(sample: &Sample<'_>, role: Role) -> ServiceKey {
    ServiceKey {
        name: sample.label("service_name").unwrap_or("unknown").to_owned(),
        namespace: sample
            .label("service_namespace")
            .unwrap_or_default()
            .to_owned(),
        role,
    }
}

fn count(sample: &Sample<'_>) -> Result<f64, SnapshotError> {
    if sample.value.is_finite() && sample.value >= 0.0 {
        Ok(sample.value)
    } else {
        Err(SnapshotError::NotACount {
            metric: sample.name.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page() {
        let snapshot = Snapshot::read(
            "http_server_request_duration_seconds_bucket{le=\"+Inf\",service_name=\"a\",http_route=\"/x\"} 3\n\
             http_server_request_duration_seconds_bucket{http_route=\"/x\",service_name=\"a\",le=\"0.5\"} 2\n\
             http_server_request_duration_seconds_bucket{service_name=\"a\",error_type=\"500\",le=\"+Inf\"} 1\n\
             http_server_request_duration_seconds_count{service_name=\"a\"} 4\n\
             http_client_active_requests{service_name=\"a\",service_namespace=\"n\"} 2\n\
             http_client_active_requests{service_name=\"a\",service_namespace=\"n\",url_scheme=\"http\"} 1\n\
             hark_exchanges_lost_total{reason=\"ring_full\",cpu=\"0\"} 3\n\
             hark_exchanges_lost_total{reason=\"ring_full\",cpu=\"1\"} 4\n\
             hark_events_skipped_total{hook=\"sock_recv_length\"} 2\n\
             hark_spans_dropped_total 0\n\
             hark_exchanges_total{role=\"server\"} 7\n# EOF\n",
        )
        .unwrap();
        let server = ServiceKey {
            name: "a".into(),
            namespace: String::new(),
            role: Role::Server,
        };
        let client = ServiceKey {
            name: "a".into(),
            namespace: "n".into(),
            role: Role::Client,
        };
        let mut series: Vec<_> = snapshot.series.iter().collect();
        series.sort_by_key(|(_, series)| series.is_error);
        assert_eq!(series.len(), 2);
        assert_eq!(series[0].0.0, server);
        assert_eq!(series[0].1.buckets, [(0.5, 2.0), (f64::INFINITY, 3.0)]);
        assert_eq!(series[1].1.buckets, [(f64::INFINITY, 1.0)]);
        assert_eq!(snapshot.active, HashMap::from([(client, 3.0)]));
        assert_eq!(
            snapshot.losses,
            BTreeMap::from([
                ("events skipped".to_owned(), 2.0),
                ("exchanges lost (ring_full)".to_owned(), 7.0),
                ("spans dropped".to_owned(), 0.0),
            ])
        );
    }

    #[test]
    fn pages_that_are_no_histograms() {
        let metric = "http_server_request_duration_seconds_bucket";
        for (page, reason) in [
            (format!("{metric} 1\n"), "one has no bound"),
            (format!("{metric}{{le=\"x\"}} 1\n"), "one has no bound"),
            (format!("{metric}{{le=\"NaN\"}} 1\n"), "one has no bound"),
            (
                format!("{metric}{{le=\"1\"}} 1\n"),
                "the last one, `+Inf`, is not there",
            ),
            (
                format!("{metric}{{le=\"+Inf\"}} 1\n{metric}{{le=\"+Inf\"}} 1\n"),
                "one is there twice",
            ),
            (
                format!("{metric}{{le=\"1\"}} 2\n{metric}{{le=\"+Inf\"}} 1\n"),
                "a count is below the one before",
            ),
        ] {
            assert_eq!(
                Snapshot::read(&page).unwrap_err(),
                SnapshotError::Buckets {
                    metric: "http_server_request_duration_seconds".into(),
                    reason
                },
                "{page}"
            );
        }
        for value in ["-1", "NaN", "+Inf"] {
            assert_eq!(
                Snapshot::read(&format!("{metric}{{le=\"+Inf\"}} {value}\n")).unwrap_err(),
                SnapshotError::NotACount {
                    metric: metric.into()
                }
            );
        }
        assert_eq!(
            Snapshot::read("a 1\nb\n").unwrap_err().to_string(),
            "line 2: there is no space before the value"
        );
    }
}
