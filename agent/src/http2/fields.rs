//! The fields of a header block that hark looks at, picked out of all of them.

use std::ops::Range;

use httparse::Header;

use super::hpack::Field;
use crate::context;
use crate::http1::{HEADER_LIMIT, Pseudo};
use crate::rpc::{self, Code};

/// One field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Slot {
    /// It is not in the block, as far as was read.
    #[default]
    Absent,
    /// It is, but its value is not known.
    Unknown,
    /// Its value, by its place in [`Fields::text`].
    At(Range<usize>),
}

/// Bytes of headers that are kept of one block. References of one byte may stand for thousands.
const TEXT_LIMIT: usize = 32 << 10;

/// How long a call may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timeout {
    /// For ever.
    None,
    /// That cannot be read, if it is said.
    Unknown,
    /// So many ns.
    Ns(u64),
}

/// What a block says of the status of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GrpcStatus {
    /// Nothing.
    Absent,
    /// Something that cannot be read.
    Unknown,
    /// This.
    Code(Code),
}

/// The fields of one block. Used again for each, so that it costs no allocation.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields {
    text: Vec<u8>,
    method: Slot,
    scheme: Slot,
    authority: Slot,
    path: Slot,
    status: Slot,
    content_type: Slot,
    grpc_status: Slot,
    grpc_timeout: Slot,
    /// A header that only gRPC has.
    grpc: bool,
    /// Some names are not known, or not all of the block was read: what is absent may be there.
    incomplete: bool,
    headers: Vec<(&'static str, Range<usize>)>,
}

impl Fields {
    pub(super) fn clear(&mut self) {
        let (mut text, mut headers) = (
            std::mem::take(&mut self.text),
            std::mem::take(&mut self.headers),
        );
        text.clear();
        headers.clear();
        *self = Self {
            text,
            headers,
            ..Self::default()
        };
    }

    /// Memory that it takes, about, in bytes.
    pub(super) const fn weight(&self) -> usize {
        size_of::<Self>()
            + self.text.capacity()
            + self.headers.capacity() * size_of::<(&str, Range<usize>)>()
    }

    /// The rest of the block cannot be read.
    pub(super) const fn set_incomplete(&mut self) {
        self.incomplete = true;
    }

    /// Takes a field. Names are in lower case (RFC 9113 §8.2).
    pub(super) fn add(&mut self, field: Field<'_>) {
        let Some(name) = field.name else {
            self.incomplete = true;
            return;
        };
        let value = field.value;
        match name {
            b":method" => Self::set(&mut self.method, &mut self.text, value),
            b":scheme" => Self::set(&mut self.scheme, &mut self.text, value),
            b":authority" => Self::set(&mut self.authority, &mut self.text, value),
            b":path" => Self::set(&mut self.path, &mut self.text, value),
            b":status" => Self::set(&mut self.status, &mut self.text, value),
            b"content-type" => Self::set(&mut self.content_type, &mut self.text, value),
            b"grpc-status" => Self::set(&mut self.grpc_status, &mut self.text, value),
            b"grpc-timeout" => Self::set(&mut self.grpc_timeout, &mut self.text, value),
            b"grpc-encoding" | b"grpc-accept-encoding" => self.grpc = true,
            b"host" => self.header("host", value),
            b"forwarded" => self.header("forwarded", value),
            b"user-agent" => self.header("user-agent", value),
            b"content-length" => self.header("content-length", value),
            b"x-forwarded-for" => self.header("x-forwarded-for", value),
            b"x-forwarded-host" => self.header("x-forwarded-host", value),
            b"x-forwarded-proto" => self.header("x-forwarded-proto", value),
            _ => {
                if let Some(name) = context::header(name) {
                    self.header(name, value);
                }
            }
        }
    }

    /// The first one counts.
    fn set(slot: &mut Slot, text: &mut Vec<u8>, value: Option<&[u8]>) {
        if *slot == Slot::Absent {
            *slot = value.map_or(Slot::Unknown, |value| Slot::At(keep(text, value)));
        }
    }

