//! Links and fragments by hand-made exchanges, and any sequence of them.

use std::collections::BTreeMap;

use hark_common::socket::{ProcessKey, Task};
use proptest::prelude::*;

use super::*;
use crate::exchange::{Endpoint, Protocol, Trail};
use crate::red::testing;

/// A process and a thread of it, as small numbers.
fn task(pid: u32, tid: u32) -> Task {
    Task {
        process: ProcessKey {
            pid,
            ..ProcessKey::default()
        },
        tid,
        ..Task::default()
    }
}

/// A request that was received on socket `socket` at `start`, and answered at `end` by the thread
/// that received it, which waited for it.
fn received(socket: u64, (pid, tid): (u32, u32), (start, end): (u64, u64)) -> Exchange {
    let mut exchange = testing::exchange(Role::Server);
    exchange.socket = socket;
    exchange.task = task(pid, tid);
    exchange.peer =
        Endpoint::Inet(([127, 0, 0, 1], 40_000 + u16::try_from(socket).unwrap()).into());
    exchange.start_ns = start;
    exchange.end_ns = end;
    exchange.trail = Trail {
        netns: 1,
        sequence: Some(7),
        blocking: true,
        response_thread: tid,
        ..Trail::default()
    };
    exchange
}

/// A request that was sent.
fn sent(socket: u64, (pid, tid): (u32, u32), (start, end): (u64, u64)) -> Exchange {
    let mut exchange = received(socket, (pid, tid), (start, end));
    exchange.role = Role::Client;
    exchange.trail.blocking = false;
    exchange
}

/// The other end of a request that was sent.
fn other_end(client: &Exchange, socket: u64, thread: (u32, u32), times: (u64, u64)) -> Exchange {
    let mut server = received(socket, thread, times);
    (server.local, server.peer) = (client.peer, client.local);
    server
}

fn context(trace: u8, parent: u8) -> Option<TraceContext> {
    Some(TraceContext {
        trace_id: [trace; 16],
        parent_id: [parent; 8],
        flags: 1,
        deferred: false,
    })
}

struct Run {
    fragments: Fragments,
    out: Vec<Fragment>,
}

impl Run {
    fn new(max: usize) -> Self {
        Self {
            fragments: Fragments::new(max, true),
            out: Vec::new(),
        }
    }

    fn begun(&mut self, exchange: &Exchange) {
        let opening = Opening {
            socket: exchange.socket,
            index: exchange.index,
            local: exchange.local,
            peer: exchange.peer,
            start_ns: exchange.start_ns,
            protocol: exchange.request.protocol,
            trail: Trail {
                response_thread: 0,
                ..exchange.trail
            },
            context: exchange.request.context,
        };
        let out = &mut self.out;
        let task = exchange.task;
        self.fragments
            .begun(exchange.role, &task, &opening, &mut |fragment| {
                out.push(fragment)
            });
    }

    fn ended_as(&mut self, exchange: &Exchange, left_out: bool) {
        let ended = Ended {
            exchange: exchange.clone(),
            service: testing::service("s", exchange.task.process.pid),
            route: None,
            end_unix_ns: exchange.end_ns,
            notable: None,
            left_out,
        };
        let out = &mut self.out;
        self.fragments
            .ended(ended, &mut |fragment| out.push(fragment));
    }

    fn ended(&mut self, exchange: &Exchange) {
        self.ended_as(exchange, false);
    }

    fn wait(&mut self, ns: u64) {
        let now = self.fragments.now_ns + ns;
        let out = &mut self.out;
        self.fragments.tick(now, &mut |fragment| out.push(fragment));
    }

    fn links(&self, outcome: Outcome) -> u64 {
        self.fragments.links.of(outcome)
    }

