//! Conversations with a name.

use hark_common::counter::Counter;
use hark_common::http2::{BLOCK_LIMIT, PIECE_LIMIT, flag as record_flag};
use hark_common::socket::AbortReason;

use hark_ebpf::http2::SUMS;

use crate::model::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, HEADERS, Messages, PING, PREFACE, SETTINGS,
    frame, told, truth, whole, wire,
};
use crate::tape::{RX, TX, Tape};

/// A connection that has just begun, its first SETTINGS handed over.
fn started() -> Tape {
    let mut tape = Tape::new();
    tape.call(
        RX,
        &[PREFACE, &wire(&[frame(SETTINGS, 0, 0, &[])])].concat(),
    );
    tape.world.sent.clear();
    tape.world.reads = 0;
    tape
}

#[test]
fn a_megabyte_of_data_costs_a_record() {
    let mut tape = started();
    let chunk = frame(DATA, 0, 1, &[7; 16_384]);
    let mut frames = vec![chunk; 64];
    frames.push(frame(DATA, END_STREAM, 1, b"end"));
    tape.call(RX, &wire(&frames));
    let [(record, bytes)] = &tape.records(RX)[..] else {
        panic!()
    };
    assert_eq!((bytes.len(), record.data_bytes), (13, (1 << 20) + 3));
    assert_eq!(told(bytes)[0].data, Some((1 << 20) + 3));
    // One per frame, one for the segment, and what would be the first message's prefix.
    assert_eq!(tape.world.reads, 65 + 2);
    assert_eq!(tape.counter(Counter::Http2DataBytes), (1 << 20) + 3);
}

#[test]
fn a_large_payload_is_not_read() {
    let mut tape = started();
    let bytes = wire(&[frame(DATA, END_STREAM, 1, &vec![7; 1 << 20])]);
    bytes.chunks(4096).for_each(|call| tape.call(RX, call));
    // The header, and what would be a message's prefix; the segment of each.
    assert_eq!(tape.world.reads, 3);
    let [(record, _)] = &tape.records(RX)[..] else {
        panic!()
    };
    assert_eq!(record.header.time_ns, tape.now, "with the last byte");
}

/// More streams than sums are kept: each still ends with all its bytes told.
#[test]
fn many_streams_interleaved() {
    let mut tape = started();
    let mut frames = Vec::new();
    for round in 0..5 {
        for stream in 0..40 {
            let end = if round == 4 { END_STREAM } else { 0 };
            frames.push(frame(DATA, end, 2 * stream + 1, &[1; 100]));
        }
    }
    frames
        .iter()
        .for_each(|frame| tape.call(RX, &wire(std::slice::from_ref(frame))));
    let bytes: Vec<u8> = tape.records(RX).into_iter().flat_map(|(_, b)| b).collect();
    assert_eq!(told(&bytes), truth(&frames));
}

/// Messages that are cut into frames, of as many streams as servers mostly allow, in turns.
#[test]
fn messages_of_many_streams() {
    let mut tape = started();
    let mut body = Vec::new();
    for length in [1000u32, 0, 3, 700] {
        body.push(0);
        body.extend(length.to_be_bytes());
        body.extend(vec![9; length as usize]);
    }
    let mut frames = Vec::new();
    let pieces: Vec<&[u8]> = body.chunks(251).collect();
    for (number, piece) in pieces.iter().enumerate() {
        let last = number + 1 == pieces.len();
        for stream in 0..100 {
            let end = if last { END_STREAM } else { 0 };
            frames.push(frame(DATA, end, 2 * stream + 1, piece));
        }
    }
    wire(&frames)
        .chunks(997)
        .for_each(|call| tape.call(RX, call));
    let bytes: Vec<u8> = tape.records(RX).into_iter().flat_map(|(_, b)| b).collect();
    let told = told(&bytes);
    assert_eq!(told, truth(&frames));
    assert_eq!(told[7].messages, Some(Messages::Whole(4)));
}

