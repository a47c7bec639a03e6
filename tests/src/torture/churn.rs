//! Connections and processes that come and go, or come and stay.

use std::process::Command;
use std::time::Duration;

use crate::agent::{self, Agent};
use crate::load::{Order, Plan, Request};
use crate::metrics::counts;
use crate::process::Process;
use crate::server::Server;
use crate::skip::Skip;
use crate::torture::books::Books;
use crate::torture::speed::nginx;
use crate::torture::{Outcome, Scale};
use crate::{names, tools};

/// What takes longer is not slow but stuck.
const LIMIT: Duration = Duration::from_secs(300);

fn sockets(service: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(tools::helper("hark-test-sockets"));
    command.args(arguments).env("OTEL_SERVICE_NAME", service);
    command
}

/// A client with so many connections, which has asked once on each and keeps them open.
#[track_caller]
pub(super) fn crowd(server: &Server, count: usize) -> (String, Process) {
    let service = names::unique("crowd");
    let count = count.to_string();
    let address = server.tcp().to_string();
    let mut crowd = Process::start(sockets(&service, &["crowd", &address, &count]));
    assert_eq!(crowd.line("ASKED "), Ok(count));
    (service, crowd)
}

/// A connection per request.
pub(super) fn connections(scale: Scale) -> Result<Outcome, Skip> {
    agent::root()?;
    let nginx = nginx()?;
    let agent = Agent::start(&[]);
    let mut books = Books::open(&agent);
    let requests = vec![Request::get("/ok"), Request::get("/nothing-here")];
    // Beyond 28,000 ports are used again.
    let sent = Plan::new(&nginx.target, requests)
        .connections(8)
        .rounds(scale.of(250, 2500))
        .order(Order::PerRequest)
        .run();
    books.load(&nginx, &sent);
    Ok(books.close(&agent))
}

/// A process per request.
pub(super) fn processes(scale: Scale) -> Result<Outcome, Skip> {
    agent::root()?;
    let nginx = nginx()?;
    let agent = Agent::start(&[]);
    let mut books = Books::open(&agent);
    let count = scale.of(300, 5000);
    let address = nginx.tcp().to_string();
    let command = sockets(
        &names::unique("forks"),
        &["forks", &address, &count.to_string()],
    );
    let said = Process::run(command, LIMIT);
    assert_eq!(said, format!("ASKED {count}\n"));
    let asked = counts(&[("GET", "200", count as u64)]);
    books.served(&nginx.service, &asked);
    // By the name in its environment, or, gone too soon for that, by its program's.
    books.sent_to(nginx.tcp().port(), &asked);
    Ok(books.close(&agent))
}

/// Connections that have been used once and stay open.
pub(super) fn idle(scale: Scale) -> Result<Outcome, Skip> {
    agent::root()?;
    let nginx = nginx()?;
    let agent = Agent::start(&[]);
    let mut books = Books::open(&agent);
    let count = scale.of(2000, 10_000);
    let (service, process) = crowd(&nginx, count);
    let asked = counts(&[("GET", "200", count as u64)]);
    books.served(&nginx.service, &asked);
    books.sent(&service, &asked);
    // With all of them open, and again when all have gone.
    let empty = books.entries().clone();
    books.keep_open(count as u64);
    let open = books.close(&agent);
    drop(process);
    let closed = Books::open(&agent).with_entries(empty).close(&agent);
    Ok(Outcome {
        after: closed.after,
        ..open
    })
}
