//! Records that the socket programs send, one per event that matters.
//!
//! An exchange is a request and its response on one connection. The kernel side follows the
//! framing of HTTP/1 (RFC 9112) and numbers the requests of a connection from 0; the final
//! response to request `k` carries the same number. At most two records travel per exchange: a
//! [`RequestRecord`] with the bytes of the head, and a [`ResponseRecord`] once the response has
//! ended. A head that arrives in several reads costs one [`RequestRecord`] per read; an exchange
//! that is cut off ends with an [`AbortRecord`] in place of a response.

pub use crate::process::{ProcessKey, Task};

/// Longest part of one request head that is handed over, in bytes. What is beyond is followed for
/// its framing but not copied, and the record is marked [`flag::TRUNCATED`].
pub const HEAD_CAPTURE_LIMIT: usize = 4096;

/// Longest part of a head carried by one [`RequestRecord`], in bytes.
pub const HEAD_CHUNK: usize = 1024;

/// Most processes that are remembered as introduced.
pub const MAX_PROCESSES: u32 = 16_384;

/// Longest command line carried by a [`ProcessRecord`], in bytes.
pub const ARGS_LIMIT: usize = 512;

/// Longest part of an environment carried by a [`ProcessRecord`], in bytes.
pub const ENVIRON_LIMIT: usize = 4096;

/// What a record is; the first field of its [`RecordHeader`].
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// [`RequestRecord`], followed by `captured` bytes of the head.
    Request = 1,
    /// [`ResponseRecord`].
    Response = 2,
    /// [`AbortRecord`].
    Abort = 3,
    /// [`ProcessRecord`], followed by the beginnings of its command line and environment.
    Process = 4,
    /// [`RequestBodyRecord`].
    RequestBody = 5,
    /// [`crate::http2::Http2Record`], followed by `len` bytes of frames.
    Http2 = 6,
    /// [`crate::http2::Http2EndRecord`].
    Http2End = 7,
    /// [`crate::tls::TlsRecord`], followed by `captured` bytes of TLS.
    Tls = 8,
}

/// Which end of the connection this socket is, judged by the direction of the request.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketRole {
    /// The request was received.
    Server = 1,
    /// The request was sent.
    Client = 2,
}

/// Bits of the `flags` of a record.
pub mod flag {
    /// The head ends in this record.
    pub const HEAD_END: u16 = 1 << 0;
    /// The head is longer than [`super::HEAD_CAPTURE_LIMIT`]; the rest was not copied.
    pub const TRUNCATED: u16 = 1 << 1;
    /// `request_body_bytes` is known.
    pub const REQUEST_BODY_KNOWN: u16 = 1 << 2;
    /// The response ended with the connection, as its framing asks for (RFC 9112 §6.3 rule 8).
    pub const UNTIL_CLOSE: u16 = 1 << 3;
    /// The status was 101, or 2xx to a CONNECT: the connection is no longer HTTP/1.
    pub const SWITCHED: u16 = 1 << 4;
    /// The response had begun (its status is known) when the exchange was cut off.
    pub const RESPONSE_BEGUN: u16 = 1 << 5;
    /// The request was not whole, in its head or its body, when the response ended or the exchange
    /// was cut off; in an abort, this speaks of the last request.
    pub const REQUEST_OPEN: u16 = 1 << 6;
    /// A record of the request was lost, and the exchange counted as lost by the kernel side: this
    /// record only says that it is over.
    pub const REQUEST_LOST: u16 = 1 << 7;
    /// Of a request: `sequence` is known.
    pub const SEQUENCE: u16 = 1 << 8;
    /// Of a request: it was received by a read that would have waited for it. The thread had this
    /// one connection to look after at that moment, as no event loop has.
    pub const BLOCKING: u16 = 1 << 9;
    /// In a request: it came through a TLS library, in clear.
    pub const TLS: u16 = 1 << 10;
}

