//! Connections that are followed from the middle, and other protocols that are not.

use hark_common::counter::Counter;
use hark_common::http2::flag as record_flag;
use hark_ebpf::exchange::verdict;

use crate::model::{
    ACK, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, SETTINGS, WINDOW_UPDATE, frame,
    told, truth, wire,
};
use crate::tape::{RX, TX, Tape};

/// Flags of a record with which following begins at the first event.
const FIRST_SIGHT: u16 = record_flag::RESYNC | record_flag::ORIGIN;

fn request(stream: u32) -> Vec<crate::model::Frame> {
    vec![
        frame(HEADERS, END_HEADERS, stream, b"\x83\x86\xbe\xbf"),
        frame(DATA, END_STREAM, stream, &[0, 0, 0, 0, 2, 8, 1]),
    ]
}

#[test]
fn two_frames_in_one_call() {
    let mut tape = Tape::new();
    // The rest of a frame that began before we looked.
    tape.call(RX, b"\x00\x01\x02 tail of a payload");
    assert_eq!(tape.socket.verdict, verdict::UNDECIDED);
    tape.call(RX, &wire(&request(7)));
    assert_eq!(tape.socket.verdict, verdict::HTTP2);
    let [(record, bytes)] = &tape.records(RX)[..] else {
        panic!()
    };
    assert_eq!(record.flags, record_flag::RESYNC);
    assert_eq!((record.role, record.seq, record.continued), (0, 0, 0));
    assert_eq!(told(bytes), truth(&request(7)));
    assert_eq!(tape.counter(Counter::Http2Joined), 1);
    assert_eq!(tape.counter(Counter::SocketsHttp2), 1);
    // Of the other direction one frame is enough now, if it fills the call.
    tape.call(TX, &wire(&request(9)[..1]));
    assert_eq!(tape.records(TX)[0].0.flags, FIRST_SIGHT);
    assert_eq!(told(&tape.records(TX)[0].1), truth(&request(9)[..1]));
}

/// A whole header block that fills the call is enough; another frame is not.
#[test]
fn a_frame_per_call() {
    let mut tape = Tape::new();
    let frames = request(1);
    tape.call(RX, &wire(&frames[1..]));
    assert_eq!(tape.socket.verdict, verdict::UNDECIDED);
    assert_eq!(tape.world.sent, vec![]);
    let mut tape = Tape::new();
    for frame in &frames {
        tape.call(RX, &wire(std::slice::from_ref(frame)));
    }
    let records = tape.records(RX);
    assert_eq!(records[0].0.flags, FIRST_SIGHT);
    let bytes: Vec<u8> = records.into_iter().flat_map(|(_, bytes)| bytes).collect();
    assert_eq!(told(&bytes), truth(&frames));
    assert_eq!(tape.counter(Counter::Http2BlocksPassed), 0);
}

/// A header block that comes in two calls is passed over, and counted.
#[test]
fn a_header_block_that_is_passed_over() {
    let mut tape = Tape::new();
    let frames = request(1);
    let block = wire(&frames[..1]);
    tape.call(RX, &block[..12]);
    tape.call(RX, &[&block[12..], &wire(&frames[1..])].concat());
    assert_eq!(tape.socket.verdict, verdict::HTTP2);
    let [(record, bytes)] = &tape.records(RX)[..] else {
        panic!()
    };
    assert_eq!(record.flags, record_flag::RESYNC);
    assert_eq!(told(bytes), truth(&frames[1..]));
    assert_eq!(tape.counter(Counter::Http2BlocksPassed), 1);
}

