//! Plays the kernel.

use std::collections::BTreeMap;
use std::mem::MaybeUninit;

use hark_common::counter::Counter;
use hark_common::socket::{
    AbortRecord, RecordHeader, RecordKind, RequestRecord, ResponseRecord, Task,
};
use hark_ebpf::classify::{
    End, conclude, counted_in_body, end_of_stream, gap_before, is_for_http2, look, tcp_state,
};
use hark_ebpf::env::Env;
use hark_ebpf::exchange::{
    Scratch, SocketState, close, is_unasked, may_be_unasked, overtaken, verdict,
};
use hark_ebpf::walk::{STEPS, Step, gap, step};

pub use hark_ebpf::exchange::{RX, TX};

/// A record as it was handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    Request(RequestRecord, Vec<u8>),
    Response(ResponseRecord),
    Abort(AbortRecord),
    Other(u32),
}

/// The world as the logic sees it.
#[derive(Default)]
pub struct World {
    pub sent: Vec<Sent>,
    pub counters: BTreeMap<u32, u64>,
    /// Whether the record with this number finds room.
    pub full: Option<Box<dyn FnMut(usize) -> bool>>,
    pub tried: usize,
    /// The thread that makes the calls.
    pub thread: u32,
}

impl Env for World {
    unsafe fn read_user(&mut self, to: *mut u8, len: u32, addr: u64) -> bool {
        if addr == 0 {
            return false;
        }
        // SAFETY: the tests give addresses of slices that they hold, and never more than their
        // length.
        unsafe { std::ptr::copy_nonoverlapping(addr as *const u8, to, len as usize) };
        true
    }

    unsafe fn emit(&mut self, record: *const u8, len: u32) -> bool {
        let number = self.tried;
        self.tried += 1;
        if self.full.as_mut().is_some_and(|full| full(number)) {
            return false;
        }
        // SAFETY: by the trait.
        let bytes = unsafe { std::slice::from_raw_parts(record, len as usize) };
        // SAFETY: each record begins with a header; the kind names the rest.
        let sent = unsafe {
            let header = record.cast::<RecordHeader>().read_unaligned();
            assert_eq!(header.size, len);
            match header.kind {
                k if k == RecordKind::Request as u32 => Sent::Request(
                    record.cast::<RequestRecord>().read_unaligned(),
                    bytes[size_of::<RequestRecord>()..].to_vec(),
                ),
                k if k == RecordKind::Response as u32 => {
                    Sent::Response(record.cast::<ResponseRecord>().read_unaligned())
                }
                k if k == RecordKind::Abort as u32 => {
                    Sent::Abort(record.cast::<AbortRecord>().read_unaligned())
                }
                k => Sent::Other(k),
            }
        };
        self.sent.push(sent);
        true
    }

    fn describe(&mut self, _: &mut Task, _: &mut u64) {}

    fn thread(&mut self) -> u32 {
        self.thread
    }

    fn count(&mut self, counter: Counter, n: u64) {
        *self.counters.entry(counter as u32).or_default() += n;
    }
}

/// One socket.
pub struct Tape {
    pub world: World,
    pub state: SocketState,
    scratch: Box<Scratch>,
    /// The time of the next event, ns; each takes one.
    pub now: u64,
    pub sequence: [u32; 2],
    /// Reads would wait for their bytes.
    pub blocking: bool,
    /// The bytes of the next send are with TCP already; its event is still to come.
    late: bool,
}

impl Tape {
    pub fn new() -> Self {
        Self {
            world: World::default(),
            state: SocketState::default(),
            // SAFETY: integers and arrays of them; the kernel's memory begins as zeros, too.
            scratch: unsafe { Box::new(MaybeUninit::zeroed().assume_init()) },
            now: 1,
            // Near the end, so that numbers wrap in every test.
            sequence: [u32::MAX - 50; 2],
            blocking: false,
            late: false,
        }
    }

    /// One system call that moves these segments.
    pub fn vectored(&mut self, direction: u8, segments: &[&[u8]]) {
        let vector: Vec<[u64; 2]> = segments
            .iter()
            .map(|s| [s.as_ptr() as u64, s.len() as u64])
            .collect();
        let total = segments.iter().map(|s| s.len()).sum::<usize>();
        self.event(
            direction,
            total as u64,
            vector.as_ptr() as u64,
            vector.len() as u32,
            true,
        );
    }

    /// One that moves these bytes.
    pub fn call(&mut self, direction: u8, bytes: &[u8]) {
        self.vectored(direction, &[bytes]);
    }

    /// One whose bytes cannot be had (sendfile).
    pub fn opaque(&mut self, direction: u8, bytes: u64) {
        self.event(direction, bytes, 0, 0, false);
    }

    /// Bytes that move without an event.
    pub fn unseen(&mut self, direction: u8, bytes: u32) {
        let sequence = &mut self.sequence[usize::from(direction)];
        *sequence = sequence.wrapping_add(bytes);
    }

