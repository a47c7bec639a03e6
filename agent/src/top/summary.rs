//! Rates, error shares, and quantiles per service, from two readings.

use std::collections::BTreeMap;
use std::time::Duration;

use super::host::{self, Host};
use super::quantile::{Quantile, quantile};
use super::snapshot::{Series, ServiceKey, Snapshot};

/// What the table shows.
#[derive(Debug, PartialEq)]
pub(super) struct Summary {
    /// Services, the busiest first.
    pub(super) rows: Vec<Row>,
    /// Time between the readings; `None` if there is only one yet.
    pub(super) window: Option<Duration>,
    /// Counters of loss: name, count since the agent began, count within the window.
    pub(super) losses: Vec<(String, f64, f64)>,
    /// The host's resources.
    pub(super) host: Host,
}

/// One service in one role.
#[derive(Debug, PartialEq)]
pub(super) struct Row {
    pub(super) service: ServiceKey,
    /// Requests per second; `None` while there is only one reading.
    pub(super) rate: Option<f64>,
    /// Share of them that failed, 0 to 1; `None` if there were none.
    pub(super) errors: Option<f64>,
    pub(super) p50: Quantile,
    pub(super) p95: Quantile,
    pub(super) p99: Quantile,
    /// Requests under way; `None` if the agent does not say.
    pub(super) active: Option<f64>,
}

/// What was added to one service between the readings.
#[derive(Default)]
struct Added {
    requests: f64,
    errors: f64,
    /// Counts per bucket, not cumulative: the bounds of two series may differ. Keys are the bounds'
    /// bits; bounds are positive, so bits are in the order of the numbers.
    buckets: BTreeMap<u64, f64>,
}

/// Compares two readings, which may be the same one.
pub(super) fn compare(first: &Snapshot, last: &Snapshot) -> Summary {
    let window = last.at.duration_since(first.at);
    let window = (!window.is_zero()).then_some(window);
    let mut services: BTreeMap<&ServiceKey, Added> = BTreeMap::new();
    for service in last.active.keys() {
        services.entry(service).or_default();
    }
    for (key, series) in &last.series {
        services
            .entry(&key.0)
            .or_default()
            .add(first.series.get(key), series);
    }
    let mut rows: Vec<Row> = services
        .into_iter()
        .map(|(service, added)| added.row(service, window, last.active.get(service).copied()))
        .collect();
    rows.sort_by(|a, b| {
        let rate = |row: &Row| row.rate.unwrap_or_default();
        rate(b)
            .total_cmp(&rate(a))
            .then_with(|| a.service.cmp(&b.service))
    });
    let losses = last
        .losses
        .iter()
        .map(|(name, count)| {
            let before = first.losses.get(name).copied().unwrap_or_default();
            // A counter that fell was begun anew by another agent.
            let added = if *count < before {
                *count
            } else {
                count - before
            };
            (name.clone(), *count, added)
        })
        .collect();
    Summary {
        rows,
        window,
        losses,
        host: host::compare(&first.host, &last.host, window),
    }
}

impl Added {
    /// Adds what a series counted since the first reading. One that was not there then began at
    /// zero after it; one that fell was begun anew.
    fn add(&mut self, before: Option<&Series>, now: &Series) {
        let before = before.filter(|before| {
            before.buckets.len() == now.buckets.len()
                && before
                    .buckets
                    .iter()
                    .zip(&now.buckets)
                    .all(|(before, now)| before.0 == now.0 && before.1 <= now.1)
        });
        let requests = now.count() - before.map_or(0.0, Series::count);
        self.requests += requests;
        if now.is_error {
            self.errors += requests;
        }
        let mut below = 0.0;
        for (index, (bound, cumulative)) in now.buckets.iter().enumerate() {
            let earlier = before
                .and_then(|before| before.buckets.get(index))
                .map_or(0.0, |(_, count)| *count);
            let added = cumulative - earlier;
            *self.buckets.entry(bound.max(0.0).to_bits()).or_default() += added - below;
            below = added;
        }
    }