    /// The sockets of each fragment, each with that of its parent there.
    fn shapes(&mut self) -> Vec<Vec<(u64, Option<u64>)>> {
        self.wait(SETTLE_NS);
        self.wait(LINGER_NS);
        let shape = |fragment: Fragment| {
            let by_id: BTreeMap<_, _> = fragment
                .members
                .iter()
                .map(|member| (member.ids.span_id, member.ended.exchange.socket))
                .collect();
            let trace = fragment.members.first().map(|member| member.ids.trace_id);
            let mut shape: Vec<_> = fragment
                .members
                .iter()
                .map(|member| {
                    assert_eq!(Some(member.ids.trace_id), trace, "one fragment, one trace");
                    let parent = member.ids.parent_id.and_then(|id| by_id.get(&id).copied());
                    (member.ended.exchange.socket, parent)
                })
                .collect();
            shape.sort_unstable();
            shape
        };
        self.out.drain(..).map(shape).collect()
    }
}

#[test]
fn a_whole_tree_in_the_order_of_a_busy_host() {
    let root = received(1, (10, 11), (100, 900));
    let asked = sent(2, (10, 11), (200, 600));
    let below = other_end(&asked, 3, (20, 21), (190, 610));
    let last = sent(4, (20, 21), (300, 400));
    let mut run = Run::new(100);
    run.begun(&root);
    // The server's read returned before the client's write, and was answered after it had read.
    run.begun(&below);
    run.begun(&asked);
    run.begun(&last);
    run.ended(&last);
    run.ended(&asked);
    run.ended(&below);
    run.wait(SETTLE_NS + LINGER_NS);
    assert!(run.out.is_empty(), "the root is still open");
    run.ended(&root);
    let shapes = run.shapes();
    assert_eq!(
        shapes,
        [[(1, None), (2, Some(1)), (3, Some(2)), (4, Some(3))]]
    );
    assert_eq!(
        (
            run.links(Outcome::Thread),
            run.links(Outcome::Connection),
            run.links(Outcome::Root)
        ),
        (2, 1, 1)
    );
    assert!(run.fragments.is_empty());
}

/// A process sends itself a request, whose read returns before its write.
#[test]
fn who_asks_itself_is_not_its_own_cause() {
    let mut asked = sent(1, (10, 11), (200, 600));
    asked.request.context = context(1, 2);
    let mut below = other_end(&asked, 2, (10, 12), (190, 590));
    below.request.context = asked.request.context;
    let mut run = Run::new(100);
    run.begun(&below);
    run.begun(&asked);
    run.ended(&asked);
    run.ended(&below);
    assert_eq!(run.shapes(), [[(1, None), (2, Some(1))]]);
    assert_eq!(run.links(Outcome::Connection), 1);
    assert_eq!(run.links(Outcome::Conflict), 0);
}

#[test]
fn the_memory_of_a_burst_is_given_back() {
    let mut run = Run::new(100_000);
    let burst: Vec<_> = (1..=20_000)
        .map(|socket| sent(socket, (10, 11), (100, 900)))
        .collect();
    for exchange in &burst {
        run.begun(exchange);
    }
    assert!(run.fragments.nodes.capacity() >= burst.len());
    for exchange in &burst {
        run.ended(exchange);
    }
    run.wait(SETTLE_NS);
    run.wait(LINGER_NS);
    assert_eq!((run.out.len(), run.fragments.len()), (burst.len(), 0));
    let fragments = &run.fragments;
    let room = fragments.nodes.capacity();
    assert!((KEPT..8 * KEPT).contains(&room), "{room}");
    for queue in [&fragments.settling, &fragments.roots] {
        assert!(queue.capacity() < 8 * KEPT, "{}", queue.capacity());
    }
}

