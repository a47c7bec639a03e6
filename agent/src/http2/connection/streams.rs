//! The streams of a connection: from header blocks and DATA to exchanges.

use hark_common::http2::{Http2Direction, Http2Record};
use hark_common::socket::Task;

use super::Shared;
use super::early::{Early, Step};
use crate::connection::{self, DropReason, Event};
use crate::exchange::{Endpoint, ErrorType, Exchange, Role, Trail};
use crate::hash::HashMap;
use crate::http2::checkpoint::Taken;
use crate::http2::counters::TableLoss;
use crate::http2::fields::Fields;
use crate::http2::frame::Messages;
use crate::http2::hpack::Decoder;
use crate::http2::reader::Heard;
use crate::http2::stream::{End, Place, Stream};

/// Streams under way on one connection; what begins beyond is not followed.
pub const STREAM_LIMIT: usize = 8192;

/// When, and by whom, what is read now was moved.
#[derive(Clone, Copy)]
pub(super) struct Moment {
    pub(super) direction: usize,
    pub(super) task: Task,
    pub(super) now: u64,
    /// It came through a TLS library.
    pub(super) tls: bool,
}

/// The direction that responses travel in, where this end has that role.
const fn responses_of(role: Role) -> usize {
    match role {
        Role::Server => Http2Direction::Sent as usize,
        Role::Client => Http2Direction::Received as usize,
    }
}

/// The streams of a connection, and what is needed to read of them.
#[derive(Debug)]
pub(super) struct Streams {
    pub(super) role: Option<Role>,
    socket: u64,
    local: Endpoint,
    peer: Endpoint,
    trail: Trail,
    pub(super) decoders: [Decoder; 2],
    /// Something of this direction was not heard.
    damaged: [bool; 2],
    /// Largest header table that the other direction has allowed to this one, in bytes.
    pub(super) allowed: [u32; 2],
    pub(super) under_way: HashMap<u32, Stream>,
    pub(super) early: Early,
    /// Greatest identifier of a request.
    last: u32,
    /// From this identifier on every request was heard.
    watched_from: Option<u32>,
    /// `SETTINGS_MAX_CONCURRENT_STREAMS`, by the direction it was sent in: a server may say it before the
    /// role is known.
    max_streams: [Option<u32>; 2],
    /// Greatest identifier that the server looks at, by its GOAWAY.
    processed: u32,
    /// It was one of HTTP/1 before, and the request that changed it is known.
    upgraded: bool,
}

impl Streams {
    /// Those of a connection of which `first` is the first record.
    pub(super) fn new(first: &Http2Record, local: Endpoint, peer: Endpoint) -> Self {
        Self {
            role: None,
            socket: first.header.socket,
            local,
            peer,
            trail: connection::trail(&first.peer),
            decoders: [Decoder::new(), Decoder::new()],
            damaged: [false; 2],
            allowed: [0; 2],
            under_way: HashMap::default(),
            early: Early::default(),
            last: 0,
            watched_from: None,
            max_streams: [None; 2],
            processed: u32::MAX,
            upgraded: false,
        }
    }

    /// What the header blocks of a direction refer to is not known any more.
    pub(super) fn lose_table(&mut self, direction: usize, loss: TableLoss, shared: &Shared) {
        self.damaged[direction] = true;
        self.decoders[direction].forget();
        // A SETTINGS frame that was missed may have allowed more.
        self.decoders[1 - direction].allow_any();
        shared.counters.table_lost(loss);
    }

    /// An agent before this one knew this direction, and nothing has moved in it since.
    pub(super) fn resume(&mut self, direction: usize, taken: Taken, shared: &Shared) {
        let Taken {
            role,
            max_streams,
            direction: saved,
        } = taken;
        self.role = self.role.or(role);
        if let Some(role) = self.role {
            let limit = &mut self.max_streams[responses_of(role)];
            *limit = limit.or(max_streams);
        }
        self.allowed[direction] = self.allowed[direction].max(saved.allowed);
        self.decoders[direction] = saved.decoder;
        if self.damaged[1 - direction] {
            // A SETTINGS frame of the other direction may have been missed.
            self.decoders[direction].allow_any();
        }
        shared.counters.resumed();
    }