    /// A thread sends these bytes; its event comes when they are sent once more, by
    /// [`Tape::call`].
    pub fn overtake(&mut self, bytes: &[u8]) {
        self.unseen(TX, bytes.len() as u32);
        self.late = true;
    }

    fn event(&mut self, direction: u8, moved: u64, vector: u64, count: u32, readable: bool) {
        let Self {
            world,
            state,
            scratch: s,
            now,
            sequence,
            blocking,
            late,
        } = self;
        if moved == 0 {
            return;
        }
        let end = &mut sequence[usize::from(direction)];
        if *late && direction == TX {
            *late = false;
        } else {
            *end = end.wrapping_add(moved as u32);
        }
        let (end, written) = (*end, sequence[usize::from(TX)]);
        if is_for_http2(state) || !look(state, direction) {
            return;
        }
        *now += 1;
        s.event.now = *now;
        s.event.direction = direction;
        s.event.blocking = u8::from(*blocking && direction == RX);
        s.event.socket = 7;
        let missing = gap_before(state, direction, end, moved as u32);
        if missing != 0 {
            gap(world, state, s, missing);
        }
        s.event.numbered = 0;
        if direction == TX && is_unasked(state) {
            overtaken(world, state, s, 0);
        } else if direction == RX && may_be_unasked(state) {
            s.event.written = written;
            s.event.numbered = 1;
        }
        if counted_in_body(state, direction, moved, *now) {
            return;
        }
        s.event.left = moved;
        s.event.segment = 0;
        s.event.segment_left = if readable { 0 } else { moved };
        s.event.vector = vector;
        s.event.vector_left = count;
        s.event.readable = u8::from(readable);
        s.event.at = 0;
        s.event.end = 0;
        s.event.described = 0;
        let mut outcome = Step::More;
        for _ in 0..STEPS {
            outcome = step(world, state, s);
            if outcome != Step::More {
                break;
            }
        }
        conclude(world, state, s, outcome);
        if direction == TX && is_unasked(state) {
            overtaken(world, state, s, moved as u32);
        }
    }

    /// A read that returned 0.
    pub fn eof(&mut self) {
        self.now += 1;
        self.scratch.event.now = self.now;
        self.scratch.event.socket = 7;
        if self.state.verdict == verdict::HTTP1 {
            let end = end_of_stream(&self.state, false);
            self.end(end);
        }
    }

    /// A change of the TCP state.
    pub fn tcp(&mut self, old: i32, new: i32, errno: u32) {
        self.now += 1;
        self.scratch.event.now = self.now;
        self.scratch.event.socket = 7;
        if self.state.verdict == verdict::HTTP1 {
            let end = tcp_state(&mut self.state, old, new, errno, true);
            self.end(end);
        }
    }

    fn end(&mut self, end: Option<End>) {
        if let Some((reason, errno)) = end {
            close(
                &mut self.world,
                &mut self.state,
                &mut self.scratch,
                reason,
                errno,
            );
        }
    }

    pub fn counter(&self, counter: Counter) -> u64 {
        self.world
            .counters
            .get(&(counter as u32))
            .copied()
            .unwrap_or(0)
    }

    /// Request heads by number, their pieces put together; the end of each must be there.
    pub fn heads(&self) -> BTreeMap<u32, Vec<u8>> {
        let mut heads: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
        for sent in &self.world.sent {
            if let Sent::Request(record, bytes) = sent {
                let head = heads.entry(record.index).or_default();
                assert_eq!(
                    head.len(),
                    record.offset as usize,
                    "pieces follow each other"
                );
                assert_eq!(bytes.len(), record.captured as usize);
                head.extend(bytes);
            }
        }
        heads
    }

    pub fn responses(&self) -> Vec<ResponseRecord> {
        self.world
            .sent
            .iter()
            .filter_map(|sent| match sent {
                Sent::Response(record) => Some(*record),
                _ => None,
            })
            .collect()
    }

    pub fn aborts(&self) -> Vec<AbortRecord> {
        self.world
            .sent
            .iter()
            .filter_map(|sent| match sent {
                Sent::Abort(record) => Some(*record),
                _ => None,
            })
            .collect()
    }

    /// begun = ended + lost + outstanding: nothing goes unaccounted.
    pub fn balance(&self) {
        let lost: u64 = [
            Counter::LostRingFull,
            Counter::LostUnreadable,
            Counter::LostParse,
            Counter::LostPipelineDepth,
            Counter::LostGap,
            Counter::LostEarly,
        ]
        .into_iter()
        .map(|c| self.counter(c))
        .sum();
        let state = &self.state;
        let outstanding = u64::from(state.outstanding())
            - u64::from(state.lost_begun.wrapping_sub(state.lost_ended));
        assert_eq!(
            self.counter(Counter::ExchangesBegun),
            self.counter(Counter::ExchangesEnded) + lost + outstanding,
            "{:?} {:?}",
            self.world.counters,
            state
        );
    }
}
