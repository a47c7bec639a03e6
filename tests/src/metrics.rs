//! Reads a page of the Prometheus text format 0.0.4: samples with their labels, nothing derived.

use std::collections::BTreeMap;

/// The labels of a sample.
pub type Labels = BTreeMap<String, String>;

/// How many exchanges by method and status; the status is empty where there was none.
pub type Counts = BTreeMap<(String, String), u64>;

/// How many exchanges by method, status and `error_type`; empty for what there is not.
pub type Outcomes = BTreeMap<(String, String, String), u64>;

/// One line of the page.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The sample's name, with `_bucket`, `_sum`, `_count`, `_total` where they belong.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
    /// Its value.
    pub value: f64,
}

/// A whole page.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page(pub Vec<Sample>);

impl Page {
    /// Reads a page.
    ///
    /// # Errors
    /// The first line that is not the format.
    pub fn parse(text: &str) -> Result<Self, String> {
        text.lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| sample(line).ok_or_else(|| format!("not a sample: {line}")))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The samples of one name that carry all of `labels`.
    pub fn with<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(&'a str, &'a str)],
    ) -> impl Iterator<Item = &'a Sample> {
        self.0.iter().filter(move |sample| {
            sample.name == name
                && labels
                    .iter()
                    .all(|(key, value)| sample.labels.get(*key).is_some_and(|found| found == value))
        })
    }

    /// The sum over [`with`](Self::with), for counters: whole numbers.
    #[must_use]
    pub fn total(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        whole(self.with(name, labels).map(|sample| sample.value).sum())
    }

    /// The counter's values by one label.
    #[must_use]
    pub fn by(&self, name: &str, label: &str, labels: &[(&str, &str)]) -> BTreeMap<String, u64> {
        let mut found = BTreeMap::new();
        for sample in self.with(name, labels) {
            *found.entry(value_of(sample, label)).or_default() += whole(sample.value);
        }
        found
    }

    /// Exchanges with these labels by method, status and `error_type`.
    #[must_use]
    pub fn outcomes(&self, family: &str, labels: &[(&str, &str)]) -> Outcomes {
        let name = format!("{family}_count");
        let mut outcomes = Outcomes::new();
        for sample in self.with(&name, labels) {
            let key = (
                value_of(sample, "http_request_method"),
                value_of(sample, "http_response_status_code"),
                value_of(sample, "error_type"),
            );
            *outcomes.entry(key).or_default() += whole(sample.value);
        }
        outcomes
    }

    /// Everything that is said of the requests of a service: not of the resources that it uses.
    #[must_use]
    pub fn requests_of(&self, service: &str) -> Vec<&Sample> {
        let of = |sample: &&Sample| {
            sample
                .labels
                .get("service_name")
                .is_some_and(|name| name == service)
                && !sample.name.starts_with("hark_service_")
        };
        self.0.iter().filter(of).collect()
    }

    /// Exchanges of one service by method and status, from a duration histogram's count.
    #[must_use]
    pub fn counts(&self, family: &str, service: &str) -> Counts {
        let labels = ["http_request_method", "http_response_status_code"];
        self.counts_by(family, service, labels)
    }

    /// Calls of one service by method and status, from a duration histogram's count.
    #[must_use]
    pub fn calls(&self, family: &str, service: &str) -> Counts {
        self.counts_by(family, service, ["rpc_method", "rpc_response_status_code"])
    }

    fn counts_by(&self, family: &str, service: &str, labels: [&str; 2]) -> Counts {
        let name = format!("{family}_count");
        let mut counts = Counts::new();
        for sample in self.with(&name, &[("service_name", service)]) {
            let [method, status] = labels.map(|label| value_of(sample, label));
            *counts.entry((method, status)).or_default() += whole(sample.value);
        }
        counts
    }
}

fn value_of(sample: &Sample, label: &str) -> String {
    sample.labels.get(label).cloned().unwrap_or_default()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "asserted to be a whole number that an f64 holds exactly"
)]
fn whole(value: f64) -> u64 {
    assert!(
        value >= 0.0 && value.fract() == 0.0 && value < 9e15,
        "a counter of events is {value}"
    );
    value as u64
}

fn sample(line: &str) -> Option<Sample> {
    let name_end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(name_end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Labels::new(), rest),
    };
    let mut fields = rest.split_ascii_whitespace();
    let value = match fields.next()? {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        number => number.parse().ok()?,
    };
    Some(Sample {
        name: name.to_owned(),
        labels,
        value,
    })
}

/// Labels up to the closing brace, and what follows it.
fn labels(mut rest: &str) -> Option<(Labels, &str)> {
    let mut labels = Labels::new();
    loop {
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (key, after) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut chars = after.char_indices();
        let end = loop {
            match chars.next()? {
                (at, '"') => break at,
                (_, '\\') => value.push(match chars.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                (_, other) => value.push(other),
            }
        };
        if labels.insert(key.trim().to_owned(), value).is_some() {
            return None;
        }
        rest = &after[end + 1..];
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
}

/// Counts written down by hand in a test.
#[must_use]
pub fn counts(of: &[(&str, &str, u64)]) -> Counts {
    of.iter()
        .map(|(method, status, count)| (((*method).to_owned(), (*status).to_owned()), *count))
        .collect()
}

/// Outcomes written down by hand in a test.
#[must_use]
pub fn outcomes(of: &[(&str, &str, &str, u64)]) -> Outcomes {
    of.iter()
        .map(|(method, status, error, count)| {
            (
                (
                    (*method).to_owned(),
                    (*status).to_owned(),
                    (*error).to_owned(),
                ),
                *count,
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_labels_escapes_and_infinities() {
        let text = "# HELP a b\n# TYPE a histogram\na_bucket{le=\"+Inf\",x=\"q\\\"\\\\\\n}\"} 3\nb 1.5e3 17\nc{} +Inf\n";
        let page = Page::parse(text).unwrap();
        let labels = |pairs: &[(&str, &str)]| -> Labels {
            pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect()
        };
        let want = [
            (
                "a_bucket",
                labels(&[("le", "+Inf"), ("x", "q\"\\\n}")]),
                3.0,
            ),
            ("b", labels(&[]), 1500.0),
            ("c", labels(&[]), f64::INFINITY),
        ];
        let want = want.map(|(name, labels, value)| Sample {
            name: name.into(),
            labels,
            value,
        });
        assert_eq!(page.0, want);
    }

    #[test]
    fn refuses_what_is_not_a_sample() {
        for line in ["a", "a{x=\"1\"", "a{x=1} 2", "a{x=\"1\",x=\"2\"} 3", "a b"] {
            assert_eq!(Page::parse(line), Err(format!("not a sample: {line}")));
        }
    }

    #[test]
    fn counts_sum_over_routes() {
        let text = "d_count{service_name=\"s\",http_request_method=\"GET\",http_route=\"/a\",http_response_status_code=\"200\"} 2\n\
                    d_count{service_name=\"s\",http_request_method=\"GET\",http_route=\"/b\",http_response_status_code=\"200\"} 3\n\
                    d_count{service_name=\"s\",http_request_method=\"PUT\",http_route=\"/b\",error_type=\"connection_reset\"} 1\n\
                    d_count{service_name=\"t\",http_request_method=\"GET\",http_response_status_code=\"200\"} 9\n";
        let page = Page::parse(text).unwrap();
        assert_eq!(
            page.counts("d", "s"),
            counts(&[("GET", "200", 5), ("PUT", "", 1)])
        );
    }
}
