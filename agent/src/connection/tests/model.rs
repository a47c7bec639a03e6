//! A model of the kernel side: connections that do what random choices say, the records that the
//! kernel side sends of it, and the exchanges that took place, known without reading a record.

use super::*;
use crate::exchange::{ErrorType, Method, Protocol, Request, Trail};

/// One thing that happens on a connection.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// The next bytes of a head, at most so many; a new request if the last head is whole.
    Send { bytes: usize, kind: Kind },
    /// The first request that waits is answered.
    Answer { status: u16 },
    /// The connection ends.
    End { reason: AbortReason, begun: bool },
}

/// What a request looks like.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Get,
    PostLength(u64),
    PostChunked(u64),
}

/// A record, and the exchange that it is needed for.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) bytes: Vec<u8>,
    pub(super) what: What,
}

/// What a record is to an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Bytes `from..to` of the head of the exchange `tid`.
    Piece { tid: u32, from: usize, to: usize },
    /// The size of the request body of the exchange `tid`.
    Body { tid: u32 },
    /// The end of the exchanges `first..=last`.
    End { first: u32, last: u32 },
}

/// What took place.
#[derive(Clone, Debug)]
pub(super) struct Truth {
    /// What must be reported of it if no record is lost; `None` if it is no end but a loss, or the
    /// request line was never whole.
    pub(super) exchange: Option<Exchange>,
    /// Bytes of the head that were sent.
    pub(super) sent: usize,
    /// Bytes of the request line with its line end.
    pub(super) line: usize,
    /// The head was sent whole.
    pub(super) whole: bool,
    /// It has ended.
    pub(super) over: bool,
    /// The size of the body is known only by a record of its own.
    pub(super) body_apart: bool,
}

/// The connections, and what has come of them.
#[derive(Default)]
pub(super) struct Model {
    clock: u64,
    sockets: Vec<Socket>,
    pub(super) records: Vec<Sent>,
    /// By thread id, which is the place in this list.
    pub(super) truth: Vec<Truth>,
}

#[derive(Clone, Default)]
struct Socket {
    /// Thread ids of its exchanges, by number.
    exchanges: Vec<u32>,
    answered: usize,
    head: Vec<u8>,
    closed: bool,
}

impl Model {
    pub(super) fn step(&mut self, socket: usize, step: Step) {
        self.clock += 10;
        if self.sockets.len() <= socket {
            self.sockets.resize(socket + 1, Socket::default());
        }
        if self.sockets[socket].closed {
            return;
        }
        match step {
            Step::Send { bytes, kind } => self.send(socket, bytes, kind),
            Step::Answer { status } => self.answer(socket, status),
            Step::End { reason, begun } => self.end(socket, reason, begun),
        }
    }

    fn header(&self, socket: usize) -> RecordHeader {
        header(u64::try_from(socket).unwrap() + 1, self.clock)
    }

    fn last(&self, socket: usize) -> Option<usize> {
        let tid = self.sockets[socket].exchanges.last()?;
        Some(usize::try_from(*tid).unwrap())
    }

    fn send(&mut self, socket: usize, bytes: usize, kind: Kind) {
        let at = match self.last(socket) {
            Some(at) if !self.truth[at].whole => at,
            _ => self.new_request(socket, kind),
        };
        let tid = u32::try_from(at).unwrap();
        let head = self.sockets[socket].head.clone();
        let truth = &mut self.truth[at];
        let from = truth.sent;
        let to = head.len().min(from + bytes);
        truth.sent = to;
        truth.whole = to == head.len();
        let (whole, apart) = (truth.whole, truth.body_apart);
        let start_ns = truth.exchange.as_ref().unwrap().start_ns;
        let index = u32::try_from(self.sockets[socket].exchanges.len()).unwrap() - 1;
        let piece = Piece {
            socket: u64::try_from(socket).unwrap() + 1,
            index,
            tid,
            time_ns: start_ns,
            offset: from,
            bytes: &head[from..to],
            flags: if whole { flag::HEAD_END } else { 0 },
            ..Piece::whole(0, b"")
        };
        self.records.push(Sent {
            bytes: piece.record(),
            what: What::Piece { tid, from, to },
        });
        if whole && apart {
            let body = self.truth[at].exchange.as_ref().unwrap().request_body_bytes;
            let size = RequestBodyRecord {
                header: self.header(socket),
                body_bytes: body.unwrap(),
                index,
                reserved: 0,
            };
            self.records.push(Sent {
                bytes: super::bytes(&Record::RequestBody(size)),
                what: What::Body { tid },
            });
        }
    }

