//! The queue's bounds, batches, the end, and the metrics.

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use super::receiver::{Receiver, Reply};
use super::*;
use crate::otlp::span::Span;

fn queue(config: OtlpConfig, spans: usize, batch: usize) -> OtlpConfig {
    OtlpConfig {
        batching: Batching {
            max_queue_size: spans,
            max_export_batch_size: batch,
            ..config.batching.clone()
        },
        ..config
    }
}

// In the tests of the bounds the runtime has one thread, so the export task does not run between
// two offers: what fits is exact.

#[tokio::test]
async fn a_full_queue_drops_the_newest() {
    let receiver = Receiver::http(&[Reply::OK]).await;
    let exporter = start(queue(
        config(Protocol::HttpProtobuf, receiver.address),
        7,
        3,
    ));
    for name in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"] {
        exporter.offer(&exchange(Role::Server), &service(name), None, &clock());
    }
    let full = Books {
        offered: 10,
        exported: 0,
        queued: 7,
        retries: 0,
        dropped: vec![(DropReason::QueueFull, 3)],
    };
    assert_eq!(books(&exporter), full);
    exporter.shutdown(FOREVER).await;
    let done = Books {
        exported: 7,
        queued: 0,
        ..full
    };
    assert_eq!(books(&exporter), done);
    assert_eq!(receiver.spans(), [3, 3, 1]);
    let names: Vec<_> = receiver
        .received()
        .into_iter()
        .flat_map(|received| received.message.resource_spans)
        .map(|group| group.resource.unwrap().attributes[0].value.clone())
        .collect();
    let kept = ["a", "b", "c", "d", "e", "f", "g"];
    assert_eq!(
        names,
        kept.map(|name| convert::text("service.name", name).1)
    );
}

#[tokio::test]
async fn the_queue_is_bounded_by_bytes() {
    let receiver = Receiver::http(&[Reply::Hang]).await;
    let mut long = exchange(Role::Server);
    long.request.path = format!("/{}", "x".repeat(1023)).into();
    let weight = Span::new(&long, &service("shop"), None, &clock()).weight();
    assert_eq!(weight, size_of::<Span>() + 1024 + "shop.example".len());
    let mut config = queue(config(Protocol::HttpProtobuf, receiver.address), 100, 3);
    config.batching.max_queue_bytes = 3 * weight;
    let exporter = start(config);
    let offer = |count, route| {
        for _ in 0..count {
            exporter.offer(&long, &service("shop"), route, &clock());
        }
    };
    offer(5, None);
    let expected = Books {
        offered: 5,
        exported: 0,
        queued: 3,
        retries: 0,
        dropped: vec![(DropReason::QueueFull, 2)],
    };
    assert_eq!(books(&exporter), expected);
    // What is on its way makes room again, for two of these, which are a little heavier.
    receiver.wait(1).await;
    offer(3, Some("/"));
    let expected = Books {
        offered: 8,
        queued: 5,
        dropped: vec![(DropReason::QueueFull, 3)],
        ..expected
    };
    assert_eq!(books(&exporter), expected);
}

#[tokio::test]
async fn room_comes_back_when_a_batch_is_taken() {
    let receiver = Receiver::http(&[Reply::Hang]).await;
    let exporter = start(queue(
        config(Protocol::HttpProtobuf, receiver.address),
        4,
        2,
    ));
    offer(&exporter, 5);
    receiver.wait(1).await;
    // Two are on their way, two wait; there is room for two more.
    offer(&exporter, 5);
    let expected = Books {
        offered: 10,
        exported: 0,
        queued: 6,
        retries: 0,
        dropped: vec![(DropReason::QueueFull, 4)],
    };
    assert_eq!(books(&exporter), expected);
}

#[tokio::test]
async fn a_request_longer_than_the_protocol_allows_is_not_sent() {
    let receiver = Receiver::http(&[Reply::OK]).await;
    let exporter = start(queue(
        config(Protocol::HttpProtobuf, receiver.address),
        200,
        64,
    ));
    // 64 resources of 1 MiB are just too much, 63 are not.
    let text: Arc<str> = "x".repeat(1 << 20).into();
    let heavy = Service {
        attributes: vec![("heavy".into(), text)],
        ..Service::clone(&service("shop"))
    };
    for _ in 0..64 + 63 {
        let service = Arc::new(heavy.clone());
        exporter.offer(&exchange(Role::Server), &service, None, &clock());
    }
    exporter.shutdown(FOREVER).await;
    let expected = Books {
        offered: 127,
        exported: 63,
        queued: 0,
        retries: 0,
        dropped: vec![(DropReason::TooLarge, 64)],
    };
    assert_eq!(books(&exporter), expected);
    assert_eq!(receiver.spans(), [63]);
}