/// Where the socket stood before the first event, as long as nothing that matters was left out.
#[test]
fn the_origin() {
    let quiet = frame(WINDOW_UPDATE, 0, 0, &[0, 0, 1, 0]);
    let setting = frame(SETTINGS, 0, 0, &[]);
    let begin = |first: &[Vec<u8>]| {
        let mut tape = Tape::new();
        first.iter().for_each(|call| tape.call(RX, call));
        tape.call(RX, &wire(&request(1)));
        let (record, _) = tape.records(RX)[0].clone();
        (record.flags, record.origin)
    };
    // The tape's sockets begin at this number.
    let origin = u32::MAX - 50;
    assert_eq!(begin(&[]), (FIRST_SIGHT, origin));
    assert_eq!(
        begin(&[wire(std::slice::from_ref(&quiet))]),
        (FIRST_SIGHT, origin)
    );
    let whole = (record_flag::RESYNC, 0);
    // Settings, a part of a header block, bytes that are no frame.
    assert_eq!(begin(&[wire(std::slice::from_ref(&setting))]), whole);
    let block = wire(&request(5)[..1]);
    assert_eq!(begin(&[block[..11].to_vec(), block[11..].to_vec()]), whole);
    assert_eq!(begin(&[b"\0\x01\x02 tail of a payload".to_vec()]), whole);
    let mut tape = Tape::new();
    tape.call(RX, &wire(std::slice::from_ref(&quiet)));
    tape.unseen(RX, 30);
    tape.call(RX, &wire(&request(1)));
    assert_eq!(tape.records(RX)[0].0.flags, record_flag::RESYNC);
}

/// What is read from outside of how far a direction was followed.
#[test]
fn the_position() {
    let mut tape = Tape::new();
    let bytes = wire(&request(1));
    let origin = u32::MAX - 50;
    tape.call(RX, &[PREFACE, &bytes[..20]].concat());
    let at = |tape: &Tape| tape.state.positions[0];
    let moved = (PREFACE.len() + 20) as u32;
    assert_eq!(
        (at(&tape).sequence, at(&tape).settled),
        (origin.wrapping_add(moved), 0)
    );
    tape.call(RX, &bytes[20..]);
    let moved = (PREFACE.len() + bytes.len()) as u32;
    assert_eq!(
        (at(&tape).sequence, at(&tape).settled),
        (origin.wrapping_add(moved), 1)
    );
    assert_eq!(at(&tape).seq as usize, tape.records(RX).len());
    assert_eq!(
        tape.state.positions[1],
        hark_common::http2::Http2Position::default()
    );
    // In the middle of DATA, and of a header block.
    tape.call(RX, &wire(&[frame(DATA, 0, 1, &[0; 100])])[..50]);
    assert_eq!(at(&tape).settled, 0);
    tape.call(RX, &[0; 20]);
    assert_eq!(at(&tape).sequence, origin.wrapping_add(moved + 70));
    tape.call(RX, &[0; 39]);
    assert_eq!(at(&tape).settled, 1);
    tape.call(RX, &wire(&[frame(HEADERS, 0, 3, b"\x83")]));
    assert_eq!(at(&tape).settled, 0);
}

/// The second header comes in two calls.
#[test]
fn a_header_cut_in_two() {
    let mut tape = Tape::new();
    let bytes = wire(&request(1));
    tape.call(RX, &bytes[..17]);
    tape.call(RX, &bytes[17..]);
    assert_eq!(tape.socket.verdict, verdict::HTTP2);
    assert_eq!(told(&tape.records(RX)[0].1), truth(&request(1)[1..]));
}

/// Go's servers: SETTINGS first, then the client's preface is read.
#[test]
fn a_server_that_speaks_first() {
    let settings = frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100, 0, 5, 0, 0, 64, 0]);
    let mut tape = Tape::new();
    tape.call(TX, &wire(std::slice::from_ref(&settings)));
    assert_eq!(tape.socket.verdict, verdict::HTTP2);
    let hello = [settings.clone(), request(1)[0].clone()];
    // Cut where it hurts.
    let bytes = [PREFACE, &wire(&hello)].concat();
    tape.call(RX, &bytes[..5]);
    tape.call(RX, &bytes[5..20]);
    tape.call(RX, &bytes[20..]);
    tape.call(TX, &wire(&[frame(SETTINGS, ACK, 0, &[])]));
    let flags = |direction| -> Vec<u16> {
        let records = tape.records(direction);
        records.iter().map(|(record, _)| record.flags).collect()
    };
    assert_eq!(flags(RX), [record_flag::START]);
    // Followed whole, as turned out.
    assert_eq!(flags(TX), [FIRST_SIGHT, record_flag::START]);
    assert_eq!(told(&tape.records(RX)[0].1), truth(&hello));
    assert_eq!(tape.records(RX)[0].0.role, 1);
    assert_eq!(tape.counter(Counter::Http2Joined), 0);
}

