//! Records of one connection put together into exchanges.
//!
//! The kernel side numbers the requests of a connection and sends a record when a head was read,
//! and one when the exchange is over. Here they meet. State for a connection exists only while an
//! exchange is under way on it.
//!
//! Records can be lost on the way (a full ring buffer), and the kernel side counts the exchanges
//! that this costs. So this module never guesses what was in a lost record: an exchange is
//! reported whole, from records that are all there, or not at all. The rules:
//!
//! - Requests and responses meet by number only. A response whose request is unknown is dropped.
//! - Responses come in order, so an exchange with a lower number than the one that ends has lost
//!   its end: it is superseded.
//! - A head with a hole has lost a piece. A head without its end is taken as cut off only if the
//!   record that ends the exchange says that the request was still open
//!   ([`REQUEST_OPEN`](flag::REQUEST_OPEN)); otherwise its last piece was lost.
//!
//! Each of these drops is counted under `hark_exchanges_unmatched_total`: the kernel side has
//! counted the exchange as lost already, and a difference between the two is a fault to be found.
//! What is lost here, and only here, is counted under `hark_exchanges_dropped_total`.
//!
//! Everything is bounded: connections with an exchange under way, exchanges under way on one
//! connection and in all, bytes of heads that are not whole yet. At the limit, the connection
//! that was quiet the longest goes.

mod assembly;
mod counters;
mod pending;

pub use counters::{Counters, DropReason};
pub(crate) use pending::error_type;

use std::collections::VecDeque;

use hark_common::socket::{
    AbortReason, AbortRecord, RequestBodyRecord, RequestRecord, ResponseRecord, SocketAddress,
    Task, flag,
};
use lru::LruCache;

use crate::exchange::{Endpoint, Exchange, Method, Protocol, Role, TraceContext, Trail};
use crate::http1::{Extent, HeadError, HeadParser};
use crate::record::Record;
use assembly::{Assembly, PartialHead};
use pending::{Origin, Pending};

/// Exchanges under way on one connection; pipelining deeper than this is not followed.
pub const PIPELINE_LIMIT: usize = 256;

/// Bytes of heads that are not whole yet, over all connections.
pub const PARTIAL_HEAD_BYTES: usize = 16 << 20;

/// What came of a record. Exactly one `Ended` or `Dropped` follows each `Begun`, if
/// [`Connections::finish`] is called at the end.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "an event lives on the stack for one call; a box would be an allocation per exchange"
)]
pub enum Event<'a> {
    /// The head of a request is whole, or its answer came first: an exchange is under way.
    Begun {
        /// The end that is observed.
        role: Role,
        /// The process that serves or sends it.
        task: &'a Task,
        /// The method.
        method: &'a Method,
        /// The scheme, as [`Request::scheme`](crate::exchange::Request::scheme) has it.
        scheme: Option<&'a str>,
        /// The version of HTTP.
        protocol: Protocol,
        /// It took the last stream that the server allows at a time on this connection of HTTP/2.
        at_stream_limit: bool,
        /// What else is known of it.
        opening: Opening,
    },
    /// An exchange is over.
    Ended(Exchange),
    /// An exchange that has begun will not be reported. The fields are those of its `Begun`.
    Dropped {
        /// The end that was observed.
        role: Role,
        /// The process that served or sent it.
        task: &'a Task,
        /// The method.
        method: &'a Method,
        /// The scheme.
        scheme: Option<&'a str>,
        /// The version of HTTP.
        protocol: Protocol,
        /// Names the exchange, as [`Exchange::socket`] and [`Exchange::index`] do.
        key: (u64, u32),
        /// Why.
        reason: DropReason,
    },
}

/// What is known of an exchange when it begins. The fields are those of [`Exchange`].
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "they are documented where they stay")]
pub struct Opening {
    pub socket: u64,
    pub index: u32,
    pub local: Endpoint,
    pub peer: Endpoint,
    pub start_ns: u64,
    pub protocol: Protocol,
    pub trail: Trail,
    pub context: Option<TraceContext>,
}

/// What the addresses of a connection tell beyond the endpoints: `netns` and `peer_socket`.
pub(crate) fn trail(peer: &SocketAddress) -> Trail {
    let [a, b, c, d, e, f, g, h, ..] = peer.addr;
    Trail {
        netns: peer.netns,
        peer_socket: if i32::from(peer.family) == libc::AF_UNIX {
            u64::from_ne_bytes([a, b, c, d, e, f, g, h])
        } else {
            0
        },
        ..Trail::default()
    }
}

/// All connections with an exchange under way.
#[derive(Debug)]
pub struct Connections {
    /// By socket cookie. No queue is empty.
    table: LruCache<u64, VecDeque<Pending>>,
    heads: Assembly,
    parser: HeadParser,
    counters: Counters,
    max_connections: usize,
    /// Exchanges in all queues of `table`.
    under_way: usize,
}

