//! Requests and responses of one connection, numbered and handed over.
//!
//! Two directions of a socket may move at the same time on two CPUs, so each field has one writer:
//! the direction of the requests, or that of the responses. Only a connection that is being given
//! up breaks that rule.

use core::ptr::from_ref;

use hark_common::counter::Counter;
use hark_common::socket::{
    AbortReason, AbortRecord, HEAD_CAPTURE_LIMIT, RecordHeader, RecordKind, RequestBodyRecord,
    RequestRecord, ResponseRecord, SocketRole, flag as record_flag,
};

use crate::env::Env;
use crate::http1::{Found, Stream, WINDOW, Window, body_begins, flag, phase};

/// Index of the receiving direction in [`SocketState::streams`].
pub const RX: u8 = 0;
/// Index of the sending direction.
pub const TX: u8 = 1;

/// Requests that may be outstanding on one connection and still each be accounted for. Past it
/// new ones are counted as lost until all before them are answered.
pub const PIPELINE_DEPTH: u32 = 128;

/// What a socket is taken for.
pub mod verdict {
    /// Nothing is decided.
    pub const UNDECIDED: u8 = 0;
    /// HTTP/1.
    pub const HTTP1: u8 = 1;
    /// Not followed: another protocol. Looked at again ever more rarely.
    pub const IGNORED: u8 = 2;
    /// As IGNORED, and never looked at again: one of the agent's own, or no longer HTTP by a 101
    /// or a CONNECT.
    pub const NEVER: u8 = 3;
    /// HTTP/2: followed by [`crate::http2`].
    pub const HTTP2: u8 = 4;
    /// No longer HTTP/1 by a 101: a few messages are looked at for HTTP/2, then it is NEVER.
    pub const UPGRADED: u8 = 5;
    /// TLS: its bytes are never looked at. What a TLS library hands over in clear is followed as if
    /// it were a socket of its own.
    pub const TLS: u8 = 6;
}

/// Whether a direction of a socket that is not HTTP/1 is looked at as HTTP/2.
pub mod probing {
    /// It is not.
    pub const NONE: u8 = 0;
    /// Bytes that may be frames are being followed.
    pub const TENTATIVE: u8 = 1;
    /// The first line of the client's preface was seen in the event under way.
    pub const PREFACE: u8 = 2;
}

/// Bits of [`SocketState::flags`].
pub mod state_flag {
    /// More requests were outstanding than are kept; see `overflow_from`.
    pub const OVERFLOW: u8 = 1 << 0;
    /// The body of the request last ended was chunked.
    pub const CHUNKED_REQUEST: u8 = 1 << 1;
    /// The socket was counted under its protocol.
    pub const COUNTED: u8 = 1 << 2;
    /// The record of the last response was lost, so that the agent takes its exchange for open.
    pub const UNTOLD: u8 = 1 << 3;
    /// Bytes were received that could not be read, where a head may have been.
    pub const UNREAD_RX: u8 = 1 << 4;
    /// Bytes were sent that could not be read, where a head may have been.
    pub const UNREAD_TX: u8 = 1 << 5;
    /// The TCP connection is closed, but the application may still read what has arrived.
    pub const CLOSED: u8 = 1 << 6;
    /// The end of an HTTP/2 connection was handed over.
    pub const ENDED: u8 = 1 << 7;
}

/// What is known of a socket between two system calls. All zero for one never seen.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketState {
    /// The two directions, by [`RX`] and [`TX`].
    pub streams: [Stream; 2],
    /// Bit `k % 128`: request `k` was HEAD. Written by the requests' direction.
    pub head_requests: [u64; 2],
    /// Bit `k % 128`: a record of request `k` was lost. Written by the requests' direction.
    pub lost_requests: [u64; 2],
    /// Body bytes of the request last ended. Written by the requests' direction.
    pub request_body: u64,
    /// The process that was introduced last, as `Env::describe` marks it.
    pub introduced: u64,
    /// Requests begun. Written by the requests' direction.
    pub begun: u32,
    /// Exchanges ended. Written by the responses' direction.
    pub ended: u32,
    /// Requests counted as lost. Written by the requests' direction.
    pub lost_begun: u32,
    /// Those of them whose exchange has ended. Written by the responses' direction.
    pub lost_ended: u32,
    /// The first request that is not followed, while OVERFLOW is set.
    pub overflow_from: u32,
    /// Number of an outstanding CONNECT, plus one; 0 for none.
    pub connect: u32,
    /// Times that the direction changed.
    pub turns: u32,
    /// Messages looked at without a verdict.
    pub tries: u16,
    /// One of [`verdict`].
    pub verdict: u8,
    /// A [`SocketRole`], or 0.
    pub role: u8,
    /// Direction of the last event.
    pub direction: u8,
    /// Bits of [`state_flag`].
    pub flags: u8,
    /// One of [`probing`] for each direction.
    pub probing: [u8; 2],
    /// The socket's error when it was closed; see CLOSED.
    pub errno: u32,
    /// The thread that moved the head of the response under way. Written by the responses'
    /// direction.
    pub thread: u32,
}

