//! HTTP/2 (RFC 9113), and gRPC over it: frames to exchanges, one per stream.
//!
//! The kernel side has followed the frames and left out what nobody needs
//! ([`hark_common::http2`]). Here they are put together again, header blocks are decoded, and each
//! stream becomes an [`Exchange`], in either role, with any number of
//! them under way. Server push is not an exchange: nobody asked.
//!
//! A request of HTTP/1 that changes its connection to HTTP/2 is answered here, on stream 1: it remains one
//! exchange, of HTTP/1.1 as its request is, with the status, the times, and the body of that answer.
//!
//! Records can be missing: the agent may have started in the middle of a connection, a ring buffer
//! may have been full, a header block may be too long to be handed over. The rules:
//!
//! - A header that refers to something that was not heard is *unknown*, never guessed
//!   ([`hpack`]). Rate and duration do not depend on it; the status mostly does not either, for the
//!   usual ones are never sent by reference to an earlier block.
//! - After a record that is missing, the streams under way on its connection are not reported,
//!   for their end may have been in it. They are counted under `hark_exchanges_unmatched_total`;
//!   streams that begin later are reported.
//! - Whether a stream is gRPC is settled by a header that says so (`content-type`, or one that only
//!   gRPC has). If none can be read, it is by the shape of the stream, which nothing else has: a
//!   request that is made of gRPC messages to its last byte, a response that is too, and trailers.
//!   If that does not tell either, the stream is reported as the HTTP that it is, and counted
//!   under `hark_http2_fields_unknown_total`.
//!
//! Everything is bounded: connections, streams under way on one and in all, and the memory for
//! tables and for frames that are not whole. At the limit, the connection that was quiet the longest
//! is forgotten; if it speaks again, it is one that was joined in the middle.

mod body;
pub mod checkpoint;
mod connection;
mod counters;
mod fields;
mod frame;
pub mod hpack;
mod reader;
mod stream;

pub use connection::STREAM_LIMIT;
pub use counters::{Counters, TableLoss, UnknownField};

use hark_common::http2::{Http2Direction, Http2EndRecord, Http2Record};
use hark_common::socket::AbortReason;
use lru::LruCache;

use crate::connection::{DropReason, Event};
use crate::exchange::{Endpoint, Exchange, Role};
use crate::http1::HeadParser;
use checkpoint::{BootId, Checkpoint, Positions, Writer};
use connection::{Connection, Shared};
use fields::Fields;
use hpack::Scratch;

/// Memory for header tables, frames and blocks that are not whole, and streams under way, over all
/// connections, in bytes.
pub const WEIGHT_LIMIT: usize = 32 << 20;

/// Upgrades that wait for HTTP/2 at a time.
const UPGRADES: usize = 1024;

/// How long they wait, ns. The server's first frame comes with the 101.
const UPGRADE_NS: u64 = 10_000_000_000;

/// All HTTP/2 connections.
pub struct Connections {
    /// By socket cookie.
    table: LruCache<u64, Connection>,
    max_connections: usize,
    /// Sum of [`Connection::weight`].
    weight: usize,
    /// Exchanges of HTTP/1 that are answered on a connection of which nothing was heard yet, by
    /// socket cookie, the oldest first.
    upgrades: LruCache<u64, Exchange>,
    shared: Shared,
}

/// A part of one direction of a connection, as [`crate::record::Record::Http2`] has it.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// Which end this is, if that is known.
    pub role: Option<Role>,
    /// Which way the bytes moved.
    pub direction: Http2Direction,
    /// This end of the connection.
    pub local: Endpoint,
    /// The other end.
    pub peer: Endpoint,
    /// The record.
    pub record: &'a Http2Record,
    /// The bytes.
    pub frames: &'a [u8],
}

impl Connections {
    /// An empty table for at most `max_connections` connections (at least one) and
    /// [`WEIGHT_LIMIT`] bytes. Exchanges are counted by `exchanges`, the rest by `counters`.
    #[must_use]
    pub fn new(
        max_connections: usize,
        parser: HeadParser,
        exchanges: crate::connection::Counters,
        counters: Counters,
    ) -> Self {
        Self {
            table: LruCache::unbounded(),
            max_connections: max_connections.max(1),
            weight: 0,
            upgrades: LruCache::unbounded(),
            shared: Shared {
                parser,
                fields: Fields::default(),
                scratch: Scratch::default(),
                checkpoint: Checkpoint::default(),
                exchanges,
                counters,
            },
        }
    }