/// A stream that loses its place to another in the middle of a message: not known, not wrong.
#[test]
fn messages_that_cannot_be_followed() {
    let mut tape = started();
    let begun = [0, 0, 0, 0, 9, 1, 2];
    let frames = [
        frame(DATA, 0, 1, &begun),
        frame(DATA, 0, 2 * SUMS as u32 + 1, &begun),
        frame(DATA, END_STREAM, 1, &[0; 7]),
        frame(DATA, END_STREAM, 2 * SUMS as u32 + 1, &[0; 7]),
    ];
    tape.call(RX, &wire(&frames));
    let bytes: Vec<u8> = tape.records(RX).into_iter().flat_map(|(_, b)| b).collect();
    let messages: Vec<_> = told(&bytes).iter().map(|told| told.messages).collect();
    let whole = Some(Messages::Whole(1));
    assert_eq!(messages, [Some(Messages::Unknown), whole]);
}

/// So many messages in one call that not all are counted: the frames behind them still are.
#[test]
fn too_many_messages() {
    let mut tape = started();
    let frames = [
        frame(DATA, END_STREAM, 1, &[0; 5 * 30_000]),
        frame(HEADERS, END_HEADERS | END_STREAM, 3, b"\x82"),
    ];
    tape.call(RX, &wire(&frames));
    let bytes: Vec<u8> = tape.records(RX).into_iter().flat_map(|(_, b)| b).collect();
    let told = told(&bytes);
    assert_eq!(told[0].messages, Some(Messages::Unknown));
    assert_eq!(told[1], truth(&frames)[1]);
    assert_eq!(tape.lost(), 0);
}

