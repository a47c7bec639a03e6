//! Conversations whose truth is known, and the way back from records to frames.

use std::collections::BTreeMap;

use hark_common::http2::{Http2Record, flag as record_flag};
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
/// ends a stream, all the DATA of it so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub frame: Frame,
    pub data: Option<u64>,
}

/// What is to be told of these frames.
pub fn truth(frames: &[Frame]) -> Vec<Told> {
    let mut data: BTreeMap<u32, u64> = BTreeMap::new();
    let mut told = Vec::new();
    for frame in frames {
        let mut frame = frame.clone();
        if frame.kind == DATA {
            *data.entry(frame.stream).or_default() += frame.payload.len() as u64;
            frame.payload.clear();
        }
        let ends = frame.ends_stream();
        if frame.kind == GOAWAY {
            frame.payload.truncate(8);
        }
        if frame.travels() || ends {
            told.push(Told {
                data: ends.then(|| data.remove(&frame.stream).unwrap_or(0)),
                frame,
            });
        }
    }
    told
}

/// The same from the bytes of all records, put together: the way that the agent goes.
pub fn told(bytes: &[u8]) -> Vec<Told> {
    let mut data: BTreeMap<u32, u64> = BTreeMap::new();
    let mut told = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (mut frame, length) = header(rest);
        rest = &rest[9..];
        if frame.kind == DATA {
            *data.entry(frame.stream).or_default() += length as u64;
        } else {
            frame.payload = rest[..length].to_vec();
            rest = &rest[length..];
        }
        let ends = frame.ends_stream();
        if frame.kind != DATA || ends {
            told.push(Told {
                data: ends.then(|| data.remove(&frame.stream).unwrap_or(0)),
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
            boundary += 9 + if frame.kind == DATA { 0 } else { length };
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