    /// Takes a part of a connection in, and hands what came of it to `sink`.
    pub fn part(&mut self, part: &Part<'_>, sink: &mut impl FnMut(Event<'_>)) {
        let socket = part.record.header.socket;
        if let Some(connection) = self.table.get_mut(&socket) {
            self.weight -= connection.weight();
        }
        let upgrades = &mut self.upgrades;
        let connection = self.table.get_or_insert_mut(socket, || {
            let mut connection = Connection::new(part.record, part.local, part.peer);
            if let Some(exchange) = upgrades.pop(&socket) {
                connection.upgrade(exchange);
            }
            connection
        });
        connection.record(
            part.role,
            part.direction,
            part.record,
            part.frames,
            &mut self.shared,
            sink,
        );
        self.weight += connection.weight();
        while self.table.len() > self.max_connections || self.weight > WEIGHT_LIMIT {
            if !self.drop_quietest(DropReason::TableFull, sink) {
                break;
            }
        }
        self.shared.counters.connections(self.table.len());
    }

    /// An exchange of HTTP/1 that [is upgraded](Exchange::is_upgraded) has ended with its 101. It is
    /// reported once it is answered, or as it is if HTTP/2 does not follow.
    pub fn upgrade(&mut self, exchange: Exchange, sink: &mut impl FnMut(Event<'_>)) {
        if let Some(connection) = self.table.get_mut(&exchange.socket) {
            self.weight -= connection.weight();
            connection.upgrade(exchange);
            self.weight += connection.weight();
            return;
        }
        if let Some((_, older)) = self.upgrades.push(exchange.socket, exchange) {
            sink(Event::Ended(older));
        }
        while self.upgrades.len() > UPGRADES {
            self.give_up_upgrade(sink);
        }
    }

    /// Reports the upgrades that HTTP/2 did not follow on; to be called now and then with the time, ns.
    pub fn tick(&mut self, now_ns: u64, sink: &mut impl FnMut(Event<'_>)) {
        while let Some((_, oldest)) = self.upgrades.peek_lru()
            && oldest.end_ns.saturating_add(UPGRADE_NS) < now_ns
        {
            self.give_up_upgrade(sink);
        }
    }

    fn give_up_upgrade(&mut self, sink: &mut impl FnMut(Event<'_>)) {
        if let Some((_, exchange)) = self.upgrades.pop_lru() {
            sink(Event::Ended(exchange));
        }
    }

    /// A connection has ended.
    pub fn end(
        &mut self,
        reason: AbortReason,
        record: &Http2EndRecord,
        sink: &mut impl FnMut(Event<'_>),
    ) {
        if let Some(connection) = self.table.pop(&record.header.socket) {
            self.weight -= connection.weight();
            connection.end(reason, record, &self.shared, sink);
        }
        if let Some(exchange) = self.upgrades.pop(&record.header.socket) {
            sink(Event::Ended(exchange));
        }
        for direction in 0..2 {
            let cookie = record.header.socket;
            self.shared.checkpoint.drop_direction(cookie, direction);
        }
        self.shared.counters.connections(self.table.len());
    }

    /// Drops what is under way, at the end of the agent or of a capture file.
    pub fn finish(&mut self, sink: &mut impl FnMut(Event<'_>)) {
        while self.drop_quietest(DropReason::Shutdown, sink) {}
        while !self.upgrades.is_empty() {
            self.give_up_upgrade(sink);
        }
        self.shared.counters.connections(0);
    }

    /// Goes on where an agent before this one has ended; see [`checkpoint`].
    pub fn resume(&mut self, checkpoint: Checkpoint) {
        self.shared.checkpoint = checkpoint;
    }

    /// A process of each connection: whoever moved something on it last.
    pub fn processes(&self) -> impl Iterator<Item = u32> {
        self.table
            .iter()
            .map(|(_, connection)| connection.process())
    }

    /// What the next agent needs to know of the connections, those first that spoke last. A
    /// connection is left out if its place in `positions` is not that of what was heard, if it is
    /// in the middle of a frame, or if there is no room. Gives the bytes, and how many connections
    /// they are of.
    #[must_use]
    pub fn checkpoint(&self, boot: &BootId, positions: &Positions) -> (Vec<u8>, usize) {
        let mut writer = Writer::new(boot);
        let mut count = 0;
        for (cookie, connection) in &self.table {
            if let Some(positions) = positions.get(cookie)
                && connection.save(*cookie, positions, &mut writer)
            {
                count += 1;
            }
        }
        (writer.finish(), count)
    }

    /// Connections that are followed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// No connection is followed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Memory by the count of [`WEIGHT_LIMIT`], in bytes.
    #[must_use]
    pub const fn weight(&self) -> usize {
        self.weight
    }

    fn drop_quietest(&mut self, reason: DropReason, sink: &mut impl FnMut(Event<'_>)) -> bool {
        let Some((_, mut connection)) = self.table.pop_lru() else {
            return false;
        };
        self.weight -= connection.weight();
        connection.drop_all(reason, &self.shared, sink);
        true
    }
}

#[cfg(test)]
mod tests;
