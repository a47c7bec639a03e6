//! Heads as real clients and proxies send them.

use super::*;

/// One head, and what must be read from it by a server and by a client.
struct Case {
    name: &'static str,
    head: &'static str,
    server: Request,
    /// Host and port of a client, which sees nothing that was forwarded, where they differ.
    client: Option<(Option<&'static str>, Option<u16>)>,
}

fn cases() -> Vec<Case> {
    vec![
        Case {
            name: "curl",
            head: "GET /orders/17?verbose=1 HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n",
            server: Request {
                host: Some("localhost".into()),
                port: Some(8080),
                user_agent: Some("curl/8.5.0".into()),
                ..bare(Method::Get, "/orders/17")
            },
            client: None,
        },
        Case {
            name: "curl, a form, waiting for 100",
            head: "POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\nContent-Length: 1048577\r\nContent-Type: application/x-www-form-urlencoded\r\nExpect: 100-continue\r\n\r\n",
            server: Request {
                host: Some("127.0.0.1".into()),
                user_agent: Some("curl/8.5.0".into()),
                content_length: Some(1_048_577),
                ..bare(Method::Post, "/login")
            },
            client: None,
        },
        Case {
            name: "curl through a forward proxy",
            head: "GET http://user:pass@Shop.Example:8081/a/b?c=d HTTP/1.1\r\nHost: ignored.example\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\nProxy-Connection: Keep-Alive\r\n\r\n",
            server: Request {
                host: Some("shop.example".into()),
                port: Some(8081),
                scheme: Some("http".into()),
                user_agent: Some("curl/8.5.0".into()),
                ..bare(Method::Get, "/a/b")
            },
            client: None,
        },
        Case {
            name: "curl, a tunnel",
            head: "CONNECT shop.example:443 HTTP/1.1\r\nHost: shop.example:443\r\nUser-Agent: curl/8.5.0\r\nProxy-Connection: Keep-Alive\r\n\r\n",
            server: Request {
                host: Some("shop.example".into()),
                port: Some(443),
                user_agent: Some("curl/8.5.0".into()),
                ..bare(Method::Connect, "")
            },
            client: None,
        },
        Case {
            name: "Firefox",
            head: "GET /caf%C3%A9/ HTTP/1.1\r\nHost: [::1]:3000\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\nAccept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\nCookie: session=abc; theme=dark\r\nUpgrade-Insecure-Requests: 1\r\nPriority: u=0, i\r\n\r\n",
            server: Request {
                host: Some("::1".into()),
                port: Some(3000),
                user_agent: Some(
                    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0".into(),
                ),
                ..bare(Method::Get, "/caf%C3%A9/")
            },
            client: None,
        },
        Case {
            name: "Chrome, a preflight",
            head: "OPTIONS /api HTTP/1.1\r\nHost: api.example\r\nConnection: keep-alive\r\nAccept: */*\r\nAccess-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: content-type\r\nOrigin: http://shop.example\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36\r\nSec-Fetch-Mode: cors\r\n\r\n",
            server: Request {
                host: Some("api.example".into()),
                user_agent: Some(
                    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36".into(),
                ),
                ..bare(Method::Options, "/api")
            },
            client: None,
        },
        Case {
            name: "Go net/http, chunked",
            head: "PUT /v1/kv/a%2Fb HTTP/1.1\r\nHost: kv.internal:8500\r\nUser-Agent: Go-http-client/1.1\r\nTransfer-Encoding: chunked\r\nAccept-Encoding: gzip\r\nTraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00\r\n\r\n",
            server: Request {
                host: Some("kv.internal".into()),
                port: Some(8500),
                user_agent: Some("Go-http-client/1.1".into()),
                context: Some(TraceContext {
                    trace_id: 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128.to_be_bytes(),
                    parent_id: 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes(),
                    flags: 0,
                    deferred: false,
                }),
                ..bare(Method::Put, "/v1/kv/a%2Fb")
            },
            client: None,
        },
        Case {
            name: "Java HttpClient, offering HTTP/2",
            head: "DELETE /carts/9 HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nHost: localhost:9090\r\nHTTP2-Settings: AAEAAEAAAAIAAAAAAAMAAAAAAAQBAAAAAAUAAEAAAAYABgAA\r\nUpgrade: h2c\r\nUser-Agent: Java-http-client/21.0.3\r\n\r\n",
            server: Request {
                host: Some("localhost".into()),
                port: Some(9090),
                user_agent: Some("Java-http-client/21.0.3".into()),
                wants_http2: true,
                ..bare(Method::Delete, "/carts/9")
            },
            client: None,
        },
        Case {
            name: "Python requests",
            head: "PATCH /users/5 HTTP/1.1\r\nHost: users\r\nUser-Agent: python-requests/2.31.0\r\nAccept-Encoding: gzip, deflate, br\r\nAccept: */*\r\nConnection: keep-alive\r\nContent-Length: 12\r\nContent-Type: application/json\r\n\r\n",
            server: Request {
                host: Some("users".into()),
                user_agent: Some("python-requests/2.31.0".into()),
                content_length: Some(12),
                ..bare(Method::Patch, "/users/5")
            },
            client: None,
        },
        Case {
            name: "Node fetch, lower-case names",
            head: "GET /n HTTP/1.1\r\nhost: localhost:3000\r\nconnection: keep-alive\r\naccept: */*\r\naccept-language: *\r\nsec-fetch-mode: cors\r\nuser-agent: node\r\naccept-encoding: gzip, deflate\r\n\r\n",
            server: Request {
                host: Some("localhost".into()),
                port: Some(3000),
                user_agent: Some("node".into()),
                ..bare(Method::Get, "/n")
            },
            client: None,
        },
        Case {
            name: "wrk",
            head: "GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n",
            server: Request {
                host: Some("127.0.0.1".into()),
                port: Some(8080),
                ..bare(Method::Get, "/")
            },
            client: None,
        },
        Case {
            name: "ApacheBench",
            head: "GET /index.html HTTP/1.0\r\nHost: localhost:80\r\nUser-Agent: ApacheBench/2.3\r\nAccept: */*\r\n\r\n",
            server: Request {
                protocol: Protocol::Http10,
                host: Some("localhost".into()),
                port: Some(80),
                user_agent: Some("ApacheBench/2.3".into()),
                ..bare(Method::Get, "/index.html")
            },
            client: None,
        },
        Case {
            name: "a probe without a Host",
            head: "HEAD /healthz HTTP/1.0\r\n\r\n",
            server: Request {
                protocol: Protocol::Http10,
                ..bare(Method::Head, "/healthz")
            },
            client: None,
        },
        Case {
            name: "nginx as a reverse proxy",
            head: "GET /app HTTP/1.0\r\nHost: backend\r\nX-Real-IP: 203.0.113.9\r\nX-Forwarded-For: 203.0.113.9, 10.0.0.2\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: www.shop.example\r\nConnection: close\r\n\r\n",
            server: Request {
                protocol: Protocol::Http10,
                host: Some("www.shop.example".into()),
                scheme: Some("https".into()),
                client_address: Some("203.0.113.9".into()),
                ..bare(Method::Get, "/app")
            },
            client: Some((Some("backend"), None)),
        },
        Case {
            name: "a proxy that speaks RFC 7239",
            head: "GET /app HTTP/1.1\r\nhost: backend:8080\r\nforwarded: for=\"[2001:db8:cafe::17]:4711\";proto=https;by=203.0.113.43;host=\"shop.example:8443\", for=198.51.100.17\r\nx-forwarded-for: 192.0.2.1\r\nx-forwarded-proto: http\r\nx-forwarded-host: other.example\r\n\r\n",
            server: Request {
                host: Some("shop.example".into()),
                port: Some(8443),
                scheme: Some("https".into()),
                client_address: Some("2001:db8:cafe::17".into()),
                ..bare(Method::Get, "/app")
            },
            client: Some((Some("backend"), Some(8080))),
        },
        Case {
            name: "WebDAV",
            head: "PROPFIND /dav/ HTTP/1.1\r\nHost: files.example\r\nDepth: 1\r\nContent-Length: 0\r\n\r\n",
            server: Request {
                host: Some("files.example".into()),
                content_length: Some(0),
                ..bare(Method::Other("PROPFIND".into()), "/dav/")
            },
            client: None,
        },
        Case {
            name: "the whole server",
            head: "OPTIONS * HTTP/1.1\r\nHost: www.example\r\n\r\n",
            server: Request {
                host: Some("www.example".into()),
                ..bare(Method::Options, "*")
            },
            client: None,
        },
        Case {
            name: "over a unix socket, by docker",
            head: "GET /v1.45/containers/json HTTP/1.1\r\nHost: api.moby.localhost\r\nUser-Agent: Docker-Client/26.1.3 (linux)\r\n\r\n",
            server: Request {
                host: Some("api.moby.localhost".into()),
                user_agent: Some("Docker-Client/26.1.3 (linux)".into()),
                ..bare(Method::Get, "/v1.45/containers/json")
            },
            client: None,
        },
    ]
}

#[test]
fn heads_of_real_clients() {
    for case in cases() {
        assert_eq!(server(case.head), case.server, "{}", case.name);
        let mut expected = case.server;
        if let Some((host, port)) = case.client {
            expected.host = host.map(Into::into);
            expected.port = port;
            expected.scheme = None;
            expected.client_address = None;
        }
        assert_eq!(client(case.head), expected, "{}", case.name);
    }
}

#[test]
fn line_ends_do_not_matter() {
    for case in cases() {
        let bare_lf = case.head.replace("\r\n", "\n");
        assert_eq!(server(&bare_lf), case.server, "{}", case.name);
        let late = format!("\r\n\n\r\n{}", case.head);
        assert_eq!(server(late), case.server, "{}", case.name);
    }
}

#[test]
fn a_cut_head_says_what_its_request_line_says() {
    for case in cases() {
        let line = case.head.find('\n').unwrap() + 1;
        for end in 0..case.head.len() {
            let cut = parse(Role::Client, &case.head[..end], Extent::Cut);
            if end < line {
                assert_eq!(cut, Err(HeadError::Incomplete), "{} to {end}", case.name);
                continue;
            }
            let whole = client(ended(&case.head[..line]));
            let head = cut.unwrap();
            assert_eq!(head.request, whole, "{} to {end}", case.name);
            assert_eq!(head.body, BodyLength::Unknown);
        }
    }
}

#[test]
fn a_truncated_head_says_what_its_whole_lines_say() {
    for case in cases() {
        let line = case.head.find('\n').unwrap() + 1;
        for end in line..case.head.len() {
            let captured = &case.head[..end];
            let lines = captured.rfind('\n').unwrap() + 1;
            let expected = server(ended(&captured[..lines]));
            let head = parse(Role::Server, captured, Extent::Truncated).unwrap();
            assert_eq!(head.request, expected, "{} to {end}", case.name);
            assert_eq!(head.body, BodyLength::Unknown);
        }
    }
}

/// Lines of a head, ended.
fn ended(lines: &str) -> String {
    format!("{lines}\r\n")
}