    fn row(self, service: &ServiceKey, window: Option<Duration>, active: Option<f64>) -> Row {
        let mut total = 0.0;
        let buckets: Vec<(f64, f64)> = if window.is_some() {
            self.buckets
                .into_iter()
                .map(|(bound, count)| {
                    total += count;
                    (f64::from_bits(bound), total)
                })
                .collect()
        } else {
            Vec::new()
        };
        Row {
            service: service.clone(),
            rate: window.map(|window| self.requests / window.as_secs_f64()),
            errors: (window.is_some() && self.requests > 0.0).then(|| self.errors / self.requests),
            p50: quantile(0.50, &buckets),
            p95: quantile(0.95, &buckets),
            p99: quantile(0.99, &buckets),
            active,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::snapshot::Role;
    use super::*;

    fn page(series: &[(&str, [u32; 3])]) -> String {
        series
            .iter()
            .map(|(labels, [fast, slow, total])| {
                let name = "http_server_request_duration_seconds_bucket";
                format!(
                    "{name}{{{labels},le=\"0.1\"}} {fast}\n{name}{{{labels},le=\"1\"}} {slow}\n\
                     {name}{{{labels},le=\"+Inf\"}} {total}\n"
                )
            })
            .collect()
    }

    fn compared(first: &str, last: &str, seconds: u64) -> Summary {
        let first = Snapshot::read(first).unwrap();
        let mut last = Snapshot::read(last).unwrap();
        last.at = first.at + Duration::from_secs(seconds);
        compare(&first, &last)
    }

    fn key(name: &str) -> ServiceKey {
        ServiceKey {
            name: name.into(),
            namespace: String::new(),
            role: Role::Server,
        }
    }

    #[test]
    fn two_readings() {
        let ok = "service_name=\"shop\",http_response_status_code=\"200\"";
        let bad = "service_name=\"shop\",http_response_status_code=\"500\",error_type=\"500\"";
        let first = page(&[(ok, [10, 20, 20])]) + "hark_exchanges_lost_total{reason=\"x\"} 5\n";
        // 20 more good ones: 10 up to 0.1 s, 10 up to 1 s. A new series of errors: 5 above 1 s.
        let last = page(&[(ok, [20, 40, 40]), (bad, [0, 0, 5])])
            + "hark_exchanges_lost_total{reason=\"x\"} 7\n\
               http_server_active_requests{service_name=\"shop\"} 3\n\
               http_server_active_requests{service_name=\"idle\"} 1\n";
        let summary = compared(&first, &last, 10);
        assert_eq!(summary.window, Some(Duration::from_secs(10)));
        assert_eq!(
            summary.losses,
            [("exchanges lost (x)".to_owned(), 7.0, 2.0)]
        );
        assert_eq!(
            summary.rows,
            [
                Row {
                    service: key("shop"),
                    rate: Some(2.5),
                    errors: Some(0.2),
                    // Buckets 10, 20, 25. Rank 12.5 is 2.5 into the 10 of (0.1, 1].
                    p50: Quantile::About(0.1 + 0.9 * 0.25),
                    p95: Quantile::Above(1.0),
                    p99: Quantile::Above(1.0),
                    active: Some(3.0),
                },
                Row {
                    service: key("idle"),
                    rate: Some(0.0),
                    errors: None,
                    p50: Quantile::Nothing,
                    p95: Quantile::Nothing,
                    p99: Quantile::Nothing,
                    active: Some(1.0),
                },
            ]
        );
    }

    /// A call is a request like any other, and what the network drops is not what hark loses.
    #[test]
    fn calls_and_what_the_network_drops() {
        let series = |count| {
            let http = page(&[("service_name=\"shop\"", [count, count, count])]);
            let calls = http.replace("http_server_request_duration", "rpc_server_call_duration");
            let calls = calls.replace("{", "{rpc_method=\"a.B/C\",");
            format!("{http}{calls}hark_network_softnet_dropped_total{{cpu=\"0\"}} {count}\n")
        };
        let summary = compared(&series(0), &series(10), 10);
        assert_eq!(summary.rows.len(), 1);
        assert_eq!(summary.rows[0].rate, Some(2.0));
        assert!(summary.losses.is_empty());
    }

    #[test]
    fn a_restarted_agent_counts_from_zero() {
        let labels = "service_name=\"shop\"";
        let summary = compared(
            &(page(&[(labels, [90, 95, 100])]) + "hark_records_lost_total 50\n"),
            &(page(&[(labels, [4, 4, 4])]) + "hark_records_lost_total 1\n"),
            2,
        );
        assert_eq!(summary.rows[0].rate, Some(2.0));
        assert_eq!(summary.rows[0].p99, Quantile::Below(0.1));
        assert_eq!(summary.losses, [("records lost".to_owned(), 1.0, 1.0)]);
    }

    #[test]
    fn one_reading_has_no_rates() {
        let snapshot = Snapshot::read(&page(&[("service_name=\"shop\"", [1, 1, 1])])).unwrap();
        let summary = compare(&snapshot, &snapshot);
        assert_eq!(summary.window, None);
        assert_eq!(summary.rows[0].rate, None);
        assert_eq!(summary.rows[0].errors, None);
        assert_eq!(summary.rows[0].p50, Quantile::Nothing);
    }

    #[test]
    fn the_busiest_is_first_and_equals_go_by_name() {
        let series = |a, b, c| {
            page(&[
                ("service_name=\"a\"", [a, a, a]),
                ("service_name=\"b\"", [b, b, b]),
                ("service_name=\"c\"", [c, c, c]),
            ])
        };
        let summary = compared(&series(0, 0, 0), &series(1, 5, 1), 1);
        let names: Vec<&str> = summary
            .rows
            .iter()
            .map(|row| row.service.name.as_str())
            .collect();
        assert_eq!(names, ["b", "a", "c"]);
    }
}
