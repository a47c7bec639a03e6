//! Collectors that are absent, slow, refusing, overloaded, or no collectors at all: what is
//! repeated, what is dropped, and for which reason.

use std::net::SocketAddr;

use prost::Message as _;
use tonic::Code;

use super::receiver::{self, Receiver, Reply};
use super::*;
use crate::otlp::answer::{Any, ProtoDuration, RetryInfo, RpcStatus};

const SPANS: u64 = 5;

/// Exports five spans in one batch.
async fn export(config: OtlpConfig) -> Books {
    let exporter = start(config);
    offer(&exporter, 5);
    exporter.shutdown(FOREVER).await;
    books(&exporter)
}

fn exported(retries: u64) -> Books {
    Books {
        offered: SPANS,
        exported: SPANS,
        queued: 0,
        retries,
        dropped: vec![],
    }
}

fn dropped(reason: DropReason) -> Books {
    Books {
        offered: SPANS,
        exported: 0,
        queued: 0,
        retries: 0,
        dropped: vec![(reason, SPANS)],
    }
}

/// One attempt only: the pause is longer than the time there is.
fn once(protocol: Protocol, address: SocketAddr) -> OtlpConfig {
    OtlpConfig {
        retrying: Retrying {
            initial: 4 * FOREVER,
            max: 4 * FOREVER,
        },
        ..config(protocol, address)
    }
}

/// A port that nobody listens on: bound, but not listening, so that nobody else gets it.
pub(super) fn nobody() -> (SocketAddr, rustix::fd::OwnedFd) {
    use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = getsockname(&socket).unwrap().try_into().unwrap();
    (address, socket)
}

#[tokio::test]
async fn absent() {
    let (address, _socket) = nobody();
    for protocol in [Protocol::HttpProtobuf, Protocol::Grpc] {
        assert_eq!(
            export(once(protocol, address)).await,
            dropped(DropReason::Unavailable)
        );
    }
}

#[tokio::test]
async fn absent_until_the_time_is_over() {
    let (address, _socket) = nobody();
    for protocol in [Protocol::HttpProtobuf, Protocol::Grpc] {
        let mut config = config(protocol, address);
        config.batching.export_timeout = Duration::from_millis(500);
        let books = export(config).await;
        assert_eq!(books.dropped, [(DropReason::Unavailable, SPANS)]);
    }
}

#[tokio::test]
async fn slow() {
    for protocol in [Protocol::HttpProtobuf, Protocol::Grpc] {
        let receiver = match protocol {
            Protocol::HttpProtobuf => Receiver::http(&[Reply::Hang]).await,
            Protocol::Grpc => Receiver::grpc(&[Reply::Hang]).await,
        };
        let mut config = once(protocol, receiver.address);
        config.timeout = Duration::from_millis(50);
        assert_eq!(export(config).await, dropped(DropReason::Timeout));
    }
}

#[tokio::test]
async fn an_answer_that_is_too_late_is_asked_for_again() {
    let http = Receiver::http(&[Reply::Hang, Reply::OK]).await;
    let grpc = Receiver::grpc(&[Reply::Hang, Reply::OK]).await;
    for (protocol, receiver) in [(Protocol::HttpProtobuf, http), (Protocol::Grpc, grpc)] {
        let mut config = config(protocol, receiver.address);
        config.timeout = Duration::from_secs(2);
        assert_eq!(export(config).await, exported(1));
        assert_eq!(receiver.spans(), [5, 5]);
        // The connection that said nothing was given up.
        assert_eq!(receiver.connections(), 2);
    }
}

#[tokio::test]
async fn http_statuses() {
    for status in [429, 502, 503, 504] {
        let receiver = Receiver::http(&[Reply::http(status), Reply::http(status), Reply::OK]).await;
        let books = export(config(Protocol::HttpProtobuf, receiver.address)).await;
        assert_eq!(books, exported(2), "{status}");
        assert_eq!(receiver.spans(), [5, 5, 5], "{status}");
        let [first, second, third] = <[_; 3]>::try_from(receiver.received()).unwrap();
        assert_eq!(first.message, second.message, "{status}");
        assert_eq!(first.message, third.message, "{status}");
    }
    for status in [301, 400, 401, 403, 404, 413, 500, 501, 505] {
        let receiver = Receiver::http(&[Reply::http(status)]).await;
        let books = export(config(Protocol::HttpProtobuf, receiver.address)).await;
        assert_eq!(books, dropped(DropReason::Refused), "{status}");
        assert_eq!(receiver.spans(), [5], "{status}");
    }
}

