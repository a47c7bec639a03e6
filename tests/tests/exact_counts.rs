//! The client's count of requests equals what the agent reports of the server, and of the client,
//! by method and status. One agent; each server and each client under a name of its own.

use std::process::Command;
use std::time::Duration;

use hark_tests::agent::{self, Agent};
use hark_tests::load::{Body, Order, Plan, Request, Sent, Target, Write};
use hark_tests::metrics::{counts, outcomes};
use hark_tests::process::Process;
use hark_tests::server::Server;
use hark_tests::server::nginx::Nginx;
use hark_tests::{names, need, tools, wait};

/// Both ends of what was sent.
#[track_caller]
fn expect_both_ends(server: &Server, sent: &Sent) {
    let agent = Agent::shared();
    assert_eq!(
        sent.outcome.failed,
        Default::default(),
        "the load itself failed"
    );
    agent.expect_served(&server.service, &sent.counts());
    agent.expect_sent(&sent.service, &sent.counts());
}

fn mixed() -> Vec<Request> {
    vec![
        Request::get("/ok"),
        Request::new("HEAD", "/ok"),
        Request::get("/status/404"),
        Request::get("/status/204"),
        Request::get("/status/304"),
        Request::get("/status/503"),
        Request::get("/bytes/200000"),
        Request::get("/chunked/5/1000"),
        Request::post("/echo", Body::Length(70_000)),
        Request::post("/echo", Body::Chunked(vec![1, 17, 5000])),
        Request::new("PUT", "/echo"),
        Request::new("DELETE", "/ok"),
        Request::new("PATCH", "/ok"),
        Request::new("OPTIONS", "/ok"),
    ]
}

/// The mix over kept connections, and with a connection per request.
#[track_caller]
fn counts_exactly(server: &Server) {
    let _ = Agent::shared();
    let plan = Plan::new(&server.target, mixed()).connections(4).rounds(20);
    let kept = plan.clone().run();
    let agent = Agent::shared();
    expect_both_ends(server, &kept);
    let fresh = plan.rounds(5).order(Order::PerRequest).run();
    assert_eq!(
        fresh.outcome.failed,
        Default::default(),
        "the load itself failed"
    );
    agent.expect_sent(&fresh.service, &fresh.counts());
    let mut both = kept.counts();
    for (key, count) in fresh.counts() {
        *both.entry(key).or_default() += count;
    }
    agent.expect_served(&server.service, &both);
}

#[test]
fn python() {
    need!(agent::root());
    counts_exactly(&need!(Server::python("counts-python")));
}

#[test]
fn python_over_ipv6() {
    need!(agent::root());
    counts_exactly(&need!(Server::python_v6("counts-python-v6")));
}

#[test]
fn python_over_a_unix_socket() {
    need!(agent::root());
    counts_exactly(&need!(Server::python_unix("counts-python-unix")));
}

#[test]
fn node() {
    need!(agent::root());
    counts_exactly(&need!(Server::node("counts-node")));
}

#[test]
fn go() {
    need!(agent::root());
    counts_exactly(&need!(Server::go("counts-go")));
}

#[test]
fn java() {
    need!(agent::root());
    counts_exactly(&need!(Server::java("counts-java")));
}

#[test]
fn pipelined_to_go_and_node() {
    need!(agent::root());
    let _ = Agent::shared();
    for server in [
        need!(Server::go("counts-pipe-go")),
        need!(Server::node("counts-pipe-node")),
    ] {
        let requests = vec![
            Request::get("/ok"),
            Request::get("/status/404"),
            Request::new("HEAD", "/bytes/5000"),
            Request::post("/echo", Body::Length(300)),
            Request::get("/chunked/3/50"),
            Request::get("/status/204"),
        ];
        let plan = Plan::new(&server.target, requests)
            .connections(3)
            .rounds(40);
        expect_both_ends(&server, &plan.order(Order::Pipelined(12)).run());
    }
}

#[test]
fn every_way_to_write() {
    need!(agent::root());
    let _ = Agent::shared();
    for write in [
        Write::Pieces(1),
        Write::Pieces(7),
        Write::Vectored(1),
        Write::Vectored(5),
        Write::Message(1),
        Write::Message(9),
        Write::AfterContinue,
    ] {
        let server = need!(Server::python("counts-writes"));
        let requests = vec![
            Request::post("/echo", Body::ChunkedOddly(vec![3, 500, 1])),
            Request::post("/echo", Body::Length(900)),
            Request::post("/status/500", Body::Length(1)),
        ];
        let sent = Plan::new(&server.target, requests)
            .connections(2)
            .rounds(3)
            .write(write)
            .run();
        println!("{write:?}");
        expect_both_ends(&server, &sent);
    }
}

#[test]
fn pieces_of_pipelined_requests() {
    need!(agent::root());
    let _ = Agent::shared();
    let server = need!(Server::go("counts-pieces"));
    let requests = vec![
        Request::post("/echo", Body::Chunked(vec![10, 3])),
        Request::get("/status/404"),
    ];
    // Seven bytes at a time: every boundary falls inside a piece sooner or later.
    let plan = Plan::new(&server.target, requests)
        .rounds(14)
        .order(Order::Pipelined(28));
    expect_both_ends(&server, &plan.write(Write::Pieces(7)).run());
}