/// Sums do not grow out of a frame's length.
#[test]
fn more_data_than_a_length_can_say() {
    let mut tape = started();
    let chunk = wire(&[frame(DATA, 0, 1, &vec![0; 1 << 20])]);
    for _ in 0..40 {
        tape.call(RX, &chunk);
    }
    tape.call(
        RX,
        &wire(&[frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x88")]),
    );
    let bytes: Vec<u8> = tape.records(RX).into_iter().flat_map(|(_, b)| b).collect();
    assert_eq!(told(&bytes)[0].data, Some(40 << 20));
}

#[test]
fn a_header_block_of_many_records() {
    let mut tape = Tape::new();
    let mut frames = vec![
        frame(SETTINGS, 0, 0, &[]),
        frame(HEADERS, END_STREAM, 1, &[1; 16_384]),
        frame(CONTINUATION, 0, 1, &[2; 16_384]),
        frame(CONTINUATION, END_HEADERS, 1, &[3; 16_384]),
    ];
    frames.push(frame(HEADERS, END_HEADERS | END_STREAM, 3, &[4; 10]));
    tape.call(RX, &[PREFACE, &wire(&frames)].concat());
    let records = tape.records(RX);
    assert_eq!(records.len(), (3 * 16_384) / PIECE_LIMIT + 1);
    assert_eq!(told(&whole(&records)), truth(&frames));
}

/// A block beyond the limit is cut, and what follows it is not.
#[test]
fn a_header_block_that_is_too_long() {
    let mut tape = started();
    let long = frame(HEADERS, 0, 1, &[1; 16_384]);
    let more = frame(CONTINUATION, 0, 1, &vec![2; BLOCK_LIMIT]);
    let last = frame(CONTINUATION, END_HEADERS, 1, &[3; 8]);
    let next = frame(HEADERS, END_HEADERS | END_STREAM, 3, &[4; 10]);
    tape.call(RX, &wire(&[long.clone(), more, last, next.clone()]));
    let records = tape.records(RX);
    let cuts: Vec<usize> = (0..records.len())
        .filter(|&at| records[at].0.flags & record_flag::CUT != 0)
        .collect();
    let [cut] = cuts[..] else { panic!("{cuts:?}") };
    let before: Vec<u8> = records[..=cut]
        .iter()
        .flat_map(|(_, b)| b.clone())
        .collect();
    // The header of the frame that is left out is the last.
    let (block, header) = before.split_at(before.len() - 9);
    assert_eq!(told(block), truth(&[long]));
    assert_eq!(header[3], CONTINUATION);
    let after: Vec<u8> = records[cut + 1..]
        .iter()
        .flat_map(|(_, b)| b.clone())
        .collect();
    assert_eq!(told(&after), truth(&[next]));
    assert_eq!(tape.counter(Counter::Http2Cut), 1);
    assert_eq!(tape.lost(), 0);
}

/// The payload of a header block that cannot be read costs the block, not the boundary.
#[test]
fn a_header_block_that_cannot_be_read() {
    let mut tape = started();
    let block = wire(&[frame(HEADERS, END_HEADERS, 1, &[1; 100])]);
    tape.call(RX, &block[..30]);
    tape.opaque(RX, block.len() as u64 - 30);
    let next = frame(HEADERS, END_HEADERS | END_STREAM, 3, &[4; 10]);
    tape.call(RX, &wire(std::slice::from_ref(&next)));
    let flags: Vec<u16> = tape.records(RX).iter().map(|(r, _)| r.flags).collect();
    assert_eq!(flags, [0, record_flag::CUT, 0]);
    assert_eq!(told(&tape.records(RX)[2].1), truth(&[next]));
    assert_eq!(tape.lost(), 0);
}

/// More frames in one call than are followed: counted, said, and taken up again.
#[test]
fn a_flood() {
    let mut tape = started();
    let flood: Vec<Frame> = vec![frame(PING, 0, 0, &[0; 8]); 20_000];
    tape.call(RX, &wire(&flood));
    let [(record, _)] = &tape.records(RX)[..] else {
        panic!()
    };
    assert_eq!(record.flags, record_flag::LOST);
    assert_eq!(tape.counter(Counter::Http2LostTooMany), 1);
    let next = [
        frame(HEADERS, END_HEADERS, 3, &[4; 10]),
        frame(DATA, END_STREAM, 3, b"x"),
    ];
    tape.call(RX, &wire(&next));
    assert_eq!(tape.records(RX)[1].0.flags, record_flag::RESYNC);
    assert_eq!(told(&tape.records(RX)[1].1), truth(&next));
    assert_eq!(tape.counter(Counter::Http2Joined), 1);
}

/// Ten thousand small frames in one call are followed, and fill records, not one each.
#[test]
fn many_small_frames() {
    let mut tape = started();
    let frames: Vec<Frame> = (0..10_000u32)
        .map(|n| {
            frame(
                HEADERS,
                END_HEADERS | END_STREAM,
                2 * n + 1,
                b"\x82\x84\x87",
            )
        })
        .collect();
    tape.call(RX, &wire(&frames));
    let records = tape.records(RX);
    assert_eq!(records.len(), (10_000 * 12usize).div_ceil(PIECE_LIMIT));
    let bytes: Vec<u8> = records.into_iter().flat_map(|(_, bytes)| bytes).collect();
    assert_eq!(told(&bytes), truth(&frames));
}

#[test]
fn a_request_line_that_only_names_http2() {
    let mut tape = Tape::new();
    tape.call(RX, b"GET / HTTP/2.0\r\nHost: a\r\n\r\n");
    assert_eq!(tape.world.sent, vec![]);
    assert_eq!(tape.socket.verdict, hark_ebpf::exchange::verdict::IGNORED);
}

#[test]
fn the_end_is_told_once() {
    let mut tape = started();
    let request = frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x82");
    tape.call(RX, &wire(&[request]));
    tape.call(TX, &wire(&[frame(SETTINGS, 0, 0, &[])]));
    let last = tape.now;
    tape.tcp(1, 7, 104);
    tape.tcp(1, 7, 104);
    let [end] = tape.world.ends[..] else { panic!() };
    assert_eq!((end.reason, end.errno), (AbortReason::Broken as u16, 104));
    assert_eq!((end.next_seq, end.last_ns, end.role), ([2, 1], last, 1));
}

/// A record of the end that finds no room is tried again.
#[test]
fn the_end_is_told_late() {
    let mut tape = started();
    tape.world.full = Some(Box::new(|_| true));
    tape.tcp(1, 8, 0);
    tape.tcp(8, 9, 0);
    assert_eq!(tape.world.ends, vec![]);
    tape.world.full = None;
    tape.tcp(9, 7, 0);
    assert_eq!(tape.world.ends.len(), 1);
}
