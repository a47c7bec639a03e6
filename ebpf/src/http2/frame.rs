//! Frame headers and the rules for them (RFC 9113 §4.1 and §6).

/// Bytes of a frame header.
pub const HEADER_SIZE: u32 = 9;

/// The largest payload before a peer has allowed more (`SETTINGS_MAX_FRAME_SIZE`, RFC 9113 §6.5.2),
/// in bytes.
pub const DEFAULT_MAX_FRAME_SIZE: u32 = 16_384;

/// Frame types, RFC 9113 §6.
pub mod kind {
    /// Payload of a stream.
    pub const DATA: u8 = 0;
    /// Begins a header block.
    pub const HEADERS: u8 = 1;
    /// Obsolete.
    pub const PRIORITY: u8 = 2;
    /// Ends a stream at once.
    pub const RST_STREAM: u8 = 3;
    /// Parameters of the connection.
    pub const SETTINGS: u8 = 4;
    /// Announces a stream of the server's own.
    pub const PUSH_PROMISE: u8 = 5;
    /// Measures a round trip.
    pub const PING: u8 = 6;
    /// Announces the end of the connection.
    pub const GOAWAY: u8 = 7;
    /// Flow control.
    pub const WINDOW_UPDATE: u8 = 8;
    /// Goes on with a header block.
    pub const CONTINUATION: u8 = 9;
}

/// Bits of [`Header::flags`].
pub mod flag {
    /// DATA, HEADERS: the last of the stream in this direction.
    pub const END_STREAM: u8 = 0x1;
    /// SETTINGS, PING: an acknowledgement.
    pub const ACK: u8 = 0x1;
    /// HEADERS, PUSH_PROMISE, CONTINUATION: the last of the header block.
    pub const END_HEADERS: u8 = 0x4;
    /// DATA, HEADERS, PUSH_PROMISE.
    pub const PADDED: u8 = 0x8;
    /// HEADERS.
    pub const PRIORITY: u8 = 0x20;
}

/// A frame header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of payload.
    pub length: u32,
    /// One of [`kind`], or another.
    pub kind: u8,
    /// Bits of [`flag`], and others.
    pub flags: u8,
    /// The stream, with the reserved bit.
    pub stream: u32,
}

impl Header {
    /// From the first nine bytes.
    #[inline(always)]
    #[must_use]
    pub const fn parse(bytes: &[u8; 32]) -> Self {
        Self {
            length: (bytes[0] as u32) << 16 | (bytes[1] as u32) << 8 | bytes[2] as u32,
            kind: bytes[3],
            flags: bytes[4],
            stream: (bytes[5] as u32) << 24
                | (bytes[6] as u32) << 16
                | (bytes[7] as u32) << 8
                | bytes[8] as u32,
        }
    }

    /// The first nine bytes as they are: eight as a number, the lowest first, and the last.
    #[inline(always)]
    #[must_use]
    pub const fn raw(bytes: &[u8; 32]) -> (u64, u8) {
        let [a, b, c, d, e, f, g, h, last, ..] = *bytes;
        (u64::from_le_bytes([a, b, c, d, e, f, g, h]), last)
    }

    /// The header's nine bytes, as [`raw`](Self::raw) gives them.
    #[inline(always)]
    #[must_use]
    pub const fn bytes(&self) -> (u64, u8) {
        let [_, a, b, c] = self.length.to_be_bytes();
        let [d, e, f, last] = self.stream.to_be_bytes();
        let first = u64::from_le_bytes([a, b, c, self.kind, self.flags, d, e, f]);
        (first, last)
    }

    /// The stream's identifier.
    #[inline(always)]
    #[must_use]
    pub const fn stream_id(&self) -> u32 {
        self.stream & 0x7fff_ffff
    }

    /// Whether all of these flags are set.
    #[inline(always)]
    #[must_use]
    pub const fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }

    /// Whether length and stream are possible for the type. A recipient ends the connection for
    /// most of what is not; here it says that this is no frame header.
    #[inline(always)]
    #[must_use]
    pub const fn is_valid(&self) -> bool {
        let on_stream = self.stream_id() != 0;
        match self.kind {
            kind::DATA | kind::HEADERS | kind::CONTINUATION => on_stream,
            kind::PUSH_PROMISE => on_stream && self.length >= 4,
            kind::PRIORITY => on_stream && self.length == 5,
            kind::RST_STREAM => on_stream && self.length == 4,
            kind::SETTINGS => {
                !on_stream
                    && self.length.is_multiple_of(6)
                    && (self.flags & flag::ACK == 0 || self.length == 0)
            }
            kind::PING => !on_stream && self.length == 8,
            kind::GOAWAY => !on_stream && self.length >= 8,
            kind::WINDOW_UPDATE => self.length == 4,
            // Types that are not known are ignored (RFC 9113 §4.1).
            _ => true,
        }
    }

    /// Whether this looks like what a flawless peer sends that has not been allowed more than the
    /// defaults: the evidence by which a connection is known in the middle.
    #[inline(always)]
    #[must_use]
    pub const fn is_plausible(&self) -> bool {
        // The flags that there are, and the least that must be there beside padding and priority.
        // Nothing, said without need, is allowed, but no evidence: runs of zeros say it as well.
        let (flags, least) = match self.kind {
            kind::DATA => (
                flag::END_STREAM | flag::PADDED,
                !self.has(flag::END_STREAM) as u32,
            ),
            kind::HEADERS => (
                flag::END_STREAM | flag::END_HEADERS | flag::PADDED | flag::PRIORITY,
                1,
            ),
            kind::PUSH_PROMISE => (flag::END_HEADERS | flag::PADDED, 5),
            kind::SETTINGS | kind::PING => (flag::ACK, 0),
            kind::PRIORITY | kind::RST_STREAM | kind::GOAWAY | kind::WINDOW_UPDATE => (0, 0),
            // A CONTINUATION does not come first, and other types are no evidence.
            _ => return false,
        };
        let padding = self.has(flag::PADDED) as u32;
        let priority = self.has(flag::PRIORITY) as u32 * 5;
        // Streams that a client opens are odd (RFC 9113 §5.1.1). Others are rare.
        let odd = self.stream & 1 != 0 || self.stream == 0;
        self.flags & !flags == 0
            && self.stream >> 31 == 0
            && odd
            && self.length >= least + padding + priority
            && self.length <= DEFAULT_MAX_FRAME_SIZE
            && self.is_valid()
    }
}
