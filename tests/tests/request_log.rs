//! The request log against real traffic: exact counts, hostile bytes, a full disk.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;

use hark_tests::agent::{self, Agent};
use hark_tests::disk::Small;
use hark_tests::load::{Plan, Request, Sent};
use hark_tests::metrics::Counts;
use hark_tests::otlp::{ARRIVAL, Manner, Receiver};
use hark_tests::server::Server;
use hark_tests::{need, wait};
use serde_json::Value;

const OUTPUT: &str = "HARK_REQUEST_LOG_OUTPUT";
const PATH: &str = "HARK_REQUEST_LOG_PATH";
const WHICH: &str = "HARK_REQUEST_LOG_WHICH";
const RATE: &str = "HARK_REQUEST_LOG_MAX_PER_SECOND";

/// The lines of a text, each of which must be JSON.
fn parse(text: &str) -> Vec<Value> {
    assert!(
        text.is_empty() || text.ends_with('\n'),
        "the last line is cut"
    );
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

fn lines(path: &Path) -> Vec<Value> {
    parse(&fs::read_to_string(path).unwrap_or_default())
}

fn text<'a>(line: &'a Value, key: &str) -> &'a str {
    line[key].as_str().unwrap_or_default()
}

/// Lines of one service by method and status, as the client counts.
fn counts(lines: &[Value], service: &str, role: &str) -> Counts {
    let mut counts = Counts::new();
    for line in lines {
        if text(line, "service_name") == service && text(line, "role") == role {
            let status = &line["http_response_status_code"];
            let key = (
                text(line, "http_request_method").to_owned(),
                status
                    .as_u64()
                    .map_or(String::new(), |code| code.to_string()),
            );
            *counts.entry(key).or_default() += 1;
        }
    }
    counts
}

fn load(server: &Server, rounds: usize) -> Sent {
    let requests = vec![
        Request::get("/orders/17?token=geheim#geheim"),
        Request::get("/status/404"),
        Request::get("/status/503").header("authorization: Bearer geheim"),
    ];
    Plan::new(&server.target, requests)
        .connections(2)
        .rounds(rounds)
        .run()
}

/// The books of the log: chosen, rate-limited, written, dropped, queued.
fn books(agent: &Agent) -> [u64; 5] {
    let page = agent.page();
    [
        "hark_request_log_chosen_total",
        "hark_request_log_rate_limited_total",
        "hark_request_log_lines_written_total",
        "hark_request_log_lines_dropped_total",
        "hark_request_log_lines_queued",
    ]
    .map(|name| page.total(name, &[]))
}

#[test]
fn every_exchange_is_a_line_and_no_secret_is_in_it() {
    need!(agent::root());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("hark/requests.log");
    let server = need!(Server::python("log-python"));
    let agent = Agent::start(&[
        (OUTPUT, "file"),
        (PATH, path.to_str().expect("UTF-8")),
        (WHICH, "all"),
        (RATE, "1000000"),
    ]);
    let sent = load(&server, 50);
    wait::expect("served", &sent.counts(), || {
        counts(&lines(&path), &server.service, "server")
    });
    wait::expect("sent", &sent.counts(), || {
        counts(&lines(&path), &sent.service, "client")
    });

    // Bytes that are no UTF-8, no ASCII, no text.
    let mut stream = TcpStream::connect(server.tcp()).expect("it listens");
    stream
        .write_all(b"GET /a%0Ab\xff\xfe\x01?geheim=1 HTTP/1.1\r\nhost: x\r\nuser-agent: \xc3\x28\"\\\tz\r\nconnection: close\r\n\r\n")
        .expect("it reads");
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("it answers");
    agent.barrier();
    let hostile = wait::until(wait::SETTLE, "the hostile line", || {
        lines(&path).into_iter().find(|line| {
            text(line, "service_name") == server.service
                && text(line, "url_path").starts_with("/a%0Ab")
        })
    });
    assert_eq!(text(&hostile, "url_path"), "/a%0Ab%FF%FE%01");
    assert!(text(&hostile, "user_agent_original").contains("\"\\\tz"));

    let all = fs::read_to_string(&path).expect("the log");
    assert!(!all.contains("geheim"), "a secret");
    for line in parse(&all) {
        assert_eq!(text(&line, "trace_id").len(), 32, "{line}");
        assert_eq!(text(&line, "span_id").len(), 16, "{line}");
        assert!(line["duration_seconds"].as_f64().is_some_and(|s| s >= 0.0));
    }
    wait::expect("chosen = written = lines", &true, || {
        let [chosen, limited, written, dropped, queued] = books(&agent);
        let there = lines(&path).len() as u64;
        limited == 0 && dropped == 0 && queued == 0 && chosen == written && written == there
    });
}

#[test]
fn which_and_how_many() {
    need!(agent::root());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("requests.log");
    let server = need!(Server::python("log-errors"));
    let quiet = need!(Server::python("log-quiet"));
    let agent = Agent::start(&[
        (OUTPUT, "file"),
        (PATH, path.to_str().expect("UTF-8")),
        (WHICH, "errors"),
        (
            "HARK_REQUEST_LOG_SERVICES",
            &format!("{}=none", quiet.service),
        ),
        (RATE, "10"),
    ]);
    let sent = load(&server, 20);
    let unlogged = load(&quiet, 20);
    agent.expect_served(&server.service, &sent.counts());
    agent.expect_served(&quiet.service, &unlogged.counts());
    wait::expect("chosen = limited + written", &true, || {
        let [chosen, limited, written, dropped, queued] = books(&agent);
        dropped == 0 && queued == 0 && chosen == limited + written && limited > 0
    });
    let lines = lines(&path);
    assert_eq!(books(&agent)[2], lines.len() as u64);
    // 503 is the server's failure, 404 the client's alone.
    let served = counts(&lines, &server.service, "server");
    let statuses: Vec<&str> = served.keys().map(|(_, status)| status.as_str()).collect();
    assert_eq!(statuses, ["503"]);
    assert_eq!(counts(&lines, &quiet.service, "server"), Counts::new());
    // 40 failures of one service: its share of a second or of a few.
    let logged: u64 = served.values().sum();
    assert!((10..=40).contains(&logged), "{logged}");
}

