//! Collectors for the tests, over loopback: one answers HTTP, one gRPC, each by a script.
//!
//! They record what they were sent, decoded by the protocol's own types. They end with the runtime
//! of their test.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tonic::codec::CompressionEncoding;
use tonic::{Code, Status};

/// What a collector does with one request.
#[derive(Clone)]
pub(super) enum Reply {
    /// Takes it, but for so many spans.
    Accept {
        rejected: i64,
        message: &'static str,
    },
    /// HTTP: this status, these headers, this body.
    Http {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: Vec<u8>,
    },
    /// gRPC: this status with these details.
    Grpc { code: Code, details: Vec<u8> },
    /// Never answers.
    Hang,
}

impl Reply {
    pub(super) const OK: Self = Self::Accept {
        rejected: 0,
        message: "",
    };

    pub(super) fn http(status: u16) -> Self {
        Self::Http {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    pub(super) fn grpc(code: Code) -> Self {
        Self::Grpc {
            code,
            details: Vec::new(),
        }
    }

    fn response(rejected: i64, message: &str) -> ExportTraceServiceResponse {
        ExportTraceServiceResponse {
            partial_success: (rejected != 0 || !message.is_empty()).then(|| {
                ExportTracePartialSuccess {
                    rejected_spans: rejected,
                    error_message: message.to_owned(),
                }
            }),
        }
    }
}

/// One request as it came.
#[derive(Clone, Debug)]
pub(super) struct Received {
    pub(super) target: String,
    pub(super) headers: HeaderMap,
    /// Empty if it was no request of spans.
    pub(super) message: ExportTraceServiceRequest,
    /// Over HTTP, without compression.
    pub(super) body: Vec<u8>,
}

/// A collector that plays a script, the last reply again and again.
#[derive(Clone)]
pub(super) struct Receiver {
    pub(super) address: SocketAddr,
    state: Arc<State>,
}

struct State {
    script: Mutex<VecDeque<Reply>>,
    received: Mutex<Vec<Received>>,
    arrived: Notify,
    connections: AtomicUsize,
}

impl State {
    fn record(&self, received: Received) -> Reply {
        self.received.lock().unwrap().push(received);
        self.arrived.notify_one();
        let mut script = self.script.lock().unwrap();
        if script.len() > 1 {
            script.pop_front().unwrap()
        } else {
            script[0].clone()
        }
    }
}

impl Receiver {
    pub(super) fn received(&self) -> Vec<Received> {
        self.state.received.lock().unwrap().clone()
    }

    /// The number of spans in each request.
    pub(super) fn spans(&self) -> Vec<usize> {
        let count = |received: Received| {
            let groups = received.message.resource_spans.into_iter();
            let scopes = groups.flat_map(|group| group.scope_spans);
            scopes.map(|scope| scope.spans.len()).sum()
        };
        self.received().into_iter().map(count).collect()
    }

    /// How often somebody connected, without TLS.
    pub(super) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::Relaxed)
    }

    /// Waits until at least so many requests have come.
    pub(super) async fn wait(&self, requests: usize) {
        while self.state.received.lock().unwrap().len() < requests {
            self.state.arrived.notified().await;
        }
    }

    async fn bind(script: &[Reply]) -> (Self, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        (Self::at(&listener, script), listener)
    }

    fn at(listener: &TcpListener, script: &[Reply]) -> Self {
        Self {
            address: listener.local_addr().unwrap(),
            state: Arc::new(State {
                script: Mutex::new(script.iter().cloned().collect()),
                received: Mutex::default(),
                arrived: Notify::new(),
                connections: AtomicUsize::new(0),
            }),
        }
    }

    pub(super) async fn http(script: &[Reply]) -> Self {
        let (receiver, listener) = Self::bind(script).await;
        receiver.serve(listener)
    }

    /// On a socket that is there already.
    pub(super) fn http_on(listener: TcpListener, script: &[Reply]) -> Self {
        Self::at(&listener, script).serve(listener)
    }

