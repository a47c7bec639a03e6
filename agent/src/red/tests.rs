mod calls;
mod exemplars;

use std::collections::BTreeMap;
use std::time::Duration;

use super::store::ADDRESSES_PER_SERVICE;
use super::testing::{exchange, service};
use super::*;
use crate::exchange::{Endpoint, ErrorType, Protocol};
use crate::telemetry::page::{Format, Page, Section};
use crate::telemetry::testing::{Samples, page, parse, promtool_is_content};

const MINUTE: Duration = Duration::from_secs(60);

fn config(max_series: usize) -> Metrics {
    Metrics {
        expire_after: 5 * MINUTE,
        max_series,
    }
}

fn own_page(red: &Red, format: Format) -> String {
    let mut out = Vec::new();
    let mut page = Page::new(format, &mut out);
    Section::write(red, &mut page).unwrap();
    page.finish().unwrap();
    String::from_utf8(out).unwrap()
}

fn samples(red: &Red) -> Samples {
    let page = own_page(red, Format::Text);
    if page.is_empty() {
        return Samples::new();
    }
    parse(&page, Format::Text)
}

/// The samples of one name: the values of a label, or nothing for those without it, and the value.
fn by_label(samples: &Samples, name: &str, label: &str) -> Vec<(String, String)> {
    samples
        .iter()
        .filter(|((sample, _), _)| sample == name)
        .map(|((_, labels), value)| {
            (
                labels.get(label).cloned().unwrap_or_default(),
                value.clone(),
            )
        })
        .collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
        .collect()
}

#[test]
fn the_page_of_known_exchanges() {
    let red = Red::new(&config(100));
    let mut shop = (*service("shop", 1)).clone();
    shop.namespace = Some("prod".into());
    let shop = Arc::new(shop);
    let mut failed = exchange(Role::Server);
    failed.status = None;
    failed.error = Some(ErrorType::ConnectionReset);
    failed.first_response_ns = None;
    failed.request_body_bytes = None;
    failed.end_ns = failed.start_ns + 20_000_000_000;
    red.observe(&exchange(Role::Server), &shop, Some("/orders/{id}"));
    red.observe(&exchange(Role::Server), &shop, Some("/orders/{id}"));
    red.observe(&failed, &shop, None);
    red.begun(&shop, Role::Server, &Method::Get, None);
    let expected = include_str!("tests/server.om");
    assert_eq!(own_page(&red, Format::OpenMetrics), expected);
    let text: String = expected
        .lines()
        .filter(|line| !line.starts_with("# UNIT") && *line != "# EOF")
        .map(|line| format!("{line}\n"))
        .collect();
    assert_eq!(own_page(&red, Format::Text), text);
}

#[test]
fn a_client_is_told_apart_by_where_it_went() {
    let red = Red::new(&config(1000));
    let shop = service("shop", 1);
    let observe = |host: Option<&str>, port: Option<u16>, peer: Endpoint| {
        let mut exchange = exchange(Role::Client);
        exchange.request.host = host.map(Into::into);
        exchange.request.port = port;
        exchange.peer = peer;
        exchange.status = Some(404);
        red.observe(&exchange, &shop, Some("not for clients"));
    };
    let inet = |text: &str| Endpoint::Inet(text.parse().unwrap());
    observe(Some("API.example"), Some(80), inet("192.0.2.7:3128"));
    observe(Some("api.example"), Some(80), inet("192.0.2.8:80"));
    observe(Some("api.example"), None, inet("192.0.2.8:8080"));
    observe(Some("[2001:db8::1]"), None, inet("[2001:db8::1]:80"));
    observe(None, None, inet("[2001:db8::1]:80"));
    observe(Some(""), None, inet("192.0.2.7:9090"));
    observe(Some("db"), None, Endpoint::Unix);
    observe(None, None, Endpoint::Unix);
    observe(Some(&"a".repeat(300)), Some(1), Endpoint::Unix);
    let samples = samples(&red);
    let mut seen: Vec<_> = samples
        .iter()
        .filter(|((name, _), _)| name == "http_client_request_duration_seconds_count")
        .map(|((_, labels), count)| {
            let label = |name: &str| labels.get(name).map_or("-", String::as_str);
            assert_eq!(label("error_type"), "404");
            assert_eq!(label("http_response_status_code"), "404");
            assert_eq!(label("http_route"), "-");
            format!(
                "{} {} {count}",
                label("server_address"),
                label("server_port")
            )
        })
        .collect();
    seen.sort();
    assert_eq!(
        seen,
        [
            "- - 1",
            "192.0.2.7 9090 1",
            "2001:db8::1 80 2",
            "api.example 80 2",
            "api.example 8080 1",
            "db - 1",
            "other - 1",
        ]
    );
}

