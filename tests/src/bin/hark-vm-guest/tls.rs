//! HTTP inside TLS: nginx and h2load, with the system's own OpenSSL shipped along as the shared
//! library that the agent has to find and probe.

use std::process::Command;
use std::time::Duration;

use hark_tests::agent::{self, Agent};
use hark_tests::certificate::Certificate;
use hark_tests::metrics;
use hark_tests::names;
use hark_tests::process::Process;
use hark_tests::server::nginx::Nginx;
use hark_tests::skip::Skip;
use hark_tests::tools;
use hark_tests::wait;

use crate::PATIENCE;
use crate::books::{Books, End, Protocol};

/// How often h2load asks, by its own count.
const REQUESTS: u64 = 60;

/// A version of HTTP: its name in the report, and what makes h2load speak it.
pub(crate) const CHECKS: [(&str, Protocol, &[&str]); 2] = [
    ("HTTP/1.1 in TLS", Protocol::Http1, &["--h1"]),
    ("HTTP/2 in TLS", Protocol::Http2, &["-m", "4"]),
];

/// Asks; gives how often it was heard at either end.
pub(crate) fn check(agent: &Agent, protocol: Protocol, manner: &[&str]) -> String {
    let have = |Skip(why)| -> ! { panic!("{why}") };
    let certificate = Certificate::make().unwrap_or_else(|skip| have(skip));
    let nginx = Nginx {
        tls: Some((certificate.certificate.clone(), certificate.key.clone())),
        ..Nginx::default()
    };
    let server = nginx.start("tls-nginx").unwrap_or_else(|skip| have(skip));
    let h2load = tools::find("h2load").unwrap_or_else(|skip| have(skip));
    let ask = |service: &str| {
        let mut command = Command::new(&h2load);
        command
            .args(["-n", &REQUESTS.to_string(), "-c", "3"])
            .args(manner)
            .arg(format!("https://{}/ok", server.tcp()))
            .env("OTEL_SERVICE_NAME", service);
        let said = Process::run(command, PATIENCE);
        assert!(said.contains(&format!("{REQUESTS} 2xx")), "{said}");
    };
    // The library is found when a process has it, and probed a moment later: connections until then
    // cannot be read, and are counted so.
    wait::until(PATIENCE, "the library to be probed", || {
        ask(&names::unique("tls-before"));
        let both = [agent::SERVER, agent::CLIENT].map(|family| {
            let https = [("url_scheme", "https")];
            agent.page().total(&format!("{family}_count"), &https)
        });
        (!both.contains(&0)).then_some(())
    });
    let before = wait::until(PATIENCE, "all of that to be reported", || {
        let before = agent.server_counts(&server.service);
        std::thread::sleep(Duration::from_secs(2));
        (agent.server_counts(&server.service) == before).then_some(before)
    });
    let service = names::unique("tls-h2load");
    let books = Books::open(agent);
    ask(&service);
    let asked = metrics::counts(&[("GET", "200", REQUESTS)]);
    books.close(
        protocol,
        &[
            End {
                what: "served",
                own: asked.clone(),
                heard: &|page| {
                    let mut heard = page.counts(agent::SERVER, &server.service);
                    for (kind, count) in &mut heard {
                        *count -= before.get(kind).copied().unwrap_or(0);
                    }
                    heard
                },
            },
            End {
                what: "sent",
                own: asked,
                heard: &|page| page.counts(agent::CLIENT, &service),
            },
        ],
    )
}
