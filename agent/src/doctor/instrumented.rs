//! Which services export spans of their own, as the agent that runs here has seen it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::Finding;
use crate::config::Config;
use crate::top::exposition::samples;
use crate::top::fetch::{Target, fetch_blocking};

const GROUP: &str = "spans";

/// Services that are named; the metric `hark_service_instrumented` has all.
const LISTED: usize = 50;

/// Asks the agent for its metrics, if one runs.
pub(super) fn instrumented(config: &Config) -> Vec<Finding> {
    const NAME: &str = "instrumented services";
    let says = |detail: String| vec![Finding::works(GROUP, NAME, detail)];
    if !config.traces.leave_out_instrumented {
        return says("have spans of hark's, too: `traces.leave_out_instrumented` is false".into());
    }
    let address = reachable(config.listen);
    let page = Target::parse(&address.to_string()).and_then(|target| fetch_blocking(&target));
    match page {
        Ok(page) => match list(&page) {
            findings if findings.is_empty() => says("none was seen".into()),
            findings => findings,
        },
        Err(_) => says(format!(
            "known to a running agent only, and none answers at {address}"
        )),
    }
}

/// Where to ask an agent that listens there.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// One for each service that a page names.
fn list(page: &str) -> Vec<Finding> {
    let mut names: Vec<String> = samples(page)
        .filter_map(Result::ok)
        .filter(|sample| sample.name == "hark_service_instrumented" && sample.value > 0.0)
        .filter_map(|sample| sample.label("service_name").map(str::to_owned))
        .collect();
    names.sort_unstable();
    names.dedup();
    let beyond = names.len().saturating_sub(LISTED);
    names.truncate(LISTED);
    let detail = "exports its own spans: hark's are left out, its metrics stay";
    let mut findings: Vec<Finding> = (names.into_iter())
        .map(|name| Finding::works(GROUP, name, detail))
        .collect();
    if beyond > 0 {
        let detail = format!("so do {beyond} more, see `hark_service_instrumented`");
        findings.push(Finding::works(GROUP, "others", detail));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_of_a_page() {
        let line = |name: &str, value: u8| {
            format!("hark_service_instrumented{{service_name=\"{name}\"}} {value}\n")
        };
        let page = format!(
            "{}{}{}no line\nhark_series 3\n",
            line("b", 1),
            line("a", 1),
            line("c", 0)
        );
        let names = |findings: Vec<Finding>| -> Vec<String> {
            findings.into_iter().map(|finding| finding.name).collect()
        };
        assert_eq!(names(list(&page)), ["a", "b"]);
        assert!(list("").is_empty());
        let many: String = (0..LISTED + 7)
            .map(|n| line(&format!("s{n:03}"), 1))
            .collect();
        let findings = list(&many);
        assert_eq!(findings.len(), LISTED + 1);
        assert!(findings[LISTED].detail.contains("7 more"));
    }

    #[test]
    fn an_agent_on_all_addresses_is_asked_on_this_host() {
        for (listen, asked) in [
            ("0.0.0.0:9465", "127.0.0.1:9465"),
            ("[::]:9465", "[::1]:9465"),
            ("192.0.2.1:80", "192.0.2.1:80"),
        ] {
            let listen = listen.parse().unwrap();
            assert_eq!(reachable(listen).to_string(), asked);
        }
    }
}
