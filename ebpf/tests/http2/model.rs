//! Conversations whose truth is known, and the way back from records to frames.

use std::collections::BTreeMap;

use hark_common::http2::{Http2Record, OTHER_DIRECTION, flag as record_flag, messages};
use proptest::prelude::*;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;
pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const PADDED: u8 = 8;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Frame {
    Frame {
        kind,
        flags,
        stream,
        payload: payload.to_vec(),
    }
}

impl Frame {
    pub fn write(&self, to: &mut Vec<u8>) {
        let [_, length @ ..] = (self.payload.len() as u32).to_be_bytes();
        to.extend(length);
        to.extend([self.kind, self.flags]);
        to.extend(self.stream.to_be_bytes());
        to.extend(&self.payload);
    }

    /// Whether it is handed over, DATA apart.
    fn travels(&self) -> bool {
        matches!(
            self.kind,
            HEADERS | RST_STREAM | SETTINGS | PUSH_PROMISE | GOAWAY | CONTINUATION
        )
    }

    fn ends_stream(&self) -> bool {
        self.kind == RST_STREAM
            || matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }
}

pub fn wire(frames: &[Frame]) -> Vec<u8> {
    let mut bytes = Vec::new();
    frames.iter().for_each(|frame| frame.write(&mut bytes));
    bytes
}

/// What the agent learns: a frame that is handed over, or the end of a stream by DATA; and with what
/// ends a stream, all the DATA of it so far, and the messages in that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub frame: Frame,
    pub data: Option<u64>,
    pub messages: Option<Messages>,
}

/// The messages of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Messages {
    /// So many, and nothing beside.
    #[default]
    None,
    Whole(u32),
    /// So many, and one that is not whole.
    Within(u32),
    /// It is not that.
    Unknown,
}

impl Messages {
    /// Those that a body holds.
    fn of(mut body: &[u8]) -> Self {
        let mut count = 0;
        if body.is_empty() {
            return Self::None;
        }
        while let Some((prefix, rest)) = body.split_first_chunk::<5>() {
            if prefix[0] > 1 {
                return Self::Unknown;
            }
            let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
            let Some(rest) = rest.get(length..) else {
                return Self::Within(count);
            };
            body = rest;
            count += 1;
        }
        if body.is_empty() {
            Self::Whole(count)
        } else {
            Self::Within(count)
        }
    }

    /// Takes what is told next of a stream.
    fn add(self, word: u32) -> Self {
        let before = match self {
            Self::None => 0,
            Self::Whole(count) | Self::Within(count) => count,
            Self::Unknown => return self,
        };
        let count = before + (word & messages::COUNT);
        if word & messages::UNKNOWN != 0 {
            Self::Unknown
        } else if word & messages::WITHIN != 0 {
            Self::Within(count)
        } else {
            Self::Whole(count)
        }
    }
}

/// What is to be told of these frames.
pub fn truth(frames: &[Frame]) -> Vec<Told> {
    let mut data: BTreeMap<u32, (Vec<u8>, bool)> = BTreeMap::new();
    let mut told = Vec::new();
    for frame in frames {
        let mut frame = frame.clone();
        if frame.kind == DATA {
            let (body, padded) = data.entry(frame.stream).or_default();
            body.extend(&frame.payload);
            *padded |= frame.flags & PADDED != 0;
            frame.payload.clear();
        }
        let ends = frame.ends_stream();
        if frame.kind == GOAWAY {
            frame.payload.truncate(8);
        }
        if frame.travels() || ends {
            let (body, padded) = ends
                .then(|| data.remove(&frame.stream))
                .flatten()
                .unwrap_or_default();
            let messages = if padded {
                Messages::Unknown
            } else {
                Messages::of(&body)
            };
            told.push(Told {
                data: ends.then_some(body.len() as u64),
                messages: ends.then_some(messages),
                frame,
            });
        }
    }
    told
}

