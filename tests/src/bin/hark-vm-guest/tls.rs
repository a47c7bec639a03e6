//! HTTP inside TLS: nginx and h2load, with the system's own OpenSSL shipped along as the shared
//! library that the agent has to find and probe.

use std::process::Command;

use hark_tests::agent::{self, Agent};
use hark_tests::certificate::Certificate;
use hark_tests::metrics;
use hark_tests::names;
use hark_tests::process::Process;
use hark_tests::server::nginx::Nginx;
use hark_tests::skip::Skip;
use hark_tests::tools;

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
    let service = names::unique("tls-h2load");
    let mut command = Command::new(tools::find("h2load").unwrap_or_else(|skip| have(skip)));
    command
        .args(["-n", &REQUESTS.to_string(), "-c", "3"])
        .args(manner)
        .arg(format!("https://{}/ok", server.tcp()))
        .env("OTEL_SERVICE_NAME", &service);
    let books = Books::open(agent);
    let said = Process::run(command, PATIENCE);
    assert!(said.contains(&format!("{REQUESTS} 2xx")), "{said}");
    let asked = metrics::counts(&[("GET", "200", REQUESTS)]);
    books.close(
        protocol,
        &[
            End {
                what: "served",
                own: asked.clone(),
                heard: &|page| page.counts(agent::SERVER, &server.service),
            },
            End {
                what: "sent",
                own: asked,
                heard: &|page| page.counts(agent::CLIENT, &service),
            },
        ],
    )
}
