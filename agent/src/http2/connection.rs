//! One connection: two directions, and the streams under way on it.

use std::collections::HashMap;

use hark_common::http2::{Http2Direction, Http2EndRecord, Http2Record, flag};
use hark_common::socket::{AbortReason, Task};

use super::counters::{Counters, TableLoss};
use super::fields::Fields;
use super::hpack::{Decoder, Scratch};
use super::reader::{Heard, Reader};
use super::stream::{End, Place, Stream};
use crate::connection::{self, DropReason, Event};
use crate::exchange::{Endpoint, ErrorType, Role, Trail};
use crate::http1::HeadParser;

/// Streams under way on one connection; what begins beyond is not followed.
pub const STREAM_LIMIT: usize = 8192;

/// What all connections share.
pub(super) struct Shared {
    pub(super) parser: HeadParser,
    pub(super) fields: Fields,
    pub(super) scratch: Scratch,
    pub(super) exchanges: connection::Counters,
    pub(super) counters: Counters,
}

/// When, and by whom, what is read now was moved.
#[derive(Clone, Copy)]
struct Moment {
    direction: usize,
    task: Task,
    now: u64,
    /// It came through a TLS library.
    tls: bool,
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
    streams: Streams,
}

/// The streams of a connection, and what is needed to read of them.
#[derive(Debug)]
struct Streams {
    role: Option<Role>,
    socket: u64,
    local: Endpoint,
    peer: Endpoint,
    trail: Trail,
    decoders: [Decoder; 2],
    /// Something of this direction was not heard.
    damaged: [bool; 2],
    /// Largest header table that the other direction has allowed to this one, in bytes.
    allowed: [u32; 2],
    under_way: HashMap<u32, Stream>,
    /// Greatest identifier of a request.
    last: u32,
    /// From this identifier on every request was heard.
    watched_from: Option<u32>,
    /// `SETTINGS_MAX_CONCURRENT_STREAMS` of the server.
    max_streams: Option<u32>,
    /// Greatest identifier that the server looks at, by its GOAWAY.
    processed: u32,
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
            streams: Streams {
                role: None,
                socket: first.header.socket,
                local,
                peer,
                trail: connection::trail(&first.peer),
                decoders: [Decoder::new(), Decoder::new()],
                damaged: [false; 2],
                allowed: [0; 2],
                under_way: HashMap::new(),
                last: 0,
                watched_from: None,
                max_streams: None,
                processed: u32::MAX,
            },
        }
    }

    /// Memory that it takes, about, in bytes.
    pub(super) fn weight(&self) -> usize {
        let readers: usize = self.readers.iter().map(Reader::weight).sum();
        let tables: usize = self.streams.decoders.iter().map(Decoder::size).sum();
        size_of::<Self>() + readers + tables + self.streams.under_way.len() * size_of::<Stream>()
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
            streams,
        } = self;
        let at = direction as usize;
        let has = |flag| record.flags & flag != 0;
        if role.is_some() {
            streams.role = role;
        }
        let expected = next_seq[at].replace(record.seq.wrapping_add(1));
        let joined = !std::mem::replace(&mut heard[at], true);
        let missing = expected.is_some_and(|expected| expected != record.seq);
        if missing {
            streams.lose_table(at, TableLoss::RecordLost, shared);
            streams.drop_all(DropReason::RecordLost, shared, sink);
        } else if joined && !has(flag::START) {
            streams.lose_table(at, TableLoss::Joined, shared);
        }
        if missing || joined {
            readers[at].reset();
            resuming[at] = true;
        }
        if has(flag::RESYNC) {
            // That the table is unknown was noted when it became so.
            readers[at].reset();
            resuming[at] = false;
        }
        if has(flag::START) {
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
        if has(flag::LOST) {
            readers[at].reset();
            streams.lose_table(at, TableLoss::LostInKernel, shared);
            streams.drop_all(DropReason::LostInKernel, shared, sink);
        }
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

impl Streams {
    /// What the header blocks of a direction refer to is not known any more.
    fn lose_table(&mut self, direction: usize, loss: TableLoss, shared: &Shared) {
        self.damaged[direction] = true;
        self.decoders[direction].forget();
        // A SETTINGS frame that was missed may have allowed more.
        self.decoders[1 - direction].allow_any();
        shared.counters.table_lost(loss);
    }

    /// No header block was sent in this direction before.
    fn start(&mut self, direction: usize) {
        let decoder = &mut self.decoders[direction];
        *decoder = Decoder::new();
        if self.damaged[1 - direction] {
            decoder.allow_any();
        } else {
            decoder.allow(self.allowed[direction]);
        }
    }

    fn drop_all(&mut self, reason: DropReason, shared: &Shared, sink: &mut impl FnMut(Event<'_>)) {
        self.watched_from = None;
        let Some(role) = self.role else { return };
        for (id, stream) in std::mem::take(&mut self.under_way) {
            shared.exchanges.dropped(reason, 1);
            sink(stream.dropped(role, (self.socket, id), reason));
        }
    }

    fn heard(
        &mut self,
        heard: Heard<'_>,
        moment: Moment,
        shared: &mut Shared,
        sink: &mut impl FnMut(Event<'_>),
    ) {
        match heard {
            Heard::Data {
                stream,
                bytes,
                end_stream,
            } => self.data(stream, bytes, end_stream, moment, shared, sink),
            Heard::Block {
                stream,
                end_stream,
                push,
                first_ns,
                block,
                cut,
            } => {
                self.decode(block, cut, moment, shared);
                if !push {
                    self.block(stream, end_stream, first_ns, moment, shared, sink);
                }
            }
            Heard::Reset { stream, code } => {
                let error = if moment.direction == Http2Direction::Received as usize {
                    ErrorType::StreamReset(code)
                } else {
                    ErrorType::StreamAborted(code)
                };
                self.finish(stream, Some(error), moment, shared, sink);
            }
            Heard::GoAway { last } => {
                if self.carries_requests(moment.direction) == Some(false) {
                    self.go_away(last, moment, shared, sink);
                }
            }
            Heard::Settings {
                table_size,
                max_streams,
            } => {
                let other = 1 - moment.direction;
                if let Some(size) = table_size {
                    self.allowed[other] = self.allowed[other].max(size);
                    self.decoders[other].allow(size);
                }
                if max_streams.is_some() && self.carries_requests(moment.direction) == Some(false) {
                    self.max_streams = max_streams;
                }
            }
            Heard::BlockLost => {
                self.lose_table(moment.direction, TableLoss::BlockInvalid, shared);
            }
            Heard::Invalid => shared.counters.invalid(),
        }
    }

    /// Whether requests travel in this direction, if that is known.
    fn carries_requests(&self, direction: usize) -> Option<bool> {
        let received = direction == Http2Direction::Received as usize;
        self.role.map(|role| received == (role == Role::Server))
    }

    /// Reads a block into the shared fields.
    fn decode(&mut self, block: &[u8], cut: bool, moment: Moment, shared: &mut Shared) {
        let Shared {
            fields, scratch, ..
        } = shared;
        fields.clear();
        let decoder = &mut self.decoders[moment.direction];
        let decoded = decoder.decode(block, scratch, &mut |field| fields.add(field));
        let loss = match decoded {
            _ if cut => TableLoss::BlockCut,
            Ok(()) => return,
            Err(error) => {
                tracing::debug!(%error, "a header block cannot be read");
                TableLoss::BlockInvalid
            }
        };
        fields.set_incomplete();
        self.lose_table(moment.direction, loss, shared);
    }

    /// The shared fields are those of a block that is not of a push.
    fn block(
        &mut self,
        id: u32,
        end_stream: bool,
        first_ns: u64,
        moment: Moment,
        shared: &mut Shared,
        sink: &mut impl FnMut(Event<'_>),
    ) {
        let Some(is_request) = self.place(moment.direction, shared) else {
            return;
        };
        if is_request {
            match self.under_way.get_mut(&id) {
                // Trailers.
                Some(stream) if end_stream => stream.request_ended(),
                Some(_) => {}
                None if id % 2 == 1 && id > self.last => {
                    self.begin(id, end_stream, first_ns, moment, shared, sink);
                }
                // Trailers of one that has ended.
                None => {}
            }
            return;
        }
        match self.under_way.get_mut(&id) {
            Some(stream) => {
                stream.response_block(&shared.fields, first_ns, end_stream);
                if end_stream {
                    self.finish(id, None, moment, shared, sink);
                }
            }
            None => {
                let watched = self.watched_from.is_some_and(|first| id >= first);
                let is_final = shared
                    .fields
                    .status()
                    .is_some_and(|status| status.is_none_or(|status| status >= 200));
                // The request that asked for the upgrade to HTTP/2, which HTTP/1 has reported.
                let upgraded = id == 1 && self.damaged == [false; 2];
                if id % 2 == 1 && !watched && is_final && !upgraded {
                    shared.exchanges.dropped(DropReason::NoRequest, 1);
                }
            }
        }
    }

    /// Whether requests travel in this direction; if that was not known, by the shared fields.
    fn place(&mut self, direction: usize, shared: &Shared) -> Option<bool> {
        if let Some(known) = self.carries_requests(direction) {
            return Some(known);
        }
        let Some(is_request) = shared.fields.is_request() else {
            shared.counters.unplaced();
            return None;
        };
        let received = direction == Http2Direction::Received as usize;
        self.role = Some(if is_request == received {
            Role::Server
        } else {
            Role::Client
        });
        Some(is_request)
    }

    fn begin(
        &mut self,
        id: u32,
        end_stream: bool,
        first_ns: u64,
        moment: Moment,
        shared: &mut Shared,
        sink: &mut impl FnMut(Event<'_>),
    ) {
        let Some(role) = self.role else { return };
        self.last = id;
        self.watched_from.get_or_insert(id);
        let Shared {
            parser,
            fields,
            exchanges,
            counters,
            ..
        } = shared;
        if fields.lacks_method() {
            exchanges.malformed(DropReason::HeadMalformed);
            return;
        }
        if self.under_way.len() >= STREAM_LIMIT {
            exchanges.dropped(DropReason::PipelineDepth, 1);
            return;
        }
        let mut request =
            fields.with_headers(|headers| parser.fields(role, &fields.pseudo(), headers));
        if moment.tls {
            request.scheme.get_or_insert_with(|| "https".into());
        }
        let stream = Stream::new(moment.task, first_ns, request, fields, end_stream);
        sink(stream.begun(id, self.place_of(role)));
        self.under_way.insert(id, stream);
        if self.max_streams.and_then(|max| usize::try_from(max).ok()) == Some(self.under_way.len())
        {
            counters.at_limit();
        }
        if id > self.processed {
            self.finish(id, Some(ErrorType::StreamUnprocessed), moment, shared, sink);
        }
    }

    const fn place_of(&self, role: Role) -> Place {
        Place {
            role,
            socket: self.socket,
            local: self.local,
            peer: self.peer,
            trail: self.trail,
        }
    }

    fn data(
        &mut self,
        id: u32,
        bytes: u64,
        end_stream: bool,
        moment: Moment,
        shared: &Shared,
        sink: &mut impl FnMut(Event<'_>),
    ) {
        let is_request = self.carries_requests(moment.direction);
        let (Some(stream), Some(is_request)) = (self.under_way.get_mut(&id), is_request) else {
            return;
        };
        if is_request {
            stream.request_data(bytes);
            if end_stream {
                stream.request_ended();
            }
            return;
        }
        stream.response_data(bytes);
        if end_stream {
            self.finish(id, None, moment, shared, sink);
        }
    }

    /// RFC 9113 §6.8: the server has not looked at the streams above `last`, and will not.
    fn go_away(
        &mut self,
        last: u32,
        moment: Moment,
        shared: &Shared,
        sink: &mut impl FnMut(Event<'_>),
    ) {
        self.processed = last;
        let mut above: Vec<u32> = self
            .under_way
            .keys()
            .copied()
            .filter(|id| *id > last)
            .collect();
        above.sort_unstable();
        for id in above {
            self.finish(id, Some(ErrorType::StreamUnprocessed), moment, shared, sink);
        }
    }

    fn finish(
        &mut self,
        id: u32,
        error: Option<ErrorType>,
        moment: Moment,
        shared: &Shared,
        sink: &mut impl FnMut(Event<'_>),
    ) {
        if let Some(stream) = self.under_way.remove(&id) {
            let end = End {
                at_ns: moment.now,
                error,
            };
            self.end(id, stream, end, shared, sink);
        }
    }

    fn end(
        &self,
        id: u32,
        stream: Stream,
        end: End,
        shared: &Shared,
        sink: &mut impl FnMut(Event<'_>),
    ) {
        let Some(role) = self.role else { return };
        let place = self.place_of(role);
        shared.exchanges.ended(role);
        sink(Event::Ended(stream.ended(id, place, end, &shared.counters)));
    }
}
