//! Response bodies: a few bytes, or a page that is written while it is sent.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::{Body, Frame};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// What is sent.
pub(super) type ResponseBody =
    Either<http_body_util::combinators::MapErr<Full<Bytes>, fn(Infallible) -> io::Error>, Streamed>;

/// Pieces of about 64 KiB that may wait for the client to take them.
const PIECES: usize = 4;

/// A body that is whole.
pub(super) fn whole(bytes: impl Into<Bytes>) -> ResponseBody {
    let never: fn(Infallible) -> io::Error = |never| match never {};
    Either::Left(Full::new(bytes.into()).map_err(never))
}

/// A body that is written by a blocking task, and where it is written to.
pub(super) fn streamed(deadline: Instant) -> (Sink, ResponseBody) {
    let (sender, receiver) = mpsc::channel(PIECES);
    let sink = Sink {
        runtime: Handle::current(),
        sender,
        deadline,
    };
    let body = Streamed {
        receiver,
        ended: false,
    };
    (sink, Either::Right(body))
}

enum Piece {
    Data(Bytes),
    End,
}

/// The writing side; blocks while the client is behind. A body whose sink is dropped without
/// [`Sink::end`] fails, so that the client does not take half a page for a page.
pub(super) struct Sink {
    runtime: Handle,
    sender: mpsc::Sender<Piece>,
    deadline: Instant,
}

impl Sink {
    /// Marks the body as whole.
    pub(super) fn end(self) -> io::Result<()> {
        self.send(Piece::End)
    }

    fn send(&self, piece: Piece) -> io::Result<()> {
        let send = tokio::time::timeout_at(self.deadline, self.sender.send(piece));
        match self.runtime.block_on(send) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(io::ErrorKind::BrokenPipe.into()),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !bytes.is_empty() {
            self.send(Piece::Data(Bytes::copy_from_slice(bytes)))?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The reading side.
pub(super) struct Streamed {
    receiver: mpsc::Receiver<Piece>,
    ended: bool,
}

impl Body for Streamed {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let piece = std::task::ready!(self.receiver.poll_recv(context));
        Poll::Ready(match piece {
            Some(Piece::Data(bytes)) => Some(Ok(Frame::data(bytes))),
            Some(Piece::End) => {
                self.ended = true;
                None
            }
            None => {
                self.ended = true;
                Some(Err(io::Error::other("the page was not written to its end")))
            }
        })
    }
}