/// A server whose first words are too few to know it by.
#[test]
fn a_server_that_says_nothing_first() {
    let mut tape = Tape::new();
    tape.call(TX, &wire(&[frame(SETTINGS, 0, 0, &[])]));
    assert_eq!(tape.socket.verdict, verdict::UNDECIDED);
    tape.call(RX, &[PREFACE, &wire(&request(1))].concat());
    tape.call(TX, &wire(&request(1)));
    let flags: Vec<u16> = tape.records(TX).iter().map(|(r, _)| r.flags).collect();
    assert_eq!(flags, [record_flag::START]);
}

/// A server's first bytes were missed: what it says next is not taken for the beginning.
#[test]
fn a_server_whose_first_bytes_were_missed() {
    let mut tape = Tape::new();
    // The first event only sets the sequence number to go by.
    tape.call(TX, b"x");
    tape.call(RX, PREFACE);
    tape.unseen(TX, 100);
    tape.call(
        TX,
        &wire(&[frame(SETTINGS, 0, 0, &[]), request(1)[0].clone()]),
    );
    let flags: Vec<u16> = tape.records(TX).iter().map(|(r, _)| r.flags).collect();
    assert_eq!(flags, [FIRST_SIGHT]);
}

/// The server's first frame is not SETTINGS: something was missed.
#[test]
fn a_server_without_settings() {
    let mut tape = Tape::new();
    tape.call(RX, PREFACE);
    tape.call(TX, &wire(&request(1)[..1]));
    tape.call(TX, &wire(&request(3)));
    let flags: Vec<u16> = tape.records(TX).iter().map(|(r, _)| r.flags).collect();
    assert_eq!(flags, [FIRST_SIGHT, 0]);
}

/// Beginnings of conversations in protocols that are not HTTP/2, as they are on the wire.
#[test]
fn other_protocols() {
    let kafka = {
        // ApiVersions v0 and Metadata v1, each with its length before it.
        let mut one = b"\x00\x00\x00\x12\x00\x12\x00\x00\x00\x00\x00\x01\x00\x08consumer".to_vec();
        one.extend(
            b"\x00\x00\x00\x16\x00\x03\x00\x01\x00\x00\x00\x02\x00\x08consumer\x00\x00\x00\x00",
        );
        one
    };
    let conversations: [&[u8]; 12] = [
        &kafka,
        // PostgreSQL: startup message; SSLRequest.
        b"\x00\x00\x00\x23\x00\x03\x00\x00user\0app\0database\0shop\0\0\0\0\0\0\0",
        b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
        // MySQL: a query.
        b"\x0f\x00\x00\x00\x03SELECT 1 FROM d",
        // AMQP 0-9-1: a heartbeat, and again.
        b"\x08\x00\x00\x00\x00\x00\x00\xce\x08\x00\x00\x00\x00\x00\x00\xce",
        // Thrift, framed.
        b"\x00\x00\x00\x11\x80\x01\x00\x01\x00\x00\x00\x04ping\x00\x00\x00\x01\x00",
        // Zookeeper: pings.
        b"\x00\x00\x00\x08\xff\xff\xff\xfe\x00\x00\x00\x0b\x00\x00\x00\x08\xff\xff\xff\xfe\x00\x00\x00\x0b",
        // Cassandra: OPTIONS, twice.
        b"\x04\x00\x00\x00\x05\x00\x00\x00\x00\x04\x00\x00\x01\x05\x00\x00\x00\x00",
        // MongoDB: the length first, little-endian.
        b"\x18\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\xdd\x07\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00",
        // Zeros, and more of them than a frame.
        &[0; 4096],
        // A WebSocket ping; an empty one.
        b"\x89\x00\x89\x00\x89\x00\x89\x00\x89\x00",
        // Numbers, big-endian, of eight bytes.
        b"\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x03",
    ];
    for bytes in conversations {
        let mut tape = Tape::new();
        for _ in 0..8 {
            tape.call(TX, bytes);
            tape.call(RX, bytes);
        }
        assert_eq!(tape.counter(Counter::SocketsHttp2), 0, "{bytes:?}");
        assert_eq!(tape.world.sent, vec![]);
        assert_ne!(tape.socket.verdict, verdict::HTTP2);
    }
}

