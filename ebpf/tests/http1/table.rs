//! Conversations with a name.

use hark_common::counter::Counter;
use hark_common::socket::{AbortReason, HEAD_CAPTURE_LIMIT, flag};
use hark_ebpf::exchange::{PIPELINE_DEPTH, verdict};

use crate::tape::{RX, Sent, TX, Tape};

const GET: &[u8] = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn served(request: &[u8], response: &[u8]) -> Tape {
    let mut tape = Tape::new();
    tape.call(RX, request);
    tape.call(TX, response);
    tape
}

#[test]
fn times_and_sizes() {
    let mut tape = Tape::new();
    tape.call(RX, b"POST /a HTTP/1.1\r\nConte");
    tape.call(RX, b"nt-Length: 5\r\n\r\nhel");
    tape.call(RX, b"lo");
    tape.call(TX, b"HTTP/1.1 201 Created\r\nContent-Length: 6\r\n\r\n");
    tape.call(TX, b"abc");
    tape.call(TX, b"def");
    let [response] = tape.responses()[..] else {
        panic!("{:?}", tape.world.sent)
    };
    assert_eq!((response.first_ns, response.last_ns), (5, 7));
    assert_eq!((response.body_bytes, response.request_body_bytes), (6, 5));
    assert_eq!(response.flags, flag::REQUEST_BODY_KNOWN);
    let Sent::Request(request, _) = &tape.world.sent[1] else {
        panic!()
    };
    assert_eq!((request.first_ns, request.header.time_ns), (2, 3));
    tape.balance();
}

#[test]
fn a_response_until_close() {
    let mut tape = served(GET, b"HTTP/1.0 200 OK\r\n\r\nabc");
    tape.call(TX, b"defg");
    assert_eq!(tape.responses(), vec![]);
    tape.tcp(1, 4, 0);
    let [response] = tape.responses()[..] else {
        panic!()
    };
    assert_eq!((response.body_bytes, response.last_ns), (7, 4));
    assert_eq!(response.flags & flag::UNTIL_CLOSE, flag::UNTIL_CLOSE);
    assert_eq!(tape.aborts(), vec![]);
    tape.balance();
}

