//! Any records of any HTTP/2 connections: no panic, memory within the bound, and exactly one end
//! for each beginning.
//!
//! The input is a list of records: a byte each for connection and direction, flags, a gap in the
//! numbers, bytes that belong to an earlier frame, and the length of the frames that follow.
#![no_main]

use hark::connection::{Counters as Exchanges, Event};
use hark::context::Format;
use hark::exchange::{Endpoint, Role};
use hark::http1::HeadParser;
use hark::http2::{Connections, Counters, Part, WEIGHT_LIMIT};
use hark_common::http2::{Http2Direction, Http2EndRecord, Http2Record};
use hark_common::socket::{AbortReason, RecordHeader};

const CONNECTIONS: usize = 3;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let exchanges = Exchanges::new();
    let mut connections = Connections::new(
        CONNECTIONS,
        HeadParser::new(&Format::ALL),
        exchanges.clone(),
        Counters::new(),
    );
    let (mut begun, mut ended, mut dropped) = (0_u64, 0_u64, 0_u64);
    let mut sink = |event: Event<'_>| match event {
        Event::Begun { .. } => begun += 1,
        Event::Ended(exchange) => {
            assert!(exchange.end_ns >= exchange.start_ns);
            ended += 1;
        }
        Event::Dropped { .. } => dropped += 1,
    };
    let mut seq = [[0_u32; 2]; 8];
    let mut now = 0;
    let mut rest = input;
    while let Some(([which, flags, gap, continued, length], after)) = rest.split_first_chunk() {
        let (frames, after) = after.split_at(after.len().min(usize::from(*length)));
        rest = after;
        now += 1000;
        let socket = usize::from(which & 7);
        let direction = usize::from(which >> 3 & 1);
        let header = RecordHeader {
            socket: socket as u64,
            time_ns: now,
            ..RecordHeader::default()
        };
        if *gap == 0xff {
            let record = Http2EndRecord {
                header,
                last_ns: now,
                next_seq: seq[socket],
                ..Http2EndRecord::default()
            };
            connections.end(AbortReason::PeerClosed, &record, &mut sink);
            continue;
        }
        let next = &mut seq[socket][direction];
        *next = next.wrapping_add(u32::from(*gap >= 0xf0));
        let record = Http2Record {
            header,
            seq: *next,
            len: u32::from(*length),
            continued: u32::from(*continued),
            flags: u16::from(*flags),
            ..Http2Record::default()
        };
        *next = next.wrapping_add(1);
        let part = Part {
            role: match which >> 4 & 3 {
                0 => None,
                1 => Some(Role::Client),
                _ => Some(Role::Server),
            },
            direction: if direction == 0 {
                Http2Direction::Received
            } else {
                Http2Direction::Sent
            },
            local: Endpoint::Unix,
            peer: Endpoint::Unix,
            record: &record,
            frames,
        };
        connections.part(&part, &mut sink);
        assert!(connections.len() <= CONNECTIONS);
        assert!(connections.weight() <= WEIGHT_LIMIT);
    }
    connections.finish(&mut sink);
    assert!(connections.is_empty() && connections.weight() == 0);
    assert_eq!(begun, ended + dropped);
    assert_eq!(
        ended,
        exchanges.ended_by(Role::Server) + exchanges.ended_by(Role::Client)
    );
});
