//! Whom a request asked for: `url.scheme`, `server.address`, `server.port`, `url.full`.
//!
//! All of it is what the request said, not what the socket says: the name in `Host`, and the port
//! there or the one its scheme implies. Only a client's request without a name falls back to the
//! address that it was sent to. Nothing here carries a query or user information.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::exchange::{Exchange, Method, Request, Role};

/// The scheme that was asked for, `http` if the request does not say: it was heard in plain text.
pub(super) fn scheme(request: &Request) -> &str {
    request.scheme.as_deref().unwrap_or("http")
}

/// The server that the request names, without the brackets of an IPv6 address, and its port.
pub(super) fn server(exchange: &Exchange) -> (Option<Cow<'_, str>>, Option<u16>) {
    let request = &exchange.request;
    let named = request
        .host
        .as_deref()
        .map(host)
        .filter(|host| !host.is_empty());
    match (named, exchange.role) {
        (Some(host), _) => (
            Some(host.into()),
            request.port.or_else(|| default_port(scheme(request))),
        ),
        (None, Role::Server) => (None, None),
        (None, Role::Client) => (
            exchange
                .peer
                .ip()
                .map(|ip| ip.to_canonical().to_string().into()),
            exchange.peer.port(),
        ),
    }
}

/// The absolute URL that was asked for (RFC 9110 §7.1), without its query.
///
/// `None` for CONNECT, which asks for a tunnel and not for a URL, for a request whose path is not
/// known, and for one that names no server over a socket that has no address.
pub(super) fn full(exchange: &Exchange) -> Option<String> {
    let request = &exchange.request;
    if request.method == Method::Connect || request.path.is_empty() {
        return None;
    }
    let (host, port) = server(exchange);
    let host = host?;
    let scheme = scheme(request);
    let mut url = if host.contains(':') {
        format!("{scheme}://[{host}]")
    } else {
        format!("{scheme}://{host}")
    };
    if let Some(port) = port.filter(|port| Some(*port) != default_port(scheme)) {
        // Writing to a string cannot fail.
        let _ = write!(url, ":{port}");
    }
    // The asterisk form asks for the server itself: an empty path.
    if request.path.starts_with('/') {
        url.push_str(&request.path);
    }
    Some(url)
}

/// A host without user information and without brackets.
fn host(authority: &str) -> &str {
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    host.strip_prefix('[')
        .and_then(|inner| inner.strip_suffix(']'))
        .unwrap_or(host)
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}