    fn new_request(&mut self, socket: usize, kind: Kind) -> usize {
        let at = self.truth.len();
        let (name, method, headers, content_length, body, apart) = match kind {
            Kind::Get => ("GET", Method::Get, String::new(), None, 0, false),
            Kind::PostLength(n) => {
                let headers = format!("Content-Length: {n}\r\n");
                ("POST", Method::Post, headers, Some(n), n, false)
            }
            Kind::PostChunked(n) => {
                let headers = "Transfer-Encoding: chunked\r\n".to_owned();
                ("POST", Method::Post, headers, None, n, true)
            }
        };
        let line = format!("{name} /exchange/{at}?q={at} HTTP/1.1\r\n");
        let rest = format!("Host: h{at}.example:81\r\n{headers}uber-trace-id: a:a:0:1\r\n\r\n");
        let index = u32::try_from(self.sockets[socket].exchanges.len()).unwrap();
        self.truth.push(Truth {
            exchange: Some(Exchange {
                role: Role::Server,
                socket: u64::try_from(socket).unwrap() + 1,
                index,
                task: task(u32::try_from(at).unwrap()),
                local: inet("127.0.0.1:80"),
                peer: inet("127.0.0.2:40000"),
                request: Request {
                    method,
                    path: format!("/exchange/{at}").into(),
                    path_truncated: false,
                    protocol: Protocol::Http11,
                    host: Some(format!("h{at}.example").into()),
                    port: Some(81),
                    scheme: None,
                    user_agent: None,
                    client_address: None,
                    content_length,
                    wants_http2: false,
                    context: context_a(),
                    tracestate: None,
                },
                rpc: None,
                status: None,
                error: None,
                start_ns: self.clock,
                first_response_ns: None,
                end_ns: 0,
                request_body_bytes: Some(body),
                response_body_bytes: Some(0),
                trail: Trail {
                    netns: 9,
                    ..Trail::default()
                },
                tls: None,
            }),
            sent: 0,
            line: line.len(),
            whole: false,
            over: false,
            body_apart: apart,
        });
        self.sockets[socket].head = (line + &rest).into_bytes();
        let tid = u32::try_from(at).unwrap();
        self.sockets[socket].exchanges.push(tid);
        at
    }

    /// What is known of a request that ends before its head is whole: its request line, at most.
    fn cut_off(truth: &mut Truth) {
        if truth.whole {
            return;
        }
        truth.body_apart = false;
        if truth.sent < truth.line {
            truth.exchange = None;
        } else if let Some(exchange) = &mut truth.exchange {
            exchange.request.host = None;
            exchange.request.port = None;
            exchange.request.content_length = None;
            exchange.request.context = None;
            exchange.request_body_bytes = None;
        }
    }

    fn answer(&mut self, socket: usize, status: u16) {
        let header = self.header(socket);
        let clock = self.clock;
        let state = &mut self.sockets[socket];
        let Some(tid) = state.exchanges.get(state.answered).copied() else {
            return;
        };
        let index = u32::try_from(state.answered).unwrap();
        state.answered += 1;
        let truth = &mut self.truth[usize::try_from(tid).unwrap()];
        let open = !truth.whole;
        // A server that answers before the head is whole does not read on.
        state.closed = open;
        Self::cut_off(truth);
        truth.over = true;
        if let Some(exchange) = &mut truth.exchange {
            exchange.status = Some(status);
            exchange.first_response_ns = Some(clock - 5);
            exchange.end_ns = clock - 1;
            exchange.response_body_bytes = Some(clock);
        }
        let record = ResponseRecord {
            header,
            first_ns: clock - 5,
            last_ns: clock - 1,
            body_bytes: clock,
            index,
            status,
            flags: if open { flag::REQUEST_OPEN } else { 0 },
            ..ResponseRecord::default()
        };
        self.records.push(Sent {
            bytes: answer(record),
            what: What::End {
                first: tid,
                last: tid,
            },
        });
    }

