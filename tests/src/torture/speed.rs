//! As fast as it goes, and more than there is room for.

use std::time::{Duration, Instant};

use crate::agent::{self, Agent};
use crate::cgroup::Cgroup;
use crate::grpc::{self, Client, Library, Load};
use crate::load::{Body, Order, Plan, Request, Sent};
use crate::metrics::{Counts, counts};
use crate::names;
use crate::process::Process;
use crate::server::Server;
use crate::server::nginx::Nginx;
use crate::skip::Skip;
use crate::torture::books::Books;
use crate::torture::churn::crowd;
use crate::torture::{Outcome, Scale};
use crate::wrk;

/// nginx with two workers.
pub(super) fn nginx() -> Result<Server, Skip> {
    Nginx {
        workers: 2,
        ..Nginx::default()
    }
    .start("torture-nginx")
}

/// Each method has a status of its own: two halves that do not belong together are of a kind that
/// nobody has sent.
pub(super) fn distinct() -> Vec<Request> {
    vec![
        Request::get("/ok"),
        Request::new("HEAD", "/nothing-here"),
        Request::new("PUT", "/created"),
        Request::new("DELETE", "/empty"),
        Request::new("OPTIONS", "/moved"),
        Request::new("PATCH", "/teapot"),
        Request::post("/broken", Body::Length(1500)),
    ]
}

/// wrk, which must have had no error.
pub(super) fn flood(server: &Server, depth: u32, batches: u32) -> Result<(String, Counts), Skip> {
    let report = wrk::run(server, "/file", depth, batches)?;
    assert_eq!(
        (report.requests, report.errors),
        (wrk::requests(depth, batches), 0),
        "the load had errors"
    );
    Ok((report.service, counts(&[("GET", "200", report.requests)])))
}

/// All kinds of load at once, again and again.
pub(super) fn mixed(scale: Scale) -> Result<Outcome, Skip> {
    agent::root()?;
    mix(&Agent::start(&[]), scale.seconds(4, 90))
}

/// The least that the agent is to run with.
const LITTLE: u64 = 64 << 20;

/// As [`mixed`], with an agent that may not have more memory than the least.
pub(super) fn little_memory(scale: Scale) -> Result<Outcome, Skip> {
    agent::root()?;
    let cgroup = Cgroup::new("memory", &names::unique("little"))?;
    let (limit, peak, kills) = match cgroup.version {
        1 => (
            "memory.limit_in_bytes",
            "memory.max_usage_in_bytes",
            "memory.oom_control",
        ),
        _ => ("memory.max", "memory.peak", "memory.events"),
    };
    cgroup.set(limit, &LITTLE.to_string());
    let agent = Agent::start_by(&[], |_, mut command| {
        cgroup.hold(&mut command);
        command
    });
    let outcome = mix(&agent, scale.seconds(4, 90))?;
    assert_eq!(cgroup.field(kills, "oom_kill"), 0);
    // It was in there: no agent starts with less than this.
    let peak = cgroup.number(peak);
    assert!((LITTLE / 4..=LITTLE).contains(&peak), "{peak}");
    Ok(outcome)
}

fn mix(agent: &Agent, time: Duration) -> Result<Outcome, Skip> {
    let nginx = nginx()?;
    let grpc = grpc::Server::start(Library::Tonic, &[])?;
    let mut books = Books::open(agent);
    let end = Instant::now() + time;
    let mut loads: Vec<Sent> = Vec::new();
    let mut clients = Vec::new();
    while clients.is_empty() || Instant::now() < end {
        let mut client = Client::start(Library::Tonic, &grpc, &Load::of(4, 500, 8))?;
        let plan = Plan::new(&nginx.target, distinct()).connections(4);
        let kept = plan.clone().rounds(500).start();
        let pipelined = plan.clone().rounds(300).order(Order::Pipelined(8)).start();
        let fresh = plan.rounds(50).order(Order::PerRequest).start();
        let (service, flood) = flood(&nginx, 16, 4000)?;
        books.served(&nginx.service, &flood);
        books.sent(&service, &flood);
        for load in [kept, pipelined, fresh] {
            let sent = load.finish();
            books.load(&nginx, &sent);
            loads.push(sent);
        }
        let calls = client.report().calls;
        books.calls(&grpc.service, &client.service, &calls);
        clients.push(client);
    }
    Ok(books.close(agent))
}

/// The smallest ring there is: much is lost. What follows is heard to the last request.
pub(super) fn tiny_ring(scale: Scale) -> Result<Outcome, Skip> {
    agent::root()?;
    let nginx = nginx()?;
    let agent = Agent::start(&[("HARK_RING_BUFFER_BYTES", "64KiB")]);
    let mut books = Books::open(&agent);
    let plan = Plan::new(&nginx.target, distinct()).connections(4);
    let mut loads = Vec::new();
    for _ in 0..scale.of(1, 10) {
        let pipelined = plan.clone().rounds(500).order(Order::Pipelined(8)).start();
        let (service, flood) = flood(&nginx, 16, 4000)?;
        books.served(&nginx.service, &flood);
        books.sent(&service, &flood);
        let sent = pipelined.finish();
        books.load(&nginx, &sent);
        loads.push(sent);
    }
    let outcome = books.close(&agent);
    assert!(outcome.lost > 0, "the ring was large enough: {outcome:?}");
    // Slowly enough for any ring, each on a connection that is kept.
    let mut books = Books::open(&agent);
    let sent = plan.rounds(30).pause_ms(2).run();
    books.load(&nginx, &sent);
    assert_eq!(books.close(&agent).lost, 0, "lost after the flood");
    Ok(outcome)
}

/// Many clients wait for their answers at one time, of which the agent may follow a few.
pub(super) fn tables_full(scale: Scale) -> Result<Outcome, Skip> {
    agent::root()?;
    let nginx = nginx()?;
    let agent = Agent::start(&[
        ("HARK_LIMITS_MAX_CONNECTIONS", "16"),
        ("HARK_LIMITS_MAX_PROCESSES", "16"),
    ]);
    let mut books = Books::open(&agent);
    let (client, process): (String, Process) = crowd(&nginx, scale.of(1000, 5000));
    let asked = counts(&[("GET", "200", scale.of(1000, 5000) as u64)]);
    books.served(&nginx.service, &asked);
    books.sent(&client, &asked);
    drop(process);
    let outcome = books.close(&agent);
    assert!(outcome.lost > 0, "the table was large enough: {outcome:?}");
    Ok(outcome)
}
