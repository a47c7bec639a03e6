//! What was not heard is unknown or not reported, and counted; never wrong.

use hark_common::http2::flag;

use super::wire::*;
use super::*;

const CALL: &[(&str, &str)] = &[
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/shop.Orders/Get"),
    ("content-type", "application/grpc"),
];

/// Both tables are filled before the agent is there.
fn before(wire: &mut Wire) {
    wire.block(Side::Requests, CALL);
    wire.block(
        Side::Responses,
        &[
            (":status", "201"),
            ("content-type", "application/grpc"),
            ("grpc-status", "0"),
        ],
    );
}

#[test]
fn a_connection_that_is_joined_counts_right_and_names_nothing_wrong() {
    for role in [Role::Server, Role::Client] {
        let mut wire = Wire::joined(role);
        before(&mut wire);
        // The response to a request that came before is of no exchange.
        let late = wire.block(Side::Responses, &[(":status", "200")]);
        wire.flagged(Side::Responses, flag::RESYNC, &headers(1, 0, &late));
        let again = wire.block(Side::Requests, CALL);
        wire.flagged(
            Side::Requests,
            flag::RESYNC,
            &headers(3, END_STREAM, &again),
        );
        wire.response(3, END_STREAM, &[(":status", "200"), ("grpc-status", "0")]);
        let exchange = wire.only();
        assert_eq!(exchange.role, role, "told by the blocks");
        assert_eq!(exchange.request.method, Method::Post, "of the static table");
        assert_eq!(&*exchange.request.path, "", "not known");
        assert_eq!(exchange.status, Some(200));
        assert_eq!(exchange.rpc, None, "nothing says that it is a call");
        for field in [UnknownField::Path, UnknownField::ContentType] {
            assert_eq!(wire.counters.unknown_of(field), 1);
        }
        assert_eq!(wire.counters.tables_unknown_for(TableLoss::Joined), 2);
        assert_eq!(wire.exchanges.dropped_for(DropReason::NoRequest), 1);
        // What is new is known.
        wire.request(
            5,
            END_STREAM,
            &[
                (":method", "POST"),
                (":path", "/shop.Orders/Put"),
                ("grpc-timeout", "1S"),
            ],
        );
        wire.response(5, END_STREAM, &[(":status", "201"), ("grpc-status", "7")]);
        let exchange = wire.only();
        assert_eq!(exchange.rpc_method(), Some("shop.Orders/Put"));
        assert_eq!(
            exchange.rpc.unwrap().status,
            None,
            "its name is by reference"
        );
        assert_eq!(wire.counters.unknown_of(UnknownField::GrpcStatus), 1);
        assert_eq!(exchange.status, None, "by reference");
        assert_eq!(wire.counters.unknown_of(UnknownField::Status), 1);
        wire.end(AbortReason::PeerClosed, 0);
    }
}

#[test]
fn the_streams_under_way_when_a_record_is_lost_are_not_reported() {
    for side in [Side::Requests, Side::Responses] {
        let mut wire = Wire::new(Role::Server);
        wire.get(1);
        wire.get(3);
        wire.lose(side);
        wire.moved(side, &settings(&[]));
        wire.get(5);
        wire.response(5, END_STREAM, &[(":status", "200")]);
        wire.response(1, END_STREAM, &[(":status", "200")]);
        let exchange = wire.only();
        assert_eq!(exchange.index, 5);
        assert_eq!(wire.dropped, [DropReason::RecordLost; 2]);
        assert_eq!(wire.counters.tables_unknown_for(TableLoss::RecordLost), 1);
        let path = if side == Side::Requests {
            ""
        } else {
            "/orders/17"
        };
        assert_eq!(&*exchange.request.path, path);
        assert_eq!(
            wire.exchanges.dropped_for(DropReason::NoRequest),
            1,
            "stream 1"
        );
        wire.end(AbortReason::PeerClosed, 0);
    }
}

/// The record with the end of a stream is lost, and none comes after it.
#[test]
fn a_loss_at_the_end_is_noticed_when_the_connection_ends() {
    let mut wire = Wire::new(Role::Server);
    wire.get(1);
    wire.lose(Side::Responses);
    wire.end(AbortReason::PeerClosed, 0);
    assert!(wire.ended.is_empty());
    assert_eq!(wire.dropped, [DropReason::RecordLost]);
}

/// After a loss, reading is taken up behind what belongs to the frame that was under way.
#[test]
fn reading_is_taken_up_at_the_next_frame() {
    let mut wire = Wire::new(Role::Server);
    let long = wire.block(
        Side::Requests,
        &[(":method", "GET"), ("cookie", &"c".repeat(9000))],
    );
    let lost = headers(1, END_STREAM, &long);
    wire.moved(Side::Requests, &lost[..4096]);
    wire.lose(Side::Requests);
    let block = wire.block(Side::Requests, &[(":method", "PUT"), (":path", "/next")]);
    let mut rest = lost[8192..].to_vec();
    let continued = rest.len();
    rest.extend(headers(3, END_STREAM, &block));
    wire.told_at(Side::Requests, 0, continued, &rest);
    wire.response(3, END_STREAM, &[(":status", "200")]);
    let exchange = wire.only();
    assert_eq!(exchange.request.method, Method::Put);
    assert_eq!(&*exchange.request.path, "/next");
}

