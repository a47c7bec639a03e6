//! What the agent writes to is not there.

use crate::agent::{self, Agent};
use crate::disk::Small;
use crate::load::{Plan, Sent};
use crate::metrics::Page;
use crate::names;
use crate::otlp::{ARRIVAL, Manner, Receiver};
use crate::server::Server;
use crate::skip::Skip;
use crate::torture::books::Books;
use crate::torture::speed::{distinct, nginx};
use crate::torture::{Outcome, Scale};
use crate::wait;

/// More than the queue of spans holds, in full.
fn load(server: &Server, scale: Scale) -> Sent {
    Plan::new(&server.target, distinct())
        .connections(4)
        .rounds(scale.of(20, 1000))
        .run()
}

/// offered = exported + dropped + queued.
fn spans(page: &Page) -> [u64; 4] {
    ["offered_total", "exported_total", "dropped_total", "queued"]
        .map(|name| page.total(&format!("hark_spans_{name}"), &[]))
}

/// The collector goes, and another comes to its address.
pub(super) fn collector(scale: Scale) -> Result<Outcome, Skip> {
    agent::root()?;
    let nginx = nginx()?;
    // Not one that a connection may be given while nobody listens there, such as the agent's own.
    let address = names::free_address();
    let receiver = Receiver::grpc_at(address, Manner::Accepting);
    let endpoint = receiver.endpoint();
    let agent = Agent::start(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
    ]);
    let mut books = Books::open(&agent);
    let exported = || spans(&agent.page())[1];
    let mut loads = vec![load(&nginx, scale)];
    wait::until(ARRIVAL, "spans at the collector", || {
        (exported() > 0).then_some(())
    });
    drop(receiver);
    loads.push(load(&nginx, scale));
    let before = exported();
    let receiver = Receiver::grpc_at(address, Manner::Accepting);
    loads.push(load(&nginx, scale));
    wait::until(3 * ARRIVAL, "spans at the new collector", || {
        (exported() > before).then_some(())
    });
    for sent in &loads {
        books.load(&nginx, sent);
    }
    let outcome = books.close(&agent);
    wait::expect_within(
        3 * ARRIVAL,
        "spans offered = exported + dropped, and none queued",
        &true,
        || {
            let [offered, exported, dropped, queued] = spans(&agent.page());
            queued == 0 && offered == exported + dropped
        },
    );
    drop(receiver);
    Ok(outcome)
}

/// chosen = rate-limited + written + dropped + queued.
fn lines(page: &Page) -> [u64; 5] {
    [
        "chosen_total",
        "rate_limited_total",
        "lines_written_total",
        "lines_dropped_total",
        "lines_queued",
    ]
    .map(|name| page.total(&format!("hark_request_log_{name}"), &[]))
}

/// The request log's file system is full, and then is not.
pub(super) fn disk_full(scale: Scale) -> Result<Outcome, Skip> {
    agent::root()?;
    let nginx = nginx()?;
    let small = Small::new(128 << 10);
    let path = small.path().join("requests.log");
    let agent = Agent::start(&[
        ("HARK_REQUEST_LOG_OUTPUT", "file"),
        ("HARK_REQUEST_LOG_PATH", path.to_str().expect("UTF-8")),
        ("HARK_REQUEST_LOG_WHICH", "all"),
        ("HARK_REQUEST_LOG_MAX_PER_SECOND", "1000000"),
    ]);
    let mut books = Books::open(&agent);
    let settled = |written_more_than: u64| {
        let holds = |[chosen, limited, written, dropped, queued]: [u64; 5]| {
            queued == 0 && chosen == limited + written + dropped && written > written_more_than
        };
        let _ = wait::settle(wait::SETTLE, &true, || holds(lines(&agent.page())));
        let now = lines(&agent.page());
        assert!(
            holds(now),
            "chosen, limited, written, dropped, queued: {now:?}; written before: {written_more_than}"
        );
        now
    };
    let first = load(&nginx, scale);
    books.load(&nginx, &first);
    let [.., written, dropped, _] = settled(0);
    assert!(dropped > 0, "the disk had room for {written} lines");
    std::fs::remove_file(&path).expect("our own file");
    let second = load(&nginx, Scale::Short);
    books.load(&nginx, &second);
    let _ = settled(written);
    let outcome = books.close(&agent);
    drop(agent);
    Ok(outcome)
}
