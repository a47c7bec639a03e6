//! Connections that the next agent takes up again.

use hark_common::http2::{Http2Position, flag};
use proptest::prelude::*;

use super::checkpoint::CheckpointError;
use super::wire::*;
use super::*;

/// Where the sockets stand at the end, received and sent.
const SEQUENCES: [u32; 2] = [1000, 2000];

/// A connection with something in both tables, and nothing under way.
fn connection() -> Wire {
    let mut wire = Wire::new(Role::Server);
    wire.get(1);
    wire.response(1, END_STREAM, &[(":status", "418"), ("server", "x")]);
    wire.only();
    wire
}

/// All of it was heard, if the change is none.
fn left(wire: &Wire, change: impl FnOnce(&mut [Http2Position; 2])) -> (Vec<u8>, usize) {
    let mut positions = [0, 1].map(|at| Http2Position {
        sequence: SEQUENCES[at],
        seq: wire.seq[at],
        settled: 1,
    });
    change(&mut positions);
    wire.connections
        .checkpoint(&BOOT, &Positions::from([(7, positions)]))
}

/// What is told first of a direction whose socket stands at `origin`.
fn first(wire: &mut Wire, side: Side, origin: u32, frames: &[u8]) {
    wire.origin = origin;
    wire.flagged(side, flag::RESYNC | flag::ORIGIN, frames);
    wire.origin = 0;
}

/// The second request and its response, all of them by reference to what was sent before.
fn goes_on(wire: &mut Wire, origins: [u32; 2]) -> Exchange {
    let fields = [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "shop.example:8080"),
        (":path", "/orders/17?secret=1"),
        ("user-agent", "test/1"),
    ];
    let block = wire.block(Side::Requests, &fields);
    first(
        wire,
        Side::Requests,
        origins[0],
        &headers(3, END_STREAM, &block),
    );
    let fields = [(":status", "418"), ("server", "x")];
    let block = wire.block(Side::Responses, &fields);
    first(
        wire,
        Side::Responses,
        origins[1],
        &headers(3, END_STREAM, &block),
    );
    wire.only()
}

#[test]
fn nothing_moved_in_between() {
    let wire = connection();
    let (bytes, count) = left(&wire, |_| {});
    assert_eq!(count, 1);
    let mut wire = wire.restarted(&bytes);
    let exchange = goes_on(&mut wire, SEQUENCES);
    assert_eq!(&*exchange.request.path, "/orders/17");
    assert_eq!((exchange.role, exchange.status), (Role::Server, Some(418)));
    assert_eq!(wire.counters.tables_resumed(), 2);
    assert_eq!(wire.counters.tables_unknown_for(TableLoss::Joined), 0);
}

#[test]
fn a_direction_in_which_something_moved_is_not_known() {
    for (origins, path, status) in [
        ([1001, 2000], "", Some(418)),
        ([1000, 2001], "/orders/17", None),
        ([2000, 1000], "", None),
    ] {
        let wire = connection();
        let (bytes, _) = left(&wire, |_| {});
        let mut wire = wire.restarted(&bytes);
        let exchange = goes_on(&mut wire, origins);
        assert_eq!(&*exchange.request.path, path, "{origins:?}");
        assert_eq!(exchange.status, status, "{origins:?}");
    }
}

/// Following began, but not with what was seen first.
#[test]
fn a_direction_without_an_origin_is_not_known() {
    let wire = connection();
    let (bytes, _) = left(&wire, |_| {});
    let mut wire = wire.restarted(&bytes);
    wire.flagged(Side::Requests, flag::RESYNC, &settings(&[]));
    // Too late: what was known is gone.
    let exchange = goes_on(&mut wire, SEQUENCES);
    assert_eq!(&*exchange.request.path, "");
}

#[test]
fn what_was_not_heard_to_its_end_is_not_left() {
    type Change = fn(&mut [Http2Position; 2]);
    let changes: [Change; 4] = [
        |positions| positions[0].seq += 1,
        |positions| positions[1].seq -= 1,
        |positions| positions[0].settled = 0,
        |positions| positions[1].settled = 0,
    ];
    for change in changes {
        assert_eq!(left(&connection(), change).1, 0);
    }
    // Nothing is known of where it stands; one direction was never heard.
    let wire = connection();
    assert_eq!(wire.connections.checkpoint(&BOOT, &Positions::new()).1, 0);
    let mut wire = Wire::silent(Role::Server);
    wire.flagged(Side::Requests, flag::START, &settings(&[]));
    assert_eq!(left(&wire, |_| {}).1, 0);
}

#[test]
fn a_table_with_holes_is_left_with_its_holes() {
    let mut wire = Wire::joined(Role::Server);
    for side in [Side::Requests, Side::Responses] {
        wire.block(side, &[("x-old", "1")]);
    }
    wire.get(1);
    wire.response(1, END_STREAM, &[(":status", "418"), ("server", "x")]);
    wire.only();
    let (bytes, _) = left(&wire, |_| {});
    let mut wire = wire.restarted(&bytes);
    let exchange = goes_on(&mut wire, SEQUENCES);
    assert_eq!(&*exchange.request.path, "/orders/17");
    // An entry from before all that was heard.
    let block = wire.block(Side::Requests, &[(":method", "GET"), ("x-old", "1")]);
    wire.moved(Side::Requests, &headers(5, END_STREAM, &block));
    assert_eq!(wire.counters.tables_unknown_for(TableLoss::BlockInvalid), 0);
}

#[test]
fn another_boot_and_another_version() {
    let (bytes, _) = left(&connection(), |_| {});
    let read = |bytes: &[u8]| Checkpoint::read(bytes, &BOOT).map(|checkpoint| checkpoint.len());
    assert_eq!(read(&bytes), Ok(1));
    let other = Checkpoint::read(&bytes, &[8; 16]).map(|_| ());
    assert_eq!(other, Err(CheckpointError::Boot));
    let mut next = bytes.clone();
    next[8] = 2;
    assert_eq!(read(&next), Err(CheckpointError::Version(2)));
    assert_eq!(read(b"something else"), Err(CheckpointError::Magic));
    assert_eq!(read(b"HARKHPCK"), Err(CheckpointError::Content));
}

proptest! {
    /// Whatever is changed in it, or missing at its end, it is refused.
    #[test]
    fn a_damaged_one_is_refused(at in any::<prop::sample::Index>(), change in 1_u8..) {
        let (mut bytes, _) = left(&connection(), |_| {});
        let at = at.index(bytes.len());
        prop_assert!(Checkpoint::read(&bytes[..at], &BOOT).is_err());
        bytes[at] ^= change;
        prop_assert!(Checkpoint::read(&bytes, &BOOT).is_err());
    }
}
