//! What is known of a socket between two system calls.

use hark_common::counter::Counter;
use hark_common::socket::SocketRole;

use crate::env::Env;
use crate::http1::Stream;

/// Index of the receiving direction in [`SocketState::streams`].
pub const RX: u8 = 0;
/// Index of the sending direction.
pub const TX: u8 = 1;

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

    /// TCP's sequence number behind the last event of a direction; 0 for what is not TCP.
    #[inline(always)]
    #[must_use]
    pub fn sequence(&self, direction: u8) -> u32 {
        // SAFETY: the mask keeps the index within the two streams.
        unsafe { self.streams.get_unchecked(direction as usize & 1).sequence }
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
    pub(super) fn stream(&mut self, direction: u8) -> &mut Stream {
        // SAFETY: the mask keeps the index within the two streams.
        unsafe { self.streams.get_unchecked_mut(direction as usize & 1) }
    }

    #[inline(always)]
    pub(super) fn request_lost(&self, index: u32) -> bool {
        bit(&self.lost_requests, index)
            || self.flags & state_flag::OVERFLOW != 0
                && index.wrapping_sub(self.overflow_from) < u32::MAX / 2
    }

    /// How many of the outstanding exchanges were already counted as lost.
    #[inline(always)]
    pub(super) const fn outstanding_lost(&self) -> u32 {
        self.lost_begun.wrapping_sub(self.lost_ended)
    }
}

/// What a socket is whose requests move in this direction.
#[inline(always)]
pub(super) const fn role_by(request_direction: u8) -> SocketRole {
    if request_direction == RX {
        SocketRole::Server
    } else {
        SocketRole::Client
    }
}

#[inline(always)]
pub(super) fn bit(bits: &[u64; 2], index: u32) -> bool {
    // SAFETY: the mask keeps the index within the two words.
    let word = unsafe { *bits.get_unchecked((index as usize >> 6) & 1) };
    word >> (index & 63) & 1 != 0
}

#[inline(always)]
pub(super) fn set_bit(bits: &mut [u64; 2], index: u32, value: bool) {
    // SAFETY: the mask keeps the index within the two words.
    let word = unsafe { bits.get_unchecked_mut((index as usize >> 6) & 1) };
    let mask = 1u64 << (index & 63);
    if value {
        *word |= mask;
    } else {
        *word &= !mask;
    }
}