impl SocketState {
    /// The direction that requests move in: RX for a server.
    #[inline(always)]
    #[must_use]
    pub const fn request_direction(&self) -> u8 {
        if self.role == SocketRole::Client as u8 {
            TX
        } else {
            RX
        }
    }

    /// Whether a head that begins in `direction` is a request's. Undecided sockets are tried for
    /// requests in both.
    #[inline(always)]
    #[must_use]
    pub const fn is_request(&self, direction: u8) -> bool {
        self.verdict != verdict::HTTP1 || self.request_direction() == direction
    }

    /// Requests without a whole response.
    #[inline(always)]
    #[must_use]
    pub const fn outstanding(&self) -> u32 {
        self.begun.wrapping_sub(self.ended)
    }

    /// Whether it is HTTP, of a version that is followed.
    #[inline(always)]
    #[must_use]
    pub const fn is_http(&self) -> bool {
        matches!(self.verdict, verdict::HTTP1 | verdict::HTTP2)
    }

    /// Counts the socket under its protocol, once.
    #[inline(always)]
    pub fn counted(&mut self, env: &mut impl Env, protocol: Counter) {
        if self.flags & state_flag::COUNTED == 0 {
            self.flags |= state_flag::COUNTED;
            env.count(protocol, 1);
        }
    }

    /// One of [`probing`].
    #[inline(always)]
    #[must_use]
    pub fn probing(&self, direction: u8) -> u8 {
        // SAFETY: the mask keeps the index within the two.
        unsafe { *self.probing.get_unchecked(direction as usize & 1) }
    }

    /// Sets one of [`probing`].
    #[inline(always)]
    pub fn set_probing(&mut self, direction: u8, value: u8) {
        // SAFETY: the mask keeps the index within the two.
        unsafe { *self.probing.get_unchecked_mut(direction as usize & 1) = value }
    }

    /// The flag for unread bytes in a direction.
    #[inline(always)]
    #[must_use]
    pub const fn unread(direction: u8) -> u8 {
        if direction == TX {
            state_flag::UNREAD_TX
        } else {
            state_flag::UNREAD_RX
        }
    }

    #[inline(always)]
    fn stream(&mut self, direction: u8) -> &mut Stream {
        // SAFETY: the mask keeps the index within the two streams.
        unsafe { self.streams.get_unchecked_mut(direction as usize & 1) }
    }

    #[inline(always)]
    fn request_lost(&self, index: u32) -> bool {
        bit(&self.lost_requests, index)
            || self.flags & state_flag::OVERFLOW != 0
                && index.wrapping_sub(self.overflow_from) < u32::MAX / 2
    }

    /// How many of the outstanding exchanges were already counted as lost.
    #[inline(always)]
    const fn outstanding_lost(&self) -> u32 {
        self.lost_begun.wrapping_sub(self.lost_ended)
    }
}

#[inline(always)]
fn bit(bits: &[u64; 2], index: u32) -> bool {
    // SAFETY: the mask keeps the index within the two words.
    let word = unsafe { *bits.get_unchecked((index as usize >> 6) & 1) };
    word >> (index & 63) & 1 != 0
}

#[inline(always)]
fn set_bit(bits: &mut [u64; 2], index: u32, value: bool) {
    // SAFETY: the mask keeps the index within the two words.
    let word = unsafe { bits.get_unchecked_mut((index as usize >> 6) & 1) };
    let mask = 1u64 << (index & 63);
    if value {
        *word |= mask;
    } else {
        *word &= !mask;
    }
}