#[test]
fn what_the_kernel_side_lost_is_not_reported() {
    let mut wire = Wire::new(Role::Server);
    wire.get(1);
    wire.flagged(Side::Requests, flag::LOST, &[]);
    assert_eq!(wire.dropped, [DropReason::LostInKernel]);
    let block = wire.block(
        Side::Requests,
        &[(":method", "GET"), (":path", "/orders/17?secret=1")],
    );
    wire.flagged(
        Side::Requests,
        flag::RESYNC,
        &headers(3, END_STREAM, &block),
    );
    wire.response(3, END_STREAM, &[(":status", "200")]);
    let exchange = wire.only();
    assert_eq!(&*exchange.request.path, "");
    assert_eq!(wire.counters.tables_unknown_for(TableLoss::LostInKernel), 1);
    assert_eq!(wire.counters.tables_unknown_for(TableLoss::Joined), 0);
}

#[test]
fn of_a_block_that_is_cut_the_beginning_is_known() {
    let mut wire = Wire::new(Role::Server);
    wire.get(1);
    let block = wire.block(
        Side::Requests,
        &[
            (":method", "GET"),
            (":path", "/orders/17?secret=1"),
            ("cookie", &"c".repeat(3000)),
        ],
    );
    let frames = headers(3, END_STREAM, &block);
    wire.flagged(Side::Requests, flag::CUT, &frames[..1000]);
    wire.response(3, END_STREAM, &[(":status", "200")]);
    let exchange = wire.only();
    assert_eq!(
        &*exchange.request.path, "/orders/17",
        "by reference, before the cut"
    );
    assert_eq!(exchange.request_body_bytes, Some(0));
    assert_eq!(wire.counters.tables_unknown_for(TableLoss::BlockCut), 1);
    wire.get(5);
    wire.response(5, END_STREAM, &[(":status", "200")]);
    assert_eq!(&*wire.only().request.path, "", "behind the cut nothing is");
    wire.response(1, END_STREAM, &[(":status", "200")]);
    assert_eq!(wire.only().index, 1, "streams live on");
}

#[test]
fn a_block_that_is_not_valid_makes_its_direction_unknown() {
    let mut wire = Wire::new(Role::Server);
    wire.moved(
        Side::Requests,
        &headers(1, END_STREAM, &[0x82, 0xff, 0xff, 0xff]),
    );
    wire.response(1, END_STREAM, &[(":status", "400")]);
    let exchange = wire.only();
    assert_eq!(exchange.request.method, Method::Get);
    assert_eq!(wire.counters.tables_unknown_for(TableLoss::BlockInvalid), 1);
}

#[test]
fn the_quietest_connection_goes_and_comes_back_as_one_that_is_joined() {
    let mut wire = Wire::new(Role::Server);
    wire.get(1);
    for socket in 100..104 {
        let record = Http2Record {
            header: hark_common::socket::RecordHeader {
                socket,
                ..Default::default()
            },
            flags: flag::START,
            ..Http2Record::default()
        };
        let part = Part {
            role: None,
            direction: Http2Direction::Sent,
            local: Endpoint::Unix,
            peer: Endpoint::Unix,
            record: &record,
            frames: &[],
        };
        wire.connections.part(&part, &mut |event| {
            assert!(matches!(
                event,
                Event::Dropped {
                    reason: DropReason::TableFull,
                    ..
                }
            ));
            wire.active -= 1;
        });
    }
    assert_eq!((wire.active, wire.connections.len()), (0, 4));
    wire.get(3);
    wire.response(3, END_STREAM, &[(":status", "200")]);
    assert_eq!(&*wire.only().request.path, "");
    wire.connections
        .finish(&mut |_| panic!("nothing is under way"));
    assert_eq!(wire.connections.weight(), 0);
}

proptest::proptest! {
    /// Records come in another order than they were made in, or not at all. A path is the right one or not
    /// known, and who reports more than was asked, or an exchange twice, is wrong as well.
    #[test]
    fn records_out_of_order_misname_nothing(
        requests in proptest::collection::vec((0..5_u32, proptest::bool::weighted(0.1)), 1..40),
        swaps in proptest::collection::vec((0..40_usize, 1..4_usize), 0..6),
    ) {
        let mut wire = Wire::new(Role::Server);
        let base = wire.seq[Side::Requests as usize];
        let path = |name: u32| format!("/orders/{name}/items");
        let mut records: Vec<(u32, u32, Option<Vec<u8>>)> = Vec::new();
        for (number, (name, lost)) in (0_u32..).zip(&requests) {
            let path = path(*name);
            let fields = [(":method", "GET"), (":scheme", "http"), (":path", &*path)];
            let block = wire.block(Side::Requests, &fields);
            let id = 2 * number + 1;
            let frames = headers(id, END_STREAM, &block);
            records.push((base + number, id, Some(frames).filter(|_| !lost)));
        }
        let mut moved = false;
        for (at, by) in swaps {
            let (at, with) = (at % records.len(), (at + by) % records.len());
            records.swap(at, with);
            moved |= at != with;
        }
        for (seq, id, frames) in records {
            if let Some(frames) = frames {
                wire.seq[Side::Requests as usize] = seq;
                wire.moved(Side::Requests, &frames);
            }
            wire.response(id, END_STREAM, &[(":status", "204")]);
        }
        let mut seen = std::collections::BTreeSet::new();
        for exchange in &wire.ended {
            let (name, _) = requests[exchange.index as usize / 2];
            let right = path(name);
            proptest::prop_assert!(["", &*right].contains(&&*exchange.request.path));
            proptest::prop_assert!(seen.insert(exchange.index));
        }
        let whole = !moved && requests.iter().all(|(_, lost)| !lost);
        if whole {
            proptest::prop_assert_eq!(seen.len(), requests.len());
            proptest::prop_assert_eq!(wire.counters.tables_unknown_for(TableLoss::RecordLost), 0);
        }
    }
}
