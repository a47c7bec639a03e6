//! A real OTLP receiver, gRPC and HTTP/protobuf, that keeps the spans and log records it is sent.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{
    LogsService, LogsServiceServer,
};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use prost::Message;
use tonic::codec::CompressionEncoding;

/// How the receiver treats what it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Takes all.
    Accepting,
    /// Refuses all, for good: `INVALID_ARGUMENT`, 400.
    Refusing,
    /// Refuses all, for now: `UNAVAILABLE`, 503.
    Unavailable,
    /// Never answers.
    Silent,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A string.
    Text(String),
    /// A whole number.
    Int(i64),
    /// Anything else, as prost shows it.
    Other(String),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

/// Attributes by key.
pub type Attributes = BTreeMap<String, Value>;

/// A span with its resource, decoded.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Attributes of the resource.
    pub resource: Attributes,
    /// 16 bytes.
    pub trace_id: Vec<u8>,
    /// 8 bytes.
    pub span_id: Vec<u8>,
    /// 8 bytes, or none for a root.
    pub parent_id: Vec<u8>,
    /// The W3C `tracestate`; may be empty.
    pub trace_state: String,
    /// The name.
    pub name: String,
    /// `SpanKind`: 2 server, 3 client.
    pub kind: i32,
    /// `CLOCK_REALTIME`, ns.
    pub start_ns: u64,
    /// `CLOCK_REALTIME`, ns.
    pub end_ns: u64,
    /// Attributes of the span.
    pub attributes: Attributes,
    /// `StatusCode`: 0 unset, 1 ok, 2 error.
    pub status: i32,
    /// The status's message.
    pub message: String,
}

impl Span {
    /// `service.name` of its resource; empty if it has none.
    #[must_use]
    pub fn service(&self) -> &str {
        text(&self.resource, "service.name")
    }

    /// `url.path`, of a client the path of `url.full`; empty if it has none.
    #[must_use]
    pub fn path(&self) -> &str {
        let path = text(&self.attributes, "url.path");
        if !path.is_empty() {
            return path;
        }
        let full = text(&self.attributes, "url.full");
        let after = full.split_once("://").map_or("", |(_, rest)| rest);
        after.find('/').map_or("", |at| &after[at..])
    }
}

/// A log record with its resource, decoded.
#[derive(Clone, Debug, PartialEq)]
pub struct LogRecord {
    /// Attributes of the resource.
    pub resource: Attributes,
    /// 16 bytes.
    pub trace_id: Vec<u8>,
    /// 8 bytes.
    pub span_id: Vec<u8>,
    /// The body, as text.
    pub body: String,
    /// Attributes of the record.
    pub attributes: Attributes,
}

fn text<'a>(attributes: &'a Attributes, key: &str) -> &'a str {
    match attributes.get(key) {
        Some(Value::Text(text)) => text,
        _ => "",
    }
}

#[derive(Debug)]
struct Inbox {
    manner: Manner,
    spans: Mutex<Vec<Span>>,
    records: Mutex<Vec<LogRecord>>,
    requests: Mutex<Vec<ExportTraceServiceRequest>>,
}

impl Inbox {
    async fn take(&self, request: ExportTraceServiceRequest) -> Manner {
        if self.manner == Manner::Silent {
            std::future::pending::<()>().await;
        }
        if self.manner == Manner::Accepting {
            let spans = decode(&request);
            self.spans
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend(spans);
        }
        self.requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(request);
        self.manner
    }
}

impl Inbox {
    /// Log records are taken in the same manner.
    async fn take_logs(&self, request: ExportLogsServiceRequest) -> Manner {
        if self.manner == Manner::Silent {
            std::future::pending::<()>().await;
        }
        if self.manner == Manner::Accepting {
            let records = decode_logs(request);
            self.records
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend(records);
        }
        self.manner
    }
}

/// A running receiver; ends with the value.
#[derive(Debug)]
pub struct Receiver {
    inbox: Arc<Inbox>,
    address: SocketAddr,
    _runtime: tokio::runtime::Runtime,
}

struct Grpc(Arc<Inbox>);

