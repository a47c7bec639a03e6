//! Edges, counted exactly, from what is heard at the two ends of connections.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::*;
use crate::config::Config;
use crate::red::testing::{exchange, service};
use crate::telemetry::page::Format;
use crate::telemetry::testing::{Samples, page, parse};

const SECOND: u64 = 1_000_000_000;

/// A graph and its page.
struct Fixture {
    graph: ServiceGraph,
    telemetry: Telemetry,
    sockets: u64,
}

impl Fixture {
    fn new(change: impl FnOnce(&mut config::ServiceGraph)) -> Self {
        let mut config = Config::default();
        change(&mut config.service_graph);
        let graph = ServiceGraph::new(&config.service_graph, &config.metrics).unwrap();
        let mut telemetry = Telemetry::new();
        graph.register(&mut telemetry);
        Self {
            graph,
            telemetry,
            sockets: 100,
        }
    }

    /// One end of a connection in this network namespace.
    fn end(&mut self, role: Role, service: &Arc<Service>, local: &str, peer: &str) -> Side {
        self.sockets += 1;
        Side {
            service: Arc::clone(service),
            heard: Heard {
                role,
                local: endpoint(local),
                peer: endpoint(peer),
                netns: 1,
                socket: self.sockets,
                peer_socket: 0,
                process: ProcessKey {
                    pid: service.pid,
                    ..ProcessKey::default()
                },
                time_ns: SECOND,
            },
        }
    }

    fn hear(&mut self, side: &Side) {
        self.graph.heard(&side.heard, || Arc::clone(&side.service));
    }

    /// An exchange of 1.5 ms that begins when the end was heard.
    fn end_of(&mut self, side: &Side, host: Option<&str>, status: u16) {
        let heard = &side.heard;
        let mut ended = exchange(heard.role);
        ended.socket = heard.socket;
        ended.trail.peer_socket = heard.peer_socket;
        ended.local = heard.local;
        ended.peer = heard.peer;
        ended.request.host = host.map(Into::into);
        ended.status = Some(status);
        ended.start_ns = heard.time_ns;
        ended.end_ns = heard.time_ns + 1_500_000;
        self.graph.ended(&ended, &side.service);
    }

    fn samples(&self) -> Samples {
        parse(
            &page(&self.telemetry, Format::OpenMetrics),
            Format::OpenMetrics,
        )
    }

    /// Requests, failures, durations at the server, durations at the client, by the labels.
    fn edges(&self) -> BTreeMap<String, [u64; 4]> {
        let mut edges = BTreeMap::<String, [u64; 4]>::new();
        for ((name, labels), value) in self.samples() {
            let Some(rest) = name.strip_prefix("traces_service_graph_request_") else {
                continue;
            };
            let place = match rest {
                "total" => 0,
                "failed_total" => 1,
                "server_seconds_count" => 2,
                "client_seconds_count" => 3,
                _ => continue,
            };
            let label = |name: &str| labels.get(name).map_or("-", String::as_str);
            let mut key = format!("{} > {}", label("client"), label("server"));
            for more in ["connection_type", "otel_metric_overflow"] {
                if let Some(value) = labels.get(more) {
                    key.push_str(&format!(" {value}"));
                }
            }
            edges.entry(key).or_default()[place] += value.parse::<u64>().unwrap();
        }
        edges
    }

    fn own(&self, name: &str) -> String {
        let samples = self.samples();
        samples[&(name.to_owned(), BTreeMap::new())].clone()
    }
}

struct Side {
    service: Arc<Service>,
    heard: Heard,
}

fn endpoint(address: &str) -> Endpoint {
    Endpoint::Inet(address.parse::<SocketAddr>().unwrap())
}

fn edges<const N: usize>(of: [(&str, [u64; 4]); N]) -> BTreeMap<String, [u64; 4]> {
    of.map(|(key, counts)| (key.to_owned(), counts)).into()
}

const A: &str = "127.0.0.1:50000";
const B: &str = "127.0.0.1:80";

#[test]
fn both_ends_on_this_host_are_one_edge() {
    let mut graph = Fixture::new(|_| ());
    let (shop, stock) = (service("shop", 1), service("stock", 2));
    let client = graph.end(Role::Client, &shop, A, B);
    let server = graph.end(Role::Server, &stock, B, A);
    for status in [200, 200, 404, 500] {
        graph.hear(&client);
        graph.hear(&server);
        graph.end_of(&server, Some("stock.example"), status);
        graph.end_of(&client, Some("stock.example"), status);
    }
    // What failed is for the server to say: 404 is not its failure.
    assert_eq!(graph.edges(), edges([("shop > stock", [4, 1, 4, 4])]));
    assert_eq!(graph.own("hark_service_graph_edges"), "1");
    // Nothing waits that could be counted again.
    graph.graph.settle(u64::MAX);
    assert_eq!(graph.edges(), edges([("shop > stock", [4, 1, 4, 4])]));
}

