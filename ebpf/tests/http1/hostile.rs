//! Bytes that are not a conversation.

use hark_common::counter::Counter;
use proptest::prelude::*;

use crate::model::{cut, exchange};
use crate::tape::{RX, TX, Tape};

proptest! {
    /// Any bytes in any direction: no panic, and the books balance.
    #[test]
    fn any_bytes(calls in proptest::collection::vec(
        (any::<bool>(), proptest::collection::vec(any::<u8>(), 0..200)), 0..40)) {
        let mut tape = Tape::new();
        for (receive, bytes) in &calls {
            tape.call(if *receive { RX } else { TX }, bytes);
        }
        prop_assert_eq!(tape.counter(Counter::ExchangesBegun), 0);
        tape.balance();
    }

    /// A conversation with bytes changed, and its end.
    #[test]
    fn spoilt(
        exchanges in proptest::collection::vec(exchange(), 1..4),
        spoil in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..6),
        cuts in proptest::collection::vec(any::<usize>(), 0..6),
    ) {
        let mut tape = Tape::new();
        for exchange in &exchanges {
            for (direction, mut bytes) in
                [(RX, exchange.request_bytes()), (TX, exchange.response_bytes())]
            {
                for (at, to) in &spoil {
                    let at = at % bytes.len();
                    bytes[at] = *to;
                }
                cut(&bytes, &cuts).into_iter().for_each(|c| tape.call(direction, c));
                tape.balance();
            }
        }
        tape.tcp(1, 4, 0);
        tape.tcp(4, 7, 0);
        prop_assert_eq!(tape.state.outstanding(), 0);
        tape.balance();
    }

    /// Calls whose bytes cannot be had, and bytes without a call, anywhere.
    #[test]
    fn unreadable_and_unseen(
        exchanges in proptest::collection::vec(exchange(), 1..6),
        cuts in proptest::collection::vec(any::<usize>(), 1..8),
        fate in proptest::collection::vec(0u8..8, 1..40),
    ) {
        let mut tape = Tape::new();
        let mut fate = fate.iter().cycle();
        for exchange in &exchanges {
            for (direction, bytes) in
                [(RX, exchange.request_bytes()), (TX, exchange.response_bytes())]
            {
                for call in cut(&bytes, &cuts) {
                    match fate.next() {
                        Some(0) => tape.opaque(direction, call.len() as u64),
                        Some(1) => tape.unseen(direction, call.len() as u32),
                        _ => tape.call(direction, call),
                    }
                    tape.balance();
                }
            }
        }
        // Whatever was reported was true.
        for response in tape.responses() {
            prop_assert!(exchanges.iter().any(|e| e.status == response.status));
        }
        tape.tcp(1, 7, 104);
        prop_assert_eq!(tape.state.outstanding(), 0);
        tape.balance();
    }
}
