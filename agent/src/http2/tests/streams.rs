//! How streams begin and end.

use super::wire::*;
use super::*;
use hark_common::http2::{OTHER_DIRECTION, flag};

const OK: &[(&str, &str)] = &[(":status", "200"), ("content-type", "text/plain")];

#[test]
fn a_request_and_its_response_are_an_exchange_on_both_sides() {
    for role in [Role::Server, Role::Client] {
        let mut wire = Wire::new(role);
        let start = wire.now;
        wire.get(1);
        wire.response(1, 0, OK);
        wire.moved(Side::Responses, &data(1, 600, END_STREAM));
        let exchange = wire.only();
        assert_eq!(exchange.role, role);
        assert_eq!((exchange.socket, exchange.index), (7, 1));
        let request = &exchange.request;
        assert_eq!(request.method, Method::Get);
        assert_eq!(&*request.path, "/orders/17");
        assert_eq!(request.protocol, Protocol::Http2);
        assert_eq!(request.host.as_deref(), Some("shop.example"));
        assert_eq!(request.port, Some(8080));
        assert_eq!(request.scheme.as_deref(), Some("http"));
        assert_eq!(request.user_agent.as_deref(), Some("test/1"));
        assert_eq!(exchange.status, Some(200));
        assert_eq!((exchange.error, exchange.rpc), (None, None));
        assert_eq!(exchange.start_ns, start);
        assert_eq!(exchange.first_response_ns, Some(start + 1000));
        assert_eq!(exchange.end_ns, start + 2000);
        assert_eq!(exchange.request_body_bytes, Some(0));
        assert_eq!(exchange.response_body_bytes, Some(600));
        wire.end(AbortReason::PeerClosed, 0);
        assert!(wire.ended.is_empty() && wire.dropped.is_empty());
    }
}

#[test]
fn any_number_of_streams_are_under_way() {
    let mut wire = Wire::new(Role::Server);
    for stream in (1..200).step_by(2) {
        wire.get(stream);
    }
    assert_eq!(wire.active, 100);
    for stream in (1..200).rev().step_by(2) {
        let status = if stream % 3 == 0 { "404" } else { "201" };
        wire.response(stream, END_STREAM, &[(":status", status)]);
    }
    assert_eq!(wire.active, 0);
    for exchange in &wire.ended {
        let status = if exchange.index % 3 == 0 { 404 } else { 201 };
        assert_eq!(exchange.status, Some(status));
    }
    assert_eq!(wire.ended.len(), 100);
}

#[test]
fn informational_responses_are_not_the_response() {
    let mut wire = Wire::new(Role::Client);
    wire.get(1);
    wire.response(1, 0, &[(":status", "100")]);
    wire.response(1, 0, &[(":status", "103"), ("link", "</a>")]);
    assert!(wire.ended.is_empty());
    wire.response(1, END_STREAM, &[(":status", "204")]);
    let exchange = wire.only();
    assert_eq!(exchange.status, Some(204));
    assert_eq!(exchange.first_response_ns, Some(exchange.end_ns));
}

#[test]
fn bodies_and_trailers_in_both_directions() {
    let mut wire = Wire::new(Role::Server);
    wire.request(
        1,
        0,
        &[(":method", "PUT"), (":scheme", "http"), (":path", "/a")],
    );
    wire.moved(Side::Requests, &data(1, 1000, 0));
    wire.response(1, 0, OK);
    wire.moved(Side::Responses, &data(1, 70_000, 0));
    wire.moved(Side::Requests, &data(1, 24, 0));
    wire.request(1, END_STREAM, &[("checksum", "1")]);
    wire.moved(Side::Responses, &data(1, 5, 0));
    wire.response(1, END_STREAM, &[("checksum", "2")]);
    let exchange = wire.only();
    assert_eq!(exchange.status, Some(200));
    assert_eq!(exchange.request_body_bytes, Some(1024));
    assert_eq!(exchange.response_body_bytes, Some(70_005));
}

/// The response may end before the request does; what comes of the request after that is of no
/// exchange.
#[test]
fn an_early_response_ends_the_exchange() {
    let mut wire = Wire::new(Role::Server);
    wire.request(
        1,
        0,
        &[(":method", "POST"), (":scheme", "http"), (":path", "/a")],
    );
    wire.response(1, END_STREAM, &[(":status", "413")]);
    wire.moved(Side::Responses, &reset(1, 0));
    wire.moved(Side::Requests, &data(1, 100, END_STREAM));
    let exchange = wire.only();
    assert_eq!((exchange.status, exchange.error), (Some(413), None));
    assert_eq!(exchange.request_body_bytes, None, "it had not ended");
}