#[test]
fn an_end_may_be_heard_late() {
    let mut graph = Fixture::new(|_| ());
    let (shop, stock) = (service("shop", 1), service("stock", 2));
    let client = graph.end(Role::Client, &shop, A, B);
    let server = graph.end(Role::Server, &stock, B, A);
    graph.hear(&server);
    graph.end_of(&server, None, 200);
    graph.graph.settle(SECOND + 1_000_000);
    assert_eq!(graph.edges(), edges([]));
    graph.hear(&client);
    graph.end_of(&client, None, 200);
    graph.graph.settle(2 * SECOND + 2_000_000);
    assert_eq!(graph.edges(), edges([("shop > stock", [1, 0, 1, 1])]));
}

#[test]
fn ends_elsewhere_go_by_name() {
    let mut graph = Fixture::new(|_| ());
    let shop = service("shop", 1);
    let out = graph.end(Role::Client, &shop, "10.0.0.1:50000", "192.0.2.9:443");
    let into = graph.end(Role::Server, &shop, "10.0.0.1:80", "[2001:db8::7]:1234");
    graph.hear(&out);
    graph.hear(&into);
    for host in [
        Some("API.example"),
        Some("api.example"),
        Some(""),
        None,
        Some("192.0.2.9"),
        Some("[2001:DB8::9]"),
        Some("Other"),
    ] {
        graph.end_of(&out, host, 404);
    }
    // What the request says of its server is not the name of its client.
    graph.end_of(&into, Some("shop.example"), 503);
    graph.graph.settle(u64::MAX);
    let expected = edges([
        ("shop > api.example virtual_node", [2, 2, 0, 2]),
        ("shop > 192.0.2.9 virtual_node", [3, 3, 0, 3]),
        ("shop > 2001:db8::9 virtual_node", [1, 1, 0, 1]),
        ("shop > other virtual_node", [1, 1, 0, 1]),
        ("2001:db8::7 > shop virtual_node", [1, 1, 1, 0]),
    ]);
    assert_eq!(graph.edges(), expected);
}

/// Loopback is not one network: each namespace has its own.
#[test]
fn loopback_ends_must_be_in_one_namespace() {
    let mut graph = Fixture::new(|_| ());
    let (shop, stock) = (service("shop", 1), service("stock", 2));
    let mut client = graph.end(Role::Client, &shop, A, B);
    client.heard.netns = 2;
    let server = graph.end(Role::Server, &stock, B, A);
    graph.hear(&client);
    graph.hear(&server);
    graph.end_of(&server, None, 200);
    graph.end_of(&client, None, 200);
    graph.graph.settle(u64::MAX);
    let expected = edges([
        ("127.0.0.1 > stock virtual_node", [1, 0, 1, 0]),
        ("shop > 127.0.0.1 virtual_node", [1, 0, 0, 1]),
    ]);
    assert_eq!(graph.edges(), expected);
}

/// Containers reach each other from namespace to namespace.
#[test]
fn other_addresses_match_across_namespaces_if_they_are_unique() {
    let (shop, stock, twin) = (service("shop", 1), service("stock", 2), service("twin", 3));
    let (a, b) = ("172.17.0.2:50000", "172.17.0.3:80");
    let mut graph = Fixture::new(|_| ());
    let mut client = graph.end(Role::Client, &shop, a, b);
    client.heard.netns = 2;
    let server = graph.end(Role::Server, &stock, b, a);
    graph.hear(&client);
    graph.hear(&server);
    graph.end_of(&server, None, 200);
    graph.graph.settle(u64::MAX);
    assert_eq!(graph.edges(), edges([("shop > stock", [1, 0, 1, 0])]));

    // Two private networks with the same addresses: nobody knows who is whose.
    let mut other = graph.end(Role::Client, &twin, a, b);
    other.heard.netns = 7;
    graph.hear(&other);
    graph.hear(&server);
    graph.end_of(&server, None, 200);
    graph.graph.settle(u64::MAX);
    let expected = edges([
        ("shop > stock", [1, 0, 1, 0]),
        ("172.17.0.2 > stock virtual_node", [1, 0, 1, 0]),
    ]);
    assert_eq!(graph.edges(), expected);
}

