//! The frames of HTTP/2 (RFC 9113) in both directions of a connection.
//!
//! [`Flow`] is what is known of one direction between two system calls. [`follow`] moves it on
//! through the bytes of an event, frame by frame: a frame that nobody needs is passed over in one
//! step, however long, and never read; one that is needed is copied straight from the caller's
//! buffer to where the record is made ([`output`]). What travels is said in [`hark_common::http2`].
//!
//! Each direction has one writer, because the two may move on two CPUs. What concerns both is
//! [`State::started`], which is only ever set.
//!
//! A connection that was there before the agent has no preface to be known by. It is taken for
//! HTTP/2 when the bytes of a system call begin with a frame header and another one follows where
//! the first says, both flawless ([`frame::Header::is_plausible`]): see [`flag::TENTATIVE`].

pub mod data;
pub mod end;
pub mod follow;
pub mod frame;
pub mod join;
pub mod messages;
pub mod output;

use hark_common::http2::{Http2Position, Http2Record, PIECE_LIMIT};
use hark_common::socket::SocketAddress;

use crate::exchange::Event;

/// Steps that one event may take. A step passes a frame or a segment: sixteen thousand frames in
/// one call are more than any honest one holds.
pub const STEPS: u32 = 16 << 10;

/// Where in the frames a direction is.
pub mod phase {
    /// Unknown: the beginning of each event is tried.
    pub const SEEK: u8 = 0;
    /// In a frame's header.
    pub const HEADER: u8 = 1;
    /// In a frame's payload.
    pub const PAYLOAD: u8 = 2;
    /// In the client's preface, behind its first nine bytes.
    pub const PREFACE_TAIL: u8 = 3;
    /// In the client's preface, behind its first line.
    pub const PREFACE_REST: u8 = 4;
}

/// Bits of [`Flow::flags`].
pub mod flag {
    /// That these are frames is not certain yet; nothing is handed over.
    pub const TENTATIVE: u16 = 1 << 0;
    /// An event was looked at.
    pub const SEEN: u16 = 1 << 1;
    /// This is the beginning of a server's direction: the first frame must be SETTINGS.
    pub const FIRST: u16 = 1 << 2;
    /// A header block may have passed that was not handed over.
    pub const MISSED: u16 = 1 << 3;
    /// The record flag START has been told.
    pub const START_TOLD: u16 = 1 << 4;
    /// The rest of the header block under way is left out.
    pub const CUT: u16 = 1 << 5;
    /// The next record is marked RESYNC.
    pub const RESYNC: u16 = 1 << 6;
    /// That header blocks come without what was before them was counted.
    pub const JOINED: u16 = 1 << 7;
    /// The record flag ORIGIN is to be told.
    pub const ORIGIN: u16 = 1 << 8;
}

/// Streams per direction whose DATA is summed at a time; a power of two. Servers mostly allow a
/// hundred at a time, whose identifiers are near each other.
pub const SUMS: usize = 128;

/// DATA of one stream that was not told yet, and where in a message it ends.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// The stream's identifier.
    pub stream: u32,
    /// The flow's [`Flow::era`] when this was written; another one means that this is nothing.
    pub era: u32,
    /// Bytes of payload; 0 for none. Below 2^24.
    pub bytes: u32,
    /// Messages that came to their end in them.
    pub messages: u32,
    /// As [`Flow::message_left`].
    pub message_left: u32,
    /// As [`Flow::prefix_have`].
    pub prefix_have: u32,
}

impl Sum {
    /// There is something to tell, or a message under way.
    #[inline(always)]
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.bytes | self.message_left | self.prefix_have != 0
    }
}