#[tokio::test]
async fn grpc_codes() {
    for code in (1..=16).map(Code::from) {
        let repeated = matches!(
            code,
            Code::Cancelled
                | Code::DeadlineExceeded
                | Code::Aborted
                | Code::OutOfRange
                | Code::Unavailable
                | Code::DataLoss
        );
        let receiver = Receiver::grpc(&[Reply::grpc(code), Reply::OK]).await;
        let books = export(config(Protocol::Grpc, receiver.address)).await;
        if repeated {
            assert_eq!(books, exported(1), "{code:?}");
            assert_eq!(receiver.spans(), [5, 5], "{code:?}");
        } else {
            assert_eq!(books, dropped(DropReason::Refused), "{code:?}");
            assert_eq!(receiver.spans(), [5], "{code:?}");
        }
    }
}

#[tokio::test]
async fn retry_after() {
    let asked = |value: &str| Reply::Http {
        status: 429,
        headers: vec![("retry-after", value.to_owned())],
        body: vec![],
    };
    // Over at once: no seconds, a date that is past, and what is neither.
    for value in ["0", "Sun, 06 Nov 1994 08:49:37 GMT", "soon", "-1", ""] {
        let receiver = Receiver::http(&[asked(value), Reply::OK]).await;
        let books = export(config(Protocol::HttpProtobuf, receiver.address)).await;
        assert_eq!(books, exported(1), "{value}");
    }
    // Longer than there is time for: given up without another attempt.
    for value in [
        "3600",
        "99999999999999999999999",
        "Fri, 31 Dec 9999 23:59:59 GMT",
    ] {
        let receiver = Receiver::http(&[asked(value), Reply::OK]).await;
        let books = export(config(Protocol::HttpProtobuf, receiver.address)).await;
        assert_eq!(books, dropped(DropReason::Unavailable), "{value}");
        assert_eq!(receiver.spans(), [5], "{value}");
    }
}

fn details(delay: Option<(i64, i32)>) -> Vec<u8> {
    let retry_info = RetryInfo {
        retry_delay: delay.map(|(seconds, nanos)| ProtoDuration { seconds, nanos }),
    };
    let any = |kind: &str, value| Any {
        type_url: format!("type.googleapis.com/google.rpc.{kind}"),
        value,
    };
    let status = RpcStatus {
        details: vec![
            any("DebugInfo", b"\xff\xff".to_vec()),
            any("RetryInfo", retry_info.encode_to_vec()),
        ],
    };
    status.encode_to_vec()
}

#[tokio::test]
async fn resource_exhausted() {
    let script = |details| {
        let code = Code::ResourceExhausted;
        [Reply::Grpc { code, details }, Reply::OK]
    };
    // With a delay that there is time for.
    for delay in [None, Some((0, 0)), Some((0, 1))] {
        let receiver = Receiver::grpc(&script(details(delay))).await;
        let books = export(config(Protocol::Grpc, receiver.address)).await;
        assert_eq!(books, exported(1), "{delay:?}");
    }
    // With one that there is no time for.
    for delay in [(3600, 0), (i64::MAX, 999_999_999)] {
        let receiver = Receiver::grpc(&script(details(Some(delay)))).await;
        let books = export(config(Protocol::Grpc, receiver.address)).await;
        assert_eq!(books, dropped(DropReason::Unavailable), "{delay:?}");
        assert_eq!(receiver.spans(), [5], "{delay:?}");
    }
    // Without one, or with one that is none.
    for details in [
        vec![],
        b"garbage".to_vec(),
        details(Some((-1, 0))),
        details(Some((0, -1))),
        details(Some((0, 1_000_000_000))),
    ] {
        let receiver = Receiver::grpc(&script(details.clone())).await;
        let books = export(config(Protocol::Grpc, receiver.address)).await;
        assert_eq!(books, dropped(DropReason::Refused), "{details:?}");
        assert_eq!(receiver.spans(), [5], "{details:?}");
    }
}

