//! Exemplars: of spans that are there to be found, in the format that has them.

use super::*;
use crate::clock::{Clock, Sample};
use crate::otlp::Span;

fn clock() -> Clock {
    Clock::from_sample(Sample {
        mono_ns: 1,
        offset_ns: 1_700_000_000_000_000_000,
    })
}

/// An exchange that took so long, counted, with its span.
fn counted(red: &Red, service: &Arc<Service>, role: Role, duration_ns: u64) -> Span {
    let mut exchange = exchange(role);
    exchange.end_ns = exchange.start_ns + duration_ns;
    let route = Some("/orders/{id}");
    red.observe(&exchange, service, route);
    Span::new(&exchange, service, route, &clock())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Name of the sample, `le`, and what is behind the value, of the lines with an exemplar.
fn exemplars(telemetry: &Telemetry) -> Vec<(String, String, String)> {
    let text = page(telemetry, Format::OpenMetrics);
    parse(&text, Format::OpenMetrics);
    let lines = text.lines().filter_map(|line| {
        let (sample, exemplar) = line.split_once(" # ")?;
        let (name, labels) = sample.split_once('{')?;
        let le = labels.split_once("le=\"")?.1.split_once('"')?.0;
        (!line.starts_with('#')).then(|| (name.to_owned(), le.to_owned(), exemplar.to_owned()))
    });
    lines.collect()
}

#[test]
fn the_newest_of_each_bucket() {
    let red = Red::new(&config(20_000));
    let mut telemetry = Telemetry::new();
    red.register(&mut telemetry);
    let shop = service("shop", 1);
    let older = counted(&red, &shop, Role::Server, 600_000);
    let newer = counted(&red, &shop, Role::Server, 700_000);
    let slow = counted(&red, &shop, Role::Server, 20_000_000_000);
    let client = counted(&red, &shop, Role::Client, 500_000);
    assert_eq!(exemplars(&telemetry), []);
    // In whatever order they are exported.
    red.exemplars(&[slow.clone(), newer.clone(), older, client.clone()]);
    let expected = |name: &str, le: &str, span: &Span, value: &str, time: &str| {
        let (trace, id) = (hex(&span.trace_id), hex(&span.span_id));
        (
            format!("http_{name}_request_duration_seconds_bucket"),
            le.to_owned(),
            format!("{{trace_id=\"{trace}\",span_id=\"{id}\"}} {value} {time}"),
        )
    };
    assert_eq!(
        exemplars(&telemetry),
        [
            expected("server", "0.001", &newer, "0.0007", "1700000001.0007"),
            expected("server", "+Inf", &slow, "20", "1700000021"),
            expected("client", "0.0005", &client, "0.0005", "1700000001.0005"),
        ]
    );
    // The older format has none.
    let text = page(&telemetry, Format::Text);
    parse(&text, Format::Text);
    assert!(!text.contains("trace_id"));
}

#[test]
fn calls_have_them_too() {
    let red = Red::new(&config(20_000));
    let mut telemetry = Telemetry::new();
    red.register(&mut telemetry);
    let shop = service("shop", 1);
    let mut call = exchange(Role::Client);
    call.request.path = "/shop.Orders/Get".into();
    call.rpc = Some(crate::exchange::Rpc {
        status: Some(crate::rpc::Code::Ok),
        sent: None,
        received: None,
    });
    red.observe(&call, &shop, None);
    red.exemplars(&[Span::new(&call, &shop, None, &clock())]);
    let found = exemplars(&telemetry);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].0, "rpc_client_call_duration_seconds_bucket");
}

/// What was counted under another name, or not at all, has no exemplar or that of its series.
#[test]
fn spans_without_a_series_are_nobodys_exemplars() {
    let red = Red::new(&config(4));
    let mut telemetry = Telemetry::new();
    red.register(&mut telemetry);
    let (shop, other) = (service("shop", 1), service("other", 2));
    counted(&red, &shop, Role::Server, 600_000);
    let overflowed = counted(&red, &other, Role::Server, 600_000);
    let stranger = Span::new(
        &exchange(Role::Server),
        &service("stranger", 3),
        None,
        &clock(),
    );
    red.exemplars(&[overflowed, stranger]);
    assert_eq!(exemplars(&telemetry), []);
}

/// A client's address past the limit is counted as `other`, and its spans are found there.
#[test]
fn a_span_whose_address_is_other() {
    let red = Red::new(&config(20_000));
    let mut telemetry = Telemetry::new();
    red.register(&mut telemetry);
    let shop = service("shop", 1);
    let mut last = None;
    for number in 0..=ADDRESSES_PER_SERVICE {
        let mut exchange = exchange(Role::Client);
        exchange.request.host = Some(format!("host-{number}").into());
        red.observe(&exchange, &shop, None);
        last = Some(Span::new(&exchange, &shop, None, &clock()));
    }
    red.exemplars(&[last.unwrap()]);
    let text = page(&telemetry, Format::OpenMetrics);
    let line = text.lines().find(|line| line.contains(" # {")).unwrap();
    assert!(line.contains("server_address=\"other\""), "{line}");
}