    fn serve(self, listener: TcpListener) -> Self {
        let receiver = self;
        let state = Arc::clone(&receiver.state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                state.connections.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve_http(stream, Arc::clone(&state)));
            }
        });
        receiver
    }

    pub(super) async fn grpc(script: &[Reply]) -> Self {
        let (receiver, listener) = Self::bind(script).await;
        let state = Arc::clone(&receiver.state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                state.connections.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve_grpc(stream, Arc::clone(&state)));
            }
        });
        receiver
    }

    /// Both over TLS; a client without a certificate that `tls` trusts may be sent away.
    pub(super) async fn tls(script: &[Reply], tls: rustls::ServerConfig, grpc: bool) -> Self {
        let (receiver, listener) = Self::bind(script).await;
        let state = Arc::clone(&receiver.state);
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(stream) = acceptor.accept(stream).await else {
                    continue;
                };
                if grpc {
                    tokio::spawn(serve_grpc(stream, Arc::clone(&state)));
                } else {
                    tokio::spawn(serve_http(stream, Arc::clone(&state)));
                }
            }
        });
        receiver
    }
}

async fn serve_http<S>(stream: S, state: Arc<State>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let state = Arc::clone(&state);
        async move {
            let (head, body) = request.into_parts();
            let mut body = body.collect().await?.to_bytes().to_vec();
            if head.headers.get("content-encoding").is_some() {
                let mut plain = Vec::new();
                flate2::read::GzDecoder::new(body.as_slice())
                    .read_to_end(&mut plain)
                    .unwrap();
                body = plain;
            }
            let reply = state.record(Received {
                target: format!("{} {}", head.method, head.uri),
                headers: head.headers,
                message: if head.uri.path().ends_with("/v1/logs") {
                    ExportTraceServiceRequest::default()
                } else {
                    ExportTraceServiceRequest::decode(body.as_slice()).unwrap()
                },
                body,
            });
            let mut response = Response::new(Full::new(Bytes::new()));
            match reply {
                Reply::Accept { rejected, message } => {
                    *response.body_mut() =
                        Full::new(Reply::response(rejected, message).encode_to_vec().into());
                    response.headers_mut().insert(
                        "content-type",
                        "application/x-protobuf; charset=binary".parse().unwrap(),
                    );
                }
                Reply::Http {
                    status,
                    headers,
                    body,
                } => {
                    *response.status_mut() = StatusCode::from_u16(status).unwrap();
                    *response.body_mut() = Full::new(body.into());
                    for (name, value) in headers {
                        response.headers_mut().insert(name, value.parse().unwrap());
                    }
                }
                Reply::Hang => std::future::pending().await,
                Reply::Grpc { .. } => unreachable!("this collector speaks HTTP"),
            }
            Ok::<_, hyper::Error>(response)
        }
    });
    // The exporter may go away in the middle.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

struct Service(Arc<State>);

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, Status> {
        let reply = self.0.record(Received {
            target: String::new(),
            headers: request.metadata().clone().into_headers(),
            message: request.into_inner(),
            body: vec![],
        });
        match reply {
            Reply::Accept { rejected, message } => {
                Ok(tonic::Response::new(Reply::response(rejected, message)))
            }
            Reply::Grpc { code, details } => {
                Err(Status::with_details(code, "so it is", details.into()))
            }
            Reply::Hang => std::future::pending().await,
            Reply::Http { .. } => unreachable!("this collector speaks gRPC"),
        }
    }
}

async fn serve_grpc<S>(stream: S, state: Arc<State>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service =
        TraceServiceServer::new(Service(state)).accept_compressed(CompressionEncoding::Gzip);
    let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
        .await;
}

/// Answers every connection with these bytes and closes it.
pub(super) async fn raw(bytes: &'static [u8]) -> SocketAddr {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = [0; 1 << 16];
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(bytes).await;
            let _ = stream.shutdown().await;
            // Until the other side has gone too: a reset could overtake the answer.
            while matches!(stream.read(&mut buffer).await, Ok(1..)) {}
        }
    });
    address
}

/// Answers every HTTP/2 request with 200, these headers, this body and these trailers.
pub(super) async fn http2(
    headers: &'static [(&'static str, &'static str)],
    body: &'static [u8],
    trailers: &'static [(&'static str, &'static str)],
) -> SocketAddr {
    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (name.parse().unwrap(), value.parse().unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = service_fn(move |request: Request<Incoming>| async move {
        let _ = request.into_body().collect().await;
        let body = Full::new(Bytes::from_static(body));
        let trailers = (!trailers.is_empty()).then(|| Ok::<_, Infallible>(map(trailers)));
        let mut response = Response::new(body.with_trailers(std::future::ready(trailers)));
        *response.headers_mut() = map(headers);
        Ok::<_, Infallible>(response)
    });
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    address
}
