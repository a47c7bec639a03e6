//! Which spans a collector gets: what failed or was slow, and of the rest the traces that everybody
//! keeps who samples by the same share.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use hark_tests::agent::{self, Agent};
use hark_tests::load::{Body, Plan, Request, Sent};
use hark_tests::metrics::counts;
use hark_tests::otlp::{ARRIVAL, Manner, Receiver, Span};
use hark_tests::server::Server;
use hark_tests::{need, tools, wait};

/// 2^56 possible values of a trace's randomness, of which a share of a quarter keeps the highest.
const QUARTER: u64 = (1 << 56) / 4 * 3;

fn start(receiver: &Receiver, environment: &[(&str, &str)]) -> Agent {
    let endpoint = receiver.endpoint();
    let mut all = vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_BSP_SCHEDULE_DELAY", "200"),
        // All spans of a load at once are more than the standard queue holds.
        ("OTEL_BSP_MAX_QUEUE_SIZE", "16384"),
        // What is slow is said, not found.
        ("HARK_SAMPLING_SLOW_QUANTILE", "0"),
    ];
    all.extend(environment);
    Agent::start(&all)
}

/// The right-most seven bytes of the trace id (W3C Trace Context level 2).
fn randomness(span: &Span) -> u64 {
    span.trace_id[9..]
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// The spans of a service once they are as many as they will be.
fn settled(receiver: &Receiver, service: &str) -> Vec<Span> {
    let mut before = usize::MAX;
    wait::until(ARRIVAL, "no more spans to come", || {
        std::thread::sleep(Duration::from_secs(1));
        let now = receiver.spans(service).len();
        (std::mem::replace(&mut before, now) == now).then(|| receiver.spans(service))
    })
}

fn ids(spans: &[&Span]) -> BTreeSet<Vec<u8>> {
    spans.iter().map(|span| span.trace_id.clone()).collect()
}

#[test]
fn what_failed_or_was_slow_is_kept_and_of_the_rest_a_share() {
    need!(agent::root());
    let receiver = Receiver::http(Manner::Accepting);
    let agent = start(
        &receiver,
        &[
            ("HARK_SAMPLING_PROBABILITY", "0.25"),
            ("HARK_SAMPLING_SLOW_AFTER", "1s"),
        ],
    );
    let server = need!(Server::python("sampling"));
    let plan = |path| Plan::new(&server.target, vec![Request::get(path)]);
    let plain = plan("/ok").connections(8).rounds(250).start();
    let failed = plan("/status/503").connections(2).rounds(20).start();
    let slow = plan("/sleep/1500").connections(5).rounds(2).start();
    let [plain, failed, slow] = [plain, failed, slow].map(|load| load.finish());
    agent.expect_served(
        &server.service,
        &counts(&[("GET", "200", 2010), ("GET", "503", 40)]),
    );

    let served = settled(&receiver, &server.service);
    let of = |path| -> Vec<&Span> { served.iter().filter(|s| s.path() == path).collect() };
    for (path, load, number) in [("/status/503", &failed, 40), ("/sleep/1500", &slow, 10)] {
        let (served, asked) = (of(path), settled(&receiver, &load.service));
        assert_eq!(served.len(), number, "{path}");
        assert_eq!(ids(&served), ids(&asked.iter().collect::<Vec<_>>()));
        // Each is kept whatever its trace's randomness is, and stands for itself.
        for span in served.iter().copied().chain(&asked) {
            assert_eq!(span.trace_state, "ot=th:0", "{path}");
        }
    }
    let (kept, asked) = (of("/ok"), settled(&receiver, &plain.service));
    assert_eq!(served.len(), kept.len() + 50);
    // Both ends of a trace, or none.
    assert_eq!(ids(&kept), ids(&asked.iter().collect::<Vec<_>>()));
    assert_eq!(kept.len(), asked.len());
    for span in kept.iter().copied().chain(&asked) {
        assert!(randomness(span) >= QUARTER, "{span:?}");
        // Three quarters are not kept: each stands for four.
        assert_eq!(span.trace_state, "ot=th:c");
    }
    // 500 of 2000, with a standard deviation of 19.4: six of them are one test in a thousand million.
    assert!(kept.len().abs_diff(500) < 117, "{}", kept.len());
}

/// Requests that continue these traces, with these flags.
fn continued(server: &Server, path: &str, traces: &[u128], flags: &str) -> Sent {
    let requests = traces
        .iter()
        .map(|trace| {
            let context = format!("traceparent: 00-{trace:032x}-00f067aa0ba902b7-{flags}");
            Request::get(path).header(&context)
        })
        .collect();
    Plan::new(&server.target, requests).run()
}

/// Ids of traces, as good as random ones, and the same each time: SplitMix64.
fn traces(count: u64) -> Vec<u128> {
    let mix = |n: u64| {
        let mut z = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    (1..=count)
        .map(|n| u128::from(mix(2 * n)) << 64 | u128::from(mix(2 * n + 1)))
        .collect()
}

#[test]
fn two_agents_keep_the_same_traces() {
    need!(agent::root());
    let server = need!(Server::python("sampling-twice"));
    let traces = traces(400);
    let mut kept = Vec::new();
    for _ in 0..2 {
        let receiver = Receiver::http(Manner::Accepting);
        let agent = start(&receiver, &[("HARK_SAMPLING_PROBABILITY", "0.25")]);
        // The random flag beside the sampled one.
        let sent = continued(&server, "/ok", &traces, "03");
        agent.expect_sent(&sent.service, &counts(&[("GET", "200", 400)]));
        kept.push(ids(&settled(&receiver, &server.service)
            .iter()
            .collect::<Vec<_>>()));
    }
    let low = |trace: &u128| *trace & ((1 << 56) - 1);
    let want = traces
        .iter()
        .filter(|trace| low(trace) >= u128::from(QUARTER))
        .map(|trace| trace.to_be_bytes().to_vec())
        .collect::<BTreeSet<_>>();
    assert!(want.len() > 50, "{}", want.len());
    assert_eq!(kept, [want.clone(), want]);
}

#[test]
fn what_the_sender_decided_is_honoured_if_asked_for() {
    need!(agent::root());
    let server = need!(Server::python("sampling-parent"));
    let receiver = Receiver::http(Manner::Accepting);
    let agent = start(
        &receiver,
        &[
            ("HARK_SAMPLING_PARENT", "honour"),
            ("HARK_SAMPLING_PROBABILITY", "0"),
        ],
    );
    let traces = traces(120);
    let (sampled, not) = traces.split_at(50);
    let (not, failed) = not.split_at(50);
    for (path, traces, flags) in [
        ("/ok", sampled, "01"),
        ("/ok", not, "00"),
        ("/status/503", failed, "00"),
    ] {
        let _sent = continued(&server, path, traces, flags);
    }
    agent.expect_served(
        &server.service,
        &counts(&[("GET", "200", 100), ("GET", "503", 20)]),
    );
    let want = sampled
        .iter()
        .chain(failed)
        .map(|id| id.to_be_bytes().to_vec());
    let served = settled(&receiver, &server.service);
    assert_eq!(ids(&served.iter().collect::<Vec<_>>()), want.collect());
}

/// What the spans that are kept stand for is what there was, though the share changes under way.
#[test]
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn a_budget_keeps_the_totals_right() {
    const TOTAL: u64 = 8000;
    need!(agent::root());
    let receiver = Receiver::http(Manner::Accepting);
    let agent = start(&receiver, &[("HARK_SAMPLING_SPANS_PER_SECOND", "200")]);
    let server = need!(Server::python("sampling-budget"));
    let requests = vec![Request::get("/ok")];
    let sent = Plan::new(&server.target, requests)
        .connections(8)
        .rounds(usize::try_from(TOTAL).expect("few") / 8)
        .run();
    agent.expect_sent(&sent.service, &counts(&[("GET", "200", TOTAL)]));
    let kept = settled(&receiver, &server.service);
    assert!((kept.len() as u64) < TOTAL / 2, "{}", kept.len());
    let (mut stand_for, mut variance) = (0.0, 0.0);
    for span in &kept {
        let digits = span
            .trace_state
            .strip_prefix("ot=th:")
            .expect("a threshold");
        let threshold = u64::from_str_radix(&format!("{digits:0<14}"), 16).expect("digits");
        assert!(randomness(span) >= threshold, "{span:?}");
        let count = 2_f64.powi(56) / ((1_u64 << 56) - threshold) as f64;
        stand_for += count;
        variance += count * (count - 1.0);
    }
    let off = (stand_for - TOTAL as f64).abs();
    assert!(
        off < 6.0 * variance.sqrt(),
        "{stand_for} of {TOTAL}, {variance}"
    );
}

/// A process that exports spans itself, and asks for something else after that.
fn exports(receiver: &Receiver) -> Sent {
    let mut requests = vec![
        Request::post("/v1/traces", Body::Length(0)).header("Content-Type: application/x-protobuf"),
    ];
    requests.extend((0..20).map(|_| Request::get("/other")));
    let target = hark_tests::load::Target::Tcp(receiver.address());
    Plan::new(&target, requests).run()
}

#[test]
fn who_exports_spans_itself_is_left_out() {
    need!(agent::root());
    for (leave_out, spans) in [("true", 0), ("false", 21)] {
        let receiver = Receiver::http(Manner::Accepting);
        // The other end is this test, which is no agent's collector.
        let others = Receiver::http(Manner::Accepting);
        let agent = start(
            &receiver,
            &[("HARK_TRACES_LEAVE_OUT_INSTRUMENTED", leave_out)],
        );
        let sent = exports(&others);
        agent.expect_sent(
            &sent.service,
            &counts(&[("GET", "404", 20), ("POST", "200", 1)]),
        );
        let asked = settled(&receiver, &sent.service);
        assert_eq!(asked.len(), spans, "{leave_out}");
        let labels = [("service_name", sent.service.as_str())];
        let told = agent.page().total("hark_service_instrumented", &labels);
        assert_eq!(told, u64::from(spans == 0));
        let mut doctor = Command::new(tools::hark());
        doctor
            .env("HARK_LISTEN", agent.address().to_string())
            .env("HARK_TRACES_LEAVE_OUT_INSTRUMENTED", leave_out);
        let (_, said) = agent::doctor(doctor, &[]);
        assert_eq!(said.contains(&sent.service), spans == 0, "{said}");
    }
}
