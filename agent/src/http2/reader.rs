//! Frames and header blocks out of pieces of a stream, whatever its cuts.

use hark_common::http2::BLOCK_LIMIT;

use super::frame::{Frame, HEADER, Header, Messages};
use crate::exchange::ErrorCode;

/// What is heard in one direction, once it is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard<'a> {
    /// DATA has moved.
    Data {
        stream: u32,
        bytes: u64,
        messages: Messages,
        end_stream: bool,
        /// It moved in the other direction.
        other: bool,
    },
    /// A header block.
    Block {
        stream: u32,
        end_stream: bool,
        /// It is that of a request which the server makes up.
        push: bool,
        /// When its first byte moved, ns.
        first_ns: u64,
        block: &'a [u8],
        /// The rest was left out.
        cut: bool,
    },
    /// RST_STREAM.
    Reset { stream: u32, code: ErrorCode },
    /// GOAWAY.
    GoAway { last: u32 },
    /// SETTINGS.
    Settings {
        table_size: Option<u32>,
        max_streams: Option<u32>,
    },
    /// A header block is missing, or what there is of it does not belong together.
    BlockLost,
    /// A frame that breaks the rules for its type.
    Invalid,
}

/// A header block that goes on in another frame.
#[derive(Debug)]
struct OpenBlock {
    stream: u32,
    end_stream: bool,
    push: bool,
    first_ns: u64,
    bytes: Vec<u8>,
}

/// One direction of a connection.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// The beginning of a frame that is not whole yet.
    partial: Vec<u8>,
    /// When its first byte moved, ns.
    partial_ns: u64,
    block: Option<OpenBlock>,
}

impl Reader {
    /// Bytes that are held.
    pub(super) fn weight(&self) -> usize {
        self.partial.len() + self.block.as_ref().map_or(0, |block| block.bytes.len())
    }

    /// Drops what is not whole.
    pub(super) fn reset(&mut self) {
        self.partial = Vec::new();
        self.block = None;
    }

    /// Takes the next bytes, which moved at `now`.
    pub(super) fn read(&mut self, bytes: &[u8], now: u64, sink: &mut impl FnMut(Heard<'_>)) {
        if self.partial.is_empty() {
            let read = self.frames(bytes, now, now, sink);
            self.keep(bytes[read..].to_vec(), now, sink);
            return;
        }
        let mut held = std::mem::take(&mut self.partial);
        held.extend_from_slice(bytes);
        let read = self.frames(&held, self.partial_ns, now, sink);
        held.drain(..read);
        let first_ns = if read == 0 { self.partial_ns } else { now };
        self.keep(held, first_ns, sink);
    }

    /// Keeps the beginning of a frame.
    fn keep(&mut self, partial: Vec<u8>, first_ns: u64, sink: &mut impl FnMut(Heard<'_>)) {
        if partial.len() > HEADER + BLOCK_LIMIT {
            // The kernel side cuts before that: this is no record of its.
            self.block = None;
            sink(Heard::Invalid);
            sink(Heard::BlockLost);
            return;
        }
        self.partial = partial;
        self.partial_ns = first_ns;
    }

    /// The rest of the frame under way, and of the header block that it belongs to, is left out.
    pub(super) fn cut(&mut self, sink: &mut impl FnMut(Heard<'_>)) {
        let held = std::mem::take(&mut self.partial);
        if let Some(header) = Header::read(&held) {
            self.frame(&header, &held[HEADER..], self.partial_ns, sink);
        }
        if let Some(block) = self.block.take() {
            block.heard(true, sink);
        }
    }

    /// Reads whole frames, of which the first began at `first_ns`, and returns their length.
    fn frames(
        &mut self,
        bytes: &[u8],
        mut first_ns: u64,
        now: u64,
        sink: &mut impl FnMut(Heard<'_>),
    ) -> usize {
        let mut rest = bytes;
        while let Some(header) = Header::read(rest) {
            let Some((payload, after)) = rest[HEADER..].split_at_checked(header.follows()) else {
                break;
            };
            self.frame(&header, payload, first_ns, sink);
            rest = after;
            first_ns = now;
        }
        bytes.len() - rest.len()
    }

    fn frame(
        &mut self,
        header: &Header,
        payload: &[u8],
        first_ns: u64,
        sink: &mut impl FnMut(Heard<'_>),
    ) {
        let Some(frame) = Frame::read(header, payload) else {
            sink(Heard::Invalid);
            if header.has_block() {
                self.block = None;
                sink(Heard::BlockLost);
            }
            return;
        };
        if let Frame::Continuation {
            stream,
            end_headers,
            fragment,
        } = frame
        {
            let cut = payload.len() < header.follows();
            self.continuation(stream, end_headers, fragment, cut, sink);
            return;
        }
        if self.block.is_some() && !matches!(frame, Frame::Other) {
            // RFC 9113 §6.10: nothing may come between the frames of a block.
            self.block = None;
            sink(Heard::Invalid);
            sink(Heard::BlockLost);
        }
        match frame {
            Frame::Data {
                stream,
                bytes,
                messages,
                end_stream,
                other,
            } => sink(Heard::Data {
                stream,
                bytes,
                messages,
                end_stream,
                other,
            }),
            Frame::Block {
                stream,
                end_stream,
                push,
                end_headers: true,
                fragment,
            } => sink(Heard::Block {
                stream,
                end_stream,
                push,
                first_ns,
                block: fragment,
                cut: payload.len() < header.follows(),
            }),
            Frame::Block {
                stream,
                end_stream,
                push,
                end_headers: false,
                fragment,
            } => {
                self.block = Some(OpenBlock {
                    stream,
                    end_stream,
                    push,
                    first_ns,
                    bytes: fragment.to_vec(),
                });
            }
            Frame::Reset { stream, code } => sink(Heard::Reset { stream, code }),
            Frame::GoAway { last } => sink(Heard::GoAway { last }),
            Frame::Settings {
                table_size,
                max_streams,
            } => sink(Heard::Settings {
                table_size,
                max_streams,
            }),
            Frame::Continuation { .. } | Frame::Other => {}
        }
    }

    fn continuation(
        &mut self,
        stream: u32,
        end_headers: bool,
        fragment: &[u8],
        cut: bool,
        sink: &mut impl FnMut(Heard<'_>),
    ) {
        match self.block.take() {
            Some(mut block)
                if block.stream == stream && block.bytes.len() + fragment.len() <= BLOCK_LIMIT =>
            {
                block.bytes.extend_from_slice(fragment);
                if end_headers || cut {
                    block.heard(cut, sink);
                } else {
                    self.block = Some(block);
                }
            }
            // What came before was lost, or is that of another block.
            Some(_) | None => sink(Heard::BlockLost),
        }
    }
}

impl OpenBlock {
    fn heard(self, cut: bool, sink: &mut impl FnMut(Heard<'_>)) {
        sink(Heard::Block {
            stream: self.stream,
            end_stream: self.end_stream,
            push: self.push,
            first_ns: self.first_ns,
            block: &self.bytes,
            cut,
        });
    }
}
