//! One request and its response: the one type in the middle of hark.
//!
//! Everything before it (probes, records, connections) exists to build it; everything after it
//! (metrics, spans, logs) only reads it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hark_common::socket::Task;

use crate::rpc::{self, Code};
use crate::tls::hello::Hello;

/// Which end of the exchange the observed process was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// It received the request.
    Server,
    /// It sent the request.
    Client,
}

/// The version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// `HTTP/1.0`
    Http10,
    /// `HTTP/1.1`, or a later minor version, which means the same (RFC 9112 §2.3)
    Http11,
    /// HTTP/1, the minor version unknown: the request line is longer than what is captured
    Http1,
    /// HTTP/2 (RFC 9113)
    Http2,
}

impl Protocol {
    /// Value of `network.protocol.version`.
    #[must_use]
    pub const fn version(self) -> &'static str {
        match self {
            Self::Http10 => "1.0",
            Self::Http11 => "1.1",
            Self::Http1 => "1",
            Self::Http2 => "2",
        }
    }
}

/// The request method: the convention's known ones, or whatever token was sent.
///
/// Methods are case-sensitive (RFC 9110 §9.1): `get` is not `GET`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the variants are the methods' own names")]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Connect,
    Options,
    Trace,
    Patch,
    /// A token outside the list; `_OTHER` in metrics, kept as `http.request.method_original`.
    Other(Box<str>),
    /// It was sent as a reference to a header that hark has not heard (RFC 7541).
    Unknown,
}

impl Method {
    /// Reads a method token.
    #[must_use]
    pub fn from_token(token: &str) -> Self {
        match token {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "DELETE" => Self::Delete,
            "CONNECT" => Self::Connect,
            "OPTIONS" => Self::Options,
            "TRACE" => Self::Trace,
            "PATCH" => Self::Patch,
            other => Self::Other(other.into()),
        }
    }

    /// Value of `http.request.method`: `_OTHER` for what is not in the convention's list.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
            Self::Options => "OPTIONS",
            Self::Trace => "TRACE",
            Self::Patch => "PATCH",
            Self::Other(_) => "_OTHER",
            Self::Unknown => "unknown",
        }
    }
}

/// An error code of HTTP/2 (RFC 9113 §7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the variants are the codes' own names")]
pub enum ErrorCode {
    NoError,
    ProtocolError,
    InternalError,
    FlowControlError,
    SettingsTimeout,
    StreamClosed,
    FrameSizeError,
    RefusedStream,
    Cancel,
    CompressionError,
    ConnectError,
    EnhanceYourCalm,
    InadequateSecurity,
    Http11Required,
    /// A number that the registry did not have.
    Other,
}

impl ErrorCode {
    /// The codes by their number.
    const NUMBERED: [Self; 14] = [
        Self::NoError,
        Self::ProtocolError,
        Self::InternalError,
        Self::FlowControlError,
        Self::SettingsTimeout,
        Self::StreamClosed,
        Self::FrameSizeError,
        Self::RefusedStream,
        Self::Cancel,
        Self::CompressionError,
        Self::ConnectError,
        Self::EnhanceYourCalm,
        Self::InadequateSecurity,
        Self::Http11Required,
    ];

    /// The code of that number.
    #[must_use]
    pub fn from_number(number: u32) -> Self {
        usize::try_from(number)
            .ok()
            .and_then(|number| Self::NUMBERED.get(number).copied())
            .unwrap_or(Self::Other)
    }
}

/// Why an exchange has no whole response. The names are the values of `error.type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorType {
    /// The peer reset the connection (RST received, `ECONNRESET` or `EPIPE`).
    ConnectionReset,
    /// The peer closed its side before the exchange was whole.
    ConnectionClosed,
    /// The observed process closed the connection before the exchange was whole.
    ConnectionAborted,
    /// The kernel gave the connection up (`ETIMEDOUT`).
    Timeout,
    /// The connection broke with another error.
    Other,
    /// The peer reset the stream (`RST_STREAM` received).
    StreamReset(ErrorCode),
    /// The observed process reset the stream (`RST_STREAM` sent).
    StreamAborted(ErrorCode),
    /// The server ended the connection before it looked at this stream (`GOAWAY`).
    StreamUnprocessed,
}