#[tokio::test]
async fn a_batch_goes_out_when_it_is_full_or_its_time_has_come() {
    let receiver = Receiver::http(&[Reply::OK]).await;
    let full = start(queue(
        config(Protocol::HttpProtobuf, receiver.address),
        100,
        4,
    ));
    offer(&full, 9);
    receiver.wait(2).await;
    assert_eq!(receiver.spans(), [4, 4]);

    let receiver = Receiver::http(&[Reply::OK]).await;
    let mut config = config(Protocol::HttpProtobuf, receiver.address);
    config.batching.schedule_delay = Duration::from_millis(1);
    let timed = start(config);
    offer(&timed, 3);
    receiver.wait(1).await;
    assert_eq!(receiver.spans(), [3]);
    offer(&timed, 2);
    receiver.wait(2).await;
    assert_eq!(receiver.spans(), [3, 2]);
}

#[tokio::test]
async fn the_end_comes_when_it_must() {
    for protocol in [Protocol::HttpProtobuf, Protocol::Grpc] {
        let receiver = match protocol {
            Protocol::HttpProtobuf => Receiver::http(&[Reply::Hang]).await,
            Protocol::Grpc => Receiver::grpc(&[Reply::Hang]).await,
        };
        let exporter = start(queue(config(protocol, receiver.address), 100, 4));
        offer(&exporter, 10);
        receiver.wait(1).await;
        exporter.shutdown(Duration::from_millis(20)).await;
        let expected = Books {
            offered: 10,
            exported: 0,
            queued: 0,
            retries: 0,
            dropped: vec![(DropReason::Shutdown, 10)],
        };
        assert_eq!(books(&exporter), expected);
        assert_eq!(receiver.spans(), [4]);

        // After the end: counted, and a second shutdown returns.
        offer(&exporter, 2);
        exporter.clone().shutdown(FOREVER).await;
        let expected = Books {
            offered: 12,
            dropped: vec![(DropReason::Shutdown, 12)],
            ..expected
        };
        assert_eq!(books(&exporter), expected);
    }
}

#[tokio::test]
async fn what_is_queued_goes_out_when_the_last_handle_is_dropped() {
    let receiver = Receiver::http(&[Reply::OK]).await;
    let exporter = start(config(Protocol::HttpProtobuf, receiver.address));
    offer(&exporter.clone(), 3);
    drop(exporter);
    receiver.wait(1).await;
    assert_eq!(receiver.spans(), [3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_threads_at_once() {
    let reply = |rejected| Reply::Accept {
        rejected,
        message: "",
    };
    let script = [
        reply(0),
        Reply::http(503),
        reply(1),
        Reply::http(400),
        reply(2),
        Reply::OK,
    ];
    let receiver = Receiver::http(&script).await;
    let exporter = start(queue(
        config(Protocol::HttpProtobuf, receiver.address),
        64,
        16,
    ));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let exporter = exporter.clone();
            std::thread::spawn(move || offer(&exporter, 2_500))
        })
        .collect();
    tokio::task::spawn_blocking(|| {
        for thread in threads {
            thread.join().unwrap();
        }
    })
    .await
    .unwrap();
    exporter.shutdown(FOREVER).await;
    let books = books(&exporter);
    assert_eq!((books.offered, books.queued), (10_000, 0));
    // What the collector took is what is counted as exported, request by request.
    let sent = receiver.spans();
    let replies = script.iter().chain(std::iter::repeat(&Reply::OK));
    let taken: i64 = sent
        .iter()
        .zip(replies)
        .map(|(spans, reply)| match reply {
            Reply::Accept { rejected, .. } => i64::try_from(*spans).unwrap() - rejected,
            _ => 0,
        })
        .sum();
    assert_eq!(books.exported, taken.cast_unsigned());
}

#[tokio::test]
async fn the_metrics_say_so() {
    let receiver = Receiver::http(&[
        Reply::http(503),
        Reply::Accept {
            rejected: 1,
            message: "",
        },
    ])
    .await;
    let exporter = start(queue(
        config(Protocol::HttpProtobuf, receiver.address),
        4,
        4,
    ));
    let mut registry = Registry::default();
    exporter.register(&mut registry);
    offer(&exporter, 5);
    exporter.shutdown(FOREVER).await;
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    let mut lines: Vec<_> = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.contains("_duration_seconds"))
        .collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "hark_span_export_retries_total 1",
            "hark_spans_dropped_total{reason=\"expired\"} 0",
            "hark_spans_dropped_total{reason=\"malformed_answer\"} 0",
            "hark_spans_dropped_total{reason=\"queue_full\"} 1",
            "hark_spans_dropped_total{reason=\"refused\"} 0",
            "hark_spans_dropped_total{reason=\"rejected\"} 1",
            "hark_spans_dropped_total{reason=\"shutdown\"} 0",
            "hark_spans_dropped_total{reason=\"timeout\"} 0",
            "hark_spans_dropped_total{reason=\"too_large\"} 0",
            "hark_spans_dropped_total{reason=\"unavailable\"} 0",
            "hark_spans_exported_total 3",
            "hark_spans_offered_total 5",
            "hark_spans_queued 0",
        ]
    );
    assert!(
        text.contains("\nhark_span_export_duration_seconds_count 2\n"),
        "{text}"
    );
}
