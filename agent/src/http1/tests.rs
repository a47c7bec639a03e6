//! Heads that clients send, heads that nobody should, and any bytes.

mod hostile;
mod real;
mod targets;

use proptest::collection::vec;
use proptest::prelude::*;

use super::{BodyLength, Extent, Head, HeadError, HeadParser, PATH_LIMIT, USER_AGENT_LIMIT};
use crate::context::Format;
use crate::exchange::{Method, Protocol, Request, Role, TraceContext};

fn parse(role: Role, head: impl AsRef<[u8]>, extent: Extent) -> Result<Head, HeadError> {
    HeadParser::new(&Format::ALL).parse(role, head.as_ref(), extent)
}

fn server(head: impl AsRef<[u8]>) -> Request {
    parse(Role::Server, head, Extent::Whole).unwrap().request
}

fn client(head: impl AsRef<[u8]>) -> Request {
    parse(Role::Client, head, Extent::Whole).unwrap().request
}

/// A request of which only the line is known.
fn bare(method: Method, path: &str) -> Request {
    Request {
        method,
        path: path.into(),
        path_truncated: false,
        protocol: Protocol::Http11,
        host: None,
        port: None,
        scheme: None,
        user_agent: None,
        client_address: None,
        content_length: None,
        wants_http2: false,
        context: None,
        tracestate: None,
    }
}

fn body(headers: &str) -> (Option<u64>, BodyLength) {
    let head = format!("POST / HTTP/1.1\r\n{headers}\r\n");
    let head = parse(Role::Server, head, Extent::Whole).unwrap();
    (head.request.content_length, head.body)
}

#[test]
fn content_length() {
    let known = |length| (Some(length), BodyLength::Known(length));
    let unknown = (None, BodyLength::Unknown);
    assert_eq!(body(""), (None, BodyLength::Known(0)));
    assert_eq!(body("Content-Length: 0\r\n"), known(0));
    assert_eq!(
        body("CONTENT-LENGTH:18446744073709551615\r\n"),
        known(u64::MAX)
    );
    assert_eq!(body("Content-Length: 7\r\nContent-Length: 7\r\n"), known(7));
    for bad in [
        "Content-Length: 7\r\nContent-Length: 8\r\n",
        "Content-Length: 7\r\nContent-Length: x\r\n",
        "Content-Length: 18446744073709551616\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: +1\r\n",
        "Content-Length: 0x10\r\n",
        "Content-Length: 1 2\r\n",
        "Content-Length: 7, 7\r\n",
        "Content-Length:\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Content-Length: 7\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\nContent-Length: 7\r\n",
    ] {
        assert_eq!(body(bad), unknown, "{bad}");
    }
}

#[test]
fn a_trace_context_that_comes_twice_is_none() {
    let value = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let one = format!("GET / HTTP/1.1\r\nTraceParent: {value}\r\n\r\n");
    let context = TraceContext {
        trace_id: 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128.to_be_bytes(),
        parent_id: 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes(),
        flags: 1,
        deferred: false,
    };
    assert_eq!(server(&one).context, Some(context));
    assert_eq!(client(&one).context, Some(context));
    let two = format!("GET / HTTP/1.1\r\ntraceparent: {value}\r\ntraceparent: {value}\r\n\r\n");
    assert_eq!(server(two).context, None);
    assert_eq!(
        server("GET / HTTP/1.1\r\ntraceparent: 00-x\r\n\r\n").context,
        None
    );
}

#[test]
fn a_user_agent_is_bounded_between_characters() {
    let agent = |value: &[u8]| {
        let head = [
            b"GET / HTTP/1.1\r\nUser-Agent: ",
            value,
            b"\r\nUser-Agent: second\r\n\r\n",
        ]
        .concat();
        server(head).user_agent.map(|agent| agent.to_string())
    };
    assert_eq!(agent(b"curl/8.5.0"), Some("curl/8.5.0".into()));
    assert_eq!(agent(b""), None);
    assert_eq!(agent(b"caf\xe9"), Some("caf\u{fffd}".into()));
    assert_eq!(agent(&[b'a'; 5000]), Some("a".repeat(USER_AGENT_LIMIT)));
    let euros = "€".repeat(100);
    assert_eq!(agent(euros.as_bytes()), Some("€".repeat(85)));
    assert_eq!(agent(&[0xff; 400]), Some("\u{fffd}".repeat(85)));
}

