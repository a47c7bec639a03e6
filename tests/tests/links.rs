//! Links between spans against the truth: the path of each request tells which one it was sent for.

use std::collections::HashMap;

use hark_tests::agent::{self, Agent};
use hark_tests::load::Target;
use hark_tests::otlp::{ARRIVAL, Manner, Receiver, Span};
use hark_tests::server::Server;
use hark_tests::server::nginx::Nginx;
use hark_tests::server::relay::{self, Relay};
use hark_tests::skip::Skip;
use hark_tests::{need, wait};

const SERVER: i32 = 2;

/// How many of the links that there are in truth were found; each that was found is right.
#[derive(Clone, Copy, Debug, Default)]
struct Score {
    found: usize,
    missed: usize,
}

impl Score {
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    fn recall(self) -> f64 {
        self.found as f64 / (self.found + self.missed).max(1) as f64
    }
}

/// The id in `/a/ID`, whatever a proxy has in front of it.
fn served(path: &str) -> Option<&str> {
    path.split_once("/a/").map(|(_, id)| id)
}

/// The id of the request that `/b/ID.N` was sent for.
fn asked_for(path: &str) -> Option<&str> {
    path.strip_prefix("/b/")?.rsplit_once('.').map(|(id, _)| id)
}

/// Whether one span caused the other, by their paths and services.
fn caused(parent: &Span, child: &Span) -> bool {
    match (parent.kind == SERVER, child.kind == SERVER) {
        // The two ends of a connection.
        (false, true) => parent.path() == child.path(),
        // Inside a service: a relay's request, or a proxy's, which passes the request itself on.
        (true, false) => {
            parent.service() == child.service()
                && served(parent.path()).is_some_and(|id| {
                    asked_for(child.path()) == Some(id) || served(child.path()) == Some(id)
                })
        }
        _ => false,
    }
}

/// Compares every link with the truth. Returns what was found by the rule that two ends of a
/// connection belong together, and by those for the inside of a process.
fn score(case: &str, spans: &[Span]) -> (Score, Score) {
    let by_id: HashMap<&[u8], &Span> = spans
        .iter()
        .map(|span| (span.span_id.as_slice(), span))
        .collect();
    assert_eq!(by_id.len(), spans.len(), "{case}: ids of spans are unique");
    let (mut ends, mut inside) = (Score::default(), Score::default());
    let mut wrong = Vec::new();
    for span in spans {
        let parent = by_id.get(span.parent_id.as_slice());
        if let Some(parent) = parent
            && (!caused(parent, span) || parent.trace_id != span.trace_id)
        {
            wrong.push((*parent, span));
        }
        // What is there to be found: each has one cause at most.
        let score = if span.kind == SERVER {
            &mut ends
        } else {
            &mut inside
        };
        if spans.iter().any(|other| caused(other, span)) {
            match parent {
                Some(_) => score.found += 1,
                None => score.missed += 1,
            }
        }
    }
    println!(
        "{case}: {} spans, {} wrong links; connections: {} of {} found; inside: {} of {} found",
        spans.len(),
        wrong.len(),
        ends.found,
        ends.found + ends.missed,
        inside.found,
        inside.found + inside.missed,
    );
    assert!(
        wrong.is_empty(),
        "{case}: wrong links, precision is not 1: {wrong:#?}"
    );
    (ends, inside)
}

const COUNT: usize = 300;

fn start(receiver: &Receiver) -> Agent {
    Agent::start(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.endpoint()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "100000"),
    ])
}

struct Heard {
    ends: Score,
    inside: Score,
}

/// Drives `COUNT` requests to a relay, through nginx if there is a prefix, and scores the links.
fn run(case: &str, relay: Relay, headers: bool, through: Option<&str>) -> Result<Heard, Skip> {
    agent::root()?;
    let receiver = Receiver::grpc(Manner::Accepting);
    let leaf = relay::leaf("links-leaf")?;
    let asker = relay.start("links-relay", leaf.tcp(), headers)?;
    let proxy = match through {
        Some(_) => Some(
            Nginx {
                workers: 0,
                unix: None,
                tcp: Some(asker.tcp()),
                tls: None,
            }
            .start("links-nginx")?,
        ),
        None => None,
    };
    let agent = start(&receiver);
    let front = proxy.as_ref().unwrap_or(&asker).tcp();
    let driver = relay::drive(front, COUNT, through.unwrap_or(""), headers)?;
    let mut services = vec![driver, asker.service.clone(), leaf.service.clone()];
    services.extend(proxy.as_ref().map(|proxy| proxy.service.clone()));
    // The last requests of the driver and what they caused; the poller goes on.
    let complete = |spans: &[Span]| {
        spans
            .iter()
            .filter(|span| asked_for(span.path()).is_some())
            .count()
    };
    wait::expect_within(ARRIVAL, case, &(4 * COUNT), || {
        let spans: Vec<Span> = services
            .iter()
            .flat_map(|service| receiver.spans(service))
            .collect();
        complete(&spans)
    });
    wait::expect_within(ARRIVAL, case, &COUNT, || receiver.spans(&services[0]).len());
    wait::expect_within(ARRIVAL, case, &true, || {
        let served_spans = receiver.spans(&services[1]);
        served_spans
            .iter()
            .filter(|span| span.kind == SERVER)
            .count()
            == COUNT
    });
    let spans: Vec<Span> = services
        .iter()
        .flat_map(|service| receiver.spans(service))
        .collect();
    drop(agent);
    let (ends, inside) = score(case, &spans);
    Ok(Heard { ends, inside })
}

