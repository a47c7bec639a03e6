//! Any sequence of system calls on a socket to the kernel side's machine, on the host: the books
//! balance after each, and a conversation that is HTTP/1 throughout gives the same records however
//! its bytes are cut into calls and segments.
#![no_main]

#[path = "../../../ebpf/tests/http1/tape.rs"]
#[expect(
    dead_code,
    unreachable_pub,
    reason = "the tests of the kernel side's logic use the rest of it"
)]
mod tape;

use hark_common::counter::Counter;
use hark_common::socket::{AbortRecord, RecordHeader, RequestRecord, ResponseRecord};
use hark_ebpf::exchange::verdict;

use tape::{Sent, Tape};

/// TCP states, `include/net/tcp_states.h`.
const STATES: [i32; 8] = [1, 2, 4, 5, 7, 8, 9, 11];

/// `ECONNRESET`, as one error of a socket.
const ECONNRESET: u32 = 104;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let [cut, lost, input @ ..] = input else {
        return;
    };
    let script = script(input);
    let size = 1 + usize::from(*cut & 63);
    // Odd: records get lost, every so many.
    let every = (lost & 1 == 1).then(|| 1 + usize::from(lost >> 1));
    let whole = play(&script, Cut::Whole, every);
    let calls = play(&script, Cut::Calls(size), every);
    let segments = play(&script, Cut::Segments(size), every);
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
    EndOfStream,
    State(i32, i32, u32),
}

/// A byte that names the action, and what it needs.
fn script(mut input: &[u8]) -> Vec<Action<'_>> {
    let mut script = Vec::new();
    while let Some(&what) = input.split_off_first() {
        let mut byte = || input.split_off_first().copied().unwrap_or_default();
        let direction = what & 1;
        script.push(match what & 15 {
            // Half of the actions, for bytes are what this is about.
            0..8 => {
                let length = usize::from(byte()) | usize::from(what >> 4) << 8;
                let length = length.min(input.len());
                Action::Bytes(direction, input.split_off(..length).unwrap_or_default())
            }
            8 | 9 => Action::Opaque(direction, u64::from(byte()) << (what >> 4)),
            10 | 11 => Action::Unseen(direction, byte().into()),
            12 | 13 => Action::EndOfStream,
            _ => {
                let states = byte();
                Action::State(
                    STATES[usize::from(states & 7)],
                    STATES[usize::from(states >> 3 & 7)],
                    if states & 64 == 0 { 0 } else { ECONNRESET },
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

/// Plays a script. What came of it, if every byte of it was taken for HTTP/1 and every record
/// handed over; else how it is cut matters.
fn play(script: &[Action<'_>], cut: Cut, lose_every: Option<usize>) -> Option<Outcome> {
    let mut tape = Tape::new();
    if let Some(every) = lose_every {
        tape.world.full = Some(Box::new(move |number| number % every == every - 1));
    }
    let mut is_http = true;
    for action in script {
        match *action {
            Action::Bytes(direction, bytes) => match cut {
                Cut::Whole => tape.call(direction, bytes),
                Cut::Calls(size) => bytes.chunks(size).for_each(|b| tape.call(direction, b)),
                Cut::Segments(size) => {
                    tape.vectored(direction, &bytes.chunks(size).collect::<Vec<_>>());
                }
            },
            Action::Opaque(direction, bytes) => tape.opaque(direction, bytes),
            Action::Unseen(direction, bytes) => {
                // A gap shows only from the second call on of a direction.
                is_http = false;
                tape.unseen(direction, bytes);
            }
            Action::EndOfStream => tape.eof(),
            Action::State(old, new, errno) => tape.tcp(old, new, errno),
        }
        tape.balance();
        // The rest of a call that is not HTTP is not looked at.
        is_http &= tape.state.verdict == verdict::HTTP1 && tape.state.tries == 0;
    }
    let lost = [
        Counter::LostParse,
        Counter::LostUnreadable,
        Counter::LostGap,
    ]
    .into_iter()
    .any(|counter| tape.counter(counter) != 0);
    (is_http && !lost && lose_every.is_none()).then(|| Outcome::of(&tape))
}

/// The records without their times, which differ with the number of calls.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    /// Heads with their number and all their flags, put together of their pieces.
    heads: Vec<(u32, u16, String)>,
    responses: Vec<ResponseRecord>,
    aborts: Vec<AbortRecord>,
    others: Vec<u32>,
    counters: Vec<(u32, u64)>,
}

impl Outcome {
    fn of(tape: &Tape) -> Self {
        let mut outcome = Self {
            heads: Vec::new(),
            responses: Vec::new(),
            aborts: Vec::new(),
            others: Vec::new(),
            counters: tape.world.counters.clone().into_iter().collect(),
        };
        for sent in &tape.world.sent {
            match sent {
                Sent::Request(record, bytes) => outcome.piece(record, bytes),
                Sent::Response(record) => outcome.responses.push(ResponseRecord {
                    header: timeless(record.header),
                    first_ns: 0,
                    last_ns: 0,
                    ..*record
                }),
                Sent::Abort(record) => outcome.aborts.push(AbortRecord {
                    header: timeless(record.header),
                    first_ns: 0,
                    last_ns: 0,
                    ..*record
                }),
                Sent::Other(kind) => outcome.others.push(*kind),
            }
        }
        outcome
    }

    fn piece(&mut self, record: &RequestRecord, bytes: &[u8]) {
        // One character per byte, so that a difference can be read.
        let text: String = bytes.iter().copied().map(char::from).collect();
        if record.offset == 0 {
            self.heads.push((record.index, record.flags, text));
            return;
        }
        let (index, flags, head) = self.heads.last_mut().expect("a head begins at 0");
        assert_eq!(*index, record.index);
        assert_eq!(head.chars().count(), record.offset as usize);
        *flags |= record.flags;
        head.push_str(&text);
    }
}

fn timeless(header: RecordHeader) -> RecordHeader {
    RecordHeader {
        time_ns: 0,
        ..header
    }
}