    fn end(&mut self, socket: usize, reason: AbortReason, begun: bool) {
        let header = self.header(socket);
        let clock = self.clock;
        let state = &mut self.sockets[socket];
        state.closed = true;
        let under_way = &state.exchanges[state.answered..];
        let (Some(first), Some(last)) = (under_way.first(), under_way.last()) else {
            return;
        };
        let (first, last) = (*first, *last);
        let error = match reason {
            AbortReason::PeerClosed => Some(ErrorType::ConnectionClosed),
            AbortReason::LocalClosed => Some(ErrorType::ConnectionAborted),
            AbortReason::Broken => Some(ErrorType::Timeout),
            AbortReason::Lost => None,
        };
        let mut open = false;
        for tid in under_way {
            let truth = &mut self.truth[usize::try_from(*tid).unwrap()];
            open = !truth.whole;
            Self::cut_off(truth);
            truth.over = true;
            match (&mut truth.exchange, error) {
                (exchange, None) => *exchange = None,
                (None, Some(_)) => {}
                (Some(exchange), Some(_)) => {
                    exchange.error = error;
                    exchange.end_ns = clock;
                    if *tid == first && begun {
                        exchange.status = Some(206);
                        exchange.first_response_ns = Some(clock - 5);
                        exchange.end_ns = clock - 1;
                        exchange.response_body_bytes = Some(clock);
                    }
                }
            }
        }
        let mut flags = 0;
        if begun {
            flags |= flag::RESPONSE_BEGUN;
        }
        if open {
            flags |= flag::REQUEST_OPEN;
        }
        let record = AbortRecord {
            header,
            first_ns: if begun { clock - 5 } else { 0 },
            last_ns: clock - 1,
            body_bytes: if begun { clock } else { 0 },
            from: u32::try_from(state.answered).unwrap(),
            to: u32::try_from(state.exchanges.len()).unwrap(),
            errno: 110,
            status: if begun { 206 } else { 0 },
            flags,
            ..AbortRecord::default()
        };
        self.records.push(Sent {
            bytes: cut(reason, record),
            what: What::End { first, last },
        });
    }

    /// The exchanges that must be reported if only the records that `arrives` names do.
    pub(super) fn expected(&self, arrives: impl Fn(usize) -> bool) -> Vec<Exchange> {
        let mut expected = Vec::new();
        for (at, truth) in self.truth.iter().enumerate() {
            let tid = u32::try_from(at).unwrap();
            let Some(mut exchange) = truth.exchange.clone().filter(|_| truth.over) else {
                continue;
            };
            // Bytes of the head that are there from the beginning, and whether there is a hole.
            let (mut prefix, mut hole, mut ended, mut sized) = (0, false, false, false);
            for (place, record) in self.records.iter().enumerate() {
                match record.what {
                    What::Piece { tid: of, from, to } if of == tid && arrives(place) => {
                        hole |= from != prefix;
                        prefix = to;
                    }
                    What::Body { tid: of } if of == tid => sized = arrives(place),
                    What::End { .. } | What::Piece { .. } | What::Body { .. } => {}
                }
                // Exchanges of other sockets lie between, but only this socket's end is its own.
                if let What::End { first, last } = record.what
                    && self.ends(first, last, tid)
                {
                    ended = arrives(place);
                }
            }
            let readable = if truth.whole {
                prefix == truth.sent
            } else {
                prefix >= truth.line
            };
            if hole || !ended || !readable {
                continue;
            }
            if truth.body_apart && !sized {
                exchange.request_body_bytes = None;
            }
            expected.push(exchange);
        }
        expected
    }

    /// The exchange `tid` is among those from `first` to `last` of their connection.
    fn ends(&self, first: u32, last: u32, tid: u32) -> bool {
        self.sockets.iter().any(|socket| {
            let place = |of| socket.exchanges.iter().position(|known| *known == of);
            match (place(first), place(last), place(tid)) {
                (Some(first), Some(last), Some(at)) => (first..=last).contains(&at),
                _ => false,
            }
        })
    }
}