impl Connections {
    /// An empty table for at most `max_connections` connections (at least one), and twice as many
    /// exchanges or [`PIPELINE_LIMIT`] if that is more.
    #[must_use]
    pub fn new(max_connections: usize, parser: HeadParser, counters: Counters) -> Self {
        let max_connections = max_connections.max(1);
        Self {
            table: LruCache::unbounded(),
            heads: Assembly::new(max_connections, PARTIAL_HEAD_BYTES),
            parser,
            counters,
            max_connections,
            under_way: 0,
        }
    }

    /// Takes a record in, and hands what came of it to `sink`.
    pub fn handle(&mut self, record: Record<'_>, sink: &mut impl FnMut(Event<'_>)) {
        match record {
            Record::Request {
                role,
                local,
                peer,
                record,
                head,
            } => {
                let origin = Origin {
                    role,
                    local,
                    peer,
                    task: record.task,
                    start_ns: record.first_ns,
                    trail: Trail {
                        sequence: (record.flags & flag::SEQUENCE != 0).then_some(record.sequence),
                        blocking: role == Role::Server && record.flags & flag::BLOCKING != 0,
                        ..trail(&record.peer)
                    },
                    tls: record.flags & flag::TLS != 0,
                };
                self.request(origin, &record, head, sink);
            }
            Record::Response { record, .. } => self.response(&record, sink),
            Record::Abort { reason, record, .. } => self.abort(reason, &record, sink),
            Record::RequestBody(record) => self.request_body(&record),
            // Who a process is does not matter here; `identity` has it from the pipeline.
            Record::Process { .. } => {}
            // `http2` has them from the pipeline.
            Record::Http2 { .. } | Record::Http2End { .. } => {}
            // `tls` has them.
            Record::Tls { .. } => {}
        }
        self.counters.connections(self.table.len());
    }

    /// Drops what is under way, at the end of the agent or of a capture file.
    pub fn finish(&mut self, sink: &mut impl FnMut(Event<'_>)) {
        while self.heads.pop_quietest().is_some() {
            self.counters.dropped(DropReason::Shutdown, 1);
        }
        while let Some((socket, queue)) = self.table.pop_lru() {
            for pending in queue {
                pending.dropped(socket, DropReason::Shutdown, &self.counters, sink);
            }
        }
        self.under_way = 0;
        self.counters.connections(0);
    }

    /// Connections with an exchange under way whose head has been read.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// No exchange is under way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    fn request(
        &mut self,
        origin: Origin,
        record: &RequestRecord,
        head: &[u8],
        sink: &mut impl FnMut(Event<'_>),
    ) {
        let socket = record.header.socket;
        if let Some(other) = self.heads.take_unless(socket, record.index) {
            // Requests do not overlap: the end of the other one was lost.
            self.give_up(socket, other, DropReason::PieceLost, sink);
        }
        let ends = record.flags & flag::HEAD_END != 0;
        let extent = if record.flags & flag::TRUNCATED != 0 {
            Extent::Truncated
        } else {
            Extent::Whole
        };
        // Nearly every head comes in one piece, and is read where it lies.
        if ends && record.offset == 0 && !self.heads.contains(socket) {
            self.begin(socket, record.index, origin, head, extent, sink);
            return;
        }
        self.heads.add(socket, record, origin, head);
        if ends && let Some(whole) = self.heads.take(socket) {
            match &whole.bytes {
                Some(bytes) => {
                    self.begin(socket, whole.index, whole.origin, bytes, extent, sink);
                }
                None => self.give_up(socket, whole, DropReason::PieceLost, sink),
            }
        }
        while let Some((socket, head)) = self.heads.pop_over_limit() {
            self.give_up(socket, head, DropReason::PartialHeadsFull, sink);
        }
    }

    fn response(&mut self, record: &ResponseRecord, sink: &mut impl FnMut(Event<'_>)) {
        let socket = record.header.socket;
        // The kernel side has counted this one as lost: what is here of it is not all.
        let lost = record.flags & flag::REQUEST_LOST != 0;
        let open = (!lost && record.flags & flag::REQUEST_OPEN != 0).then_some(record.index);
        let end = u64::from(record.index) + 1;
        self.end_of_head(socket, end, open, sink);
        let Some(queue) = self.table.get_mut(&socket) else {
            self.counters.dropped(DropReason::NoRequest, 1);
            return;
        };
        let mut ended = false;
        while let Some(pending) = pending::pop_below(queue, end) {
            self.under_way -= 1;
            if pending.index < record.index {
                pending.dropped(socket, DropReason::Superseded, &self.counters, sink);
                continue;
            }
            ended = true;
            if lost {
                pending.dropped(socket, DropReason::LostInKernel, &self.counters, sink);
                continue;
            }
            if let Some(exchange) = pending.answered(record) {
                self.counters.ended(exchange.role);
                sink(Event::Ended(exchange));
            }
        }
        if !ended {
            self.counters.dropped(DropReason::NoRequest, 1);
        }
        if queue.is_empty() {
            self.table.pop(&socket);
        }
    }

    fn abort(
        &mut self,
        reason: AbortReason,
        record: &AbortRecord,
        sink: &mut impl FnMut(Event<'_>),
    ) {
        let socket = record.header.socket;
        let open = (record.flags & flag::REQUEST_OPEN != 0).then_some(record.to - 1);
        let end = u64::from(record.to);
        self.end_of_head(socket, end, open, sink);
        let error = error_type(reason, record.errno);
        let mut known: u32 = 0;
        if let Some(queue) = self.table.get_mut(&socket) {
            while let Some(pending) = pending::pop_below(queue, end) {
                self.under_way -= 1;
                if pending.index < record.from {
                    pending.dropped(socket, DropReason::Superseded, &self.counters, sink);
                    continue;
                }
                known += 1;
                let Some(error) = error else {
                    pending.dropped(socket, DropReason::LostInKernel, &self.counters, sink);
                    continue;
                };
                if let Some(exchange) = pending.aborted(error, record) {
                    self.counters.ended(exchange.role);
                    sink(Event::Ended(exchange));
                }
            }
            if queue.is_empty() {
                self.table.pop(&socket);
            }
        }
        let unknown = record.to - record.from - known;
        self.counters.dropped(DropReason::NoRequest, unknown);
    }

    fn request_body(&mut self, record: &RequestBodyRecord) {
        let Some(queue) = self.table.get_mut(&record.header.socket) else {
            return;
        };
        // The size of the latest requests is what comes; look from the back.
        if let Some(pending) = queue
            .iter_mut()
            .rev()
            .find(|pending| pending.index == record.index)
        {
            pending.body_bytes = Some(record.body_bytes);
        }
    }

    /// The exchanges below `end` are over. If the head of one of them is not whole, it never will
    /// be; it was cut off if it is that of the request `open`.
    fn end_of_head(
        &mut self,
        socket: u64,
        end: u64,
        open: Option<u32>,
        sink: &mut impl FnMut(Event<'_>),
    ) {
        let Some(head) = self.heads.take_below(socket, end) else {
            return;
        };
        match head.bytes {
            Some(bytes) if open == Some(head.index) => {
                self.begin(socket, head.index, head.origin, &bytes, Extent::Cut, sink);
            }
            _ => self.give_up(socket, head, DropReason::PieceLost, sink),
        }
    }

    /// The rest of a head is missing, or not wanted: its exchange is counted, and stays only so
    /// that its end is not taken for that of an unknown one.
    fn give_up(
        &mut self,
        socket: u64,
        head: PartialHead,
        reason: DropReason,
        sink: &mut impl FnMut(Event<'_>),
    ) {
        let last = self.table.peek(&socket).and_then(VecDeque::back);
        if last.is_some_and(|last| last.index == head.index) {
            // More pieces came of a head that was given up before.
            return;
        }
        self.counters.dropped(reason, 1);
        self.push(socket, Pending::doomed(head.index, head.origin), sink);
    }

    fn begin(
        &mut self,
        socket: u64,
        index: u32,
        origin: Origin,
        head: &[u8],
        extent: Extent,
        sink: &mut impl FnMut(Event<'_>),
    ) {
        let pending = match self.parser.parse(origin.role, head, extent) {
            Ok(mut head) => {
                if origin.tls {
                    head.request.scheme.get_or_insert_with(|| "https".into());
                }
                Pending::begun(index, origin, head)
            }
            Err(error) => {
                self.counters.malformed(match error {
                    HeadError::Incomplete => DropReason::HeadCut,
                    HeadError::Method | HeadError::Target | HeadError::Version => {
                        DropReason::HeadMalformed
                    }
                });
                Pending::doomed(index, origin)
            }
        };
        self.push(socket, pending, sink);
    }

    /// Puts an exchange under way, unless it comes out of order or too many are.
    fn push(&mut self, socket: u64, pending: Pending, sink: &mut impl FnMut(Event<'_>)) {
        let queue = self.table.get_or_insert_mut(socket, VecDeque::new);
        let refused = if queue.back().is_some_and(|last| last.index >= pending.index) {
            Some(DropReason::OutOfOrder)
        } else if queue.len() >= PIPELINE_LIMIT {
            Some(DropReason::PipelineDepth)
        } else {
            None
        };
        if let Some(reason) = refused {
            pending.refused(reason, &self.counters);
            return;
        }
        pending.announce(socket, sink);
        queue.push_back(pending);
        self.under_way += 1;
        let max_under_way = PIPELINE_LIMIT.max(2 * self.max_connections);
        while self.table.len() > self.max_connections || self.under_way > max_under_way {
            let Some((socket, queue)) = self.table.pop_lru() else {
                break;
            };
            self.under_way -= queue.len();
            for pending in queue {
                pending.dropped(socket, DropReason::TableFull, &self.counters, sink);
            }
        }
    }
}

#[cfg(test)]
mod tests;
