//! The harness against itself, without the agent: servers keep to the contract, clients count
//! exactly, and what is called a truth elsewhere is one.

use hark_tests::load::{Body, End, Order, Plan, Request, Sent, Write};
use hark_tests::metrics::{Counts, counts};
use hark_tests::need;
use hark_tests::server::Server;
use hark_tests::server::nginx::{FILE, LARGE, Nginx};
use hark_tests::wrk;

/// One of everything that the contract of the application servers has, with its truth.
fn contract() -> (Vec<Request>, Counts) {
    let requests = vec![
        Request::get("/ok"),
        Request::new("HEAD", "/ok"),
        Request::get("/status/404"),
        Request::get("/status/204"),
        Request::get("/status/503"),
        Request::get("/bytes/100000"),
        Request::get("/chunked/5/1000"),
        Request::get("/sleep/20"),
        Request::post("/echo", Body::Length(70_000)),
        Request::post("/echo", Body::Chunked(vec![1, 17, 5000])),
        Request::new("PUT", "/echo"),
        Request::new("DELETE", "/ok"),
    ];
    let want = counts(&[
        ("GET", "200", 4),
        ("GET", "404", 1),
        ("GET", "204", 1),
        ("GET", "503", 1),
        ("HEAD", "200", 1),
        ("POST", "200", 2),
        ("PUT", "200", 1),
        ("DELETE", "200", 1),
    ]);
    (requests, want)
}

fn keeps_the_contract(server: &Server) {
    let (requests, want) = contract();
    let sent = Plan::new(&server.target, requests).keep().run();
    assert_eq!(sent.counts(), want);
    assert_eq!(sent.outcome.failed, Default::default());
    let bodies: Vec<u64> = sent
        .outcome
        .exchanges
        .iter()
        .map(|exchange| exchange.response_body)
        .collect();
    // "0\n", "status\n", "slept\n", and the sizes of the request bodies in decimal.
    assert_eq!(bodies, [2, 0, 7, 0, 7, 100_000, 5000, 6, 6, 5, 2, 2]);
}

#[test]
fn python_keeps_the_contract() {
    keeps_the_contract(&need!(Server::python("harness-python")));
}

#[test]
fn python_on_ipv6_keeps_the_contract() {
    keeps_the_contract(&need!(Server::python_v6("harness-python-v6")));
}

#[test]
fn python_on_a_unix_socket_keeps_the_contract() {
    keeps_the_contract(&need!(Server::python_unix("harness-python-unix")));
}

#[test]
fn node_keeps_the_contract() {
    keeps_the_contract(&need!(Server::node("harness-node")));
}

#[test]
fn go_keeps_the_contract() {
    keeps_the_contract(&need!(Server::go("harness-go")));
}

#[test]
fn java_keeps_the_contract() {
    keeps_the_contract(&need!(Server::java("harness-java")));
}

#[test]
fn nginx_serves_and_proxies() {
    let behind_unix = need!(Server::python_unix("harness-behind-unix"));
    let behind_tcp = need!(Server::python("harness-behind-tcp"));
    let hark_tests::load::Target::Unix(socket) = behind_unix.target.clone() else {
        panic!("a unix socket has a path");
    };
    let nginx = Nginx {
        workers: 2,
        unix: Some(socket),
        tcp: Some(behind_tcp.tcp()),
        tls: None,
    };
    let nginx = need!(nginx.start("harness-nginx"));
    let requests = [
        "/file", "/large", "/ok", "/created", "/empty", "/moved", "/teapot",
    ]
    .into_iter()
    .chain([
        "/broken",
        "/none",
        "/unix/ok",
        "/tcp/status/500",
        "/tcp/bytes/70000",
    ])
    .map(Request::get)
    .collect();
    let sent = Plan::new(&nginx.target, requests).keep().run();
    let statuses: Vec<u16> = sent
        .outcome
        .exchanges
        .iter()
        .filter_map(|exchange| exchange.status)
        .collect();
    assert_eq!(
        statuses,
        [200, 200, 200, 201, 204, 302, 418, 503, 404, 200, 500, 200]
    );
    let bodies: Vec<u64> = sent
        .outcome
        .exchanges
        .iter()
        .map(|exchange| exchange.response_body)
        .collect();
    assert_eq!(bodies[..5], [FILE as u64, LARGE as u64, 3, 5, 0]);
    assert_eq!(bodies[9..], [2, 7, 70_000]);
}

fn one(server: &Server, request: Request) -> Sent {
    Plan::new(&server.target, vec![request]).keep().run()
}

/// Status, body bytes, and what broke it.
fn outcome(sent: &Sent) -> (Option<u16>, u64, Vec<&str>) {
    let [exchange] = &sent.outcome.exchanges[..] else {
        panic!("one exchange: {sent:?}")
    };
    let failed = sent.outcome.failed.keys().map(String::as_str).collect();
    (exchange.status, exchange.response_body, failed)
}