#[test]
fn an_address_that_is_used_again_names_the_new_end() {
    let mut graph = Fixture::new(|_| ());
    let (shop, cron, stock) = (service("shop", 1), service("cron", 3), service("stock", 2));
    for caller in [&shop, &cron] {
        let client = graph.end(Role::Client, caller, A, B);
        let server = graph.end(Role::Server, &stock, B, A);
        graph.hear(&client);
        graph.hear(&server);
        graph.end_of(&server, None, 200);
        graph.end_of(&client, None, 200);
    }
    let expected = edges([
        ("shop > stock", [1, 0, 1, 1]),
        ("cron > stock", [1, 0, 1, 1]),
    ]);
    assert_eq!(graph.edges(), expected);
    // Long after, somebody who is not heard.
    let mut server = graph.end(Role::Server, &stock, B, A);
    server.heard.time_ns = 100 * SECOND;
    graph.hear(&server);
    graph.end_of(&server, None, 200);
    graph.graph.settle(u64::MAX);
    let stranger = graph.edges()["127.0.0.1 > stock virtual_node"];
    assert_eq!(stranger, [1, 0, 1, 0]);
}

#[test]
fn a_socket_may_pass_to_another_process() {
    let mut graph = Fixture::new(|_| ());
    let (shop, parent, child) = (
        service("shop", 1),
        service("parent", 2),
        service("child", 3),
    );
    let client = graph.end(Role::Client, &shop, A, B);
    let mut server = graph.end(Role::Server, &parent, B, A);
    graph.hear(&client);
    graph.hear(&server);
    graph.end_of(&client, None, 200);
    server.service = Arc::clone(&child);
    server.heard.process.pid = 3;
    graph.hear(&server);
    graph.end_of(&client, None, 200);
    let expected = edges([
        ("shop > parent", [0, 0, 0, 1]),
        ("shop > child", [0, 0, 0, 1]),
    ]);
    assert_eq!(graph.edges(), expected);
}

#[test]
fn names_are_limited_per_service_and_direction() {
    let mut graph = Fixture::new(|config| config.max_remotes = 2);
    let (shop, cron) = (service("shop", 1), service("cron", 2));
    let out = graph.end(Role::Client, &shop, "10.0.0.1:50000", "192.0.2.9:80");
    let into = graph.end(Role::Server, &shop, "10.0.0.1:80", "192.0.2.7:1");
    let cron_out = graph.end(Role::Client, &cron, "10.0.0.1:50001", "192.0.2.9:80");
    for host in ["a", "b", "c", "d", "a"] {
        graph.end_of(&out, Some(host), 200);
    }
    graph.end_of(&into, None, 200);
    graph.end_of(&cron_out, Some("z"), 200);
    graph.graph.settle(u64::MAX);
    let expected = edges([
        ("shop > a virtual_node", [2, 0, 0, 2]),
        ("shop > b virtual_node", [1, 0, 0, 1]),
        ("shop > other virtual_node", [2, 0, 0, 2]),
        ("192.0.2.7 > shop virtual_node", [1, 0, 1, 0]),
        ("cron > z virtual_node", [1, 0, 0, 1]),
    ]);
    assert_eq!(graph.edges(), expected);
    assert_eq!(
        graph.own("hark_service_graph_remotes_beyond_limit_total"),
        "2"
    );
}

#[test]
fn edges_are_limited() {
    let mut graph = Fixture::new(|config| config.max_edges = 2);
    let shop = service("shop", 1);
    let out = graph.end(Role::Client, &shop, "10.0.0.1:50000", "192.0.2.9:80");
    for host in ["a", "b", "c", "a", "d"] {
        graph.end_of(&out, Some(host), 200);
    }
    graph.graph.settle(u64::MAX);
    let expected = edges([
        ("shop > a virtual_node", [2, 0, 0, 2]),
        ("shop > b virtual_node", [1, 0, 0, 1]),
        ("other > other true", [2, 0, 0, 2]),
    ]);
    assert_eq!(graph.edges(), expected);
    assert_eq!(graph.own("hark_service_graph_overflow_total"), "2");
}

