//! A collector that is away for long: what it costs is what the queue's bounds say, and it is
//! counted.

use std::net::TcpListener;

use super::failures::nobody;
use super::receiver::{Receiver, Reply};
use super::*;

#[tokio::test]
async fn a_long_outage_costs_what_the_queue_holds() {
    let (address, socket) = nobody();
    let mut config = config(Protocol::HttpProtobuf, address);
    config.batching.max_queue_size = 100;
    config.batching.max_export_batch_size = 10;
    config.batching.export_timeout = Duration::from_millis(30);
    config.retrying.max = Duration::from_millis(10);
    let exporter = start(config);
    // Many times what the queue holds, while batch after batch is given up.
    for _ in 0..200 {
        offer(&exporter, 50);
        let books = books(&exporter);
        // Those that wait, and the batch that is being tried.
        assert!(books.queued <= 100 + 10, "{books:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let before = books(&exporter);
    assert_eq!((before.offered, before.exported), (10_000, 0));
    let reasons: Vec<_> = before.dropped.iter().map(|(reason, _)| *reason).collect();
    assert_eq!(reasons, [DropReason::QueueFull, DropReason::Unavailable]);

    // It comes back: what still waits is delivered, and so is what follows.
    rustix::net::listen(&socket, 128).unwrap();
    let listener = TcpListener::from(socket);
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    let receiver = Receiver::http_on(listener, &[Reply::OK]);
    receiver.wait(1).await;
    offer(&exporter, 20);
    exporter.shutdown(FOREVER).await;
    let after = books(&exporter);
    let received: usize = receiver.spans().into_iter().sum();
    assert_eq!((after.offered, after.queued), (10_020, 0));
    assert_eq!(after.exported, received as u64);
    assert!(received >= 20, "{after:?}");
}

/// Behind a collector that never answers, a batch does not get older than the limit.
#[tokio::test]
async fn what_has_waited_for_too_long_is_dropped() {
    let receiver = Receiver::http(&[Reply::Hang, Reply::OK]).await;
    let mut config = config(Protocol::HttpProtobuf, receiver.address);
    config.batching.max_export_batch_size = 4;
    config.batching.max_age = Duration::from_millis(300);
    let exporter = start(config);
    // The first is tried until it is too old, by which time the second has become so too.
    offer(&exporter, 8);
    receiver.wait(1).await;
    while exporter.queued() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    offer(&exporter, 4);
    exporter.shutdown(FOREVER).await;
    let expected = Books {
        offered: 12,
        exported: 4,
        queued: 0,
        retries: 0,
        dropped: vec![(DropReason::Expired, 4), (DropReason::Timeout, 4)],
    };
    assert_eq!(books(&exporter), expected);
    assert_eq!(receiver.spans(), [4, 4]);
}