/// One direction of a connection. All zero for one never seen.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Payload of DATA frames since it was first followed, in bytes.
    pub data_bytes: u64,
    /// When the last byte moved, ns.
    pub last_ns: u64,
    /// The process that was introduced last, as `Env::describe` marks it.
    pub introduced: u64,
    /// The frame header under way or last read, in its first nine bytes; `have` of them are there.
    /// The rest is room that the verifier wants.
    pub header: [u8; 32],
    /// Sums, by `stream / 2 % SUMS`.
    pub sums: [Sum; SUMS],
    /// Bytes of payload still to come.
    pub remaining: u32,
    /// How many of them, at the beginning, are to be handed over.
    pub take: u32,
    /// Number of the next record.
    pub seq: u32,
    /// Payload bytes of the header block under way.
    pub block: u32,
    /// Its stream; 0 if none is under way.
    pub block_stream: u32,
    /// See `header`.
    pub have: u32,
    /// Bits of [`flag`].
    pub flags: u16,
    /// One of [`phase`].
    pub phase: u8,
    /// Frame headers in a row that are plausible, while TENTATIVE.
    pub score: u8,
    /// Grows when the sums are to be forgotten.
    pub era: u32,
    /// TCP's sequence number before the first event, while ORIGIN is set.
    pub origin: u32,
    /// Bytes still to come of the gRPC message under way in the frame under way; 0 between messages
    /// and within a prefix.
    pub message_left: u32,
    /// Bytes of the prefix that were read, below five; or `messages::OFF`.
    pub prefix_have: u32,
    /// Messages that came to their end in the frame under way.
    pub messages: u32,
    /// The prefix, and room that the verifier wants.
    pub prefix: [u8; 16],
    /// Header blocks that were passed over while TENTATIVE.
    pub passed: u32,
    /// Unused, 0.
    pub reserved: u32,
}

/// What is known of an HTTP/2 connection beside its `SocketState`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// How far the two directions were followed, for who reads it from outside. It comes first.
    pub positions: [Http2Position; 2],
    /// The two directions, by `RX` and `TX`.
    pub flows: [Flow; 2],
    /// This end. Its family is 0 until both ends are filled in.
    pub local: SocketAddress,
    /// The other end.
    pub peer: SocketAddress,
    /// Not 0: the client's preface was seen, so that no header block can have moved before.
    pub started: u32,
    /// Unused, 0.
    pub reserved: u32,
}

impl Default for State {
    fn default() -> Self {
        // SAFETY: integers and arrays of them; the kernel's memory begins as zeros, too.
        unsafe { core::mem::zeroed() }
    }
}

impl State {
    /// How far one direction was followed.
    #[inline(always)]
    pub const fn position(&mut self, direction: u8) -> &mut Http2Position {
        let positions = (&raw mut self.positions).cast::<Http2Position>();
        // SAFETY: the mask keeps the index within the two positions.
        unsafe { &mut *positions.add(direction as usize & 1) }
    }

    /// One direction.
    #[inline(always)]
    pub const fn flow(&mut self, direction: u8) -> &mut Flow {
        let flows = (&raw mut self.flows).cast::<Flow>();
        // SAFETY: the mask keeps the index within the two flows.
        unsafe { &mut *flows.add(direction as usize & 1) }
    }
}

/// Working memory of one event; too large for the kernel's stack.
#[repr(C)]
pub struct Scratch {
    /// The record under construction; its bytes follow without a gap, so that the two are handed
    /// over as one.
    pub record: Http2Record,
    /// The bytes: [`PIECE_LIMIT`] of them, and as many that are never used, for the verifier does not
    /// know that a position and a length add up to no more than the limit.
    pub bytes: [u8; 2 * PIECE_LIMIT],
    /// The event.
    pub event: Event,
    /// The event as it began.
    pub began: Event,
    /// Bytes of `bytes` in use.
    pub len: u32,
    /// How many of them belong to a frame that began in an earlier record.
    pub continued: u32,
    /// Frames whose header was seen in this event.
    pub frames: u32,
    /// Flags of the record.
    pub flags: u16,
    /// 1: a frame header is in the record.
    pub headed: u8,
    /// 1: the event's beginning is taken for that of a frame.
    pub tried: u8,
    /// Prefixes of messages that were read in this event.
    pub prefixes: u32,
    /// TCP's sequence number behind the event.
    pub sequence: u32,
    /// 1: there is one.
    pub numbered: u16,
    /// The flow's flag ORIGIN as the event began.
    pub origin: u16,
}