#[test]
fn those_that_wait_are_limited() {
    let mut graph = Fixture::new(|_| ());
    let shop = service("shop", 1);
    let out = graph.end(Role::Client, &shop, "10.0.0.1:50000", "192.0.2.9:80");
    for _ in 0..MAX_WAITING + 3 {
        graph.end_of(&out, Some("a"), 200);
    }
    assert_eq!(graph.edges()["shop > a virtual_node"], [3, 0, 0, 3]);
    assert_eq!(graph.own("hark_service_graph_hurried_total"), "3");
    graph.graph.settle(u64::MAX);
    let all = MAX_WAITING as u64 + 3;
    assert_eq!(graph.edges()["shop > a virtual_node"], [all, 0, 0, all]);
}

#[test]
fn sockets_without_addresses_are_known_by_their_other_end() {
    let mut graph = Fixture::new(|_| ());
    let (shop, web) = (service("shop", 1), service("web", 2));
    let unix = |graph: &mut Fixture, role, service, peer_socket| {
        let mut side = graph.end(role, service, "10.0.0.1:1", "10.0.0.1:2");
        (side.heard.local, side.heard.peer) = (Endpoint::Unix, Endpoint::Unix);
        side.heard.peer_socket = peer_socket;
        side
    };
    let asks = unix(&mut graph, Role::Client, &web, 0);
    let answers = unix(&mut graph, Role::Server, &shop, asks.heard.socket);
    // One whose client is not heard, and one whose socket does not know its other end.
    let alone = unix(&mut graph, Role::Server, &shop, 1);
    let unknown = unix(&mut graph, Role::Server, &shop, 0);
    for side in [&answers, &asks, &alone, &unknown] {
        graph.hear(side);
        graph.end_of(side, Some("localhost"), 200);
    }
    graph.graph.settle(u64::MAX);
    assert_eq!(graph.edges(), edges([("web > shop", [1, 0, 1, 1])]));
    assert_eq!(graph.own("hark_service_graph_unplaced_total"), "2");
}

#[test]
fn edges_of_those_that_are_gone_expire_once_they_were_seen() {
    let mut graph = Fixture::new(|_| ());
    let now = Instant::now();
    let after = |seconds| now + std::time::Duration::from_secs(seconds);
    let (shop, stock) = (service("shop", 1), service("stock", 2));
    let client = graph.end(Role::Client, &shop, A, B);
    let server = graph.end(Role::Server, &stock, B, A);
    graph.hear(&client);
    graph.hear(&server);
    graph.end_of(&server, None, 200);
    drop((shop, client));
    graph.graph.expire(after(1));
    graph.graph.expire(after(2000));
    assert_eq!(graph.edges().len(), 1, "the server lives");
    drop((stock, server));
    graph.graph.expire(after(2001));
    assert_eq!(graph.edges(), edges([]));
    assert_eq!(graph.own("hark_service_graph_edges"), "0");
}

#[test]
fn the_page_is_as_declared() {
    let mut graph = Fixture::new(|_| ());
    let (shop, mut stock) = (service("shop", 1), service("stock", 2));
    Arc::make_mut(&mut stock).namespace = Some("prod".into());
    let client = graph.end(Role::Client, &shop, A, B);
    let server = graph.end(Role::Server, &stock, B, A);
    graph.hear(&client);
    graph.hear(&server);
    graph.end_of(&server, None, 200);
    graph.end_of(&client, None, 200);
    let of_graph: Vec<_> = graph
        .samples()
        .into_iter()
        .filter(|((name, _), _)| name.starts_with("traces_"))
        .collect();
    let names: BTreeMap<String, usize> =
        of_graph
            .iter()
            .fold(BTreeMap::new(), |mut names, ((name, _), _)| {
                *names.entry(name.clone()).or_default() += 1;
                names
            });
    let prefix = "traces_service_graph_request";
    let expected = [
        ("_client_seconds_bucket", 18),
        ("_client_seconds_count", 1),
        ("_client_seconds_sum", 1),
        ("_failed_total", 1),
        ("_server_seconds_bucket", 18),
        ("_server_seconds_count", 1),
        ("_server_seconds_sum", 1),
        ("_total", 1),
    ]
    .map(|(name, lines)| (format!("{prefix}{name}"), lines));
    assert_eq!(names, expected.into());
    for ((_, labels), _) in &of_graph {
        assert_eq!(labels["client"], "shop");
        assert_eq!(labels["server"], "stock");
        assert_eq!(labels["server_service_namespace"], "prod");
        let declared = families()[0].labels;
        assert!(
            labels
                .keys()
                .all(|label| label == "le" || declared.contains(&&**label))
        );
    }
    let sum = of_graph
        .iter()
        .find(|((name, _), _)| *name == format!("{prefix}_server_seconds_sum"));
    assert_eq!(sum.unwrap().1, "0.0015");
}
