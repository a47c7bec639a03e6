//! Sequences by hand.

use super::*;
use crate::exchange::{ErrorType, Method, Protocol, Request, Trail};

fn get(index: u32) -> Vec<u8> {
    format!("GET /r{index}?token=secret HTTP/1.1\r\nHost: shop.example\r\n\r\n").into_bytes()
}

fn post(index: u32, headers: &str) -> Vec<u8> {
    format!("POST /r{index} HTTP/1.1\r\nHost: shop.example\r\n{headers}\r\n").into_bytes()
}

/// The exchange of [`get`], answered by [`response`].
fn answered(index: u32, status: u16) -> Exchange {
    Exchange {
        role: Role::Server,
        socket: 1,
        index,
        task: task(index),
        local: inet("127.0.0.1:80"),
        peer: inet("127.0.0.2:40000"),
        request: Request {
            method: Method::Get,
            path: format!("/r{index}").into(),
            path_truncated: false,
            protocol: Protocol::Http11,
            host: Some("shop.example".into()),
            port: None,
            scheme: None,
            user_agent: None,
            client_address: None,
            content_length: None,
            wants_http2: false,
            context: None,
            tracestate: None,
        },
        rpc: None,
        status: Some(status),
        error: None,
        start_ns: 1000 + u64::from(index),
        first_response_ns: Some(2000 + u64::from(index)),
        end_ns: 3000 + u64::from(index),
        request_body_bytes: Some(0),
        response_body_bytes: Some(10 + u64::from(index)),
        trail: Trail {
            netns: 9,
            ..Trail::default()
        },
        tls: None,
    }
}

#[test]
fn keep_alive() {
    let mut run = Run::new(8);
    for index in 0..3 {
        run.feed([Piece::whole(index, &get(index)).record()]);
        assert_eq!(
            (run.seen.active.as_slice(), run.connections.len()),
            (&[index][..], 1)
        );
        run.feed([answer(response(index, 200))]);
        assert_eq!((run.seen.active.len(), run.connections.len()), (0, 0));
    }
    run.finish();
    assert_eq!(run.seen.ended, [0, 1, 2].map(|index| answered(index, 200)));
    assert_eq!(run.counters.ended_by(Role::Server), 3);
    assert_eq!(run.counters.ended_by(Role::Client), 0);
    assert_eq!(run.counted(), []);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let mut run = Run::new(8);
    run.feed([0, 1, 2].map(|index| Piece::whole(index, &get(index)).record()));
    assert_eq!(run.seen.active, [0, 1, 2]);
    run.feed([(0, 200), (1, 404), (2, 500)].map(|(index, status)| answer(response(index, status))));
    run.finish();
    assert_eq!(
        run.seen.ended,
        [answered(0, 200), answered(1, 404), answered(2, 500)]
    );
    assert_eq!(run.counted(), []);
}

#[test]
fn a_head_in_pieces_is_one_exchange_from_its_first_piece() {
    let head = get(0);
    let mut run = Run::new(8);
    for (offset, byte) in head.iter().enumerate() {
        let last = offset + 1 == head.len();
        let piece = Piece {
            offset,
            bytes: std::slice::from_ref(byte),
            flags: if last { flag::HEAD_END } else { 0 },
            // Another thread reads the rest, later.
            tid: u32::from(offset > 0) * 77,
            time_ns: 1000 + 3 * u64::try_from(offset).unwrap(),
            ..Piece::whole(0, b"")
        };
        assert_eq!(run.seen.active, [0; 0]);
        run.feed([piece.record()]);
    }
    assert_eq!(run.seen.active, [0]);
    run.feed([answer(response(0, 200))]);
    run.finish();
    assert_eq!(run.seen.ended, [answered(0, 200)]);
}

#[test]
fn a_head_beyond_the_limit_is_read_as_far_as_it_was_captured() {
    let mut head = get(0);
    head.truncate(head.len() - 2);
    head.extend_from_slice(b"Cookie: aaaaaaaa");
    let mut run = Run::new(8);
    let first = Piece {
        flags: 0,
        ..Piece::whole(0, &head)
    };
    let end = Piece {
        offset: head.len(),
        flags: flag::TRUNCATED | flag::HEAD_END,
        ..Piece::whole(0, b"")
    };
    run.feed([first.record(), end.record(), answer(response(0, 200))]);
    run.finish();
    // Transfer-Encoding may have been in what is missing.
    let expected = Exchange {
        request_body_bytes: None,
        ..answered(0, 200)
    };
    assert_eq!(run.seen.ended, [expected]);
}

