//! A real Prometheus that scrapes the agent.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tempfile::TempDir;

use crate::metrics::{Counts, Labels};
use crate::process::Process;
use crate::skip::Skip;
use crate::{http, names, tools, wait};

/// A running Prometheus.
#[derive(Debug)]
pub struct Prometheus {
    address: SocketAddr,
    process: Process,
    _folder: TempDir,
}

impl Prometheus {
    /// Starts one that scrapes this address every second.
    ///
    /// # Errors
    /// It is not installed.
    ///
    /// # Panics
    /// If it does not become ready.
    pub fn scraping(agent: SocketAddr) -> Result<Self, Skip> {
        let program = tools::find("prometheus")?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = folder.path().join("prometheus.yml");
        let text = format!(
            "global:\n  scrape_interval: 1s\n  scrape_timeout: 1s\n\
             scrape_configs:\n  - job_name: hark\n    static_configs:\n      - targets: ['{agent}']\n"
        );
        std::fs::write(&config, text).expect("our own folder");
        let address = names::free_address();
        let mut command = Command::new(program);
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .arg("--enable-feature=exemplar-storage")
            .env("OTEL_SERVICE_NAME", names::unique("prometheus"));
        let process = Process::start(command);
        let this = Self {
            address,
            process,
            _folder: folder,
        };
        wait::until(Duration::from_secs(30), "Prometheus to be ready", || {
            http::get(address, "/-/ready", "*/*")
                .ok()
                .filter(|page| page.status == 200)
        });
        Ok(this)
    }

    /// What the API answers to a query, with further parameters.
    #[track_caller]
    fn ask(&self, what: &str, promql: &str, parameters: &str) -> Value {
        let encoded = utf8_percent_encode(promql, NON_ALPHANUMERIC);
        let path = format!("/api/v1/{what}?query={encoded}{parameters}");
        let page = http::get(self.address, &path, "*/*")
            .unwrap_or_else(|error| panic!("{error:#}\n{}", self.process.stderr()));
        let answer: Value = serde_json::from_str(&page.body).expect("JSON");
        assert_eq!(answer["status"], "success", "{promql}: {answer}");
        answer
    }

    /// An instant query: labels and value of each series.
    ///
    /// # Panics
    /// If Prometheus refuses the query.
    #[must_use]
    #[track_caller]
    pub fn query(&self, promql: &str) -> Vec<(Labels, f64)> {
        let answer = self.ask("query", promql, "");
        answer["data"]["result"]
            .as_array()
            .expect("a vector")
            .iter()
            .map(|series| (labels(&series["metric"]), number(&series["value"][1])))
            .collect()
    }

    /// The exemplars that it has of the series that `promql` selects: their labels and values.
    ///
    /// # Panics
    /// If Prometheus refuses the query.
    #[must_use]
    #[track_caller]
    pub fn exemplars(&self, promql: &str) -> Vec<(Labels, f64)> {
        // From the beginning to some day: the present is in between.
        let answer = self.ask("query_exemplars", promql, "&start=0&end=4102444800");
        let series = answer["data"].as_array().cloned().unwrap_or_default();
        series
            .iter()
            .flat_map(|series| series["exemplars"].as_array().cloned().unwrap_or_default())
            .map(|exemplar| (labels(&exemplar["labels"]), number(&exemplar["value"])))
            .collect()
    }

    /// Exchanges of a service by method and status, by PromQL.
    #[must_use]
    #[track_caller]
    pub fn counts(&self, family: &str, service: &str) -> Counts {
        let promql = format!(
            "sum by (http_request_method, http_response_status_code) \
             ({family}_count{{service_name=\"{service}\"}})"
        );
        self.query(&promql)
            .into_iter()
            .map(|(labels, value)| {
                let label = |name: &str| labels.get(name).cloned().unwrap_or_default();
                let key = (
                    label("http_request_method"),
                    label("http_response_status_code"),
                );
                assert!(value >= 0.0 && value.fract() == 0.0, "{promql} is {value}");
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "asserted to be a whole number just above"
                )]
                let count = value as u64;
                (key, count)
            })
            .collect()
    }
}

fn labels(object: &Value) -> Labels {
    let labels = object.as_object().expect("labels");
    labels
        .iter()
        .map(|(key, value)| (key.clone(), value.as_str().unwrap_or("").to_owned()))
        .collect()
}

/// Prometheus writes numbers as text.
fn number(text: &Value) -> f64 {
    let value = text.as_str().and_then(|value| value.parse().ok());
    value.expect("a number")
}
