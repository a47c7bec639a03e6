//! Any sequence of records to the table of connections: each exchange that begins ends exactly
//! once, and the counters say what the events say.
//!
//! The input is a list of short commands, each a record with the fields that matter, so that few
//! bytes reach deep; sockets, numbers and limits are small, so that they meet.
#![no_main]

use std::collections::BTreeMap;

use hark::connection::{Connections, Counters, DropReason, Event};
use hark::context::Format;
use hark::exchange::{Endpoint, Method, Role};
use hark::http1::HeadParser;
use hark::record::{Record, decode, encode};
use hark_common::socket::{
    AbortReason, AbortRecord, ProcessRecord, RecordHeader, RequestBodyRecord, RequestRecord,
    ResponseRecord, SocketAddress, Task,
};

/// Connections that the table holds: fewer than the input can name.
const CONNECTIONS: usize = 3;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let counters = Counters::new();
    let mut connections =
        Connections::new(CONNECTIONS, HeadParser::new(&Format::ALL), counters.clone());
    let mut account = Account::default();
    let mut input = Input(input);
    let mut number = 0;
    while let Some(bytes) = record(&mut input, number) {
        number += 1;
        // Not every combination of fields is a record.
        if let Ok(record) = decode(&bytes) {
            connections.handle(record, &mut |event| account.take(event));
        }
        assert!(connections.len() <= CONNECTIONS);
    }
    connections.finish(&mut |event| account.take(event));
    assert!(connections.is_empty());
    assert!(account.open.is_empty(), "never ended: {:?}", account.open);
    for role in [Role::Server, Role::Client] {
        assert_eq!(counters.ended_by(role), account.ended[role as usize]);
    }
    for (reason, dropped) in account.dropped {
        assert!(counters.dropped_for(reason) >= dropped, "{reason:?}");
    }
});

/// What is under way by the events alone.
#[derive(Debug, Default)]
struct Account {
    /// By thread id, of which every record has its own.
    open: BTreeMap<u32, (Role, Method, Option<String>)>,
    ended: [u64; 2],
    dropped: Vec<(DropReason, u64)>,
}

impl Account {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Begun {
                role,
                task,
                method,
                scheme,
                protocol: _,
                at_stream_limit: _,
                opening: _,
            } => {
                let what = (role, method.clone(), scheme.map(Into::into));
                assert_eq!(self.open.insert(task.tid, what), None, "begun twice");
            }
            Event::Ended(exchange) => {
                let scheme = exchange.request.scheme.as_deref().map(Into::into);
                let what = (exchange.role, exchange.request.method.clone(), scheme);
                assert_eq!(self.open.remove(&exchange.task.tid), Some(what));
                self.ended[exchange.role as usize] += 1;
            }
            Event::Dropped {
                role,
                task,
                method,
                scheme,
                protocol: _,
                key: _,
                reason,
            } => {
                let what = (role, method.clone(), scheme.map(Into::into));
                assert_eq!(self.open.remove(&task.tid), Some(what));
                match self.dropped.iter_mut().find(|(other, _)| *other == reason) {
                    Some((_, count)) => *count += 1,
                    None => self.dropped.push((reason, 1)),
                }
            }
        }
    }
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> Option<u8> {
        self.0.split_off_first().copied()
    }

    fn bytes(&mut self, length: usize) -> &'a [u8] {
        let length = length.min(self.0.len());
        self.0.split_off(..length).unwrap_or_default()
    }
}

/// The next command as the bytes of a record.
fn record(input: &mut Input<'_>, number: u32) -> Option<Vec<u8>> {
    let what = input.byte()?;
    let index = match input.byte()? {
        low @ 0..240 => low.into(),
        // Near the end of what a number holds.
        high => u32::MAX - u32::from(255 - high),
    };
    let flags = input.byte()?.into();
    let (a, b) = (input.byte()?, input.byte()?);
    let role = if what & 8 == 0 {
        Role::Server
    } else {
        Role::Client
    };
    let header = RecordHeader {
        time_ns: number.into(),
        socket: (what >> 4 & 7).into(),
        ..RecordHeader::default()
    };
    let task = Task {
        tid: number,
        ..Task::default()
    };
    let address = SocketAddress {
        family: 1,
        ..SocketAddress::default()
    };
    let record = match what & 7 {
        0..=2 => Record::Request {
            role,
            local: Endpoint::Unix,
            peer: Endpoint::Unix,
            record: RequestRecord {
                header,
                first_ns: number.into(),
                task,
                local: address,
                peer: address,
                index,
                offset: a.into(),
                flags,
                ..RequestRecord::default()
            },
            head: input.bytes(b.into()),
        },
        3 | 4 => Record::Response {
            role,
            record: ResponseRecord {
                header,
                first_ns: number.into(),
                last_ns: number.into(),
                body_bytes: a.into(),
                index,
                status: 200 + u16::from(b),
                flags,
                ..ResponseRecord::default()
            },
        },
        5 => Record::Abort {
            role,
            reason: [
                AbortReason::PeerClosed,
                AbortReason::LocalClosed,
                AbortReason::Broken,
                AbortReason::Lost,
            ][usize::from(b & 3)],
            record: AbortRecord {
                header,
                from: index,
                to: index.wrapping_add(a.into()),
                errno: b.into(),
                status: if b & 4 == 0 { 0 } else { 200 },
                flags,
                ..AbortRecord::default()
            },
        },
        6 => Record::RequestBody(RequestBodyRecord {
            header,
            body_bytes: a.into(),
            index,
            reserved: 0,
        }),
        _ => Record::Process {
            record: ProcessRecord {
                header,
                task,
                ..ProcessRecord::default()
            },
            args: input.bytes(b.into()),
            environ: &[],
        },
    };
    let mut bytes = Vec::new();
    encode(&record, &mut bytes);
    Some(bytes)
}
