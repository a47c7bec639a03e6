//! A stream, and every way to write to it.

use std::io::{IoSlice, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use hark_tests::load::Target;

/// Why a response is not whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// `ECONNRESET` or `EPIPE`.
    Reset,
    /// The server closed early.
    Closed,
    /// The plan was to give up.
    Aborted,
    /// Not HTTP, or nothing within half a minute.
    Broken,
}

impl Failure {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::Closed => "closed",
            Self::Aborted => "aborted",
            Self::Broken => "broken",
        }
    }
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// One connection with its read buffer.
pub(crate) struct Connection {
    stream: Stream,
    /// What was read and not yet used.
    pub(crate) buffer: Vec<u8>,
    local_port: u16,
}

impl Connection {
    pub(crate) fn open(target: &Target) -> std::io::Result<Self> {
        let limit = Some(Duration::from_secs(30));
        let (stream, local_port) = match target {
            Target::Tcp(address) => {
                let stream = TcpStream::connect(address)?;
                // Each piece is meant to travel on its own.
                stream.set_nodelay(true)?;
                stream.set_read_timeout(limit)?;
                stream.set_write_timeout(limit)?;
                let port = stream.local_addr()?.port();
                (Stream::Tcp(stream), port)
            }
            Target::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(limit)?;
                stream.set_write_timeout(limit)?;
                (Stream::Unix(stream), 0)
            }
        };
        Ok(Self {
            stream,
            buffer: Vec::new(),
            local_port,
        })
    }

    pub(crate) const fn local_port(&self) -> u16 {
        self.local_port
    }

    /// Reads more into the buffer; gives how much.
    pub(crate) fn fill(&mut self) -> std::io::Result<usize> {
        let mut piece = [0; 64 << 10];
        let read = match &mut self.stream {
            Stream::Tcp(stream) => stream.read(&mut piece)?,
            Stream::Unix(stream) => stream.read(&mut piece)?,
        };
        self.buffer.extend_from_slice(&piece[..read]);
        Ok(read)
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match &mut self.stream {
            Stream::Tcp(stream) => stream.write_all(bytes),
            Stream::Unix(stream) => stream.write_all(bytes),
        }
    }

    /// `writev`, again and again until all is written.
    pub(crate) fn write_vectored(&mut self, bytes: &[u8], size: usize) -> std::io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let slices: Vec<IoSlice<'_>> = rest.chunks(size).take(64).map(IoSlice::new).collect();
            let written = match &mut self.stream {
                Stream::Tcp(stream) => stream.write_vectored(&slices)?,
                Stream::Unix(stream) => stream.write_vectored(&slices)?,
            };
            rest = &rest[written..];
        }
        Ok(())
    }

    /// `sendmsg`, again and again until all is written.
    pub(crate) fn send_message(&mut self, bytes: &[u8], size: usize) -> std::io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let mut vectors = vectors(rest, size);
            // SAFETY: an all-zero msghdr is a valid, empty one.
            let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
            message.msg_iov = vectors.as_mut_ptr();
            message.msg_iovlen = vectors.len() as _;
            // SAFETY: the header and the vectors point to memory that lives past the call.
            let sent = unsafe { libc::sendmsg(self.fd(), &raw const message, libc::MSG_NOSIGNAL) };
            rest = &rest[checked(sent)?..];
        }
        Ok(())
    }

    /// `sendmmsg`, again and again until all is written.
    pub(crate) fn send_messages(&mut self, bytes: &[u8], size: usize) -> std::io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let mut vectors = vectors(rest, size);
            let mut messages: Vec<libc::mmsghdr> = vectors
                .iter_mut()
                .map(|vector| {
                    // SAFETY: an all-zero mmsghdr is a valid, empty one.
                    let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
                    message.msg_hdr.msg_iov = vector;
                    message.msg_hdr.msg_iovlen = 1;
                    message
                })
                .collect();
            let count = messages.len() as libc::c_uint;
            // SAFETY: `count` headers lie at the pointer, their vectors live past the call.
            let sent = unsafe {
                libc::sendmmsg(self.fd(), messages.as_mut_ptr(), count, libc::MSG_NOSIGNAL)
            };
            let sent = checked(sent as isize)?;
            let written: usize = messages[..sent]
                .iter()
                .map(|message| message.msg_len as usize)
                .sum();
            rest = &rest[written..];
        }
        Ok(())
    }

    pub(crate) fn shut_write(&self) -> std::io::Result<()> {
        match &self.stream {
            Stream::Tcp(stream) => stream.shutdown(std::net::Shutdown::Write),
            Stream::Unix(stream) => stream.shutdown(std::net::Shutdown::Write),
        }
    }

    /// The next close sends RST instead of FIN.
    pub(crate) fn reset(&self) {
        let linger = libc::linger {
            l_onoff: 1,
            l_linger: 0,
        };
        // SAFETY: the option is a `linger` of the size given, and lives past the call.
        unsafe {
            libc::setsockopt(
                self.fd(),
                libc::SOL_SOCKET,
                libc::SO_LINGER,
                (&raw const linger).cast(),
                size_of::<libc::linger>() as libc::socklen_t,
            );
        }
    }

    /// After an upgrade: writes bytes that look like HTTP and reads them back.
    pub(crate) fn echo(&mut self, size: usize) -> anyhow::Result<()> {
        let text = b"GET /inside HTTP/1.1\r\nhost: inside\r\n\r\n\0\xff";
        let sent: Vec<u8> = text.iter().copied().cycle().take(size).collect();
        self.write(&sent)?;
        while self.buffer.len() < size {
            anyhow::ensure!(self.fill()? > 0, "the echo ended early");
        }
        anyhow::ensure!(self.buffer == sent, "the echo differs");
        Ok(())
    }

    fn fd(&self) -> RawFd {
        match &self.stream {
            Stream::Tcp(stream) => stream.as_raw_fd(),
            Stream::Unix(stream) => stream.as_raw_fd(),
        }
    }
}

fn vectors(bytes: &[u8], size: usize) -> Vec<libc::iovec> {
    bytes
        .chunks(size)
        .take(64)
        .map(|piece| libc::iovec {
            iov_base: piece.as_ptr().cast_mut().cast(),
            iov_len: piece.len(),
        })
        .collect()
}

fn checked(result: isize) -> std::io::Result<usize> {
    usize::try_from(result).map_err(|_| std::io::Error::last_os_error())
}
