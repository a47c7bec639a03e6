//! What is done to the agent itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::agent::{self, Agent};
use crate::bpf;
use crate::cgroup::Cgroup;
use crate::load::{Plan, Sent};
use crate::names;
use crate::process::died_of;
use crate::server::Server;
use crate::skip::Skip;
use crate::torture::books::Books;
use crate::torture::speed::{distinct, flood, nginx};
use crate::torture::{Outcome, Scale};
use crate::turn::Turn;
use crate::wait;

const MIB: u64 = 1 << 20;

/// A short load on kept connections.
fn plan(server: &Server) -> Plan {
    Plan::new(&server.target, distinct())
        .connections(4)
        .rounds(100)
}

/// The agent does not run for a while, and the ring fills.
pub(super) fn stopped(scale: Scale) -> Result<Outcome, Skip> {
    agent::root()?;
    let nginx = nginx()?;
    let agent = Agent::start(&[]);
    let mut books = Books::open(&agent);
    agent.process().signal(Signal::STOP);
    let end = Instant::now() + scale.seconds(2, 10);
    let mut loads = Vec::new();
    while loads.is_empty() || Instant::now() < end {
        let running = plan(&nginx).start();
        let (service, flood) = flood(&nginx, 16, 2000)?;
        books.served(&nginx.service, &flood);
        books.sent(&service, &flood);
        let sent = running.finish();
        books.load(&nginx, &sent);
        loads.push(sent);
    }
    agent.process().signal(Signal::CONT);
    let outcome = books.close(&agent);
    assert!(outcome.lost > 0, "the ring was large enough: {outcome:?}");
    Ok(outcome)
}

/// Load without an end, until it is told.
fn keep_asking(server: &Server, enough: &AtomicBool) -> u64 {
    let mut asked = 0;
    while !enough.load(Ordering::Relaxed) {
        let sent: Sent = plan(server).run();
        assert_eq!(
            sent.outcome.failed,
            Default::default(),
            "the watched notice nothing"
        );
        asked += sent.total();
    }
    asked
}

/// Agents that are killed, one after the other, under a load that must not notice. The last one lives,
/// and hears all.
pub(super) fn killed(scale: Scale) -> Result<Outcome, Skip> {
    agent::root()?;
    let nginx = nginx()?;
    let enough = AtomicBool::new(false);
    let turn = std::thread::scope(|scope| {
        let asked = scope.spawn(|| keep_asking(&nginx, &enough));
        let mut turn = Turn::take();
        for _ in 0..scale.of(3, 50) {
            let agent = Agent::start_in_turn(turn, &[]);
            let programs = bpf::programs_of(agent.process().id());
            assert_ne!(programs, Default::default(), "it has no programs");
            wait::until(Duration::from_secs(30), "the agent to see the load", || {
                (!agent.server_counts(&nginx.service).is_empty()).then_some(())
            });
            let (status, _, next) = agent.end(Signal::KILL);
            assert!(died_of(status, Signal::KILL), "{status}");
            wait::expect("programs left behind", &Default::default(), || {
                bpf::still_loaded(&programs)
            });
            turn = next;
        }
        enough.store(true, Ordering::Relaxed);
        assert!(asked.join().expect("the load had no error") > 0);
        turn
    });
    let agent = Agent::start_in_turn(turn, &[]);
    let mut books = Books::open(&agent);
    let sent = plan(&nginx).run();
    books.load(&nginx, &sent);
    let outcome = books.close(&agent);
    assert_eq!(outcome.lost, 0, "lost without a reason");
    Ok(outcome)
}

/// All that the agent has, its maps in the kernel too, within 64 MiB.
pub(super) fn small_cgroup(scale: Scale) -> Result<Outcome, Skip> {
    agent::root()?;
    let nginx = nginx()?;
    let cgroup = Cgroup::new("memory", &names::unique("hark-torture"))?;
    let (limit, kills) = if cgroup.version == 1 {
        ("memory.limit_in_bytes", "memory.oom_control")
    } else {
        ("memory.max", "memory.events")
    };
    cgroup.set(limit, &(64 * MIB).to_string());
    let agent = Agent::start_held(&cgroup, &[]);
    let mut books = Books::open(&agent);
    let mut loads = Vec::new();
    for _ in 0..scale.of(1, 10) {
        let running = plan(&nginx).start();
        let (service, flood) = flood(&nginx, 16, 2000)?;
        books.served(&nginx.service, &flood);
        books.sent(&service, &flood);
        let sent = running.finish();
        books.load(&nginx, &sent);
        loads.push(sent);
    }
    let outcome = books.close(&agent);
    assert_eq!(cgroup.field(kills, "oom_kill"), 0);
    // Its cgroup is removed last.
    drop(agent);
    Ok(outcome)
}
