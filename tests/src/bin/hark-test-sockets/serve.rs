//! Small HTTP/1.1 servers whose way to receive is what is tested.

use std::io::Write;
use std::net::{TcpListener, TcpStream};

use crate::receive;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";

type Receive = fn(&mut TcpStream, &mut [u8]) -> std::io::Result<usize>;

pub(crate) fn listen() -> std::io::Result<TcpListener> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("PORT {}", listener.local_addr()?.port());
    Ok(listener)
}

/// Answers one request with 204 and ends when the client has closed.
pub(crate) fn one() -> anyhow::Result<()> {
    let (mut stream, _) = listen()?.accept()?;
    let mut reader = Reader::new(stream.try_clone()?, std::io::Read::read);
    anyhow::ensure!(reader.head()?.is_some(), "no request");
    stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
    anyhow::ensure!(reader.head()?.is_none(), "a second request");
    Ok(())
}

/// Answers every request, each connection on a thread of its own.
pub(crate) fn all(receive: Receive) -> anyhow::Result<()> {
    for stream in listen()?.incoming() {
        let mut stream = stream?;
        std::thread::spawn(move || -> std::io::Result<()> {
            let mut reader = Reader::new(stream.try_clone()?, receive);
            while let Some(length) = reader.head()? {
                reader.body(length)?;
                stream.write_all(OK)?;
            }
            Ok(())
        });
    }
    Ok(())
}

/// Reads heads; bodies never reach a buffer of this process.
pub(crate) fn discarding(
    discard: fn(&TcpStream, usize) -> std::io::Result<usize>,
) -> anyhow::Result<()> {
    for stream in listen()?.incoming() {
        let mut stream = stream?;
        std::thread::spawn(move || -> std::io::Result<()> {
            let mut reader = Reader::new(stream.try_clone()?, std::io::Read::read);
            while let Some(mut length) = reader.head()? {
                length -= reader.buffer.len();
                reader.buffer.clear();
                while length > 0 {
                    length -= discard(&stream, length)?;
                }
                stream.write_all(OK)?;
            }
            Ok(())
        });
    }
    Ok(())
}

/// Bytes of the body that [`splicing`] answers with.
const SPLICED: usize = 50_000;

/// Answers with a body that goes from a pipe to the socket without passing through a buffer.
pub(crate) fn splicing() -> anyhow::Result<()> {
    for stream in listen()?.incoming() {
        let mut stream = stream?;
        std::thread::spawn(move || -> std::io::Result<()> {
            let mut reader = Reader::new(stream.try_clone()?, std::io::Read::read);
            while let Some(length) = reader.head()? {
                reader.body(length)?;
                write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nContent-Length: {SPLICED}\r\n\r\n"
                )?;
                let (output, input) = rustix::pipe::pipe()?;
                // It fits: a pipe holds 64 KiB.
                rustix::io::write(&input, &[b's'; SPLICED])?;
                let mut left = SPLICED;
                while left > 0 {
                    left -= receive::splice(&output, &stream, left)?;
                }
            }
            Ok(())
        });
    }
    Ok(())
}

struct Reader {
    stream: TcpStream,
    receive: Receive,
    buffer: Vec<u8>,
}

impl Reader {
    const fn new(stream: TcpStream, receive: Receive) -> Self {
        Self {
            stream,
            receive,
            buffer: Vec::new(),
        }
    }

    /// Reads a head; gives the length of its body, or nothing at the end of the connection.
    fn head(&mut self) -> std::io::Result<Option<usize>> {
        loop {
            if let Some(end) = self
                .buffer
                .windows(4)
                .position(|window| window == b"\r\n\r\n")
            {
                let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
                let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
                let length = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
                return Ok(Some(length.unwrap_or(0)));
            }
            if self.more()? == 0 {
                return Ok(None);
            }
        }
    }

    fn body(&mut self, length: usize) -> std::io::Result<()> {
        while self.buffer.len() < length {
            if self.more()? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        self.buffer.drain(..length);
        Ok(())
    }

    fn more(&mut self) -> std::io::Result<usize> {
        let mut piece = [0; 8192];
        let size = (self.receive)(&mut self.stream, &mut piece)?;
        self.buffer.extend_from_slice(&piece[..size]);
        Ok(size)
    }
}
