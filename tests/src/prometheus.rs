//! A real Prometheus that scrapes the agent.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
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

    /// An instant query: labels and value of each series.
    ///
    /// # Panics
    /// If Prometheus refuses the query.
    #[must_use]
    #[track_caller]
    pub fn query(&self, promql: &str) -> Vec<(Labels, f64)> {
        let encoded = utf8_percent_encode(promql, NON_ALPHANUMERIC);
        let page = http::get(
            self.address,
            &format!("/api/v1/query?query={encoded}"),
            "*/*",
        )
        .unwrap_or_else(|error| panic!("{error:#}\n{}", self.process.stderr()));
        let answer: serde_json::Value = serde_json::from_str(&page.body).expect("JSON");
        assert_eq!(answer["status"], "success", "{promql}: {answer}");
        answer["data"]["result"]
            .as_array()
            .expect("a vector")
            .iter()
            .map(|series| {
                let labels = series["metric"].as_object().expect("labels");
                let labels = labels
                    .iter()
                    .map(|(key, value)| (key.clone(), value.as_str().unwrap_or("").to_owned()))
                    .collect();
                let value = series["value"][1]
                    .as_str()
                    .and_then(|value| value.parse().ok());
                (labels, value.expect("a number"))
            })
            .collect()
    }

    /// The exemplars that it has of the series that `promql` selects: their labels and values.
    ///
    /// # Panics
    /// If Prometheus refuses the query.
    #[must_use]
    #[track_caller]
    pub fn exemplars(&self, promql: &str) -> Vec<(Labels, f64)> {
        let encoded = utf8_percent_encode(promql, NON_ALPHANUMERIC);
        let page = http::get(
            self.address,
            // From the beginning to some day: the present is in between.
            &format!("/api/v1/query_exemplars?query={encoded}&start=0&end=4102444800"),
            "*/*",
        )
        .unwrap_or_else(|error| panic!("{error:#}\n{}", self.process.stderr()));
        let answer: serde_json::Value = serde_json::from_str(&page.body).expect("JSON");
        assert_eq!(answer["status"], "success", "{promql}: {answer}");
        let series = answer["data"].as_array().cloned().unwrap_or_default();
        series
            .iter()
            .flat_map(|series| series["exemplars"].as_array().cloned().unwrap_or_default())
            .map(|exemplar| {
                let labels = exemplar["labels"].as_object().expect("labels");
                let labels = labels
                    .iter()
                    .map(|(key, value)| (key.clone(), value.as_str().unwrap_or("").to_owned()))
                    .collect();
                let value = exemplar["value"]
                    .as_str()
                    .and_then(|value| value.parse().ok());
                (labels, value.expect("a number"))
            })
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