/// Working memory of one event; too large for the kernel's stack.
#[repr(C)]
pub struct Scratch {
    /// The record of a request; the window behind it holds the piece of the head, so that the two
    /// are handed over as one.
    pub request: RequestRecord,
    /// The bytes under the eye.
    pub window: Window,
    /// The record of a response.
    pub response: ResponseRecord,
    /// The record of an abort.
    pub abort: AbortRecord,
    /// The record of a request's body.
    pub request_body: RequestBodyRecord,
    /// The event.
    pub event: Event,
}

/// One event on one socket, and how far it has been worked through.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Event {
    /// When, ns.
    pub now: u64,
    /// The socket's cookie.
    pub socket: u64,
    /// Bytes that moved and were not yet worked through.
    pub left: u64,
    /// Address of the next byte in the current segment.
    pub segment: u64,
    /// Bytes left in the current segment.
    pub segment_left: u64,
    /// Address of the next `struct iovec`.
    pub vector: u64,
    /// An `iovec` as read.
    pub iovec: [u64; 2],
    /// Segments that follow the current one.
    pub vector_left: u32,
    /// Position in the window.
    pub at: u32,
    /// End of the valid bytes in the window.
    pub end: u32,
    /// [`RX`] or [`TX`].
    pub direction: u8,
    /// 0: the content cannot be had.
    pub readable: u8,
    /// 1: the record's task and addresses are filled in.
    pub described: u8,
    /// The counter under which unreadable content goes: a [`Counter`].
    pub unreadable_as: u8,
    /// 1: a read that would have waited for the bytes.
    pub blocking: u8,
    /// 1: the bytes are what a TLS library handed over in clear.
    pub tls: u8,
    /// Unused, 0.
    pub reserved: [u8; 6],
}

impl Event {
    /// Moves on by `n` bytes.
    #[inline(always)]
    pub fn consume(&mut self, n: u64) {
        self.left = self.left.wrapping_sub(n);
        self.segment = self.segment.wrapping_add(n);
        self.segment_left = self.segment_left.wrapping_sub(n);
        let room = (self.end.wrapping_sub(self.at)) as u64;
        self.at = if n >= room {
            self.end
        } else {
            self.at.wrapping_add(n as u32)
        };
    }
}

#[inline(always)]
fn header(kind: RecordKind, size: u32, event: &Event) -> RecordHeader {
    RecordHeader {
        kind: kind as u32,
        size,
        time_ns: event.now,
        socket: event.socket,
    }
}

/// The request line is whole: an exchange begins.
#[inline(always)]
pub fn request_begun(env: &mut impl Env, state: &mut SocketState, s: &mut Scratch) {
    let direction = s.event.direction;
    if state.verdict != verdict::HTTP1 {
        state.verdict = verdict::HTTP1;
        state.role = if direction == RX {
            SocketRole::Server
        } else {
            SocketRole::Client
        } as u8;
        state.stream(direction ^ 1).reset();
        state.counted(env, Counter::SocketsHttp1);
    }
    state.flags &= !(state_flag::UNREAD_RX | state_flag::UNREAD_TX);
    let index = state.begun;
    let outstanding = state.outstanding();
    if outstanding != 0 && state.flags & state_flag::CHUNKED_REQUEST != 0 {
        // The response to the one before can no longer carry the size of its body.
        s.request_body = RequestBodyRecord {
            header: header(
                RecordKind::RequestBody,
                size_of::<RequestBodyRecord>() as u32,
                &s.event,
            ),
            body_bytes: state.request_body,
            index: index.wrapping_sub(1),
            reserved: 0,
        };
        // SAFETY: the record is whole. If it does not fit, the size stays unknown, no more.
        unsafe {
            env.emit(
                from_ref(&s.request_body).cast(),
                size_of::<RequestBodyRecord>() as u32,
            )
        };
    }
    state.flags &= !state_flag::CHUNKED_REQUEST;
    let flags = state.stream(direction).flags;
    set_bit(&mut state.head_requests, index, flags & flag::HEAD != 0);
    set_bit(&mut state.lost_requests, index, flags & flag::LOST != 0);
    state.connect = if flags & flag::CONNECT != 0 {
        index.wrapping_add(1)
    } else {
        0
    };
    env.count(Counter::ExchangesBegun, 1);
    state.begun = index.wrapping_add(1);
    if outstanding == 0 {
        state.flags &= !state_flag::OVERFLOW;
    } else if outstanding >= PIPELINE_DEPTH && state.flags & state_flag::OVERFLOW == 0 {
        state.flags |= state_flag::OVERFLOW;
        state.overflow_from = index;
    }
    let overflow = state.flags & state_flag::OVERFLOW != 0;
    if overflow || flags & flag::LOST != 0 {
        let why = if overflow {
            Counter::LostPipelineDepth
        } else {
            Counter::LostRingFull
        };
        env.count(why, 1);
        state.lost_begun = state.lost_begun.wrapping_add(1);
    }
    if overflow && flags & (flag::HEAD | flag::CONNECT) != 0 {
        // How its response ends will not be known.
        give_up(env, state, s, Counter::LostPipelineDepth);
    }
}