#[test]
fn a_reset_says_who_and_why() {
    for (role, side, error) in [
        (
            Role::Server,
            Side::Requests,
            ErrorType::StreamReset(ErrorCode::Cancel),
        ),
        (
            Role::Server,
            Side::Responses,
            ErrorType::StreamAborted(ErrorCode::Cancel),
        ),
        (
            Role::Client,
            Side::Requests,
            ErrorType::StreamAborted(ErrorCode::Cancel),
        ),
        (
            Role::Client,
            Side::Responses,
            ErrorType::StreamReset(ErrorCode::Cancel),
        ),
    ] {
        let mut wire = Wire::new(role);
        wire.get(1);
        wire.moved(side, &reset(1, 8));
        // In flight when the reset was sent.
        wire.response(1, END_STREAM, OK);
        let exchange = wire.only();
        assert_eq!(exchange.error, Some(error));
        assert_eq!(exchange.status, None);
        assert_eq!(wire.exchanges.dropped_for(DropReason::NoRequest), 0);
    }
    assert_eq!(
        ErrorType::StreamReset(ErrorCode::from_number(7)).as_str(),
        "stream_reset:REFUSED_STREAM"
    );
    assert_eq!(
        ErrorType::StreamAborted(ErrorCode::from_number(99)).as_str(),
        "stream_aborted:_OTHER"
    );
}

#[test]
fn streams_that_the_server_will_not_look_at_are_unprocessed() {
    for role in [Role::Server, Role::Client] {
        let mut wire = Wire::new(role);
        wire.get(1);
        wire.get(3);
        wire.moved(Side::Responses, &go_away(0x7fff_ffff));
        assert!(wire.ended.is_empty());
        wire.moved(Side::Responses, &go_away(1));
        assert_eq!(wire.only().error, Some(ErrorType::StreamUnprocessed));
        wire.get(5);
        assert_eq!(wire.only().error, Some(ErrorType::StreamUnprocessed));
        wire.response(1, END_STREAM, OK);
        assert_eq!(wire.only().error, None);
        // A client's GOAWAY is about what the server pushes.
        wire.get(7);
        assert_eq!(wire.only().index, 7);
        wire.moved(Side::Requests, &go_away(0));
        wire.end(AbortReason::PeerClosed, 0);
    }
}

#[test]
fn the_end_of_the_connection_ends_its_streams() {
    for (reason, errno, error) in [
        (AbortReason::PeerClosed, 0, ErrorType::ConnectionClosed),
        (AbortReason::LocalClosed, 0, ErrorType::ConnectionAborted),
        (AbortReason::Broken, 104, ErrorType::ConnectionReset),
        (AbortReason::Broken, 110, ErrorType::Timeout),
    ] {
        let mut wire = Wire::new(Role::Server);
        wire.get(1);
        wire.get(3);
        wire.response(3, 0, OK);
        wire.end(reason, errno);
        wire.ended.sort_by_key(|exchange| exchange.index);
        let [silent, begun] = &wire.ended[..] else {
            panic!("{:?}", wire.ended)
        };
        assert_eq!((silent.error, silent.status), (Some(error), None));
        assert_eq!(silent.end_ns, wire.now);
        assert_eq!((begun.error, begun.status), (Some(error), Some(200)));
        assert_eq!(begun.end_ns, wire.now - 500, "the last byte");
    }
}

/// What the server pushes is nobody's request; its blocks still change the table.
#[test]
fn pushes_are_left_out_and_the_table_stays_in_step() {
    let mut wire = Wire::new(Role::Client);
    wire.get(1);
    let mut promise = 2_u32.to_be_bytes().to_vec();
    promise.extend(wire.block(
        Side::Responses,
        &[(":method", "GET"), (":path", "/style.css"), ("x", "y")],
    ));
    let promise = frame(5, END_HEADERS, 1, promise.len(), &promise);
    wire.moved(Side::Responses, &promise);
    wire.response(2, 0, &[(":status", "203"), ("x", "y")]);
    wire.moved(Side::Responses, &data(2, 10, END_STREAM));
    wire.response(1, END_STREAM, &[(":status", "203")]);
    let exchange = wire.only();
    assert_eq!((exchange.index, exchange.status), (1, Some(203)));
    assert_eq!(wire.exchanges.dropped_for(DropReason::NoRequest), 0);
}

