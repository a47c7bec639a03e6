//! What is not HTTP is never reported as HTTP, at either end.

use std::process::Command;
use std::time::Duration;

use hark_tests::agent::{self, Agent};
use hark_tests::process::Process;
use hark_tests::server::Server;
use hark_tests::{names, need, tools};

/// Nothing is said of the service, even after everything that it did has been reported.
#[track_caller]
fn expect_silence(services: &[&str]) {
    let agent = Agent::shared();
    agent.barrier();
    let page = agent.page();
    for service in services {
        let said = page.requests_of(service);
        assert!(said.is_empty(), "{service} does not speak HTTP: {said:?}");
    }
}

fn stays_silent(protocol: &str) {
    need!(agent::root());
    let _ = Agent::shared();
    let server = need!(Server::other(&format!("not-http-{protocol}"), protocol));
    expect_silence(&[&server.service]);
}

#[test]
fn redis() {
    stays_silent("redis");
}

#[test]
fn postgresql() {
    stays_silent("postgresql");
}

#[test]
fn smtp_with_a_request_in_the_mail() {
    stays_silent("smtp");
}

#[test]
fn random_bytes() {
    stays_silent("random");
}

#[test]
fn zeros() {
    stays_silent("zeros");
}

#[test]
fn a_file_that_begins_with_get() {
    stays_silent("get-file");
}

#[test]
fn nearly_a_request_line() {
    stays_silent("near-http");
}

#[test]
fn rtsp() {
    stays_silent("rtsp");
}

#[test]
fn sip() {
    stays_silent("sip");
}

#[test]
fn https_is_tls_to_the_socket() {
    need!(agent::root());
    let _ = Agent::shared();
    let openssl = need!(tools::find("openssl"));
    let curl = need!(tools::find("curl"));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let key = folder.path().join("key");
    let certificate = folder.path().join("certificate");
    let mut command = Command::new(&openssl);
    command
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ])
        .args(["-subj", "/CN=localhost", "-days", "1", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate);
    let _ = Process::run(command, Duration::from_secs(20));

    let address = names::free_address();
    let service = names::unique("not-http-tls");
    let client = names::unique("not-http-tls-client");
    let mut command = Command::new(&openssl);
    command
        .args([
            "s_server",
            "-quiet",
            "-www",
            "-accept",
            &address.to_string(),
            "-key",
        ])
        .arg(&key)
        .arg("-cert")
        .arg(&certificate)
        .env("OTEL_SERVICE_NAME", &service);
    let _server = Process::start(command);
    hark_tests::wait::until(Duration::from_secs(10), "openssl to listen", || {
        std::net::TcpStream::connect(address).ok()
    });
    let mut command = Command::new(curl);
    command
        .args(["-sk", "-o", "/dev/null", "-w", "%{http_code}"])
        .arg(format!("https://{address}/"))
        .env("OTEL_SERVICE_NAME", &client);
    assert_eq!(Process::run(command, Duration::from_secs(20)), "200");
    expect_silence(&[&service, &client]);
}
