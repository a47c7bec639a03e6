//! Values from the formats' own documents, values that nobody should send, and any bytes.

use proptest::prelude::*;

use super::{Carrier, Format, Found, header};
use crate::exchange::TraceContext;

const TRACE: u128 = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;
const LOW: u128 = 0x8448_eb21_1c80_319c;
const SPAN: u64 = 0xb7ad_6b71_6920_3331;

fn read(headers: &[(&str, &[u8])]) -> Option<Found> {
    let mut carrier = Carrier::default();
    for (name, value) in headers {
        carrier.take(name, value);
    }
    carrier.read(&Format::ALL)
}

fn one(name: &str, value: &str) -> Option<TraceContext> {
    read(&[(name, value.as_bytes())]).map(|found| found.context)
}

fn several(headers: &[(&str, &str)]) -> Option<TraceContext> {
    let headers: Vec<(&str, &[u8])> = headers
        .iter()
        .map(|(name, value)| (*name, value.as_bytes()))
        .collect();
    read(&headers).map(|found| found.context)
}

#[expect(clippy::unnecessary_wraps, reason = "it is compared with what is read")]
fn context(trace: u128, span: u64, sampled: Option<bool>) -> Option<TraceContext> {
    Some(TraceContext {
        trace_id: trace.to_be_bytes(),
        parent_id: span.to_be_bytes(),
        flags: u8::from(sampled == Some(true)),
        deferred: sampled.is_none(),
    })
}

#[test]
fn b3_in_one_header() {
    for (value, expected) in [
        (
            "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
            context(TRACE, SPAN, Some(true)),
        ),
        (
            "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
            context(TRACE, SPAN, Some(false)),
        ),
        (
            "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-d",
            context(TRACE, SPAN, Some(true)),
        ),
        (
            "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            context(TRACE, SPAN, None),
        ),
        (
            "8448eb211c80319c-b7ad6b7169203331-1-05e3ac9a4f6e3b90",
            context(LOW, SPAN, Some(true)),
        ),
        // Decisions without a trace.
        ("0", None),
        ("1", None),
        ("d", None),
        ("", None),
        ("0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1", None),
        ("0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-2", None),
        ("0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-", None),
        ("0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1-", None),
        (
            "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1-05e3ac9a4f6e3b90-1",
            None,
        ),
        ("0af7651916cd43dd8448eb211c80319c-b7ad6b716920333-1", None),
        ("0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-1", None),
        ("00000000000000000000000000000000-b7ad6b7169203331-1", None),
        ("0000000000000000-b7ad6b7169203331-1", None),
        ("0af7651916cd43dd8448eb211c80319c-0000000000000000-1", None),
    ] {
        assert_eq!(one("b3", value), expected, "{value}");
    }
}

#[test]
fn b3_in_several_headers() {
    let trace = ("X-B3-TraceId", "0af7651916cd43dd8448eb211c80319c");
    let span = ("X-B3-SpanId", "b7ad6b7169203331");
    assert_eq!(several(&[trace, span]), context(TRACE, SPAN, None));
    assert_eq!(
        several(&[span, ("x-b3-traceid", "8448eb211c80319c")]),
        context(LOW, SPAN, None)
    );
    for (value, sampled) in [("1", true), ("true", true), ("0", false), ("false", false)] {
        let headers = [trace, span, ("X-B3-Sampled", value)];
        assert_eq!(several(&headers), context(TRACE, SPAN, Some(sampled)));
    }
    let debug = ("X-B3-Flags", "1");
    assert_eq!(
        several(&[trace, span, debug]),
        context(TRACE, SPAN, Some(true))
    );
    let parent = ("X-B3-ParentSpanId", "05e3ac9a4f6e3b90");
    assert_eq!(several(&[trace, span, parent]), context(TRACE, SPAN, None));
    for bad in [
        vec![trace],
        vec![span],
        vec![trace, trace, span],
        vec![trace, span, span],
        vec![trace, span, ("X-B3-Sampled", "yes")],
        vec![trace, span, ("X-B3-Flags", "2")],
        vec![trace, span, ("X-B3-ParentSpanId", "5")],
        vec![trace, ("X-B3-SpanId", "0000000000000000")],
        vec![span, ("X-B3-TraceId", "0000000000000000")],
    ] {
        assert_eq!(several(&bad), None, "{bad:?}");
    }
}