/// Each of these would be a frame but for one thing; none is evidence.
#[test]
fn nearly_frames() {
    let good = wire(&[
        frame(PING, 0, 0, &[0; 8]),
        frame(WINDOW_UPDATE, 0, 0, &[0, 0, 1, 0]),
    ]);
    let mut tape = Tape::new();
    tape.call(RX, &good);
    assert_eq!(tape.socket.verdict, verdict::HTTP2);
    // Bytes of the second header, and values that it must not have.
    let spoils = [(17, 1), (19, 3), (20, 10), (21, 1), (22, 0x80)];
    for (at, value) in spoils {
        let mut bytes = good.clone();
        bytes[at] = value;
        let mut tape = Tape::new();
        tape.call(RX, &bytes);
        assert_eq!(tape.counter(Counter::SocketsHttp2), 0, "byte {at}");
    }
}

/// An event that is missing between two frames: the second is no evidence any more.
#[test]
fn a_gap_between_the_two() {
    let mut tape = Tape::new();
    tape.call(RX, &wire(&request(1)[1..]));
    tape.unseen(RX, 40);
    tape.call(RX, &wire(&request(1)[1..]));
    assert_eq!(tape.socket.verdict, verdict::UNDECIDED);
    tape.call(RX, &wire(&request(3)));
    assert_eq!(tape.socket.verdict, verdict::HTTP2);
}

const UPGRADE: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\n\
    Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n";
const SWITCHING: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";

/// HTTP/2 by an upgrade (RFC 7540 §3.2): the client's preface comes after the 101.
#[test]
fn an_upgrade() {
    let settings = frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]);
    for server_first in [false, true] {
        let mut tape = Tape::new();
        tape.call(RX, UPGRADE);
        tape.call(TX, SWITCHING);
        assert_eq!(tape.socket.verdict, verdict::UPGRADED);
        let server = [settings.clone(), request(1)[0].clone()];
        let client = [settings.clone(), request(3)[0].clone()];
        let hello = [PREFACE, &wire(&client)].concat();
        if server_first {
            tape.call(TX, &wire(&server[..1]));
        }
        tape.call(RX, &hello[..4]);
        tape.call(RX, &hello[4..]);
        tape.call(TX, &wire(&server[usize::from(server_first)..]));
        let all = |direction| -> Vec<u8> {
            let records = tape.records(direction);
            records.into_iter().flat_map(|(_, bytes)| bytes).collect()
        };
        assert_eq!(told(&all(RX)), truth(&client));
        assert_eq!(told(&all(TX)), truth(&server));
        for direction in [RX, TX] {
            let last = tape.records(direction).pop().expect("a record");
            assert_eq!(last.0.flags & record_flag::START, record_flag::START);
            assert_eq!(last.0.role, 1);
        }
        assert_eq!(tape.counter(Counter::Http2Joined), 0);
        // Counted as what it began as, and as what it became.
        assert_eq!(tape.counter(Counter::SocketsHttp1), 1);
        assert_eq!(tape.counter(Counter::SocketsHttp2), 1);
    }
}

/// An upgrade to something else is looked at for a few messages only.
#[test]
fn another_upgrade() {
    let mut tape = Tape::new();
    tape.call(RX, UPGRADE);
    tape.call(TX, SWITCHING);
    for _ in 0..20 {
        tape.call(RX, b"\x81\x85\x01\x02\x03\x04hello");
        tape.call(TX, b"\x81\x05hello");
    }
    assert_eq!(tape.socket.verdict, verdict::NEVER);
    assert_eq!(tape.world.sent, vec![]);
}
