//! Nothing that a watched process does stops the agent or makes it grow without bound.

use std::collections::BTreeMap;
use std::fs::File;
use std::process::Command;
use std::time::Duration;

use hark_tests::agent::{self, Agent};
use hark_tests::load::{Order, Plan, Request};
use hark_tests::metrics::counts;
use hark_tests::process::Process;
use hark_tests::server::Server;
use hark_tests::server::nginx::Nginx;
use hark_tests::{http, names, need, tools, wait};

/// Far above the budget of 40 MiB and far below what any of these tests could make it take.
const BOUND: u64 = 160 << 20;

#[track_caller]
fn expect_well() {
    let agent = Agent::shared();
    let page = http::get(agent.address(), "/readyz", "*/*").expect("the agent answers");
    assert_eq!(page.status, 200, "{}", page.body);
    let resident = agent.resident_bytes();
    eprintln!("the agent's resident memory: {} MiB", resident >> 20);
    assert!(resident < BOUND, "the agent takes {resident} bytes");
}

fn sockets(service: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(tools::helper("hark-test-sockets"));
    command.args(arguments).env("OTEL_SERVICE_NAME", service);
    command
}

#[test]
fn ten_thousand_connections() {
    need!(agent::root());
    let agent = Agent::shared();
    let nginx = need!(
        Nginx {
            workers: 2,
            ..Nginx::default()
        }
        .start("robust-crowd")
    );
    let service = names::unique("crowd");
    let mut crowd = Process::start(sockets(
        &service,
        &["crowd", &nginx.tcp().to_string(), "10000"],
    ));
    assert_eq!(crowd.line("ASKED ").as_deref(), Ok("10000"));
    let want = counts(&[("GET", "200", 10_000)]);
    agent.expect_served(&nginx.service, &want);
    agent.expect_sent(&service, &want);
    // All of them still open, all of them idle.
    expect_well();
    drop(crowd);
    expect_well();
}

#[test]
fn a_connection_per_request() {
    need!(agent::root());
    let agent = Agent::shared();
    let nginx = need!(
        Nginx {
            workers: 2,
            ..Nginx::default()
        }
        .start("robust-fresh")
    );
    let requests = vec![Request::get("/ok"), Request::get("/none")];
    let plan = Plan::new(&nginx.target, requests)
        .connections(8)
        .rounds(500);
    let sent = plan.order(Order::PerRequest).run();
    assert_eq!(sent.outcome.failed, BTreeMap::new());
    agent.expect_served(&nginx.service, &sent.counts());
    agent.expect_sent(&sent.service, &sent.counts());
    expect_well();
}

const GIB: u64 = 1 << 30;

#[track_caller]
fn expect_bytes(service: &str, which: &str) {
    let name = format!("http_server_{which}_body_size_bytes_sum");
    wait::expect(&name, &GIB, || {
        Agent::shared()
            .page()
            .total(&name, &[("service_name", service)])
    });
}

#[test]
fn a_response_of_one_gibibyte() {
    need!(agent::root());
    let agent = Agent::shared();
    let server = need!(Server::python("robust-download"));
    let sent = Plan::new(&server.target, vec![Request::get(&format!("/bytes/{GIB}"))]).run();
    assert_eq!(sent.outcome.failed, BTreeMap::new());
    agent.expect_served(&server.service, &sent.counts());
    agent.expect_sent(&sent.service, &sent.counts());
    expect_bytes(&server.service, "response");
    expect_well();
}

#[test]
fn a_request_of_one_gibibyte() {
    need!(agent::root());
    let agent = Agent::shared();
    let curl = need!(tools::find("curl"));
    let server = need!(Server::python("robust-upload"));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("sparse");
    File::create(&file)
        .and_then(|file| file.set_len(GIB))
        .expect("a sparse file");
    let service = names::unique("robust-curl");
    let mut command = Command::new(curl);
    command
        .args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "-T"])
        .arg(&file)
        .arg(format!("http://{}/echo", server.tcp()))
        .env("OTEL_SERVICE_NAME", &service);
    assert_eq!(Process::run(command, Duration::from_secs(120)), "200");
    let want = counts(&[("PUT", "200", 1)]);
    agent.expect_served(&server.service, &want);
    agent.expect_sent(&service, &want);
    expect_bytes(&server.service, "request");
    expect_well();
}

/// Eight mebibytes of one header. The request never was one whole; what must hold is that it is
/// not reported as answered, and that the next one is counted.
#[test]
fn a_header_that_never_ends() {
    need!(agent::root());
    let agent = Agent::shared();
    let server = need!(Server::framing("robust-endless"));
    let service = names::unique("endless");
    let size = (8 << 20).to_string();
    let command = sockets(&service, &["endless", &server.tcp().to_string(), &size]);
    let _ = Process::run(command, Duration::from_secs(60));
    let sent = Plan::new(&server.target, vec![Request::get("/after")]).run();
    agent.expect_sent(&sent.service, &counts(&[("GET", "200", 1)]));
    agent.barrier();
    let with_status: BTreeMap<_, _> = agent
        .server_counts(&server.service)
        .into_iter()
        .filter(|((_, status), _)| !status.is_empty())
        .collect();
    assert_eq!(with_status, counts(&[("GET", "200", 1)]));
    expect_well();
}

/// Each request comes from a process that was just born and is gone at once.
#[test]
fn a_process_per_request() {
    need!(agent::root());
    let agent = Agent::shared();
    let nginx = need!(Nginx::default().start("robust-forks"));
    let service = names::unique("forks");
    let command = sockets(&service, &["forks", &nginx.tcp().to_string(), "2000"]);
    let output = Process::run(command, Duration::from_secs(120));
    assert_eq!(output, "ASKED 2000\n");
    let want = counts(&[("GET", "200", 2000)]);
    agent.expect_served(&nginx.service, &want);
    // Their names are lost unless the agent looks at them while they live.
    agent.expect_sent(&service, &want);
    expect_well();
}
