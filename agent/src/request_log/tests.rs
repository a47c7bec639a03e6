//! Lines, files, and what becomes of both when the output does not keep up.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::counters::{Counters, DropReason};
use super::file::RotatingFile;
use super::lines::{Lines, MAX_LINES, Output};
use super::*;
use crate::clock::{Clock, Sample};
use crate::config::{Config, Which};
use crate::exchange::{Method, Role};
use crate::otlp::Span;
use crate::red::testing::{exchange, service};

const MINUTE: Duration = Duration::from_secs(60);

fn clock() -> Clock {
    Clock::from_sample(Sample {
        mono_ns: 1,
        offset_ns: 1_700_000_000_000_000_000,
    })
}

fn span(role: Role) -> Span {
    let route = Some("/orders/{id}");
    Span::new(&exchange(role), &service("shop", 1), route, &clock())
}

fn line_of(span: &Span) -> String {
    let mut text = Vec::new();
    line::write(span, true, &mut text);
    let text = String::from_utf8(text).unwrap();
    assert_eq!(text.matches('\n').count(), 1);
    assert!(text.ends_with('\n'));
    text
}

#[test]
fn a_line_has_what_the_span_has() {
    let span = span(Role::Server);
    let line: Value = serde_json::from_str(&line_of(&span)).unwrap();
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|b| format!("{b:02x}")).collect() };
    let expected = serde_json::json!({
        "time": "2023-11-14T22:13:21.001500000Z",
        "role": "server",
        "service_name": "shop",
        "duration_seconds": 0.0015,
        "http_request_method": "GET",
        "url_path": "/orders/17",
        "url_scheme": "http",
        "http_response_status_code": 200,
        "http_route": "/orders/{id}",
        "http_request_body_size": 0,
        "http_response_body_size": 600,
        "server_address": "api.example",
        "server_port": 8443,
        "network_protocol_version": "1.1",
        "network_peer_address": "192.0.2.7",
        "network_peer_port": 9090,
        "network_transport": "tcp",
        "network_type": "ipv4",
        "client_address": "192.0.2.7",
        "hark_time_to_first_byte": 0.001,
        "trace_id": hex(&span.trace_id),
        "span_id": hex(&span.span_id),
        "span_kept": true,
    });
    assert_eq!(line, expected);
}

#[test]
fn a_line_is_one_line_whatever_is_in_it() {
    let mut hostile = span(Role::Client);
    let request = &mut hostile.exchange.request;
    request.method = Method::Other("GE\"T\\\n".into());
    request.user_agent = Some("a\r\n{\"b\":1}\u{0}\u{2028}é".into());
    request.host = None;
    let line: Value = serde_json::from_str(&line_of(&hostile)).unwrap();
    assert_eq!(line["http_request_method_original"], "GE\"T\\\n");
    assert_eq!(line["user_agent_original"], "a\r\n{\"b\":1}\u{0}\u{2028}é");
    assert_eq!(line.get("http_route"), None, "a client has no route");
}

fn config(change: impl FnOnce(&mut config::RequestLog)) -> config::RequestLog {
    let mut config = Config::default().request_log;
    change(&mut config);
    config
}

#[test]
fn which_are_chosen() {
    let whole = span(Role::Server);
    let mut failed = span(Role::Server);
    failed.exchange.status = Some(500);
    let mut slow = span(Role::Server);
    slow.exchange.end_ns += 1_000_000_000;
    let mut quiet = span(Role::Server);
    quiet.service = service("probes=x", 1);
    let chosen = |which: Which, services: &[&str]| {
        let choice = Choice::new(&config(|config| {
            config.which = which;
            config.services = services.iter().map(|rule| (*rule).to_owned()).collect();
        }));
        [
            choice.takes(&whole, false),
            choice.takes(&whole, true),
            choice.takes(&failed, false),
            choice.takes(&slow, false),
            choice.takes(&quiet, true),
        ]
    };
    assert_eq!(chosen(Which::Kept, &[]), [false, true, false, false, true]);
    assert_eq!(chosen(Which::All, &[]), [true; 5]);
    assert_eq!(
        chosen(Which::Errors, &[]),
        [false, false, true, false, false]
    );
    assert_eq!(chosen(Which::Slow, &[]), [false, false, false, true, false]);
    assert_eq!(chosen(Which::None, &[]), [false; 5]);
    assert_eq!(
        chosen(Which::All, &["probes=x=none", "other=none"]),
        [true, true, true, true, false]
    );
    assert_eq!(
        chosen(Which::None, &["shop=errors"]),
        [false, false, true, false, false]
    );
}

