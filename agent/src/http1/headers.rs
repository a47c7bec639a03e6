//! The headers that hark looks at, picked out of all of them.

use std::borrow::Cow;
use std::str;

use super::forwarded::{self, Forwarded};
use super::{BodyLength, USER_AGENT_LIMIT, target};
use crate::context::Carrier;

/// Values by header. Where a header must not come twice, twice with different values is as good
/// as absent.
#[derive(Debug, Default)]
pub(super) struct Headers<'b> {
    host: Single<&'b [u8]>,
    content_length: Single<u64>,
    transfer_encoding: bool,
    wants_http2: bool,
    user_agent: Option<&'b [u8]>,
    forwarded: Option<&'b [u8]>,
    forwarded_for: Option<&'b [u8]>,
    forwarded_proto: Option<&'b [u8]>,
    forwarded_host: Option<&'b [u8]>,
    context: Carrier<'b>,
}

/// A header that may come once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Single<T> {
    #[default]
    Absent,
    One(T),
    /// Invalid, or several that disagree.
    Bad,
}

impl<T: Copy + PartialEq> Single<T> {
    fn add(&mut self, value: Option<T>) {
        *self = match (&*self, value) {
            (Self::Absent, Some(value)) => Self::One(value),
            (Self::One(known), Some(value)) if *known == value => Self::One(value),
            _ => Self::Bad,
        };
    }

    fn get(&self) -> Option<T> {
        match self {
            Self::One(value) => Some(*value),
            Self::Absent | Self::Bad => None,
        }
    }
}

impl<'b> Headers<'b> {
    /// Picks the known headers.
    pub(super) fn read(headers: &[httparse::Header<'b>]) -> Self {
        let mut known = Self::default();
        for header in headers {
            let value = header.value;
            // The length tells most of them apart for free.
            match header.name.len() {
                4 if header.name.eq_ignore_ascii_case("host") => known.host.add(Some(value)),
                7 if header.name.eq_ignore_ascii_case("upgrade") => {
                    known.wants_http2 |= names_http2(value);
                }
                9 if header.name.eq_ignore_ascii_case("forwarded") => {
                    known.forwarded.get_or_insert(value);
                }
                10 if header.name.eq_ignore_ascii_case("user-agent") => {
                    known.user_agent.get_or_insert(value);
                }
                14 if header.name.eq_ignore_ascii_case("content-length") => {
                    known.content_length.add(digits(value));
                }
                15 if header.name.eq_ignore_ascii_case("x-forwarded-for") => {
                    known.forwarded_for.get_or_insert(value);
                }
                16 if header.name.eq_ignore_ascii_case("x-forwarded-host") => {
                    known.forwarded_host.get_or_insert(value);
                }
                17 if header.name.eq_ignore_ascii_case("x-forwarded-proto") => {
                    known.forwarded_proto.get_or_insert(value);
                }
                17 if header.name.eq_ignore_ascii_case("transfer-encoding") => {
                    known.transfer_encoding = true;
                }
                _ => known.context.take(header.name, value),
            }
        }
        known
    }

    /// `Host`.
    pub(super) fn host(&self) -> Option<&'b [u8]> {
        self.host.get()
    }

    /// `User-Agent`, of which a little more than the limit may be given.
    pub(super) fn user_agent(&self) -> Option<Cow<'b, str>> {
        let value = self.user_agent.filter(|value| !value.is_empty())?;
        // The longest character that the limit could cut is four bytes long.
        let enough = value.len().min(USER_AGENT_LIMIT + 4);
        Some(String::from_utf8_lossy(&value[..enough]))
    }

    /// `Content-Length`, unless `Transfer-Encoding` overrides it (RFC 9112 §6.3 rule 3).
    pub(super) fn content_length(&self) -> Option<u64> {
        self.content_length
            .get()
            .filter(|_| !self.transfer_encoding)
    }

    /// The length of the body of a request whose head is whole.
    pub(super) fn body_length(&self) -> BodyLength {
        match self.content_length {
            _ if self.transfer_encoding => BodyLength::Unknown,
            Single::Absent => BodyLength::Known(0),
            Single::One(length) => BodyLength::Known(length),
            Single::Bad => BodyLength::Unknown,
        }
    }

    /// `Upgrade` names HTTP/2.
    pub(super) const fn wants_http2(&self) -> bool {
        self.wants_http2
    }

    /// What carries trace context.
    pub(super) const fn context(&self) -> &Carrier<'b> {
        &self.context
    }

    /// What `Forwarded` says, and what it does not say from `X-Forwarded-…`.
    pub(super) fn forwarded(&self) -> Forwarded<'b> {
        let standard = self.forwarded.map(forwarded::forwarded).unwrap_or_default();
        Forwarded {
            host: standard
                .host
                .or_else(|| self.forwarded_host.map(forwarded::first))
                .filter(|host| !host.is_empty()),
            scheme: standard.scheme.or_else(|| {
                self.forwarded_proto
                    .and_then(|list| target::scheme(forwarded::first(list)))
            }),
            client: standard.client.or_else(|| {
                self.forwarded_for
                    .and_then(|list| forwarded::client(forwarded::first(list)))
            }),
        }
    }
}

/// Whether a list of protocols (RFC 9110 §7.8) has the one that stands for HTTP/2 in clear text (RFC 7540
/// §3.2).
fn names_http2(value: &[u8]) -> bool {
    value
        .split(|byte| *byte == b',')
        .any(|protocol| protocol.trim_ascii().eq_ignore_ascii_case(b"h2c"))
}

/// `1*DIGIT` (RFC 9110 §8.6).
fn digits(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(value).ok()?.parse().ok()
}
