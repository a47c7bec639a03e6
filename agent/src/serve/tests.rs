use std::collections::HashMap;
use std::io::Read as _;
use std::net::Ipv4Addr;
use std::sync::Mutex;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;
use crate::config::Metrics;
use crate::exchange::Role;
use crate::red::Red;
use crate::red::testing::{exchange, service};
use crate::telemetry::page::{Format, Page, Section};
use crate::telemetry::testing::{parse, promtool_is_content};

/// Long enough that a test that waits for it has failed.
const PATIENCE: Duration = Duration::from_secs(30);

struct State(Mutex<ReadyReport>);

impl Readiness for State {
    fn report(&self) -> ReadyReport {
        self.0.lock().unwrap().clone()
    }
}

struct Server {
    address: SocketAddr,
    telemetry: Arc<Telemetry>,
    state: Arc<State>,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

impl Server {
    async fn start(limits: Limits, telemetry: Telemetry) -> Self {
        let bound = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
            .await
            .unwrap();
        let address = bound.local_addr();
        let telemetry = Arc::new(telemetry);
        let state = Arc::new(State(Mutex::default()));
        let (stop, stopped) = oneshot::channel();
        let readiness: Arc<dyn Readiness> = Arc::clone(&state) as _;
        let running =
            tokio::spawn(
                bound.run_within(limits, Arc::clone(&telemetry), readiness, async {
                    let _ = stopped.await;
                }),
            );
        Self {
            address,
            telemetry,
            state,
            stop,
            running,
        }
    }

    async fn plain() -> Self {
        Self::start(Limits::default(), Telemetry::new()).await
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        tokio::time::timeout(PATIENCE, self.running)
            .await
            .expect("does not stop")
            .unwrap();
        TcpStream::connect(self.address)
            .await
            .expect_err("still listens");
    }

    async fn send(&self, request: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request).await.unwrap();
        stream
    }