#[test]
fn padding_and_priority_are_not_in_the_block() {
    let mut wire = Wire::new(Role::Server);
    let block = wire.block(Side::Requests, &[(":method", "GET"), (":path", "/p")]);
    let mut payload = vec![3, 0, 0, 0, 0, 16];
    payload.extend(&block);
    payload.extend([0; 3]);
    wire.moved(
        Side::Requests,
        &frame(
            1,
            END_HEADERS | END_STREAM | 0x28,
            1,
            payload.len(),
            &payload,
        ),
    );
    wire.response(1, END_STREAM, OK);
    assert_eq!(&*wire.only().request.path, "/p");
}

#[test]
fn a_block_may_go_on_in_other_frames_and_types_nobody_knows_are_nothing() {
    let mut wire = Wire::new(Role::Server);
    let block = wire.block(
        Side::Requests,
        &[
            (":method", "GET"),
            (":path", "/long"),
            ("cookie", &"c".repeat(20_000)),
        ],
    );
    let (first, rest) = block.split_at(5);
    let (second, third) = rest.split_at(16_000);
    let mut frames = frame(0xfe, 0xff, 9, 3, b"abc");
    frames.extend(frame(1, END_STREAM, 1, first.len(), first));
    frames.extend(frame(9, 0, 1, second.len(), second));
    frames.extend(frame(9, END_HEADERS, 1, third.len(), third));
    let start = wire.now;
    for piece in frames.chunks(4096) {
        wire.moved(Side::Requests, piece);
    }
    wire.response(1, END_STREAM, OK);
    let exchange = wire.only();
    assert_eq!(&*exchange.request.path, "/long");
    assert_eq!(exchange.start_ns, start, "the first byte");
    assert_eq!(
        exchange.request_body_bytes,
        Some(0),
        "END_STREAM of HEADERS"
    );
}

#[test]
fn the_last_stream_that_is_allowed_is_counted() {
    let mut wire = Wire::new(Role::Client);
    wire.moved(Side::Responses, &settings(&[(3, 2)]));
    wire.get(1);
    wire.get(3);
    wire.response(1, END_STREAM, OK);
    wire.get(5);
    assert_eq!(wire.at_limit, 2);
    // A server that speaks first, before it is certain that it is one.
    let mut wire = Wire::joined(Role::Server);
    wire.flagged(Side::Responses, flag::RESYNC, &settings(&[(3, 1)]));
    wire.get(1);
    assert_eq!(wire.at_limit, 1);
}

#[test]
fn a_request_without_a_method_is_none() {
    let mut wire = Wire::new(Role::Server);
    wire.request(1, END_STREAM, &[(":path", "/")]);
    wire.response(1, END_STREAM, &[(":status", "400")]);
    assert!(wire.ended.is_empty() && wire.active == 0);
    assert_eq!(wire.exchanges.dropped_for(DropReason::HeadMalformed), 1);
    assert_eq!(wire.exchanges.dropped_for(DropReason::NoRequest), 0);
}

/// The request came by HTTP/1, which has reported it.
#[test]
fn the_response_to_an_upgraded_request_is_not_missed() {
    let mut wire = Wire::new(Role::Server);
    wire.response(1, END_STREAM, OK);
    assert_eq!(wire.exchanges.dropped_for(DropReason::NoRequest), 0);
    wire.get(3);
    wire.response(3, END_STREAM, OK);
    assert_eq!(wire.only().index, 3);
}

/// Either end resets: what both have sent until then is known, if the kernel side could tell it.
#[test]
fn bodies_of_a_stream_that_is_reset() {
    for role in [Role::Server, Role::Client] {
        for resets in [Side::Requests, Side::Responses] {
            for told in [true, false] {
                let mut wire = Wire::new(role);
                wire.request(1, 0, &[(":method", "POST"), (":path", "/a")]);
                wire.response(1, 0, OK);
                // Its own, and the other's.
                let (own, other) = (data(1, 10, 0), data(1, 20, OTHER_DIRECTION));
                let frames = [own, if told { other } else { Vec::new() }, reset(1, 8)];
                wire.moved(resets, &frames.concat());
                let exchange = wire.only();
                let other = told.then_some(20);
                let want = match resets {
                    Side::Requests => (Some(10), other),
                    Side::Responses => (other, Some(10)),
                };
                let bodies = (exchange.request_body_bytes, exchange.response_body_bytes);
                assert_eq!(bodies, want, "{role:?} {resets:?}");
                let unknown = wire.counters.unknown_of(UnknownField::ResponseBody);
                assert_eq!(unknown, u64::from(want.1.is_none()));
            }
        }
    }
}

