//! Any checkpoint of HTTP/2 connections, sealed as if an agent had written it: it is refused or used, and
//! what is made of the connections after that stays within its bounds.
//!
//! The input is a length (two bytes), so many bytes of connections, and the frames that come next on
//! the connection with the cookie 1, whose first byte says in which direction.
#![no_main]

use hark::connection::Counters as Exchanges;
use hark::exchange::Endpoint;
use hark::http1::HeadParser;
use hark::http2::checkpoint::{CHECKPOINT_LIMIT, Checkpoint};
use hark::http2::{Connections, Counters, Part, WEIGHT_LIMIT};
use hark_common::http2::{Http2Direction, Http2Record, flag};
use hark_common::socket::RecordHeader;

const BOOT: [u8; 16] = [7; 16];

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    // As it is.
    let _ = Checkpoint::read(input, &BOOT);
    let Some(([low, high], rest)) = input.split_first_chunk() else {
        return;
    };
    let length = usize::from(u16::from_le_bytes([*low, *high])).min(rest.len());
    let (content, frames) = rest.split_at(length);
    let mut bytes = b"HARKHPCK\x01\0\0\0".to_vec();
    bytes.extend(BOOT);
    bytes.extend(content);
    let mut crc = flate2::Crc::new();
    crc.update(&bytes);
    bytes.extend(crc.sum().to_le_bytes());
    assert!(bytes.len() <= CHECKPOINT_LIMIT);
    let Ok(checkpoint) = Checkpoint::read(&bytes, &BOOT) else {
        return;
    };
    let mut connections = Connections::new(
        4,
        HeadParser::new(&hark::context::Format::ALL),
        Exchanges::new(),
        Counters::new(),
    );
    connections.resume(checkpoint);
    let direction = match frames.first() {
        Some(byte) if byte & 1 == 0 => Http2Direction::Received,
        _ => Http2Direction::Sent,
    };
    let record = Http2Record {
        header: RecordHeader {
            socket: 1,
            ..RecordHeader::default()
        },
        flags: flag::RESYNC | flag::ORIGIN,
        ..Http2Record::default()
    };
    let part = Part {
        role: None,
        direction,
        local: Endpoint::Unix,
        peer: Endpoint::Unix,
        record: &record,
        frames: frames.get(1..).unwrap_or_default(),
    };
    connections.part(&part, &mut |_| {});
    assert!(connections.weight() <= WEIGHT_LIMIT);
    connections.finish(&mut |_| {});
    assert_eq!(connections.weight(), 0);
});
