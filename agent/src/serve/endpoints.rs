//! What is served where.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, VARY};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::body::{ResponseBody, Sink, streamed, whole};
use super::connection::unavailable;
use super::{Limits, Readiness, accept};
use crate::telemetry::page::Format;
use crate::telemetry::{Refused, Telemetry};

const PLAIN: &str = "text/plain; charset=utf-8";

const INDEX: &str = "\
hark hears the HTTP requests of this host.

/metrics  request metrics and the agent's own, for Prometheus
/healthz  200 while the agent runs
/readyz   200 while it hears requests; which probes are attached, what is lost
";

pub(super) struct Endpoints {
    telemetry: Arc<Telemetry>,
    readiness: Arc<dyn Readiness>,
    scrapes: Arc<Semaphore>,
    scrape_limit: Duration,
}

impl Endpoints {
    pub(super) fn new(
        limits: &Limits,
        telemetry: Arc<Telemetry>,
        readiness: Arc<dyn Readiness>,
    ) -> Self {
        Self {
            telemetry,
            readiness,
            scrapes: Arc::new(Semaphore::new(limits.scrapes)),
            scrape_limit: limits.scrape,
        }
    }

    /// The response. A body that came with the request is not read.
    pub(super) fn answer(&self, request: &Request<Incoming>) -> Response<ResponseBody> {
        let endpoint: fn(&Self, &Request<Incoming>) -> Response<ResponseBody> =
            match request.uri().path() {
                "/" => |_, _| respond(StatusCode::OK, PLAIN, INDEX),
                "/metrics" => Self::metrics,
                "/healthz" => |_, _| respond(StatusCode::OK, PLAIN, "ok\n"),
                "/readyz" => |endpoints, _| endpoints.ready(),
                _ => {
                    return respond(
                        StatusCode::NOT_FOUND,
                        PLAIN,
                        "not found; there are /metrics, /healthz and /readyz\n",
                    );
                }
            };
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = respond(
                StatusCode::METHOD_NOT_ALLOWED,
                PLAIN,
                "only GET and HEAD are allowed\n",
            );
            response
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        endpoint(self, request)
    }

    fn ready(&self) -> Response<ResponseBody> {
        let report = self.readiness.report();
        let status = if report.ready {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        match serde_json::to_string_pretty(&report) {
            Ok(json) => respond(status, "application/json", json + "\n"),
            Err(error) => respond(
                StatusCode::INTERNAL_SERVER_ERROR,
                PLAIN,
                format!("cannot write the report: {error}\n"),
            ),
        }
    }

    fn metrics(&self, request: &Request<Incoming>) -> Response<ResponseBody> {
        let format = accept::format(request.headers());
        let gzip = accept::gzip(request.headers());
        let mut response = respond(StatusCode::OK, format.content_type(), "");
        let headers = response.headers_mut();
        headers.insert(VARY, HeaderValue::from_static("accept, accept-encoding"));
        if gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        if request.method() == Method::HEAD {
            return response;
        }
        let Ok(permit) = Arc::clone(&self.scrapes).try_acquire_owned() else {
            self.telemetry.count_refused(Refused::Scrape);
            return unavailable("scrapes");
        };
        let telemetry = Arc::clone(&self.telemetry);
        let (sink, body) = streamed(Instant::now() + self.scrape_limit);
        tokio::task::spawn_blocking(move || {
            if let Err(error) = write_page(&telemetry, format, gzip, sink) {
                tracing::debug!(%error, "a scrape was not read to its end");
            }
            drop(permit);
        });
        *response.body_mut() = body;
        response
    }
}

fn write_page(telemetry: &Telemetry, format: Format, gzip: bool, mut sink: Sink) -> io::Result<()> {
    if gzip {
        // Labels repeat so much that the fastest level already makes a twentieth of a page.
        let mut encoder = GzEncoder::new(sink, Compression::fast());
        telemetry.write(format, &mut encoder)?;
        sink = encoder.finish()?;
    } else {
        telemetry.write(format, &mut sink)?;
    }
    sink.end()
}

fn respond(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<bytes::Bytes>,
) -> Response<ResponseBody> {
    let mut response = Response::new(whole(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
