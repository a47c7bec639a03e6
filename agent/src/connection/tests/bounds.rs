//! What happens at the limits.

use super::super::{PARTIAL_HEAD_BYTES, PIPELINE_LIMIT};
use super::*;

const HEAD: &[u8] = b"GET / HTTP/1.0\r\n\r\n";

fn on(socket: u64, tid: u32) -> Piece<'static> {
    Piece {
        socket,
        tid,
        ..Piece::whole(0, HEAD)
    }
}

#[test]
fn the_connection_that_was_quiet_longest_goes() {
    let mut run = Run::new(2);
    run.feed([
        on(1, 1).record(),
        on(2, 2).record(),
        // Socket 1 speaks again, so that socket 2 is the quiet one.
        Piece {
            index: 1,
            ..on(1, 11)
        }
        .record(),
        on(3, 3).record(),
    ]);
    assert_eq!(run.seen.dropped, [(2, DropReason::TableFull)]);
    assert_eq!(run.connections.len(), 2);
    run.feed([answer(response(0, 200)), answer(response(1, 200))]);
    assert_eq!(
        run.seen
            .ended
            .iter()
            .map(|end| end.index)
            .collect::<Vec<_>>(),
        [0, 1]
    );
    run.finish();
    assert_eq!(
        run.counted(),
        [(DropReason::TableFull, 1), (DropReason::Shutdown, 1)]
    );
}

#[test]
fn a_pipeline_that_is_too_deep_loses_what_is_beyond() {
    let limit = u32::try_from(PIPELINE_LIMIT).unwrap();
    let mut run = Run::new(1000);
    run.feed((0..limit + 5).map(|index| Piece::whole(index, HEAD).record()));
    assert_eq!(run.seen.active.len(), PIPELINE_LIMIT);
    run.feed((0..limit + 5).map(|index| answer(response(index, 200))));
    run.finish();
    assert_eq!(run.seen.ended.len(), PIPELINE_LIMIT);
    assert_eq!(
        run.counted(),
        [(DropReason::PipelineDepth, 5), (DropReason::NoRequest, 5)]
    );
}

#[test]
fn exchanges_under_way_are_bounded_over_all_connections() {
    // Room for 256 exchanges in all: the larger of twice the connections and one pipeline.
    let mut run = Run::new(100);
    let requests = (0..90_u64).flat_map(|socket| (0..3_u32).map(move |index| (socket, index)));
    run.feed(requests.map(|(socket, index)| {
        Piece {
            index,
            ..on(socket, u32::try_from(socket).unwrap() * 10 + index)
        }
        .record()
    }));
    // 270 requests came; five connections of three had to go.
    assert_eq!(run.seen.active.len(), 255);
    assert_eq!(run.counted(), [(DropReason::TableFull, 15)]);
    let gone: Vec<_> = run.seen.dropped.iter().map(|(tid, _)| *tid).collect();
    assert_eq!(
        gone,
        [0, 1, 2, 10, 11, 12, 20, 21, 22, 30, 31, 32, 40, 41, 42]
    );
    run.finish();
}

#[test]
fn heads_that_never_end_are_bounded_in_bytes() {
    let mut line = b"GET /slow HTTP/1.1\r\nX: ".to_vec();
    line.resize(1024, b'a');
    let room = PARTIAL_HEAD_BYTES / line.len();
    let mut run = Run::new(1_000_000);
    run.feed((0..room + 3).map(|socket| {
        Piece {
            socket: u64::try_from(socket).unwrap(),
            bytes: &line,
            flags: 0,
            ..Piece::whole(0, b"")
        }
        .record()
    }));
    assert_eq!(run.counted(), [(DropReason::PartialHeadsFull, 3)]);
    // The first that was given up sends its end: it is not counted again, nor is its answer.
    run.feed([
        Piece {
            socket: 0,
            offset: 1024,
            bytes: b"\r\n\r\n",
            ..Piece::whole(0, b"")
        }
        .record(),
        answer(ResponseRecord {
            header: header(0, 3000),
            ..response(0, 200)
        }),
    ]);
    assert_eq!(run.counted(), [(DropReason::PartialHeadsFull, 3)]);
    assert_eq!(run.seen.ended, []);
    run.finish();
}

#[test]
fn heads_that_never_end_are_bounded_in_number() {
    let mut run = Run::new(4);
    run.feed((0..7_u64).map(|socket| {
        Piece {
            socket,
            bytes: b"G",
            flags: 0,
            ..Piece::whole(0, b"")
        }
        .record()
    }));
    assert_eq!(run.counted(), [(DropReason::PartialHeadsFull, 3)]);
    run.finish();
    assert_eq!(
        run.counted(),
        [(DropReason::PartialHeadsFull, 3), (DropReason::Shutdown, 4)]
    );
}

#[test]
fn a_range_of_four_billion_exchanges_costs_nothing() {
    let mut run = Run::new(4);
    run.feed([
        Piece::whole(0, HEAD).record(),
        cut(AbortReason::PeerClosed, abort(0, u32::MAX)),
    ]);
    run.finish();
    assert_eq!(run.seen.ended.len(), 1);
    assert_eq!(
        run.counted(),
        [(DropReason::NoRequest, u64::from(u32::MAX) - 1)]
    );
}