/// The same from the bytes of all records, put together: the way that the agent goes.
pub fn told(bytes: &[u8]) -> Vec<Told> {
    let mut data: BTreeMap<u32, (u64, Messages)> = BTreeMap::new();
    let mut told = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (mut frame, length) = header(rest);
        rest = &rest[9..];
        if frame.kind == DATA {
            let word = u32::from_be_bytes(rest[..4].try_into().expect("four bytes"));
            rest = &rest[4..];
            if frame.flags & OTHER_DIRECTION != 0 {
                // Unless the next record is missing.
                if !rest.is_empty() {
                    let (next, _) = header(rest);
                    assert_eq!((next.kind, next.stream), (RST_STREAM, frame.stream));
                }
                continue;
            }
            let (bytes, messages) = data.entry(frame.stream).or_default();
            *bytes += length as u64;
            if *bytes > 0 {
                *messages = messages.add(word);
            }
        } else {
            frame.payload = rest[..length].to_vec();
            rest = &rest[length..];
        }
        let ends = frame.ends_stream();
        if frame.kind != DATA || ends {
            let (bytes, messages) = ends
                .then(|| data.remove(&frame.stream))
                .flatten()
                .unwrap_or_default();
            told.push(Told {
                data: ends.then_some(bytes),
                messages: ends.then_some(messages),
                frame,
            });
        }
    }
    told
}

/// A frame without its payload, and the length of that.
fn header(bytes: &[u8]) -> (Frame, usize) {
    let length = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]);
    let stream = u32::from_be_bytes([bytes[5], bytes[6], bytes[7], bytes[8]]);
    (
        frame(bytes[3], bytes[4], stream & 0x7fff_ffff, &[]),
        length as usize,
    )
}

