//! Request heads of HTTP/1 (RFC 9112).
//!
//! The kernel side has followed the framing, so what comes here begins with a request line. It is
//! still input from anybody: this module biases towards saying what can be said (method, path,
//! version, by a request line that is whole) over refusing a head for one bad header, and towards
//! saying nothing over guessing: two answers that disagree are none.
//!
//! Nothing secret leaves it. The query, the fragment and the user information of a target are cut
//! off here; of the headers only those that a field of [`Request`] names are looked at.

mod authority;
mod forwarded;
mod headers;
mod intern;
mod path;
mod request_line;
mod target;

use std::sync::Arc;

use httparse::Header;

use crate::context::Format;
use crate::exchange::{Method, Protocol, Request, Role};
use headers::Headers;
use intern::Interner;

/// Longest path kept of a request target, in bytes.
pub const PATH_LIMIT: usize = 1024;

/// Longest method token kept, in bytes. A longer one is cut: it is `_OTHER` either way.
pub const METHOD_LIMIT: usize = 64;

/// Longest `User-Agent` kept, in bytes.
pub const USER_AGENT_LIMIT: usize = 256;

/// Headers looked at in one head; what is beyond is ignored.
pub const HEADER_LIMIT: usize = 128;

/// How much of a head there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All of it, with the empty line.
    Whole,
    /// Its beginning: it is longer than
    /// [`HEAD_CAPTURE_LIMIT`](hark_common::socket::HEAD_CAPTURE_LIMIT). The headers that are there
    /// are read; if not even the request line fits, the target is marked truncated.
    Truncated,
    /// Its beginning: the exchange ended before the rest was sent. Only the request line is read,
    /// for a header that never came could have contradicted those that did.
    Cut,
}

/// What a head says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The request.
    pub request: Request,
    /// How long its body is.
    pub body: BodyLength,
}

/// The length of a request body, by the head (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// `Content-Length`, or 0 where nothing announces a body.
    Known(u64),
    /// Not in the head: chunked, or not all of the head is there, or it contradicts itself.
    Unknown,
}

/// Why a head is no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// It ends before the request line does.
    #[error("the request line is not whole")]
    Incomplete,
    /// The method is not a token (RFC 9110 §9.1).
    #[error("the request line does not begin with a method")]
    Method,
    /// There is no target.
    #[error("the request line has no target")]
    Target,
    /// The version is not one of HTTP/1.
    #[error("the request line does not end with a version of HTTP/1")]
    Version,
}

/// Reads heads. Keeps the strings it has seen of late, so that equal ones are shared.
#[derive(Debug)]
pub struct HeadParser {
    formats: Box<[Format]>,
    strings: Interner,
}

impl HeadParser {
    /// A parser that reads trace context in these formats, the first that is valid.
    #[must_use]
    pub fn new(formats: &[Format]) -> Self {
        Self {
            formats: formats.into(),
            strings: Interner::new(),
        }
    }

    /// Reads the head of a request that a process in `role` received or sent.
    ///
    /// For a server, host, scheme and client address are those that a proxy in front of it
    /// forwarded, if one did (OpenTelemetry's HTTP conventions, `server.address`, `url.scheme`,
    /// `client.address`); for a client they are those of this hop, and there is no client address.
    ///
    /// # Errors
    ///
    /// A [`HeadError`] if the request line is not one; a bad header is only skipped.
    pub fn parse(&mut self, role: Role, head: &[u8], extent: Extent) -> Result<Head, HeadError> {
        let mut fields = [httparse::EMPTY_HEADER; HEADER_LIMIT];
        let (line, fields) = request_line::split(head, extent, &mut fields)?;
        let headers = Headers::read(fields);
        let method = Method::from_token(path::bounded(line.method, METHOD_LIMIT));
        let body = match extent {
            Extent::Whole if method == Method::Connect => BodyLength::Known(0),
            Extent::Whole => headers.body_length(),
            Extent::Truncated | Extent::Cut => BodyLength::Unknown,
        };
        let target = target::split(&method, line.target, line.target_cut);
        let asked = Asked {
            method,
            protocol: line.protocol,
            path: target.path,
            path_cut: line.target_cut && !target.path_ended,
            // RFC 9112 §3.2.2: an authority in the target overrides Host.
            authority: match target.authority {
                Some(authority) => Some(authority::without_user(authority)),
                None => headers.host(),
            },
            scheme: target.scheme,
        };
        Ok(Head {
            request: self.request(role, asked, &headers),
            body,
        })
    }

    /// Makes a request of the fields of HTTP/2, by the same rules. What is not known is not there.
    pub(crate) fn fields(
        &mut self,
        role: Role,
        pseudo: &Pseudo<'_>,
        fields: &[Header<'_>],
    ) -> Request {
        let headers = Headers::read(fields);
        let method = match pseudo.method {
            Some(token) => Method::from_token(&String::from_utf8_lossy(
                &token[..token.len().min(METHOD_LIMIT)],
            )),
            None => Method::Unknown,
        };
        let target = target::split(&method, pseudo.path.unwrap_or_default(), false);
        let asked = Asked {
            protocol: Protocol::Http2,
            path: target.path,
            path_cut: false,
            // RFC 9113 §8.3.1: `:authority` takes the place of Host.
            authority: match pseudo.authority {
                Some(authority) => Some(authority::without_user(authority)),
                None => headers.host(),
            },
            scheme: pseudo.scheme.and_then(target::scheme),
            method,
        };
        self.request(role, asked, &headers)
    }

    fn request(&mut self, role: Role, asked: Asked<'_>, headers: &Headers<'_>) -> Request {
        let (path, limited) = path::printable(asked.path, PATH_LIMIT);
        let forwarded = match role {
            Role::Server => headers.forwarded(),
            Role::Client => forwarded::Forwarded::default(),
        };
        let authority = forwarded
            .host
            .and_then(authority::parse)
            .or_else(|| asked.authority.and_then(authority::parse));
        let found = headers.context().read(&self.formats);
        Request {
            path: self.strings.get(&path),
            path_truncated: limited || asked.path_cut,
            protocol: asked.protocol,
            port: authority.as_ref().and_then(|authority| authority.port),
            host: authority.map(|authority| self.strings.get(&authority.host)),
            scheme: forwarded
                .scheme
                .or(asked.scheme)
                .map(|scheme| self.strings.get(scheme)),
            user_agent: headers
                .user_agent()
                .map(|agent| self.strings.get(path::bounded(&agent, USER_AGENT_LIMIT))),
            client_address: forwarded
                .client
                .map(|address| Arc::from(address.to_string())),
            content_length: headers.content_length(),
            wants_http2: headers.wants_http2(),
            context: found.as_ref().map(|found| found.context),
            tracestate: found.and_then(|found| found.tracestate).map(Arc::from),
            method: asked.method,
        }
    }
}

/// The pseudo-header fields of an HTTP/2 request (RFC 9113 §8.3.1), as far as they are known.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pseudo<'a> {
    pub(crate) method: Option<&'a [u8]>,
    pub(crate) scheme: Option<&'a [u8]>,
    pub(crate) authority: Option<&'a [u8]>,
    pub(crate) path: Option<&'a [u8]>,
}

/// What a request line or the pseudo-header fields ask for.
struct Asked<'a> {
    method: Method,
    protocol: Protocol,
    path: &'a [u8],
    /// The path is longer.
    path_cut: bool,
    authority: Option<&'a [u8]>,
    scheme: Option<&'static str>,
}

#[cfg(test)]
mod tests;