#[test]
fn jaeger() {
    let (yes, no) = (Some(true), Some(false));
    for (value, expected) in [
        (
            "0af7651916cd43dd8448eb211c80319c:b7ad6b7169203331:0:1",
            context(TRACE, SPAN, yes),
        ),
        (
            "0AF7651916CD43DD8448EB211C80319C:B7AD6B7169203331:5e3:3",
            context(TRACE, SPAN, yes),
        ),
        (
            "af7651916cd43dd8448eb211c80319c:b7ad6b7169203331:0:0",
            context(TRACE, SPAN, no),
        ),
        ("1:2:0:2", context(1, 2, yes)),
        ("1%3A2%3a0%3A1", context(1, 2, yes)),
        ("1:2:0:08", context(1, 2, no)),
        ("1:2:0", None),
        ("1:2:0:1:1", None),
        ("0:2:0:1", None),
        ("1:0:0:1", None),
        ("1::0:1", None),
        ("1:2::1", None),
        ("1:2:0:", None),
        ("1:2:0:100", None),
        ("+1:2:0:1", None),
        ("1%3A2:0:1", None),
        ("1%3B2%3B0%3B1", None),
        ("00af7651916cd43dd8448eb211c80319c:1:0:1", None),
        ("", None),
    ] {
        assert_eq!(one("uber-trace-id", value), expected, "{value}");
    }
}

#[test]
fn datadog() {
    let trace = ("x-datadog-trace-id", "9532127138774266268");
    let parent = ("x-datadog-parent-id", "13235353014750950193");
    let high = ("x-datadog-tags", "_dd.p.dm=-1,_dd.p.tid=0af7651916cd43dd");
    let priority = |value| ("x-datadog-sampling-priority", value);
    assert_eq!(several(&[trace, parent]), context(LOW, SPAN, None));
    assert_eq!(several(&[trace, parent, high]), context(TRACE, SPAN, None));
    assert_eq!(several(&[trace]), context(LOW, 0, None));
    for (value, sampled) in [("2", true), ("1", true), ("0", false), ("-1", false)] {
        let headers = [trace, parent, high, priority(value)];
        assert_eq!(several(&headers), context(TRACE, SPAN, Some(sampled)));
    }
    for bad in [
        vec![parent],
        vec![("x-datadog-trace-id", "0"), parent],
        vec![("x-datadog-trace-id", "18446744073709551616"), parent],
        vec![("x-datadog-trace-id", "+1"), parent],
        vec![("x-datadog-trace-id", "0x1"), parent],
        vec![trace, trace, parent],
        vec![trace, parent, priority("3")],
        vec![
            trace,
            parent,
            ("x-datadog-tags", "_dd.p.tid=0af7651916cd43d"),
        ],
        vec![
            trace,
            parent,
            ("x-datadog-tags", "_dd.p.tid=0AF7651916CD43DD"),
        ],
        vec![trace, parent, high, high],
        vec![
            trace,
            parent,
            (
                "x-datadog-tags",
                "_dd.p.tid=0af7651916cd43dd,_dd.p.tid=0af7651916cd43dd",
            ),
        ],
    ] {
        assert_eq!(several(&bad), None, "{bad:?}");
    }
}

#[test]
fn x_ray() {
    let (yes, no) = (Some(true), Some(false));
    let root = "Root=1-0af76519-16cd43dd8448eb211c80319c";
    for (value, expected) in [
        (
            format!("{root};Parent=b7ad6b7169203331;Sampled=1"),
            context(TRACE, SPAN, yes),
        ),
        (
            format!("Sampled=0; Parent=b7ad6b7169203331; {root}"),
            context(TRACE, SPAN, no),
        ),
        (
            format!("Self=1-67891234-12456789abcdef012345678;{root};Sampled=?"),
            context(TRACE, 0, None),
        ),
        (
            format!("{root};Lineage=a87bd80c:0|68fd508a:5;Custom"),
            context(TRACE, 0, None),
        ),
        (format!("{root};{root}"), None),
        (format!("{root};Parent=b7ad6b716920333"), None),
        (format!("{root};Parent=0000000000000000"), None),
        (format!("{root};Sampled=2"), None),
        ("Parent=b7ad6b7169203331;Sampled=1".into(), None),
        ("Root=1-00000000-000000000000000000000000".into(), None),
        ("Root=2-0af76519-16cd43dd8448eb211c80319c".into(), None),
        ("Root=1-0AF76519-16cd43dd8448eb211c80319c".into(), None),
        ("root=1-0af76519-16cd43dd8448eb211c80319c".into(), None),
        (format!("{root};{}", "A=1;".repeat(1000)), None),
    ] {
        assert_eq!(one("X-Amzn-Trace-Id", &value), expected, "{value}");
    }
}

const PARENT: (&str, &[u8]) = (
    "traceparent",
    b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
);

fn state(values: &[&[u8]]) -> Option<String> {
    let mut headers = vec![PARENT];
    headers.extend(values.iter().map(|value| ("TraceState", *value)));
    let found =
        read(&headers).expect("what is wrong with tracestate has no bearing on traceparent");
    assert_eq!(
        Some(found.context),
        one(
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        )
    );
    found.tracestate
}

