//! One client connection.

use std::convert::Infallible;
use std::sync::Arc;

use http::{Response, StatusCode};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

use super::Limits;
use super::body::{ResponseBody, whole};
use super::endpoints::Endpoints;
use super::stall::StallGuard;

/// Largest head of a request, in bytes; a larger one is answered 431 (RFC 6585 §5).
const HEAD_LIMIT: usize = 8 * 1024;

/// Most header fields of a request.
const FIELD_LIMIT: usize = 64;

fn builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(2 * HEAD_LIMIT)
        .max_header_size(HEAD_LIMIT)
        .max_headers(FIELD_LIMIT);
    builder
}

/// Serves a connection until it ends, has lived its time, or `ending` has no sender any more.
/// What clients do wrong ends their connection and concerns nobody else.
pub(super) async fn serve(
    stream: TcpStream,
    limits: Limits,
    endpoints: Arc<Endpoints>,
    mut ending: watch::Receiver<()>,
) {
    let io = TokioIo::new(StallGuard::new(stream, limits.stall));
    let service = service_fn(move |request| {
        let endpoints = Arc::clone(&endpoints);
        async move { Ok::<_, Infallible>(endpoints.answer(&request)) }
    });
    let connection = builder(&limits).serve_connection(io, service);
    tokio::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => {
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection to the agent's endpoints failed");
            }
            return;
        }
        _ = timeout(limits.life, ending.changed()) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = timeout(limits.grace, connection).await;
}

/// Answers one request 503, whatever it is.
pub(super) async fn refuse(stream: TcpStream, limits: Limits) {
    let service = service_fn(|_| async { Ok::<_, Infallible>(unavailable("connections")) });
    let connection = builder(&limits)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    let _ = timeout(limits.refusal, connection).await;
}

/// 503: `what` are too many already.
pub(super) fn unavailable(what: &str) -> Response<ResponseBody> {
    let mut response = Response::new(whole(format!("too many {what}, try again\n")));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let headers = response.headers_mut();
    headers.insert(
        http::header::CONTENT_TYPE,
        http::HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(
        http::header::RETRY_AFTER,
        http::HeaderValue::from_static("1"),
    );
    response
}
