//! Services and exchanges for tests.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::exchange::{Endpoint, Exchange, Method, Protocol, Request, Role, Trail};
use crate::identity::{NameSource, Service};

pub(crate) fn service(name: &str, pid: u32) -> Arc<Service> {
    Arc::new(Service {
        name: name.into(),
        namespace: None,
        version: None,
        instance_id: format!("instance-{pid}").into(),
        pid,
        executable: None,
        container_id: None,
        attributes: Vec::new(),
        source: NameSource::Executable,
    })
}

/// `GET /orders/17` with answer 200 after 1.5 ms, the first byte of it after 1 ms.
pub(crate) fn exchange(role: Role) -> Exchange {
    Exchange {
        role,
        socket: 1,
        index: 0,
        task: hark_common::socket::Task::default(),
        local: Endpoint::Inet(SocketAddr::from(([127, 0, 0, 1], 8080))),
        peer: Endpoint::Inet(SocketAddr::from(([192, 0, 2, 7], 9090))),
        request: Request {
            method: Method::Get,
            path: "/orders/17".into(),
            path_truncated: false,
            protocol: Protocol::Http11,
            host: Some("api.example".into()),
            port: Some(8443),
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