#[test]
fn files_are_rotated_and_no_line_is_lost() {
    need!(agent::root());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("requests.log");
    let server = need!(Server::python("log-rotation"));
    let agent = Agent::start(&[
        (OUTPUT, "file"),
        (PATH, path.to_str().expect("UTF-8")),
        (WHICH, "all"),
        (RATE, "1000000"),
        ("HARK_REQUEST_LOG_MAX_FILE_BYTES", "64KiB"),
        ("HARK_REQUEST_LOG_MAX_FILES", "1000"),
    ]);
    let sent = load(&server, 150);
    let all = || -> Vec<Value> {
        let mut all = Vec::new();
        for entry in fs::read_dir(folder.path()).expect("our own folder") {
            all.extend(lines(&entry.expect("an entry").path()));
        }
        all
    };
    wait::expect("served", &sent.counts(), || {
        counts(&all(), &server.service, "server")
    });
    let mut files = 0;
    for entry in fs::read_dir(folder.path()).expect("our own folder") {
        let size = entry.expect("an entry").metadata().expect("a file").len();
        assert!(size <= 64 << 10, "{size}");
        files += 1;
    }
    assert!(files > 3, "{files}");
    drop(agent);
}

#[test]
fn a_full_disk_costs_lines_that_are_counted_and_nothing_else() {
    need!(agent::root());
    let small = Small::new(128 << 10);
    let path = small.path().join("requests.log");
    let server = need!(Server::python("log-full"));
    let agent = Agent::start(&[
        (OUTPUT, "file"),
        (PATH, path.to_str().expect("UTF-8")),
        (WHICH, "all"),
        (RATE, "1000000"),
    ]);
    let sent = load(&server, 200);
    // Metrics go on exactly.
    agent.expect_served(&server.service, &sent.counts());
    agent.expect_sent(&sent.service, &sent.counts());
    wait::expect("chosen = written + dropped", &true, || {
        let [chosen, limited, written, dropped, queued] = books(&agent);
        limited == 0
            && queued == 0
            && dropped > 0
            && chosen == written + dropped
            && chosen >= 2 * sent.total()
    });
    // What is there is whole, and is what is said to be there.
    assert_eq!(lines(&path).len() as u64, books(&agent)[2]);

    // Somebody makes room: it goes on, and the books stay right.
    fs::remove_file(&path).expect("our own file");
    let before = books(&agent);
    let more = load(&server, 5);
    wait::expect("served, after there is room again", &more.counts(), || {
        counts(&lines(&path), &server.service, "server")
    });
    wait::expect("the books", &true, || {
        let after = books(&agent);
        after[3] == before[3] && after[2] - before[2] == lines(&path).len() as u64
    });
}

#[test]
fn to_standard_output() {
    need!(agent::root());
    let server = need!(Server::python("log-stdout"));
    let agent = Agent::start(&[(OUTPUT, "stdout"), (WHICH, "all"), (RATE, "1000000")]);
    let sent = load(&server, 10);
    wait::expect("served", &sent.counts(), || {
        let text = agent.process().stdout();
        let whole = text.rfind('\n').map_or(0, |at| at + 1);
        counts(&parse(&text[..whole]), &server.service, "server")
    });
}

/// Log records lead to spans by their ids, one to one.
fn over_otlp(receiver: &Receiver, protocol: &str) {
    let server = need!(Server::python("log-otlp"));
    let agent = Agent::start(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.endpoint()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
        ("HARK_REQUEST_LOG_OTLP", "true"),
        (RATE, "1000000"),
    ]);
    let sent = load(&server, 20);
    for service in [&server.service, &sent.service] {
        let count = usize::try_from(sent.total()).expect("a small number");
        wait::expect_within(ARRIVAL, "spans and log records", &(count, count), || {
            (
                receiver.spans(service).len(),
                receiver.log_records(service).len(),
            )
        });
        let spans: BTreeMap<_, _> = receiver
            .spans(service)
            .into_iter()
            .map(|span| ((span.trace_id.clone(), span.span_id.clone()), span))
            .collect();
        let mut seen = BTreeMap::new();
        for record in receiver.log_records(service) {
            let key = (record.trace_id.clone(), record.span_id.clone());
            let span = spans.get(&key).expect("a record is of a span");
            assert_eq!(record.resource, span.resource);
            let mut attributes = record.attributes.clone();
            assert!(attributes.remove("hark.duration").is_some());
            assert_eq!(attributes, span.attributes);
            assert!(!record.body.contains("geheim"), "{}", record.body);
            assert!(seen.insert(key, ()).is_none(), "twice");
        }
    }
    let page = agent.page();
    assert_eq!(
        page.total("hark_log_records_exported_total", &[]),
        page.total("hark_log_records_offered_total", &[])
    );
}

#[test]
fn as_log_records_over_grpc() {
    need!(agent::root());
    over_otlp(&Receiver::grpc(Manner::Accepting), "grpc");
}

#[test]
fn as_log_records_over_http() {
    need!(agent::root());
    over_otlp(&Receiver::http(Manner::Accepting), "http/protobuf");
}