#[test]
fn nowhere_to_write_is_no_log() {
    assert!(RequestLog::start(&config(|_| ()), None).unwrap().is_none());
}

#[test]
fn a_folder_that_cannot_be_is_an_error_that_names_it() {
    let wrong = config(|config| {
        config.output = LogOutput::File;
        config.path = "/proc/none/requests.log".into();
    });
    let error = RequestLog::start(&wrong, None).unwrap_err().to_string();
    assert!(
        error.starts_with("the request log /proc/none/requests.log cannot be opened: "),
        "{error}"
    );
}

/// The lines of a file.
fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn every_exchange_that_is_chosen_is_written_or_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/requests.log");
    let config = config(|config| {
        config.output = LogOutput::File;
        config.path.clone_from(&path);
        config.max_per_second = 100;
    });
    let mut log = RequestLog::start(&config, None).unwrap().unwrap();
    for _ in 0..3000 {
        log.offer(&span(Role::Server), true);
        log.offer(&span(Role::Server), false);
    }
    log.lines().unwrap().finish(MINUTE);
    // After the end: counted.
    log.offer(&span(Role::Server), true);
    let Counters {
        chosen,
        rate_limited,
        written,
        queued,
        ..
    } = &log.counters;
    assert_eq!(chosen.get(), 3001);
    assert_eq!(queued.get(), 0);
    assert_eq!(lines(&path).len() as u64, written.get());
    assert!(written.get() >= 100);
    let late = log.counters.drops(DropReason::Shutdown);
    assert_eq!(written.get() + rate_limited.get() + late, 3001);
}

#[test]
fn a_reader_that_does_not_read_costs_lines_and_no_time() {
    let (mut reader, writer) = UnixStream::pair().unwrap();
    let output = Output::Stream {
        file: File::from(std::os::fd::OwnedFd::from(writer)),
        torn: false,
    };
    let counters = Counters::new();
    let stuck = Lines::start(output, counters.clone()).unwrap();
    let count = 4 * MAX_LINES as u64;
    for _ in 0..count {
        stuck.push(span(Role::Server), true);
    }
    let full = counters.drops(DropReason::QueueFull);
    assert!(full > 0);
    // The end does not wait for it either.
    stuck.finish(Duration::from_millis(100));
    let dropped = full + counters.drops(DropReason::Shutdown);
    assert_eq!(
        count,
        counters.written.get() + dropped + counters.queued.get().cast_unsigned()
    );
    // Once it reads, it has exactly what is counted as written: the writer's end is closed when
    // the thread ends.
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text.lines().count() as u64, counters.written.get());
    assert_eq!(counters.queued.get(), 0);
}

#[test]
fn a_full_device_is_counted() {
    let output = Output::Stream {
        file: File::options().write(true).open("/dev/full").unwrap(),
        torn: false,
    };
    let counters = Counters::new();
    let full = Lines::start(output, counters.clone()).unwrap();
    for _ in 0..1000 {
        full.push(span(Role::Server), true);
    }
    full.finish(MINUTE);
    assert_eq!(counters.drops(DropReason::WriteFailed), 1000);
    assert_eq!(counters.written.get(), 0);
}

/// Ten bytes each, the line feed included.
fn numbered(numbers: std::ops::Range<u32>) -> (Vec<u8>, Vec<usize>) {
    let mut text = Vec::new();
    let mut ends = Vec::new();
    for number in numbers {
        writeln!(text, "{number:09}").unwrap();
        ends.push(text.len());
    }
    (text, ends)
}

