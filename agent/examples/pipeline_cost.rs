//! What an exchange costs in user space, from the bytes of its records to its place in the
//! histograms and the offer of its span.
//!
//!     cargo run --release -p hark --example pipeline_cost -- [EXCHANGES [ROUNDS]]
//!
//! Synthetic records, a request and a response per exchange on keep-alive connections that take
//! turns, go through the agent's own pipeline. The spans are offered to an exporter whose collector
//! is absent, so that its queue is full and each span is made and then dropped: a span that is
//! sampled out. Prints one JSON object: ns of CPU time per exchange of each round, without and with
//! the exporter, and with the request log of every exchange (to `/dev/null`) beside it. It fails if not every exchange has reached the histograms, or not every span was
//! offered.

use std::error::Error;
use std::net::{Ipv4Addr, TcpListener};

use hark::clock::Clock;
use hark::config::{Config, LogOutput, Which};
use hark::exchange::{Endpoint, Role};
use hark::otlp::config::Protocol;
use hark::otlp::{Exporter, OtlpConfig};
use hark::pipeline::Pipeline;
use hark::record::{Record, encode};
use hark::request_log::RequestLog;
use hark::telemetry::Telemetry;
use hark::telemetry::page::Format;
use hark_common::socket::{ProcessKey, RequestRecord, ResponseRecord, SocketAddress, Task, flag};
use rustix::time::{ClockId, clock_gettime};

/// Connections that take turns, as on a busy server.
const CONNECTIONS: u32 = 256;
/// Records between two samples of the clock, as many as the agent takes in one drain.
const BATCH: usize = 4096;

const LOOPBACK: SocketAddress = SocketAddress {
    addr: [127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    port: 8080,
    family: 2,
    netns: 1,
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut numbers = std::env::args().skip(1).map(|number| number.parse::<u32>());
    let exchanges = numbers.next().transpose()?.unwrap_or(200_000).max(1);
    let rounds = numbers.next().transpose()?.unwrap_or(9).max(1);
    let (bytes, starts) = records(exchanges);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let without = measure(&bytes, &starts, exchanges, rounds, None, None)?;
    // A port of ours that nobody listens on: connections are refused, not left waiting.
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port();
    let endpoint = format!("http://127.0.0.1:{port}/v1/traces").parse()?;
    let config = OtlpConfig::new(Protocol::HttpProtobuf, endpoint);
    let exporter = Exporter::start(config, runtime.handle())?;
    let own = Some(exporter.clone());
    let with = measure(&bytes, &starts, exchanges, rounds, own, None)?;
    let own = Some(exporter.clone());
    let everything = measure(&bytes, &starts, exchanges, rounds, own, log()?)?;
    let offered = 2 * u64::from(exchanges) * u64::from(rounds);
    if exporter.offered() != offered {
        return Err(format!("{} spans offered, not {offered}", exporter.offered()).into());
    }
    let figures = serde_json::json!({
        "exchanges": exchanges,
        "to_histogram_ns": without,
        "to_histogram_and_span_ns": with,
        "everything_ns": everything,
    });
    println!("{figures}");
    Ok(())
}

/// A log of every exchange whose lines cost nothing once they are made.
fn log() -> Result<Option<RequestLog>, Box<dyn Error>> {
    let mut config = Config::default().request_log;
    config.output = LogOutput::File;
    config.path = "/dev/null".into();
    config.which = Which::All;
    config.max_per_second = 1_000_000_000;
    Ok(RequestLog::start(&config, None)?)
}

/// ns of CPU time per exchange, of each round.
fn measure(
    bytes: &[u8],
    starts: &[usize],
    exchanges: u32,
    rounds: u32,
    exporter: Option<Exporter>,
    log: Option<RequestLog>,
) -> Result<Vec<f64>, Box<dyn Error>> {
    let mut telemetry = Telemetry::new();
    let mut pipeline = Pipeline::new(&Config::default(), Clock::new(), exporter, &mut telemetry)?;
    if let Some(log) = log {
        pipeline.log_to(log, &mut telemetry);
    }
    let mut times = Vec::new();
    for _ in 0..rounds {
        let start = cpu_ns();
        for batch in starts.chunks(BATCH) {
            for start in batch {
                pipeline.record(&bytes[*start..]);
            }
            pipeline.drained();
        }
        times.push((cpu_ns() - start) / f64::from(exchanges));
        // On the agent's connections the numbers go on; here each round begins at 0 again, on
        // connections that are new to the pipeline.
        pipeline.finish();
    }
    let mut page = Vec::new();
    telemetry.write(Format::Text, &mut page)?;
    let page = String::from_utf8(page)?;
    let seen: u64 = page
        .lines()
        .filter(|line| line.starts_with("http_server_request_duration_seconds_count"))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum();
    let expected = u64::from(exchanges) * u64::from(rounds);
    if seen != expected {
        return Err(format!("{seen} exchanges in the histograms, not {expected}").into());
    }
    Ok(times)
}

/// The records of the exchanges, one after the other, and where each begins. Their times are of
/// now: the exporter asks the clock when they ended.
fn records(exchanges: u32) -> (Vec<u8>, Vec<usize>) {
    let time = clock_gettime(ClockId::Monotonic);
    let now = time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs();
    let task = Task {
        process: ProcessKey {
            pid: std::process::id(),
            ..ProcessKey::default()
        },
        comm: *b"pipeline_cost\0\0\0",
        ..Task::default()
    };
    let mut bytes = Vec::new();
    let mut starts = Vec::new();
    for number in 0..exchanges {
        let socket = u64::from(number % CONNECTIONS) + 1;
        let index = number / CONNECTIONS;
        let head = format!(
            "GET /orders/{} HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n",
            number % 100
        );
        // A client each.
        let peer = SocketAddress {
            port: 10_000 + u16::try_from(number % CONNECTIONS).unwrap_or(0),
            ..LOOPBACK
        };
        let mut request = RequestRecord {
            first_ns: now,
            task,
            local: LOOPBACK,
            peer,
            index,
            flags: flag::HEAD_END,
            ..RequestRecord::default()
        };
        request.header.time_ns = now;
        request.header.socket = socket;
        starts.push(bytes.len());
        encode(
            &Record::Request {
                role: Role::Server,
                local: Endpoint::Unix,
                peer: Endpoint::Unix,
                record: request,
                head: head.as_bytes(),
            },
            &mut bytes,
        );
        let mut response = ResponseRecord {
            first_ns: now + 200_000,
            last_ns: now + 250_000,
            body_bytes: 615,
            index,
            status: 200,
            ..ResponseRecord::default()
        };
        response.header.time_ns = now + 250_000;
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

/// CPU time of this thread, ns: what other programs, and the exporter, do meanwhile does not count.
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
