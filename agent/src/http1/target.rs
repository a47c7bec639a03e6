//! The four forms of a request target (RFC 9112 §3.2).

use crate::exchange::Method;

/// A request target, taken apart, its query left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target<'a> {
    /// The path: `*` for the asterisk form, empty for the authority form.
    pub(super) path: &'a [u8],
    /// Something followed the path, so that it is whole even if the target is not.
    pub(super) path_ended: bool,
    /// The authority of an absolute or authority form.
    pub(super) authority: Option<&'a [u8]>,
    /// The scheme of an absolute form, if it is one of [`SCHEMES`].
    pub(super) scheme: Option<&'static str>,
}

/// Schemes that are told apart. The list is closed because the scheme becomes a metric label, and
/// what is in a target or a forwarding header is anybody's to choose.
const SCHEMES: [&str; 5] = ["http", "https", "ws", "wss", "ftp"];

/// The scheme of that name, whatever its case (RFC 3986 §3.1).
pub(super) fn scheme(name: &[u8]) -> Option<&'static str> {
    SCHEMES
        .into_iter()
        .find(|scheme| name.eq_ignore_ascii_case(scheme.as_bytes()))
}

/// Takes a target apart. Of one that is `cut`, an authority is believed only if something follows.
pub(super) fn split<'a>(method: &Method, target: &'a [u8], cut: bool) -> Target<'a> {
    if *method == Method::Connect {
        return Target {
            path: b"",
            path_ended: true,
            authority: (!cut).then_some(target),
            scheme: None,
        };
    }
    let Some((name, rest)) = absolute(target) else {
        let (path, path_ended) = path(target);
        return Target {
            path,
            path_ended,
            authority: None,
            scheme: None,
        };
    };
    let end = rest
        .iter()
        .position(|byte| matches!(byte, b'/' | b'?' | b'#'))
        .unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    let (path, path_ended) = path(rest);
    Target {
        // RFC 9110 §4.2.3: an empty path is the same as "/".
        path: if path.is_empty() { b"/" } else { path },
        path_ended,
        authority: (!cut || !rest.is_empty()).then_some(authority),
        scheme: scheme(name),
    }
}

/// Scheme and remainder of an absolute form.
fn absolute(target: &[u8]) -> Option<(&[u8], &[u8])> {
    if !target.first()?.is_ascii_alphabetic() {
        return None;
    }
    let end = target
        .iter()
        .position(|byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')))?;
    let (scheme, rest) = target.split_at(end);
    Some((scheme, rest.strip_prefix(b"://")?))
}

/// What comes before a query or a fragment, and whether one of them comes.
fn path(target: &[u8]) -> (&[u8], bool) {
    match target.iter().position(|byte| matches!(byte, b'?' | b'#')) {
        Some(end) => (&target[..end], true),
        None => (target, false),
    }
}