#[test]
fn a_response_that_comes_before_the_head_is_whole_ends_the_exchange() {
    let mut run = Run::new(8);
    let piece = Piece {
        flags: 0,
        ..Piece::whole(0, b"GET /r0 HTTP/1.1\r\nHost: shop.exa")
    };
    let early = ResponseRecord {
        flags: flag::REQUEST_OPEN,
        ..response(0, 431)
    };
    run.feed([piece.record(), answer(early)]);
    run.finish();
    let mut expected = answered(0, 431);
    expected.request.host = None;
    expected.request_body_bytes = None;
    assert_eq!(run.seen.ended, [expected]);
    assert_eq!(run.counted(), []);
}

#[test]
fn a_head_cut_within_the_request_line_is_dropped_and_counted() {
    let mut run = Run::new(8);
    let piece = Piece {
        flags: 0,
        ..Piece::whole(0, b"GET /r0 HTTP/1")
    };
    let early = ResponseRecord {
        flags: flag::REQUEST_OPEN,
        ..response(0, 400)
    };
    run.feed([piece.record(), answer(early)]);
    run.finish();
    assert_eq!(run.seen.ended, []);
    assert_eq!(run.seen.dropped, []);
    assert_eq!(run.counted(), [(DropReason::HeadCut, 1)]);
}

#[test]
fn a_head_that_is_no_request_is_dropped_and_counted_once() {
    let mut run = Run::new(8);
    run.feed([
        Piece::whole(0, b"EHLO mail.example\r\n\r\n").record(),
        answer(response(0, 200)),
    ]);
    run.finish();
    assert_eq!(run.seen.ended, []);
    assert_eq!(run.counted(), [(DropReason::HeadMalformed, 1)]);
}

#[test]
fn a_lost_last_piece_is_not_taken_for_a_cut_head() {
    let mut run = Run::new(8);
    let piece = Piece {
        flags: 0,
        ..Piece::whole(0, b"GET /r0 HTTP/1.1\r\nHost: shop.exa")
    };
    run.feed([piece.record(), answer(response(0, 200))]);
    run.finish();
    assert_eq!(run.seen.ended, []);
    assert_eq!(run.counted(), [(DropReason::PieceLost, 1)]);
}

#[test]
fn sizes_of_request_bodies() {
    let counted = |index, bytes| ResponseRecord {
        flags: flag::REQUEST_BODY_KNOWN,
        request_body_bytes: bytes,
        ..response(index, 200)
    };
    let mut run = Run::new(8);
    run.feed([
        Piece::whole(0, &post(0, "Content-Length: 12\r\n")).record(),
        answer(response(0, 200)),
        Piece::whole(1, &post(1, "Content-Length: 12\r\n")).record(),
        // The whole body had not come when the answer was out.
        answer(ResponseRecord {
            flags: flag::REQUEST_OPEN,
            ..response(1, 413)
        }),
        Piece::whole(2, &post(2, "Transfer-Encoding: chunked\r\n")).record(),
        answer(counted(2, 34)),
        Piece::whole(3, &post(3, "Transfer-Encoding: chunked\r\n")).record(),
        body(3, 56),
        Piece::whole(4, &post(4, "Transfer-Encoding: chunked\r\n")).record(),
        answer(response(3, 200)),
        answer(response(4, 200)),
        Piece::whole(5, &post(5, "Content-Length: 1\r\nContent-Length: 2\r\n")).record(),
        answer(response(5, 400)),
        Piece::whole(6, &post(6, "")).record(),
        answer(response(6, 200)),
    ]);
    run.finish();
    let sizes: Vec<_> = run
        .seen
        .ended
        .iter()
        .map(|exchange| exchange.request_body_bytes)
        .collect();
    assert_eq!(
        sizes,
        [Some(12), None, Some(34), Some(56), None, None, Some(0)]
    );
}

#[test]
fn an_abort_ends_every_exchange_under_way() {
    let reasons = [
        (AbortReason::PeerClosed, 0, ErrorType::ConnectionClosed),
        (AbortReason::LocalClosed, 0, ErrorType::ConnectionAborted),
        (AbortReason::Broken, 104, ErrorType::ConnectionReset),
        (AbortReason::Broken, 32, ErrorType::ConnectionReset),
        (AbortReason::Broken, 110, ErrorType::Timeout),
        (AbortReason::Broken, 113, ErrorType::Other),
        (AbortReason::Broken, u32::MAX, ErrorType::Other),
    ];
    for (reason, errno, error) in reasons {
        let mut run = Run::new(8);
        run.feed([
            Piece::whole(0, &get(0)).record(),
            Piece::whole(1, &post(1, "Content-Length: 9\r\n")).record(),
            Piece::whole(2, &post(2, "Content-Length: 9\r\n")).record(),
            answer(response(0, 200)),
            cut(
                reason,
                AbortRecord {
                    first_ns: 3500,
                    status: 206,
                    body_bytes: 17,
                    request_body_bytes: 4,
                    errno,
                    flags: flag::RESPONSE_BEGUN | flag::REQUEST_OPEN | flag::REQUEST_BODY_KNOWN,
                    ..abort(1, 3)
                },
            ),
        ]);
        run.finish();
        let mut begun = answered(1, 206);
        begun.request.method = Method::Post;
        begun.request.content_length = Some(9);
        begun.error = Some(error);
        begun.first_response_ns = Some(3500);
        begun.end_ns = 4000;
        begun.request_body_bytes = Some(9);
        begun.response_body_bytes = Some(17);
        let mut silent = answered(2, 0);
        silent.request.method = Method::Post;
        silent.request.content_length = Some(9);
        silent.status = None;
        silent.error = Some(error);
        silent.first_response_ns = None;
        silent.end_ns = 5000;
        silent.request_body_bytes = Some(4);
        silent.response_body_bytes = Some(0);
        assert_eq!(run.seen.ended, [answered(0, 200), begun, silent]);
        assert_eq!(run.counted(), []);
    }
}