/// Both ends are on this host: nearly all are found. A few wait for the other half of a pair that the
/// end of the test cuts.
#[track_caller]
fn connections(heard: &Heard) {
    assert!(heard.ends.recall() > 0.95, "{:?}", heard.ends);
}

#[test]
fn a_thread_per_request() {
    let heard = need!(run("python threads", Relay::Threads, false, None));
    connections(&heard);
    assert!(heard.inside.recall() > 0.95, "{:?}", heard.inside);
}

#[test]
fn a_pool_of_threads() {
    let heard = need!(run("python pool", Relay::Pool, false, None));
    connections(&heard);
    assert!(heard.inside.recall() > 0.95, "{:?}", heard.inside);
}

/// Whom the pool's threads ask for is not known.
#[test]
fn a_pool_that_asks_in_parallel() {
    let heard = need!(run("python fan-out", Relay::Fan, false, None));
    connections(&heard);
    assert_eq!(heard.inside.found, 0);
}

#[test]
fn a_pool_that_asks_in_parallel_with_headers() {
    let heard = need!(run("python fan-out, headers", Relay::Fan, true, None));
    connections(&heard);
    assert!(heard.inside.recall() > 0.95, "{:?}", heard.inside);
}

#[test]
fn an_event_loop() {
    let heard = need!(run("python asyncio", Relay::Asyncio, false, None));
    connections(&heard);
    assert_eq!(heard.inside.found, 0);
}

#[test]
fn an_event_loop_with_headers() {
    let heard = need!(run("python asyncio, headers", Relay::Asyncio, true, None));
    connections(&heard);
    assert!(heard.inside.recall() > 0.95, "{:?}", heard.inside);
}

#[test]
fn node() {
    let heard = need!(run("node", Relay::Node, false, None));
    connections(&heard);
    assert_eq!(heard.inside.found, 0);
}

#[test]
fn node_with_headers() {
    let heard = need!(run("node, headers", Relay::Node, true, None));
    connections(&heard);
    assert!(heard.inside.recall() > 0.95, "{:?}", heard.inside);
}

#[test]
fn goroutines() {
    let heard = need!(run("go", Relay::Go, false, None));
    connections(&heard);
    assert_eq!(heard.inside.found, 0);
}

#[test]
fn goroutines_with_headers() {
    let heard = need!(run("go, headers", Relay::Go, true, None));
    connections(&heard);
    assert!(heard.inside.recall() > 0.95, "{:?}", heard.inside);
}

/// The proxy passes headers on, the relay behind it is one of threads.
#[test]
fn a_proxy_in_front() {
    let heard = need!(run(
        "nginx, python threads, headers",
        Relay::Threads,
        true,
        Some("/tcp")
    ));
    connections(&heard);
    assert!(heard.inside.recall() > 0.95, "{:?}", heard.inside);
}

#[test]
fn a_proxy_in_front_without_headers() {
    let heard = need!(run(
        "nginx, python threads",
        Relay::Threads,
        false,
        Some("/tcp")
    ));
    connections(&heard);
}

/// The proxy passes headers on, over `AF_UNIX`.
#[test]
fn a_proxy_over_a_unix_socket() {
    need!(agent::root());
    let receiver = Receiver::grpc(Manner::Accepting);
    let app = need!(Server::python_unix("links-app"));
    let Target::Unix(socket) = &app.target else {
        panic!("it listens on a unix socket");
    };
    let proxy = Nginx {
        workers: 0,
        unix: Some(socket.clone()),
        tcp: None,
        tls: None,
    };
    let proxy = need!(proxy.start("links-nginx"));
    let agent = start(&receiver);
    let driver = need!(relay::drive(proxy.tcp(), COUNT, "/unix", true));
    let services = [driver, proxy.service.clone(), app.service.clone()];
    wait::expect_within(ARRIVAL, "all spans", &(4 * COUNT), || {
        services
            .iter()
            .map(|service| receiver.spans(service).len())
            .sum()
    });
    let spans: Vec<Span> = services
        .iter()
        .flat_map(|service| receiver.spans(service))
        .collect();
    drop(agent);
    let (ends, inside) = score("nginx over AF_UNIX, headers", &spans);
    connections(&Heard { ends, inside });
    assert!(inside.recall() > 0.95, "{inside:?}");
}
