//! The request line, and the headers after it as httparse reads them.
//!
//! httparse reads nearly every head. It refuses some that servers take: control characters or
//! invalid UTF-8 in a target, minor versions above 1, a line beyond what was captured. For those
//! the line is taken apart here, and httparse reads the headers.

use httparse::{Header, ParserConfig, Request};

use super::{Extent, HeadError};
use crate::exchange::Protocol;

/// A request line, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RequestLine<'a> {
    /// The method token.
    pub(super) method: &'a str,
    /// The request target.
    pub(super) target: &'a [u8],
    /// The target goes on beyond what was captured.
    pub(super) target_cut: bool,
    /// The version.
    pub(super) protocol: Protocol,
}

/// Reads a head into its request line and the headers that are readable, in order.
pub(super) fn split<'h, 'b>(
    head: &'b [u8],
    extent: Extent,
    headers: &'h mut [Header<'b>],
) -> Result<(RequestLine<'b>, &'h [Header<'b>]), HeadError> {
    let head = without_empty_lines(head);
    let Some(end) = head.iter().position(|byte| *byte == b'\n') else {
        return match extent {
            Extent::Truncated => Ok((unfinished(head)?, &[])),
            Extent::Whole | Extent::Cut => Err(HeadError::Incomplete),
        };
    };
    if extent == Extent::Cut {
        return Ok((finished(&head[..end])?, &[]));
    }
    let mut request = Request::new(&mut *headers);
    let outcome = ParserConfig::default()
        .allow_multiple_spaces_in_request_line_delimiters(true)
        .ignore_invalid_headers_in_requests(true)
        .parse_request(&mut request, head);
    // After an error among the headers, those before it are there.
    let read = outcome.is_ok()
        || request
            .headers
            .first()
            .is_some_and(|first| !first.name.is_empty());
    let line = match (request.method, request.path, request.version) {
        (Some(method), Some(target), Some(minor)) if read => RequestLine {
            method,
            target: target.as_bytes(),
            target_cut: false,
            protocol: protocol(minor),
        },
        _ => {
            let line = finished(&head[..end])?;
            let _: httparse::Result<_> = httparse::parse_headers(&head[end + 1..], headers);
            line
        }
    };
    let count = headers
        .iter()
        .position(|header| header.name.is_empty())
        .unwrap_or(headers.len());
    Ok((line, &headers[..count]))
}

/// RFC 9112 §2.2: a server ignores empty lines before the request line.
fn without_empty_lines(head: &[u8]) -> &[u8] {
    let start = head
        .iter()
        .position(|byte| !matches!(byte, b'\r' | b'\n'))
        .unwrap_or(head.len());
    &head[start..]
}

/// Takes a line apart that is all there, without its LF.
pub(super) fn finished(line: &[u8]) -> Result<RequestLine<'_>, HeadError> {
    let line = line.trim_ascii_end();
    let (method, rest) = method(line)?;
    let (target, version) = match rest.split_last_chunk::<8>() {
        Some((target, version)) => (target, version),
        None if rest.is_empty() => return Err(HeadError::Target),
        None => return Err(HeadError::Version),
    };
    let minor = match version.strip_prefix(b"HTTP/1.") {
        Some([digit @ b'0'..=b'9']) => digit - b'0',
        _ => return Err(HeadError::Version),
    };
    if !target.is_empty() && !target.ends_with(b" ") && !target.ends_with(b"\t") {
        return Err(HeadError::Version);
    }
    let target = target.trim_ascii();
    if target.is_empty() {
        return Err(HeadError::Target);
    }
    Ok(RequestLine {
        method,
        target,
        target_cut: false,
        protocol: protocol(minor),
    })
}

/// Takes a line apart whose end was not captured.
fn unfinished(line: &[u8]) -> Result<RequestLine<'_>, HeadError> {
    let (method, rest) = method(line)?;
    let target = rest.trim_ascii_start();
    let end = target.iter().position(|byte| *byte == b' ');
    let target = &target[..end.unwrap_or(target.len())];
    if target.is_empty() {
        return Err(HeadError::Target);
    }
    Ok(RequestLine {
        method,
        target,
        target_cut: end.is_none(),
        protocol: Protocol::Http1,
    })
}

/// The token that a line begins with, and what follows the space after it.
fn method(line: &[u8]) -> Result<(&str, &[u8]), HeadError> {
    let end = line
        .iter()
        .position(|byte| !is_token(*byte))
        .ok_or(HeadError::Target)?;
    let (method, rest) = line.split_at(end);
    match (std::str::from_utf8(method), rest) {
        (Ok(method), [b' ' | b'\t', rest @ ..]) if !method.is_empty() => Ok((method, rest)),
        _ => Err(HeadError::Method),
    }
}

/// `tchar` of RFC 9110 §5.6.2.
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

const fn protocol(minor: u8) -> Protocol {
    if minor == 0 {
        Protocol::Http10
    } else {
        Protocol::Http11
    }
}