/// Why exchanges ended without a whole response.
#[repr(u16)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbortReason {
    /// The peer ended its side (FIN, or the other end of an `AF_UNIX` pair was closed).
    PeerClosed = 1,
    /// This end was closed or shut down for sending before the exchange was whole.
    LocalClosed = 2,
    /// The connection broke; `errno` has the socket's error (`ECONNRESET`, `ETIMEDOUT`, …).
    Broken = 3,
    /// The rest of the stream could not be followed: not an end, but a loss. `errno` is the
    /// [`super::counter::Counter`] that the exchanges were counted under.
    Lost = 4,
}

/// Begins every record.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordHeader {
    /// A [`RecordKind`].
    pub kind: u32,
    /// Size of the whole record with what follows it, in bytes.
    pub size: u32,
    /// When the event happened: `CLOCK_MONOTONIC`, ns.
    pub time_ns: u64,
    /// The socket's cookie (`sock_gen_cookie`): unique since boot. 0 in a [`ProcessRecord`].
    pub socket: u64,
}

/// One end of a connection as the socket knows it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SocketAddress {
    /// Network byte order; IPv4 in the first four bytes. For `AF_UNIX` the first eight bytes are the
    /// cookie of the peer's socket in native order, where this is the peer's address and the peer
    /// is known; else zero.
    pub addr: [u8; 16],
    /// Host byte order; 0 for `AF_UNIX`.
    pub port: u16,
    /// `AF_INET` (2), `AF_INET6` (10), or `AF_UNIX` (1).
    pub family: u16,
    /// The network namespace's inode number.
    pub netns: u32,
}

/// A request head, or a piece of one. `captured` bytes of it follow.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestRecord {
    /// Common to all records.
    pub header: RecordHeader,
    /// When the first byte of the request moved, ns (`CLOCK_MONOTONIC`).
    pub first_ns: u64,
    /// The task that read (server) or wrote (client) this piece.
    pub task: Task,
    /// This end.
    pub local: SocketAddress,
    /// The other end.
    pub peer: SocketAddress,
    /// The request's number on its connection, from 0.
    pub index: u32,
    /// Where in the head this piece begins, in bytes.
    pub offset: u32,
    /// Bytes of the head that follow this structure.
    pub captured: u32,
    /// [`flag`] bits: `HEAD_END`, `TRUNCATED`, `SEQUENCE`, `BLOCKING`.
    pub flags: u16,
    /// A [`SocketRole`].
    pub role: u8,
    /// Unused, 0.
    pub reserved: u8,
    /// TCP sequence number of the first byte of the head, the same at both ends of the connection;
    /// valid with `SEQUENCE`.
    pub sequence: u32,
    /// Unused, 0.
    pub reserved2: u32,
}

/// A final response that has ended.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResponseRecord {
    /// Common to all records.
    pub header: RecordHeader,
    /// When the first byte of the final response moved, ns.
    pub first_ns: u64,
    /// When its last byte moved, ns.
    pub last_ns: u64,
    /// Body bytes of the response after chunk decoding, before content decoding.
    pub body_bytes: u64,
    /// Body bytes of the request so far; valid with `REQUEST_BODY_KNOWN`.
    pub request_body_bytes: u64,
    /// The thread that sent (server) or received (client) the end of the final response's head.
    pub thread: u32,
    /// Number of the request that this answers.
    pub index: u32,
    /// The three digits.
    pub status: u16,
    /// [`flag`] bits.
    pub flags: u16,
    /// A [`SocketRole`].
    pub role: u8,
    /// Unused, 0.
    pub reserved: [u8; 3],
}