    /// Sends a request of HTTP/1.0, whose response ends with the connection.
    async fn ask(&self, line: &str, headers: &str) -> Answer {
        let request = format!("{line} HTTP/1.0\r\nHost: test\r\n{headers}\r\n");
        Answer::read(self.send(request.as_bytes()).await).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path}"), "").await
    }

    fn refused(&self, limit: &str) -> String {
        let mut page = Vec::new();
        self.telemetry.write(Format::Text, &mut page).unwrap();
        let page = String::from_utf8(page).unwrap();
        let sample = format!("hark_http_refused_total{{limit=\"{limit}\"}} ");
        page.lines()
            .find_map(|line| line.strip_prefix(&sample))
            .unwrap()
            .to_owned()
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

impl Answer {
    async fn read(mut stream: TcpStream) -> Self {
        let mut bytes = Vec::new();
        tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes))
            .await
            .expect("no end of the answer")
            .unwrap();
        let end = bytes
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .unwrap_or_else(|| panic!("no head: {:?}", String::from_utf8_lossy(&bytes)));
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap();
        Self {
            status: status.parse().unwrap(),
            headers: lines
                .map(|line| line.split_once(": ").unwrap())
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            body: bytes[end + 4..].to_vec(),
        }
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

#[tokio::test]
async fn the_endpoints() {
    let server = Server::plain().await;
    let health = server.get("/healthz").await;
    assert_eq!((health.status, health.text()), (200, "ok\n"));
    assert_eq!(server.get("/healthz?x=1").await.status, 200);
    let index = server.get("/").await;
    assert_eq!(index.status, 200);
    assert!(index.text().contains("\n/metrics "));
    for path in ["/nothing", "/metrics/", "//metrics", "/healthz/x", "*"] {
        assert_eq!(server.get(path).await.status, 404, "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "BREW"] {
        for path in ["/", "/metrics", "/healthz", "/readyz"] {
            let answer = server.ask(&format!("{method} {path}"), "").await;
            assert_eq!(answer.status, 405, "{method} {path}");
            assert_eq!(answer.header("allow"), Some("GET, HEAD"));
        }
        assert_eq!(server.ask(&format!("{method} /x"), "").await.status, 404);
    }
    for path in ["/", "/metrics", "/healthz"] {
        let head = server.ask(&format!("HEAD {path}"), "").await;
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn ready_or_not() {
    let server = Server::plain().await;
    let not = server.get("/readyz").await;
    assert_eq!(not.status, 503);
    assert_eq!(
        not.text(),
        "{\n  \"ready\": false,\n  \"hooks\": [],\n  \"losses\": []\n}\n"
    );
    *server.state.0.lock().unwrap() = ReadyReport {
        ready: true,
        hooks: vec![
            HookStatus {
                name: "sock_send_length".into(),
                attached: true,
                detail: None,
            },
            HookStatus {
                name: "block_rq_issue".into(),
                attached: false,
                detail: Some("this kernel's BTF has no \"block_rq_issue\"".into()),
            },
        ],
        losses: vec![Loss {
            reason: "ring_full".into(),
            count: 3,
        }],
    };
    let ready = server.get("/readyz").await;
    assert_eq!(ready.status, 200);
    assert_eq!(ready.header("content-type"), Some("application/json"));
    let json: serde_json::Value = serde_json::from_slice(&ready.body).unwrap();
    assert_eq!(
        json,
        serde_json::json!({
            "ready": true,
            "hooks": [
                {"name": "sock_send_length", "attached": true},
                {
                    "name": "block_rq_issue",
                    "attached": false,
                    "detail": "this kernel's BTF has no \"block_rq_issue\"",
                },
            ],
            "losses": [{"reason": "ring_full", "count": 3}],
        })
    );
    server.stop().await;
}

#[tokio::test]
async fn metrics_as_the_client_likes_them() {
    let red = Red::new(&Metrics {
        expire_after: PATIENCE,
        max_series: 100,
    });
    red.observe(&exchange(Role::Server), &service("shop", 1), Some("/a"));
    let mut telemetry = Telemetry::new();
    red.register(&mut telemetry);
    let server = Server::start(Limits::default(), telemetry).await;

    let text = server.get("/metrics").await;
    assert_eq!(
        text.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    assert_eq!(text.header("content-encoding"), None);
    assert_eq!(text.header("vary"), Some("accept, accept-encoding"));
    let from_text = parse(text.text(), Format::Text);
    promtool_is_content("metrics_as_the_client_likes_them", text.text());

    let open_metrics = server
        .ask(
            "GET /metrics",
            "Accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1\r\nAccept-Encoding: gzip\r\n",
        )
        .await;
    assert_eq!(
        open_metrics.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    assert_eq!(open_metrics.header("content-encoding"), Some("gzip"));
    let mut page = String::new();
    flate2::read::GzDecoder::new(&open_metrics.body[..])
        .read_to_string(&mut page)
        .unwrap();
    let from_open_metrics = parse(&page, Format::OpenMetrics);
    let names = |samples: &crate::telemetry::testing::Samples| -> Vec<_> {
        samples.keys().cloned().collect()
    };
    assert_eq!(names(&from_text), names(&from_open_metrics));
    server.stop().await;
}

#[tokio::test]
async fn a_connection_is_kept_and_requests_on_it_are_answered_in_order() {
    let server = Server::plain().await;
    let mut stream = server
        .send(b"GET /healthz HTTP/1.1\r\nHost: t\r\n\r\nGET /nothing HTTP/1.1\r\nHost: t\r\n\r\nGET /healthz HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
        .await;
    let mut answers = String::new();
    stream.read_to_string(&mut answers).await.unwrap();
    let statuses: Vec<&str> = answers
        .split("HTTP/1.1 ")
        .skip(1)
        .map(|answer| &answer[..3])
        .collect();
    assert_eq!(statuses, ["200", "404", "200"]);
    server.stop().await;
}

#[tokio::test]
async fn heads_that_are_none_or_too_large_are_refused() {
    let server = Server::plain().await;
    let status = async |request: &[u8]| {
        let stream = server.send(request).await;
        Answer::read(stream).await.status
    };
    assert_eq!(status(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n").await, 400);
    assert_eq!(status(b"GET /healthz\r\n\r\n").await, 400);
    assert_eq!(status(b"GET / HTTP/1.1\r\nbad header\r\n\r\n").await, 400);
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(65));
    assert_eq!(status(many.as_bytes()).await, 431);
    let long = format!("GET / HTTP/1.1\r\na: {}\r\n\r\n", "b".repeat(9_000));
    assert_eq!(status(long.as_bytes()).await, 431);
    assert_eq!(server.get("/healthz").await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn a_body_that_never_comes_delays_nothing() {
    let server = Server::plain().await;
    let answer = server
        .ask("GET /healthz", "Content-Length: 1000000000000\r\n")
        .await;
    assert_eq!(answer.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn slow_senders_are_cut_off() {
    let limits = Limits {
        head: Duration::from_millis(50),
        ..Limits::default()
    };
    let server = Server::start(limits, Telemetry::new()).await;
    for start in [&b""[..], b"GET /metrics HT"] {
        let mut stream = server.send(start).await;
        let mut rest = Vec::new();
        tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest))
            .await
            .expect("still connected")
            .unwrap();
        assert!(!rest.starts_with(b"HTTP/1.1 200"));
    }
    server.stop().await;
}

/// A section too large for the buffers between the server and a client that does not read.
#[derive(Debug)]
struct Large;

impl Section for Large {
    fn write(&self, page: &mut Page<'_>) -> io::Result<()> {
        use crate::telemetry::page::{Family, Kind};
        let family = Family {
            name: "large",
            help: "Large.",
            unit: None,
            kind: Kind::Gauge,
            source: "a test",
            labels: &[],
        };
        page.family(&family)?;
        for at in 0..2_000 {
            page.sample(&family, &format!("at=\"{at:010000}\""), 1)?;
        }
        Ok(())
    }
}

fn large() -> Telemetry {
    let mut telemetry = Telemetry::new();
    telemetry.add(Large);
    telemetry
}

#[tokio::test]
async fn a_page_larger_than_all_buffers_arrives_whole() {
    let server = Server::start(Limits::default(), large()).await;
    let answer = server.get("/metrics").await;
    let samples = parse(answer.text(), Format::Text);
    let large = samples.keys().filter(|(name, _)| name == "large").count();
    assert_eq!(large, 2_000);
    server.stop().await;
}

#[tokio::test]
async fn clients_that_do_not_read_lose_their_place() {
    let limits = Limits {
        connections: 1,
        refusals: 0,
        scrapes: 1,
        stall: Duration::from_millis(50),
        ..Limits::default()
    };
    let server = Server::start(limits, large()).await;
    let stuck = server
        .send(b"GET /metrics HTTP/1.1\r\nHost: t\r\n\r\n")
        .await;
    // Its connection ends, so another finds room and the scrape that it held is free again.
    let answer = tokio::time::timeout(PATIENCE, async {
        loop {
            let mut stream = server.send(b"GET /metrics HTTP/1.0\r\n\r\n").await;
            let mut answer = Vec::new();
            if stream.read_to_end(&mut answer).await.is_ok() && answer.starts_with(b"HTTP/1.0 200")
            {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("the place is never free");
    assert!(answer.len() > 20_000_000, "{}", answer.len());
    drop(stuck);
    server.stop().await;
}

#[tokio::test]
async fn a_page_not_read_in_time_does_not_look_whole() {
    let limits = Limits {
        scrape: Duration::ZERO,
        ..Limits::default()
    };
    let server = Server::start(limits, large()).await;
    let mut stream = server
        .send(b"GET /metrics HTTP/1.1\r\nHost: t\r\n\r\n")
        .await;
    // The page is larger than what the sockets hold, so it is still being written when its time is
    // over.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut answer = Vec::new();
    // Either the connection breaks or it ends without the last chunk (RFC 9112 §7.1).
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    assert!(!answer.ends_with(b"0\r\n\r\n"));
    server.stop().await;
}

#[tokio::test]
async fn scrapes_beyond_the_limit_are_refused_and_counted() {
    let limits = Limits {
        scrapes: 1,
        ..Limits::default()
    };
    let server = Server::start(limits, large()).await;
    let mut held = server
        .send(b"GET /metrics HTTP/1.1\r\nHost: t\r\n\r\n")
        .await;
    held.read_exact(&mut [0; 12]).await.unwrap();
    let refused = server.get("/metrics").await;
    assert_eq!(
        (refused.status, refused.text()),
        (503, "too many scrapes, try again\n")
    );
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(
        server.get("/healthz").await.status,
        200,
        "others are not touched"
    );
    assert_eq!(server.ask("HEAD /metrics", "").await.status, 200);
    assert_eq!(server.refused("scrapes"), "1");
    drop(held);
    server.stop().await;
}

#[tokio::test]
async fn connections_beyond_the_limit_are_refused_and_counted() {
    let limits = Limits {
        connections: 1,
        refusals: 1,
        ..Limits::default()
    };
    let server = Server::start(limits, Telemetry::new()).await;
    let mut held = server
        .send(b"GET /healthz HTTP/1.1\r\nHost: t\r\n\r\n")
        .await;
    held.read_exact(&mut [0; 12]).await.unwrap();
    let refused = server.get("/healthz").await;
    assert_eq!(
        (refused.status, refused.text()),
        (503, "too many connections, try again\n")
    );
    let refusal = TcpStream::connect(server.address).await.unwrap();
    let mut closed = TcpStream::connect(server.address).await.unwrap();
    let mut nothing = Vec::new();
    closed.read_to_end(&mut nothing).await.unwrap();
    assert_eq!(nothing, b"");
    assert_eq!(server.refused("connections"), "3");
    drop((held, refusal));
    server.stop().await;
}

#[tokio::test]
async fn the_end_waits_for_the_request_under_way_but_not_for_idle_clients() {
    let limits = Limits {
        grace: PATIENCE,
        ..Limits::default()
    };
    let server = Server::start(limits, large()).await;
    let idle = TcpStream::connect(server.address).await.unwrap();
    let mut kept = server
        .send(b"GET /healthz HTTP/1.1\r\nHost: t\r\n\r\n")
        .await;
    kept.read_exact(&mut [0; 12]).await.unwrap();
    let mut reading = server.send(b"GET /metrics HTTP/1.0\r\n\r\n").await;
    reading.read_exact(&mut [0; 12]).await.unwrap();
    let page = tokio::spawn(async move {
        let mut page = Vec::new();
        reading.read_to_end(&mut page).await.unwrap();
        page
    });
    server.stop().await;
    let page = page.await.unwrap();
    assert!(page.len() > 20_000_000, "{}", page.len());
    drop((idle, kept));
}

#[tokio::test]
async fn an_address_that_cannot_be_had_is_explained() {
    let first = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
        .await
        .unwrap();
    let address = first.local_addr();
    assert_eq!(
        bind(address).await.unwrap_err().to_string(),
        format!(
            "cannot listen on {address}: the address is in use, perhaps by another hark; stop that program or set `listen` (HARK_LISTEN) to another port"
        )
    );
    // An address of TEST-NET-1 (RFC 5737) is no host's.
    let elsewhere = SocketAddr::from(([192, 0, 2, 1], 9465));
    assert!(matches!(
        bind(elsewhere).await.unwrap_err(),
        ServeError::NotLocal { address } if address == elsewhere
    ));
}
