//! Heads that come in pieces.
//!
//! Requests do not overlap on a connection, so that at most one head per connection is in pieces.

use hark_common::socket::RequestRecord;
use lru::LruCache;

use super::pending::Origin;

/// A head of which not everything has come.
#[derive(Debug)]
pub(super) struct PartialHead {
    /// Number of the request on its connection.
    pub(super) index: u32,
    /// Who, whom, when, by the first piece.
    pub(super) origin: Origin,
    /// What has come, from the beginning; `None` once a piece is known to be missing.
    pub(super) bytes: Option<Vec<u8>>,
}

/// The heads in pieces, of all connections, by socket cookie.
#[derive(Debug)]
pub(super) struct Assembly {
    heads: LruCache<u64, PartialHead>,
    max_heads: usize,
    bytes: usize,
    max_bytes: usize,
}

impl Assembly {
    /// Room for that many heads, and that many bytes of them.
    pub(super) fn new(max_heads: usize, max_bytes: usize) -> Self {
        Self {
            heads: LruCache::unbounded(),
            max_heads,
            bytes: 0,
            max_bytes,
        }
    }

    /// Adds a piece of the request that the record names.
    pub(super) fn add(
        &mut self,
        socket: u64,
        record: &RequestRecord,
        origin: Origin,
        piece: &[u8],
    ) {
        let head = self.heads.get_or_insert_mut(socket, || PartialHead {
            index: record.index,
            origin,
            bytes: Some(Vec::new()),
        });
        if record.offset == 0 && head.bytes.as_ref().is_some_and(|bytes| !bytes.is_empty()) {
            // What looked like the beginning of a request was none; this is.
            self.bytes -= head.bytes.as_ref().map_or(0, Vec::len);
            *head = PartialHead {
                index: record.index,
                origin,
                bytes: Some(Vec::new()),
            };
        }
        match &mut head.bytes {
            Some(bytes) if usize::try_from(record.offset) == Ok(bytes.len()) => {
                bytes.extend_from_slice(piece);
                self.bytes += piece.len();
            }
            Some(bytes) => {
                self.bytes -= bytes.len();
                head.bytes = None;
            }
            None => {}
        }
    }

    /// There is a head in pieces on this connection.
    pub(super) fn contains(&self, socket: u64) -> bool {
        self.heads.contains(&socket)
    }

    /// Takes the head out.
    pub(super) fn take(&mut self, socket: u64) -> Option<PartialHead> {
        let head = self.heads.pop(&socket)?;
        self.bytes -= head.bytes.as_ref().map_or(0, Vec::len);
        Some(head)
    }

    /// Takes the head out if it is not that of request `index`.
    pub(super) fn take_unless(&mut self, socket: u64, index: u32) -> Option<PartialHead> {
        if self.heads.peek(&socket)?.index == index {
            return None;
        }
        self.take(socket)
    }

    /// Takes the head out if it is that of a request below `end`.
    pub(super) fn take_below(&mut self, socket: u64, end: u64) -> Option<PartialHead> {
        if u64::from(self.heads.peek(&socket)?.index) >= end {
            return None;
        }
        self.take(socket)
    }

    /// Takes the head out that was quiet the longest.
    pub(super) fn pop_quietest(&mut self) -> Option<(u64, PartialHead)> {
        let (socket, head) = self.heads.pop_lru()?;
        self.bytes -= head.bytes.as_ref().map_or(0, Vec::len);
        Some((socket, head))
    }

    /// Takes the head out that was quiet the longest, if there are too many or they are too long.
    pub(super) fn pop_over_limit(&mut self) -> Option<(u64, PartialHead)> {
        if self.heads.len() <= self.max_heads && self.bytes <= self.max_bytes {
            return None;
        }
        self.pop_quietest()
    }
}