impl ErrorType {
    /// Whether the server did not take the stream up (RFC 9113 §8.7): it may be sent again.
    #[must_use]
    pub const fn is_refusal(self) -> bool {
        matches!(
            self,
            Self::StreamUnprocessed
                | Self::StreamReset(ErrorCode::RefusedStream)
                | Self::StreamAborted(ErrorCode::RefusedStream)
        )
    }

    /// Value of `error.type`. That of a stream has the HTTP/2 error code after the colon.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConnectionReset => "connection_reset",
            Self::ConnectionClosed => "connection_closed",
            Self::ConnectionAborted => "connection_aborted",
            Self::Timeout => "timeout",
            Self::Other => "_OTHER",
            Self::StreamReset(code) => match code {
                ErrorCode::NoError => "stream_reset:NO_ERROR",
                ErrorCode::ProtocolError => "stream_reset:PROTOCOL_ERROR",
                ErrorCode::InternalError => "stream_reset:INTERNAL_ERROR",
                ErrorCode::FlowControlError => "stream_reset:FLOW_CONTROL_ERROR",
                ErrorCode::SettingsTimeout => "stream_reset:SETTINGS_TIMEOUT",
                ErrorCode::StreamClosed => "stream_reset:STREAM_CLOSED",
                ErrorCode::FrameSizeError => "stream_reset:FRAME_SIZE_ERROR",
                ErrorCode::RefusedStream => "stream_reset:REFUSED_STREAM",
                ErrorCode::Cancel => "stream_reset:CANCEL",
                ErrorCode::CompressionError => "stream_reset:COMPRESSION_ERROR",
                ErrorCode::ConnectError => "stream_reset:CONNECT_ERROR",
                ErrorCode::EnhanceYourCalm => "stream_reset:ENHANCE_YOUR_CALM",
                ErrorCode::InadequateSecurity => "stream_reset:INADEQUATE_SECURITY",
                ErrorCode::Http11Required => "stream_reset:HTTP_1_1_REQUIRED",
                ErrorCode::Other => "stream_reset:_OTHER",
            },
            Self::StreamAborted(code) => match code {
                ErrorCode::NoError => "stream_aborted:NO_ERROR",
                ErrorCode::ProtocolError => "stream_aborted:PROTOCOL_ERROR",
                ErrorCode::InternalError => "stream_aborted:INTERNAL_ERROR",
                ErrorCode::FlowControlError => "stream_aborted:FLOW_CONTROL_ERROR",
                ErrorCode::SettingsTimeout => "stream_aborted:SETTINGS_TIMEOUT",
                ErrorCode::StreamClosed => "stream_aborted:STREAM_CLOSED",
                ErrorCode::FrameSizeError => "stream_aborted:FRAME_SIZE_ERROR",
                ErrorCode::RefusedStream => "stream_aborted:REFUSED_STREAM",
                ErrorCode::Cancel => "stream_aborted:CANCEL",
                ErrorCode::CompressionError => "stream_aborted:COMPRESSION_ERROR",
                ErrorCode::ConnectError => "stream_aborted:CONNECT_ERROR",
                ErrorCode::EnhanceYourCalm => "stream_aborted:ENHANCE_YOUR_CALM",
                ErrorCode::InadequateSecurity => "stream_aborted:INADEQUATE_SECURITY",
                ErrorCode::Http11Required => "stream_aborted:HTTP_1_1_REQUIRED",
                ErrorCode::Other => "stream_aborted:_OTHER",
            },
            Self::StreamUnprocessed => "stream_unprocessed",
        }
    }
}

