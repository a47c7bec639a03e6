//! The end of the demo: what was sent, beside what hark heard.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use hark::top::exposition::samples;

use crate::agent::Agent;
use crate::load::{Answers, Sent};
use crate::stop::Stop;

/// How long hark may take to report the last exchanges; it promises one second.
const SETTLE: Duration = Duration::from_secs(3);

/// Prints the totals, once they agree or hark has had its time.
pub(crate) fn print(sent: &Sent, agent: &Agent, service: &str, stop: &Stop) -> Result<()> {
    let deadline = Instant::now() + SETTLE;
    loop {
        let heard = heard(&agent.metrics()?, service)?;
        if heard == sent.answers || Instant::now() > deadline {
            print!("{}", table(sent, &heard, service));
            return Ok(());
        }
        stop.sleep(Duration::from_millis(100))?;
    }
}

/// What a page of metrics says of the requests that a service received, sorted.
fn heard(page: &str, service: &str) -> Result<Vec<Answers>> {
    let mut heard: Vec<Answers> = Vec::new();
    for sample in samples(page) {
        let sample = sample.context("the agent's page of metrics is not valid")?;
        if sample.name != "http_server_request_duration_seconds_count"
            || sample.label("service_name") != Some(service)
        {
            continue;
        }
        let label = |name| sample.label(name).unwrap_or_default().to_owned();
        let method = label("http_request_method");
        let route = label("http_route");
        let status = label("http_response_status_code").parse().unwrap_or(0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count; the cast saturates"
        )]
        let count = sample.value as u64;
        match heard
            .iter_mut()
            .find(|other| other.method == method && other.route == route && other.status == status)
        {
            Some(other) => other.count += count,
            None => heard.push(Answers {
                method,
                route,
                status,
                count,
            }),
        }
    }
    heard.sort();
    Ok(heard)
}

/// The totals as lines of text.
fn table(sent: &Sent, heard: &[Answers], service: &str) -> String {
    let mut rows: Vec<(&Answers, u64, u64)> = sent
        .answers
        .iter()
        .map(|answers| {
            let same = heard.iter().find(|other| is_same(other, answers));
            (answers, answers.count, same.map_or(0, |other| other.count))
        })
        .collect();
    rows.extend(
        heard
            .iter()
            .filter(|other| !sent.answers.iter().any(|answers| is_same(answers, other)))
            .map(|other| (other, 0, other.count)),
    );
    let mut text = format!(
        "\n{:<32}{:>8}{:>8}\n",
        format!("requests to {service}"),
        "sent",
        "heard"
    );
    for (answers, sent, heard) in &rows {
        let name = format!("{} {} {}", answers.method, answers.route, answers.status);
        let _ = writeln!(text, "{name:<32}{sent:>8}{heard:>8}");
    }
    if sent.failed > 0 {
        let _ = writeln!(text, "{} requests had no answer", sent.failed);
    }
    let (all_sent, all_heard) = rows
        .iter()
        .fold((0, 0), |(a, b), (_, sent, heard)| (a + sent, b + heard));
    let verdict = if rows.iter().all(|(_, sent, heard)| sent == heard) {
        "hark heard every one of them"
    } else {
        "they differ; `hark_…_lost_total` in the metrics say what was lost"
    };
    let _ = writeln!(text, "{:<32}{all_sent:>8}{all_heard:>8}\n{verdict}", "all");
    text
}

fn is_same(a: &Answers, b: &Answers) -> bool {
    (&a.method, &a.route, a.status) == (&b.method, &b.route, b.status)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(method: &str, route: &str, status: u16, count: u64) -> Answers {
        Answers {
            method: method.into(),
            route: route.into(),
            status,
            count,
        }
    }

    #[test]
    fn what_was_heard_is_of_that_service_alone() {
        let name = "http_server_request_duration_seconds_count";
        let page = format!(
            "{name}{{service_name=\"edge\",http_request_method=\"GET\",http_route=\"/\",http_response_status_code=\"200\"}} 3\n\
             {name}{{service_name=\"edge\",http_request_method=\"GET\",http_route=\"/\",http_response_status_code=\"200\",url_scheme=\"https\"}} 1\n\
             {name}{{service_name=\"edge\",http_request_method=\"GET\",error_type=\"connection_reset\"}} 2\n\
             {name}{{service_name=\"storefront\",http_request_method=\"GET\"}} 9\n\
             http_client_request_duration_seconds_count{{service_name=\"edge\"}} 9\n"
        );
        assert_eq!(
            heard(&page, "edge").unwrap(),
            [answers("GET", "", 0, 2), answers("GET", "/", 200, 4)]
        );
    }

    #[test]
    fn the_totals() {
        let sent = Sent {
            answers: vec![
                answers("GET", "/", 200, 7),
                answers("POST", "/checkout", 500, 1),
            ],
            failed: 0,
        };
        assert_eq!(
            table(&sent, &sent.answers, "edge"),
            "
requests to edge                    sent   heard
GET / 200                              7       7
POST /checkout 500                     1       1
all                                    8       8
hark heard every one of them
"
        );
        assert_eq!(
            table(
                &Sent { failed: 2, ..sent },
                &[answers("GET", "/", 200, 6), answers("GET", "/x", 200, 1)],
                "edge"
            ),
            "
requests to edge                    sent   heard
GET / 200                              7       6
POST /checkout 500                     1       0
GET /x 200                             0       1
2 requests had no answer
all                                    8       7
they differ; `hark_…_lost_total` in the metrics say what was lost
"
        );
    }
}
