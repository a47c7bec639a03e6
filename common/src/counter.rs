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
    /// Sockets that began with the HTTP/2 connection preface.
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
}

impl Counter {
    /// Number of slots.
    pub const COUNT: u32 = Self::GapBytes as u32 + 1;
}