/// The bytes of these records, put together. They must be all there are of a direction that was
/// followed without a loss: numbered without a hole, each pointing to its first frame header.
pub fn whole(records: &[(Http2Record, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Where in `bytes` the next frame header is.
    let mut boundary = 0;
    for (number, (record, frames)) in records.iter().enumerate() {
        assert_eq!(record.seq as usize, number);
        assert_eq!(record.flags & (record_flag::LOST | record_flag::CUT), 0);
        let from = bytes.len();
        bytes.extend(frames);
        let continued = (boundary - from).min(frames.len());
        assert_eq!(record.continued as usize, continued, "record {number}");
        while boundary < bytes.len() {
            let (frame, length) = header(&bytes[boundary..]);
            boundary += 9 + if frame.kind == DATA { 4 } else { length };
        }
    }
    bytes
}

/// What a payload may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Any bytes.
    Plain,
    /// At times also what would be taken for frames if the framing were lost.
    Deceptive,
}

fn payload(what: Payload) -> impl Strategy<Value = Vec<u8>> {
    let frames = wire(&[
        frame(HEADERS, END_HEADERS, 1, &[0x82, 0x86]),
        frame(HEADERS, END_HEADERS, 3, &[0x82, 0x86]),
    ]);
    let frames = match what {
        Payload::Plain => vec![],
        Payload::Deceptive => frames,
    };
    prop_oneof![
        4 => proptest::collection::vec(any::<u8>(), 0..40),
        1 => proptest::collection::vec(any::<u8>(), 1000..3000),
        1 => Just(frames),
    ]
}

/// A part of a body of messages: at times not from its beginning, nor to its end.
fn message_payload() -> impl Strategy<Value = Vec<u8>> {
    let lengths = proptest::collection::vec(prop_oneof![4 => 0usize..12, 1 => 200usize..900], 0..6);
    let cut = prop_oneof![3 => Just(0usize), 1 => 1usize..9];
    (lengths, cut).prop_map(|(lengths, cut)| {
        let mut body = Vec::new();
        for length in lengths {
            body.push(u8::from(length % 2 == 1));
            body.extend((length as u32).to_be_bytes());
            body.extend(std::iter::repeat_n(7u8, length));
        }
        body.truncate(body.len().saturating_sub(cut));
        body
    })
}

/// Frames of a stream, or of the connection: those of a header block stay together.
fn group(what: Payload) -> impl Strategy<Value = Vec<Frame>> {
    let stream = || (0u32..12).prop_map(|n| 2 * n + 1);
    let end = || prop_oneof![Just(0u8), Just(END_STREAM)];
    prop_oneof![
        (stream(), end(), payload(what)).prop_map(|(s, end, p)| vec![frame(
            HEADERS,
            end | END_HEADERS,
            s,
            &p
        )]),
        (
            stream(),
            end(),
            proptest::collection::vec(payload(what), 2..5)
        )
            .prop_map(|(s, end, parts)| {
                let last = parts.len() - 1;
                let part = |(n, p): (usize, &Vec<u8>)| {
                    let kind = if n == 0 { HEADERS } else { CONTINUATION };
                    let end = if n == 0 { end } else { 0 };
                    frame(kind, end | if n == last { END_HEADERS } else { 0 }, s, p)
                };
                parts.iter().enumerate().map(part).collect()
            }),
        (stream(), end(), payload(what)).prop_map(|(s, end, p)| vec![frame(DATA, end, s, &p)]),
        (stream(), payload(what)).prop_map(|(s, p)| vec![frame(DATA, 0, s, &p)]),
        (stream(), end(), message_payload()).prop_map(|(s, end, p)| vec![frame(DATA, end, s, &p)]),
        (stream(), message_payload()).prop_map(|(s, p)| vec![frame(DATA, 0, s, &p)]),
        stream().prop_map(|s| vec![frame(DATA, PADDED, s, &[2, 0, 0, 0, 0, 0, 0, 0])]),
        stream().prop_map(|s| vec![frame(RST_STREAM, 0, s, &[0, 0, 0, 8])]),
        stream().prop_map(|s| vec![frame(PRIORITY, 0, s, &[0, 0, 0, 0, 9])]),
        (stream(), payload(what)).prop_map(|(s, p)| {
            let promised = [&[0, 0, 0, 2], &p[..]].concat();
            vec![frame(PUSH_PROMISE, END_HEADERS, s, &promised)]
        }),
        any::<[u8; 8]>().prop_map(|p| vec![frame(PING, 0, 0, &p)]),
        any::<[u8; 4]>().prop_map(|p| vec![frame(WINDOW_UPDATE, 0, 0, &p)]),
        Just(vec![frame(SETTINGS, ACK, 0, &[])]),
        (0usize..9).prop_map(|n| vec![frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100].repeat(n))]),
        payload(what).prop_map(|p| {
            let debug = [&[0, 0, 0, 7, 0, 0, 0, 0], &p[..]].concat();
            vec![frame(GOAWAY, 0, 0, &debug)]
        }),
        (10u8..255, payload(what)).prop_map(|(kind, p)| vec![frame(kind, 0xff, 5, &p)]),
    ]
}

/// All frames of one direction, from its beginning.
pub fn direction(what: Payload) -> impl Strategy<Value = Vec<Frame>> {
    (0usize..4, proptest::collection::vec(group(what), 0..20)).prop_map(|(settings, groups)| {
        let first = frame(SETTINGS, 0, 0, &[0, 1, 0, 0, 16, 0].repeat(settings));
        std::iter::once(first)
            .chain(groups.into_iter().flatten())
            .collect()
    })
}

/// Cuts `bytes` at these places (taken modulo its length).
pub fn cut<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|c| c % (bytes.len() + 1)).collect();
    places.sort_unstable();
    places.dedup();
    let mut pieces = Vec::new();
    let mut from = 0;
    for place in places.into_iter().chain([bytes.len()]) {
        if place > from {
            pieces.push(&bytes[from..place]);
            from = place;
        }
    }
    pieces
}