#[tokio::test]
async fn partial_success() {
    let cases = [
        (0, exported(0)),
        (
            2,
            Books {
                exported: 3,
                dropped: vec![(DropReason::Rejected, 2)],
                ..exported(0)
            },
        ),
        (5, dropped(DropReason::Rejected)),
        (6, dropped(DropReason::MalformedAnswer)),
        (-1, dropped(DropReason::MalformedAnswer)),
        (i64::MAX, dropped(DropReason::MalformedAnswer)),
    ];
    for (rejected, expected) in cases {
        let reply = Reply::Accept {
            rejected,
            message: "attribute \u{7} missing",
        };
        let http = Receiver::http(std::slice::from_ref(&reply)).await;
        let books = export(config(Protocol::HttpProtobuf, http.address)).await;
        assert_eq!(books, expected, "{rejected} over HTTP");
        let grpc = Receiver::grpc(&[reply]).await;
        let books = export(config(Protocol::Grpc, grpc.address)).await;
        assert_eq!(books, expected, "{rejected} over gRPC");
        // Never repeated.
        assert_eq!((http.spans(), grpc.spans()), (vec![5], vec![5]));
    }
}

#[tokio::test]
async fn malformed_answers_over_http() {
    let protobuf = "application/x-protobuf";
    let cases: [(&str, Vec<u8>); 6] = [
        (protobuf, b"\xff\xff\xff".to_vec()),
        // Field 1 says that it is longer than what follows.
        (protobuf, b"\x0a\x7f\x08".to_vec()),
        (protobuf, vec![0; (4 << 20) + 1]),
        ("text/html", b"<!doctype html><title>Hello</title>".to_vec()),
        ("application/json", b"{}".to_vec()),
        // It could be read as protobuf, but does not say that it is.
        ("text/plain", b"\x0a\x00".to_vec()),
    ];
    for (kind, body) in cases {
        let receiver = Receiver::http(&[Reply::Http {
            status: 200,
            headers: vec![("content-type", kind.to_owned())],
            body,
        }])
        .await;
        let books = export(config(Protocol::HttpProtobuf, receiver.address)).await;
        assert_eq!(books, dropped(DropReason::MalformedAnswer), "{kind}");
        assert_eq!(receiver.spans(), [5], "{kind}");
    }
    let broken = receiver::raw(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 9\r\n\r\n\x0a",
    )
    .await;
    let books = export(config(Protocol::HttpProtobuf, broken)).await;
    assert_eq!(books, dropped(DropReason::MalformedAnswer));
}

#[tokio::test]
async fn malformed_answers_over_grpc() {
    const GRPC: &[(&str, &str)] = &[("content-type", "application/grpc")];
    const DONE: &[(&str, &str)] = &[("grpc-status", "0")];
    // A message of two bytes that is no protobuf.
    let address = receiver::http2(GRPC, b"\0\0\0\0\x02\xff\xff", DONE).await;
    let books = export(config(Protocol::Grpc, address)).await;
    assert_eq!(books, dropped(DropReason::MalformedAnswer));
    // A web server; a frame with an unknown compression; no message; a status that is none.
    for address in [
        receiver::http2(&[("content-type", "text/html")], b"<html>", &[]).await,
        receiver::http2(GRPC, b"\x07\0\0\0\x02\xff\xff", DONE).await,
        receiver::http2(GRPC, b"", DONE).await,
        receiver::http2(GRPC, b"", &[("grpc-status", "many")]).await,
    ] {
        let books = export(config(Protocol::Grpc, address)).await;
        assert_eq!(books, dropped(DropReason::Refused));
    }
}

#[tokio::test]
async fn something_else_on_the_port() {
    for bytes in [
        &b""[..],
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46",
        b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    ] {
        let address = receiver::raw(bytes).await;
        for protocol in [Protocol::HttpProtobuf, Protocol::Grpc] {
            let books = export(once(protocol, address)).await;
            assert_eq!(books, dropped(DropReason::Unavailable), "{bytes:?}");
        }
    }
}
