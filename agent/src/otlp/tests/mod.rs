//! What all tests of the exporter share: an exchange, services, and a configuration that never
//! waits for long.

mod accounting;
mod config;
mod convert;
mod exact;
mod failures;
mod logs;
mod outage;
mod receiver;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hark_common::socket::Task;
use tokio::runtime::Handle;

use super::config::{Batching, OtlpConfig, Protocol, Retrying};
use super::{DropReason, Exporter};
use crate::clock::{Clock, Sample};
use crate::exchange::{self, Endpoint, Exchange, Method, Request, Role, TraceContext, Trail};
use crate::identity::{NameSource, Service};

/// Longer than any test takes.
const FOREVER: Duration = Duration::from_secs(3600);

/// Wall-clock time is monotonic time plus this, in [`clock`].
const OFFSET_NS: u64 = 1_700_000_000_000_000_000;

fn clock() -> Clock {
    Clock::from_sample(Sample {
        mono_ns: 1,
        offset_ns: OFFSET_NS.cast_signed(),
    })
}

fn service(name: &str) -> Arc<Service> {
    Arc::new(Service {
        name: name.into(),
        namespace: None,
        version: None,
        instance_id: format!("{name}-1").into(),
        pid: 4242,
        executable: None,
        container_id: None,
        attributes: Vec::new(),
        source: NameSource::Executable,
    })
}

/// `GET /orders/7` at `shop.example`, answered with 200.
fn exchange(role: Role) -> Exchange {
    Exchange {
        role,
        socket: 77,
        index: 3,
        task: Task::default(),
        local: Endpoint::Inet(SocketAddr::from(([10, 0, 0, 1], 8080))),
        peer: Endpoint::Inet(SocketAddr::from(([10, 0, 0, 2], 50_000))),
        request: Request {
            method: Method::Get,
            path: "/orders/7".into(),
            path_truncated: false,
            protocol: exchange::Protocol::Http11,
            host: Some("shop.example".into()),
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
        start_ns: 5_000_000_000,
        first_response_ns: Some(5_250_000_000),
        end_ns: 5_500_000_000,
        request_body_bytes: None,
        response_body_bytes: Some(12),
        trail: Trail::default(),
        tls: None,
    }
}

fn context(flags: u8) -> TraceContext {
    TraceContext {
        trace_id: [0xa1; 16],
        parent_id: [0xb2; 8],
        flags,
        deferred: false,
    }
}

/// Batches go out when they are full or at shutdown; a failure is repeated at once.
fn config(protocol: Protocol, address: SocketAddr) -> OtlpConfig {
    let path = match protocol {
        Protocol::Grpc => "/",
        Protocol::HttpProtobuf => "/v1/traces",
    };
    OtlpConfig {
        timeout: FOREVER,
        batching: Batching {
            schedule_delay: FOREVER,
            export_timeout: FOREVER,
            max_age: 8 * FOREVER,
            ..Batching::default()
        },
        retrying: Retrying {
            initial: Duration::from_millis(1),
            max: Duration::from_millis(1),
        },
        ..OtlpConfig::new(protocol, format!("http://{address}{path}").parse().unwrap())
    }
}

fn start(config: OtlpConfig) -> Exporter {
    Exporter::start(config, &Handle::current()).unwrap()
}

fn offer(exporter: &Exporter, count: usize) {
    let service = service("shop");
    for _ in 0..count {
        exporter.offer(&exchange(Role::Server), &service, None, &clock());
    }
}

/// Every counter; reasons that are zero are left out.
#[derive(Debug, PartialEq, Eq)]
struct Books {
    offered: u64,
    exported: u64,
    queued: u64,
    retries: u64,
    dropped: Vec<(DropReason, u64)>,
}

fn books(exporter: &Exporter) -> Books {
    let books = Books {
        offered: exporter.offered(),
        exported: exporter.exported(),
        queued: exporter.queued(),
        retries: exporter.retries(),
        dropped: DropReason::ALL
            .into_iter()
            .map(|reason| (reason, exporter.dropped(reason)))
            .filter(|(_, spans)| *spans != 0)
            .collect(),
    };
    let dropped: u64 = books.dropped.iter().map(|(_, spans)| spans).sum();
    assert_eq!(
        books.offered,
        books.exported + dropped + books.queued,
        "{books:?}"
    );
    books
}
