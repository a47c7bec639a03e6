//! Forms of targets, hosts and forwarding headers.

use super::*;

/// Path, host, port, scheme, path truncated.
type Read = (String, Option<String>, Option<u16>, Option<String>, bool);

fn read(method: &str, target: &[u8]) -> Read {
    let head = [method.as_bytes(), b" ", target, b" HTTP/1.1\r\n\r\n"].concat();
    let request = server(head);
    (
        request.path.to_string(),
        request.host.map(|host| host.to_string()),
        request.port,
        request.scheme.map(|scheme| scheme.to_string()),
        request.path_truncated,
    )
}

fn plain(path: &str) -> Read {
    (path.into(), None, None, None, false)
}

#[test]
fn the_four_forms() {
    let absolute = |path: &str, host: &str, port, scheme: &str| {
        (
            path.into(),
            Some(host.into()),
            port,
            Some(scheme.into()),
            false,
        )
    };
    for (target, expected) in [
        ("/", plain("/")),
        ("/?q", plain("/")),
        ("/a?b?c#d", plain("/a")),
        ("/a#b?c", plain("/a")),
        ("//evil.example/x", plain("//evil.example/x")),
        ("/a:b@c", plain("/a:b@c")),
        ("/login?next=http://x/y", plain("/login")),
        ("*", plain("*")),
        ("?q=1", plain("")),
        ("index.html", plain("index.html")),
        ("http:/a", plain("http:/a")),
        ("http://h", absolute("/", "h", None, "http")),
        ("http://h?q", absolute("/", "h", None, "http")),
        ("HTTPS://H:1/p?q", absolute("/p", "h", Some(1), "https")),
        (
            "ws://[2001:DB8::1]:9/p",
            absolute("/p", "2001:db8::1", Some(9), "ws"),
        ),
        ("http://u@h/p@q", absolute("/p@q", "h", None, "http")),
        ("http://u:p@w@h/", absolute("/", "h", None, "http")),
        (
            "gopher://h/p",
            ("/p".into(), Some("h".into()), None, None, false),
        ),
        (
            "http://h h/",
            ("/".into(), None, None, Some("http".into()), false),
        ),
        (
            "http:///p",
            ("/p".into(), None, None, Some("http".into()), false),
        ),
    ] {
        assert_eq!(read("GET", target.as_bytes()), expected, "{target}");
    }
    for (target, host, port) in [
        ("h:443", Some("h"), Some(443)),
        ("[::1]:443", Some("::1"), Some(443)),
        ("u:p@h:443", Some("h"), Some(443)),
        ("h", Some("h"), None),
        ("/path", None, None),
    ] {
        let expected = (String::new(), host.map(str::to_owned), port, None, false);
        assert_eq!(read("CONNECT", target.as_bytes()), expected, "{target}");
    }
}

#[test]
fn paths_are_printable() {
    for (target, path) in [
        (&b"/caf\xc3\xa9"[..], "/café"),
        (b"/caf\xe9", "/caf%E9"),
        (b"/\xc3\xa9\xff\xfe", "/é%FF%FE"),
        (b"/\xc2\x85x", "/%C2%85x"),
        (b"/\x01\x1b[31m\x7f", "/%01%1B[31m%7F"),
        (b"/a b  c", "/a%20b%20%20c"),
        (b"/a\tb", "/a%09b"),
        (b"/a\rb", "/a%0Db"),
        (b"/a\0b", "/a%00b"),
        (b"/%zz%", "/%zz%"),
    ] {
        assert_eq!(read("GET", target), plain(path));
    }
}

