//! What the probes in TLS libraries are told, and the record that the kernel side sends of a
//! connection with TLS.

use crate::process::Task;
use crate::socket::{RecordHeader, SocketAddress};

/// Longest beginning of a TLS stream carried by one [`TlsRecord`], in bytes.
pub const HELLO_LIMIT: usize = 512;

/// Sessions whose socket is remembered, or is to be found by a descriptor.
pub const MAX_SESSIONS: u32 = 65_536;

/// Goroutines that are in a call at a time: one that waits for a connection's next bytes is. Those
/// of a process that was killed stay until others need the place.
pub const MAX_GOROUTINES: u32 = 65_536;

/// A function of a TLS library, as the probes in it are told by their cookie
/// ([`cookie`]). Each has probes at its entry, and those that move data at their return instructions
/// as well.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// `(session, buffer, …)`, returns how many bytes were read: `SSL_read`, `gnutls_record_recv`,
    /// `crypto/tls.(*Conn).Read`.
    Read = 1,
    /// `(session, buffer, …)`, returns how many bytes were written: `SSL_write`,
    /// `gnutls_record_send`, `crypto/tls.(*Conn).Write`.
    Write = 2,
    /// `(session, buffer, limit, *done)`, returns 1 if `*done` bytes were read: `SSL_read_ex`.
    ReadEx = 3,
    /// `(session, buffer, length, *done)`, returns 1 if `*done` bytes were written:
    /// `SSL_write_ex`.
    WriteEx = 4,
    /// `(session, buffer, length, flags, *done)`, as `WriteEx`: `SSL_write_ex2`.
    WriteEx2 = 5,
    /// `(session, fd)`, the session will use that descriptor both ways: `SSL_set_fd`.
    SetDescriptor = 6,
    /// `(session, fd, fd)`, for receiving and for sending: `gnutls_transport_set_int2`.
    SetDescriptors = 7,
    /// `(session)`, it is no more: `SSL_free`, `gnutls_deinit`.
    Free = 8,
    /// `(session, fd, offset, size, flags)`, returns how many bytes of a file were sent:
    /// `SSL_sendfile`.
    SendFile = 9,
    /// `(session)`, it goes on with its handshake: `SSL_do_handshake`, `gnutls_handshake`. In Go it begins with
    /// it, and has probes at its returns: `crypto/tls.(*Conn).clientHandshake`, `.serverHandshake`.
    Handshake = 10,
}

/// A TLS library, as the probes in it are told by their cookie.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Library {
    /// OpenSSL, or what keeps to its interface.
    OpenSsl = 1,
    /// GnuTLS.
    GnuTls = 2,
    /// Go's `crypto/tls`, whose functions take their arguments by Go's internal ABI and belong to a
    /// goroutine, not to a thread.
    Go = 3,
}

/// Files with probes in them at a time.
pub const FILE_LIMIT: u32 = 4096;

/// The cookie of a probe, without the file that it is in.
#[must_use]
pub const fn cookie(function: Function, library: Library) -> u64 {
    function as u64 | (library as u64) << 8
}

/// The [`Library`] of a probe, by its cookie.
#[must_use]
pub const fn library_of(cookie: u64) -> u8 {
    (cookie >> 8) as u8
}

/// A cookie, with the number of the file that the probe is in, below [`FILE_LIMIT`].
#[must_use]
pub const fn in_file(cookie: u64, file: u32) -> u64 {
    cookie | (file as u64) << 16
}

/// That number.
#[must_use]
pub const fn file_of(cookie: u64) -> u32 {
    (cookie >> 16) as u32
}

/// A connection with TLS: its first bytes were seen, or, once, data that a library handed over in
/// clear. `captured` bytes of the stream follow.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TlsRecord {
    /// Common to all records.
    pub header: RecordHeader,
    /// The task that sent or received.
    pub task: Task,
    /// This end.
    pub local: SocketAddress,
    /// The other end.
    pub peer: SocketAddress,
    /// Bytes of the encrypted stream that follow, from the first record's header on; 0 if they are
    /// not its beginning, or could not be read.
    pub captured: u32,
    /// The [`Library`] that handed data over in clear; 0 if the record is about the first bytes.
    pub library: u8,
    /// 1: the bytes were sent; 0: they were received.
    pub sent: u8,
    /// Unused, 0.
    pub reserved: u16,
}

const _: () = {
    assert!(size_of::<TlsRecord>() == 24 + 48 + 48 + 8);
    assert!(align_of::<TlsRecord>() == 8);
};