/// One request open in the process, and one sent meanwhile that it did not cause, for all that is
/// known.
#[test]
fn what_is_not_certain_is_no_link() {
    type Change = fn(&mut Exchange, &mut Exchange);
    let cases: [(Change, Outcome); 7] = [
        // Another thread: a pool, or something in the background.
        (|_, asked| asked.task.tid = 12, Outcome::Ambiguous),
        // An event loop.
        (|root, _| root.trail.blocking = false, Outcome::Ambiguous),
        // Another thread answered.
        (|root, _| root.trail.response_thread = 12, Outcome::Unproven),
        (|root, _| root.trail.response_thread = 0, Outcome::Unproven),
        (
            |root, _| root.error = Some(crate::exchange::ErrorType::ConnectionReset),
            Outcome::Unproven,
        ),
        // Whichever thread comes by writes on a connection of HTTP/2.
        (
            |_, asked| asked.request.protocol = Protocol::Http2,
            Outcome::Ambiguous,
        ),
        // It says that it belongs to another trace.
        (
            |_, asked| asked.request.context = context(1, 2),
            Outcome::Conflict,
        ),
    ];
    for (number, (change, outcome)) in cases.into_iter().enumerate() {
        let mut root = received(1, (10, 11), (100, 900));
        let mut asked = sent(2, (10, 11), (200, 600));
        change(&mut root, &mut asked);
        let mut run = Run::new(100);
        run.begun(&root);
        run.begun(&asked);
        run.ended(&asked);
        run.ended(&root);
        assert_eq!(run.links(Outcome::Thread), 0);
        assert_eq!(run.shapes().len(), 2, "case {number}");
        assert_eq!(run.links(outcome), 1, "case {number}");
    }
}

#[test]
fn a_thread_that_has_two_requests_open_is_never_believed_again() {
    let (first, second) = (
        received(1, (10, 11), (100, 500)),
        received(2, (10, 11), (150, 900)),
    );
    let later = received(3, (10, 11), (1000, 2000));
    let asked = sent(4, (10, 11), (1100, 1200));
    let mut run = Run::new(100);
    run.begun(&first);
    run.begun(&second);
    run.ended(&first);
    run.ended(&second);
    run.begun(&later);
    run.begun(&asked);
    run.ended(&asked);
    run.ended(&later);
    assert_eq!(run.shapes().len(), 4);
    assert_eq!(run.links(Outcome::Ambiguous), 1);
}

#[test]
fn a_thread_is_free_again_after_its_answer() {
    let root = received(1, (10, 11), (100, 500));
    let after = sent(2, (10, 11), (600, 700));
    let mut run = Run::new(100);
    run.begun(&root);
    run.ended(&root);
    run.begun(&after);
    run.ended(&after);
    assert_eq!(run.shapes().len(), 2);
    assert_eq!(run.links(Outcome::Root), 2);
}

#[test]
fn headers_that_are_passed_on() {
    let mut root = received(1, (10, 11), (100, 900));
    root.trail.blocking = false;
    root.request.context = context(1, 2);
    let mut asked = sent(2, (10, 12), (200, 600));
    asked.request.context = context(1, 2);
    // A span of the process's own: the header names it.
    let mut own = sent(3, (10, 12), (300, 500));
    own.request.context = context(1, 3);
    let mut run = Run::new(100);
    for exchange in [&root, &asked, &own] {
        run.begun(exchange);
    }
    for exchange in [&own, &asked, &root] {
        run.ended(exchange);
    }
    let shapes = run.shapes();
    assert_eq!(shapes, [vec![(3, None)], vec![(1, None), (2, Some(1))]]);
}

#[test]
fn headers_that_come_twice_say_nothing() {
    let mut first = received(1, (10, 11), (100, 300));
    first.trail.blocking = false;
    first.request.context = context(1, 2);
    // The client gave up and tries again; the first attempt is still worked for.
    first.error = Some(crate::exchange::ErrorType::ConnectionClosed);
    let mut second = first.clone();
    (second.socket, second.start_ns, second.end_ns) = (2, 400, 900);
    let mut asked = sent(3, (10, 12), (500, 600));
    asked.request.context = context(1, 2);
    let mut run = Run::new(100);
    run.begun(&first);
    run.ended(&first);
    run.begun(&second);
    run.begun(&asked);
    run.ended(&asked);
    run.ended(&second);
    assert_eq!(run.shapes().len(), 3);
    assert_eq!(run.links(Outcome::Headers), 0);
}