/// One end of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// TCP over IPv4 or IPv6 (IPv4-mapped addresses are given as IPv4).
    Inet(SocketAddr),
    /// An `AF_UNIX` stream; such sockets mostly have no name.
    Unix,
}

impl Endpoint {
    /// The address, if it is an internet one.
    #[must_use]
    pub const fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Inet(address) => Some(address.ip()),
            Self::Unix => None,
        }
    }

    /// The port, if it is an internet address.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        match self {
            Self::Inet(address) => Some(address.port()),
            Self::Unix => None,
        }
    }
}

/// The trace that a request belongs to, by its headers; see [`crate::context`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// 16 bytes, never all zero.
    pub trace_id: [u8; 16],
    /// The sender's span, 8 bytes; all zero where a format names a trace without one.
    pub parent_id: [u8; 8],
    /// The flags of W3C Trace Context, as sent or as what was sent means; bit 0 is sampled, bit 1
    /// random.
    pub flags: u8,
    /// The sender left it open whether the trace is sampled; then bit 0 is not set.
    pub deferred: bool,
}

impl TraceContext {
    /// The sender's span, if there is one.
    #[must_use]
    pub fn parent(&self) -> Option<[u8; 8]> {
        (self.parent_id != [0; 8]).then_some(self.parent_id)
    }
}

/// What the kernel side tells beside the message itself: who moved it, and where it was on its
/// connection. What causes what is made out from this, see [`crate::links`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trail {
    /// Inode number of the socket's network namespace; 0 if it is not known.
    pub netns: u32,
    /// `AF_UNIX`: cookie of the peer's socket; 0 if it is not known.
    pub peer_socket: u64,
    /// TCP, HTTP/1: sequence number of the first byte of the request, the same at both ends.
    pub sequence: Option<u32>,
    /// A server's, HTTP/1: the request was received by a read that would have waited for it.
    pub blocking: bool,
    /// HTTP/1: the thread that moved the head of the response; 0 if none did.
    pub response_thread: u32,
}

/// What the request head said. Values are valid UTF-8: other bytes are percent-encoded in the
/// path and replaced elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Path of the target without the query; `*` for the asterisk form; empty for the authority
    /// form (CONNECT) and where it is not known. Not longer than [`crate::http1::PATH_LIMIT`].
    pub path: Arc<str>,
    /// The path was longer than what is kept.
    pub path_truncated: bool,
    /// The version of the request line.
    pub protocol: Protocol,
    /// The name asked for: for a server what a proxy forwarded, then the authority of an absolute
    /// or authority form, then `Host`. In lower case, without port.
    pub host: Option<Arc<str>>,
    /// The port in the same place, if there was one.
    pub port: Option<u16>,
    /// For a server that of `Forwarded` or `X-Forwarded-Proto`, then that of an absolute-form
    /// target; one of a closed list, else `None`.
    pub scheme: Option<Arc<str>>,
    /// `User-Agent`.
    pub user_agent: Option<Arc<str>>,
    /// First address of `Forwarded` or `X-Forwarded-For`; `None` for a client.
    pub client_address: Option<Arc<str>>,
    /// `Content-Length`, if there is one valid and no `Transfer-Encoding` overrides it.
    pub content_length: Option<u64>,
    /// HTTP/1: it asks for HTTP/2 on this connection from the response on (`Upgrade: h2c`, RFC 7540
    /// §3.2).
    pub wants_http2: bool,
    /// The trace context, if there is one valid.
    pub context: Option<TraceContext>,
    /// `tracestate`, if the context is that of W3C and has one that is valid. Not longer than
    /// [`crate::context::tracestate::LENGTH_LIMIT`].
    pub tracestate: Option<Arc<str>>,
}