#[test]
fn equal_strings_are_shared() {
    let mut parser = HeadParser::new(&Format::ALL);
    let head = b"GET /a HTTP/1.1\r\nHost: h\r\nUser-Agent: u\r\n\r\n";
    let mut parse = || {
        parser
            .parse(Role::Server, head, Extent::Whole)
            .unwrap()
            .request
    };
    let (first, second) = (parse(), parse());
    assert!(std::ptr::eq(
        &raw const *first.path,
        &raw const *second.path
    ));
    assert_eq!(first, second);
}

/// Pieces of heads, so that random ones reach further than random bytes do.
fn fragment() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        "GET ",
        "POST ",
        "CONNECT ",
        "get ",
        " ",
        "/",
        "/a/b",
        "?q=1",
        "#f",
        "*",
        "http://",
        "a@b",
        "[::1]:80",
        "host:99",
        "%2F",
        "\u{e9}",
        " HTTP/1.1",
        " HTTP/1.0",
        " HTTP/1.9",
        "\r\n",
        "\n",
        "\r",
        "\r\n\r\n",
        "Host: a.example\r\n",
        "Host: b:1\r\n",
        "Content-Length: 3\r\n",
        "Content-Length: 4\r\n",
        "Transfer-Encoding: chunked\r\n",
        "traceparent: x\r\n",
        "Forwarded: for=\"[::1]\";host=\"",
        "X-Forwarded-For: 1.2.3.4, ",
        "X: y\r\n",
        " folded\r\n",
        ":\r\n",
        "\0",
        "=",
        ";",
        ",",
        "\"",
        "\\",
    ]);
    prop_oneof![
        6 => known.prop_map(|text| text.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..20),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_bytes_make_a_bounded_request_or_an_error(
        fragments in vec(fragment(), 0..40),
        server in any::<bool>(),
        extent in prop::sample::select(vec![Extent::Whole, Extent::Truncated, Extent::Cut]),
    ) {
        let bytes = fragments.concat();
        let role = if server { Role::Server } else { Role::Client };
        if let Ok(Head { request, .. }) = parse(role, &bytes, extent) {
            prop_assert!(request.path.len() <= PATH_LIMIT);
            prop_assert!(!request.path.contains(|c: char| c.is_control() || c == ' '));
            prop_assert!(!request.path.contains(['?', '#']));
            prop_assert!(request.host.is_none_or(|host| host.len() <= 255 && !host.contains('@')));
        }
    }

    /// The lenient fallback agrees with httparse wherever httparse has an answer.
    #[test]
    fn request_lines_are_read_as_httparse_reads_them(
        method in "[A-Za-z0-9!#$%&'*+.^_`|~-]{1,12}",
        gap in " {1,3}",
        target in "[!-~\u{e9}\u{20ac}]{1,40}",
        minor in 0_u8..=1,
        end in "\r?\n",
    ) {
        let head = format!("{method}{gap}{target}{gap}HTTP/1.{minor}{end}\r\n");
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut judge = httparse::Request::new(&mut headers);
        let judged = httparse::ParserConfig::default()
            .allow_multiple_spaces_in_request_line_delimiters(true)
            .parse_request(&mut judge, head.as_bytes());
        prop_assert_eq!(judged, Ok(httparse::Status::Complete(head.len())));
        let end = head.find('\n').unwrap();
        let line = super::request_line::finished(&head.as_bytes()[..end]).unwrap();
        prop_assert_eq!(Some(line.method), judge.method);
        prop_assert_eq!(Some(line.target), judge.path.map(str::as_bytes));
        let protocol = if judge.version == Some(0) { Protocol::Http10 } else { Protocol::Http11 };
        prop_assert_eq!(line.protocol, protocol);
    }
}