#[test]
fn two_ends_that_do_not_agree() {
    let asked = sent(2, (10, 11), (200, 600));
    type Change = fn(&mut Exchange);
    let cases: [Change; 6] = [
        |server| server.request.path = "/other".into(),
        |server| server.request.context = context(1, 2),
        |server| server.start_ns = 601,
        |server| server.trail.sequence = Some(8),
        |server| server.trail.netns = 2,
        |server| server.request.user_agent = Some("x".into()),
    ];
    for (number, change) in cases.into_iter().enumerate() {
        let mut server = other_end(&asked, 3, (20, 21), (250, 700));
        change(&mut server);
        let mut run = Run::new(100);
        run.begun(&asked);
        run.begun(&server);
        run.ended(&asked);
        run.ended(&server);
        assert_eq!(run.shapes().len(), 2, "case {number}");
        assert_eq!(run.links(Outcome::Connection), 0, "case {number}");
    }
}

/// A client whose call returns after the answer was sent is the parent all the same; one that asked long after
/// that is another one.
#[test]
fn a_call_that_returns_late() {
    for (late_ns, linked) in [(20_000_000, true), (100_000_000, false)] {
        let ended_ns = 700;
        let mut asked = sent(2, (10, 11), (ended_ns + late_ns, ended_ns + late_ns + 1));
        asked.request.protocol = Protocol::Http2;
        asked.trail.sequence = None;
        let mut server = other_end(&asked, 3, (20, 21), (250, ended_ns));
        server.request.protocol = Protocol::Http2;
        server.trail.sequence = None;
        let mut run = Run::new(100);
        run.begun(&server);
        run.begun(&asked);
        run.ended(&server);
        run.ended(&asked);
        assert_eq!(run.shapes().len(), if linked { 1 } else { 2 });
        assert_eq!(run.links(Outcome::Connection), u64::from(linked));
    }
}

#[test]
fn two_ends_of_a_unix_socket() {
    for (peer_socket, index, linked) in [(2, 0, true), (9, 0, false), (2, 1, false), (0, 0, false)]
    {
        let mut asked = sent(2, (10, 11), (200, 600));
        (asked.local, asked.peer) = (Endpoint::Unix, Endpoint::Unix);
        asked.trail.sequence = None;
        let mut server = other_end(&asked, 3, (20, 21), (250, 590));
        server.trail.sequence = None;
        server.trail.peer_socket = peer_socket;
        server.index = index;
        let mut run = Run::new(100);
        run.begun(&asked);
        run.begun(&server);
        run.ended(&server);
        run.ended(&asked);
        assert_eq!(run.shapes().len(), if linked { 1 } else { 2 });
    }
}

#[test]
fn below_a_span_that_is_left_out() {
    let asked = sent(2, (10, 11), (200, 600));
    let below = other_end(&asked, 3, (20, 21), (250, 590));
    let mut run = Run::new(100);
    run.begun(&asked);
    run.begun(&below);
    run.ended(&below);
    run.ended_as(&asked, true);
    let shapes = run.shapes();
    assert_eq!(
        shapes,
        [[(2, None)], [(3, None)]],
        "its parent is who made the header"
    );
}

#[test]
fn a_child_that_ends_after_its_fragment_was_decided() {
    let root = received(1, (10, 11), (100, 500));
    let asked = sent(2, (10, 11), (200, 600_000_000));
    let mut run = Run::new(100);
    run.begun(&root);
    run.begun(&asked);
    run.ended(&root);
    run.wait(SETTLE_NS);
    run.wait(LINGER_NS);
    let first = run.out.pop().unwrap();
    let parent = first.members[0].ids;
    run.ended(&asked);
    run.wait(SETTLE_NS);
    run.wait(LINGER_NS);
    let child = run.out.pop().unwrap().members[0].ids;
    assert_eq!(
        (child.trace_id, child.parent_id),
        (parent.trace_id, Some(parent.span_id))
    );
    assert_eq!(run.links(Outcome::Thread), 1);
}

