//! What an exchange was for: the route of a server, the address that a client went to.

use std::borrow::Cow;

use crate::exchange::{Exchange, Role};

/// Longest host, in bytes: that of a domain name (RFC 1035 §2.3.4). A longer one is none.
const LONGEST_HOST: usize = 255;

/// Method of a call that found no room among its service's methods.
pub(super) const OTHER_METHOD: &str = "other";

/// Address of a client's target that found no room among its service's addresses, or cannot be one.
pub(super) const OTHER_ADDRESS: &str = "other";

/// What was asked for: the route of a server, the address that a client went to.
#[derive(Debug)]
pub(super) struct Target<'a> {
    pub(super) text: Option<Cow<'a, str>>,
    pub(super) port: Option<u16>,
}

impl<'a> Target<'a> {
    pub(super) fn of(exchange: &'a Exchange, route: Option<&'a str>) -> Self {
        match exchange.role {
            Role::Server => Self {
                text: route.filter(|route| !route.is_empty()).map(Cow::Borrowed),
                port: None,
            },
            Role::Client => Self::address(exchange),
        }
    }

    /// The host that was asked for, else the peer's address; the port that was asked for, else
    /// the peer's. A client that speaks through a proxy or a port mapping is so reported with the
    /// port it connected to, which was measured, rather than the scheme's default, which was not.
    fn address(exchange: &'a Exchange) -> Self {
        let port = exchange.request.port.or_else(|| exchange.peer.port());
        match exchange
            .request
            .host
            .as_deref()
            .filter(|host| !host.is_empty())
        {
            Some(host) if host.len() > LONGEST_HOST => Self::other(),
            Some(host) => Self {
                text: Some(canonical(host)),
                port,
            },
            None => Self {
                text: exchange.peer.ip().map(|ip| ip.to_string().into()),
                port,
            },
        }
    }

    /// The target of those without a place of their own.
    pub(super) const fn other() -> Self {
        Self {
            text: Some(Cow::Borrowed(OTHER_ADDRESS)),
            port: None,
        }
    }
}

/// Host names are not case-sensitive (RFC 3986 §3.2.2); `server.address` has no brackets.
fn canonical(host: &str) -> Cow<'_, str> {
    let host = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host);
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        host.to_ascii_lowercase().into()
    } else {
        host.into()
    }
}
