//! Bytes that are not a conversation.

use hark_common::counter::Counter;
use proptest::prelude::*;

use crate::model::{PREFACE, Payload, cut, direction, wire};
use crate::tape::{RX, TX, Tape};

proptest! {
    /// Any bytes behind a preface: no panic, no read outside the buffers (the tape sees to it), and
    /// once they are no frames, that is counted.
    #[test]
    fn any_bytes(calls in proptest::collection::vec(
        (any::<bool>(), proptest::collection::vec(any::<u8>(), 0..300)), 0..40)) {
        let mut tape = Tape::new();
        tape.call(RX, PREFACE);
        for (receive, bytes) in &calls {
            tape.call(if *receive { RX } else { TX }, bytes);
        }
        prop_assert!(tape.lost() <= 2);
    }

    /// Any bytes without a preface: never taken for HTTP/2.
    #[test]
    fn not_frames(calls in proptest::collection::vec(
        (any::<bool>(), any::<bool>(), proptest::collection::vec(any::<u8>(), 1..300)), 0..40)) {
        let mut tape = Tape::new();
        for (receive, zero, mut bytes) in calls {
            // Much of what is binary begins with zeros.
            if zero {
                bytes[0] = 0;
            }
            tape.call(if receive { RX } else { TX }, &bytes);
        }
        prop_assert_eq!(tape.counter(Counter::SocketsHttp2), 0);
        prop_assert!(tape.world.sent.is_empty());
    }

    /// A conversation with bytes changed.
    #[test]
    fn spoilt(
        frames in direction(Payload::Deceptive),
        spoil in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..6),
        calls in proptest::collection::vec(any::<usize>(), 0..8),
    ) {
        let mut bytes = [PREFACE, &wire(&frames)].concat();
        for (at, to) in &spoil {
            let at = at % bytes.len();
            bytes[at] = *to;
        }
        let mut tape = Tape::new();
        cut(&bytes, &calls).into_iter().for_each(|call| tape.call(RX, call));
        tape.tcp(1, 7, 104);
        prop_assert!(tape.world.ends.len() <= 1);
    }
}
