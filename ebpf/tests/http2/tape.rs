//! Plays the kernel.

use std::collections::BTreeMap;
use std::mem::MaybeUninit;

use hark_common::counter::Counter;
use hark_common::http2::{Http2EndRecord, Http2Record};
use hark_common::socket::{RecordHeader, RecordKind, Task};
use hark_ebpf::classify::{self, gap_before, look};
use hark_ebpf::env::Env;
use hark_ebpf::exchange::{self, SocketState, probing, verdict};
use hark_ebpf::http2::end::end;
use hark_ebpf::http2::{self, STEPS, Scratch, State, follow, join};
use hark_ebpf::walk::{self, Step};

pub use hark_ebpf::exchange::{RX, TX};

/// The world as the logic sees it.
#[derive(Default)]
pub struct World {
    pub sent: Vec<(Http2Record, Vec<u8>)>,
    pub ends: Vec<Http2EndRecord>,
    pub counters: BTreeMap<u32, u64>,
    /// Whether the record with this number, of those of HTTP/2, finds no room.
    pub full: Option<Box<dyn FnMut(usize) -> bool>>,
    pub tried: usize,
    /// Reads of the caller's memory.
    pub reads: usize,
    /// Where the caller's memory is: `(address, length)`.
    memory: Vec<(u64, u64)>,
}

impl Env for World {
    unsafe fn read_user(&mut self, to: *mut u8, len: u32, addr: u64) -> bool {
        if addr == 0 {
            return false;
        }
        self.reads += 1;
        assert!(
            self.memory
                .iter()
                .any(|(at, length)| *at <= addr && addr + u64::from(len) <= at + length),
            "a read of {len} bytes outside the caller's buffers"
        );
        // SAFETY: within a slice that the caller holds, as was just seen.
        unsafe { std::ptr::copy_nonoverlapping(addr as *const u8, to, len as usize) };
        true
    }

    unsafe fn emit(&mut self, record: *const u8, len: u32) -> bool {
        // SAFETY: by the trait.
        let bytes = unsafe { std::slice::from_raw_parts(record, len as usize) };
        // SAFETY: each record begins with a header; the kind names the rest.
        unsafe {
            let header = record.cast::<RecordHeader>().read_unaligned();
            assert_eq!(header.size, len);
            if header.kind == RecordKind::Http2 as u32 || header.kind == RecordKind::Http2End as u32
            {
                let number = self.tried;
                self.tried += 1;
                if self.full.as_mut().is_some_and(|full| full(number)) {
                    return false;
                }
            }
            if header.kind == RecordKind::Http2 as u32 {
                let fixed = record.cast::<Http2Record>().read_unaligned();
                let frames = bytes[size_of::<Http2Record>()..].to_vec();
                assert_eq!(frames.len(), fixed.len as usize);
                self.sent.push((fixed, frames));
            } else if header.kind == RecordKind::Http2End as u32 {
                self.ends
                    .push(record.cast::<Http2EndRecord>().read_unaligned());
            }
        }
        true
    }

    fn describe(&mut self, task: &mut Task, _: &mut u64) {
        task.tid = 99;
    }

    fn thread(&mut self) -> u32 {
        0
    }

    fn count(&mut self, counter: Counter, n: u64) {
        *self.counters.entry(counter as u32).or_default() += n;
    }
}

/// One socket.
pub struct Tape {
    pub world: World,
    pub socket: SocketState,
    pub state: State,
    http1: Box<exchange::Scratch>,
    scratch: Box<Scratch>,
    /// The time of the last event, ns; each takes one.
    pub now: u64,
    sequence: [u32; 2],
}

impl Tape {
    pub fn new() -> Self {
        // SAFETY: integers and arrays of them; the kernel's memory begins as zeros, too.
        let (http1, scratch) = unsafe {
            (
                Box::new(MaybeUninit::zeroed().assume_init()),
                Box::new(MaybeUninit::zeroed().assume_init()),
            )
        };
        Self {
            world: World::default(),
            socket: SocketState::default(),
            state: State::default(),
            http1,
            scratch,
            now: 0,
            // Near the end, so that numbers wrap in every test.
            sequence: [u32::MAX - 50; 2],
        }
    }

