//! Heads that nobody should send.

use super::*;

#[test]
fn what_is_no_request_line_is_an_error() {
    for (head, error) in [
        (&b""[..], HeadError::Incomplete),
        (b"\r\n\r\n\r\n", HeadError::Incomplete),
        (b"GET / HTTP/1.1", HeadError::Incomplete),
        (b"\n", HeadError::Incomplete),
        (b"GET\r\n", HeadError::Target),
        (b"GET \r\n", HeadError::Target),
        (b"GET HTTP/1.1\r\n", HeadError::Target),
        (b"GET  HTTP/1.1\r\n", HeadError::Target),
        (b"GET /\r\n", HeadError::Version),
        (b"GET / \r\n", HeadError::Version),
        (b"GET /xHTTP/1.1\r\n", HeadError::Version),
        (b"GET / HTTP/2.0\r\n", HeadError::Version),
        (b"GET / HTTP/1.\r\n", HeadError::Version),
        (b"GET / HTTP/1.11\r\n", HeadError::Version),
        (b"GET / http/1.1\r\n", HeadError::Version),
        (b"GET / HTTP/1.1x\r\n", HeadError::Version),
        (b"PRI * HTTP/2.0\r\n\r\n", HeadError::Version),
        (b" GET / HTTP/1.1\r\n", HeadError::Method),
        (b"G\xc9T / HTTP/1.1\r\n", HeadError::Method),
        (b"GET\0/ HTTP/1.1\r\n", HeadError::Method),
        (b"\x16\x03\x01\x02\0\x01\0\n", HeadError::Method),
        (b"(GET) / HTTP/1.1\r\n", HeadError::Method),
    ] {
        let text = String::from_utf8_lossy(head);
        assert_eq!(
            parse(Role::Server, head, Extent::Whole),
            Err(error),
            "{text}"
        );
    }
}

#[test]
fn request_lines_that_servers_take_are_read() {
    for line in [
        "GET   /   HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET\t/\tHTTP/1.1",
        "GET / HTTP/1.2",
        "GET / HTTP/1.9",
    ] {
        let head = format!("{line}\r\nHost: a\r\n\r\n");
        let expected = Request {
            host: Some("a".into()),
            ..bare(Method::Get, "/")
        };
        assert_eq!(server(head), expected, "{line}");
    }
    let expected = Request {
        host: Some("a".into()),
        ..bare(Method::Get, "/%01")
    };
    assert_eq!(server("GET /\u{1} HTTP/1.1\r\nHost: a\r\n\r\n"), expected);
}

#[test]
fn a_bad_header_costs_no_other() {
    for bad in [
        "no colon",
        ": no name",
        "space before: colon",
        "Host : smuggled",
        "ctl: a\u{1}b",
        " folded: Host: other",
        "\tfolded",
        "(x): y",
        "Content-Length : 5",
    ] {
        let head = format!("GET / HTTP/1.1\r\n{bad}\r\nHost: a\r\n{bad}\r\nUser-Agent: u\r\n\r\n");
        let expected = Request {
            host: Some("a".into()),
            user_agent: Some("u".into()),
            ..bare(Method::Get, "/")
        };
        assert_eq!(server(head), expected, "{bad:?}");
    }
}

#[test]
fn after_a_nul_or_a_bare_cr_no_header_is_believed() {
    for bad in ["nul: \0", "cr: a\rb"] {
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{bad}\r\nUser-Agent: u\r\n\r\n");
        let expected = Request {
            host: Some("a".into()),
            ..bare(Method::Get, "/")
        };
        assert_eq!(server(head), expected, "{bad:?}");
    }
}

#[test]
fn headers_beyond_the_limit_are_ignored() {
    let filler = |count: usize| "X: y\r\n".repeat(count);
    let head = |before: usize| {
        format!(
            "GET / HTTP/1.1\r\n{}Host: a\r\nUser-Agent: u\r\n{}\r\n",
            filler(before),
            filler(900)
        )
    };
    let both = Request {
        host: Some("a".into()),
        user_agent: Some("u".into()),
        ..bare(Method::Get, "/")
    };
    let first = Request {
        user_agent: None,
        ..both.clone()
    };
    assert_eq!(server(head(126)), both);
    assert_eq!(server(head(127)), first);
    assert_eq!(server(head(128)), bare(Method::Get, "/"));
}

#[test]
fn a_method_is_any_token_and_bounded() {
    assert_eq!(
        server("get / HTTP/1.1\r\n\r\n").method,
        Method::Other("get".into())
    );
    assert_eq!(
        server("M-SEARCH * HTTP/1.1\r\n\r\n").method,
        Method::Other("M-SEARCH".into())
    );
    let long = format!("{} / HTTP/1.1\r\n\r\n", "A".repeat(3000));
    assert_eq!(server(long).method, Method::Other("A".repeat(64).into()));
}

#[test]
fn nothing_secret_is_kept() {
    let head = "GET http://user:hunter2@h/p?token=hunter2#hunter2 HTTP/1.1\r\nHost: hunter2@h\r\nAuthorization: Bearer hunter2\r\nCookie: hunter2\r\nbaggage: hunter2\r\nForwarded: for=_hunter2\r\nX-Forwarded-Proto: hunter2\r\n\r\n";
    let request = server(head);
    assert!(!format!("{request:?}").contains("hunter2"), "{request:?}");
}
