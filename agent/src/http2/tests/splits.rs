//! However a stream is cut into records, the same exchanges come of it.

use proptest::prelude::*;

use super::wire::*;
use super::*;

/// One step of a conversation.
#[derive(Clone, Debug)]
enum Step {
    Call {
        path: String,
        body: usize,
    },
    Answer {
        which: usize,
        status: u16,
        trailers: bool,
    },
    Reset {
        which: usize,
        side: bool,
        code: u32,
    },
    GoAway {
        last: u32,
    },
    Nothing {
        side: bool,
        kind: u8,
        payload: Vec<u8>,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => ("/[a-z]{1,20}", 0..3000_usize).prop_map(|(path, body)| Step::Call { path, body }),
        4 => (0..8_usize, 200..600_u16, any::<bool>())
            .prop_map(|(which, status, trailers)| Step::Answer { which, status, trailers }),
        1 => (0..8_usize, any::<bool>(), 0..15_u32)
            .prop_map(|(which, side, code)| Step::Reset { which, side, code }),
        1 => (0..40_u32).prop_map(|last| Step::GoAway { last }),
        1 => (any::<bool>(), 10..=255_u8, proptest::collection::vec(any::<u8>(), 0..20))
            .prop_map(|(side, kind, payload)| Step::Nothing { side, kind, payload }),
    ]
}

/// Lets the steps happen; `cuts` says where the bytes of a step are cut, over and over.
fn run(role: Role, steps: &[Step], cuts: &[usize]) -> Wire {
    let mut wire = Wire::new(role);
    let mut cuts = cuts.iter().cycle();
    let (mut next, mut open) = (1, Vec::new());
    for step in steps {
        let (side, bytes) = match step {
            Step::Call { path, body } => {
                let fields = [(":method", "PUT"), (":path", path), ("x", "y")];
                let block = wire.block(Side::Requests, &fields);
                let (first, rest) = block.split_at(block.len() / 2);
                let mut bytes = frame(1, 0, next, first.len(), first);
                bytes.extend(frame(9, END_HEADERS, next, rest.len(), rest));
                bytes.extend(data(next, *body, END_STREAM));
                open.push(next);
                next += 2;
                (Side::Requests, bytes)
            }
            Step::Answer {
                which,
                status,
                trailers,
            } => {
                if open.is_empty() {
                    continue;
                }
                let id = open.remove(which % open.len());
                let block = wire.block(Side::Responses, &[(":status", &status.to_string())]);
                let mut bytes = headers(id, if *trailers { 0 } else { END_STREAM }, &block);
                if *trailers {
                    bytes.extend(data(id, 77, 0));
                    let block = wire.block(Side::Responses, &[("checksum", "1")]);
                    bytes.extend(headers(id, END_STREAM, &block));
                }
                (Side::Responses, bytes)
            }
            Step::Reset { which, side, code } => {
                if open.is_empty() {
                    continue;
                }
                let id = open.remove(which % open.len());
                (
                    if *side {
                        Side::Requests
                    } else {
                        Side::Responses
                    },
                    reset(id, *code),
                )
            }
            Step::GoAway { last } => (Side::Responses, go_away(*last)),
            Step::Nothing {
                side,
                kind,
                payload,
            } => (
                if *side {
                    Side::Requests
                } else {
                    Side::Responses
                },
                frame(*kind, 0, 0, payload.len(), payload),
            ),
        };
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let cut = cuts
                .next()
                .map_or(rest.len(), |cut| (*cut).clamp(1, rest.len()));
            let (piece, after) = rest.split_at(cut);
            // All of a step is one moment, so that the times are the same too.
            wire.told_at(side, 0, 0, piece);
            rest = after;
        }
        wire.now += 1000;
    }
    wire.end(AbortReason::PeerClosed, 0);
    wire.ended.sort_by_key(|exchange| exchange.index);
    wire
}

proptest! {
    #[test]
    fn any_split_gives_the_same_exchanges(
        server: bool,
        steps in proptest::collection::vec(step(), 1..40),
        cuts in proptest::collection::vec(1..40_usize, 1..10),
    ) {
        let role = if server { Role::Server } else { Role::Client };
        let whole = run(role, &steps, &[]);
        let split = run(role, &steps, &cuts);
        let calls = steps.iter().filter(|step| matches!(step, Step::Call { .. })).count();
        prop_assert_eq!(whole.ended.len(), calls);
        prop_assert_eq!(&whole.ended, &split.ended);
        prop_assert!(split.dropped.is_empty());
    }
}