/// The exchanges `from..to` of a connection ended without a whole response.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AbortRecord {
    /// Common to all records.
    pub header: RecordHeader,
    /// When the first byte of the response to `from` moved, ns; 0 if none did.
    pub first_ns: u64,
    /// When the last byte in either direction moved, ns.
    pub last_ns: u64,
    /// Body bytes of the begun response.
    pub body_bytes: u64,
    /// Body bytes of the request `to - 1` so far; valid with `REQUEST_BODY_KNOWN`.
    pub request_body_bytes: u64,
    /// The first exchange that this ends.
    pub from: u32,
    /// One past the last.
    pub to: u32,
    /// The socket's error, or 0; see [`AbortReason`].
    pub errno: u32,
    /// An [`AbortReason`].
    pub reason: u16,
    /// Status of the begun response, or 0.
    pub status: u16,
    /// [`flag`] bits: `RESPONSE_BEGUN`, `REQUEST_BODY_KNOWN`, `REQUEST_OPEN`.
    pub flags: u16,
    /// A [`SocketRole`].
    pub role: u8,
    /// Unused, 0.
    pub reserved: [u8; 5],
}

/// Size of a request body that only the kernel side knows: sent when the body was chunked and
/// another request followed before the response, so that no response record can carry it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestBodyRecord {
    /// Common to all records.
    pub header: RecordHeader,
    /// Body bytes after chunk decoding.
    pub body_bytes: u64,
    /// Number of the request.
    pub index: u32,
    /// Unused, 0.
    pub reserved: u32,
}

/// A process does HTTP for the first time. `args_len` bytes of its command line follow, arguments
/// separated by NUL, and `environ_len` bytes of its environment, each from the beginning: what is
/// left to know it by if it is gone before the agent looks at `/proc`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessRecord {
    /// Common to all records.
    pub header: RecordHeader,
    /// The process and the thread that was seen.
    pub task: Task,
    /// Bytes of the command line that follow.
    pub args_len: u32,
    /// Bytes of the environment that follow the command line.
    pub environ_len: u32,
}

const _: () = {
    assert!(size_of::<RecordHeader>() == 24);
    assert!(size_of::<SocketAddress>() == 24);
    assert!(size_of::<RequestRecord>() == 24 + 8 + 48 + 48 + 24);
    assert!(size_of::<ResponseRecord>() == 24 + 32 + 16);
    assert!(size_of::<AbortRecord>() == 24 + 32 + 24);
    assert!(size_of::<RequestBodyRecord>() == 40);
    assert!(size_of::<ProcessRecord>() == 24 + 48 + 8);
    assert!(align_of::<RequestRecord>() == 8 && align_of::<ResponseRecord>() == 8);
    assert!(align_of::<AbortRecord>() == 8 && align_of::<ProcessRecord>() == 8);
};

/// Which of the per-CPU working memories a program of the sockets uses: each its own.
pub mod slot {
    /// `sock_send_length`, or `inet_sendmsg`.
    pub const SEND: u32 = 0;
    /// `sock_recv_length`, or `inet_recvmsg`.
    pub const RECV: u32 = 1;
    /// `inet_sock_set_state`.
    pub const STATE: u32 = 2;
    /// `tcp_destroy_sock`.
    pub const DESTROY: u32 = 3;
    /// How many there are where the kernel has the tracepoints.
    pub const TRACEPOINTS: u32 = 4;
    /// The spare at `sock_send_length`.
    pub const SEND_SPARE: u32 = 4;
    /// The spare at `sock_recv_length`.
    pub const RECV_SPARE: u32 = 5;
    /// How many there are with the spares.
    pub const WITH_SPARES: u32 = 6;
    /// `inet6_sendmsg`.
    pub const SEND6: u32 = 4;
    /// `inet6_recvmsg`.
    pub const RECV6: u32 = 5;
    /// `unix_stream_sendmsg`.
    pub const SEND_UNIX: u32 = 6;
    /// `unix_stream_recvmsg`.
    pub const RECV_UNIX: u32 = 7;
    /// `inet_sendpage`.
    pub const SEND_PAGE: u32 = 8;
    /// `unix_stream_sendpage`.
    pub const SEND_PAGE_UNIX: u32 = 9;
    /// How many there are.
    pub const COUNT: u32 = 10;
}
