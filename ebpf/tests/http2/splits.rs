//! Any split of the byte streams into calls and segments tells the same.

use hark_common::counter::Counter;
use hark_common::http2::{OTHER_DIRECTION, flag as record_flag, messages};
use hark_common::socket::SocketRole;
use proptest::prelude::*;

use crate::model::{
    DATA, END_HEADERS, Frame, HEADERS, PREFACE, Payload, RST_STREAM, cut, direction, frame, told,
    truth, whole, wire,
};
use crate::tape::{RX, TX, Tape};

/// Compares what was handed over of a direction with the truth.
fn check(tape: &Tape, direction: u8, frames: &[Frame], role: SocketRole) {
    let records = tape.records(direction);
    assert_eq!(told(&whole(&records)), truth(frames));
    let data: usize = frames
        .iter()
        .filter(|frame| frame.kind == 0)
        .map(|frame| frame.payload.len())
        .sum();
    assert_eq!(tape.flows()[usize::from(direction)].data_bytes, data as u64);
    for (number, (record, _)) in records.iter().enumerate() {
        assert_eq!(record.role, role as u8);
        assert_eq!(record.task.tid, 99);
        assert_eq!(
            record.flags & record_flag::START != 0,
            number == 0,
            "{record:?}"
        );
    }
    assert_eq!(tape.counter(Counter::SocketsHttp2), 1);
    assert_eq!(tape.counter(Counter::Http2Joined), 0);
    assert_eq!(tape.counter(Counter::Http2Cut), 0);
    assert_eq!(tape.lost(), 0);
}

fn play(tape: &mut Tape, direction: u8, bytes: &[u8], calls: &[usize], segments: &[usize]) {
    for call in cut(bytes, calls) {
        tape.vectored(direction, &cut(call, segments));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_split(
        client in direction(Payload::Deceptive),
        server in direction(Payload::Deceptive),
        calls in proptest::collection::vec(any::<usize>(), 0..12),
        segments in proptest::collection::vec(any::<usize>(), 0..6),
        serves in any::<bool>(),
    ) {
        let mut tape = Tape::new();
        let (to_server, to_client, role) = if serves {
            (RX, TX, SocketRole::Server)
        } else {
            (TX, RX, SocketRole::Client)
        };
        let request = [PREFACE, &wire(&client)].concat();
        play(&mut tape, to_server, &request, &calls, &segments);
        play(&mut tape, to_client, &wire(&server), &calls, &segments);
        check(&tape, to_server, &client, role);
        check(&tape, to_client, &server, role);
        let frames = client.len() + server.len();
        prop_assert_eq!(tape.counter(Counter::Http2Frames), frames as u64);
    }

    /// Down to one byte at a time.
    #[test]
    fn byte_by_byte(client in direction(Payload::Deceptive), server in direction(Payload::Deceptive)) {
        let mut tape = Tape::new();
        let request = [PREFACE, &wire(&client)].concat();
        request.chunks(1).for_each(|byte| tape.call(RX, byte));
        wire(&server).chunks(1).for_each(|byte| tape.call(TX, byte));
        check(&tape, RX, &client, SocketRole::Server);
        check(&tape, TX, &server, SocketRole::Server);
    }
}

/// Who resets a stream ends both of its directions: the sum of what the other end has sent until then comes
/// with it, whole messages and those that are not, and once more for a stream without any.
#[test]
fn a_reset_tells_of_the_other_direction() {
    let mut tape = Tape::new();
    let body = |length: usize| [&[0, 0, 0, 0, 10][..], &vec![7; length]].concat();
    let client = [
        PREFACE.to_vec(),
        wire(&[
            frame(HEADERS, END_HEADERS, 1, &[0x82]),
            frame(DATA, 0, 1, &body(10)),
            frame(DATA, 0, 1, &body(4)),
            frame(HEADERS, END_HEADERS, 3, &[0x82]),
        ]),
    ];
    tape.call(RX, &client.concat());
    let resets = [1, 3].map(|stream| frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
    tape.call(TX, &wire(&resets));
    let mut expected = Vec::new();
    for (reset, length, word) in [(&resets[0], 24u8, messages::WITHIN | 1), (&resets[1], 0, 0)] {
        expected.extend([0, 0, length, DATA, OTHER_DIRECTION]);
        expected.extend(reset.stream.to_be_bytes());
        expected.extend(word.to_be_bytes());
        reset.write(&mut expected);
    }
    assert_eq!(whole(&tape.records(TX)), expected);
}
