//! gRPC.

use hark_common::http2::messages;

use super::wire::*;
use super::*;

fn call(wire: &mut Wire, stream: u32, more: &[(&str, &str)]) {
    let mut fields = vec![
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/shop.Orders/Get"),
        (":authority", "orders:50051"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
    ];
    fields.extend(more);
    wire.request(stream, 0, &fields);
    wire.moved(Side::Requests, &data(stream, 12, END_STREAM));
}

const HEAD: &[(&str, &str)] = &[(":status", "200"), ("content-type", "application/grpc")];

fn answered(trailers: &[(&str, &str)]) -> Exchange {
    let mut wire = Wire::new(Role::Server);
    call(&mut wire, 1, &[]);
    wire.response(1, 0, HEAD);
    wire.moved(Side::Responses, &data(1, 10, 0));
    wire.response(1, END_STREAM, trailers);
    wire.only()
}

fn status(exchange: &Exchange) -> Option<Code> {
    exchange.rpc.expect("it is a call").status
}

#[test]
fn the_status_is_in_the_trailers() {
    let ok = answered(&[("grpc-status", "0")]);
    assert_eq!(status(&ok), Some(Code::Ok));
    assert_eq!(ok.rpc_method(), Some("shop.Orders/Get"));
    assert_eq!((ok.error, ok.error_type()), (None, None));
    assert_eq!(ok.request_body_bytes, Some(12));
    assert_eq!(
        status(&answered(&[("grpc-status", "5")])),
        Some(Code::NotFound)
    );
    assert_eq!(
        status(&answered(&[("grpc-status", "x")])),
        Some(Code::Unknown)
    );
    let none = answered(&[("other", "1")]);
    assert_eq!(status(&none), Some(Code::Unknown), "there is none");
    assert_eq!(none.error_type().as_deref(), Some("UNKNOWN"));
}

/// The thread that wrote the request was kept from returning until the answer had been read.
#[test]
fn an_answer_may_be_heard_before_its_request() {
    let mut wire = Wire::new(Role::Client);
    call(&mut wire, 1, &[]);
    wire.response(1, END_STREAM, &[("grpc-status", "0")]);
    // Of the second, all; of the third, a part, and the end afterwards.
    wire.response(3, END_STREAM, &[(":status", "200"), ("grpc-status", "16")]);
    wire.response(5, 0, HEAD);
    wire.moved(Side::Responses, &data(5, 10, 0));
    call(&mut wire, 3, &[]);
    call(&mut wire, 5, &[]);
    wire.response(5, END_STREAM, &[("grpc-status", "5")]);
    let ended = std::mem::take(&mut wire.ended);
    let seen: Vec<_> = ended.iter().map(|of| (of.index, status(of))).collect();
    assert_eq!(
        seen,
        [
            (1, Some(Code::Ok)),
            (3, Some(Code::Unauthenticated)),
            (5, Some(Code::NotFound))
        ]
    );
    assert_eq!(ended[2].response_body_bytes, Some(10));
}

/// What never gets a request is no exchange, and is not kept.
#[test]
fn answers_without_requests_wait_in_vain() {
    let mut wire = Wire::new(Role::Client);
    call(&mut wire, 1, &[]);
    wire.response(1, END_STREAM, &[("grpc-status", "0")]);
    for stream in (3..3000).step_by(2) {
        wire.response(stream, END_STREAM, &[("grpc-status", "5")]);
    }
    call(&mut wire, 3001, &[]);
    wire.response(3001, END_STREAM, &[("grpc-status", "0")]);
    let ended = std::mem::take(&mut wire.ended);
    let seen: Vec<_> = ended.iter().map(|of| (of.index, status(of))).collect();
    assert_eq!(seen, [(1, Some(Code::Ok)), (3001, Some(Code::Ok))]);
}

#[test]
fn a_response_may_be_trailers_only() {
    let mut wire = Wire::new(Role::Client);
    call(&mut wire, 1, &[]);
    wire.response(
        1,
        END_STREAM,
        &[
            (":status", "200"),
            ("content-type", "application/grpc"),
            ("grpc-status", "12"),
        ],
    );
    let exchange = wire.only();
    assert_eq!(status(&exchange), Some(Code::Unimplemented));
    assert_eq!(
        exchange.rpc_method(),
        Some("_OTHER"),
        "no method of this server"
    );
    assert_eq!(exchange.error_type().as_deref(), Some("UNIMPLEMENTED"));
}

#[test]
fn without_a_status_the_one_of_http_counts() {
    for (http, code) in [
        ("200", Code::Unknown),
        ("401", Code::Unauthenticated),
        ("404", Code::Unimplemented),
        ("418", Code::Unknown),
        ("503", Code::Unavailable),
    ] {
        let mut wire = Wire::new(Role::Client);
        call(&mut wire, 1, &[]);
        wire.response(1, 0, &[(":status", http), ("content-type", "text/html")]);
        wire.moved(Side::Responses, &data(1, 100, END_STREAM));
        let exchange = wire.only();
        assert_eq!(status(&exchange), Some(code), "{http}");
        assert_eq!(exchange.error_type().as_deref(), Some(code.name()));
    }
}

#[test]
fn what_is_an_error_depends_on_the_end() {
    for (code, server, client) in [
        ("0", None, None),
        ("5", None, Some("NOT_FOUND")),
        ("13", Some("INTERNAL"), Some("INTERNAL")),
        ("1", None, Some("CANCELLED")),
    ] {
        let mut exchange = answered(&[("grpc-status", code)]);
        assert_eq!(exchange.error_type().as_deref(), server, "{code}");
        exchange.role = Role::Client;
        assert_eq!(exchange.error_type().as_deref(), client, "{code}");
    }
}

fn given_up(role: Role, after_ns: u64, code: u32, timeout: &str) -> Exchange {
    let mut wire = Wire::new(role);
    call(&mut wire, 1, &[("grpc-timeout", timeout)]);
    wire.now += after_ns;
    wire.moved(Side::Requests, &reset(1, code));
    wire.only()
}

/// The wire has one code for both; the time tells which.
#[test]
fn a_call_is_cancelled_or_its_deadline_has_passed() {
    let early = given_up(Role::Client, 500_000_000, 8, "1S");
    assert_eq!(status(&early), Some(Code::Cancelled));
    assert_eq!(early.error_type().as_deref(), Some("stream_aborted:CANCEL"));
    let late = given_up(Role::Client, 1_000_000_000, 8, "1S");
    assert_eq!(status(&late), Some(Code::DeadlineExceeded));
    let served = given_up(Role::Server, 500_000_000, 8, "1S");
    assert_eq!(status(&served), Some(Code::Cancelled));
    assert_eq!(served.error_type(), None, "no error of the server");
    let other = given_up(Role::Server, 2_000_000_000, 11, "1S");
    assert_eq!(status(&other), Some(Code::ResourceExhausted));
}

/// Nor does it tell where the deadline was sent by reference to what was not heard.
#[test]
fn a_call_whose_deadline_was_not_heard_has_no_status() {
    let mut wire = Wire::joined(Role::Server);
    wire.block(Side::Requests, &[("grpc-timeout", "1S")]);
    let fields = [REQUEST, &[("grpc-timeout", "1S")]].concat();
    wire.request(3, 0, &fields);
    wire.moved(Side::Requests, &reset(3, 8));
    let exchange = wire.only();
    assert_eq!(exchange.rpc_method(), Some("shop.Orders/Get"));
    assert_eq!(status(&exchange), None);
}

#[test]
fn a_lost_connection_has_a_status_for_each_end() {
    for (role, code) in [
        (Role::Server, Code::Cancelled),
        (Role::Client, Code::Unavailable),
    ] {
        let mut wire = Wire::new(role);
        call(&mut wire, 1, &[]);
        wire.end(AbortReason::Broken, 104);
        let exchange = wire.only();
        assert_eq!(status(&exchange), Some(code));
        assert_eq!(exchange.error, Some(ErrorType::ConnectionReset));
    }
}

#[test]
fn grpc_web_is_http() {
    let mut wire = Wire::new(Role::Server);
    wire.request(
        1,
        END_STREAM,
        &[
            (":method", "POST"),
            (":path", "/shop.Orders/Get"),
            ("content-type", "application/grpc-web+proto"),
            ("grpc-timeout", "1S"),
            ("grpc-accept-encoding", "gzip"),
        ],
    );
    wire.response(1, END_STREAM, &[(":status", "200")]);
    let exchange = wire.only();
    assert_eq!((exchange.rpc, exchange.error), (None, None));
}

/// As [`answered`], with what the kernel side says of the messages in both bodies.
fn counted(role: Role, request: u32, response: u32) -> Wire {
    let mut wire = Wire::new(role);
    wire.request(1, 0, REQUEST);
    wire.moved(Side::Requests, &carrying(1, 12, END_STREAM, request));
    wire.response(1, 0, HEAD);
    wire.moved(Side::Responses, &carrying(1, 10, 0, 2));
    wire.moved(Side::Responses, &carrying(1, 10, 0, response));
    wire.response(1, END_STREAM, &[("grpc-status", "0")]);
    wire
}

const REQUEST: &[(&str, &str)] = &[
    (":method", "POST"),
    (":path", "/shop.Orders/Get"),
    ("content-type", "application/grpc"),
];

#[test]
fn messages_are_counted_as_the_process_saw_them() {
    let messages = |wire: &mut Wire| {
        let rpc = wire.only().rpc.expect("it is a call");
        (rpc.sent, rpc.received)
    };
    let mut wire = counted(Role::Server, 1, 3);
    assert_eq!(messages(&mut wire), (Some(5), Some(1)));
    assert_eq!(wire.counters.unknown_of(UnknownField::Messages), 0);
    let mut wire = counted(Role::Client, 1, 3 | messages::WITHIN);
    assert_eq!(messages(&mut wire), (Some(1), Some(5)));
    let mut wire = counted(Role::Client, messages::UNKNOWN, 3);
    assert_eq!(messages(&mut wire), (None, Some(5)));
    assert_eq!(wire.counters.unknown_of(UnknownField::Messages), 1);
}

/// A connection that is joined when the fields that tell have become entries of the tables. Returns
/// what the second call on it is taken for.
fn joined_call(request: u32, response: Option<u32>, trailers: bool) -> Exchange {
    let mut wire = Wire::joined(Role::Server);
    // Not heard: it fills the tables.
    for side in [Side::Requests, Side::Responses] {
        wire.block(side, REQUEST);
        wire.block(side, HEAD);
        wire.block(side, &[("grpc-status", "0")]);
    }
    wire.request(3, 0, REQUEST);
    wire.moved(Side::Requests, &carrying(3, 12, END_STREAM, request));
    wire.response(3, 0, HEAD);
    let end = if trailers { 0 } else { END_STREAM };
    if let Some(response) = response {
        wire.moved(Side::Responses, &carrying(3, 10, end, response));
    }
    if trailers {
        wire.response(3, END_STREAM, &[("grpc-status", "0")]);
    }
    wire.only()
}

#[test]
fn a_call_is_known_by_its_shape() {
    for response in [None, Some(0), Some(1), Some(7)] {
        let exchange = joined_call(1, response, true);
        assert_eq!(exchange.rpc_method(), Some("unknown"), "{response:?}");
        assert_eq!(status(&exchange), None, "it was not heard");
    }
    for (request, response, trailers) in [
        (1, Some(1), false),
        (0, Some(1), true),
        (messages::UNKNOWN, Some(1), true),
        (1 | messages::WITHIN, Some(1), true),
        (1, Some(messages::UNKNOWN), true),
        (1, Some(1 | messages::WITHIN), true),
    ] {
        let exchange = joined_call(request, response, trailers);
        assert_eq!(exchange.rpc, None, "{request} {response:?} {trailers}");
    }
}
