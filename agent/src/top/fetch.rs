//! One reading of an agent's page over HTTP.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper::header::{ACCEPT, CONNECTION, HOST};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// How long one reading may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The largest page that is read, in bytes: several times what the agent's limit on series allows.
const PAGE_LIMIT: usize = 256 << 20;

/// Where the page is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    host: String,
    port: u16,
    /// Path and query.
    path: String,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The address cannot be one of an agent.
    #[error("`{url}` is not the address of an agent such as `http://127.0.0.1:9465`: {reason}")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No connection.
    #[error("cannot reach the agent at {target}: {source}; is `hark run` running there?")]
    Unreachable {
        /// Where.
        target: Target,
        /// Why not.
        source: std::io::Error,
    },
    /// The page did not come in time.
    #[error("the agent at {target} did not answer within {} s", TIMEOUT.as_secs())]
    Timeout {
        /// Where.
        target: Target,
    },
    /// What answered does not speak HTTP, or broke off.
    #[error("what answers at {target} is not an agent: {reason}")]
    Http {
        /// Where.
        target: Target,
        /// What went wrong, with the causes.
        reason: String,
    },
    /// Another status than 200.
    #[error("{target} answered with status {status}; is it the address of an agent?")]
    Status {
        /// Where.
        target: Target,
        /// The status.
        status: StatusCode,
    },
    /// The page does not end.
    #[error("the page at {target} is larger than {} MiB", PAGE_LIMIT >> 20)]
    TooLarge {
        /// Where.
        target: Target,
    },
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority(), self.path)
    }
}

impl Target {
    /// Reads an address: `http://host[:port][/path]`, or `host:port` alone. Without a path it is
    /// `/metrics`.
    ///
    /// # Errors
    ///
    /// It is no such address.
    pub fn parse(url: &str) -> Result<Self, FetchError> {
        let fail = |reason: &str| FetchError::Url {
            url: url.into(),
            reason: reason.into(),
        };
        let full = if url.contains("://") {
            url.to_owned()
        } else {
            format!("http://{url}")
        };
        let uri: Uri = full
            .parse()
            .map_err(|error: http::uri::InvalidUri| fail(&error.to_string()))?;
        if uri.scheme_str() != Some("http") {
            return Err(fail("only http is supported"));
        }
        let authority = uri.authority().ok_or_else(|| fail("it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(fail("a user name is not supported"));
        }
        let host = authority.host();
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        if host.is_empty() {
            return Err(fail("it has no host"));
        }
        // An authority may end with a colon and no port; with an invalid port there is none either.
        let port = match authority.port_u16() {
            Some(port) => port,
            None if authority.as_str() == authority.host() => 80,
            None => return Err(fail("the port is not valid")),
        };
        Ok(Self {
            host: host.to_owned(),
            port,
            path: match uri.path_and_query().map(http::uri::PathAndQuery::as_str) {
                None | Some("" | "/") => "/metrics".into(),
                Some(path) => path.to_owned(),
            },
        })
    }

    fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// Reads the page.
///
/// # Errors
///
/// There is no agent, it does not answer in time, or what it answers is no page.
pub async fn fetch(target: &Target) -> Result<String, FetchError> {
    tokio::time::timeout(TIMEOUT, attempt(target))
        .await
        .unwrap_or_else(|_| {
            Err(FetchError::Timeout {
                target: target.clone(),
            })
        })
}

/// Reads the page, for callers without a runtime.
///
/// # Errors
///
/// As [`fetch`].
pub fn fetch_blocking(target: &Target) -> Result<String, FetchError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| FetchError::Unreachable {
            target: target.clone(),
            source,
        })?
        .block_on(fetch(target))
}

async fn attempt(target: &Target) -> Result<String, FetchError> {
    let http = |error: Box<dyn Error + Send + Sync>| FetchError::Http {
        target: target.clone(),
        reason: with_causes(error.as_ref()),
    };
    let stream = TcpStream::connect((target.host.as_str(), target.port))
        .await
        .map_err(|source| FetchError::Unreachable {
            target: target.clone(),
            source,
        })?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
            .await
            .map_err(|error| http(error.into()))?;
    let request = Request::get(&target.path)
        .header(HOST, target.authority())
        .header(CONNECTION, "close")
        // OpenMetrics first: its `# EOF` tells a whole page from a cut one.
        .header(
            ACCEPT,
            "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5",
        )
        .body(Empty::new())
        .map_err(|error| http(error.into()))?;
    let exchange = async move {
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| http(error.into()))?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status {
                target: target.clone(),
                status: response.status(),
            });
        }
        let body = Limited::new(response.into_body(), PAGE_LIMIT)
            .collect()
            .await
            .map_err(|error| {
                if error.is::<LengthLimitError>() {
                    FetchError::TooLarge {
                        target: target.clone(),
                    }
                } else {
                    http(error)
                }
            })?;
        String::from_utf8(body.to_bytes().into()).map_err(|error| http(error.into()))
    };
    // The connection does the work while the exchange waits for it; its own end is of no interest.
    let connection = async {
        let _ = connection.await;
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        page = exchange => page,
        never = connection => match never {},
    }
}

