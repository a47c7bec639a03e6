//! A server whose receives are armed on an io_uring and complete while its thread is blocked in
//! `read` on a pipe: the registers then describe the pipe's buffer, and that buffer holds the text
//! of a request that nobody sent over the socket.

use std::io::Write;
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::Duration;

use io_uring::{IoUring, opcode, types};

use crate::serve::listen;

const STALE: &[u8] = b"GET /stale HTTP/1.1\r\nHost: stale\r\nX: ";

pub(crate) fn serve() -> anyhow::Result<()> {
    // Refused where io_uring is switched off: say so before a port is announced.
    drop(IoUring::new(4)?);
    for stream in listen()?.incoming() {
        let stream = stream?;
        std::thread::spawn(move || {
            if let Err(error) = answer(stream) {
                eprintln!("{error}");
            }
        });
    }
    Ok(())
}

fn answer(mut stream: TcpStream) -> anyhow::Result<()> {
    let mut ring = IoUring::new(4)?;
    let (reader, writer) = rustix::pipe::pipe()?;
    // Lets the blocked thread go now and then. One byte at a time, and always the byte that is
    // there already: the buffer keeps its text.
    std::thread::spawn(move || {
        while rustix::io::write(&writer, &STALE[..1]).is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let mut stale = STALE.to_vec();
    let mut buffer = vec![0_u8; 4096];
    loop {
        let size = u32::try_from(buffer.len())?;
        let receive =
            opcode::Recv::new(types::Fd(stream.as_raw_fd()), buffer.as_mut_ptr(), size).build();
        // SAFETY: `buffer` outlives the operation: it is not touched before its completion.
        unsafe { ring.submission().push(&receive)? };
        ring.submit()?;
        let received = loop {
            rustix::io::read(&reader, &mut stale)?;
            if let Some(completion) = ring.completion().next() {
                break completion.result();
            }
        };
        if received <= 0 {
            return Ok(());
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")?;
    }
}
