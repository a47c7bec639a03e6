//! An exchange under way: a request that waits for its end.

use std::collections::VecDeque;

use hark_common::socket::{AbortReason, AbortRecord, ResponseRecord, Task, flag};

use super::counters::{Counters, DropReason};
use super::{Event, Opening};
use crate::exchange::{Endpoint, ErrorType, Exchange, Role, Trail};
use crate::http1::{BodyLength, Head};

/// Who, whom, and when, by the first record of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    /// The end that is observed.
    pub(super) role: Role,
    /// The process that serves or sends it.
    pub(super) task: Task,
    /// This end of the connection.
    pub(super) local: Endpoint,
    /// The other end.
    pub(super) peer: Endpoint,
    /// When its first byte moved, ns.
    pub(super) start_ns: u64,
    /// What links are made from, as far as the request tells it.
    pub(super) trail: Trail,
    /// It came through a TLS library.
    pub(super) tls: bool,
}

/// A request that waits for its end.
#[derive(Debug)]
pub(super) struct Pending {
    /// Number of the request on its connection.
    pub(super) index: u32,
    /// Size of its body, if a record of its own said so.
    pub(super) body_bytes: Option<u64>,
    origin: Origin,
    /// `None`: it will not be reported, which has been counted; it only waits for its end.
    head: Option<Head>,
}

impl Pending {
    /// An exchange that has begun.
    pub(super) const fn begun(index: u32, origin: Origin, head: Head) -> Self {
        Self {
            index,
            body_bytes: None,
            origin,
            head: Some(head),
        }
    }

    /// An exchange that has been counted as dropped.
    pub(super) const fn doomed(index: u32, origin: Origin) -> Self {
        Self {
            index,
            body_bytes: None,
            origin,
            head: None,
        }
    }

    /// Says that it has begun on this connection, if it has.
    pub(super) fn announce(&self, socket: u64, sink: &mut impl FnMut(Event<'_>)) {
        if let Some(head) = &self.head {
            sink(Event::Begun {
                role: self.origin.role,
                task: &self.origin.task,
                method: &head.request.method,
                scheme: head.request.scheme.as_deref(),
                protocol: head.request.protocol,
                at_stream_limit: false,
                opening: Opening {
                    socket,
                    index: self.index,
                    local: self.origin.local,
                    peer: self.origin.peer,
                    start_ns: self.origin.start_ns,
                    protocol: head.request.protocol,
                    trail: self.origin.trail,
                    context: head.request.context,
                },
            });
        }
    }

    /// Counts one that was never announced, unless that has been done.
    pub(super) fn refused(self, reason: DropReason, counters: &Counters) {
        if self.head.is_some() {
            counters.dropped(reason, 1);
        }
    }

    /// Counts and says that it will not be reported, unless that has been done.
    pub(super) fn dropped(
        self,
        socket: u64,
        reason: DropReason,
        counters: &Counters,
        sink: &mut impl FnMut(Event<'_>),
    ) {
        if let Some(head) = &self.head {
            counters.dropped(reason, 1);
            sink(Event::Dropped {
                role: self.origin.role,
                task: &self.origin.task,
                method: &head.request.method,
                scheme: head.request.scheme.as_deref(),
                protocol: head.request.protocol,
                key: (socket, self.index),
                reason,
            });
        }
    }

    /// The exchange that a response makes of it.
    pub(super) fn answered(self, record: &ResponseRecord) -> Option<Exchange> {
        let request_body = RequestBody {
            counted: (record.flags & flag::REQUEST_BODY_KNOWN != 0)
                .then_some(record.request_body_bytes),
            open: record.flags & flag::REQUEST_OPEN != 0,
        };
        let mut exchange = self.exchange(record.header.socket, request_body)?;
        exchange.status = Some(record.status);
        exchange.trail.response_thread = record.thread;
        exchange.first_response_ns = Some(record.first_ns);
        exchange.end_ns = record.last_ns;
        exchange.response_body_bytes = Some(record.body_bytes);
        Some(exchange)
    }

    /// The exchange that an abort makes of it.
    pub(super) fn aborted(self, error: ErrorType, record: &AbortRecord) -> Option<Exchange> {
        // What the record says of a request body is said of the last request, the others are
        // whole: another request followed them. Of a response it speaks of the first one's.
        let last = self.index == record.to - 1;
        let first = self.index == record.from;
        let request_body = RequestBody {
            counted: (last && record.flags & flag::REQUEST_BODY_KNOWN != 0)
                .then_some(record.request_body_bytes),
            open: last && record.flags & flag::REQUEST_OPEN != 0,
        };
        let mut exchange = self.exchange(record.header.socket, request_body)?;
        exchange.error = Some(error);
        exchange.end_ns = record.header.time_ns;
        if first && record.flags & flag::RESPONSE_BEGUN != 0 {
            exchange.status = (record.status != 0).then_some(record.status);
            exchange.first_response_ns = Some(record.first_ns);
            exchange.end_ns = record.last_ns;
            exchange.response_body_bytes = Some(record.body_bytes);
        }
        Some(exchange)
    }

    /// The exchange without its end.
    fn exchange(self, socket: u64, request_body: RequestBody) -> Option<Exchange> {
        let Head { request, body } = self.head?;
        let Origin {
            role,
            task,
            local,
            peer,
            start_ns,
            trail,
            tls: _,
        } = self.origin;
        let announced = match body {
            BodyLength::Known(length) if !request_body.open => Some(length),
            BodyLength::Known(_) | BodyLength::Unknown => None,
        };
        Some(Exchange {
            role,
            socket,
            index: self.index,
            task,
            local,
            peer,
            request,
            rpc: None,
            status: None,
            error: None,
            start_ns,
            first_response_ns: None,
            end_ns: start_ns,
            request_body_bytes: self.body_bytes.or(request_body.counted).or(announced),
            response_body_bytes: Some(0),
            trail,
            tls: None,
        })
    }
}

/// Takes the first request out of a queue if its number is below `end`.
pub(super) fn pop_below(queue: &mut VecDeque<Pending>, end: u64) -> Option<Pending> {
    if u64::from(queue.front()?.index) >= end {
        return None;
    }
    queue.pop_front()
}

/// What the record that ends an exchange says of the request's body.
struct RequestBody {
    /// Its bytes so far, as the kernel side counted them.
    counted: Option<u64>,
    /// It had not all come.
    open: bool,
}

/// The error that an abort means; `None` if it is no end but a loss.
pub(crate) fn error_type(reason: AbortReason, errno: u32) -> Option<ErrorType> {
    match reason {
        AbortReason::PeerClosed => Some(ErrorType::ConnectionClosed),
        AbortReason::LocalClosed => Some(ErrorType::ConnectionAborted),
        AbortReason::Broken => Some(match i32::try_from(errno) {
            Ok(libc::ECONNRESET | libc::EPIPE) => ErrorType::ConnectionReset,
            Ok(libc::ETIMEDOUT) => ErrorType::Timeout,
            Ok(_) | Err(_) => ErrorType::Other,
        }),
        AbortReason::Lost => None,
    }
}