/// A response begins to a request that could not be read: the exchange is counted as begun and as
/// lost, so that its response is followed and nothing is attributed to another.
#[inline(always)]
pub fn request_unread(env: &mut impl Env, state: &mut SocketState, direction: u8) {
    state.flags &= !(state_flag::UNREAD_RX | state_flag::UNREAD_TX);
    if state.verdict != verdict::HTTP1 {
        state.verdict = verdict::HTTP1;
        state.role = if direction == TX {
            SocketRole::Server
        } else {
            SocketRole::Client
        } as u8;
        state.counted(env, Counter::SocketsHttp1);
    }
    let index = state.begun;
    set_bit(&mut state.head_requests, index, false);
    set_bit(&mut state.lost_requests, index, true);
    state.connect = 0;
    state.begun = index.wrapping_add(1);
    state.lost_begun = state.lost_begun.wrapping_add(1);
    env.count(Counter::ExchangesBegun, 1);
    env.count(Counter::LostUnreadable, 1);
}

/// Hands over the part of a request head that the window holds, up to the current position.
#[inline(always)]
pub fn request_piece(env: &mut impl Env, state: &mut SocketState, s: &mut Scratch, last: bool) {
    let direction = s.event.direction;
    let stream = state.stream(direction);
    let in_window = s.event.at;
    let offset = stream.head_bytes.wrapping_sub(in_window);
    let begun = stream.flags & flag::BEGUN != 0;
    let mut captured = in_window;
    let mut flags = if last { record_flag::HEAD_END } else { 0 };
    if s.event.tls != 0 {
        flags |= record_flag::TLS;
    }
    if offset.wrapping_add(captured) > HEAD_CAPTURE_LIMIT as u32 {
        if !last && offset >= HEAD_CAPTURE_LIMIT as u32 {
            return;
        }
        flags |= record_flag::TRUNCATED;
        let room = (HEAD_CAPTURE_LIMIT as u32).wrapping_sub(offset);
        captured = if offset >= HEAD_CAPTURE_LIMIT as u32 {
            0
        } else if captured > room {
            room
        } else {
            captured
        };
    }
    stream.flags |= flag::PIECES;
    let lost = stream.flags & flag::LOST != 0;
    let first_ns = stream.first_ns;
    let stream_flags = stream.flags;
    let next_sequence = stream.sequence;
    let head_bytes = stream.head_bytes;
    let index = if begun {
        state.begun.wrapping_sub(1)
    } else {
        state.begun
    };
    // Once a piece is lost the rest is of no use.
    if lost || begun && state.request_lost(index) {
        return;
    }
    if s.event.described == 0 {
        s.event.described = 1;
        env.describe(&mut s.request.task, &mut state.introduced);
    }
    if captured > WINDOW as u32 {
        captured = WINDOW as u32;
    }
    let size = size_of::<RequestRecord>() as u32 + captured;
    s.request.header = header(RecordKind::Request, size, &s.event);
    s.request.first_ns = first_ns;
    s.request.index = index;
    s.request.offset = if offset > HEAD_CAPTURE_LIMIT as u32 {
        HEAD_CAPTURE_LIMIT as u32
    } else {
        offset
    };
    s.request.captured = captured;
    if stream_flags & flag::SEQUENCE != 0 {
        flags |= record_flag::SEQUENCE;
    }
    if s.event.blocking != 0 {
        flags |= record_flag::BLOCKING;
    }
    s.request.flags = flags;
    // What is behind the head so far has moved in this event, but was not worked through.
    s.request.sequence = next_sequence
        .wrapping_sub(s.event.left as u32)
        .wrapping_sub(head_bytes);
    s.request.reserved2 = 0;
    s.request.role = if direction == RX {
        SocketRole::Server
    } else {
        SocketRole::Client
    } as u8;
    s.request.reserved = 0;
    // SAFETY: the window follows the record without a gap, and holds at least `captured` bytes.
    let sent = unsafe { env.emit(from_ref(&*s).cast(), size) };
    if !sent {
        if begun {
            set_bit(&mut state.lost_requests, index, true);
            state.lost_begun = state.lost_begun.wrapping_add(1);
            env.count(Counter::LostRingFull, 1);
        } else {
            // Not counted as begun yet; the stream remembers it until it is.
            state.stream(direction).flags |= flag::LOST;
        }
    }
}

