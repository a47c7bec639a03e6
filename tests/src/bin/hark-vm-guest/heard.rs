//! HTTP/1 between two processes: what the client sent and what the server served must be the same, by
//! method and status, and the agent must have heard it at either end.

use std::net::Ipv6Addr;
use std::process::Command;

use hark_tests::agent::{self, Agent};
use hark_tests::load::{Body, Order, Plan, Request, Target, Write};
use hark_tests::metrics::Counts;
use hark_tests::server::Server;
use hark_tests::wait;

use crate::PATIENCE;
use crate::books::{Books, End, Protocol};

/// One way of talking.
pub(crate) struct Check {
    /// Its name in the report.
    pub(crate) name: &'static str,
    over: Over,
    order: Order,
    write: Write,
}

#[derive(Clone, Copy)]
enum Over {
    V4,
    V6,
    Unix,
}

const fn check(name: &'static str, over: Over, order: Order, write: Write) -> Check {
    Check {
        name,
        over,
        order,
        write,
    }
}

/// All of them.
pub(crate) const CHECKS: &[Check] = &[
    check("over IPv4", Over::V4, Order::KeepAlive, Write::Whole),
    check("over IPv6", Over::V6, Order::KeepAlive, Write::Whole),
    check(
        "over a unix socket",
        Over::Unix,
        Order::KeepAlive,
        Write::Whole,
    ),
    check(
        "a connection each",
        Over::V4,
        Order::PerRequest,
        Write::Whole,
    ),
    check("pipelined", Over::V4, Order::Pipelined(8), Write::Whole),
    check("in pieces", Over::V6, Order::KeepAlive, Write::Pieces(17)),
    check("by writev", Over::V4, Order::KeepAlive, Write::Vectored(23)),
    check(
        "by sendmsg",
        Over::Unix,
        Order::KeepAlive,
        Write::Message(23),
    ),
];

/// How often each connection asks for all of the requests.
const ROUNDS: usize = 16;

/// Exchanges of a check.
pub(crate) const EXCHANGES: usize = 4 * ROUNDS;

/// Carries it out; gives what was heard of it.
pub(crate) fn check_one(check: &Check, agent: &Agent) -> String {
    let server = start(check);
    let requests = vec![
        Request::get("/ok"),
        Request::get("/status/404"),
        Request::new("HEAD", "/ok"),
        Request::post("/status/503", Body::Length(1500)),
    ];
    let books = Books::open(agent);
    let sent = Plan::new(&server.target, requests)
        .rounds(ROUNDS)
        .order(check.order)
        .write(check.write)
        .run();
    assert_eq!(sent.outcome.failed, Default::default(), "broken exchanges");
    let counts = sent.counts();
    let asked = EXCHANGES as u64;
    assert_eq!((counts.len(), sent.total()), (4, asked), "{counts:?}");
    wait::expect_within(
        PATIENCE,
        "served, by the server's own count",
        &counts,
        || served(&server.process.stdout()),
    );
    let protocol = match check.over {
        Over::V4 | Over::V6 => Protocol::Http1,
        Over::Unix => Protocol::Unix,
    };
    books.close(
        protocol,
        &[
            End {
                what: "served",
                own: counts.clone(),
                heard: &|page| page.counts(agent::SERVER, &server.service),
            },
            End {
                what: "sent",
                own: counts,
                heard: &|page| page.counts(agent::CLIENT, &sent.service),
            },
        ],
    )
}

/// The server of a check.
pub(crate) fn start(check: &Check) -> Server {
    let folder = tempfile::tempdir().expect("a temporary folder").keep();
    let path = folder.join("socket");
    let at = match check.over {
        Over::V4 => "127.0.0.1:0",
        Over::V6 => "[::1]:0",
        Over::Unix => path.to_str().expect("our own name"),
    };
    let mut command = Command::new("/proc/self/exe");
    command.args(["serve", at]);
    let mut server = Server::announced("vm", command).expect("our own server");
    match (check.over, &mut server.target) {
        (Over::V6, Target::Tcp(address)) => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        (Over::Unix, target) => *target = Target::Unix(path),
        _ => {}
    }
    server
}

/// What the server says it has served.
fn served(stdout: &str) -> Counts {
    let mut counts = Counts::new();
    for line in stdout.lines() {
        let Some((method, status)) = line
            .strip_prefix("SERVED ")
            .and_then(|rest| rest.split_once(' '))
        else {
            continue;
        };
        *counts.entry((method.into(), status.into())).or_default() += 1;
    }
    counts
}