    fn header(&mut self, name: &'static str, value: Option<&[u8]>) {
        if let Some(value) = value
            && self.headers.len() < HEADER_LIMIT
            && self.text.len() + value.len() <= TEXT_LIMIT
        {
            let place = keep(&mut self.text, value);
            self.headers.push((name, place));
        }
    }

    fn get(&self, slot: &Slot) -> Option<&[u8]> {
        match slot {
            Slot::At(place) => self.text.get(place.clone()),
            Slot::Absent | Slot::Unknown => None,
        }
    }

    /// Whether it has a field that only requests have; `None` if it has none that tells.
    pub(super) fn is_request(&self) -> Option<bool> {
        let there = |slot: &Slot| *slot != Slot::Absent;
        if there(&self.status) {
            Some(false)
        } else if there(&self.method) || there(&self.path) || there(&self.scheme) {
            Some(true)
        } else {
            None
        }
    }

    /// The pseudo-header fields of a request.
    pub(super) fn pseudo(&self) -> Pseudo<'_> {
        Pseudo {
            method: self.get(&self.method),
            scheme: self.get(&self.scheme),
            authority: self.get(&self.authority),
            path: self.get(&self.path),
        }
    }

    /// There is no method, and none that could not be read.
    pub(super) fn lacks_method(&self) -> bool {
        self.method == Slot::Absent && !self.incomplete
    }

    /// Hands the headers, as [`HeadParser::fields`](crate::http1::HeadParser::fields) takes them,
    /// to `with`.
    pub(super) fn with_headers<T>(&self, with: impl FnOnce(&[Header<'_>]) -> T) -> T {
        let mut headers = [httparse::EMPTY_HEADER; HEADER_LIMIT];
        let mut count = 0;
        for (header, (name, place)) in headers.iter_mut().zip(&self.headers) {
            *header = Header {
                name,
                value: self.text.get(place.clone()).unwrap_or_default(),
            };
            count += 1;
        }
        with(&headers[..count])
    }

    /// `:status`: the outer `None` if it is not there, the inner one if it cannot be read.
    pub(super) fn status(&self) -> Option<Option<u16>> {
        match &self.status {
            Slot::Absent => None,
            slot => Some(
                self.get(slot)
                    .and_then(|value| std::str::from_utf8(value).ok())
                    .and_then(|value| value.parse().ok())
                    .filter(|status| (100..=999).contains(status)),
            ),
        }
    }

    /// Whether the message is gRPC; `None` if no header tells that can be read.
    pub(super) fn is_grpc(&self) -> Option<bool> {
        // The others are of gRPC-Web as well, so they tell only what this one does not.
        if let Some(content_type) = self.get(&self.content_type) {
            return Some(rpc::is_grpc(content_type));
        }
        if self.grpc || self.grpc_status != Slot::Absent || self.grpc_timeout != Slot::Absent {
            return Some(true);
        }
        match &self.content_type {
            Slot::Absent if !self.incomplete => Some(false),
            _ => None,
        }
    }

    /// `grpc-status`.
    pub(super) fn grpc_status(&self) -> GrpcStatus {
        match &self.grpc_status {
            Slot::Absent if !self.incomplete => GrpcStatus::Absent,
            Slot::Absent | Slot::Unknown => GrpcStatus::Unknown,
            slot => GrpcStatus::Code(Code::from_header(self.get(slot).unwrap_or_default())),
        }
    }

    /// `grpc-timeout`.
    pub(super) fn timeout(&self) -> Timeout {
        match &self.grpc_timeout {
            Slot::Absent if !self.incomplete => Timeout::None,
            Slot::Absent | Slot::Unknown => Timeout::Unknown,
            slot => match rpc::timeout(self.get(slot).unwrap_or_default()) {
                Some(ns) => Timeout::Ns(ns),
                None => Timeout::None,
            },
        }
    }
}

/// Puts a value behind the text, and says where.
fn keep(text: &mut Vec<u8>, value: &[u8]) -> Range<usize> {
    let start = text.len();
    text.extend_from_slice(value);
    start..text.len()
}