#[test]
fn nobody_is_waited_for_for_ever() {
    let root = received(1, (10, 11), (100, u64::MAX));
    let asked = sent(2, (10, 11), (200, 600));
    let mut run = Run::new(100);
    run.begun(&root);
    run.begun(&asked);
    run.ended(&asked);
    run.wait(SETTLE_NS);
    run.wait(PATIENCE_NS);
    assert_eq!(run.shapes(), [[(2, None)]]);
    assert_eq!(run.fragments.counters.early_for(Early::Age), 1);
    let out = &mut run.out;
    run.fragments
        .dropped(Role::Server, &root.task, (1, 0), &mut |fragment| {
            out.push(fragment)
        });
    assert!(run.fragments.is_empty());
}

#[test]
fn continuing_keeps_the_flags_and_a_new_trace_is_random() {
    let mut continued = received(1, (10, 11), (100, 200));
    continued.request.context = Some(TraceContext {
        flags: 0xf1,
        ..context(1, 2).unwrap()
    });
    let new = received(2, (10, 12), (100, 200));
    let mut run = Run::new(100);
    for exchange in [&continued, &new] {
        run.begun(exchange);
        run.ended(exchange);
    }
    run.wait(SETTLE_NS);
    run.wait(LINGER_NS);
    let ids: Vec<Ids> = run
        .out
        .iter()
        .map(|fragment| fragment.members[0].ids)
        .collect();
    assert_eq!(
        (ids[0].flags, ids[0].parent_id, ids[0].remote),
        (0xf1, Some([2; 8]), true)
    );
    assert_eq!(
        (ids[1].flags, ids[1].parent_id, ids[1].remote),
        (3, None, false)
    );
    assert_ne!(ids[1].trace_id, [0; 16]);
}

proptest! {
    /// Whatever comes, in whatever order, each exchange that has ended comes out once, within the
    /// bound, and causes come before effects.
    #[test]
    fn every_exchange_comes_out_once(
        steps in proptest::collection::vec((0_u64..12, 0_u8..4, 0_u32..3, 0_u8..4), 0..200),
        max in 1_usize..20,
    ) {
        let mut run = Run::new(max);
        let mut open: BTreeMap<u64, Exchange> = BTreeMap::new();
        let (mut next, mut ended, mut now) = (0, 0, 1000);
        let mut seen = Vec::new();
        for (which, what, tid, trace) in steps {
            now += 10_000_000;
            let chosen = open.keys().nth(usize::try_from(which).unwrap()).copied();
            match (what, chosen) {
                (0, _) => {
                    next += 1;
                    let make = if which % 2 == 0 { received } else { sent };
                    let mut exchange = make(next, (tid % 2, tid), (now, now));
                    exchange.request.context = context(trace, trace).filter(|_| trace > 0);
                    run.begun(&exchange);
                    open.insert(next, exchange);
                }
                (1, Some(of)) => {
                    next += 1;
                    let exchange = other_end(&open[&of], next, (9, tid), (now, now));
                    run.begun(&exchange);
                    open.insert(next, exchange);
                }
                (2, Some(of)) => {
                    let mut exchange = open.remove(&of).unwrap();
                    exchange.end_ns = now;
                    run.ended(&exchange);
                    ended += 1;
                }
                (3, Some(of)) => {
                    let exchange = open.remove(&of).unwrap();
                    let out = &mut run.out;
                    run.fragments.dropped(exchange.role, &exchange.task, (of, 0), &mut |fragment| out.push(fragment));
                }
                _ => {}
            }
            prop_assert!(run.fragments.len() <= max);
        }
        let out = &mut run.out;
        run.fragments.finish(&mut |fragment| out.push(fragment));
        for fragment in &run.out {
            for member in &fragment.members {
                seen.push(member.ended.exchange.socket);
            }
        }
        seen.sort_unstable();
        let count = seen.len();
        seen.dedup();
        prop_assert_eq!((seen.len(), count), (ended, ended));
        let outcomes: u64 = [
            Outcome::Headers, Outcome::Connection, Outcome::Thread, Outcome::Ambiguous,
            Outcome::Unproven, Outcome::Conflict, Outcome::Expired, Outcome::Root,
        ].into_iter().map(|outcome| run.links(outcome)).sum();
        prop_assert_eq!(outcomes, ended as u64);
    }
}