#[test]
fn paths_are_bounded() {
    let long = |path: String| (path, None, None, None, true);
    let fits = format!("/{}", "a".repeat(PATH_LIMIT - 1));
    assert_eq!(read("GET", fits.as_bytes()), plain(&fits));
    let query = format!("{fits}?{}", "q".repeat(2000));
    assert_eq!(read("GET", query.as_bytes()), plain(&fits));
    assert_eq!(
        read("GET", format!("{fits}b").as_bytes()),
        long(fits.clone())
    );
    // A character of two bytes, or a code of three, is kept whole or not at all.
    let wide = format!("/{}é", "a".repeat(PATH_LIMIT - 2));
    let cut = format!("/{}", "a".repeat(PATH_LIMIT - 2));
    assert_eq!(read("GET", wide.as_bytes()), long(cut));
    let mut coded = format!("/{}", "a".repeat(PATH_LIMIT - 3)).into_bytes();
    let cut = String::from_utf8(coded.clone()).unwrap();
    coded.extend_from_slice(b"\xff\xff");
    assert_eq!(read("GET", &coded), long(cut));
}

#[test]
fn a_target_beyond_what_was_captured_is_marked() {
    let truncated = |head: String| {
        let request = parse(Role::Server, head, Extent::Truncated)
            .unwrap()
            .request;
        (
            request.path.to_string(),
            request.path_truncated,
            request.host,
            request.protocol,
        )
    };
    let fits = format!("/{}", "a".repeat(PATH_LIMIT - 1));
    assert_eq!(
        truncated(format!("GET {fits}{}", "a".repeat(3000))),
        (fits.clone(), true, None, Protocol::Http1)
    );
    assert_eq!(
        truncated("GET /short".into()),
        ("/short".into(), true, None, Protocol::Http1)
    );
    assert_eq!(
        truncated("GET /a?q=".into()),
        ("/a".into(), false, None, Protocol::Http1)
    );
    assert_eq!(
        truncated("GET /a HTTP/1".into()),
        ("/a".into(), false, None, Protocol::Http1)
    );
    assert_eq!(
        truncated("GET http://shop.exam".into()),
        ("/".into(), true, None, Protocol::Http1)
    );
    assert_eq!(
        truncated("GET http://shop.example/a".into()),
        (
            "/a".into(),
            true,
            Some("shop.example".into()),
            Protocol::Http1
        )
    );
    for (head, error) in [
        ("GE", HeadError::Target),
        ("GET", HeadError::Target),
        ("GET ", HeadError::Target),
        ("", HeadError::Target),
        ("<html> ", HeadError::Method),
    ] {
        assert_eq!(
            parse(Role::Server, head, Extent::Truncated),
            Err(error),
            "{head}"
        );
    }
}

#[test]
fn hosts() {
    let host = |value: &[u8]| {
        let head = [b"GET / HTTP/1.1\r\nHost: ", value, b"\r\n\r\n"].concat();
        let request = client(head);
        (request.host.map(|host| host.to_string()), request.port)
    };
    let some = |name: &str, port| (Some(name.to_owned()), port);
    assert_eq!(host(b"a.example"), some("a.example", None));
    assert_eq!(host(b"a.example:"), some("a.example", None));
    assert_eq!(host(b"A.Example.:65535"), some("a.example.", Some(65535)));
    assert_eq!(host(b"a_b:080"), some("a_b", Some(80)));
    assert_eq!(
        host(b"xn--bcher-kva.example"),
        some("xn--bcher-kva.example", None)
    );
    assert_eq!(host(b"b%C3%BCcher"), some("b%c3%bccher", None));
    assert_eq!(host(b"[0:0::1]"), some("::1", None));
    assert_eq!(host(&[b'a'; 255]), some(&"a".repeat(255), None));
    for bad in [
        &b""[..],
        b":80",
        b"a:0",
        b"a:65536",
        b"a:99999999999999999999",
        b"a:+1",
        b"a:b",
        b"a:80:90",
        b"::1",
        b"[::1",
        b"[::1]80",
        b"[::1%eth0]",
        b"[v1.x]",
        b"[1.2.3.4]",
        b"user@a",
        b"a/b",
        b"a b",
        b"a%zz",
        b"b\xc3\xbccher",
        b"\xff",
        &[b'a'; 256],
    ] {
        assert_eq!(
            host(bad),
            (None, None),
            "{:?}",
            String::from_utf8_lossy(bad)
        );
    }
    let twice = |second: &str| {
        client(format!(
            "GET / HTTP/1.1\r\nHost: a\r\nHost: {second}\r\n\r\n"
        ))
        .host
        .map(|host| host.to_string())
    };
    assert_eq!(twice("a"), Some("a".into()));
    assert_eq!(twice("b"), None);
}

