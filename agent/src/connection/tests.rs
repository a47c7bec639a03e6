//! Sequences of records, by hand and at random, against what they must make.

mod bounds;
mod model;
mod random;
mod sequences;

use hark_common::socket::{
    AbortReason, AbortRecord, ProcessKey, RecordHeader, RequestBodyRecord, RequestRecord,
    ResponseRecord, SocketAddress, Task, flag,
};
use prometheus_client::registry::Registry;

use super::{Connections, Counters, DropReason, Event};
use crate::context::Format;
use crate::exchange::{Endpoint, Exchange, Role, TraceContext};
use crate::http1::HeadParser;
use crate::record::{Record, decode, encode};

/// That of `uber-trace-id: a:a:0:1`, the shortest header that makes one.
#[expect(clippy::unnecessary_wraps, reason = "it is that of a request")]
fn context_a() -> Option<TraceContext> {
    Some(TraceContext {
        trace_id: 10_u128.to_be_bytes(),
        parent_id: 10_u64.to_be_bytes(),
        flags: 1,
        deferred: false,
    })
}

fn task(tid: u32) -> Task {
    Task {
        process: ProcessKey {
            start_boottime_ns: 5,
            pid: 100,
            exec_id: 1,
        },
        cgroup_id: 7,
        comm: *b"server\0\0\0\0\0\0\0\0\0\0",
        tid,
        reserved: 0,
    }
}

const LOCAL: SocketAddress = SocketAddress {
    addr: [127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    port: 80,
    family: 2,
    netns: 9,
};

const PEER: SocketAddress = SocketAddress {
    addr: [127, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    port: 40_000,
    family: 2,
    netns: 9,
};

fn inet(text: &str) -> Endpoint {
    Endpoint::Inet(text.parse().unwrap())
}

fn header(socket: u64, time_ns: u64) -> RecordHeader {
    RecordHeader {
        kind: 0,
        size: 0,
        time_ns,
        socket,
    }
}

/// A piece of a head, as the kernel side sends it.
#[derive(Clone, Copy)]
struct Piece<'a> {
    socket: u64,
    index: u32,
    role: Role,
    tid: u32,
    time_ns: u64,
    offset: usize,
    bytes: &'a [u8],
    flags: u16,
}

impl<'a> Piece<'a> {
    /// A whole head on socket 1, received at 1000 + `index`.
    fn whole(index: u32, head: &'a [u8]) -> Self {
        Self {
            socket: 1,
            index,
            role: Role::Server,
            tid: index,
            time_ns: 1000 + u64::from(index),
            offset: 0,
            bytes: head,
            flags: flag::HEAD_END,
        }
    }

    fn record(&self) -> Vec<u8> {
        let record = RequestRecord {
            header: header(self.socket, self.time_ns),
            first_ns: self.time_ns,
            task: task(self.tid),
            local: LOCAL,
            peer: PEER,
            index: self.index,
            offset: u32::try_from(self.offset).unwrap(),
            flags: self.flags,
            ..RequestRecord::default()
        };
        bytes(&Record::Request {
            role: self.role,
            local: Endpoint::Unix,
            peer: Endpoint::Unix,
            record,
            head: self.bytes,
        })
    }
}

/// A response to request `index` on socket 1: begun at 2000 + index, ended at 3000 + index.
fn response(index: u32, status: u16) -> ResponseRecord {
    ResponseRecord {
        header: header(1, 3000 + u64::from(index)),
        first_ns: 2000 + u64::from(index),
        last_ns: 3000 + u64::from(index),
        body_bytes: 10 + u64::from(index),
        index,
        status,
        ..ResponseRecord::default()
    }
}

fn abort(from: u32, to: u32) -> AbortRecord {
    AbortRecord {
        header: header(1, 5000),
        last_ns: 4000,
        from,
        to,
        ..AbortRecord::default()
    }
}

fn bytes(record: &Record<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(record, &mut bytes);
    bytes
}

fn answer(record: ResponseRecord) -> Vec<u8> {
    bytes(&Record::Response {
        role: Role::Server,
        record,
    })
}

fn cut(reason: AbortReason, record: AbortRecord) -> Vec<u8> {
    bytes(&Record::Abort {
        role: Role::Server,
        reason,
        record,
    })
}

fn body(index: u32, body_bytes: u64) -> Vec<u8> {
    bytes(&Record::RequestBody(RequestBodyRecord {
        header: header(1, 1500),
        body_bytes,
        index,
        reserved: 0,
    }))
}

/// The events that came out of a table. Exchanges are told apart by the thread id of their task.
#[derive(Default)]
struct Seen {
    /// Those that have begun and are neither ended nor dropped.
    active: Vec<u32>,
    ended: Vec<Exchange>,
    dropped: Vec<(u32, DropReason)>,
}

impl Seen {
    /// Takes one event in; panics if something ends that has not begun, or ends twice.
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Begun { task, .. } => {
                assert!(!self.active.contains(&task.tid), "begun twice");
                self.active.push(task.tid);
            }
            Event::Ended(exchange) => {
                self.over(exchange.task.tid);
                self.ended.push(exchange);
            }
            Event::Dropped { task, reason, .. } => {
                self.over(task.tid);
                self.dropped.push((task.tid, reason));
            }
        }
    }

    fn over(&mut self, tid: u32) {
        let at = self.active.iter().position(|active| *active == tid);
        self.active.remove(at.expect("what ends has begun"));
    }
}

