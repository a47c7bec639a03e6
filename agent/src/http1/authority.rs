//! Host and port (RFC 3986 §3.2): of the `Host` header, a target, or a forwarding header.

use std::borrow::Cow;
use std::net::Ipv6Addr;

/// Longest host name, in bytes (RFC 1035 §2.3.4 allows 255 octets on the wire).
const HOST_LIMIT: usize = 255;

/// A host and its port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Authority<'a> {
    /// A name in lower case, an IPv4 address, or an IPv6 address without its brackets.
    pub(super) host: Cow<'a, str>,
    /// The port, if one is given.
    pub(super) port: Option<u16>,
}

/// Reads `uri-host [":" port]`. `None` if it is not one: half an address is no address.
pub(super) fn parse(authority: &[u8]) -> Option<Authority<'_>> {
    let authority = std::str::from_utf8(authority).ok()?;
    if let Some(literal) = authority.strip_prefix('[') {
        let (address, port) = literal.split_once(']')?;
        let address: Ipv6Addr = address.parse().ok()?;
        return Some(Authority {
            host: address.to_string().into(),
            port: port_after(port)?,
        });
    }
    let end = authority.find(':').unwrap_or(authority.len());
    let (host, port) = authority.split_at(end);
    if host.is_empty() || host.len() > HOST_LIMIT || !is_name(host.as_bytes()) {
        return None;
    }
    let host = if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        host.to_ascii_lowercase().into()
    } else {
        host.into()
    };
    Some(Authority {
        host,
        port: port_after(port)?,
    })
}

/// An authority without `user:password@`, which is nobody's business.
pub(super) fn without_user(authority: &[u8]) -> &[u8] {
    let start = authority
        .iter()
        .rposition(|byte| *byte == b'@')
        .map_or(0, |at| at + 1);
    &authority[start..]
}

/// The port in what follows a host: nothing, `:`, or `:` and digits. The outer `None` is an error.
fn port_after(rest: &str) -> Option<Option<u16>> {
    if rest.is_empty() {
        return Some(None);
    }
    let digits = rest.strip_prefix(':')?;
    if digits.is_empty() {
        return Some(None);
    }
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().filter(|port| *port != 0).map(Some)
}

/// `reg-name` of RFC 3986 §3.2.2.
fn is_name(mut host: &[u8]) -> bool {
    loop {
        host = match host {
            [] => return true,
            [b'%', high, low, rest @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                rest
            }
            [
                b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+'
                | b',' | b';' | b'=',
                rest @ ..,
            ] => rest,
            [byte, rest @ ..] if byte.is_ascii_alphanumeric() => rest,
            _ => return false,
        };
    }
}
