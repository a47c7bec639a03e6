//! The private parts of a request head, which may come in pieces of any size.
//!
//! A byte is written to the file when its piece is, and cannot be taken back. So what can only be
//! judged by a later piece is taken out.

/// Headers whose values stay: those that [`crate::http1`] reads, and those that make the framing.
/// In lower case. Those of trace context that may carry more than ids and flags are not among them.
const KEPT: [&[u8]; 22] = [
    b"host",
    b"user-agent",
    b"content-length",
    b"transfer-encoding",
    b"connection",
    b"upgrade",
    b"expect",
    b"te",
    b"traceparent",
    b"b3",
    b"x-b3-traceid",
    b"x-b3-spanid",
    b"x-b3-parentspanid",
    b"x-b3-sampled",
    b"x-b3-flags",
    b"uber-trace-id",
    b"x-datadog-trace-id",
    b"x-datadog-parent-id",
    b"forwarded",
    b"x-forwarded-for",
    b"x-forwarded-proto",
    b"x-forwarded-host",
];

/// Longest name of [`KEPT`].
const NAME_LIMIT: usize = 19;

/// Where in a head the next byte is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    /// Before the request line.
    #[default]
    Start,
    /// In the method.
    Method,
    /// Before the target.
    Target,
    /// In a path, which stays.
    Path,
    /// In a part of the target that goes: query, fragment, or what could be user information.
    Query,
    /// In the version, after so many bytes of it; [`NO_VERSION`] if it is none.
    Version(u8),
    /// At the start of a header line.
    Line,
    /// In the name of a header.
    Name(Name),
    /// In the value of a header that stays.
    Value,
    /// In something that goes, to the end of the line.
    Private,
}

/// The version turned out to be something else, which goes.
const NO_VERSION: u8 = u8::MAX;

/// What is known of the name of a header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Name {
    /// In lower case.
    bytes: [u8; NAME_LIMIT],
    /// May be beyond the limit: then it is none of the known ones.
    length: usize,
}

impl Name {
    fn push(&mut self, byte: u8) {
        if let Some(slot) = self.bytes.get_mut(self.length) {
            *slot = byte.to_ascii_lowercase();
        }
        self.length = self.length.saturating_add(1);
    }

    fn known(&self) -> Option<&[u8]> {
        self.bytes.get(..self.length)
    }

    fn is_kept(&self) -> bool {
        self.known().is_some_and(|name| KEPT.contains(&name))
    }

    fn begins_a_kept_one(&self) -> bool {
        self.known()
            .is_some_and(|name| KEPT.iter().any(|kept| kept.starts_with(name)))
    }
}

impl State {
    /// Takes the private bytes out of the next piece.
    pub(super) fn redact(&mut self, piece: &mut [u8]) {
        let mut at = 0;
        while at < piece.len() {
            at += self.step(&mut piece[at..]);
        }
    }

    /// Deals with the first bytes of a piece, and says with how many.
    fn step(&mut self, piece: &mut [u8]) -> usize {
        let Some(first) = piece.first_mut() else {
            return 0;
        };
        match (&mut *self, *first) {
            (Self::Start, b'\r' | b'\n') | (Self::Line, b'\r' | b'\n') => {}
            (Self::Start, _) => {
                *self = Self::Method;
                return 0;
            }
            // No part of a head goes beyond its line.
            (_, b'\n') => *self = Self::Line,
            (_, b'\r') => {}
            (Self::Method, b' ' | b'\t') => *self = Self::Target,
            (Self::Method, byte) => {
                if !is_token(byte) {
                    *first = b'x';
                    *self = Self::Private;
                }
            }
            (Self::Target, b' ' | b'\t') => {}
            (Self::Target, b'/' | b'*') => *self = Self::Path,
            (Self::Target, _) => return self.absolute(piece),
            (Self::Path | Self::Query | Self::Version(_), b' ' | b'\t') => {
                *self = Self::Version(0);
            }
            (Self::Path, b'?' | b'#') => *self = Self::Query,
            (Self::Path | Self::Value, _) => {}
            (Self::Query | Self::Private, _) => *first = b'x',
            (Self::Version(seen), byte) => match (b"HTTP/1.".get(usize::from(*seen)), *seen) {
                (Some(expected), _) if *expected == byte => *seen += 1,
                (None, 7) if byte.is_ascii_digit() => *seen += 1,
                _ => {
                    *first = b'x';
                    *seen = NO_VERSION;
                }
            },
            // A folded line belongs to a value, and nobody reads it.
            (Self::Line, b' ' | b'\t') => *self = Self::Private,
            (Self::Line, _) => {
                *self = Self::Name(Name::default());
                return 0;
            }
            (Self::Name(name), _) => {
                let name = *name;
                return self.name(name, piece);
            }
        }
        1
    }

    /// A target that does not begin with a slash: `scheme://user:password@host/path`, or an
    /// authority alone. Only if all of the authority is in this piece is it known whether it has
    /// user information.
    fn absolute(&mut self, piece: &mut [u8]) -> usize {
        let is_end = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        let end = piece.iter().position(is_end);
        let target = &piece[..end.unwrap_or(piece.len())];
        let scheme = target
            .windows(3)
            .position(|bytes| bytes == b"://")
            .filter(|at| target[..*at].iter().all(|byte| is_scheme(*byte)))
            .map_or(0, |at| at + 3);
        let authority = target[scheme..]
            .iter()
            .position(|byte| matches!(byte, b'/' | b'?' | b'#'))
            .map(|length| scheme + length)
            .filter(|_| scheme > 0 || end.is_some());
        let Some(authority) = authority.or(end) else {
            piece.fill(b'x');
            *self = Self::Query;
            return piece.len();
        };
        if let Some(user) = piece[scheme..authority]
            .iter()
            .rposition(|byte| *byte == b'@')
        {
            piece[scheme..scheme + user].fill(b'x');
        }
        *self = Self::Path;
        authority
    }

    /// The rest of a header's name, as far as it is in this piece.
    fn name(&mut self, mut name: Name, piece: &mut [u8]) -> usize {
        let end = piece.iter().position(|byte| matches!(byte, b':' | b'\n'));
        let length = end.unwrap_or(piece.len());
        let part = &mut piece[..length];
        if !part.iter().all(|byte| is_token(*byte)) {
            // No name; a CR before the LF is part of the framing.
            for byte in part.iter_mut().filter(|byte| **byte != b'\r') {
                *byte = b'x';
            }
            *self = Self::Private;
            return length;
        }
        match end {
            Some(end) if piece[end] == b':' => {
                for byte in &piece[..end] {
                    name.push(*byte);
                }
                *self = if name.is_kept() {
                    Self::Value
                } else {
                    Self::Private
                };
                end + 1
            }
            Some(end) => {
                piece[..end].fill(b'x');
                *self = Self::Private;
                end
            }
            None => {
                for byte in piece.iter_mut() {
                    name.push(*byte);
                    if !name.begins_a_kept_one() {
                        *byte = b'x';
                    }
                }
                *self = Self::Name(name);
                length
            }
        }
    }
}

/// `tchar` of RFC 9110 §5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// A byte of a scheme (RFC 3986 §3.1).
fn is_scheme(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)
}