/// A table under test.
struct Run {
    connections: Connections,
    counters: Counters,
    seen: Seen,
}

impl Run {
    fn new(max_connections: usize) -> Self {
        let counters = Counters::new();
        let parser = HeadParser::new(&Format::ALL);
        Self {
            connections: Connections::new(max_connections, parser, counters.clone()),
            counters,
            seen: Seen::default(),
        }
    }

    fn feed(&mut self, records: impl IntoIterator<Item = Vec<u8>>) {
        for record in records {
            let record = decode(&record).unwrap();
            self.connections
                .handle(record, &mut |event| self.seen.event(event));
        }
    }

    fn finish(&mut self) {
        self.connections.finish(&mut |event| self.seen.event(event));
        assert_eq!(
            self.seen.active, [0; 0],
            "every exchange that began is over"
        );
        assert_eq!(self.connections.len(), 0);
    }

    /// Reasons that were counted, with their counts.
    fn counted(&self) -> Vec<(DropReason, u64)> {
        DropReason::ALL
            .into_iter()
            .map(|reason| (reason, self.counters.dropped_for(reason)))
            .filter(|(_, count)| *count > 0)
            .collect()
    }
}

#[test]
fn every_series_is_there_from_the_start_and_named_by_the_conventions() {
    let counters = Counters::new();
    let mut registry = Registry::default();
    counters.register(&mut registry);
    counters.decode_error(&crate::record::DecodeError::Kind(9));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    let mut series: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    series.sort_unstable();
    let mut expected = vec![
        "hark_connections_active 0".to_owned(),
        "hark_heads_malformed_total 0".to_owned(),
    ];
    for role in ["client", "server"] {
        expected.push(format!("hark_exchanges_total{{role=\"{role}\"}} 0"));
    }
    for reason in [
        "table_full",
        "pipeline_depth",
        "partial_heads_full",
        "head_malformed",
        "head_cut",
        "out_of_order",
        "shutdown",
    ] {
        expected.push(format!(
            "hark_exchanges_dropped_total{{reason=\"{reason}\"}} 0"
        ));
    }
    for reason in [
        "superseded",
        "piece_lost",
        "no_request",
        "lost_in_kernel",
        "record_lost",
    ] {
        expected.push(format!(
            "hark_exchanges_unmatched_total{{reason=\"{reason}\"}} 0"
        ));
    }
    for reason in [
        "short",
        "size",
        "kind",
        "role",
        "reason",
        "family",
        "status",
        "too_long",
        "empty_range",
        "direction",
        "continued",
    ] {
        let count = u32::from(reason == "kind");
        expected.push(format!(
            "hark_record_decode_errors_total{{reason=\"{reason}\"}} {count}"
        ));
    }
    expected.sort_unstable();
    assert_eq!(series, expected);
}

#[test]
fn a_reason_is_counted_under_its_own_name() {
    for (at, reason) in DropReason::ALL.into_iter().enumerate() {
        assert_eq!(reason as usize, at);
    }
}
