//! Who moved a message, and where on the connection: what tells causes.

use hark_common::socket::{RequestRecord, flag};

use crate::tape::{RX, Sent, TX, Tape};

const REQUEST: &[u8] = b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody";
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn requests(tape: &Tape) -> Vec<RequestRecord> {
    tape.world
        .sent
        .iter()
        .filter_map(|sent| match sent {
            Sent::Request(record, _) => Some(*record),
            _ => None,
        })
        .collect()
}

/// Three exchanges; the requests in calls of `size` bytes.
fn conversation(tape: &mut Tape, (request, response): (u8, u8), size: usize) {
    for _ in 0..3 {
        for part in REQUEST.chunks(size) {
            tape.call(request, part);
        }
        tape.call(response, RESPONSE);
    }
}

#[test]
fn both_ends_name_the_same_place_however_it_is_parted() {
    let begins = |index: u32| (u32::MAX - 50).wrapping_add(index * REQUEST.len() as u32);
    for ends in [(RX, TX), (TX, RX)] {
        for size in 1..=REQUEST.len() {
            let mut tape = Tape::new();
            conversation(&mut tape, ends, size);
            let requests = requests(&tape);
            assert_eq!(requests.iter().map(|request| request.index).max(), Some(2));
            for request in requests {
                assert_ne!(request.flags & flag::SEQUENCE, 0);
                assert_eq!(
                    request.sequence,
                    begins(request.index),
                    "{size}: {request:?}"
                );
            }
        }
    }
}

#[test]
fn requests_of_one_call_each_have_their_own_place() {
    let mut tape = Tape::new();
    tape.call(RX, &REQUEST.repeat(3));
    let places: Vec<u32> = requests(&tape)
        .iter()
        .map(|request| request.sequence)
        .collect();
    let first = u32::MAX - 50;
    let length = REQUEST.len() as u32;
    assert_eq!(
        places,
        [0, 1, 2].map(|index| first.wrapping_add(index * length))
    );
}

#[test]
fn a_read_that_waits_is_told_from_one_that_does_not() {
    for (ends, blocking, told) in [
        ((RX, TX), true, true),
        ((RX, TX), false, false),
        ((TX, RX), true, false),
    ] {
        let mut tape = Tape::new();
        tape.blocking = blocking;
        conversation(&mut tape, ends, 7);
        for request in requests(&tape) {
            assert_eq!(request.flags & flag::BLOCKING != 0, told);
        }
    }
}

#[test]
fn the_thread_of_a_response_is_that_of_its_head() {
    let mut tape = Tape::new();
    tape.world.thread = 1;
    tape.call(RX, REQUEST);
    tape.world.thread = 2;
    tape.call(TX, b"HTTP/1.1 100 Continue\r\n\r\n");
    let head = RESPONSE.len() - 2;
    tape.world.thread = 3;
    tape.call(TX, &RESPONSE[..head - 1]);
    tape.world.thread = 4;
    tape.call(TX, &RESPONSE[head - 1..=head]);
    tape.world.thread = 5;
    tape.call(TX, &RESPONSE[head + 1..]);
    let threads: Vec<u32> = tape
        .responses()
        .iter()
        .map(|response| response.thread)
        .collect();
    assert_eq!(threads, [4]);
}