/// The request's head is complete.
#[inline(always)]
pub fn request_head_end(env: &mut impl Env, state: &mut SocketState, s: &mut Scratch) {
    env.request_piece(state, s, true);
    let stream = state.stream(s.event.direction);
    let found = if stream.flags & flag::CONNECT != 0 {
        Found::MessageEnd
    } else {
        body_begins(stream, false)
    };
    if found == Found::MessageEnd {
        request_end(state, s.event.direction);
    }
}

/// The request is complete with its body.
#[inline(always)]
pub fn request_end(state: &mut SocketState, direction: u8) {
    let stream = state.stream(direction);
    let body = stream.body_bytes;
    let chunked = stream.flags & flag::CHUNKED != 0;
    stream.reset();
    state.request_body = body;
    if chunked {
        state.flags |= state_flag::CHUNKED_REQUEST;
    }
}

/// The response's head is complete.
#[inline(always)]
pub fn response_head_end(env: &mut impl Env, state: &mut SocketState, s: &mut Scratch) {
    let index = state.ended;
    let head = bit(&state.head_requests, index);
    let connect = state.connect == index.wrapping_add(1);
    let stream = state.stream(s.event.direction);
    let status = stream.status;
    if status < 200 && status != 101 {
        // An interim response (RFC 9110 §15.2): the final one is still to come.
        stream.reset();
        return;
    }
    state.thread = env.thread();
    let stream = state.stream(s.event.direction);
    if status == 101 || connect && status < 300 {
        env.response_end(state, s, record_flag::SWITCHED);
        return;
    }
    if head || status == 204 || status == 304 || body_begins(stream, true) == Found::MessageEnd {
        env.response_end(state, s, 0);
    }
}

/// The response is complete: the exchange ends.
#[inline(always)]
pub fn response_end(env: &mut impl Env, state: &mut SocketState, s: &mut Scratch, flags: u16) {
    let index = state.ended;
    let lost = state.request_lost(index);
    let request_direction = state.request_direction();
    let mut flags = flags;
    let mut request_body_bytes = 0;
    if index == state.begun.wrapping_sub(1) {
        let request = state.stream(request_direction);
        let open = request.phase != phase::START && request.flags & flag::BEGUN != 0;
        let so_far = request.body_bytes;
        flags |= record_flag::REQUEST_BODY_KNOWN;
        if open {
            flags |= record_flag::REQUEST_OPEN;
            request_body_bytes = so_far;
        } else {
            request_body_bytes = state.request_body;
        }
    }
    if lost {
        flags |= record_flag::REQUEST_LOST;
        state.lost_ended = state.lost_ended.wrapping_add(1);
    }
    let role = state.role;
    let thread = state.thread;
    let stream = state.stream(request_direction ^ 1);
    let status = stream.status;
    s.response = ResponseRecord {
        header: header(
            RecordKind::Response,
            size_of::<ResponseRecord>() as u32,
            &s.event,
        ),
        first_ns: stream.first_ns,
        last_ns: stream.last_ns,
        body_bytes: stream.body_bytes,
        request_body_bytes,
        thread,
        index,
        status,
        flags,
        role,
        reserved: [0; 3],
    };
    stream.reset();
    state.ended = index.wrapping_add(1);
    if flags & record_flag::SWITCHED != 0 {
        state.verdict = if status == 101 {
            verdict::UPGRADED
        } else {
            verdict::NEVER
        };
        state.tries = 0;
    }
    if !(lost && state.flags & state_flag::OVERFLOW != 0) {
        // SAFETY: the record is whole.
        let sent = unsafe {
            env.emit(
                from_ref(&s.response).cast(),
                size_of::<ResponseRecord>() as u32,
            )
        };
        if !lost {
            env.count(
                if sent {
                    Counter::ExchangesEnded
                } else {
                    Counter::LostRingFull
                },
                1,
            );
        }
    }
}

