//! Per-CPU counters that the socket programs keep, one slot each.

/// A slot of the per-CPU counter array `COUNTERS`. The values are counts of events unless said.
///
/// The order is part of the boundary: append only, and raise [`Counter::COUNT`].
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Records handed to the ring buffer.
    RecordsSubmitted = 0,
    /// Records that found no room in the ring buffer.
    RecordsLost,
    /// Requests whose request line was complete and valid: exchanges begun.
    ExchangesBegun,
    /// Final responses, and aborted exchanges, that were handed over as records.
    ExchangesEnded,
    /// Exchanges lost because a record of theirs found no room in the ring buffer.
    LostRingFull,
    /// Exchanges lost because the bytes of a head could not be read.
    LostUnreadable,
    /// Exchanges lost because the byte stream was not understood.
    LostParse,
    /// Exchanges lost because more requests were outstanding on one connection than are kept.
    LostPipelineDepth,
    /// Exchanges lost because bytes moved on the socket that no event reported.
    LostGap,
    /// Sockets classified as HTTP/1.
    SocketsHttp1,
    /// Sockets classified as HTTP/2, by the client's preface or by frames in a row.
    SocketsHttp2,
    /// Sockets that began with a TLS record.
    SocketsTls,
    /// Sockets that speak something else, or nothing that was recognised.
    SocketsOther,
    /// Sockets that belong to the agent itself, at either end.
    SocketsOwn,
    /// Socket storage could not be had for a socket (no memory): its events are not seen.
    StorageFailed,
    /// Messages not read: issued through `io_uring`, or completed inside an unrelated call.
    UnreadableForeign,
    /// Messages not read: the buffer's page faulted.
    UnreadableFault,
    /// Messages not read: issued by a 32-bit task.
    UnreadableCompat,
    /// Messages not read: the system call has no buffer of its own (`sendfile`, `splice`,
    /// `sendmmsg`, `recvmmsg`, or one that is not known).
    UnreadableSyscall,
    /// Bytes that moved without an event, by the socket's own sequence numbers. Unit: bytes.
    GapBytes,
    /// Frames of HTTP/2 followed, of whatever type.
    Http2Frames,
    /// Payload, padding included, of the DATA frames that moved to their last byte. Unit: bytes.
    Http2DataBytes,
    /// Records of HTTP/2 frames that found no room in the ring buffer.
    Http2RecordsLost,
    /// Directions of HTTP/2 connections lost because a frame header could not be read.
    Http2LostUnreadable,
    /// Directions lost because what should be a frame header is none.
    Http2LostParse,
    /// Directions lost because bytes moved that no event reported.
    Http2LostGap,
    /// Directions lost because one system call moved more frames than are followed.
    Http2LostTooMany,
    /// Frames whose payload was not handed over whole: too long, or not readable.
    Http2Cut,
    /// Directions in which header blocks came after others that were not seen: followed from the
    /// middle, or taken up again after they were lost.
    Http2Joined,
    /// Calls of a TLS library that moved data for a session whose socket is not known.
    TlsUntied,
    /// Returns from a TLS library of a call whose entry was not seen.
    TlsUnentered,
    /// Calls of a TLS library whose return was not seen before the thread's next one.
    TlsUnreturned,
    /// Calls of a TLS library whose data was not looked at: no working memory was free.
    TlsBusy,
    /// Connections with TLS that are not followed: the table of them was full.
    TlsTableFull,
    /// Header blocks that were passed over before it was certain that the connection is HTTP/2.
    Http2BlocksPassed,
    /// Exchanges lost because a client heard the answer before the event of its request.
    LostEarly,
    /// Events of sends that the first program was not handed or left, and the spare took.
    SpareSent,
    /// Those of receives.
    SpareReceived,
    /// Events of sends that the first program was handed and left to the spare.
    LeftSent,
    /// Those of receives.
    LeftReceived,
}

impl Counter {
    /// Number of slots.
    pub const COUNT: u32 = Self::LeftReceived as u32 + 1;
}
