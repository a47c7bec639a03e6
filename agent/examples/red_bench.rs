//! What the request metrics cost: nanoseconds per exchange, milliseconds per scrape.
//!
//! `cargo run --release -p hark --example red_bench`. Prints one line per measurement; the budgets
//! are in DESIGN.md §2.

use std::hint::black_box;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use hark::config::{Metrics, Routes, Unmatched};
use hark::exchange::{Endpoint, Exchange, Method, Protocol, Request, Role, Trail};
use hark::identity::{NameSource, Service};
use hark::red::Red;
use hark::route::Router;
use hark::telemetry::Telemetry;
use hark::telemetry::page::Format;
use hark_common::socket::Task;

/// Label sets of 4 series each: 10,000 series.
const LABEL_SETS: usize = 2_500;
const SERVICES: usize = 100;
const ROUNDS: usize = 400;

fn main() {
    let services: Vec<Arc<Service>> = (0..SERVICES).map(service).collect();
    let sets: Vec<(&Arc<Service>, Exchange, String)> = (0..LABEL_SETS)
        .map(|at| {
            let role = if at % 5 == 0 {
                Role::Client
            } else {
                Role::Server
            };
            let route = format!("/api/v1/resource-{}/{{id}}", at / SERVICES);
            (
                &services[at % SERVICES],
                exchange(role, at / SERVICES),
                route,
            )
        })
        .collect();
    let red = Red::new(&Metrics {
        expire_after: Duration::from_secs(300),
        max_series: 20_000,
    });
    let observe = || {
        for (service, exchange, route) in &sets {
            red.observe(exchange, service, Some(route));
        }
    };
    let before = resident();
    observe();
    println!("store: {} KiB resident", resident() - before);
    report_per("observe, known series, all in turn", LABEL_SETS, observe);
    let (service, exchange, route) = &sets[1];
    report_per("observe, one series", 1_000, || {
        for _ in 0..1_000 {
            red.observe(exchange, service, Some(black_box(route)));
        }
    });
    report_per("begun and ended", 1_000, || {
        for _ in 0..1_000 {
            red.begun(service, Role::Server, &Method::Get, None);
            red.ended(service, Role::Server, &Method::Get, None);
        }
    });
    routes(&services);
    scrapes(&red, &sets);
}

fn routes(services: &[Arc<Service>]) {
    let config = Routes {
        templates: vec!["/orders/{id}".into(), "/static/{rest*}".into()],
        unmatched: Unmatched::Fold,
        max_per_service: 100,
    };
    let Ok(mut router) = Router::new(&config) else {
        return;
    };
    report_per("route, known path", 1_000, || {
        for _ in 0..1_000 {
            black_box(router.route(&services[0], black_box("/api/v1/users/me/settings"), false));
        }
    });
    let paths: Vec<String> = (0..100_000)
        .map(|at| format!("/api/v1/users/{at}/orders/550e8400-e29b-41d4-a716-4466554{at:05}"))
        .collect();
    report_per("route, path never seen before", paths.len(), || {
        for path in &paths {
            black_box(router.route(&services[0], path, false));
        }
    });
}

fn scrapes(red: &Red, sets: &[(&Arc<Service>, Exchange, String)]) {
    let mut telemetry = Telemetry::new();
    red.register(&mut telemetry);
    let mut size = Size::default();
    let failed = telemetry.write(Format::Text, &mut size).is_err();
    println!(
        "page: {} bytes, {} lines, failed: {failed}",
        size.bytes, size.lines
    );
    for format in [Format::OpenMetrics, Format::Text] {
        report(&format!("scrape, {format:?}"), || {
            black_box(telemetry.write(format, &mut std::io::sink())).is_err()
        });
    }
    println!("process: {} KiB resident", resident());
    report("scrape, OpenMetrics, gzip", || {
        let mut gzip = GzEncoder::new(std::io::sink(), Compression::fast());
        telemetry.write(Format::OpenMetrics, &mut gzip).is_err() || gzip.flush().is_err()
    });
    // How long the pipeline's thread waits at most while scrapes go on.
    let worst = std::thread::scope(|scope| {
        let scraping = scope.spawn(|| {
            for _ in 0..20 {
                let _ = black_box(telemetry.write(Format::Text, &mut std::io::sink()));
            }
        });
        let mut worst = Duration::ZERO;
        while !scraping.is_finished() {
            for (service, exchange, route) in sets {
                let start = Instant::now();
                red.observe(exchange, service, Some(route));
                worst = worst.max(start.elapsed());
            }
        }
        worst
    });
    println!("observe, longest while scraped: {worst:?}");
}

/// Measures a page without keeping it, so that the memory of this process is that of the store.
#[derive(Debug, Default)]
struct Size {
    bytes: usize,
    lines: usize,
}

impl std::io::Write for Size {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.bytes += bytes.len();
        self.lines += bytes.iter().filter(|byte| **byte == b'\n').count();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Resident memory of this process, in KiB; 0 if it cannot be read.
fn resident() -> u64 {
    procfs::process::Process::myself()
        .and_then(|process| process.statm())
        .map_or(0, |statm| statm.resident * procfs::page_size() / 1024)
}

/// Prints the median time of a run, divided by `count`.
fn report_per(what: &str, count: usize, mut run: impl FnMut()) {
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed()
        })
        .collect();
    times.sort();
    let nanos = times[ROUNDS / 2].as_nanos() / count as u128;
    println!("{what}: {nanos} ns");
}

fn report(what: &str, mut run: impl FnMut() -> bool) {
    let mut times: Vec<Duration> = (0..20)
        .map(|_| {
            let start = Instant::now();
            black_box(run());
            start.elapsed()
        })
        .collect();
    times.sort();
    println!("{what}: median {:?}, worst {:?}", times[10], times[19]);
}

fn service(at: usize) -> Arc<Service> {
    Arc::new(Service {
        name: format!("service-{at}").into(),
        namespace: Some("production".into()),
        version: None,
        instance_id: format!("instance-{at}").into(),
        pid: 1,
        executable: None,
        container_id: None,
        attributes: Vec::new(),
        source: NameSource::Executable,
    })
}

fn exchange(role: Role, at: usize) -> Exchange {
    Exchange {
        role,
        socket: 1,
        index: 0,
        task: Task::default(),
        local: Endpoint::Inet(SocketAddr::from(([127, 0, 0, 1], 8080))),
        peer: Endpoint::Inet(SocketAddr::from(([192, 0, 2, 7], 9090))),
        request: Request {
            method: Method::Get,
            path: "/api/v1/resource/17".into(),
            path_truncated: false,
            protocol: Protocol::Http11,
            host: Some(format!("backend-{at}.production.svc.cluster.local").into()),
            port: Some(8080),
            scheme: None,
            user_agent: None,
            client_address: None,
            content_length: None,
            wants_http2: false,
            context: None,
            tracestate: None,
        },
        rpc: None,
        status: Some(200),
        error: None,
        start_ns: 1_000_000_000,
        first_response_ns: Some(1_001_000_000),
        end_ns: 1_001_500_000,
        request_body_bytes: Some(0),
        response_body_bytes: Some(600),
        trail: Trail::default(),
        tls: None,
    }
}
