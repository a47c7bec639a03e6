//! One connection: two directions, and the streams under way on it.

mod early;
mod streams;

use hark_common::http2::{Http2Direction, Http2EndRecord, Http2Position, Http2Record, flag};
use hark_common::socket::AbortReason;

pub use self::streams::STREAM_LIMIT;
use self::streams::{Moment, Streams};
use super::checkpoint::{Checkpoint, Writer};
use super::counters::{Counters, TableLoss};
use super::fields::Fields;
use super::hpack::{Decoder, Scratch};
use super::reader::{Heard, Reader};
use super::stream::{End, Stream};
use crate::connection::{self, DropReason, Event};
use crate::exchange::{Endpoint, Exchange, Role};
use crate::http1::HeadParser;

/// What all connections share.
pub(super) struct Shared {
    pub(super) parser: HeadParser,
    pub(super) fields: Fields,
    pub(super) scratch: Scratch,
    /// What an agent before this one knew.
    pub(super) checkpoint: Checkpoint,
    pub(super) exchanges: connection::Counters,
    pub(super) counters: Counters,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    readers: [Reader; 2],
    /// Number of the next record of each direction; `None` if any will do.
    next_seq: [Option<u32>; 2],
    /// A record of this direction was heard.
    heard: [bool; 2],
    /// A record was lost: what belongs to the frame that was under way is to be left out.
    resuming: [bool; 2],
    /// The process that moved something last.
    process: u32,
    streams: Streams,
}

impl Connection {
    /// A connection of which `first` is the first record.
    pub(super) fn new(first: &Http2Record, local: Endpoint, peer: Endpoint) -> Self {
        // The kernel side counts from 0, also where it joins in the middle. What begins with
        // another number was forgotten before, or its beginning was lost: then the first number
        // of the other direction says nothing.
        let next = (first.seq == 0).then_some(0);
        Self {
            readers: [Reader::default(), Reader::default()],
            next_seq: [next; 2],
            heard: [false; 2],
            resuming: [false; 2],
            process: first.task.process.pid,
            streams: Streams::new(first, local, peer),
        }
    }

    /// Memory that it takes, about, in bytes.
    pub(super) fn weight(&self) -> usize {
        let readers: usize = self.readers.iter().map(Reader::weight).sum();
        let tables: usize = self.streams.decoders.iter().map(Decoder::size).sum();
        let streams = self.streams.under_way.len() * size_of::<Stream>();
        size_of::<Self>() + readers + tables + streams + self.streams.early.weight()
    }

    /// The request of HTTP/1 that changed the connection to HTTP/2 is answered on stream 1.
    pub(super) fn upgrade(&mut self, exchange: Exchange) {
        self.streams.upgrade(exchange);
    }

