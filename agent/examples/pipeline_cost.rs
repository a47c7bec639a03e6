//! What an exchange costs in user space, from the bytes of its records to its place in the
//! histograms and the offer of its span.
//!
//!     cargo run --release -p hark --example pipeline_cost -- [EXCHANGES [ROUNDS [ONLY]]]
//!
//! With ONLY, `histogram` or `span`, goes through one of them and prints nothing: for callgrind, which is
//! to collect in `replay` alone (`--toggle-collect=pipeline_cost::replay`).
//!
//! Synthetic records, a request and a response per exchange on keep-alive connections that take
//! turns, go through the agent's own pipeline. The spans are offered to an exporter whose collector
//! is absent, so that its queue is full and each span is made and then dropped: a span that is
//! sampled out. Prints one JSON object: ns of CPU time per exchange of each round, without and with
//! the exporter, with the request log of every exchange (to `/dev/null`) beside it, and with the exporter
//! where one span in a hundred is kept; and the bytes that the spans under way take when 50,000 exchanges
//! end in a second. It fails if not every exchange has reached the histograms, or not every span was offered.

use std::error::Error;
use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

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
    let mut arguments = std::env::args().skip(1);
    let mut number = |otherwise: u32| {
        let number = arguments.next().map(|number| number.parse::<u32>());
        number
            .transpose()
            .map(|number| number.unwrap_or(otherwise).max(1))
    };
    let (exchanges, rounds) = (number(200_000)?, number(9)?);
    let only = arguments.next();
    let (bytes, starts) = records(exchanges);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let records = (&bytes[..], &starts[..]);
    let all = Config::default();
    if only.as_deref() == Some("histogram") {
        measure(records, rounds, &all, None, None)?;
        return Ok(());
    }
    // A port of ours that nobody listens on: connections are refused, not left waiting.
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port();
    let endpoint = format!("http://127.0.0.1:{port}/v1/traces").parse()?;
    let config = OtlpConfig::new(Protocol::HttpProtobuf, endpoint);
    let exporter = Exporter::start(config, runtime.handle())?;
    let own = Some(exporter.clone());
    if only.is_some() {
        measure(records, rounds, &all, own, None)?;
        return Ok(());
    }
    let without = measure(records, rounds, &all, None, None)?;
    let with = measure(records, rounds, &all, own, None)?;
    let own = Some(exporter.clone());
    let everything = measure(records, rounds, &all, own, log()?)?;
    let offered = 2 * u64::from(exchanges) * u64::from(rounds);
    if exporter.offered() != offered {
        return Err(format!("{} spans offered, not {offered}", exporter.offered()).into());
    }
    let mut some = Config::default();
    some.sampling.probability = 0.01;
    let own = Some(exporter.clone());
    let sampled = measure(records, rounds, &some, own, None)?;
    let kept = exporter.offered() - offered;
    let expected = f64::from(exchanges) * f64::from(rounds) / 100.0;
    // Six standard deviations.
    if (f64::from(u32::try_from(kept)?) - expected).abs() > 6.0 * expected.sqrt() {
        return Err(format!("{kept} spans kept, where {expected} are to be expected").into());
    }
    let held = held(records, &all, exporter)?;
    let figures = serde_json::json!({
        "exchanges": exchanges,
        "to_histogram_ns": without,
        "to_histogram_and_span_ns": with,
        "everything_ns": everything,
        "one_percent_ns": sampled,
        "spans_under_way_bytes": held,
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

/// One round. A function of its own, which callgrind knows by its name.
#[inline(never)]
fn replay(pipeline: &mut Pipeline, bytes: &[u8], starts: &[usize]) {
    for batch in starts.chunks(BATCH) {
        for start in batch {
            pipeline.record(&bytes[*start..]);
        }
        pipeline.drained();
    }
}

/// ns of CPU time per exchange, of each round.
fn measure(
    (bytes, starts): (&[u8], &[usize]),
    rounds: u32,
    config: &Config,
    exporter: Option<Exporter>,
    log: Option<RequestLog>,
) -> Result<Vec<f64>, Box<dyn Error>> {
    let exchanges = u32::try_from(starts.len() / 2)?;
    let mut telemetry = Telemetry::new();
    let mut pipeline = Pipeline::new(config, Clock::new(), exporter, &mut telemetry)?;
    if let Some(log) = log {
        pipeline.log_to(log, &mut telemetry);
    }
    let mut times = Vec::new();
    for _ in 0..rounds {
        let start = cpu_ns();
        replay(&mut pipeline, bytes, starts);
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

/// Bytes that the pipeline takes more than before, at most, in each of three seconds in which 50,000
/// exchanges end, evenly: what is kept of each until its trace is decided, and the queue of spans.
fn held(
    (bytes, starts): (&[u8], &[usize]),
    config: &Config,
    exporter: Exporter,
) -> Result<Vec<u64>, Box<dyn Error>> {
    const PER_SECOND: u32 = 50_000;
    let mut telemetry = Telemetry::new();
    let mut pipeline = Pipeline::new(config, Clock::new(), Some(exporter), &mut telemetry)?;
    let mut most = Vec::new();
    let mut pairs = starts.chunks(2).cycle();
    let mut left = starts.len() / 2;
    for _ in 0..3 {
        let (begin, before) = (Instant::now(), allocated());
        let mut peak = 0;
        let mut ended = 0;
        while ended < PER_SECOND {
            let due = begin.elapsed().as_secs_f64() * f64::from(PER_SECOND);
            while f64::from(ended) < due && ended < PER_SECOND {
                for start in pairs.next().unwrap_or_default() {
                    pipeline.record(&bytes[*start..]);
                }
                ended += 1;
                left -= 1;
                if left == 0 {
                    // The connections begin anew.
                    left = starts.len() / 2;
                    pipeline.finish();
                }
            }
            pipeline.drained();
            peak = peak.max(allocated().saturating_sub(before));
            std::thread::sleep(Duration::from_millis(5));
        }
        pipeline.finish();
        most.push(peak);
    }
    Ok(most)
}

/// Bytes of the heap that are in use by this thread's allocations.
fn allocated() -> u64 {
    // SAFETY: no more than a look at the allocator's own figures.
    let heap = unsafe { libc::mallinfo2() };
    (heap.uordblks + heap.hblkhd) as u64
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