/// What makes an exchange a remote procedure call. Its method is the request's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rpc {
    /// The status that was sent, or the one that stands for it where none was; `None` if there was
    /// one that hark could not read.
    pub status: Option<Code>,
    /// Messages that the observed process sent, those that are not whole left out; `None` if that
    /// is not known.
    pub sent: Option<u64>,
    /// Messages that it received, likewise.
    pub received: Option<u64>,
}

/// One request and its response, as one process saw it.
///
/// Times are `CLOCK_MONOTONIC` in nanoseconds; [`crate::clock`] turns them into wall-clock time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// The end that was observed.
    pub role: Role,
    /// The socket's cookie: names the connection since boot.
    pub socket: u64,
    /// Number of the request on its connection, from 0; in HTTP/2 the identifier of its stream.
    pub index: u32,
    /// The process that served or sent it.
    pub task: Task,
    /// This end of the connection.
    pub local: Endpoint,
    /// The other end.
    pub peer: Endpoint,
    /// What was asked.
    pub request: Request,
    /// What came of it as a remote procedure call, if it was one.
    pub rpc: Option<Rpc>,
    /// Status of the final response, if one began.
    pub status: Option<u16>,
    /// Why there is no whole response; `None` for one that is whole, whatever its status.
    pub error: Option<ErrorType>,
    /// Server: the read that delivered the first byte of the request returned. Client: the write
    /// that took the first byte returned.
    pub start_ns: u64,
    /// The first byte of the final response was handed to the kernel (server) or read (client).
    pub first_response_ns: Option<u64>,
    /// The last byte was; for a cut exchange, when the cut was noticed.
    pub end_ns: u64,
    /// Size of the request body, if it is known, in bytes.
    pub request_body_bytes: Option<u64>,
    /// Size of the response body as far as it came, if it is known, in bytes.
    pub response_body_bytes: Option<u64>,
    /// What links are made from.
    pub trail: Trail,
    /// What the client of the connection said in clear, if it is one with TLS and that was heard.
    pub tls: Option<Arc<Hello>>,
}

impl Exchange {
    /// It is answered on stream 1 of the HTTP/2 connection that its own one becomes.
    #[must_use]
    pub const fn is_upgraded(&self) -> bool {
        self.request.wants_http2 && matches!(self.status, Some(101))
    }

    /// The duration that metrics and spans report, in nanoseconds.
    #[must_use]
    pub const fn duration_ns(&self) -> u64 {
        self.end_ns.saturating_sub(self.start_ns)
    }

    /// Value of `error.type` by the conventions for HTTP, or for RPC if it was a call: the failure's
    /// name, else the status when it makes this an error for this role (5xx for a server, 4xx and
    /// 5xx for a client).
    #[must_use]
    pub fn error_type(&self) -> Option<std::borrow::Cow<'static, str>> {
        if let Some(Rpc {
            status: Some(status),
            ..
        }) = self.rpc
        {
            return status.is_error(self.role).then(|| {
                self.error
                    .map_or_else(|| status.name(), ErrorType::as_str)
                    .into()
            });
        }
        if let Some(error) = self.error {
            return Some(error.as_str().into());
        }
        let limit = match self.role {
            Role::Server => 500,
            Role::Client => 400,
        };
        self.status
            .filter(|status| *status >= limit)
            .map(|status| status.to_string().into())
    }

    /// Whether [`error_type`](Self::error_type) has a value.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.error_type().is_some()
    }

    /// Value of `rpc.method`, if this was a call: `package.Service/Method`. It is `unknown` where
    /// hark could not read it, and `_OTHER` for what is no method, as far as the wire tells: what
    /// the server does not implement, or what is not spelled like one.
    #[must_use]
    pub fn rpc_method(&self) -> Option<&str> {
        let rpc = self.rpc?;
        let request = &self.request;
        if request.path.is_empty() {
            return Some("unknown");
        }
        let known = !request.path_truncated && rpc.status != Some(Code::Unimplemented);
        Some(
            rpc::method_of(&request.path)
                .filter(|_| known)
                .unwrap_or("_OTHER"),
        )
    }
}
