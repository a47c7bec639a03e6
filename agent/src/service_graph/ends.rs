//! Who is at which end of which connection.
//!
//! The two ends of a TCP connection between processes of this host have the same pair of addresses,
//! the other way round, unless something translates addresses in between. A pair names a connection
//! only where addresses are unique: loopback addresses are per network namespace, and two
//! namespaces may use the same private network. So ends on loopback must be in one namespace, and a
//! pair that was heard in two namespaces as the same end is ambiguous and matches nothing.
//!
//! A connection over `AF_UNIX` has no addresses. The kernel knows the socket at its other end, so it goes
//! by that of the client.

use std::net::SocketAddr;
use std::num::NonZeroUsize;

use hark_common::socket::ProcessKey;
use lru::LruCache;

use super::Heard;
use crate::exchange::{Endpoint, Role};
use crate::red::services::ServiceId;

/// Connections whose ends are remembered; that which was quiet the longest makes room. An exchange
/// there is placed by name, unless the other end is heard again.
const CONNECTIONS: NonZeroUsize = NonZeroUsize::new(32_768).expect("not zero");

/// An end that was not heard for so long before an exchange began is not believed to be its end: the
/// addresses are used again after a while (`TIME_WAIT` is a minute). ns.
const FRESH_NS: u64 = 60_000_000_000;

/// A connection, the same for both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Pair {
    Inet {
        client: SocketAddr,
        server: SocketAddr,
    },
    Unix {
        /// Cookie of the client's socket.
        client: u64,
    },
}

impl Pair {
    /// Of the connection of a socket with this cookie, whose other end has the cookie `peer_socket`, 0 where
    /// that is not known: only `AF_UNIX` tells. `None` if nothing names it.
    pub(super) const fn of(
        role: Role,
        local: &Endpoint,
        peer: &Endpoint,
        socket: u64,
        peer_socket: u64,
    ) -> Option<Self> {
        match (role, *local, *peer) {
            (Role::Client, Endpoint::Inet(client), Endpoint::Inet(server))
            | (Role::Server, Endpoint::Inet(server), Endpoint::Inet(client)) => {
                Some(Self::Inet { client, server })
            }
            (Role::Client, ..) => Some(Self::Unix { client: socket }),
            (Role::Server, ..) if peer_socket != 0 => Some(Self::Unix {
                client: peer_socket,
            }),
            (Role::Server, ..) => None,
        }
    }

    /// Its other end may be on another host.
    pub(super) const fn may_leave(&self) -> bool {
        matches!(self, Self::Inet { .. })
    }

    fn is_loopback(&self) -> bool {
        match self {
            Self::Inet { client, server } => client.ip().is_loopback() || server.ip().is_loopback(),
            Self::Unix { .. } => false,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct End {
    socket: u64,
    netns: u32,
    process: ProcessKey,
    service: ServiceId,
    heard_ns: u64,
}

#[derive(Debug, Default)]
struct Connection {
    client: Option<End>,
    server: Option<End>,
    /// When it was last seen that the addresses do not name one connection.
    ambiguous_ns: Option<u64>,
}

impl Connection {
    const fn end(&mut self, role: Role) -> &mut Option<End> {
        match role {
            Role::Client => &mut self.client,
            Role::Server => &mut self.server,
        }
    }
}

/// The ends of connections, bounded.
#[derive(Debug)]
pub(super) struct Ends {
    connections: LruCache<Pair, Connection>,
}

impl Default for Ends {
    fn default() -> Self {
        Self {
            // Room is made as it is needed.
            connections: LruCache::unbounded(),
        }
    }
}

impl Ends {
    pub(super) fn heard(&mut self, heard: &Heard, service: impl FnOnce() -> ServiceId) {
        let Heard {
            role,
            local,
            peer,
            socket,
            peer_socket,
            ..
        } = heard;
        let Some(pair) = Pair::of(*role, local, peer, *socket, *peer_socket) else {
            return;
        };
        let connection = self
            .connections
            .get_or_insert_mut(pair, Connection::default);
        let end = connection.end(heard.role);
        let before = *end;
        match end {
            Some(end) if end.socket == heard.socket && end.process == heard.process => {
                end.heard_ns = heard.time_ns;
            }
            _ => {
                *end = Some(End {
                    socket: heard.socket,
                    netns: heard.netns,
                    process: heard.process,
                    service: service(),
                    heard_ns: heard.time_ns,
                });
            }
        }
        let elsewhere = before.is_some_and(|before| {
            before.netns != heard.netns && is_fresh(before.heard_ns, heard.time_ns)
        });
        if elsewhere {
            connection.ambiguous_ns = Some(heard.time_ns);
        }
        if self.connections.len() > CONNECTIONS.get() {
            self.connections.pop_lru();
        }
    }

    /// Forgets the ends of services that `keep` does not know any more.
    pub(super) fn retain(&mut self, keep: impl Fn(ServiceId) -> bool) {
        for (_, connection) in &mut self.connections {
            for end in [&mut connection.client, &mut connection.server] {
                *end = end.filter(|end| keep(end.service));
            }
        }
    }

    /// The service at the other end of an exchange that began at `start_ns`, if it is certain.
    pub(super) fn other(
        &mut self,
        pair: &Pair,
        role: Role,
        socket: u64,
        start_ns: u64,
    ) -> Option<ServiceId> {
        let connection = self.connections.get_mut(pair)?;
        if connection
            .ambiguous_ns
            .is_some_and(|at| is_fresh(at, start_ns))
        {
            return None;
        }
        let own = (*connection.end(role)).filter(|own| own.socket == socket)?;
        let other = *connection.end(match role {
            Role::Client => Role::Server,
            Role::Server => Role::Client,
        });
        other
            .filter(|other| {
                is_fresh(other.heard_ns, start_ns)
                    && (other.netns == own.netns || !pair.is_loopback())
            })
            .map(|other| other.service)
    }
}

const fn is_fresh(heard_ns: u64, now_ns: u64) -> bool {
    heard_ns.saturating_add(FRESH_NS) >= now_ns
}