    /// Takes a record in.
    pub(super) fn record(
        &mut self,
        role: Option<Role>,
        direction: Http2Direction,
        record: &Http2Record,
        frames: &[u8],
        shared: &mut Shared,
        sink: &mut impl FnMut(Event<'_>),
    ) {
        let Self {
            readers,
            next_seq,
            heard,
            resuming,
            process,
            streams,
        } = self;
        *process = record.task.process.pid;
        let at = direction as usize;
        let has = |flag| record.flags & flag != 0;
        if role.is_some() {
            streams.role = role;
        }
        let expected = next_seq[at].replace(record.seq.wrapping_add(1));
        let joined = !std::mem::replace(&mut heard[at], true);
        let missing = expected.is_some_and(|expected| expected != record.seq);
        let (mut resumed, mut upgraded) = (false, false);
        if missing {
            streams.lose_table(at, TableLoss::RecordLost, shared);
            streams.drop_all(DropReason::RecordLost, shared, sink);
        } else if joined && streams.is_upgraded() {
            // HTTP/1 has heard all that moved before.
            streams.start(at);
            upgraded = true;
        } else if joined && !has(flag::START) {
            let known = has(flag::RESYNC) && has(flag::ORIGIN) && record.seq == 0;
            let taken = (shared.checkpoint).take(record.header.socket, at, record.origin);
            match taken.filter(|_| known) {
                Some(taken) => {
                    resumed = true;
                    streams.resume(at, taken, shared);
                }
                None => streams.lose_table(at, TableLoss::Joined, shared),
            }
        }
        if missing || joined {
            readers[at].reset();
            resuming[at] = true;
        }
        if has(flag::RESYNC) {
            // That the table is unknown was noted when it became so.
            readers[at].reset();
            resuming[at] = false;
            if !resumed && !upgraded {
                streams.lose_bodies(at);
            }
        }
        // After an upgrade a server may have answered before the client's preface makes it certain.
        if has(flag::START) && !streams.is_upgraded() {
            streams.start(at);
        }
        let mut frames = frames;
        if resuming[at] {
            let continued = usize::try_from(record.continued).unwrap_or(usize::MAX);
            frames = frames.get(continued..).unwrap_or_default();
            resuming[at] = frames.is_empty() && !has(flag::CUT);
        }
        let moment = Moment {
            direction: at,
            task: record.task,
            now: record.header.time_ns,
            tls: has(flag::TLS),
        };
        let mut sort = |heard: Heard<'_>| streams.heard(heard, moment, shared, sink);
        readers[at].read(frames, moment.now, &mut sort);
        if has(flag::CUT) {
            readers[at].cut(&mut sort);
        }
        streams.catch_up(moment, shared, sink);
        if has(flag::LOST) {
            readers[at].reset();
            streams.lose_table(at, TableLoss::LostInKernel, shared);
            streams.drop_all(DropReason::LostInKernel, shared, sink);
        }
    }

    /// The process that moved something last.
    pub(super) const fn process(&self) -> u32 {
        self.process
    }

    /// Writes down what the next agent needs to know, if both directions were heard as far as
    /// `positions` says and are at the end of a frame, and if there is room.
    pub(super) fn save(
        &self,
        cookie: u64,
        positions: &[Http2Position; 2],
        writer: &mut Writer,
    ) -> bool {
        let Self {
            next_seq,
            heard,
            resuming,
            streams,
            ..
        } = self;
        let current = |at: usize| {
            let Http2Position { seq, settled, .. } = positions[at];
            heard[at] && next_seq[at] == Some(seq) && settled == 1 && !resuming[at]
        };
        let direction = |at: usize| {
            (
                positions[at].sequence,
                streams.allowed[at],
                &streams.decoders[at],
            )
        };
        current(0)
            && current(1)
            && writer.add(
                cookie,
                streams.role,
                streams.max_streams(),
                [direction(0), direction(1)],
            )
    }

    /// The connection has ended, and with it the streams under way.
    pub(super) fn end(
        mut self,
        reason: AbortReason,
        record: &Http2EndRecord,
        shared: &Shared,
        sink: &mut impl FnMut(Event<'_>),
    ) {
        let missing = |(heard, sent): (Option<u32>, u32)| heard.is_some_and(|heard| heard != sent);
        if self.next_seq.into_iter().zip(record.next_seq).any(missing) {
            // What is missing may have the ends of the streams.
            self.drop_all(DropReason::RecordLost, shared, sink);
            return;
        }
        let Some(error) = connection::error_type(reason, record.errno) else {
            self.drop_all(DropReason::LostInKernel, shared, sink);
            return;
        };
        let streams = &mut self.streams;
        streams.pass_early(u32::MAX, shared);
        for (id, stream) in std::mem::take(&mut streams.under_way) {
            let at_ns = if stream.has_response() {
                record.last_ns
            } else {
                record.header.time_ns
            };
            let end = End {
                at_ns,
                error: Some(error),
            };
            streams.end(id, stream, end, shared, sink);
        }
    }

    /// Drops the streams under way.
    pub(super) fn drop_all(
        &mut self,
        reason: DropReason,
        shared: &Shared,
        sink: &mut impl FnMut(Event<'_>),
    ) {
        self.streams.drop_all(reason, shared, sink);
    }
}