#[test]
fn framing_does_what_its_paths_say() {
    let server = need!(Server::framing("harness-framing"));
    let get = |target: &str| {
        let sent = one(&server, Request::get(target));
        let (status, body, failed) = outcome(&sent);
        (status, body, failed.join(" "))
    };
    let whole = |body| (Some(200), body, String::new());
    assert_eq!(get("/close-delimited"), whole(3345));
    assert_eq!(get("/close-delimited-11"), whole(13));
    assert_eq!(get("/interim"), whole(3));
    assert_eq!(get("/dribble"), whole(20));
    assert_eq!(get("/dribble-chunked"), whole(15));
    assert_eq!(get("/head-in-body"), whole(380));
    assert_eq!(get("/not-modified"), (Some(304), 0, String::new()));
    assert_eq!(get("/no-content"), (Some(204), 0, String::new()));
    assert_eq!(get("/no-reason"), whole(3));
    assert_eq!(get("/long-head"), whole(3));
    assert_eq!(get("/both"), whole(4));
    assert_eq!(get("/reset"), (Some(200), 100, "reset".into()));
    assert_eq!(get("/reset-silent"), (None, 0, "reset".into()));
    assert_eq!(get("/cut"), (Some(200), 100, "closed".into()));
    assert_eq!(get("/cut-chunked"), (Some(200), 3, "closed".into()));
    assert_eq!(get("/cut-silent"), (None, 0, "closed".into()));
    let head = one(&server, Request::new("HEAD", "/head"));
    assert_eq!(outcome(&head), (Some(200), 0, vec![]));
}

#[test]
fn framing_upgrades_continues_and_half_closes() {
    let server = need!(Server::framing("harness-framing"));
    let plan = |request| Plan::new(&server.target, vec![request]).keep();
    let upgrade = plan(Request::get("/upgrade").header("Connection: upgrade"));
    assert_eq!(
        outcome(&upgrade.end(End::Upgraded(5000)).run()),
        (Some(101), 0, vec![])
    );
    let body = || Body::Length(10_000);
    let with = plan(Request::post("/continue", body())).write(Write::AfterContinue);
    assert_eq!(outcome(&with.run()), (Some(200), 3, vec![]));
    let early = plan(Request::post("/early", body()));
    assert_eq!(outcome(&early.run()), (Some(413), 0, vec![]));
    let half = plan(Request::get("/wait-for-end")).write(Write::HalfClose);
    assert_eq!(outcome(&half.run()), (Some(200), 3, vec![]));
    let given_up = plan(Request::get("/slow")).end(End::ResetAfter(50));
    assert_eq!(outcome(&given_up.run()), (None, 0, vec!["aborted"]));
}

#[test]
fn every_way_to_write_arrives() {
    let server = need!(Server::python("harness-writes"));
    for write in [
        Write::Whole,
        Write::Pieces(1),
        Write::Pieces(7),
        Write::Vectored(3),
        Write::Message(11),
        Write::Messages(13),
    ] {
        let requests = vec![
            Request::post("/echo", Body::ChunkedOddly(vec![3, 500])),
            Request::get("/ok"),
        ];
        let sent = Plan::new(&server.target, requests).write(write).run();
        assert_eq!(
            sent.counts(),
            counts(&[("GET", "200", 1), ("POST", "200", 1)]),
            "{write:?}"
        );
    }
}

#[test]
fn orders_multiply() {
    let server = need!(Server::go("harness-orders"));
    for order in [Order::KeepAlive, Order::PerRequest, Order::Pipelined(8)] {
        let requests = vec![Request::get("/ok"), Request::get("/status/404")];
        let sent = Plan::new(&server.target, requests)
            .connections(3)
            .rounds(10)
            .order(order)
            .run();
        assert_eq!(
            sent.counts(),
            counts(&[("GET", "200", 30), ("GET", "404", 30)]),
            "{order:?}"
        );
    }
}

#[test]
fn every_way_to_receive_answers() {
    for mode in [
        "peek",
        "recvmmsg",
        "readv",
        "recvmsg",
        "trunc",
        "splice-in",
        "splice-out",
    ] {
        let server = Server::sockets("harness-sockets", mode);
        let requests = vec![
            Request::post("/a", Body::Length(20_000)),
            Request::get("/b"),
        ];
        let sent = Plan::new(&server.target, requests).rounds(3).run();
        assert_eq!(
            sent.counts(),
            counts(&[("GET", "200", 3), ("POST", "200", 3)]),
            "{mode}"
        );
    }
}

#[test]
fn an_armed_receive_answers() {
    let server = Server::sockets("harness-uring", "uring");
    let sent = Plan::new(&server.target, vec![Request::get("/uring")])
        .rounds(5)
        .pause_ms(30)
        .run();
    assert_eq!(sent.counts(), counts(&[("GET", "200", 5)]));
}

#[test]
fn wrk_counts_exactly() {
    let nginx = Nginx {
        workers: 2,
        ..Nginx::default()
    };
    let nginx = need!(nginx.start("harness-wrk"));
    for (depth, batches) in [(1, 500), (16, 50)] {
        let report = need!(wrk::run(&nginx, "/file", depth, batches));
        assert_eq!(
            (report.requests, report.errors),
            (wrk::requests(depth, batches), 0)
        );
    }
    // Sixteen requests in each of a hundred batches, one of which is not sent.
    assert_eq!(wrk::requests(16, 50), 1584);
}
