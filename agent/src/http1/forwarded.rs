//! What a proxy says about the request it forwards: `Forwarded` (RFC 7239) and `X-Forwarded-…`.
//!
//! Only the first element of a list counts: the one added by the proxy nearest to the client.

use std::net::{IpAddr, SocketAddr};

use super::target;

/// What was forwarded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Forwarded<'a> {
    /// `Host` as the first proxy received it.
    pub(super) host: Option<&'a [u8]>,
    /// The scheme that the client used.
    pub(super) scheme: Option<&'static str>,
    /// The client's address. `unknown` and obfuscated names (RFC 7239 §6) are none.
    pub(super) client: Option<IpAddr>,
}

/// Reads the first element of a `Forwarded` header. One that is malformed says nothing at all, and
/// so does one with a quoted-pair in a value: no address, host or scheme needs one.
pub(super) fn forwarded(value: &[u8]) -> Forwarded<'_> {
    let mut said = Forwarded::default();
    let mut rest = value.trim_ascii_start();
    loop {
        let Some((name, value, after)) = pair(rest) else {
            return Forwarded::default();
        };
        if name.eq_ignore_ascii_case(b"for") {
            said.client = client(value);
        } else if name.eq_ignore_ascii_case(b"host") {
            said.host = Some(value);
        } else if name.eq_ignore_ascii_case(b"proto") {
            said.scheme = target::scheme(value);
        }
        match after.trim_ascii_start() {
            [] | [b',', ..] => return said,
            [b';', next @ ..] => rest = next.trim_ascii_start(),
            _ => return Forwarded::default(),
        }
    }
}

/// `token "=" (token / quoted-string)`: name, value, what follows.
fn pair(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let equals = text.iter().position(|byte| *byte == b'=')?;
    let name = text[..equals].trim_ascii();
    let rest = &text[equals + 1..];
    if let [b'"', quoted @ ..] = rest {
        let end = quoted.iter().position(|byte| *byte == b'"')?;
        let value = &quoted[..end];
        return (!value.contains(&b'\\')).then_some((name, value, &quoted[end + 1..]));
    }
    let end = rest
        .iter()
        .position(|byte| matches!(byte, b';' | b',' | b' ' | b'\t'))
        .unwrap_or(rest.len());
    let (value, rest) = rest.split_at(end);
    Some((name, value, rest))
}

/// The first element of a comma-separated list.
pub(super) fn first(list: &[u8]) -> &[u8] {
    list.split(|byte| *byte == b',')
        .next()
        .unwrap_or_default()
        .trim_ascii()
}

/// The address of a node: `192.0.2.1`, `192.0.2.1:80`, `[2001:db8::1]`, `[2001:db8::1]:80`, or a
/// bare IPv6 address as `X-Forwarded-For` has it.
pub(super) fn client(node: &[u8]) -> Option<IpAddr> {
    let node = std::str::from_utf8(node).ok()?;
    let bare = node
        .strip_prefix('[')
        .and_then(|literal| literal.strip_suffix(']'))
        .filter(|literal| literal.contains(':'))
        .unwrap_or(node);
    bare.parse::<IpAddr>()
        .or_else(|_| node.parse::<SocketAddr>().map(|address| address.ip()))
        .map(|address| address.to_canonical())
        .ok()
}
