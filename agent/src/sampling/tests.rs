//! What is kept, what it says it stands for, and that these agree.

use std::sync::Arc;

use super::*;
use crate::exchange::{Role, TraceContext};
use crate::fragment::{Ended, Ids, Member};
use crate::red::testing;

fn config(probability: f64) -> Sampling {
    Sampling {
        probability,
        spans_per_second: 0,
        slow_after: Vec::new(),
        slow_quantile: 0.0,
        parent: ParentDecision::Ignore,
    }
}

/// A fragment of spans with these marks, of the trace with this number.
fn fragment(number: u64, marks: &[Option<Notable>]) -> Fragment {
    let mut trace_id = [7; 16];
    // Mixed, so that the right half looks random.
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31);
    trace_id[8..].copy_from_slice(&mixed.wrapping_mul(0xbf58_476d_1ce4_e5b9).to_be_bytes());
    let members = marks
        .iter()
        .map(|notable| Member {
            ended: Ended {
                exchange: testing::exchange(Role::Server),
                service: testing::service("shop", 1),
                route: None,
                end_unix_ns: 0,
                notable: *notable,
                left_out: false,
            },
            ids: Ids {
                trace_id,
                span_id: [1; 8],
                parent_id: None,
                flags: 3,
                remote: false,
            },
        })
        .collect();
    Fragment {
        members,
        context: None,
        tracestate: None,
    }
}

fn threshold_of(decided: &Decided) -> Option<Threshold> {
    let digits = decided.tracestate.strip_prefix("ot=th:")?;
    Threshold::parse(digits)
}

const PLAIN: [Option<Notable>; 1] = [None];
const FAILED: [Option<Notable>; 1] = [Some(Notable::Error)];
const SLOW: [Option<Notable>; 1] = [Some(Notable::Slow)];

#[test]
fn errors_and_slow_ones_are_kept_and_the_rest_by_its_share() {
    const COUNT: u32 = 100_000;
    for probability in [0.5, 0.1, 0.01] {
        let mut sampler = Sampler::new(&config(probability));
        let (mut kept, mut stands_for) = (0.0, 0.0);
        for number in 0..COUNT {
            let marks = match number % 100 {
                0 => &FAILED,
                1 => &SLOW,
                _ => &PLAIN,
            };
            let decided = sampler.decide(&fragment(number.into(), marks), 0).remove(0);
            if marks[0].is_some() {
                assert!(decided.decision.keeps());
                assert_eq!(&*decided.tracestate, "ot=th:0");
            } else if decided.decision.keeps() {
                kept += 1.0;
            }
            if decided.decision.keeps() {
                stands_for += threshold_of(&decided).unwrap().adjusted_count();
            }
        }
        let rest = f64::from(COUNT) * 0.98;
        let deviation = (rest * probability * (1.0 - probability)).sqrt();
        assert!(
            (kept - rest * probability).abs() < 5.0 * deviation,
            "{kept} at {probability}"
        );
        let error = (stands_for - f64::from(COUNT)).abs();
        assert!(
            error < 5.0 * deviation / probability,
            "{stands_for} at {probability}"
        );
    }
}

#[test]
fn two_agents_keep_the_same_traces() {
    let mut agents = [Sampler::new(&config(0.2)), Sampler::new(&config(0.2))];
    let mut more = Sampler::new(&config(0.6));
    for number in 0..10_000 {
        let fragment = fragment(number, &PLAIN);
        let [one, other] = agents
            .each_mut()
            .map(|agent| agent.decide(&fragment, number * 1_000_000).remove(0));
        assert_eq!(one, other);
        let more = more.decide(&fragment, 0).remove(0);
        assert!(
            more.decision.keeps() || !one.decision.keeps(),
            "a greater share has the smaller"
        );
    }
}

#[test]
fn what_led_to_an_error_is_kept_and_stands_for_nothing() {
    let mut sampler = Sampler::new(&config(0.01));
    let mut shown = 0;
    for number in 0..1000 {
        let marks = [None, Some(Notable::Error), None];
        let decided = sampler.decide(&fragment(number, &marks), 0);
        assert!(decided.iter().all(|decided| decided.decision.keeps()));
        assert_eq!(&*decided[1].tracestate, "ot=th:0");
        for of_it in [&decided[0], &decided[2]] {
            match of_it.decision {
                Decision::Fragment => {
                    assert_eq!(&*of_it.tracestate, "");
                    shown += 1;
                }
                Decision::Probability => assert!(threshold_of(of_it).is_some()),
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(shown > 1900, "{shown}");
    assert_eq!(sampler.decided(Decision::Fragment), shown);
}

#[test]
fn what_the_sender_decided() {
    let decide_with = |state: &str, parent, flags: u8, deferred, marks: &[Option<Notable>]| {
        let mut sampler = Sampler::new(&Sampling {
            parent,
            ..config(1e-9)
        });
        let mut fragment = fragment(1, marks);
        fragment.context = Some(TraceContext {
            trace_id: [1; 16],
            parent_id: [2; 8],
            flags,
            deferred,
        });
        fragment.tracestate = Some(Arc::from(state));
        let decided = sampler.decide(&fragment, 0).remove(0);
        (decided.decision, decided.tracestate.to_string())
    };
    let decide = |parent, flags, deferred, marks: &[Option<Notable>]| {
        decide_with("a=1,ot=th:8", parent, flags, deferred, marks)
    };
    let (honour, ignore) = (ParentDecision::Honour, ParentDecision::Ignore);
    // The trace's randomness is too small for what the sender says: it cannot have kept it by that.
    let sent = "a=1".to_owned();
    assert_eq!(decide(honour, 1, false, &PLAIN), (Decision::Parent, sent));
    let state = "a=1,ot=th:8;rv:80000000000000";
    let sent = (Decision::Parent, state.to_owned());
    assert_eq!(decide_with(state, honour, 1, false, &PLAIN), sent);
    assert_eq!(
        decide(honour, 2, false, &PLAIN).0,
        Decision::ParentSampledOut
    );
    assert_eq!(decide(honour, 0, true, &PLAIN).0, Decision::SampledOut);
    assert_eq!(decide(ignore, 1, false, &PLAIN).0, Decision::SampledOut);
    let kept = (Decision::Error, "ot=th:0,a=1".to_owned());
    assert_eq!(decide(honour, 0, false, &FAILED), kept);
    assert_eq!(decide(ignore, 0, false, &FAILED), kept);
}

#[test]
fn a_span_that_is_left_out_counts_for_nobody() {
    let mut sampler = Sampler::new(&config(1e-9));
    let mut fragment = fragment(1, &[Some(Notable::Error), None]);
    fragment.members[0].ended.left_out = true;
    let decisions: Vec<Decision> = sampler
        .decide(&fragment, 0)
        .into_iter()
        .map(|decided| decided.decision)
        .collect();
    assert_eq!(decisions, [Decision::LeftOut, Decision::SampledOut]);
}
