//! Random connections, whole and with records lost.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;

use super::model::{Kind, Model, Step};
use super::*;

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        3 => Just(Kind::Get),
        1 => (0_u64..5000).prop_map(Kind::PostLength),
        1 => (0_u64..5000).prop_map(Kind::PostChunked),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let send = (prop_oneof![Just(1000_usize), 1_usize..60], kind())
        .prop_map(|(bytes, kind)| Step::Send { bytes, kind });
    let answer = prop::sample::select(vec![200, 204, 304, 404, 500])
        .prop_map(|status| Step::Answer { status });
    let end = (
        prop::sample::select(vec![
            AbortReason::PeerClosed,
            AbortReason::LocalClosed,
            AbortReason::Broken,
            AbortReason::Lost,
        ]),
        any::<bool>(),
    )
        .prop_map(|(reason, begun)| Step::End { reason, begun });
    prop_oneof![12 => send, 6 => answer, 1 => end]
}

fn model() -> impl Strategy<Value = Model> {
    vec((0_usize..4, step()), 1..80).prop_map(|steps| {
        let mut model = Model::default();
        for (socket, step) in steps {
            model.step(socket, step);
        }
        model
    })
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, record) in self.records.iter().enumerate() {
            writeln!(f, "{at}: {:?} {:?}", record.what, decode(&record.bytes))?;
        }
        Ok(())
    }
}

/// Runs the records that arrive; gives what was reported, in the order of the exchanges.
fn reported(model: &Model, arrives: impl Fn(usize) -> bool) -> Run {
    let mut run = Run::new(16);
    let records = model.records.iter().enumerate();
    run.feed(
        records
            .filter(|(place, _)| arrives(*place))
            .map(|(_, record)| record.bytes.clone()),
    );
    run.finish();
    run.seen.ended.sort_by_key(|exchange| exchange.task.tid);
    run
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn without_loss_every_exchange_is_reported_as_it_was(model in model()) {
        let run = reported(&model, |_| true);
        prop_assert_eq!(&run.seen.ended, &model.expected(|_| true));
        // Nothing is taken for a loss that is none.
        for reason in [
            DropReason::NoRequest,
            DropReason::PieceLost,
            DropReason::Superseded,
            DropReason::OutOfOrder,
        ] {
            prop_assert_eq!((reason, run.counters.dropped_for(reason)), (reason, 0));
        }
    }

    #[test]
    fn with_records_lost_what_is_reported_is_true(
        model in model(),
        lost in vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let lost: BTreeSet<_> = match model.records.len() {
            0 => BTreeSet::new(),
            count => lost.iter().map(|index| index.index(count)).collect(),
        };
        let run = reported(&model, |place| !lost.contains(&place));
        prop_assert_eq!(&run.seen.ended, &model.expected(|place| !lost.contains(&place)));
    }

    #[test]
    fn each_record_in_turn_may_be_lost(model in model()) {
        for lost in 0..model.records.len() {
            let run = reported(&model, |place| place != lost);
            prop_assert_eq!(
                &run.seen.ended,
                &model.expected(|place| place != lost),
                "record {} lost", lost
            );
        }
    }

    #[test]
    fn records_in_any_order_end_what_they_begin(
        model in model(),
        order in vec(any::<prop::sample::Index>(), 0..200),
    ) {
        prop_assume!(!model.records.is_empty());
        // The same record may come several times, or never; `finish` checks the account. The same
        // exchange can so begin twice, which the account by thread id cannot hold: count instead.
        let counters = Counters::new();
        let parser = HeadParser::new(&Format::ALL);
        let mut connections = Connections::new(2, parser, counters);
        let (mut begun, mut over) = (0, 0);
        let mut sink = |event: Event<'_>| match event {
            Event::Begun { .. } => begun += 1,
            Event::Ended(_) | Event::Dropped { .. } => over += 1,
        };
        for place in order {
            let record = &model.records[place.index(model.records.len())];
            connections.handle(decode(&record.bytes).unwrap(), &mut sink);
        }
        connections.finish(&mut sink);
        prop_assert_eq!(begun, over);
    }
}