#[tonic::async_trait]
impl TraceService for Grpc {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        match self.0.take(request.into_inner()).await {
            Manner::Accepting => Ok(tonic::Response::new(ExportTraceServiceResponse::default())),
            Manner::Refusing => Err(tonic::Status::invalid_argument("refused for the test")),
            Manner::Unavailable | Manner::Silent => {
                Err(tonic::Status::unavailable("unavailable for the test"))
            }
        }
    }
}

#[tonic::async_trait]
impl LogsService for Grpc {
    async fn export(
        &self,
        request: tonic::Request<ExportLogsServiceRequest>,
    ) -> Result<tonic::Response<ExportLogsServiceResponse>, tonic::Status> {
        match self.0.take_logs(request.into_inner()).await {
            Manner::Accepting => Ok(tonic::Response::new(ExportLogsServiceResponse::default())),
            Manner::Refusing => Err(tonic::Status::invalid_argument("refused for the test")),
            Manner::Unavailable | Manner::Silent => {
                Err(tonic::Status::unavailable("unavailable for the test"))
            }
        }
    }
}

impl Receiver {
    /// Receives over gRPC.
    ///
    /// # Panics
    /// If there is no port.
    #[must_use]
    pub fn grpc(manner: Manner) -> Self {
        Self::grpc_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), manner)
    }

    /// As [`grpc`](Self::grpc), at an address that is free.
    ///
    /// # Panics
    /// If it is not.
    #[must_use]
    pub fn grpc_at(address: SocketAddr, manner: Manner) -> Self {
        Self::start(address, manner, |inbox, listener| async move {
            let logs = LogsServiceServer::new(Grpc(Arc::clone(&inbox)))
                .accept_compressed(CompressionEncoding::Gzip);
            let service =
                TraceServiceServer::new(Grpc(inbox)).accept_compressed(CompressionEncoding::Gzip);
            let incoming = tonic::transport::server::TcpIncoming::from(listener);
            tonic::transport::Server::builder()
                .add_service(service)
                .add_service(logs)
                .serve_with_incoming(incoming)
                .await
                .expect("the receiver serves");
        })
    }

    /// Receives over HTTP/protobuf, at `/v1/traces` and `/v1/logs`.
    ///
    /// # Panics
    /// If there is no port.
    #[must_use]
    pub fn http(manner: Manner) -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self::start(any, manner, |inbox, listener| async move {
            let of_logs = Arc::clone(&inbox);
            let post_logs = axum::routing::post(
                move |headers: HeaderMap, body: axum::body::Bytes| async move {
                    match posted(&headers, &body) {
                        Ok(request) => answer(of_logs.take_logs(request).await),
                        Err(error) => (StatusCode::BAD_REQUEST, HeaderMap::new(), error.into()),
                    }
                },
            );
            let post = axum::routing::post(
                move |headers: HeaderMap, body: axum::body::Bytes| async move {
                    match posted(&headers, &body) {
                        Ok(request) => answer(inbox.take(request).await),
                        Err(error) => (StatusCode::BAD_REQUEST, HeaderMap::new(), error.into()),
                    }
                },
            );
            let app = axum::Router::new()
                .route("/v1/traces", post)
                .route("/v1/logs", post_logs)
                .layer(axum::extract::DefaultBodyLimit::max(64 << 20));
            axum::serve(listener, app)
                .await
                .expect("the receiver serves");
        })
    }

    fn start<F>(
        address: SocketAddr,
        manner: Manner,
        serve: impl FnOnce(Arc<Inbox>, tokio::net::TcpListener) -> F,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let inbox = Arc::new(Inbox {
            manner,
            spans: Mutex::default(),
            records: Mutex::default(),
            requests: Mutex::default(),
        });
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind(address))
            .expect("the address is free");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        runtime.spawn(serve(Arc::clone(&inbox), listener));
        Self {
            inbox,
            address,
            _runtime: runtime,
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The value of `OTEL_EXPORTER_OTLP_ENDPOINT`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The spans of one service so far.
    #[must_use]
    pub fn spans(&self, service: &str) -> Vec<Span> {
        let spans = self
            .inbox
            .spans
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        spans
            .iter()
            .filter(|span| span.service() == service)
            .cloned()
            .collect()
    }

    /// The log records of one service so far.
    #[must_use]
    pub fn log_records(&self, service: &str) -> Vec<LogRecord> {
        let records = self
            .inbox
            .records
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        records
            .iter()
            .filter(|record| text(&record.resource, "service.name") == service)
            .cloned()
            .collect()
    }

    /// The export requests so far, whatever became of them.
    #[must_use]
    pub fn requests(&self) -> Vec<ExportTraceServiceRequest> {
        self.inbox
            .requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

fn posted<T: Message + Default>(headers: &HeaderMap, body: &[u8]) -> Result<T, String> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if header("content-type") != Some("application/x-protobuf") {
        return Err(format!("content-type {:?}", header("content-type")));
    }
    let plain = match header("content-encoding") {
        None => body.to_vec(),
        Some("gzip") => {
            let mut plain = Vec::new();
            std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(body), &mut plain)
                .map_err(|error| error.to_string())?;
            plain
        }
        Some(other) => return Err(format!("content-encoding {other}")),
    };
    T::decode(plain.as_slice()).map_err(|error| error.to_string())
}

