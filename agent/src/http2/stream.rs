//! A stream under way: a request that waits for the end of its response.

use hark_common::socket::Task;

use super::body::Body;
use super::counters::{Counters, UnknownField};
use super::fields::{Fields, GrpcStatus, Timeout};
use super::frame::Messages;
use crate::connection::{DropReason, Event, Opening};
use crate::exchange::{
    Endpoint, ErrorCode, ErrorType, Exchange, Method, Request, Role, Rpc, Trail,
};
use crate::rpc::{self, Code};

/// How long before its deadline a call that is cancelled still counts as one whose deadline has
/// passed: the eighth part of the time it had, and five milliseconds. The client's clock starts when
/// the call is made, and `grpc-timeout` is rounded; what is heard starts when the header block moves,
/// on a busy machine (with many calls begun at once) tenths of a second later.
const fn deadline_slack_ns(timeout_ns: u64) -> u64 {
    timeout_ns / 8 + 5_000_000
}

/// Where a connection is, which every exchange on it says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) role: Role,
    pub(super) socket: u64,
    pub(super) local: Endpoint,
    pub(super) peer: Endpoint,
    pub(super) trail: Trail,
}

/// How a stream ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    /// When, ns.
    pub(super) at_ns: u64,
    /// Why there is no whole response.
    pub(super) error: Option<ErrorType>,
}

impl End {
    /// The code that the stream was reset with, and whether its client did that; `role` is this end's.
    fn reset(self, role: Role) -> Option<(ErrorCode, bool)> {
        match self.error? {
            ErrorType::StreamReset(code) => Some((code, role == Role::Server)),
            ErrorType::StreamAborted(code) => Some((code, role == Role::Client)),
            _ => None,
        }
    }
}

/// A request, and what has come of its response.
#[derive(Debug)]
pub(super) struct Stream {
    task: Task,
    start_ns: u64,
    request: Request,
    /// `None` while no header has told.
    grpc: Option<bool>,
    timeout: Timeout,
    /// When the first byte of the final response moved, ns.
    responded_ns: Option<u64>,
    status: Option<u16>,
    grpc_status: GrpcStatus,
    /// It ended with a header block.
    trailers: bool,
    request_body: Body,
    response_body: Body,
    /// The request was one of HTTP/1: its exchange, which ended with the change to HTTP/2.
    upgraded: Option<Box<Exchange>>,
}

impl Stream {
    /// A request whose head is `fields`.
    pub(super) fn new(
        task: Task,
        start_ns: u64,
        request: Request,
        fields: &Fields,
        end_stream: bool,
    ) -> Self {
        // gRPC has no other method (`doc/PROTOCOL-HTTP2.md`).
        let other = !matches!(request.method, Method::Post | Method::Unknown);
        let mut request_body = Body::default();
        if end_stream {
            request_body.end();
        }
        Self {
            task,
            start_ns,
            request,
            grpc: if other { Some(false) } else { fields.is_grpc() },
            timeout: fields.timeout(),
            responded_ns: None,
            status: None,
            grpc_status: GrpcStatus::Absent,
            trailers: false,
            request_body,
            response_body: Body::default(),
            upgraded: None,
        }
    }

    /// That of a request of HTTP/1 which is answered here (RFC 7540 §3.2).
    pub(super) fn upgraded(exchange: Exchange) -> Self {
        let fields = Fields::default();
        let request = exchange.request.clone();
        let mut stream = Self::new(exchange.task, exchange.start_ns, request, &fields, true);
        stream.grpc = Some(false);
        stream.upgraded = Some(Box::new(exchange));
        stream
    }

    /// What is left of one that cannot be followed to its end: if it was HTTP/1, what that knew.
    pub(super) fn take_upgraded(&mut self) -> Option<Exchange> {
        self.upgraded.take().map(|exchange| *exchange)
    }

