//! The harness's own HTTP client: for the agent's pages and Prometheus's API, not for load.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;

/// A whole response.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// `Content-Type`, if there is one that is text.
    pub content_type: Option<String>,
    /// The body as text.
    pub body: String,
}

/// GETs `path` with one `Accept` header, on a connection of its own.
///
/// # Errors
/// No connection, no HTTP, a body that is not UTF-8, or nothing within ten seconds.
pub fn get(address: SocketAddr, path: &str, accept: &str) -> anyhow::Result<Response> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async {
            tokio::time::timeout(Duration::from_secs(10), fetch(address, path, accept)).await?
        })
        .with_context(|| format!("GET http://{address}{path}"))
}

async fn fetch(address: SocketAddr, path: &str, accept: &str) -> anyhow::Result<Response> {
    let stream = tokio::net::TcpStream::connect(address).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let request = hyper::Request::get(path)
        .header("host", address.to_string())
        .header("accept", accept)
        .header("connection", "close")
        .body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status().as_u16();
    let content_type = response
        .headers()
        .get("content-type")
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let body = response.into_body().collect().await?.to_bytes().to_vec();
    driver.abort();
    Ok(Response {
        status,
        content_type,
        body: String::from_utf8(body)?,
    })
}