fn answer(manner: Manner) -> (StatusCode, HeaderMap, Vec<u8>) {
    let status = match manner {
        Manner::Accepting => StatusCode::OK,
        Manner::Refusing => StatusCode::BAD_REQUEST,
        Manner::Unavailable | Manner::Silent => StatusCode::SERVICE_UNAVAILABLE,
    };
    let mut headers = HeaderMap::new();
    let kind = axum::http::HeaderValue::from_static("application/x-protobuf");
    headers.insert("content-type", kind);
    (
        status,
        headers,
        ExportTraceServiceResponse::default().encode_to_vec(),
    )
}

fn decode(request: &ExportTraceServiceRequest) -> Vec<Span> {
    let mut spans = Vec::new();
    for resource_spans in &request.resource_spans {
        let resource = resource_spans.resource.as_ref();
        let resource = attributes(resource.map_or(&[][..], |resource| &resource.attributes));
        for span in resource_spans
            .scope_spans
            .iter()
            .flat_map(|scope| &scope.spans)
        {
            let status = span.status.clone().unwrap_or_default();
            spans.push(Span {
                resource: resource.clone(),
                trace_id: span.trace_id.clone(),
                span_id: span.span_id.clone(),
                parent_id: span.parent_span_id.clone(),
                trace_state: span.trace_state.clone(),
                name: span.name.clone(),
                kind: span.kind,
                start_ns: span.start_time_unix_nano,
                end_ns: span.end_time_unix_nano,
                attributes: attributes(&span.attributes),
                status: status.code,
                message: status.message,
            });
        }
    }
    spans
}

fn decode_logs(request: ExportLogsServiceRequest) -> Vec<LogRecord> {
    let mut records = Vec::new();
    for of_resource in request.resource_logs {
        let resource = of_resource.resource.unwrap_or_default();
        let resource = attributes(&resource.attributes);
        for record in of_resource
            .scope_logs
            .into_iter()
            .flat_map(|scope| scope.log_records)
        {
            let body = match record.body.and_then(|body| body.value) {
                Some(any_value::Value::StringValue(text)) => text,
                other => panic!("the body is not text: {other:?}"),
            };
            records.push(LogRecord {
                resource: resource.clone(),
                trace_id: record.trace_id,
                span_id: record.span_id,
                body,
                attributes: attributes(&record.attributes),
            });
        }
    }
    records
}

fn attributes(pairs: &[KeyValue]) -> Attributes {
    let mut attributes = Attributes::new();
    for pair in pairs {
        let value = match pair.value.as_ref().and_then(|value| value.value.clone()) {
            Some(any_value::Value::StringValue(text)) => Value::Text(text),
            Some(any_value::Value::IntValue(number)) => Value::Int(number),
            other => Value::Other(format!("{other:?}")),
        };
        let before = attributes.insert(pair.key.clone(), value);
        assert!(
            before.is_none(),
            "the attribute {} is there twice",
            pair.key
        );
    }
    attributes
}

/// How long a batch of spans may take to arrive.
pub const ARRIVAL: Duration = Duration::from_secs(20);