#[test]
fn what_is_told_apart_and_what_is_not() {
    let red = Red::new(&config(10_000));
    let (one, two) = (service("shop", 1), service("shop", 2));
    let mut other = exchange(Role::Server);
    other.request.method = Method::Other("BREW".into());
    other.request.scheme = Some("gopher".into());
    other.request.protocol = Protocol::Http10;
    other.status = Some(500);
    red.observe(&other, &one, Some("/a"));
    other.request.method = Method::Other("WHISK".into());
    other.request.scheme = Some("x-anything".into());
    red.observe(&other, &two, Some("/a"));
    other.request.scheme = Some("HTTPS".into());
    red.observe(&other, &two, Some(""));
    let samples = samples(&red);
    let name = "http_server_request_duration_seconds_count";
    let labels = |route: Option<&str>, scheme: &str| {
        let mut labels = BTreeMap::from(
            [
                ("service_name", "shop"),
                ("http_request_method", "_OTHER"),
                ("url_scheme", scheme),
                ("http_response_status_code", "500"),
                ("error_type", "500"),
                ("network_protocol_version", "1.0"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        labels.extend(route.map(|route| ("http_route".to_owned(), route.to_owned())));
        (name.to_owned(), labels)
    };
    assert_eq!(samples[&labels(Some("/a"), "_OTHER")], "2");
    assert_eq!(samples[&labels(None, "https")], "1");
    assert_eq!(by_label(&samples, name, "").len(), 2);
}

#[test]
fn addresses_beyond_the_limit_are_other() {
    let red = Red::new(&config(100_000));
    let crawler = service("crawler", 1);
    let mut exchange = exchange(Role::Client);
    for _ in 0..2 {
        for at in 0..ADDRESSES_PER_SERVICE + 7 {
            exchange.request.host = Some(format!("host-{at}.example").into());
            red.observe(&exchange, &crawler, None);
        }
    }
    // Another answer of a known address is another series of it.
    exchange.request.host = Some("host-0.example".into());
    exchange.status = Some(201);
    red.observe(&exchange, &crawler, None);
    exchange.request.host = Some("elsewhere.example".into());
    red.observe(&exchange, &service("other-crawler", 2), None);
    let samples = samples(&red);
    let mut counts = by_label(
        &samples,
        "http_client_request_duration_seconds_count",
        "server_address",
    );
    counts.retain(|(address, _)| !address.starts_with("host-") || address == "host-0.example");
    counts.sort();
    assert_eq!(
        counts,
        pairs(&[
            ("elsewhere.example", "1"),
            ("host-0.example", "1"),
            ("host-0.example", "2"),
            ("other", "14"),
        ])
    );
    assert_eq!(red.shared.metrics.addresses.get(), 14);
}

#[test]
fn beyond_max_series_there_is_one_series_per_metric() {
    // Two label sets of four series, and one active gauge.
    let red = Red::new(&config(9));
    let shop = service("shop", 1);
    let (get, put) = (Method::Get, Method::Put);
    red.begun(&shop, Role::Server, &get, None);
    for route in ["/a", "/b", "/c", "/d", "/c", "/a"] {
        red.observe(&exchange(Role::Server), &shop, Some(route));
    }
    red.observe(&exchange(Role::Client), &shop, None);
    red.begun(&shop, Role::Server, &put, None);
    red.begun(&shop, Role::Server, &put, None);
    red.ended(&shop, Role::Server, &put, None);
    let page = own_page(&red, Format::Text);
    let samples = parse(&page, Format::Text);
    let server = "http_server_request_duration_seconds_count";
    assert_eq!(
        by_label(&samples, server, "http_route"),
        pairs(&[("/a", "2"), ("/b", "1"), ("", "3")])
    );
    for line in [
        "http_server_request_duration_seconds_count{otel_metric_overflow=\"true\"} 3\n",
        "http_client_request_duration_seconds_count{otel_metric_overflow=\"true\"} 1\n",
        "http_server_active_requests{otel_metric_overflow=\"true\"} 1\n",
    ] {
        assert!(page.contains(line), "{line} not in {page}");
    }
    let metrics = &red.shared.metrics;
    assert_eq!((metrics.series.get(), metrics.overflow.get()), (9, 6));
    red.ended(&shop, Role::Server, &put, None);
    red.ended(&shop, Role::Server, &put, None);
    assert!(!own_page(&red, Format::Text).contains("http_server_active_requests{otel"));
}

#[test]
fn active_requests_go_up_and_down() {
    let red = Red::new(&config(100));
    let (one, two) = (service("shop", 1), service("shop", 2));
    let active = || {
        by_label(
            &samples(&red),
            "http_client_active_requests",
            "http_request_method",
        )
    };
    red.begun(&one, Role::Client, &Method::Get, None);
    red.begun(&two, Role::Client, &Method::Get, Some("http"));
    red.begun(&one, Role::Client, &Method::Post, None);
    assert_eq!(active(), pairs(&[("GET", "2"), ("POST", "1")]));
    red.ended(&one, Role::Client, &Method::Get, None);
    red.ended(&one, Role::Client, &Method::Post, None);
    assert_eq!(active(), pairs(&[("GET", "1"), ("POST", "0")]));
    red.ended(&one, Role::Client, &Method::Post, None);
    assert_eq!(active(), pairs(&[("GET", "1"), ("POST", "0")]));
}

/// A store with one exchange and one request that began and ended, at a known time.
fn one_exchange() -> (Red, Arc<Service>, Instant) {
    let start = Instant::now();
    let red = Red::at(&config(100), start);
    let shop = service("shop", 1);
    red.observe(&exchange(Role::Server), &shop, None);
    red.begun(&shop, Role::Server, &Method::Get, None);
    red.ended(&shop, Role::Server, &Method::Get, None);
    (red, shop, start)
}

fn held(red: &Red) -> i64 {
    red.shared.metrics.series.get()
}

#[test]
fn series_of_the_living_stay() {
    let (red, shop, start) = one_exchange();
    samples(&red);
    red.expire(start + 1_000 * MINUTE);
    assert_eq!(held(&red), 5);
    red.service_gone(&shop);
    red.expire(start + 1_000 * MINUTE);
    assert_eq!(held(&red), 0);
    assert_eq!(samples(&red), Samples::new());
    assert_eq!(red.shared.metrics.expired.get(), 5);
    assert!(red.store().is_empty());
}

#[test]
fn series_of_the_gone_stay_until_scraped_or_twice_as_long() {
    let (red, shop, start) = one_exchange();
    drop(shop);
    red.expire(start + 5 * MINUTE);
    assert_eq!(held(&red), 5, "not scraped");
    red.expire(start + 10 * MINUTE - Duration::from_nanos(1));
    assert_eq!(held(&red), 5, "not scraped");
    red.expire(start + 10 * MINUTE);
    assert_eq!(held(&red), 0);

    let (red, shop, start) = one_exchange();
    drop(shop);
    samples(&red);
    red.expire(start + 5 * MINUTE - Duration::from_nanos(1));
    assert_eq!(held(&red), 5);
    red.expire(start + 5 * MINUTE);
    assert_eq!(held(&red), 0);
}

#[test]
fn an_increment_after_the_scrape_has_to_be_scraped_too() {
    let (red, shop, start) = one_exchange();
    samples(&red);
    red.expire(start + MINUTE);
    red.observe(&exchange(Role::Server), &shop, None);
    drop(shop);
    red.expire(start + 6 * MINUTE);
    assert_eq!(held(&red), 4, "the active gauge was seen");
    let counts = by_label(
        &samples(&red),
        "http_server_request_duration_seconds_count",
        "",
    );
    assert_eq!(counts, pairs(&[("", "2")]));
    red.expire(start + 6 * MINUTE);
    assert_eq!(held(&red), 0);
}

#[test]
fn a_request_under_way_keeps_its_gauge() {
    let (red, shop, start) = one_exchange();
    red.begun(&shop, Role::Server, &Method::Get, None);
    red.service_gone(&shop);
    red.expire(start + 100 * MINUTE);
    assert_eq!(held(&red), 1);
    red.ended(&shop, Role::Server, &Method::Get, None);
    red.expire(start + 109 * MINUTE);
    assert_eq!(held(&red), 1, "its end was not scraped");
    red.expire(start + 110 * MINUTE);
    assert_eq!(held(&red), 0);
}

#[test]
fn places_are_used_again() {
    let start = Instant::now();
    let red = Red::at(&config(8), start);
    for round in 0..50_u32 {
        let now = start + 100 * round * MINUTE;
        red.expire(now);
        let shop = service(&format!("job-{round}"), round);
        red.observe(&exchange(Role::Server), &shop, Some("/a"));
        red.observe(&exchange(Role::Server), &shop, Some("/b"));
        let counts = by_label(
            &samples(&red),
            "http_server_request_duration_seconds_count",
            "service_name",
        );
        let name = format!("job-{round}");
        assert_eq!(counts, pairs(&[(&name, "1"), (&name, "1")]));
    }
    assert_eq!(red.shared.metrics.overflow.get(), 0);
    assert_eq!(red.shared.metrics.expired.get(), 49 * 8);
}

#[test]
fn scrapes_while_exchanges_are_counted_lose_none() {
    const EXCHANGES: usize = 60_000;
    const ROUTES: usize = 600;
    let red = Red::new(&config(100_000));
    let total = |red: &Red| -> u64 {
        red.snapshot(false)
            .counts
            .iter()
            .map(|line| line.value.counts.duration.counts.iter().sum::<u64>())
            .sum()
    };
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let shop = service("shop", 1);
            let mut server = exchange(Role::Server);
            let routes: Vec<String> = (0..ROUTES).map(|at| format!("/r{at}")).collect();
            for at in 0..EXCHANGES {
                server.end_ns = server.start_ns + at as u64;
                red.observe(&server, &shop, Some(&routes[at % ROUTES]));
                if at % 1000 == 0 {
                    red.expire(Instant::now());
                }
            }
        });
        let mut before = 0;
        while !writer.is_finished() {
            let now = total(&red);
            assert!(before <= now, "a counter went back from {before} to {now}");
            before = now;
            let labels: std::collections::HashSet<_> = red
                .snapshot(false)
                .counts
                .iter()
                .map(|line| Arc::clone(&line.labels))
                .collect();
            assert!(labels.len() <= ROUTES);
        }
        writer.join().unwrap();
    });
    assert_eq!(total(&red), EXCHANGES as u64);
    let sum: u128 = red
        .snapshot(false)
        .counts
        .iter()
        .map(|line| line.value.counts.duration.sum)
        .sum();
    assert_eq!(sum, (0..EXCHANGES as u128).sum());
}

#[test]
fn promtool_finds_no_fault_with_the_whole_page() {
    let red = Red::new(&config(1000));
    let shop = service("shop \"a\\b\"\nc", 1);
    red.begun(&shop, Role::Server, &Method::Get, None);
    red.begun(&shop, Role::Client, &Method::Get, None);
    for role in [Role::Server, Role::Client] {
        red.observe(&exchange(role), &shop, Some("/orders/{id}"));
    }
    let mut telemetry = Telemetry::new();
    red.register(&mut telemetry);
    for format in [Format::OpenMetrics, Format::Text] {
        let samples = parse(&page(&telemetry, format), format);
        assert_eq!(by_label(&samples, "hark_series", ""), pairs(&[("", "10")]));
        assert_eq!(
            by_label(
                &samples,
                "http_server_request_duration_seconds_count",
                "service_name"
            ),
            pairs(&[("shop \"a\\b\"\nc", "1")])
        );
    }
    promtool_is_content(
        "promtool_finds_no_fault_with_the_whole_page",
        &page(&telemetry, Format::Text),
    );
}
