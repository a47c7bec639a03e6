//! Records that find no room, bytes that cannot be read, bytes without a call: what is lost shows,
//! and what is told is true.

use std::collections::BTreeSet;

use hark_common::counter::Counter;
use hark_common::http2::{Http2Record, flag as record_flag};
use proptest::prelude::*;

use crate::model::{PREFACE, Payload, cut, direction, told, wire};
use crate::tape::{RX, Tape};

/// The frames that a reader of these records can put together, as the agent does: after a hole it
/// goes on at the next frame header that it is pointed to.
fn readable(records: &[(Http2Record, Vec<u8>)]) -> Vec<crate::model::Told> {
    let mut frames = Vec::new();
    let mut run: Vec<u8> = Vec::new();
    let mut next = 0;
    for (record, bytes) in records {
        let torn = record.seq != next || record.flags & record_flag::RESYNC != 0;
        next = record.seq + 1;
        if torn {
            frames.extend(complete(&run));
            run.clear();
        }
        let skip = if run.is_empty() { record.continued } else { 0 };
        run.extend(&bytes[skip as usize..]);
        if record.flags & (record_flag::CUT | record_flag::LOST) != 0 {
            frames.extend(complete(&run));
            run.clear();
        }
    }
    frames.extend(complete(&run));
    frames
}

/// The frames of `bytes` without the last, if that is not whole.
fn complete(bytes: &[u8]) -> Vec<crate::model::Told> {
    let mut end = 0;
    while let Some(header) = bytes.get(end..end + 9) {
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
        let next = end + 9 + if header[3] == 0 { 4 } else { length };
        if next > bytes.len() {
            break;
        }
        end = next;
    }
    told(&bytes[..end])
}

/// Whether the frames of `part` are some of those of `all`, in the same order.
fn is_part(part: &[crate::model::Told], all: &[crate::model::Told]) -> bool {
    let mut all = all.iter();
    part.iter()
        .all(|told| all.any(|other| other.frame == told.frame))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Those that are there are the same as if none had been lost, and the numbers tell which are not.
    #[test]
    fn records_without_room(
        frames in direction(Payload::Deceptive),
        calls in proptest::collection::vec(any::<usize>(), 0..12),
        lost in proptest::collection::btree_set(0usize..16, 0..12),
    ) {
        let bytes = [PREFACE, &wire(&frames)].concat();
        let mut whole = Tape::new();
        let mut holes = Tape::new();
        let none: BTreeSet<usize> = lost.clone();
        holes.world.full = Some(Box::new(move |number| none.contains(&number)));
        for call in cut(&bytes, &calls) {
            whole.call(RX, call);
            holes.call(RX, call);
        }
        let all = whole.records(RX);
        let expected: Vec<_> = all
            .iter()
            .filter(|(record, _)| !lost.contains(&(record.seq as usize)))
            .cloned()
            .collect();
        prop_assert_eq!(holes.records(RX), expected);
        prop_assert_eq!(
            holes.counter(Counter::Http2RecordsLost) as usize,
            all.len() - holes.records(RX).len()
        );
        prop_assert!(is_part(&readable(&holes.records(RX)), &crate::model::truth(&frames)));
    }

    /// A payload that looks like frames in every respect is taken for frames after a loss; these do
    /// not.
    #[test]
    fn unreadable_and_unseen(
        frames in direction(Payload::Plain),
        calls in proptest::collection::vec(any::<usize>(), 1..12),
        fate in proptest::collection::vec(0u8..8, 1..40),
    ) {
        let bytes = [PREFACE, &wire(&frames)].concat();
        let mut tape = Tape::new();
        let mut fate = fate.iter().cycle();
        for call in cut(&bytes, &calls) {
            match fate.next() {
                Some(0) => tape.opaque(RX, call.len() as u64),
                Some(1) => tape.unseen(RX, call.len() as u32),
                _ => tape.call(RX, call),
            }
        }
        let records = tape.records(RX);
        for (number, (record, _)) in records.iter().enumerate() {
            prop_assert_eq!(record.seq as usize, number, "nothing was lost on the way");
            let before = number.checked_sub(1).map(|before| records[before].0.flags);
            let joins = record.flags & record_flag::RESYNC != 0;
            prop_assert_eq!(
                joins || before.is_none(),
                before.is_none_or(|flags| flags & record_flag::LOST != 0)
            );
        }
        let lost = records
            .iter()
            .filter(|(record, _)| record.flags & record_flag::LOST != 0)
            .count();
        prop_assert_eq!(lost as u64, tape.lost());
        prop_assert!(is_part(&readable(&records), &crate::model::truth(&frames)));
    }
}
