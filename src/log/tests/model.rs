//! Random histories against a plain vector.

use proptest::prelude::*;

use super::bed::{Bed, Seen, batch, config, placed};
use crate::log::View;

#[derive(Clone, Debug)]
enum Step {
    /// Batches of records with timestamps and value lengths.
    Write(Vec<Vec<(Option<i64>, usize)>>),
    Sync,
    Seal,
    Trim(u64),
    Skip(u64),
    Kill,
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    let record = (prop::option::of(0_i64..200), 0_usize..120);
    let batch = prop::collection::vec(record, 1..4);
    prop_oneof![
        8 => prop::collection::vec(batch, 1..6).prop_map(Step::Write),
        2 => Just(Step::Sync),
        2 => Just(Step::Seal),
        1 => (0_u64..30).prop_map(Step::Trim),
        1 => (0_u64..5).prop_map(Step::Skip),
        1 => Just(Step::Kill),
        1 => Just(Step::Close),
    ]
}

struct Model {
    start: u64,
    end: u64,
    records: Vec<Seen>,
}

impl Model {
    fn live(&self) -> Vec<Seen> {
        self.records.iter().filter(|(offset, ..)| *offset >= self.start).cloned().collect()
    }
}

fn apply(mut bed: Bed, model: &mut Model, step: Step) -> Bed {
    match step {
        Step::Write(batches) => {
            let mut made = Vec::new();
            for records in batches {
                let values: Vec<_> = records.iter().map(|(ts, len)| (*ts, vec![7; *len])).collect();
                let slices: Vec<_> = values.iter().map(|(ts, v)| (*ts, v.as_slice())).collect();
                made.push(batch(model.end, &slices));
                for (ts, value) in values {
                    model.records.push((model.end, ts, value));
                    model.end += 1;
                }
            }
            let placed: Vec<_> = made.iter().map(placed).collect();
            bed.log.write(&placed, 0).unwrap();
        }
        Step::Sync => bed.log.sync().unwrap(),
        Step::Seal => bed.log.seal_behind().unwrap(),
        Step::Trim(by) => {
            model.start = (model.start + by).min(model.end);
            bed.log.set_start(model.start).unwrap();
        }
        Step::Skip(by) => {
            model.end += by;
            bed.log.skip_to(model.end).unwrap();
        }
        Step::Kill => bed = bed.kill(),
        Step::Close => {
            bed = bed.close();
            assert!(bed.report.clean && bed.report.scanned_segments == 0);
        }
    }
    assert!(bed.report.cuts.is_empty() && bed.report.strangers.is_empty(), "{:?}", bed.report);
    bed
}

fn check(view: &View, model: &Model) {
    let live = model.live();
    assert_eq!((view.start(), view.end()), (model.start, model.end));
    assert_eq!(super::bed::all(view).unwrap(), live);
    for ts in (0..210).step_by(7) {
        let late = live.iter().find(|(_, stamp, _)| stamp.is_some_and(|s| s >= ts));
        let expected = late.map(|(offset, stamp, _)| (*offset, stamp.unwrap()));
        assert_eq!(view.find_timestamp(ts, u64::MAX).unwrap(), expected, "ts {ts}");
    }
    let below = (model.start + model.end) / 2;
    for below in [below, u64::MAX] {
        let stamped =
            live.iter().filter(|(o, ..)| *o < below).filter_map(|(o, s, _)| Some((*o, (*s)?)));
        let max = stamped.reduce(|best, hit| if hit.1 > best.1 { hit } else { best });
        assert_eq!(view.find_max_timestamp(below).unwrap(), max, "below {below}");
    }
    for from in model.start..=model.end {
        let batches = view.read(from, 1, u64::MAX, true).unwrap();
        let first = live.iter().find(|(offset, ..)| *offset >= from);
        let got = super::bed::records(&batches).into_iter().find(|(offset, ..)| *offset >= from);
        assert_eq!(got.as_ref(), first, "from {from}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_partition_behaves_like_a_vector_for_any_index_density(
        steps in prop::collection::vec(step(), 1..30),
        segment_bytes in 300_u32..1_500,
        interval in prop_oneof![Just(0_u32), Just(200), Just(4_096), Just(1 << 30)],
    ) {
        let mut bed = Bed::new(config(segment_bytes, interval));
        let mut model = Model { start: 0, end: 0, records: Vec::new() };
        for step in steps {
            bed = apply(bed, &mut model, step);
            prop_assert_eq!(bed.log.end_offset(), model.end);
        }
        check(&bed.log.view(), &model);
        let bed = bed.kill();
        check(&bed.log.view(), &model);
    }
}