/// No more will come, or can be sent: whatever is outstanding ends here.
#[inline(always)]
pub fn close(
    env: &mut impl Env,
    state: &mut SocketState,
    s: &mut Scratch,
    reason: AbortReason,
    errno: u32,
) {
    let response_direction = state.request_direction() ^ 1;
    let until_close = state.stream(response_direction).phase == phase::UNTIL_CLOSE;
    if until_close && state.outstanding() != 0 && errno == 0 {
        env.response_end(state, s, record_flag::UNTIL_CLOSE);
    }
    env.end_outstanding(state, s, (reason, errno), Counter::ExchangesEnded);
}

/// The rest of the stream cannot be followed: what is outstanding is lost, and the connection is
/// taken up again at the next request that can be made out.
#[inline(always)]
pub fn give_up(env: &mut impl Env, state: &mut SocketState, s: &mut Scratch, counter: Counter) {
    let why = (AbortReason::Lost, counter as u32);
    env.end_outstanding(state, s, why, counter);
}

/// Ends `ended..begun`, and a head whose request line is not whole yet, and counts them under
/// `counter`.
#[inline(always)]
pub fn end_outstanding(
    env: &mut impl Env,
    state: &mut SocketState,
    s: &mut Scratch,
    (reason, errno): (AbortReason, u32),
    counter: Counter,
) {
    let outstanding = state.outstanding();
    let request_direction = state.request_direction();
    let request = state.stream(request_direction);
    let request_open = request.phase != phase::START;
    let unborn = request.flags & flag::PIECES != 0 && request.flags & flag::BEGUN == 0;
    let so_far = request.body_bytes;
    let request_last = request.last_ns;
    let untold = state.flags & state_flag::UNTOLD != 0;
    if outstanding == 0 && !unborn && !untold {
        fresh(&mut state.streams);
        return;
    }
    let request_lost = outstanding != 0 && state.request_lost(state.begun.wrapping_sub(1));
    let request_body_bytes = if request_open {
        so_far
    } else {
        state.request_body
    };
    let counted = outstanding.wrapping_sub(state.outstanding_lost());
    let role = state.role;
    let to = state.begun.wrapping_add(unborn as u32);
    let only_untold = outstanding == 0 && untold;
    let from = if only_untold {
        state.ended.wrapping_sub(1)
    } else {
        state.ended
    };
    let reason = if only_untold {
        AbortReason::Lost
    } else {
        reason
    };
    let response = state.stream(request_direction ^ 1);
    let response_begun = response.status != 0 && response.phase >= phase::LINE;
    let mut flags = record_flag::REQUEST_BODY_KNOWN;
    if response_begun {
        flags |= record_flag::RESPONSE_BEGUN;
    }
    if request_open && !request_lost {
        flags |= record_flag::REQUEST_OPEN;
    }
    s.abort = AbortRecord {
        header: header(RecordKind::Abort, size_of::<AbortRecord>() as u32, &s.event),
        first_ns: if response_begun { response.first_ns } else { 0 },
        last_ns: if response.last_ns > request_last {
            response.last_ns
        } else {
            request_last
        },
        body_bytes: response.body_bytes,
        request_body_bytes,
        from,
        to,
        errno,
        reason: reason as u16,
        status: if response_begun { response.status } else { 0 },
        flags,
        role,
        reserved: [0; 5],
    };
    fresh(&mut state.streams);
    state.ended = state.begun;
    state.lost_ended = state.lost_begun;
    state.flags &= !state_flag::UNTOLD;
    // SAFETY: the record is whole.
    let sent = unsafe { env.emit(from_ref(&s.abort).cast(), size_of::<AbortRecord>() as u32) };
    let lost_anyway = !matches!(counter, Counter::ExchangesEnded);
    env.count(
        if sent || lost_anyway {
            counter
        } else {
            Counter::LostRingFull
        },
        counted as u64,
    );
}

/// Both directions before a head, their sequence numbers kept.
#[inline(always)]
fn fresh(streams: &mut [Stream; 2]) {
    let [received, sent] = streams;
    received.reset();
    sent.reset();
}
