//! What an exchange costs in user space, from the bytes of its records to the exchange.
//!
//!     cargo run --release -p hark --example replay_cost -- [EXCHANGES]
//!
//! Synthetic records, a request and a response per exchange on keep-alive connections that take
//! turns, are decoded and put together; nothing is done with the exchanges but to count them.
//! Prints ns of CPU time per exchange, the median of nine rounds, for the steps and for heads of two sizes.

use std::hint::black_box;

use hark::connection::{Connections, Counters, Event};
use hark::context::Format;
use hark::exchange::{Endpoint, Role};
use hark::http1::{Extent, HeadParser};
use hark::record::{Record, decode, encode};
use hark_common::socket::{RequestRecord, ResponseRecord, SocketAddress, flag};
use rustix::time::{ClockId, clock_gettime};

/// Connections that take turns, as on a busy server.
const CONNECTIONS: u64 = 256;
const ROUNDS: usize = 9;

const LOOPBACK: SocketAddress = SocketAddress {
    addr: [127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    port: 8080,
    family: 2,
    netns: 1,
};

fn main() {
    let exchanges: u32 = match std::env::args().nth(1).map(|count| count.parse()) {
        None => 1_000_000,
        Some(Ok(count)) if count > 0 => count,
        Some(_) => {
            eprintln!("usage: replay_cost [EXCHANGES], a number above 0");
            std::process::exit(2);
        }
    };
    println!("{exchanges} exchanges on {CONNECTIONS} connections, ns of CPU time per exchange");
    println!(
        "{:<10} {:>6} {:>8} {:>8} {:>8}",
        "head", "bytes", "decode", "parse", "all"
    );
    for (name, head) in [("small", small as fn(u32) -> String), ("browser", browser)] {
        measure(name, exchanges, head);
    }
}

/// A load generator's head.
fn small(number: u32) -> String {
    format!(
        "GET /orders/{} HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n",
        number % 100
    )
}

/// A browser's head.
fn browser(number: u32) -> String {
    format!(
        "GET /products/{}?ref=start HTTP/1.1\r\n\
         Host: shop.example:8080\r\n\
         User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
         Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
         Accept-Language: en-US,en;q=0.5\r\n\
         Accept-Encoding: gzip, deflate, br, zstd\r\n\
         Referer: http://shop.example:8080/\r\n\
         Connection: keep-alive\r\n\
         Cookie: session={:0128}; theme=dark\r\n\
         Upgrade-Insecure-Requests: 1\r\n\
         X-Forwarded-For: 203.0.113.9\r\n\
         X-Forwarded-Proto: https\r\n\
         traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n",
        number % 100,
        number
    )
}

/// The records of the exchanges, one after the other, and where each begins.
fn records(exchanges: u32, head: fn(u32) -> String) -> (Vec<u8>, Vec<usize>) {
    let mut bytes = Vec::new();
    let mut starts = Vec::new();
    for number in 0..exchanges {
        let socket = u64::from(number) % CONNECTIONS;
        let index = number / u32::try_from(CONNECTIONS).expect("a small number");
        let mut request = RequestRecord {
            local: LOOPBACK,
            peer: LOOPBACK,
            index,
            flags: flag::HEAD_END,
            ..RequestRecord::default()
        };
        request.header.socket = socket;
        starts.push(bytes.len());
        encode(
            &Record::Request {
                role: Role::Server,
                local: Endpoint::Unix,
                peer: Endpoint::Unix,
                record: request,
                head: head(number).as_bytes(),
            },
            &mut bytes,
        );
        let mut response = ResponseRecord {
            index,
            status: 200,
            ..ResponseRecord::default()
        };
        response.header.socket = socket;
        starts.push(bytes.len());
        encode(
            &Record::Response {
                role: Role::Server,
                record: response,
            },
            &mut bytes,
        );
    }
    (bytes, starts)
}

fn measure(name: &str, exchanges: u32, head: fn(u32) -> String) {
    let (bytes, starts) = records(exchanges, head);
    let decoded = median(exchanges, || {
        for start in &starts {
            black_box(decode(&bytes[*start..]).expect("a good record"));
        }
    });
    let one = head(1);
    let mut parser = HeadParser::new(&Format::ALL);
    let parsed = median(exchanges, || {
        for _ in 0..exchanges {
            let head = parser.parse(Role::Server, black_box(one.as_bytes()), Extent::Whole);
            black_box(head.expect("a good head"));
        }
    });
    let all = median(exchanges, || {
        let parser = HeadParser::new(&Format::ALL);
        let mut connections = Connections::new(65_536, parser, Counters::new());
        let mut ended = 0;
        for start in &starts {
            let record = decode(&bytes[*start..]).expect("a good record");
            connections.handle(record, &mut |event| {
                if let Event::Ended(exchange) = event {
                    ended += 1;
                    black_box(exchange);
                }
            });
        }
        assert_eq!(ended, exchanges, "every exchange is reported");
    });
    println!(
        "{name:<10} {:>6} {decoded:>8.0} {parsed:>8.0} {all:>8.0}",
        one.len()
    );
}

/// CPU time of this thread, ns: what other programs do meanwhile does not count.
fn cpu_ns() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    #[expect(
        clippy::cast_precision_loss,
        reason = "seconds of a process fit a double many times over"
    )]
    let seconds = time.tv_sec as f64;
    let nanoseconds = i32::try_from(time.tv_nsec).expect("less than a second");
    seconds * 1e9 + f64::from(nanoseconds)
}

/// Nanoseconds per exchange of the median round.
fn median(exchanges: u32, mut round: impl FnMut()) -> f64 {
    let mut rounds: Vec<_> = (0..ROUNDS)
        .map(|_| {
            let start = cpu_ns();
            round();
            (cpu_ns() - start) / f64::from(exchanges)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}