/// An error and what caused it, in one line.
fn with_causes(error: &(dyn Error + 'static)) -> String {
    std::iter::successors(Some(error), |error: &&(dyn Error + 'static)| {
        (*error).source()
    })
    .map(ToString::to_string)
    .collect::<Vec<_>>()
    .join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};

    #[test]
    fn addresses() {
        for (url, expected) in [
            ("http://127.0.0.1:9465", "http://127.0.0.1:9465/metrics"),
            ("http://127.0.0.1:9465/", "http://127.0.0.1:9465/metrics"),
            ("127.0.0.1:9465", "http://127.0.0.1:9465/metrics"),
            ("localhost:1/a/b?c=d", "http://localhost:1/a/b?c=d"),
            ("http://node", "http://node:80/metrics"),
            ("http://[::1]:1", "http://[::1]:1/metrics"),
        ] {
            assert_eq!(Target::parse(url).unwrap().to_string(), expected);
        }
        for (url, reason) in [
            ("https://node:1", "only http is supported"),
            ("http://user@node:1", "a user name is not supported"),
            ("http://node:99999", "the port is not valid"),
            ("", "empty string"),
            ("http://", "empty string"),
            ("a b", "invalid uri character"),
        ] {
            assert_eq!(
                Target::parse(url).unwrap_err().to_string(),
                format!(
                    "`{url}` is not the address of an agent such as `http://127.0.0.1:9465`: {reason}"
                )
            );
        }
    }

    /// Answers one connection with these bytes, and gives the request it read.
    fn answer(bytes: &'static [u8]) -> (Target, std::thread::JoinHandle<String>) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let target = Target::parse(&listener.local_addr().unwrap().to_string()).unwrap();
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut buffer = [0; 1024];
            while !request.ends_with(b"\r\n\r\n") {
                let length = stream.read(&mut buffer).unwrap();
                assert_ne!(length, 0);
                request.extend_from_slice(&buffer[..length]);
            }
            stream.write_all(bytes).unwrap();
            String::from_utf8(request).unwrap()
        });
        (target, thread)
    }

    #[test]
    fn a_page_comes_in_every_framing() {
        for bytes in [
            b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\na 1\n".as_slice(),
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\na \r\n2\r\n1\n\r\n0\r\n\r\n",
            b"HTTP/1.0 200 OK\r\n\r\na 1\n",
        ] {
            let (target, thread) = answer(bytes);
            assert_eq!(fetch_blocking(&target).unwrap(), "a 1\n");
            let request = thread.join().unwrap();
            assert!(request.starts_with("GET /metrics HTTP/1.1\r\n"), "{request}");
        }
    }

    #[test]
    fn what_is_no_page_is_an_error() {
        for (bytes, expected) in [
            (
                b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".as_slice(),
                "http://{} answered with status 404 Not Found; is it the address of an agent?",
            ),
            (
                b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\na 1\n",
                "what answers at http://{} is not an agent: error reading a body from connection: end of file before message length reached",
            ),
            (
                b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n\xff",
                "what answers at http://{} is not an agent: invalid utf-8 sequence of 1 bytes from index 0",
            ),
            (
                b"SSH-2.0-x\r\n",
                "what answers at http://{} is not an agent: invalid HTTP version parsed",
            ),
        ] {
            let (target, thread) = answer(bytes);
            let error = fetch_blocking(&target).unwrap_err().to_string();
            thread.join().unwrap();
            let address = format!("{}/metrics", target.authority());
            assert_eq!(error, expected.replace("{}", &address));
        }
    }

    #[test]
    fn nobody_there() {
        // The port was free a moment ago; whoever takes it now is no agent either.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let target = Target::parse(&address.to_string()).unwrap();
        assert_eq!(
            fetch_blocking(&target).unwrap_err().to_string(),
            format!(
                "cannot reach the agent at http://{address}/metrics: Connection refused (os error \
                 111); is `hark run` running there?"
            )
        );
    }
}
