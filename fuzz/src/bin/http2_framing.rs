//! Any sequence of system calls on an HTTP/2 connection to the kernel side's machine, on the host: no
//! read outside the caller's buffers, no record that is not numbered, and a conversation that is
//! HTTP/2 throughout gives the same frames however its bytes are cut into calls and segments.
#![no_main]

#[path = "../../../ebpf/tests/http2/tape.rs"]
#[expect(
    unreachable_pub,
    reason = "the tests of the kernel side's logic use the rest of it"
)]
mod tape;

use hark_common::counter::Counter;
use hark_common::http2::flag as record_flag;
use hark_ebpf::http2::{flag, phase};

use tape::{RX, TX, Tape};

/// TCP states, `include/net/tcp_states.h`.
const STATES: [i32; 8] = [1, 2, 4, 5, 7, 8, 9, 11];

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let [cut, how, input @ ..] = input else {
        return;
    };
    let script = script(input);
    let size = 1 + usize::from(*cut & 63);
    // Odd: records get lost, every so many.
    let every = (how & 1 == 1).then(|| 1 + usize::from(how >> 2));
    let preface = how & 2 == 0;
    let whole = play(&script, preface, Cut::Whole, every);
    let calls = play(&script, preface, Cut::Calls(size), every);
    let segments = play(&script, preface, Cut::Segments(size), every);
    if whole.is_some() {
        assert_eq!(calls, whole, "cut into calls of {size}");
        assert_eq!(segments, whole, "cut into segments of {size}");
    }
});

/// What happens to the socket.
enum Action<'a> {
    Bytes(u8, &'a [u8]),
    Opaque(u8, u64),
    Unseen(u8, u32),
    State(i32, i32, u32),
}

/// A byte that names the action, and what it needs.
fn script(mut input: &[u8]) -> Vec<Action<'_>> {
    let mut script = Vec::new();
    while let Some(&what) = input.split_off_first() {
        let mut byte = || input.split_off_first().copied().unwrap_or_default();
        let direction = what & 1;
        script.push(match what & 15 {
            // Most of the actions, for bytes are what this is about.
            0..10 => {
                let length = usize::from(byte()) | usize::from(what >> 4) << 8;
                let length = length.min(input.len());
                Action::Bytes(direction, input.split_off(..length).unwrap_or_default())
            }
            10 | 11 => Action::Opaque(direction, u64::from(byte()) << (what >> 4)),
            12 | 13 => Action::Unseen(direction, byte().into()),
            _ => {
                let states = byte();
                Action::State(
                    STATES[usize::from(states & 7)],
                    STATES[usize::from(states >> 3 & 7)],
                    u32::from(states >> 6),
                )
            }
        });
    }
    script
}

/// How the bytes of an action are handed to the machine.
#[derive(Clone, Copy)]
enum Cut {
    /// As one call with one segment.
    Whole,
    /// As calls of so many bytes.
    Calls(usize),
    /// As one call with segments of so many bytes.
    Segments(usize),
}

/// What was told of both directions: the bytes of all records, and the bytes of DATA.
type Outcome = [(Vec<u8>, u64); 2];

/// Plays a script, behind a client's preface if that is asked for. What came of it, if every byte of
/// it was followed and every record handed over; else how it is cut matters.
fn play(
    script: &[Action<'_>],
    preface: bool,
    cut: Cut,
    lose_every: Option<usize>,
) -> Option<Outcome> {
    let mut tape = Tape::new();
    if let Some(every) = lose_every {
        tape.world.full = Some(Box::new(move |number| number % every == every - 1));
    }
    if preface {
        tape.call(RX, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    }
    let mut followed = preface && lose_every.is_none();
    for action in script {
        match *action {
            Action::Bytes(direction, bytes) => match cut {
                Cut::Whole => tape.call(direction, bytes),
                Cut::Calls(size) => bytes.chunks(size).for_each(|b| tape.call(direction, b)),
                Cut::Segments(size) => {
                    tape.vectored(direction, &bytes.chunks(size).collect::<Vec<_>>());
                }
            },
            Action::Opaque(direction, bytes) => {
                followed = false;
                tape.opaque(direction, bytes);
            }
            Action::Unseen(direction, bytes) => {
                followed = false;
                tape.unseen(direction, bytes);
            }
            Action::State(old, new, errno) => tape.tcp(old, new, errno),
        }
    }
    let mut outcome = Outcome::default();
    for direction in [RX, TX] {
        let (bytes, data) = &mut outcome[usize::from(direction)];
        let mut next = 0;
        let mut after_loss = false;
        for (record, frames) in tape.records(direction) {
            assert!(record.continued <= record.len);
            assert!(record.seq >= next, "numbers grow");
            let resync = record.flags & record_flag::RESYNC != 0;
            if record.seq == next {
                assert!(!after_loss || resync || record.flags & record_flag::START != 0);
            }
            assert!(!resync || record.continued == 0);
            after_loss = record.flags & record_flag::LOST != 0;
            followed &= !resync && !after_loss && record.flags & record_flag::CUT == 0;
            next = record.seq + 1;
            bytes.extend(frames);
        }
        let flow = tape.flows()[usize::from(direction)];
        assert!(next <= flow.seq, "no number is given twice");
        followed &= flow.flags & (flag::TENTATIVE | flag::MISSED) == 0
            && (flow.phase != phase::SEEK || flow.flags & flag::SEEN == 0);
        *data = flow.data_bytes;
    }
    assert!(tape.world.ends.len() <= 1);
    (followed && tape.lost() == 0 && tape.counter(Counter::Http2Joined) == 0).then_some(outcome)
}
