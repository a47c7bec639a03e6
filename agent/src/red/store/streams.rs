//! HTTP/2 streams under way, on which connections, and those that found no place.

use std::sync::Arc;

use super::{Store, Use};
use crate::exchange::Role;
use crate::hash::HashMap;
use crate::identity::Service;
use crate::red::labels;
use crate::red::services::ServiceId;

/// Series that a service takes in one role: one per field of [`Figures`].
pub(super) const SERIES: usize = 5;

/// What a page says of the streams of one service in one role.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::red) struct Figures {
    /// Streams under way.
    pub(in crate::red) active: u64,
    /// Connections that have any.
    pub(in crate::red) connections: u64,
    /// Most of them on one connection.
    pub(in crate::red) busiest: u64,
    /// Requests that took the last stream that the server allows on its connection at a time.
    pub(in crate::red) at_limit: u64,
    /// Streams that the server did not take up.
    pub(in crate::red) refused: u64,
}

/// The streams of services without series of their own, or of one service, in one role.
#[derive(Debug, Default)]
pub(super) struct Streams {
    /// Streams under way by socket cookie; none is 0.
    connections: HashMap<u64, u64>,
    at_limit: u64,
    refused: u64,
}

impl Streams {
    fn begin(&mut self, socket: u64, at_limit: bool) {
        *self.connections.entry(socket).or_default() += 1;
        self.at_limit += u64::from(at_limit);
    }

    /// False if none is under way on that connection.
    fn end(&mut self, socket: u64, refused: bool) -> bool {
        let Some(streams) = self.connections.get_mut(&socket) else {
            return false;
        };
        *streams -= 1;
        if *streams == 0 {
            self.connections.remove(&socket);
        }
        self.refused += u64::from(refused);
        true
    }

    pub(super) fn is_idle(&self) -> bool {
        self.connections.is_empty()
    }

    pub(super) fn figures(&self) -> Figures {
        let streams = || self.connections.values().copied();
        Figures {
            active: streams().sum(),
            connections: self.connections.len() as u64,
            busiest: streams().max().unwrap_or(0),
            at_limit: self.at_limit,
            refused: self.refused,
        }
    }
}

/// Those of one service in one role.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) labels: Arc<str>,
    pub(super) streams: Streams,
    pub(super) used: Use,
}

/// What tells them apart.
pub(super) type Key = (ServiceId, Role);

impl Store {
    pub(in crate::red) fn stream_begun(
        &mut self,
        service: &Arc<Service>,
        role: Role,
        socket: u64,
        at_limit: bool,
    ) {
        let (id, now) = (self.service(service), self.now);
        if let Some(own) = self.streams.get_mut(&(id, role)) {
            own.streams.begin(socket, at_limit);
            own.used = Use::at(now);
            return;
        }
        let name = self.services.name(id);
        let Some(name) = name.filter(|_| self.held() + SERIES <= self.max_series) else {
            self.overflow(role).streams.begin(socket, at_limit);
            self.metrics.overflow.inc();
            return;
        };
        let mut own = Own {
            labels: labels::of_service(name),
            streams: Streams::default(),
            used: Use::at(now),
        };
        own.streams.begin(socket, at_limit);
        self.streams.insert((id, role), own);
        self.report_held();
    }

    /// As with requests, what began in the overflow series ends there.
    pub(in crate::red) fn stream_ended(
        &mut self,
        service: &Arc<Service>,
        role: Role,
        socket: u64,
        refused: bool,
    ) {
        let (id, now) = (self.service(service), self.now);
        if let Some(own) = self.streams.get_mut(&(id, role))
            && own.streams.end(socket, refused)
        {
            own.used = Use::at(now);
            return;
        }
        self.overflow(role).streams.end(socket, refused);
    }
}
