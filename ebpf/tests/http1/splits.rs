//! Any split of the byte stream into calls and segments gives the same exchanges.

use hark_common::counter::Counter;
use hark_common::socket::{HEAD_CAPTURE_LIMIT, SocketRole, flag};
use proptest::prelude::*;

use crate::model::{Exchange, cut, exchange};
use crate::tape::{RX, TX, Tape};

/// Compares what was handed over with the truth.
fn check(tape: &Tape, exchanges: &[Exchange], role: SocketRole) {
    let heads = tape.heads();
    let responses = tape.responses();
    assert_eq!(heads.len(), exchanges.len());
    assert_eq!(responses.len(), exchanges.len());
    for (index, (exchange, response)) in exchanges.iter().zip(&responses).enumerate() {
        let mut head = exchange.request_head();
        head.truncate(HEAD_CAPTURE_LIMIT);
        assert_eq!(
            String::from_utf8_lossy(&heads[&(index as u32)]),
            String::from_utf8_lossy(&head)
        );
        assert_eq!(response.index, index as u32);
        assert_eq!(response.status, exchange.status);
        assert_eq!(response.body_bytes, exchange.response_len());
        assert_eq!(response.role, role as u8);
        if response.flags & flag::REQUEST_BODY_KNOWN != 0 {
            assert_eq!(response.request_body_bytes, exchange.request.len());
        }
    }
    assert_eq!(
        tape.counter(Counter::ExchangesBegun),
        exchanges.len() as u64
    );
    assert_eq!(
        tape.counter(Counter::ExchangesEnded),
        exchanges.len() as u64
    );
    assert_eq!(tape.counter(Counter::SocketsHttp1), 1);
    assert_eq!(tape.aborts(), vec![]);
    tape.balance();
}

fn ends(role: SocketRole) -> (u8, u8) {
    match role {
        SocketRole::Server => (RX, TX),
        SocketRole::Client => (TX, RX),
    }
}

fn role() -> impl Strategy<Value = SocketRole> {
    prop_oneof![Just(SocketRole::Server), Just(SocketRole::Client)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// One exchange after the other.
    #[test]
    fn keep_alive(
        exchanges in proptest::collection::vec(exchange(), 1..5),
        cuts in proptest::collection::vec(any::<usize>(), 0..12),
        segments in proptest::collection::vec(any::<usize>(), 0..6),
        role in role(),
    ) {
        let mut tape = Tape::new();
        let (request_end, response_end) = ends(role);
        for exchange in &exchanges {
            for (direction, bytes) in [
                (request_end, exchange.request_bytes()),
                (response_end, exchange.response_bytes()),
            ] {
                for call in cut(&bytes, &cuts) {
                    tape.vectored(direction, &cut(call, &segments));
                }
            }
        }
        check(&tape, &exchanges, role);
    }

    /// All requests at once, then all responses, cut anywhere.
    #[test]
    fn pipelined(
        exchanges in proptest::collection::vec(exchange(), 2..12),
        cuts in proptest::collection::vec(any::<usize>(), 0..12),
        role in role(),
    ) {
        let mut tape = Tape::new();
        let (request_end, response_end) = ends(role);
        let requests: Vec<u8> = exchanges.iter().flat_map(Exchange::request_bytes).collect();
        let responses: Vec<u8> = exchanges.iter().flat_map(Exchange::response_bytes).collect();
        cut(&requests, &cuts).into_iter().for_each(|c| tape.call(request_end, c));
        cut(&responses, &cuts).into_iter().for_each(|c| tape.call(response_end, c));
        check(&tape, &exchanges, role);
    }

    /// Down to one byte at a time.
    #[test]
    fn byte_by_byte(exchanges in proptest::collection::vec(exchange(), 1..3), role in role()) {
        let mut tape = Tape::new();
        let (request_end, response_end) = ends(role);
        for exchange in &exchanges {
            exchange.request_bytes().chunks(1).for_each(|c| tape.call(request_end, c));
            exchange.response_bytes().chunks(1).for_each(|c| tape.call(response_end, c));
        }
        check(&tape, &exchanges, role);
    }
}
