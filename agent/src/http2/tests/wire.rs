//! One connection as the kernel side tells of it, and what was made of it.

use hark_common::http2::{flag, messages};
use hark_common::socket::{RecordHeader, Task};

use super::super::hpack::tests::random::{Encoder, Form};
use super::*;
use crate::connection;
use crate::context::Format;

pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

/// The boot that checkpoints are of.
pub(super) const BOOT: BootId = [7; 16];

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Requests,
    Responses,
}

/// A frame as the kernel side hands it over.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, length: usize, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(length).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

pub(super) fn data(stream: u32, bytes: usize, flags: u8) -> Vec<u8> {
    carrying(stream, bytes, flags, messages::UNKNOWN)
}

/// DATA with what is said of its messages.
pub(super) fn carrying(stream: u32, bytes: usize, flags: u8, messages: u32) -> Vec<u8> {
    frame(0, flags, stream, bytes, &messages.to_be_bytes())
}

pub(super) fn headers(stream: u32, flags: u8, block: &[u8]) -> Vec<u8> {
    frame(1, flags | END_HEADERS, stream, block.len(), block)
}

pub(super) fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(3, 0, stream, 4, &code.to_be_bytes())
}

pub(super) fn settings(pairs: &[(u16, u32)]) -> Vec<u8> {
    let mut payload = Vec::new();
    for (id, value) in pairs {
        payload.extend(id.to_be_bytes());
        payload.extend(value.to_be_bytes());
    }
    frame(4, 0, 0, payload.len(), &payload)
}

pub(super) fn go_away(last: u32) -> Vec<u8> {
    let mut payload = last.to_be_bytes().to_vec();
    payload.extend([0; 4]);
    frame(7, 0, 0, 8, &payload)
}

/// A connection, and all that was said of it.
pub(super) struct Wire {
    pub(super) connections: Connections,
    pub(super) exchanges: connection::Counters,
    pub(super) counters: Counters,
    role: Role,
    /// Whether the records say the role.
    told: bool,
    encoders: [Encoder; 2],
    pub(super) seq: [u32; 2],
    /// Where the socket stood before the first event, for records that say so.
    pub(super) origin: u32,
    pub(super) now: u64,
    pub(super) active: usize,
    /// Requests that took the last stream.
    pub(super) at_limit: usize,
    pub(super) ended: Vec<Exchange>,
    pub(super) dropped: Vec<DropReason>,
}

impl Wire {
    /// A connection that is heard from its beginning.
    pub(super) fn new(role: Role) -> Self {
        let mut wire = Self::silent(role);
        for side in [Side::Requests, Side::Responses] {
            wire.flagged(side, flag::START, &settings(&[]));
        }
        wire
    }

    /// A connection of which nothing was heard.
    pub(super) fn silent(role: Role) -> Self {
        let (exchanges, counters) = (connection::Counters::new(), Counters::new());
        Self {
            connections: Connections::new(
                4,
                HeadParser::new(&Format::ALL),
                exchanges.clone(),
                counters.clone(),
            ),
            exchanges,
            counters,
            role,
            told: true,
            encoders: [Encoder::new(), Encoder::new()],
            seq: [0; 2],
            origin: 0,
            now: 1_000_000_000,
            active: 0,
            at_limit: 0,
            ended: Vec::new(),
            dropped: Vec::new(),
        }
    }

    /// This connection as the next agent hears it, which reads what this one has left.
    pub(super) fn restarted(self, checkpoint: &[u8]) -> Self {
        let mut wire = Self::silent(self.role);
        wire.told = false;
        wire.encoders = self.encoders;
        let checkpoint = Checkpoint::read(checkpoint, &BOOT).unwrap();
        wire.connections.resume(checkpoint);
        wire
    }

    /// A connection that is joined in the middle, by records that do not say the role.
    pub(super) fn joined(role: Role) -> Self {
        let mut wire = Self::silent(role);
        wire.told = false;
        wire
    }

    /// A header block, encoded as a real client or server would: what is not in the table goes there.
    pub(super) fn block(&mut self, side: Side, fields: &[(&str, &str)]) -> Vec<u8> {
        let mut block = Vec::new();
        for (name, value) in fields {
            self.encoders[side as usize].field(Form::Entry, name, value, &mut block);
        }
        block
    }

