//! What a gRPC call costs in user space, from the bytes of its records to its place in the
//! histograms; and what a header block costs, beside other decoders.
//!
//!     cargo run --release -p hark --example http2_cost -- [CALLS [ROUNDS]]
//!
//! Synthetic records of small unary calls, a hundred under way at a time on one connection, go
//! through the agent's own pipeline; header tables are in their steady state, as with real libraries.
//! Prints one JSON object: ns of CPU time per call of each round, and per header block of a request
//! whose fields are all in the table, and of one whose fields are all literals in Huffman code.
//! It fails if not every call has reached the histograms.

use std::collections::BTreeMap;
use std::error::Error;

use hark::clock::Clock;
use hark::config::Config;
use hark::exchange::{Endpoint, Role};
use hark::http2::hpack::{Decoder, Scratch};
use hark::pipeline::Pipeline;
use hark::record::{Record, encode};
use hark::telemetry::Telemetry;
use hark::telemetry::page::Format;
use hark_common::http2::{Http2Direction, Http2Record, flag};
use hark_common::socket::{ProcessKey, SocketAddress, Task};
use rustix::time::{ClockId, clock_gettime};

/// Calls under way at a time.
const UNDER_WAY: u32 = 100;

const LOOPBACK: SocketAddress = SocketAddress {
    addr: [127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    port: 8080,
    family: 2,
    netns: 1,
};

/// The head of a call: literals that become entries, then the same by reference (RFC 7541 §6).
const REQUEST: [&[u8]; 2] = [
    b"\x83\x86\x44\x10/shop.Orders/Get\x41\x0corders:50051\x40\x02te\x08trailers\
      \x5f\x10application/grpc\x7a\x0egrpc-go/1.76.0",
    b"\x83\x86\xc2\xc1\xc0\xbf\xbe",
];
const HEAD: [&[u8]; 2] = [b"\x88\x5f\x10application/grpc", b"\x88\xbf"];
const TRAILERS: [&[u8]; 2] = [b"\x40\x0bgrpc-status\x010", b"\xbe"];

/// RFC 7541 appendix C.4 and C.6: a request and a response in Huffman code, none of it kept.
const LITERALS: &[u8] = b"\x00\x88\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f\x89\x25\xa8\x49\xe9\x5b\xb8\xe8\xb4\xbf\
    \x01\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff\
    \x0f\x12\x96\xd0\x7a\xbe\x94\x10\x54\xd4\x44\xa8\x20\x05\x95\x04\x0b\x81\x66\xe0\x82\xa6\x2d\x1b\xff\
    \x0f\x1f\x91\x9d\x29\xad\x17\x18\x63\xc7\x8f\x0b\x97\xc8\xe9\xae\x82\xae\x43\xd3";

fn main() -> Result<(), Box<dyn Error>> {
    let mut numbers = std::env::args().skip(1).map(|number| number.parse::<u32>());
    let calls = numbers
        .next()
        .transpose()?
        .unwrap_or(200_000)
        .max(UNDER_WAY);
    let calls = calls - calls % UNDER_WAY;
    let rounds = numbers.next().transpose()?.unwrap_or(9).max(1);
    let (bytes, starts) = records(calls);
    let mut telemetry = Telemetry::new();
    let mut pipeline = Pipeline::new(&Config::default(), Clock::new(), None, &mut telemetry)?;
    let mut per_call = Vec::new();
    for _ in 0..rounds {
        let start = cpu_ns();
        for start in &starts {
            pipeline.record(&bytes[*start..]);
        }
        per_call.push((cpu_ns() - start) / f64::from(calls));
        pipeline.finish();
    }
    let mut page = Vec::new();
    telemetry.write(Format::Text, &mut page)?;
    let seen: u64 = String::from_utf8(page)?
        .lines()
        .filter(|line| {
            line.starts_with("rpc_server_call_duration_seconds_count")
                && line.contains("rpc_method=\"shop.Orders/Get\"")
        })
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum();
    let expected = u64::from(calls) * u64::from(rounds);
    if seen != expected {
        return Err(format!("{seen} calls in the histograms, not {expected}").into());
    }
    let figures = serde_json::json!({
        "calls": calls,
        "to_histogram_ns": per_call,
        "block_of_references_ns": block(REQUEST[0], REQUEST[1], rounds)?,
        "block_of_literals_ns": block(b"", LITERALS, rounds)?,
    });
    println!("{figures}");
    Ok(())
}

/// Reads a block, and gives the number of its fields.
type Read<'a> = Box<dyn FnMut(&[u8]) -> Result<usize, String> + 'a>;

fn shown(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}

/// A fresh decoder of each crate there is, of which none is told to be unmaintained.
fn decoders() -> [(&'static str, Read<'static>); 4] {
    let (mut ours, mut scratch) = (Decoder::new(), Scratch::default());
    let mut loona = loona_hpack::Decoder::new();
    let mut fluke = fluke_hpack::Decoder::new();
    let mut httlib = httlib_hpack::Decoder::default();
    [
        (
            "hark",
            Box::new(move |block| {
                let mut fields = 0;
                let decoded = ours.decode(block, &mut scratch, &mut |_| fields += 1);
                decoded.map(|()| fields).map_err(|error| error.to_string())
            }),
        ),
        (
            "loona_hpack",
            Box::new(move |block| {
                loona
                    .decode(block)
                    .map(|fields| fields.len())
                    .map_err(shown)
            }),
        ),
        (
            "fluke_hpack",
            Box::new(move |block| {
                fluke
                    .decode(block)
                    .map(|fields| fields.len())
                    .map_err(shown)
            }),
        ),
        (
            "httlib_hpack",
            Box::new(move |block| {
                let (mut block, mut fields) = (block.to_vec(), Vec::new());
                let decoded = httlib.decode(&mut block, &mut fields);
                decoded.map(|_| fields.len()).map_err(shown)
            }),
        ),
    ]
}

/// ns per block of each decoder, after a first block.
fn block(first: &[u8], block: &[u8], rounds: u32) -> Result<serde_json::Value, Box<dyn Error>> {
    // Some decoders take a tenth of a millisecond each.
    const BLOCKS: u32 = 2_000;
    let mut figures: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for _ in 0..rounds {
        let mut expected = None;
        for (name, mut read) in decoders() {
            let failed = |error| format!("{name}: {error}");
            read(first).map_err(failed)?;
            let mut fields = 0;
            let start = cpu_ns();
            for _ in 0..BLOCKS {
                fields += read(block).map_err(failed)?;
            }
            let took = (cpu_ns() - start) / f64::from(BLOCKS);
            figures.entry(name).or_default().push(took);
            if *expected.get_or_insert(fields) != fields {
                return Err(format!("{name} has {fields} fields, not {expected:?}").into());
            }
        }
    }
    Ok(serde_json::json!(figures))
}

/// The records of the calls, one after the other, and where each begins: a read with HEADERS and
/// DATA, a write with HEADERS, DATA and trailers.
fn records(calls: u32) -> (Vec<u8>, Vec<usize>) {
    let task = Task {
        process: ProcessKey {
            pid: std::process::id(),
            ..ProcessKey::default()
        },
        comm: *b"http2_cost\0\0\0\0\0\0",
        ..Task::default()
    };
    let mut bytes = Vec::new();
    let mut starts = Vec::new();
    let mut seq = [0, 0];
    let mut add = |direction: Http2Direction, frames: &[u8]| {
        let at = direction as usize;
        let mut record = Http2Record {
            task,
            local: LOOPBACK,
            peer: LOOPBACK,
            seq: seq[at],
            flags: if seq[at] == 0 { flag::START } else { 0 },
            ..Http2Record::default()
        };
        seq[at] += 1;
        record.header.socket = 1;
        record.header.time_ns = 1_000_000 + u64::from(seq[at]) * 1000;
        starts.push(bytes.len());
        encode(
            &Record::Http2 {
                role: Some(Role::Server),
                direction,
                local: Endpoint::Unix,
                peer: Endpoint::Unix,
                record,
                frames,
            },
            &mut bytes,
        );
    };
    for group in 0..calls / UNDER_WAY {
        let ids = || (0..UNDER_WAY).map(|call| 2 * (group * UNDER_WAY + call) + 1);
        for id in ids() {
            let known = usize::from(id > 1);
            let mut frames = frame(1, 4, id, REQUEST[known].len(), REQUEST[known]);
            frames.extend(frame(0, 1, id, 12, &MESSAGE));
            add(Http2Direction::Received, &frames);
        }
        for id in ids() {
            let known = usize::from(id > 1);
            let mut frames = frame(1, 4, id, HEAD[known].len(), HEAD[known]);
            frames.extend(frame(0, 0, id, 30, &MESSAGE));
            frames.extend(frame(1, 5, id, TRAILERS[known].len(), TRAILERS[known]));
            add(Http2Direction::Sent, &frames);
        }
    }
    (bytes, starts)
}

/// What the kernel side says of DATA with one message.
const MESSAGE: [u8; 4] = [0, 0, 0, 1];

/// RFC 9113 §4.1.
fn frame(kind: u8, flags: u8, stream: u32, length: usize, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// CPU time of this thread, ns.
fn cpu_ns() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    #[expect(
        clippy::cast_precision_loss,
        reason = "a thread's CPU time needs no more than 53 bits of nanoseconds"
    )]
    {
        (time.tv_sec * 1_000_000_000 + time.tv_nsec) as f64
    }
}
