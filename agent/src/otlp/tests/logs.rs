//! Exchanges as log records.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::SeverityNumber;
use prost::Message as _;

use super::receiver::{Receiver, Reply};
use super::*;
use crate::otlp::{Signal, Span};

fn logs(receiver: &Receiver) -> OtlpConfig {
    let address = receiver.address;
    OtlpConfig {
        signal: Signal::Logs,
        endpoint: format!("http://{address}/v1/logs").parse().unwrap(),
        ..config(Protocol::HttpProtobuf, address)
    }
}

#[tokio::test]
async fn a_record_leads_to_its_span() {
    let receiver = Receiver::http(&[Reply::OK]).await;
    let exporter = start(logs(&receiver));
    let whole = exchange(Role::Server);
    let mut failed = exchange(Role::Client);
    failed.status = Some(503);
    let shop = service("shop");
    let spans = [
        Span::new(&whole, &shop, Some("/orders/{id}"), &clock()),
        Span::new(&failed, &shop, None, &clock()),
    ];
    for span in &spans {
        exporter.export(span.clone());
    }
    exporter.shutdown(FOREVER).await;
    assert_eq!(exporter.exported(), 2);

    let [received] = <[_; 1]>::try_from(receiver.received()).unwrap();
    assert_eq!(received.target, "POST /v1/logs");
    let request = ExportLogsServiceRequest::decode(received.body.as_slice()).unwrap();
    let [of_shop] = <[_; 1]>::try_from(request.resource_logs).unwrap();
    let [scope] = <[_; 1]>::try_from(of_shop.scope_logs).unwrap();
    let records = scope.log_records;
    assert_eq!(records.len(), 2);
    for (record, span) in records.iter().zip(&spans) {
        assert_eq!(record.trace_id, span.trace_id);
        assert_eq!(record.span_id, span.span_id);
        assert_eq!(record.time_unix_nano, OFFSET_NS + 5_500_000_000);
        let duration = record
            .attributes
            .iter()
            .find(|attribute| attribute.key == "hark.duration");
        let value = duration.unwrap().value.clone().unwrap().value.unwrap();
        assert_eq!(value, Value::DoubleValue(0.5));
    }
    let text = |at: usize| match records[at].body.clone().unwrap().value.unwrap() {
        Value::StringValue(text) => text,
        other => panic!("{other:?}"),
    };
    assert_eq!(text(0), "GET /orders/7 200");
    assert_eq!(text(1), "GET /orders/7 503");
    let severity = |at: usize| records[at].severity_number();
    assert_eq!(severity(0), SeverityNumber::Info);
    assert_eq!(severity(1), SeverityNumber::Error);
}

/// `rejected_log_records` is counted as `rejected_spans` is.
#[tokio::test]
async fn partial_success() {
    let rejected = Reply::Accept {
        rejected: 1,
        message: "",
    };
    let receiver = Receiver::http(&[rejected]).await;
    let exporter = start(logs(&receiver));
    offer(&exporter, 3);
    exporter.shutdown(FOREVER).await;
    let expected = Books {
        offered: 3,
        exported: 2,
        queued: 0,
        retries: 0,
        dropped: vec![(DropReason::Rejected, 1)],
    };
    assert_eq!(books(&exporter), expected);
}

/// Whoever is shown the spans that were accepted sees those, and no others.
#[tokio::test]
async fn accepted_spans_are_shown() {
    let script = [
        Reply::OK,
        Reply::http(400),
        Reply::Accept {
            rejected: 1,
            message: "",
        },
        Reply::OK,
    ];
    let receiver = Receiver::http(&script).await;
    let mut config = config(Protocol::HttpProtobuf, receiver.address);
    config.batching.max_export_batch_size = 2;
    let exporter = start(config);
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    exporter.on_exported({
        let seen = Arc::clone(&seen);
        move |spans| {
            let ids = spans.iter().map(|span| span.span_id.to_vec());
            seen.lock().unwrap().extend(ids);
        }
    });
    offer(&exporter, 8);
    exporter.shutdown(FOREVER).await;
    // Of the third batch nobody knows which one was rejected.
    let accepted: Vec<Vec<u8>> = [0, 3]
        .iter()
        .flat_map(|at| receiver.received()[*at].message.resource_spans.clone())
        .flat_map(|group| group.scope_spans[0].spans.clone())
        .map(|span| span.span_id)
        .collect();
    assert_eq!(*seen.lock().unwrap(), accepted);
}