#[test]
fn forwarding_headers() {
    // Client address, host, scheme.
    let read = |headers: &str| {
        let head = format!("GET / HTTP/1.1\r\nHost: backend\r\n{headers}\r\n\r\n");
        let request = server(head);
        let text = |value: Option<std::sync::Arc<str>>| value.map(|value| value.to_string());
        (
            text(request.client_address).unwrap_or_default(),
            text(request.host).unwrap_or_default(),
            text(request.scheme).unwrap_or_default(),
        )
    };
    for (headers, client, host, scheme) in [
        ("Forwarded: for=192.0.2.43", "192.0.2.43", "backend", ""),
        (
            "Forwarded: For=\"192.0.2.43:47011\" ; Proto=HTTP",
            "192.0.2.43",
            "backend",
            "http",
        ),
        (
            "Forwarded: for=192.0.2.43, for=198.51.100.17;host=x",
            "192.0.2.43",
            "backend",
            "",
        ),
        (
            "Forwarded: for=\"[2001:db8::1]\"",
            "2001:db8::1",
            "backend",
            "",
        ),
        (
            "Forwarded: for=\"::ffff:192.0.2.1\"",
            "192.0.2.1",
            "backend",
            "",
        ),
        ("Forwarded: for=unknown;host=a.example", "", "a.example", ""),
        ("Forwarded: for=_hidden", "", "backend", ""),
        ("Forwarded: host=\"a.example:8080\"", "", "a.example", ""),
        ("Forwarded: secret=\"a,b;c\";host=h", "", "h", ""),
        // Malformed: nothing of it is believed.
        ("Forwarded: for=192.0.2.43;host", "", "backend", ""),
        ("Forwarded: for=192.0.2.43;host=\"a", "", "backend", ""),
        ("Forwarded: for=192.0.2.43 x;host=a", "", "backend", ""),
        (
            "Forwarded: host=\"a\\\"b\";for=192.0.2.43",
            "",
            "backend",
            "",
        ),
        ("Forwarded: ", "", "backend", ""),
        ("Forwarded: host=\"not a host\"", "", "backend", ""),
        ("Forwarded: proto=javascript", "", "backend", ""),
        ("X-Forwarded-For: 203.0.113.9", "203.0.113.9", "backend", ""),
        (
            "X-Forwarded-For:  203.0.113.9:1234 , 10.0.0.1",
            "203.0.113.9",
            "backend",
            "",
        ),
        (
            "X-Forwarded-For: 2001:db8::9, 10.0.0.1",
            "2001:db8::9",
            "backend",
            "",
        ),
        (
            "X-Forwarded-For: [2001:db8::9]:443",
            "2001:db8::9",
            "backend",
            "",
        ),
        ("X-Forwarded-For: , 10.0.0.1", "", "backend", ""),
        ("X-Forwarded-For: [10.0.0.1]", "", "backend", ""),
        ("X-Forwarded-For: evil.example", "", "backend", ""),
        (
            "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-For: 10.0.0.1",
            "203.0.113.9",
            "backend",
            "",
        ),
        ("X-Forwarded-Proto: HTTPS, http", "", "backend", "https"),
        ("X-Forwarded-Proto: x-custom-1", "", "backend", ""),
        (
            "X-Forwarded-Host: A.example:1, b.example",
            "",
            "a.example",
            "",
        ),
        ("X-Forwarded-Host: not a host", "", "backend", ""),
        (
            "Forwarded: for=192.0.2.1\r\nX-Forwarded-Host: a\r\nX-Forwarded-Proto: wss",
            "192.0.2.1",
            "a",
            "wss",
        ),
    ] {
        let expected = (client.to_owned(), host.to_owned(), scheme.to_owned());
        assert_eq!(read(headers), expected, "{headers}");
    }
}