#[test]
fn a_client_reads_until_close() {
    let mut tape = Tape::new();
    tape.call(TX, GET);
    tape.call(RX, b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc");
    tape.eof();
    assert_eq!(tape.responses()[0].body_bytes, 3);
    tape.balance();
}

#[test]
fn a_response_until_close_that_is_reset_is_no_whole_one() {
    let mut tape = served(GET, b"HTTP/1.0 200 OK\r\n\r\nabc");
    tape.tcp(1, 7, 104);
    let [abort] = tape.aborts()[..] else { panic!() };
    assert_eq!(
        (abort.from, abort.to, abort.status, abort.errno),
        (0, 1, 200, 104)
    );
    assert_eq!(abort.reason, AbortReason::Broken as u16);
    assert_eq!(abort.flags & flag::RESPONSE_BEGUN, flag::RESPONSE_BEGUN);
    assert_eq!(tape.responses(), vec![]);
    tape.balance();
}

#[test]
fn closed_without_a_response() {
    for (old, new, reason) in [
        (1, 4, AbortReason::LocalClosed),
        (8, 9, AbortReason::PeerClosed),
        (1, 7, AbortReason::LocalClosed),
    ] {
        let mut tape = Tape::new();
        tape.call(RX, GET);
        tape.tcp(old, new, 0);
        let [abort] = tape.aborts()[..] else { panic!() };
        assert_eq!((abort.from, abort.to, abort.status), (0, 1, 0));
        assert_eq!(abort.reason, reason as u16);
        tape.balance();
    }
}

#[test]
fn a_half_closed_client_is_still_answered() {
    let mut tape = Tape::new();
    tape.call(RX, GET);
    tape.eof();
    tape.tcp(1, 8, 0);
    tape.call(TX, OK);
    tape.tcp(8, 9, 0);
    assert_eq!(tape.responses().len(), 1);
    assert_eq!(tape.aborts(), vec![]);
}

#[test]
fn interim_responses_do_not_end_an_exchange() {
    let mut tape = Tape::new();
    tape.call(
        RX,
        b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n",
    );
    tape.call(TX, b"HTTP/1.1 100 Continue\r\n\r\n");
    tape.call(RX, b"hi");
    tape.call(
        TX,
        b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n",
    );
    tape.call(TX, OK);
    let [response] = tape.responses()[..] else {
        panic!()
    };
    assert_eq!((response.status, response.first_ns), (200, 6));
    assert_eq!(response.request_body_bytes, 2);
}

#[test]
fn after_an_upgrade_the_connection_is_somebody_elses() {
    let mut tape = served(
        b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x05hello",
    );
    assert_eq!(tape.responses()[0].flags & flag::SWITCHED, flag::SWITCHED);
    for _ in 0..100 {
        tape.call(RX, GET);
        tape.call(TX, OK);
    }
    assert_eq!(tape.responses().len(), 1);
    assert_eq!(tape.state.verdict, verdict::NEVER);
    tape.balance();
}

#[test]
fn a_tunnel_by_connect() {
    let mut tape = served(
        b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n",
        b"HTTP/1.1 200 Connection established\r\n\r\n",
    );
    assert_eq!(tape.responses()[0].flags & flag::SWITCHED, flag::SWITCHED);
    tape.call(RX, GET);
    assert_eq!(tape.heads().len(), 1);
    // A refused one is an exchange like any other.
    let mut tape = served(
        b"CONNECT a.example:443 HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 407 No\r\nContent-Length: 1\r\n\r\nx",
    );
    tape.call(RX, GET);
    tape.call(TX, OK);
    assert_eq!(
        tape.responses()
            .iter()
            .map(|r| r.status)
            .collect::<Vec<_>>(),
        [407, 200]
    );
}

#[test]
fn an_early_response_while_the_body_arrives() {
    let mut tape = Tape::new();
    tape.call(RX, b"POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\n");
    tape.opaque(RX, 400);
    tape.call(TX, b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n");
    let [response] = tape.responses()[..] else {
        panic!()
    };
    assert_eq!(response.request_body_bytes, 400);
    assert_eq!(
        response.flags,
        flag::REQUEST_BODY_KNOWN | flag::REQUEST_OPEN
    );
    tape.opaque(RX, 600);
    tape.call(RX, GET);
    tape.call(TX, OK);
    assert_eq!(tape.responses().len(), 2);
    tape.balance();
}

#[test]
fn an_answer_to_half_a_head() {
    let mut tape = Tape::new();
    tape.call(RX, b"GET /a HTTP/1.1\r\nCookie: aaaa");
    tape.call(TX, b"HTTP/1.1 431 Too Large\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(tape.responses()[0].status, 431);
    assert_eq!(
        tape.responses()[0].flags & flag::REQUEST_OPEN,
        flag::REQUEST_OPEN
    );
    tape.balance();
}

#[test]
fn a_body_by_sendfile() {
    let mut tape = served(GET, b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
    for _ in 0..10 {
        tape.opaque(TX, 100_000);
    }
    assert_eq!(tape.responses()[0].body_bytes, 1_000_000);
    assert_eq!(tape.world.sent.len(), 2, "no record per piece of a body");
}

#[test]
fn a_long_head_is_cut_at_the_limit() {
    let mut request = b"GET /a HTTP/1.1\r\nCookie: ".to_vec();
    request.extend(vec![b'a'; 20_000]);
    request.extend(b"\r\nContent-Length: 3\r\n\r\nabc");
    let tape = served(&request, OK);
    let heads = tape.heads();
    assert_eq!(heads[&0], request[..HEAD_CAPTURE_LIMIT]);
    let last = tape.world.sent.iter().rev().find_map(|sent| match sent {
        Sent::Request(record, _) => Some(*record),
        _ => None,
    });
    let last = last.unwrap();
    assert_eq!(
        last.flags,
        flag::HEAD_END | flag::TRUNCATED | flag::SEQUENCE
    );
    assert_eq!(tape.responses()[0].request_body_bytes, 3);
    tape.balance();
}

#[test]
fn a_head_without_end_is_given_up() {
    let mut tape = Tape::new();
    tape.call(RX, b"GET /a HTTP/1.1\r\nCookie: ");
    let junk = vec![b'a'; 64 << 10];
    for _ in 0..20 {
        tape.call(RX, &junk);
    }
    assert_eq!(tape.counter(Counter::LostParse), 1);
    assert!(tape.world.sent.len() < 10, "{}", tape.world.sent.len());
    tape.balance();
}

#[test]
fn a_deep_pipeline_is_counted() {
    let mut tape = Tape::new();
    let sent = PIPELINE_DEPTH + 72;
    for _ in 0..sent {
        tape.call(RX, GET);
    }
    for _ in 0..sent {
        tape.call(TX, OK);
    }
    assert_eq!(tape.counter(Counter::LostPipelineDepth), 72);
    assert_eq!(tape.responses().len() as u32, PIPELINE_DEPTH);
    // And then all is well again.
    tape.call(RX, GET);
    tape.call(TX, OK);
    assert_eq!(tape.responses().last().unwrap().index, sent);
    assert_eq!(
        tape.counter(Counter::ExchangesEnded),
        u64::from(PIPELINE_DEPTH) + 1
    );
    tape.balance();
}

#[test]
fn what_is_not_http() {
    let cases: &[&[(u8, &[u8])]] = &[
        &[(RX, b"*1\r\n$4\r\nPING\r\n"), (TX, b"+PONG\r\n")],
        &[(RX, b"SET key value\r\n"), (TX, b"+OK\r\n")],
        &[
            (TX, b"220 mail.example ESMTP\r\n"),
            (RX, b"EHLO x\r\n"),
            (TX, b"250 ok\r\n"),
        ],
        &[
            (RX, b"\x16\x03\x01\x02\x00\x01\x00"),
            (TX, b"\x16\x03\x03\x00"),
        ],
        &[(TX, b"SSH-2.0-OpenSSH_9\r\n"), (RX, b"SSH-2.0-x\r\n")],
        &[(RX, b"GET this file begins like a request\nbut is none\n")],
        &[(RX, b"GET /a HTTP/1.1 \r\n\r\n")],
        &[(RX, b"GET  HTTP/1.1\r\n\r\n")],
        &[(RX, b"Q\x00\x00\x00\x15select 1\x00"), (TX, b"T\x00\x00")],
        &[(RX, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")],
        &[(RX, b"stats\r\n"), (TX, b"END\r\n")],
    ];
    for case in cases {
        let mut tape = Tape::new();
        for _ in 0..40 {
            for (direction, bytes) in *case {
                tape.call(*direction, bytes);
            }
        }
        tape.tcp(1, 4, 0);
        assert_eq!(tape.counter(Counter::ExchangesBegun), 0, "{case:?}");
        assert_eq!(tape.world.sent, vec![], "{case:?}");
        assert_ne!(tape.state.verdict, verdict::HTTP1);
        let classified: u64 = [
            Counter::SocketsHttp2,
            Counter::SocketsTls,
            Counter::SocketsOther,
        ]
        .into_iter()
        .map(|c| tape.counter(c))
        .sum();
        assert!(classified <= 1, "counted once at the most");
    }
}

#[test]
fn joined_in_the_middle_of_an_exchange() {
    // The request went by before; its answer is nobody's, the next exchange is seen.
    let mut tape = Tape::new();
    tape.call(TX, OK);
    tape.call(RX, GET);
    tape.call(TX, OK);
    assert_eq!(tape.responses().len(), 1);
    // So it is in the middle of a long body, however many pieces still come.
    let mut tape = Tape::new();
    for _ in 0..200 {
        tape.call(RX, &[0xff; 1000]);
    }
    for _ in 0..40 {
        tape.call(TX, OK);
        tape.call(RX, GET);
    }
    // Looked at again at the 16th and 17th turn: from the eighth request on, each answered but
    // the last.
    assert_eq!(tape.responses().len(), 32);
    assert_eq!(tape.state.outstanding(), 1);
    tape.balance();
}

#[test]
fn unseen_bytes_within_a_body_are_only_counted() {
    let mut tape = served(GET, b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    tape.unseen(TX, 400);
    tape.opaque(TX, 600);
    assert_eq!(tape.responses()[0].body_bytes, 1000);
    assert_eq!(tape.counter(Counter::GapBytes), 400);
    assert_eq!(tape.counter(Counter::LostGap), 0);
}

#[test]
fn an_unseen_response_does_not_shift_the_next() {
    let mut tape = Tape::new();
    tape.call(RX, GET);
    tape.call(TX, OK);
    tape.call(RX, b"GET /lost HTTP/1.1\r\n\r\n");
    tape.unseen(TX, OK.len() as u32);
    tape.call(RX, b"GET /third HTTP/1.1\r\n\r\n");
    tape.call(TX, b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n");
    // The 404 cannot be told to be the second's or the third's: both are lost, and counted.
    assert_eq!(tape.responses().len(), 1);
    assert_eq!(tape.counter(Counter::LostGap), 2);
    tape.call(RX, GET);
    tape.call(TX, OK);
    assert_eq!(tape.responses().last().unwrap().index, 3);
    tape.balance();
}

#[test]
fn an_answer_that_overtakes_its_request_does_not_shift_the_next() {
    let lost = b"GET /lost HTTP/1.1\r\n\r\n";
    let mut tape = Tape::new();
    // The first of the connection, and one later on; the answer in one piece, and in two, the
    // second after the request's event.
    for (answer, rest) in [(OK, &OK[..0]), OK.split_at(20), (OK, &OK[..0])] {
        let lost_before = tape.counter(Counter::LostEarly);
        let ended_before = tape.responses().len();
        tape.overtake(lost);
        tape.call(RX, answer);
        tape.call(TX, lost);
        tape.call(RX, rest);
        assert_eq!(tape.counter(Counter::LostEarly), lost_before + 1);
        tape.call(TX, GET);
        tape.call(RX, OK);
        assert_eq!(tape.responses().len(), ended_before + 1);
        assert_eq!(tape.state.outstanding(), 0);
        tape.balance();
    }
    let indices: Vec<_> = tape.responses().iter().map(|r| r.index).collect();
    assert_eq!(indices, [1, 3, 5]);
}

#[test]
fn an_answer_whose_request_is_just_being_worked_through_does_not_shift_the_next() {
    let mut tape = Tape::new();
    tape.call(TX, GET);
    tape.call(RX, OK);
    // The other CPU has the request's numbers already, and then begins it.
    tape.call(RX, OK);
    tape.call(TX, GET);
    tape.state.streams[usize::from(TX)].answered = 1;
    tape.call(TX, b"GET /third HTTP/1.1\r\n\r\n");
    tape.call(RX, OK);
    assert_eq!(tape.counter(Counter::LostEarly), 1);
    assert_eq!(tape.responses().last().unwrap().index, 2);
    assert_eq!(tape.state.outstanding(), 0);
    tape.balance();
}

#[test]
fn a_farewell_costs_the_next_request_nothing() {
    let mut tape = Tape::new();
    tape.call(TX, GET);
    tape.call(RX, OK);
    tape.call(
        RX,
        b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n",
    );
    tape.call(TX, GET);
    assert_eq!(tape.state.outstanding(), 1);
    // Nor does an answer to a request that was sent before anybody looked.
    let mut joined = Tape::new();
    joined.call(RX, OK);
    joined.call(TX, GET);
    joined.call(RX, OK);
    for tape in [&tape, &joined] {
        assert_eq!(tape.counter(Counter::LostEarly), 0);
        tape.balance();
    }
    assert_eq!(joined.responses().len(), 1);
}

#[test]
fn records_per_exchange() {
    let mut tape = Tape::new();
    let mut response = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..50 {
        response.extend(b"400\r\n");
        response.extend(vec![b'x'; 1024]);
        response.extend(b"\r\n");
    }
    response.extend(b"0\r\n\r\n");
    for _ in 0..10 {
        tape.call(RX, GET);
        response.chunks(1400).for_each(|c| tape.call(TX, c));
    }
    assert_eq!(tape.world.sent.len(), 20);
    assert_eq!(tape.responses()[9].body_bytes, 50 * 1024);
}
