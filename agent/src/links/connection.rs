//! By the connection: a request that one process sent is the one that another received, because
//! both are the two ends of one connection, at the same place on it.
//!
//! The place is exact: on TCP the addresses of both ends and the sequence number of the request's
//! first byte, which is the same at both; in HTTP/2 the stream; on `AF_UNIX` the sockets' cookies and
//! the number of the request. The last two could be those of another time (a port that was used
//! again, a call that was missed), so that the times must fit and the heads must agree, too.
//!
//! Between network namespaces addresses are compared as they are: behind a translation they do not
//! match, and there is no link.

use std::net::SocketAddr;

use super::Key;
use crate::connection::Opening;
use crate::exchange::{Endpoint, Exchange, Protocol, Role, Trail};
use crate::hash::HashMap;

/// Names a request on a connection, the same at both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// On TCP.
    Tcp {
        /// The network namespace, where the addresses mean something in it alone.
        netns: u32,
        /// The end that asks.
        client: SocketAddr,
        /// The end that answers.
        server: SocketAddr,
        /// Where.
        position: Position,
    },
    /// On an `AF_UNIX` stream.
    Unix {
        /// Cookie of the socket of the end that asks.
        client: u64,
        /// Where.
        index: u32,
    },
}

/// Where on a TCP connection a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Position {
    /// Sequence number of its first byte.
    Sequence(u32),
    /// Its stream.
    Stream(u32),
}

/// The place of an exchange, if it is known.
#[must_use]
pub fn place(role: Role, opening: &Opening) -> Option<Place> {
    let Trail {
        netns,
        peer_socket,
        sequence,
        ..
    } = opening.trail;
    match (role, opening.local, opening.peer) {
        (_, Endpoint::Inet(local), Endpoint::Inet(peer)) => {
            let (client, server) = match role {
                Role::Client => (local, peer),
                Role::Server => (peer, local),
            };
            let position = if opening.protocol == Protocol::Http2 {
                Position::Stream(opening.index)
            } else {
                Position::Sequence(sequence?)
            };
            Some(Place::Tcp {
                netns: if server.ip().is_loopback() { netns } else { 0 },
                client,
                server,
                position,
            })
        }
        (Role::Client, _, _) => Some(Place::Unix {
            client: opening.socket,
            index: opening.index,
        }),
        (Role::Server, _, _) => (peer_socket != 0).then_some(Place::Unix {
            client: peer_socket,
            index: opening.index,
        }),
    }
}

/// Requests that were sent, by their place.
#[derive(Debug, Default)]
pub struct Places {
    sent: HashMap<Place, Key>,
}

impl Places {
    /// A request was sent there. Where another is already, neither can be told.
    pub fn sent(&mut self, place: Place, key: Key) {
        if self.sent.insert(place, key).is_some() {
            self.sent.remove(&place);
        }
    }

    /// The request that was sent there.
    #[must_use]
    pub fn get(&self, place: &Place) -> Option<Key> {
        self.sent.get(place).copied()
    }

    /// Keeps room for `room` requests, or as many as there are.
    pub fn shrink_to(&mut self, room: usize) {
        self.sent.shrink_to(room);
    }

    /// It will not be asked for again.
    pub fn forget(&mut self, place: &Place, key: Key) {
        if self.sent.get(place) == Some(&key) {
            self.sent.remove(place);
        }
    }
}

/// How long a client's call may take to return after the server has answered, ns. That of a connection
/// before this one cannot be meant: its ports are not used again for a second (`tcp_tw_reuse_delay`).
const RETURN_NS: u64 = 50_000_000;

/// Whether two exchanges of the same [`Place`] are one: the times fit, and both ends read the same.
#[must_use]
pub fn agree(client: &Exchange, server: &Exchange) -> bool {
    let (sent, received) = (&client.request, &server.request);
    // The server cannot have read what was not sent, nor the client its answer before. The client's
    // own time is taken when its call returns, which may be after the server has read, and even
    // answered; for a place that is exact by itself this is no evidence against it.
    let exact = client.trail.sequence.is_some();
    server.start_ns <= client.end_ns
        && (exact || server.end_ns.saturating_add(RETURN_NS) >= client.start_ns)
        && sent.method == received.method
        && sent.path == received.path
        && sent.path_truncated == received.path_truncated
        && sent.user_agent == received.user_agent
        && sent.content_length == received.content_length
        && sent.context == received.context
}