/// With its connection, a response is lost together with the knowledge of its size.
#[test]
fn the_body_of_a_response_that_is_cut_off_is_unknown() {
    let mut wire = Wire::new(Role::Client);
    wire.get(1);
    wire.response(1, 0, OK);
    wire.moved(Side::Responses, &data(1, 10, 0));
    wire.end(AbortReason::PeerClosed, 0);
    let exchange = wire.only();
    assert_eq!(exchange.status, Some(200));
    assert_eq!(exchange.response_body_bytes, None);
    assert_eq!(wire.counters.unknown_of(UnknownField::ResponseBody), 1);
}

/// The request of HTTP/1 with which an upgrade begins.
fn upgrade(role: Role) -> Exchange {
    let mut exchange = crate::red::testing::exchange(role);
    exchange.socket = 7;
    exchange.status = Some(101);
    exchange.request.wants_http2 = true;
    exchange.response_body_bytes = Some(0);
    exchange
}

fn upgraded(wire: &mut Wire, exchange: Exchange) {
    assert!(exchange.is_upgraded());
    wire.active += 1;
    let (active, ended, dropped) = (&mut wire.active, &mut wire.ended, &mut wire.dropped);
    wire.connections
        .upgrade(exchange, &mut |event| take(event, active, ended, dropped));
}

#[test]
fn an_upgraded_request_is_answered_on_stream_1() {
    for role in [Role::Server, Role::Client] {
        let mut wire = Wire::silent(role);
        wire.now = 2_000_000_000;
        upgraded(&mut wire, upgrade(role));
        // The server speaks first; only the client's preface makes it certain that this is HTTP/2.
        wire.flagged(Side::Responses, flag::RESYNC, &settings(&[]));
        let responded = wire.now;
        let head = [(":status", "404"), ("x-first", "kept")];
        wire.response(1, 0, &head);
        wire.flagged(Side::Requests, flag::START, &settings(&[]));
        let ended = wire.now;
        wire.flagged(Side::Responses, flag::START, &data(1, 10, END_STREAM));
        let want = Exchange {
            status: Some(404),
            first_response_ns: Some(responded),
            end_ns: ended,
            response_body_bytes: Some(10),
            ..upgrade(role)
        };
        assert_eq!(wire.only(), want);
        wire.get(3);
        wire.response(3, END_STREAM, &head);
        let exchange = wire.only();
        assert_eq!((exchange.index, exchange.status), (3, Some(404)));
        assert_eq!(wire.exchanges.dropped_for(DropReason::NoRequest), 0);
        for loss in [TableLoss::Joined, TableLoss::BlockInvalid] {
            assert_eq!(wire.counters.tables_unknown_for(loss), 0);
        }
    }
}

#[test]
fn an_upgrade_without_http2_is_reported_as_it_is() {
    let mut wire = Wire::silent(Role::Server);
    let exchange = upgrade(Role::Server);
    upgraded(&mut wire, exchange.clone());
    let tick = |wire: &mut Wire, after: u64| {
        let (active, ended, dropped) = (&mut wire.active, &mut wire.ended, &mut wire.dropped);
        let now = exchange.end_ns + after;
        wire.connections
            .tick(now, &mut |event| take(event, active, ended, dropped));
    };
    tick(&mut wire, 9_000_000_000);
    assert!(wire.ended.is_empty());
    tick(&mut wire, 11_000_000_000);
    assert_eq!(wire.only(), exchange);
    // HTTP/2 has begun, and a record is missing.
    upgraded(&mut wire, exchange.clone());
    wire.flagged(Side::Responses, flag::START, &settings(&[]));
    wire.lose(Side::Responses);
    wire.moved(Side::Responses, &data(1, 10, END_STREAM));
    assert_eq!(wire.only(), exchange);
    assert!(wire.dropped.is_empty());
    // As many as there is room for.
    for socket in 100..100 + 2000 {
        let exchange = Exchange {
            socket,
            ..exchange.clone()
        };
        upgraded(&mut wire, exchange);
    }
    assert_eq!(wire.ended.len(), 2000 - 1024);
}