    pub(super) fn begun(&self, index: u32, place: Place, at_stream_limit: bool) -> Event<'_> {
        let Request {
            method, protocol, ..
        } = &self.request;
        Event::Begun {
            role: place.role,
            task: &self.task,
            method,
            scheme: self.request.scheme.as_deref(),
            protocol: *protocol,
            at_stream_limit,
            opening: Opening {
                socket: place.socket,
                index,
                local: place.local,
                peer: place.peer,
                start_ns: self.start_ns,
                protocol: *protocol,
                trail: place.trail,
                context: self.request.context,
            },
        }
    }

    pub(super) fn dropped(&self, role: Role, key: (u64, u32), reason: DropReason) -> Event<'_> {
        let Request {
            method, protocol, ..
        } = &self.request;
        Event::Dropped {
            role,
            task: &self.task,
            method,
            scheme: self.request.scheme.as_deref(),
            protocol: *protocol,
            key,
            reason,
        }
    }

    /// The request has ended.
    pub(super) const fn request_ended(&mut self) {
        self.request_body.end();
    }

    /// The stream is being reset, and this is all there was of one body.
    pub(super) const fn body_told(&mut self, of_request: bool) {
        if of_request {
            self.request_body.end();
        } else {
            self.response_body.end();
        }
    }

    pub(super) fn request_data(&mut self, bytes: u64, messages: Messages) {
        self.request_body.add(bytes, messages);
    }

    pub(super) fn response_data(&mut self, bytes: u64, messages: Messages) {
        self.response_body.add(bytes, messages);
    }

    /// Some of what the request carries, or of what the response does, may have moved unheard.
    pub(super) const fn lose_body(&mut self, of_request: bool) {
        if of_request {
            self.request_body.lose();
        } else {
            self.response_body.lose();
        }
    }

    /// A header block of the response: an informational one, the final one, or the trailers.
    pub(super) fn response_block(&mut self, fields: &Fields, first_ns: u64, end_stream: bool) {
        let status = fields.status();
        let informational = status.flatten().is_some_and(|status| status < 200);
        if informational && !end_stream {
            return;
        }
        let is_head = match (status, self.responded_ns) {
            (Some(_), _) | (None, None) => true,
            // Only an end may follow the head (RFC 9113 §8.1): what looked like it was
            // informational.
            (None, Some(_)) => !end_stream,
        };
        self.trailers |= end_stream;
        if is_head {
            self.responded_ns = Some(first_ns);
            self.status = status.flatten();
        }
        if self.grpc.is_none() {
            self.grpc = fields.is_grpc().filter(|grpc| *grpc || is_head);
        }
        if end_stream || fields.grpc_status() != GrpcStatus::Unknown {
            self.grpc_status = fields.grpc_status();
        }
    }

    /// Where no header tells, whether the stream has the shape of a call, by `doc/PROTOCOL-HTTP2.md`
    /// of gRPC: POST to `/{service}/{method}`, messages and nothing else in both directions, and at the
    /// end trailers. gRPC-Web and Connect have messages alike, but what gRPC says in trailers they
    /// say in a message of a kind that gRPC has not.
    fn has_shape_of_call(&self, end: End) -> bool {
        let path = &self.request.path;
        let sent = self.request_body.whole_messages();
        end.error.is_none()
            && self.trailers
            && sent.is_some_and(|messages| messages > 0)
            && self.response_body.whole_messages().is_some()
            && (path.is_empty() || rpc::method_of(path).is_some())
            && matches!(self.status, None | Some(200))
    }

    /// The exchange.
    pub(super) fn ended(
        mut self,
        index: u32,
        place: Place,
        end: End,
        counters: &Counters,
    ) -> Exchange {
        let Place {
            role,
            socket,
            local,
            peer,
            trail,
        } = place;
        if matches!(end.error, None | Some(ErrorType::StreamUnprocessed)) {
            self.response_body.end();
        }
        if self.grpc.is_none() && self.has_shape_of_call(end) {
            self.grpc = Some(true);
        }
        let [request, response] = [&self.request_body, &self.response_body].map(Body::messages);
        self.count_unknown(end, request.is_none() || response.is_none(), counters);
        let (sent, received) = match role {
            Role::Server => (response, request),
            Role::Client => (request, response),
        };
        let rpc = (self.grpc == Some(true)).then(|| Rpc {
            status: self.rpc_status(role, end),
            sent,
            received,
        });
        // What is answered may be heard before the write that asked has returned.
        let first_response_ns = self.responded_ns.map(|ns| ns.max(self.start_ns));
        let end_ns = end.at_ns.max(self.start_ns);
        if let Some(upgraded) = self.upgraded {
            return Exchange {
                status: self.status,
                error: end.error,
                first_response_ns,
                end_ns,
                response_body_bytes: self.response_body.bytes(),
                ..*upgraded
            };
        }
        Exchange {
            role,
            socket,
            index,
            task: self.task,
            local,
            peer,
            request: self.request,
            rpc,
            status: self.status,
            error: end.error,
            start_ns: self.start_ns,
            first_response_ns,
            end_ns,
            request_body_bytes: self.request_body.bytes(),
            response_body_bytes: self.response_body.bytes(),
            trail,
            tls: None,
        }
    }

    /// Its request was one of HTTP/1.
    pub(super) const fn is_upgraded(&self) -> bool {
        self.upgraded.is_some()
    }

    /// Whether its response has begun.
    pub(super) const fn has_response(&self) -> bool {
        self.responded_ns.is_some()
    }

    fn count_unknown(&self, end: End, messages_unknown: bool, counters: &Counters) {
        if self.request.method == Method::Unknown {
            counters.unknown(UnknownField::Method);
        }
        if self.request.path.is_empty() && self.request.method != Method::Connect {
            counters.unknown(UnknownField::Path);
        }
        if self.grpc.is_none() {
            counters.unknown(UnknownField::ContentType);
        }
        if self.status.is_none() && end.error.is_none() {
            counters.unknown(UnknownField::Status);
        }
        if self.grpc == Some(true) && self.grpc_status == GrpcStatus::Unknown {
            counters.unknown(UnknownField::GrpcStatus);
        }
        if self.grpc == Some(true) && messages_unknown {
            counters.unknown(UnknownField::Messages);
        }
        if self.status.is_some() && self.response_body.bytes().is_none() {
            counters.unknown(UnknownField::ResponseBody);
        }
    }

    /// The status of the call, or what stands for it; see [`crate::rpc`].
    fn rpc_status(&self, role: Role, end: End) -> Option<Code> {
        if let GrpcStatus::Code(code) = self.grpc_status {
            return Some(code);
        }
        if let Some((code, by_client)) = end.reset(role) {
            return self.reset(code, by_client, end);
        }
        match end.error {
            Some(ErrorType::StreamUnprocessed) => Some(Code::Unavailable),
            Some(_) => Some(Code::from_connection_loss(role)),
            None if self.grpc_status == GrpcStatus::Unknown => None,
            None => self.status.map(Code::from_http),
        }
    }

    /// A client gives a call up by the same code when its user does and when its deadline passes;
    /// the time tells which. `None` if it is not known how much of it there was.
    fn reset(&self, code: ErrorCode, by_client: bool, end: End) -> Option<Code> {
        if code != ErrorCode::Cancel || !by_client {
            return Some(Code::from_reset(code));
        }
        let took = end.at_ns.saturating_sub(self.start_ns);
        match self.timeout {
            Timeout::Unknown => None,
            Timeout::Ns(timeout) if took.saturating_add(deadline_slack_ns(timeout)) >= timeout => {
                Some(Code::DeadlineExceeded)
            }
            Timeout::Ns(_) | Timeout::None => Some(Code::from_reset(code)),
        }
    }
}
