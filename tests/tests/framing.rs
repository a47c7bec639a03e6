//! HTTP/1 whole: each oddity of framing is one exchange, with the outcome that both ends saw.

use std::collections::BTreeMap;

use hark_tests::agent::{self, Agent};
use hark_tests::load::{Body, End, Order, Plan, Request, Write};
use hark_tests::metrics::{Outcomes, outcomes};
use hark_tests::server::Server;
use hark_tests::{need, wait};

/// One exchange and what it must look like from both ends: method, status, `error_type`.
struct Case {
    plan: Plan,
    route: &'static str,
    served: (&'static str, &'static str, &'static str),
    sent: (&'static str, &'static str, &'static str),
}

fn one(of: (&str, &str, &str)) -> Outcomes {
    outcomes(&[(of.0, of.1, of.2, 1)])
}

/// Runs the cases against one server, one after the other, and compares all of them at once.
fn expect(server: &Server, cases: Vec<Case>) {
    let agent = Agent::shared();
    let mut want = BTreeMap::new();
    let mut asked = Vec::new();
    for case in cases {
        let sent = case.plan.run();
        want.insert(("server", case.route), one(case.served));
        want.insert(("client", case.route), one(case.sent));
        asked.push((case.route, sent.service));
    }
    wait::expect("outcomes by end and route", &want, || {
        let page = agent.page();
        let mut seen = BTreeMap::new();
        for (route, client) in &asked {
            let labels = [
                ("service_name", server.service.as_str()),
                ("http_route", route),
            ];
            seen.insert(("server", *route), page.outcomes(agent::SERVER, &labels));
            let labels = [("service_name", client.as_str())];
            seen.insert(("client", *route), page.outcomes(agent::CLIENT, &labels));
        }
        seen
    });
}

fn whole(server: &Server, method: &str, route: &'static str, status: &'static str) -> Case {
    let method: &'static str = match method {
        "HEAD" => "HEAD",
        _ => "GET",
    };
    Case {
        plan: Plan::new(&server.target, vec![Request::new(method, route)]),
        route,
        served: (method, status, ""),
        sent: (method, status, ""),
    }
}

#[test]
fn whole_responses() {
    need!(agent::root());
    let _ = Agent::shared();
    let server = need!(Server::framing("framing-whole"));
    let mut cases: Vec<Case> = [
        "/close-delimited",
        "/close-delimited-11",
        "/interim",
        "/dribble",
        "/dribble-chunked",
        "/head-in-body",
        "/no-reason",
        "/long-head",
        "/both",
        "/slow",
    ]
    .map(|route| whole(&server, "GET", route, "200"))
    .into();
    cases.push(whole(&server, "GET", "/not-modified", "304"));
    cases.push(whole(&server, "GET", "/no-content", "204"));
    cases.push(whole(&server, "HEAD", "/head", "200"));
    expect(&server, cases);
}

#[test]
fn cut_responses() {
    need!(agent::root());
    let _ = Agent::shared();
    let server = need!(Server::framing("framing-cut"));
    let cut = |route: &'static str, status, client| Case {
        plan: Plan::new(&server.target, vec![Request::get(route)]),
        route,
        served: ("GET", status, "connection_aborted"),
        sent: ("GET", status, client),
    };
    let cases = vec![
        cut("/reset", "200", "connection_reset"),
        cut("/reset-silent", "", "connection_reset"),
        cut("/cut", "200", "connection_closed"),
        cut("/cut-chunked", "200", "connection_closed"),
        cut("/cut-silent", "", "connection_closed"),
    ];
    expect(&server, cases);
}

#[test]
fn a_client_that_gives_up() {
    need!(agent::root());
    let _ = Agent::shared();
    let server = need!(Server::framing("framing-gives-up"));
    let plan = Plan::new(&server.target, vec![Request::get("/slow")]).end(End::ResetAfter(100));
    let case = Case {
        plan,
        route: "/slow",
        served: ("GET", "", "connection_reset"),
        sent: ("GET", "", "connection_aborted"),
    };
    expect(&server, vec![case]);
}