    /// No header block was sent in this direction before.
    pub(super) fn start(&mut self, direction: usize) {
        let decoder = &mut self.decoders[direction];
        *decoder = Decoder::new();
        if self.damaged[1 - direction] {
            decoder.allow_any();
        } else {
            decoder.allow(self.allowed[direction]);
        }
    }

    /// Some of what the streams under way carry in this direction may have moved unheard.
    pub(super) fn lose_bodies(&mut self, direction: usize) {
        if let Some(of_request) = self.carries_requests(direction) {
            for stream in self.under_way.values_mut() {
                stream.lose_body(of_request);
            }
        }
    }

    /// Drops those under way.
    pub(super) fn drop_all(
        &mut self,
        reason: DropReason,
        shared: &Shared,
        sink: &mut impl FnMut(Event<'_>),
    ) {
        self.pass_early(u32::MAX, shared);
        self.watched_from = None;
        let Some(role) = self.role else { return };
        for (id, mut stream) in std::mem::take(&mut self.under_way) {
            if let Some(exchange) = stream.take_upgraded() {
                sink(Event::Ended(exchange));
                continue;
            }
            shared.exchanges.dropped(reason, 1);
            sink(stream.dropped(role, (self.socket, id), reason));
        }
    }

    /// The request of HTTP/1 that changed the connection to HTTP/2 is answered on stream 1.
    pub(super) fn upgrade(&mut self, exchange: Exchange) {
        self.role = Some(exchange.role);
        // The client's first SETTINGS were a header of this request, `HTTP2-Settings`.
        let responses = responses_of(exchange.role);
        self.allowed[responses] = u32::MAX;
        self.decoders[responses].allow(u32::MAX);
        self.upgraded = true;
        self.last = self.last.max(1);
        self.watched_from = Some(1);
        self.under_way.insert(1, Stream::upgraded(exchange));
    }

    /// The connection was one of HTTP/1 before, and the request that changed it is known.
    pub(super) const fn is_upgraded(&self) -> bool {
        self.upgraded
    }

    /// Takes in what was heard.
    pub(super) fn heard(
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
                messages,
                end_stream,
                other,
            } => {
                let direction = if other {
                    1 - moment.direction
                } else {
                    moment.direction
                };
                let moment = Moment {
                    direction,
                    ..moment
                };
                self.data(stream, (bytes, messages), end_stream, moment, shared, sink);
                if other {
                    self.body_told(stream, direction);
                }
            }
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
                if self.is_early(stream, moment.direction) {
                    self.early.push(stream, Step::Reset(error));
                    return;
                }
                self.body_told(stream, moment.direction);
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
                let limit = &mut self.max_streams[moment.direction];
                *limit = max_streams.or(*limit);
            }
            Heard::BlockLost => {
                self.lose_table(moment.direction, TableLoss::BlockInvalid, shared);
            }
            Heard::Invalid => shared.counters.invalid(),
        }
    }

    /// A stream is being reset, and nothing is left to be told of what it carried in this direction.
    fn body_told(&mut self, id: u32, direction: usize) {
        let of_request = self.carries_requests(direction);
        if let (Some(stream), Some(of_request)) = (self.under_way.get_mut(&id), of_request) {
            stream.body_told(of_request);
        }
    }

    /// The streams that the server allows at a time, if it has said so.
    pub(super) fn max_streams(&self) -> Option<u32> {
        self.role
            .and_then(|role| self.max_streams[responses_of(role)])
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
                let is_early = self.is_early(id, moment.direction);
                let step = || Step::Block {
                    fields: Box::new(shared.fields.clone()),
                    first_ns,
                    end_stream,
                };
                if !is_early || !self.early.push(id, step()) {
                    self.pass(id, &shared.fields, shared);
                }
            }
        }
    }

    /// Whether what is heard of a stream in this direction may belong to a request that is yet to be
    /// heard.
    fn is_early(&self, id: u32, direction: usize) -> bool {
        self.role == Some(Role::Client)
            && direction == Http2Direction::Received as usize
            && id % 2 == 1
            && id > self.last
    }

    /// A header block of a response is passed over, because its request was not heard.
    fn pass(&self, id: u32, fields: &Fields, shared: &Shared) {
        let watched = self.watched_from.is_some_and(|first| id >= first);
        let is_final = fields
            .status()
            .is_some_and(|status| status.is_none_or(|status| status >= 200));
        // The request that asked for the upgrade to HTTP/2, if HTTP/1 has reported it already.
        let upgraded = id == 1 && self.damaged == [false; 2];
        if id % 2 == 1 && !watched && is_final && !upgraded {
            shared.exchanges.dropped(DropReason::NoRequest, 1);
        }
    }

    /// What waited for requests below this identifier waits in vain.
    pub(super) fn pass_early(&mut self, below: u32, shared: &Shared) {
        for (id, step) in self.early.take(|id| id < below) {
            if let Step::Block { fields, .. } = step {
                self.pass(id, &fields, shared);
            }
        }
    }

    /// Does what waited for the requests that have been heard meanwhile. To be called when a record
    /// has been read to its end, so that what it has of the request is there.
    pub(super) fn catch_up(
        &mut self,
        moment: Moment,
        shared: &Shared,
        sink: &mut impl FnMut(Event<'_>),
    ) {
        let under_way = &self.under_way;
        for (id, step) in self.early.take(|id| under_way.contains_key(&id)) {
            let Some(stream) = self.under_way.get_mut(&id) else {
                continue;
            };
            let (ends, error) = match step {
                Step::Block {
                    fields,
                    first_ns,
                    end_stream,
                } => {
                    stream.response_block(&fields, first_ns, end_stream);
                    (end_stream, None)
                }
                Step::Data {
                    bytes,
                    messages,
                    end_stream,
                } => {
                    stream.response_data(bytes, messages);
                    (end_stream, None)
                }
                Step::Reset(error) => {
                    stream.body_told(false);
                    (true, Some(error))
                }
            };
            if ends {
                self.finish(id, error, moment, shared, sink);
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
        self.pass_early(id, shared);
        self.last = id;
        self.watched_from.get_or_insert(id);
        let Shared {
            parser,
            fields,
            exchanges,
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
        let allowed = (self.max_streams()).and_then(|max| usize::try_from(max).ok());
        let at_limit = allowed == Some(self.under_way.len() + 1);
        sink(stream.begun(id, self.place_of(role), at_limit));
        self.under_way.insert(id, stream);
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
        (bytes, messages): (u64, Messages),
        end_stream: bool,
        moment: Moment,
        shared: &Shared,
        sink: &mut impl FnMut(Event<'_>),
    ) {
        let is_request = self.carries_requests(moment.direction);
        if self.is_early(id, moment.direction) {
            let step = Step::Data {
                bytes,
                messages,
                end_stream,
            };
            self.early.push(id, step);
            return;
        }
        let (Some(stream), Some(is_request)) = (self.under_way.get_mut(&id), is_request) else {
            return;
        };
        if is_request {
            stream.request_data(bytes, messages);
            if end_stream {
                stream.request_ended();
            }
            return;
        }
        stream.response_data(bytes, messages);
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

    /// A stream has ended, or been cut off.
    pub(super) fn end(
        &self,
        id: u32,
        stream: Stream,
        end: End,
        shared: &Shared,
        sink: &mut impl FnMut(Event<'_>),
    ) {
        let Some(role) = self.role else { return };
        let place = self.place_of(role);
        if !stream.is_upgraded() {
            // HTTP/1 has counted the others.
            shared.exchanges.ended(role);
        }
        sink(Event::Ended(stream.ended(id, place, end, &shared.counters)));
    }
}
