//! Ways to receive bytes from a stream socket.

use std::io::{IoSliceMut, Read};
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd};

/// Looks three times before it takes: the first two must not count as received.
pub(crate) fn peek(stream: &mut TcpStream, buffer: &mut [u8]) -> std::io::Result<usize> {
    stream.peek(buffer)?;
    stream.peek(&mut buffer[..1])?;
    stream.read(buffer)
}

/// `readv` into three buffers, the first of one byte.
pub(crate) fn readv(stream: &mut TcpStream, buffer: &mut [u8]) -> std::io::Result<usize> {
    let (first, rest) = buffer.split_at_mut(1);
    let (second, third) = rest.split_at_mut(10);
    stream.read_vectored(&mut [
        IoSliceMut::new(first),
        IoSliceMut::new(second),
        IoSliceMut::new(third),
    ])
}

/// `recvmsg` into two buffers.
pub(crate) fn recvmsg(stream: &mut TcpStream, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut vectors = halves(buffer);
    // SAFETY: an all-zero msghdr is a valid, empty one.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = vectors.as_mut_ptr();
    message.msg_iovlen = vectors.len() as _;
    // SAFETY: the vectors cover `buffer`, which lives past the call.
    checked(unsafe { libc::recvmsg(stream.as_raw_fd(), &raw mut message, 0) })
}

/// `recvmmsg` into two messages, as soon as one is there.
pub(crate) fn recvmmsg(stream: &mut TcpStream, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut vectors = halves(buffer);
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
    // SAFETY: two messages lie at the pointer, their vectors cover `buffer`.
    let received = unsafe {
        libc::recvmmsg(
            stream.as_raw_fd(),
            messages.as_mut_ptr(),
            2,
            libc::MSG_WAITFORONE,
            std::ptr::null_mut(),
        )
    };
    let received = checked(received as isize)?;
    let sizes: Vec<usize> = messages[..received]
        .iter()
        .map(|message| message.msg_len as usize)
        .collect();
    // The second message belongs right behind the first.
    if let [first, second] = sizes[..] {
        let half = buffer.len() / 2;
        buffer.copy_within(half..half + second, first);
    }
    Ok(sizes.iter().sum())
}

/// `recv` with `MSG_TRUNC`: TCP throws the bytes away and copies nothing.
pub(crate) fn discard(stream: &TcpStream, size: usize) -> std::io::Result<usize> {
    // SAFETY: with MSG_TRUNC on TCP the kernel does not touch the buffer, which may be null.
    checked(unsafe {
        libc::recv(
            stream.as_raw_fd(),
            std::ptr::null_mut(),
            size,
            libc::MSG_TRUNC,
        )
    })
}

/// `splice` from the socket to a pipe, and the pipe thrown away.
pub(crate) fn splice_away(stream: &TcpStream, size: usize) -> std::io::Result<usize> {
    let (_output, input) = rustix::pipe::pipe()?;
    splice(stream, &input, size.min(32 << 10))
}

/// One `splice`.
pub(crate) fn splice(from: impl AsFd, to: impl AsFd, size: usize) -> std::io::Result<usize> {
    let flags = rustix::pipe::SpliceFlags::empty();
    Ok(rustix::pipe::splice(from, None, to, None, size, flags)?)
}

fn halves(buffer: &mut [u8]) -> [libc::iovec; 2] {
    let half = buffer.len() / 2;
    let (first, second) = buffer.split_at_mut(half);
    [first, second].map(|part| libc::iovec {
        iov_base: part.as_mut_ptr().cast(),
        iov_len: part.len(),
    })
}

fn checked(result: isize) -> std::io::Result<usize> {
    usize::try_from(result).map_err(|_| std::io::Error::last_os_error())
}
