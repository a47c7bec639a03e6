use hark_common::process::{ProcessKey, Task};
use hark_common::socket::RecordHeader;

use super::*;
use crate::telemetry::page::Format;

fn record(socket: u64, library: u8) -> TlsRecord {
    TlsRecord {
        header: RecordHeader {
            socket,
            ..RecordHeader::default()
        },
        task: Task {
            process: ProcessKey {
                start_boottime_ns: 1,
                pid: u32::MAX - 1,
                exec_id: 0,
            },
            comm: *b"shop\0\0\0\0\0\0\0\0\0\0\0\0",
            ..Task::default()
        },
        library,
        ..TlsRecord::default()
    }
}

fn page(connections: &Connections) -> Vec<String> {
    let mut text = Vec::new();
    let mut page = Page::new(Format::Text, &mut text);
    connections.counts().write(&mut page).unwrap();
    page.finish().unwrap();
    let text = String::from_utf8(text).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let mut lines: Vec<String> = lines.map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

#[test]
fn each_connection_is_counted_once() {
    let mut identities = Identities::new("/proc".into(), 16);
    let mut connections = Connections::new();
    for socket in 1..=5 {
        connections.record(&record(socket, 0), &mut identities);
    }
    for socket in [1, 1, 2, 99] {
        connections.record(&record(socket, Library::OpenSsl as u8), &mut identities);
    }
    connections.record(&record(3, Library::GnuTls as u8), &mut identities);
    connections.sweep(Instant::now());
    assert_eq!(page(&connections).len(), 2, "the rest is waited for");
    connections.sweep(Instant::now() + PATIENCE);
    // Too late to be counted anew.
    connections.record(&record(4, Library::OpenSsl as u8), &mut identities);
    connections.finish();
    let of = |library, readable, count| {
        format!(
            "hark_tls_connections_total{{service_name=\"shop\",library=\"{library}\",\
             readable=\"{readable}\"}} {count}"
        )
    };
    assert_eq!(
        page(&connections),
        [
            of("gnutls", "true", 1),
            of("openssl", "true", 2),
            of("unknown", "false", 2),
        ]
    );
}

#[test]
fn what_waits_is_bounded() {
    let mut identities = Identities::new("/proc".into(), 16);
    let mut connections = Connections::new();
    let many = WAITING_LIMIT as u64 + 10;
    for socket in 0..many {
        connections.record(&record(socket, 0), &mut identities);
    }
    assert_eq!(connections.waiting.len(), WAITING_LIMIT);
    connections.finish();
    assert!(page(&connections)[0].ends_with(&format!("readable=\"false\"}} {many}")));
}

#[test]
fn past_the_limit_services_share_a_series() {
    let counts = Counts::default();
    for n in 0..SERIES_LIMIT + 7 {
        let mut service = Arc::unwrap_or_clone(crate::red::testing::service("shop", 1));
        service.name = format!("shop-{n}").into();
        counts.add(&service, "openssl", true);
    }
    assert_eq!(counts.lock().len(), SERIES_LIMIT + 1);
    let other = counts
        .lock()
        .iter()
        .find_map(|(labels, count)| (&*labels.service == "other").then_some(*count));
    assert_eq!(other, Some(7));
}