fn read(path: &Path) -> Vec<u32> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

#[test]
fn files_are_rotated_between_lines() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let mut file = RotatingFile::open(&path, 35, 3).unwrap();
    let mut write = |numbers| {
        let (text, ends) = numbered(numbers);
        let (written, result) = file.write(&text, &ends);
        result.unwrap();
        assert_eq!(written, ends.len());
    };
    // Three fit; all at once and one by one must not differ.
    write(0..7);
    for number in 7..11 {
        write(number..number + 1);
    }
    assert_eq!(read(&folder.path().join("log.2")), [3, 4, 5]);
    assert_eq!(read(&folder.path().join("log.1")), [6, 7, 8]);
    assert_eq!(read(&path), [9, 10]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    // One that is opened again goes on.
    let mut again = RotatingFile::open(&path, 35, 3).unwrap();
    let (text, ends) = numbered(11..13);
    assert_eq!(again.write(&text, &ends).0, 2);
    assert_eq!(read(&folder.path().join("log.1")), [9, 10, 11]);
    assert_eq!(read(&path), [12]);
}

#[test]
fn one_file_alone_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let mut file = RotatingFile::open(&path, 30, 1).unwrap();
    let (text, ends) = numbered(0..8);
    assert_eq!(file.write(&text, &ends).0, 8);
    assert_eq!(read(&path), [6, 7]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_line_longer_than_a_file_has_one_for_itself() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let mut file = RotatingFile::open(&path, 5, 2).unwrap();
    let (text, ends) = numbered(0..2);
    assert_eq!(file.write(&text, &ends).0, 2);
    assert_eq!(read(&folder.path().join("log.1")), [0]);
    assert_eq!(read(&path), [1]);
}

#[test]
fn others_may_move_empty_or_remove_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let mut file = RotatingFile::open(&path, 1000, 2).unwrap();
    let mut write = |number| {
        let (text, ends) = numbered(number..number + 1);
        assert_eq!(file.write(&text, &ends).0, 1);
    };
    write(0);
    let moved = folder.path().join("moved");
    fs::rename(&path, &moved).unwrap();
    write(1);
    assert_eq!((read(&moved), read(&path)), (vec![0], vec![1]));
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(0)
        .unwrap();
    write(2);
    assert_eq!(read(&path), [2]);
    fs::remove_file(&path).unwrap();
    write(3);
    assert_eq!(read(&path), [3]);
}

#[test]
fn a_symbolic_link_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let (path, aim) = (folder.path().join("log"), folder.path().join("aim"));
    std::os::unix::fs::symlink(&aim, &path).unwrap();
    let error = RotatingFile::open(&path, 1000, 2).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ELOOP));
    assert!(!aim.exists());
}

/// Where the next file cannot be begun, the present one does not grow past its limit.
#[test]
fn a_rotation_that_fails_stops_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    // In the way: a folder that is not empty cannot be renamed over.
    fs::create_dir_all(folder.path().join("log.1/full")).unwrap();
    let mut file = RotatingFile::open(&path, 30, 2).unwrap();
    let (text, ends) = numbered(0..5);
    let (written, result) = file.write(&text, &ends);
    assert_eq!((written, result.is_err()), (3, true));
    assert_eq!(read(&path), [0, 1, 2]);
    fs::remove_dir_all(folder.path().join("log.1")).unwrap();
    let (text, ends) = numbered(5..6);
    assert_eq!(file.write(&text, &ends).0, 1);
    assert_eq!(read(&path), [5]);
}

#[test]
fn the_metrics_say_so() {
    let log = RequestLog {
        choice: Choice::new(&config(|_| ())),
        rate: Rate::new(1),
        lines: None,
        records: None,
        counters: Counters::new(),
    };
    let mut registry = Registry::default();
    log.register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    for reason in ["queue_full", "write_failed", "shutdown"] {
        let line = format!("hark_request_log_lines_dropped_total{{reason=\"{reason}\"}} 0\n");
        assert!(text.contains(&line), "{text}");
    }
}
