//! OTLP over HTTP, in protobuf.

use std::io::Write as _;
use std::time::SystemTime;

use bytes::Bytes;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST, USER_AGENT as USER_AGENT_HEADER};
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::answer::{Answer, chain};
use super::config::{Compression, OtlpConfig};
use super::exporter::OtlpError;
use super::tls::Tls;
use super::{MAX_RESPONSE_BYTES, USER_AGENT};

const PROTOBUF: &str = "application/x-protobuf";

/// A pool of connections, made as they are needed. No redirect is followed, no proxy used.
pub(super) struct HttpTransport {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    endpoint: Uri,
    headers: HeaderMap,
    compression: Compression,
}

impl HttpTransport {
    pub(super) fn new(config: &OtlpConfig) -> Result<Self, OtlpError> {
        let tls = if config.endpoint.scheme_str() == Some("https") {
            Tls::read(config)?
        } else {
            Tls::unused()?
        };
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls.rustls())
            .https_or_http()
            .enable_http1()
            .build();
        let mut headers =
            HeaderMap::from_iter([(USER_AGENT_HEADER, HeaderValue::from_static(USER_AGENT))]);
        headers.extend(config.headers.clone());
        // The connection's own business, whatever the configuration says.
        headers.remove(HOST);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROTOBUF));
        headers.remove(CONTENT_ENCODING);
        if config.compression == Compression::Gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            endpoint: config.endpoint.clone(),
            headers,
            compression: config.compression,
        })
    }

    /// What travels for an encoded request: done once, however often it is sent.
    pub(super) fn prepare(&self, body: Vec<u8>) -> Bytes {
        match self.compression {
            Compression::None => body.into(),
            Compression::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
                // Writing to memory does not fail.
                let _ = encoder.write_all(&body);
                encoder.finish().unwrap_or_default().into()
            }
        }
    }

    /// One attempt to send a prepared request of `spans` spans or log records.
    pub(super) async fn send(&self, body: Bytes, spans: usize) -> Answer {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.endpoint.clone();
        *request.headers_mut() = self.headers.clone();
        let response = match self.client.request(request).await {
            Ok(response) => response,
            Err(error) => return Answer::unavailable(chain(&error), None),
        };
        let (head, body) = response.into_parts();
        if !head.status.is_success() {
            return Answer::from_http(head.status, &head.headers, SystemTime::now());
        }
        let limited = Limited::new(body, MAX_RESPONSE_BYTES).collect().await;
        let body = match limited {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => {
                return Answer::malformed("the answer is longer than 4 MiB");
            }
            // The status said success, so a repetition could double spans; how many were rejected
            // cannot be known.
            Err(error) => {
                return Answer::malformed(format!("the answer broke off: {}", chain(&*error)));
            }
        };
        // An empty message has no type to state.
        let protobuf = head.headers.get(CONTENT_TYPE).is_some_and(|value| {
            let value = value.as_bytes();
            let end = value.iter().position(|byte| *byte == b';');
            value[..end.unwrap_or(value.len())]
                .trim_ascii()
                .eq_ignore_ascii_case(PROTOBUF.as_bytes())
        });
        if !body.is_empty() && !protobuf {
            return Answer::malformed(format!(
                "the answer is not {PROTOBUF} but {}",
                head.headers
                    .get(CONTENT_TYPE)
                    .map_or("of no type".into(), |value| String::from_utf8_lossy(
                        value.as_bytes()
                    ))
            ));
        }
        Answer::from_success(&body, spans)
    }
}