#[test]
fn tracestate() {
    for (value, expected) in [
        ("ot=th:8", Some("ot=th:8")),
        (
            "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
            Some("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
        ),
        (" a=1 ,\t, b=2,", Some("a=1,b=2")),
        ("0tenant@system=x y", Some("0tenant@system=x y")),
        ("", None),
        (",", None),
        ("a", None),
        ("a=", None),
        ("=1", None),
        ("A=1", None),
        ("a=1=2", None),
        ("a=1,a=2", None),
        ("a =1", None),
        ("a=\u{e9}", None),
        ("a=\u{7f}", None),
    ] {
        assert_eq!(state(&[value.as_bytes()]).as_deref(), expected, "{value}");
    }
    assert_eq!(state(&[b"a=1", b"b=2,c=3"]).as_deref(), Some("a=1,b=2,c=3"));
    assert_eq!(state(&[b"a=1", b"a=2"]), None);
    assert_eq!(state(&[b"a=\xff"]), None);
    let members = |count: usize| -> String {
        let all: Vec<String> = (0..count).map(|n| format!("k{n}=v")).collect();
        all.join(",")
    };
    assert_eq!(state(&[members(32).as_bytes()]), Some(members(32)));
    assert_eq!(state(&[members(33).as_bytes()]), None);
    assert_eq!(state(&[members(100_000).as_bytes()]), None);
    let many: Vec<&[u8]> = vec![b","; 100_000];
    assert_eq!(state(&many), None);
    // Long members go before short ones, whole.
    let long = format!("long={}", "x".repeat(256));
    let longer = format!("longer={}", "x".repeat(250));
    let line = format!("a=1,{long},b=2,{longer},c=3");
    assert_eq!(
        state(&[line.as_bytes()]),
        Some(format!("a=1,{long},b=2,c=3"))
    );
    assert_eq!(state(&[format!("a={}", "x".repeat(257)).as_bytes()]), None);
}

#[test]
fn tracestate_belongs_to_a_traceparent() {
    assert_eq!(read(&[("tracestate", b"a=1")]), None);
    let b3 = (
        "b3",
        &b"0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1"[..],
    );
    let bad = ("traceparent", &b"00-0-0-0"[..]);
    let found = read(&[bad, ("tracestate", b"a=1"), b3]).unwrap();
    assert_eq!(found.tracestate, None);
}

#[test]
fn the_first_of_the_order_that_is_valid_counts() {
    let other: (&str, &[u8]) = ("b3", b"00000000000000000000000000000001-0000000000000002-1");
    let mut carrier = Carrier::default();
    carrier.take("B3", other.1);
    carrier.take("Traceparent", PARENT.1);
    let by = |order: &[Format]| carrier.read(order).map(|found| found.context.trace_id);
    let (w3c, b3) = (Some(TRACE.to_be_bytes()), Some(1_u128.to_be_bytes()));
    assert_eq!(by(&Format::ALL), w3c);
    assert_eq!(by(&[Format::B3, Format::W3c]), b3);
    assert_eq!(by(&[Format::XRay, Format::W3c]), w3c);
    assert_eq!(by(&[Format::XRay]), None);
    assert_eq!(by(&[]), None);
    // Twice, even the same, is none; then the next counts.
    carrier.take("traceparent", PARENT.1);
    assert_eq!(
        carrier
            .read(&Format::ALL)
            .map(|found| found.context.trace_id),
        b3
    );
}

#[test]
fn every_header_that_is_kept_is_one_that_is_read() {
    for name in super::HEADERS {
        assert_eq!(header(name.as_bytes()), Some(name));
        let mut carrier = Carrier::default();
        carrier.take(name, b"x");
        assert!(carrier.any || !carrier.tracestate.is_empty(), "{name}");
    }
    assert_eq!(header(b"baggage"), None);
}

#[test]
fn names_of_formats() {
    for format in Format::ALL {
        assert_eq!(Format::from_name(format.name()), Some(format));
    }
    assert_eq!(Format::from_name("ottrace"), None);
}

proptest! {
    #[test]
    fn nothing_panics(headers: Vec<(usize, Vec<u8>)>) {
        let headers: Vec<(&str, &[u8])> = headers
            .iter()
            .map(|(name, value)| (super::HEADERS[name % super::HEADERS.len()], value.as_slice()))
            .collect();
        if let Some(found) = read(&headers) {
            prop_assert_ne!(found.context.trace_id, [0; 16]);
            prop_assert!(found.tracestate.is_none_or(|state| state.len() <= super::tracestate::LENGTH_LIMIT));
        }
    }
}