#[test]
fn a_head_that_is_cut_by_the_end_of_the_connection_is_reported_by_its_request_line() {
    let mut run = Run::new(8);
    let piece = Piece {
        flags: 0,
        ..Piece::whole(0, b"GET /r0 HTTP/1.1\r\n")
    };
    let gone = AbortRecord {
        flags: flag::REQUEST_OPEN,
        ..abort(0, 1)
    };
    run.feed([piece.record(), cut(AbortReason::PeerClosed, gone)]);
    run.finish();
    let mut expected = answered(0, 0);
    expected.request.host = None;
    expected.status = None;
    expected.error = Some(ErrorType::ConnectionClosed);
    expected.first_response_ns = None;
    expected.end_ns = 5000;
    expected.request_body_bytes = None;
    expected.response_body_bytes = Some(0);
    assert_eq!(run.seen.ended, [expected]);
}

#[test]
fn what_the_kernel_side_lost_is_dropped() {
    let mut run = Run::new(8);
    run.feed([
        Piece::whole(0, &get(0)).record(),
        Piece::whole(1, &get(1)).record(),
        cut(AbortReason::Lost, abort(0, 3)),
    ]);
    run.finish();
    assert_eq!(run.seen.ended, []);
    assert_eq!(
        run.seen.dropped,
        [(0, DropReason::LostInKernel), (1, DropReason::LostInKernel)]
    );
    // Request 2 was counted by the kernel side and never seen here.
    assert_eq!(
        run.counted(),
        [(DropReason::NoRequest, 1), (DropReason::LostInKernel, 2)]
    );
}

#[test]
fn a_lost_response_is_superseded_by_the_next_and_never_glued() {
    let mut run = Run::new(8);
    run.feed([
        Piece::whole(0, &get(0)).record(),
        Piece::whole(1, &get(1)).record(),
        answer(response(1, 200)),
    ]);
    run.finish();
    assert_eq!(run.seen.ended, [answered(1, 200)]);
    assert_eq!(run.seen.dropped, [(0, DropReason::Superseded)]);
    assert_eq!(run.counted(), [(DropReason::Superseded, 1)]);
}

#[test]
fn a_response_to_a_lost_request_is_dropped() {
    let mut run = Run::new(8);
    run.feed([
        answer(response(0, 200)),
        Piece::whole(2, &get(2)).record(),
        answer(response(1, 200)),
        answer(response(2, 200)),
    ]);
    run.finish();
    assert_eq!(run.seen.ended, [answered(2, 200)]);
    assert_eq!(run.counted(), [(DropReason::NoRequest, 2)]);
}

#[test]
fn a_request_that_comes_twice_or_out_of_order_is_counted_and_not_believed() {
    let mut run = Run::new(8);
    run.feed([
        Piece::whole(1, &get(1)).record(),
        Piece {
            tid: 50,
            ..Piece::whole(1, &post(1, ""))
        }
        .record(),
        Piece::whole(0, &get(0)).record(),
        answer(response(1, 200)),
    ]);
    run.finish();
    assert_eq!(run.seen.ended, [answered(1, 200)]);
    assert_eq!(run.counted(), [(DropReason::OutOfOrder, 2)]);
}

#[test]
fn sockets_do_not_meet() {
    let mut run = Run::new(8);
    run.feed([
        Piece::whole(0, &get(0)).record(),
        Piece {
            socket: 2,
            tid: 50,
            role: Role::Client,
            ..Piece::whole(0, &get(0))
        }
        .record(),
        answer(ResponseRecord {
            header: header(2, 3000),
            ..response(0, 503)
        }),
        answer(response(0, 200)),
    ]);
    run.finish();
    let client = Exchange {
        role: Role::Client,
        socket: 2,
        task: task(50),
        ..answered(0, 503)
    };
    assert_eq!(run.seen.ended, [client, answered(0, 200)]);
    assert_eq!(run.counters.ended_by(Role::Client), 1);
}