    /// One system call that moves these segments.
    pub fn vectored(&mut self, direction: u8, segments: &[&[u8]]) {
        let vector: Vec<[u64; 2]> = segments
            .iter()
            .map(|s| [s.as_ptr() as u64, s.len() as u64])
            .collect();
        self.world.memory = vector.iter().map(|[at, length]| (*at, *length)).collect();
        self.world
            .memory
            .push((vector.as_ptr() as u64, vector.len() as u64 * 16));
        let total = segments.iter().map(|s| s.len() as u64).sum();
        self.event(
            direction,
            total,
            vector.as_ptr() as u64,
            vector.len() as u32,
            true,
        );
        self.world.memory.clear();
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

    /// As the kernel programs do it, `socket.rs` and `socket/http2.rs`.
    fn event(&mut self, direction: u8, moved: u64, vector: u64, count: u32, readable: bool) {
        if moved == 0 {
            return;
        }
        let sequence = &mut self.sequence[usize::from(direction)];
        *sequence = sequence.wrapping_add(moved as u32);
        let sequence = *sequence;
        self.now += 1;
        let event = exchange::Event {
            now: self.now,
            socket: 7,
            left: moved,
            segment_left: if readable { 0 } else { moved },
            vector,
            vector_left: count,
            direction,
            readable: u8::from(readable),
            unreadable_as: Counter::UnreadableSyscall as u8,
            ..exchange::Event::default()
        };
        let Self {
            world,
            socket,
            http1: s,
            ..
        } = self;
        if !classify::is_for_http2(socket) {
            if !look(socket, direction) {
                return;
            }
            s.event = event;
            let missing = gap_before(socket, direction, sequence, moved as u32);
            if missing != 0 {
                walk::gap(world, socket, s, missing);
            }
            if classify::counted_in_body(socket, direction, moved, self.now) {
                return;
            }
            let mut outcome = Step::More;
            for _ in 0..walk::STEPS {
                outcome = walk::step(world, socket, s);
                if outcome != Step::More {
                    break;
                }
            }
            classify::conclude(world, socket, s, outcome);
            let frames = outcome == Step::NotHttp && s.window[0] == 0
                || socket.probing(direction) != probing::NONE;
            if !frames || socket.verdict == verdict::HTTP1 {
                return;
            }
        }
        self.frames(event, moved, sequence);
    }

    fn frames(&mut self, event: exchange::Event, moved: u64, sequence: u32) {
        let Self {
            world,
            socket,
            state,
            http1,
            scratch: s,
            now,
            ..
        } = self;
        let direction = event.direction;
        follow::reset(s);
        s.event = event;
        s.numbered = 1;
        if socket.verdict == verdict::HTTP2 && socket.probing(direction) == probing::PREFACE {
            s.event = http1.event;
            s.event.described = 0;
            join::preface(state, direction);
            socket.set_probing(direction, probing::NONE);
            s.sequence = socket.sequence(direction);
        } else {
            let missing = gap_before(socket, direction, sequence, moved as u32);
            if missing != 0 {
                follow::gap(world, socket, state, s, missing);
            }
            s.sequence = socket.sequence(direction);
            if follow::counted_in_payload(state, s, direction, moved, *now) {
                return;
            }
            if follow::ends_in_payload(state, direction, moved) {
                s.event.readable = 0;
                s.event.segment_left = moved;
                s.event.vector_left = 0;
            }
        }
        follow::begin(socket, state, s);
        let done = (0..STEPS).any(|_| follow::step(world, socket, state, s));
        follow::conclude(world, socket, state, s, done);
    }

    /// A change of the TCP state.
    pub fn tcp(&mut self, old: i32, new: i32, errno: u32) {
        self.now += 1;
        if self.socket.verdict == verdict::HTTP2
            && let Some((reason, errno)) =
                classify::tcp_state(&mut self.socket, old, new, errno, true)
        {
            let (event, why) = ((7, self.now), (reason as u16, errno));
            end(&mut self.world, &mut self.socket, &self.state, event, why);
        }
    }

    pub fn counter(&self, counter: Counter) -> u64 {
        self.world
            .counters
            .get(&(counter as u32))
            .copied()
            .unwrap_or(0)
    }

    /// Directions lost, for whatever reason.
    pub fn lost(&self) -> u64 {
        [
            Counter::Http2LostUnreadable,
            Counter::Http2LostParse,
            Counter::Http2LostGap,
            Counter::Http2LostTooMany,
        ]
        .into_iter()
        .map(|counter| self.counter(counter))
        .sum()
    }

    /// The records of one direction.
    pub fn records(&self, direction: u8) -> Vec<(Http2Record, Vec<u8>)> {
        let records = self.world.sent.iter();
        records
            .filter(|(record, _)| record.direction == direction)
            .cloned()
            .collect()
    }

    /// What both directions are known by, for messages.
    pub fn flows(&self) -> &[http2::Flow; 2] {
        &self.state.flows
    }
}
