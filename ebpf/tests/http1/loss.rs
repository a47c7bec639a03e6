//! A ring buffer without room: what is lost is counted, and nothing is glued together.

use std::collections::BTreeSet;

use hark_common::counter::Counter;
use hark_common::socket::flag;
use proptest::prelude::*;

use crate::model::{Exchange, cut, exchange};
use crate::tape::{RX, Sent, TX, Tape};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn lost_records_are_counted(
        exchanges in proptest::collection::vec(exchange(), 1..12),
        cuts in proptest::collection::vec(any::<usize>(), 0..6),
        lost in proptest::collection::btree_set(0usize..40, 0..20),
        pipelined in any::<bool>(),
        closed in any::<bool>(),
    ) {
        let mut tape = Tape::new();
        let none: BTreeSet<usize> = lost;
        tape.world.full = Some(Box::new(move |number| none.contains(&number)));
        if pipelined {
            let requests: Vec<u8> = exchanges.iter().flat_map(Exchange::request_bytes).collect();
            let responses: Vec<u8> = exchanges.iter().flat_map(Exchange::response_bytes).collect();
            cut(&requests, &cuts).into_iter().for_each(|c| tape.call(RX, c));
            cut(&responses, &cuts).into_iter().for_each(|c| tape.call(TX, c));
        } else {
            for exchange in &exchanges {
                cut(&exchange.request_bytes(), &cuts).into_iter().for_each(|c| tape.call(RX, c));
                cut(&exchange.response_bytes(), &cuts).into_iter().for_each(|c| tape.call(TX, c));
            }
        }
        if closed {
            tape.tcp(1, 4, 0);
        }
        tape.balance();
        prop_assert_eq!(tape.counter(Counter::ExchangesBegun), exchanges.len() as u64);
        let whole = tape
            .responses()
            .iter()
            .filter(|r| r.flags & flag::REQUEST_LOST == 0)
            .count() as u64;
        prop_assert_eq!(tape.counter(Counter::ExchangesEnded), whole);
        prop_assert_eq!(tape.counter(Counter::LostRingFull), exchanges.len() as u64 - whole);
        // Every response that is not marked has all pieces of its request before it.
        for response in tape.responses() {
            let truth = &exchanges[response.index as usize];
            prop_assert_eq!(response.status, truth.status);
            if response.flags & flag::REQUEST_LOST == 0 {
                let head: Vec<u8> = tape
                    .world
                    .sent
                    .iter()
                    .filter_map(|sent| match sent {
                        Sent::Request(r, bytes) if r.index == response.index => Some(bytes.clone()),
                        _ => None,
                    })
                    .flatten()
                    .collect();
                prop_assert_eq!(head, truth.request_head());
            }
        }
    }
}