    pub(super) fn request(&mut self, stream: u32, flags: u8, fields: &[(&str, &str)]) {
        let block = self.block(Side::Requests, fields);
        self.moved(Side::Requests, &headers(stream, flags, &block));
    }

    pub(super) fn response(&mut self, stream: u32, flags: u8, fields: &[(&str, &str)]) {
        let block = self.block(Side::Responses, fields);
        self.moved(Side::Responses, &headers(stream, flags, &block));
    }

    pub(super) fn get(&mut self, stream: u32) {
        self.request(
            stream,
            END_STREAM,
            &[
                (":method", "GET"),
                (":scheme", "http"),
                (":authority", "shop.example:8080"),
                (":path", "/orders/17?secret=1"),
                ("user-agent", "test/1"),
            ],
        );
    }

    /// One record; a microsecond passes with each.
    pub(super) fn moved(&mut self, side: Side, frames: &[u8]) {
        self.flagged(side, 0, frames);
    }

    pub(super) fn flagged(&mut self, side: Side, flags: u16, frames: &[u8]) {
        self.told_at(side, flags, 0, frames);
        self.now += 1000;
    }

    /// A record is made and lost.
    pub(super) fn lose(&mut self, side: Side) {
        self.seq[side as usize] += 1;
        self.now += 1000;
    }

    pub(super) fn told_at(&mut self, side: Side, flags: u16, continued: usize, frames: &[u8]) {
        let seq = self.seq[side as usize];
        self.seq[side as usize] += 1;
        let record = Http2Record {
            header: RecordHeader {
                time_ns: self.now,
                socket: 7,
                ..RecordHeader::default()
            },
            task: Task::default(),
            seq,
            len: u32::try_from(frames.len()).unwrap(),
            continued: u32::try_from(continued).unwrap(),
            flags,
            origin: self.origin,
            ..Http2Record::default()
        };
        let received = (side == Side::Requests) == (self.role == Role::Server);
        let part = Part {
            role: self.told.then_some(self.role),
            direction: if received {
                Http2Direction::Received
            } else {
                Http2Direction::Sent
            },
            local: Endpoint::Unix,
            peer: Endpoint::Unix,
            record: &record,
            frames,
        };
        let (active, ended, dropped) = (&mut self.active, &mut self.ended, &mut self.dropped);
        let at_limit = &mut self.at_limit;
        self.connections.part(&part, &mut |event| {
            if let Event::Begun {
                at_stream_limit, ..
            } = event
            {
                *at_limit += usize::from(at_stream_limit);
            }
            take(event, active, ended, dropped);
        });
    }

    pub(super) fn end(&mut self, reason: AbortReason, errno: u32) {
        let [requests, responses] = self.seq;
        let record = Http2EndRecord {
            header: RecordHeader {
                time_ns: self.now,
                socket: 7,
                ..RecordHeader::default()
            },
            last_ns: self.now - 500,
            next_seq: match self.role {
                Role::Server => [requests, responses],
                Role::Client => [responses, requests],
            },
            errno,
            ..Http2EndRecord::default()
        };
        let (active, ended, dropped) = (&mut self.active, &mut self.ended, &mut self.dropped);
        self.connections.end(reason, &record, &mut |event| {
            take(event, active, ended, dropped);
        });
        assert!(self.connections.is_empty());
        assert_eq!(self.connections.weight(), 0);
        assert_eq!(self.active, 0, "what began has ended");
    }

    /// The one exchange there is.
    pub(super) fn only(&mut self) -> Exchange {
        assert_eq!(self.ended.len(), 1, "{:?}", self.ended);
        self.ended.remove(0)
    }
}

pub(super) fn take(
    event: Event<'_>,
    active: &mut usize,
    ended: &mut Vec<Exchange>,
    dropped: &mut Vec<DropReason>,
) {
    match event {
        Event::Begun { protocol, .. } => {
            assert_eq!(protocol, Protocol::Http2);
            *active += 1;
        }
        Event::Ended(exchange) => {
            *active -= 1;
            ended.push(exchange);
        }
        Event::Dropped { reason, .. } => {
            *active -= 1;
            dropped.push(reason);
        }
    }
}