#[test]
fn nginx_static_and_fixed() {
    need!(agent::root());
    let _ = Agent::shared();
    let nginx = need!(
        Nginx {
            workers: 2,
            ..Nginx::default()
        }
        .start("counts-nginx")
    );
    let requests: Vec<Request> = [
        "/file", "/large", "/ok", "/created", "/empty", "/moved", "/teapot", "/broken", "/none",
    ]
    .into_iter()
    .map(Request::get)
    .chain([Request::new("HEAD", "/file"), Request::new("BREW", "/ok")])
    .collect();
    let plan = Plan::new(&nginx.target, requests).connections(4).rounds(10);
    expect_both_ends(&nginx, &plan.run());
}

#[test]
fn nginx_pipelined() {
    need!(agent::root());
    let _ = Agent::shared();
    let nginx = need!(
        Nginx {
            workers: 2,
            ..Nginx::default()
        }
        .start("counts-nginx-pipe")
    );
    let requests = ["/file", "/ok", "/none", "/empty"]
        .into_iter()
        .map(Request::get)
        .collect();
    let plan = Plan::new(&nginx.target, requests)
        .connections(4)
        .rounds(100);
    expect_both_ends(&nginx, &plan.order(Order::Pipelined(16)).run());
}

/// nginx in front of Python: three services take part in each request, four ends in all.
#[test]
fn nginx_before_python() {
    need!(agent::root());
    let agent = Agent::shared();
    let behind_unix = need!(Server::python_unix("counts-behind-unix"));
    let behind_tcp = need!(Server::python("counts-behind-tcp"));
    let Target::Unix(socket) = behind_unix.target.clone() else {
        panic!("a unix socket has a path");
    };
    for (prefix, backend) in [("/unix", &behind_unix), ("/tcp", &behind_tcp)] {
        let nginx = Nginx {
            workers: 2,
            unix: Some(socket.clone()),
            tcp: Some(behind_tcp.tcp()),
            ..Nginx::default()
        };
        let nginx = need!(nginx.start("counts-proxy"));
        let requests = [
            "/ok",
            "/status/404",
            "/status/503",
            "/bytes/100000",
            "/chunked/4/999",
        ]
        .into_iter()
        .map(|path| Request::get(&format!("{prefix}{path}")))
        .chain([Request::post(
            &format!("{prefix}/echo"),
            Body::Length(50_000),
        )])
        .collect();
        let sent = Plan::new(&nginx.target, requests)
            .connections(4)
            .rounds(20)
            .run();
        expect_both_ends(&nginx, &sent);
        agent.expect_sent(&nginx.service, &sent.counts());
        agent.expect_served(&backend.service, &sent.counts());
    }
}

/// Which service so short a life was is a matter of its own (identity.rs): these are told by the
/// port they asked.
#[test]
fn curl_one_process_per_request() {
    need!(agent::root());
    let agent = Agent::shared();
    let curl = need!(tools::find("curl"));
    let server = need!(Server::python("counts-curl"));
    for path in ["/ok", "/ok", "/status/404", "/chunked/3/10"] {
        let mut command = Command::new(&curl);
        command
            .args(["-s", "-o", "/dev/null", "-w", "%{http_code}"])
            .arg(format!("http://{}{path}", server.tcp()));
        let status = Process::run(command, Duration::from_secs(20));
        assert_eq!(status, if path == "/status/404" { "404" } else { "200" });
    }
    agent.expect_served(
        &server.service,
        &counts(&[("GET", "200", 3), ("GET", "404", 1)]),
    );
    let want = outcomes(&[("GET", "200", "", 3), ("GET", "404", "404", 1)]);
    let port = server.tcp().port().to_string();
    wait::expect("sent by curl", &want, || {
        agent
            .page()
            .outcomes(agent::CLIENT, &[("server_port", &port)])
    });
}

/// ab speaks HTTP/1.0 with `Connection: Keep-Alive`, or a connection per request without.
#[test]
fn ab_over_http_1_0() {
    need!(agent::root());
    let agent = Agent::shared();
    let ab = need!(tools::find("ab"));
    for keep_alive in [true, false] {
        let nginx = need!(
            Nginx {
                workers: 2,
                ..Nginx::default()
            }
            .start("counts-ab")
        );
        let service = names::unique("ab");
        let mut command = Command::new(&ab);
        command.args(["-q", "-n", "2000", "-c", "10"]);
        if keep_alive {
            command.arg("-k");
        }
        command
            .arg(format!("http://{}/file", nginx.tcp()))
            .env("OTEL_SERVICE_NAME", &service);
        let report = Process::run(command, Duration::from_secs(60));
        let complete = report
            .lines()
            .find_map(|line| line.strip_prefix("Complete requests:"));
        assert_eq!(complete.map(str::trim), Some("2000"), "{report}");
        let want = counts(&[("GET", "200", 2000)]);
        agent.expect_served(&nginx.service, &want);
        agent.expect_sent(&service, &want);
    }
}