#[test]
fn bodies_that_wait_or_come_late() {
    need!(agent::root());
    let _ = Agent::shared();
    let server = need!(Server::framing("framing-bodies"));
    let post =
        |route: &'static str, body| Plan::new(&server.target, vec![Request::post(route, body)]);
    let cases = vec![
        Case {
            plan: post("/continue", Body::Length(20_000)).write(Write::AfterContinue),
            route: "/continue",
            served: ("POST", "200", ""),
            sent: ("POST", "200", ""),
        },
        Case {
            // The answer is whole before the body is; the client counts 4xx as an error.
            plan: post("/early", Body::Length(2_000)).write(Write::Pieces(100)),
            route: "/early",
            served: ("POST", "413", ""),
            sent: ("POST", "413", "413"),
        },
        Case {
            plan: Plan::new(&server.target, vec![Request::get("/wait-for-end")])
                .write(Write::HalfClose),
            route: "/wait-for-end",
            served: ("GET", "200", ""),
            sent: ("GET", "200", ""),
        },
    ];
    expect(&server, cases);
}

/// Requests behind an early answer on the same connection are exchanges like any other.
#[test]
fn after_an_early_answer() {
    need!(agent::root());
    let agent = Agent::shared();
    let server = need!(Server::framing("framing-after-early"));
    let requests = vec![
        Request::post("/early", Body::Length(5_000)),
        Request::get("/a"),
        Request::post("/early", Body::ChunkedOddly(vec![1000, 1, 2000])),
        Request::get("/b"),
    ];
    let sent = Plan::new(&server.target, requests).rounds(5).run();
    assert_eq!(sent.outcome.failed, BTreeMap::new());
    agent.expect_served(&server.service, &sent.counts());
    agent.expect_sent(&sent.service, &sent.counts());
}

#[test]
fn an_upgraded_connection_is_no_longer_http() {
    need!(agent::root());
    let _ = Agent::shared();
    let server = need!(Server::framing("framing-upgrade"));
    let request = Request::get("/upgrade")
        .header("Connection: upgrade")
        .header("Upgrade: echo");
    let case = Case {
        // What follows looks like requests, and is not.
        plan: Plan::new(&server.target, vec![request]).end(End::Upgraded(10_000)),
        route: "/upgrade",
        served: ("GET", "101", ""),
        sent: ("GET", "101", ""),
    };
    expect(&server, vec![case]);
    let agent = Agent::shared();
    agent.barrier();
    let total: u64 = agent.server_counts(&server.service).values().sum();
    assert_eq!(total, 1, "nothing but the upgrade itself");
}

#[test]
fn every_form_of_target_and_any_method() {
    need!(agent::root());
    let agent = Agent::shared();
    let server = need!(Server::framing("framing-targets"));
    let requests = vec![
        Request::get("http://absolute.example:8080/absolute?q=1"),
        Request::new("OPTIONS", "*"),
        Request::new("CONNECT", "authority.example:443"),
        Request::new("BREW", "/pot"),
        Request::new("get", "/lower"),
        Request::new("X!#$%&'*+-.^_`|~", "/token"),
        Request::get("/old").http10(),
        Request::get(&format!("/{}", "deep/".repeat(3000))),
    ];
    let sent = Plan::new(&server.target, requests)
        .order(Order::PerRequest)
        .run();
    assert_eq!(sent.outcome.failed, BTreeMap::new());
    agent.expect_sent(&sent.service, &sent.counts());
    agent.expect_served(&server.service, &sent.counts());
    let page = agent.page();
    let by = |family: &str, service: &str, label: &str| {
        let name = format!("{family}_count");
        page.by(&name, label, &[("service_name", service)])
            .into_iter()
            .collect::<Vec<_>>()
    };
    let own = |of: &[(&str, u64)]| -> Vec<(String, u64)> {
        of.iter()
            .map(|(key, count)| ((*key).to_owned(), *count))
            .collect()
    };
    let versions = by(agent::SERVER, &server.service, "network_protocol_version");
    assert_eq!(versions, own(&[("1.0", 1), ("1.1", 7)]));
    let addresses = by(agent::CLIENT, &sent.service, "server_address");
    let want = [
        ("absolute.example", 1),
        ("authority.example", 1),
        ("test.example", 6),
    ];
    assert_eq!(addresses, own(&want));
    let ports = page.by(
        &format!("{}_count", agent::CLIENT),
        "server_port",
        &[
            ("service_name", &sent.service),
            ("server_address", "absolute.example"),
        ],
    );
    assert_eq!(ports, BTreeMap::from([("8080".to_owned(), 1)]));
}
