//! The rules of compaction on one partition's segments, without anything above them.

use proptest::prelude::*;

use super::bed::{Bed, config};
use super::compacting::*;
use crate::base::{ErrorKind, TopicConfig};
use crate::log::{Standing, Verdict};

fn bed() -> Bed {
    let mut config = config(10_000, 4_096);
    config.delete_retention_ms = RETENTION;
    Bed::new(config)
}

fn standing(bed: &Bed, change: impl FnOnce(&mut TopicConfig), now: i64) -> Standing {
    let mut config = bed.config.clone();
    change(&mut config);
    Standing::of(&bed.log.view(), &config, bed.log.end_offset(), now)
}

#[test]
fn a49_a52_the_newest_record_of_each_key_stays_with_offset_and_timestamp() {
    let mut bed = bed();
    write(&mut bed.log, &[(Some("a"), Some("1")), (Some("b"), Some("2"))]);
    write(&mut bed.log, &[(Some("a"), Some("3"))]);
    seal(&mut bed);
    write(&mut bed.log, &[(Some("b"), Some("4")), (Some("c"), Some("5")), (Some("b"), Some("6"))]);
    seal(&mut bed);
    write(&mut bed.log, &[(Some("a"), Some("7"))]);
    let told = compact(&mut bed.log, Run::at(0)).unwrap();
    assert_eq!((told.kept, told.dropped, told.segments_before, told.segments_after), (3, 3, 2, 1));
    // The active segment is not looked at: its "a" makes nothing obsolete yet.
    assert_eq!(offsets(&bed.log.view()), [2, 4, 5, 6]);
    let bed = bed.kill();
    assert_eq!(offsets(&bed.log.view()), [2, 4, 5, 6]);
    assert_eq!(bed.log.view().compacted, 6);
    assert_eq!((bed.report.removed_files, bed.report.strangers.len()), (0, 0));
}

#[test]
fn a03_a58_a_batch_keeps_base_and_end_and_the_last_one_stays_without_records() {
    let mut bed = bed();
    write(&mut bed.log, &[(Some("a"), Some("1")), (Some("b"), Some("2")), (Some("a"), Some("3"))]);
    write(&mut bed.log, &[(Some("b"), Some("4"))]);
    write(&mut bed.log, &[(Some("x"), Some("5"))]);
    seal(&mut bed);
    write(&mut bed.log, &[(Some("x"), Some("6"))]);
    write(&mut bed.log, &[(Some("a"), Some("7"))]);
    write(&mut bed.log, &[(Some("b"), Some("8")), (Some("b"), Some("9"))]);
    seal(&mut bed);
    write(&mut bed.log, &[(Some("a"), Some("a"))]);
    seal(&mut bed);
    // Each segment alone: the first one loses all, the second one its middle.
    bed.config.segment_bytes = 1;
    bed.log.set_config(std::sync::Arc::new(bed.config.clone()));
    compact(&mut bed.log, Run::at(0)).unwrap();
    let batches = bed.log.view().read(0, 10_000, u64::MAX, true).unwrap();
    let shape =
        |b: &crate::batch::Batch| (b.header.base_offset, b.header.last_offset(), b.header.count);
    let shapes: Vec<_> = batches.iter().map(shape).collect();
    assert_eq!(shapes, [(4, 4, 0), (5, 5, 1), (7, 8, 1), (9, 9, 1)]);
    assert_eq!(batches[0].header.max_timestamp(), None);
    assert_eq!(offsets(&bed.log.view()), [5, 8, 9]);
    let bed = bed.close();
    assert_eq!(bed.log.end_offset(), 10);
    assert_eq!(offsets(&bed.log.view()), [5, 8, 9]);
}

#[test]
fn a53_a_tombstone_goes_by_the_second_pass_at_or_after_its_horizon() {
    let mut bed = bed();
    write(&mut bed.log, &[(Some("a"), Some("1")), (Some("b"), Some("2"))]);
    write(&mut bed.log, &[(Some("a"), None)]);
    seal(&mut bed);
    let told = compact(&mut bed.log, Run::at(5_000)).unwrap();
    assert_eq!((told.dropped, told.tombstones), (1, 0));
    assert_eq!(offsets(&bed.log.view()), [1, 2], "the value goes at once, the tombstone stays");
    compact(&mut bed.log, Run::at(5_000 + RETENTION - 1)).unwrap();
    assert_eq!(offsets(&bed.log.view()), [1, 2], "one millisecond early");
    let mut bed = bed.kill();
    let told = compact(&mut bed.log, Run::at(5_000 + RETENTION)).unwrap();
    assert_eq!((told.dropped, told.tombstones), (1, 1));
    assert_eq!(offsets(&bed.log.view()), [1]);
    assert_eq!(bed.log.end_offset(), 3);
}

#[test]
fn a53_even_without_retention_it_takes_two_passes() {
    let mut bed = bed();
    bed.config.delete_retention_ms = 0;
    bed.log.set_config(std::sync::Arc::new(bed.config.clone()));
    write(&mut bed.log, &[(Some("a"), None), (Some("b"), Some("1"))]);
    seal(&mut bed);
    compact(&mut bed.log, Run::at(9)).unwrap();
    assert_eq!(offsets(&bed.log.view()), [0, 1]);
    compact(&mut bed.log, Run::at(9)).unwrap();
    assert_eq!(offsets(&bed.log.view()), [1]);
}

#[test]
fn a55_records_without_a_key_go() {
    let mut bed = bed();
    write(&mut bed.log, &[(None, Some("1")), (Some(""), Some("2")), (None, None)]);
    seal(&mut bed);
    write(&mut bed.log, &[(None, Some("3"))]);
    compact(&mut bed.log, Run::at(0)).unwrap();
    assert_eq!(offsets(&bed.log.view()), [1, 3]);
}

#[test]
fn a59_neighbours_are_merged_up_to_the_size_of_a_segment() {
    let mut bed = bed();
    for n in 0..8 {
        let (key, value) = (format!("k{n}"), "v".repeat(1_000));
        write(&mut bed.log, &[(Some(&key), Some(&value))]);
        seal(&mut bed);
    }
    let bytes: Vec<u64> = bed.log.view().segments().map(|s| s.bytes - 64).collect();
    bed.config.segment_bytes = (bytes[0] * 3) as u32;
    bed.log.set_config(std::sync::Arc::new(bed.config.clone()));
    let told = compact(&mut bed.log, Run::at(0)).unwrap();
    assert_eq!((told.segments_before, told.segments_after), (8, 3));
    let spans: Vec<_> = bed.log.view().segments().map(|s| (s.base_offset, s.next_offset)).collect();
    assert_eq!(spans, [(0, 3), (3, 6), (6, 8)]);
    assert_eq!(bed.segment_files().len(), 3, "the old files are gone");
    let names = |bed: &Bed| bed.log.view().segments().map(|s| s.number).collect::<Vec<_>>();
    let before = names(&bed);
    compact(&mut bed.log, Run::at(0)).unwrap();
    assert_eq!(names(&bed), before, "nothing to merge and nothing to drop: nothing is written");
}

#[test]
fn a60_a_full_map_ends_the_round_and_the_rest_stays_dirty() {
    let mut bed = bed();
    let keys: Vec<String> = (0..40).map(|n| format!("key {}", n % 20)).collect();
    for half in keys.chunks(10) {
        let pairs: Vec<Pair<'_>> = half.iter().map(|key| (Some(key.as_str()), Some("v"))).collect();
        write(&mut bed.log, &pairs);
        seal(&mut bed);
    }
    // Room for 12 keys.
    let run = Run { map_bytes: 16 * 16, ..Run::at(0) };
    compact(&mut bed.log, run).unwrap();
    assert_eq!(bed.log.view().compacted, 12, "up to the first key without room");
    assert_eq!(offsets(&bed.log.view()).len(), 40);
    let mut rounds = 1;
    while bed.log.view().compacted < 40 {
        let before = bed.log.view().compacted;
        compact(&mut bed.log, run).unwrap();
        assert!(bed.log.view().compacted > before, "each round comes further");
        rounds += 1;
    }
    assert_eq!(rounds, 4);
    assert_eq!(offsets(&bed.log.view()), (20..40).collect::<Vec<_>>());
}

#[test]
fn a50_what_is_young_or_unstable_stays_and_everything_behind_it() {
    let mut bed = bed();
    for base in [0, 100, 200] {
        write(&mut bed.log, &[(Some("a"), Some("v"))]);
        bed.log.skip_to(base + 100).unwrap();
        seal(&mut bed);
    }
    // Timestamps 0, 100, 200.
    let reach = |lag: i64, now| standing(&bed, |c| c.min_compaction_lag_ms = lag, now).segments;
    assert_eq!(reach(0, -1_000), 3, "without a lag the time does not count");
    assert_eq!(reach(50, 149), 1);
    assert_eq!(reach(50, 150), 2, "100 is not younger than 50 at 150");
    assert_eq!(reach(50, 250), 3);
    let view = bed.log.view();
    assert_eq!(Standing::of(&view, &bed.config, 101, 0).segments, 2);
    assert_eq!(Standing::of(&view, &bed.config, 100, 0).segments, 1);
    let none = Standing::of(&view, &bed.config, 0, 0);
    assert_eq!((none.segments, none.verdict(&bed.config)), (0, Verdict::NothingNew));
}

#[test]
fn a51_the_ratio_is_strict_and_the_greatest_lag_wins_over_it() {
    let mut bed = bed();
    let verdict = |bed: &Bed, ratio: f64, lag: i64, now| {
        let change = |c: &mut TopicConfig| {
            (c.min_cleanable_dirty_ratio, c.max_compaction_lag_ms) = (ratio, lag);
        };
        let mut config = bed.config.clone();
        change(&mut config);
        standing(bed, change, now).verdict(&config)
    };
    write(&mut bed.log, &[(Some("a"), Some("v"))]);
    seal(&mut bed);
    assert_eq!(verdict(&bed, 1.0, i64::MAX, 0), Verdict::TooClean, "1 is never passed");
    assert_eq!(verdict(&bed, 0.5, i64::MAX, 0), Verdict::Due);
    compact(&mut bed.log, Run::at(0)).unwrap();
    assert_eq!(verdict(&bed, 0.0, i64::MAX, 0), Verdict::NothingNew);
    write(&mut bed.log, &[(Some("b"), Some("v"))]);
    seal(&mut bed);
    let at = standing(&bed, |_| {}, 0);
    assert_eq!((at.clean_bytes, at.dirty_bytes, at.ratio()), (at.dirty_bytes, at.clean_bytes, 0.5));
    assert_eq!(verdict(&bed, 0.5, i64::MAX, 0), Verdict::TooClean, "half is not more than half");
    assert_eq!(verdict(&bed, 0.49, i64::MAX, 0), Verdict::Due);
    // The oldest dirty segment begins with the timestamp 1.
    assert_eq!(verdict(&bed, 0.5, 50, 51), Verdict::TooClean);
    assert_eq!(verdict(&bed, 0.5, 50, 52), Verdict::Due);
}

#[test]
fn a61_the_dirty_part_begins_at_the_log_start() {
    let mut bed = bed();
    for _ in 0..3 {
        write(&mut bed.log, &[(Some("a"), Some("v")), (Some("b"), Some("v"))]);
        seal(&mut bed);
    }
    compact(&mut bed.log, Run::at(0)).unwrap();
    write(&mut bed.log, &[(Some("a"), Some("v"))]);
    seal(&mut bed);
    bed.log.set_start(7).unwrap();
    let at = standing(&bed, |_| {}, 0);
    assert_eq!((at.first_dirty, at.segments, at.dirty_bytes), (7, 0, 0));
    write(&mut bed.log, &[(Some("a"), Some("w"))]);
    seal(&mut bed);
    compact(&mut bed.log, Run::at(0)).unwrap();
    assert_eq!(offsets(&bed.log.view()), [7]);
}

#[test]
fn a_reader_finishes_on_the_old_segments() {
    let mut bed = bed();
    for _ in 0..4 {
        write(&mut bed.log, &[(Some("a"), Some("v"))]);
        seal(&mut bed);
    }
    let old = bed.log.view();
    compact(&mut bed.log, Run::at(0)).unwrap();
    assert_eq!(offsets(&old), [0, 1, 2, 3]);
    assert_eq!(bed.segment_files().len(), 5);
    drop(old);
    assert_eq!(bed.segment_files().len(), 1);
    let view = bed.log.view();
    assert_eq!(view.find_timestamp(0, u64::MAX).unwrap(), Some((3, 3)));
    assert_eq!(view.find_max_timestamp(u64::MAX).unwrap(), Some((3, 3)));
}

#[test]
fn a_start_that_moves_meanwhile_takes_its_segments_out_of_the_change() {
    for (start, left) in [(1, vec![1, 2, 4]), (3, vec![4]), (2, vec![2, 4])] {
        let mut bed = bed();
        for (key, _) in [("a", 0), ("b", 1), ("c", 2), ("a", 3), ("a", 4)] {
            write(&mut bed.log, &[(Some(key), Some("v"))]);
            seal(&mut bed);
        }
        let mut pass = begin(&bed.log, Run::at(0));
        let mut change = advance(&mut pass).unwrap();
        bed.log.set_start(start).unwrap();
        while swap(&mut bed.log, &mut pass, change).unwrap() {
            change = advance(&mut pass).unwrap();
        }
        assert_eq!(offsets(&bed.log.view()), left, "start {start}");
        assert_eq!(bed.log.view().compacted, 5);
        let files = bed.segment_files().len();
        assert_eq!(files, 1, "start {start}");
        drop(pass);
        assert_eq!(offsets(&bed.kill().log.view()), left);
    }
}

#[test]
fn a_pass_over_a_deleted_or_closed_partition_changes_nothing() {
    for delete in [true, false] {
        let mut bed = bed();
        for _ in 0..2 {
            write(&mut bed.log, &[(Some("a"), Some("v"))]);
            seal(&mut bed);
        }
        let mut pass = begin(&bed.log, Run::at(0));
        let change = advance(&mut pass).unwrap();
        if delete {
            bed.log.delete()
        } else {
            bed.log.close().unwrap()
        }
        let refused = swap(&mut bed.log, &mut pass, change).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Closed);
        drop(pass);
        assert_eq!(bed.segment_files().len(), if delete { 0 } else { 2 });
    }
}

#[test]
fn a_damaged_batch_ends_the_pass_and_nothing_has_changed() {
    let mut bed = bed();
    for _ in 0..3 {
        write(&mut bed.log, &[(Some("a"), Some("some value"))]);
        seal(&mut bed);
    }
    let files = bed.segment_files();
    let mut bytes = super::bed::read_file(&*bed.disk, &files[1]);
    bytes[64 + 64 + 20] ^= 1;
    super::bed::write_file(&*bed.disk, &files[1], &bytes);
    let refused = compact(&mut bed.log, Run::at(0)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::CorruptMessage);
    assert!(refused.to_string().contains(&*files[1].file_name().unwrap().to_string_lossy()));
    assert_eq!(bed.segment_files(), files);
    assert_eq!(bed.log.view().compacted, 0);
}

#[derive(Clone, Debug)]
enum Step {
    /// Keys, and whether each has a value; the key 9 is null.
    Write(Vec<Vec<(u8, bool)>>),
    Seal,
    Compact {
        map_slots: u64,
        bits: Option<u32>,
        stop_after: usize,
    },
    Pass(i64),
    Trim(u64),
    Kill,
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    let record = (0_u8..10, prop::bool::weighted(0.7));
    let batch = prop::collection::vec(record, 1..6);
    let compact = (2_u64..30, prop::option::weighted(0.3, 1_u32..4), 0_usize..12);
    prop_oneof![
        8 => prop::collection::vec(batch, 1..5).prop_map(Step::Write),
        5 => Just(Step::Seal),
        6 => compact.prop_map(|(map_slots, bits, stop_after)| {
            Step::Compact { map_slots, bits, stop_after }
        }),
        3 => (0..2 * RETENTION).prop_map(Step::Pass),
        1 => (0_u64..9).prop_map(Step::Trim),
        1 => Just(Step::Kill),
        1 => Just(Step::Close),
    ]
}

struct Model {
    now: i64,
    all: Vec<Found>,
}

impl Model {
    /// Nothing is there that was not written, the table is the same, and what is gone had to go.
    fn check(&self, bed: &Bed) {
        let view = bed.log.view();
        let found = contents(&view);
        for one in &found {
            assert_eq!(Some(one), self.all.get(one.0 as usize), "a foreign record");
        }
        assert_eq!(view.end(), self.all.len() as u64);
        let live: Vec<Found> =
            self.all.iter().filter(|(offset, ..)| *offset >= view.start()).cloned().collect();
        // From wherever one reads: a table of what comes is the same.
        for from in [view.start(), view.compacted, (view.start() + view.end()) / 2] {
            let behind = |all: &[Found]| -> Vec<Found> {
                all.iter().filter(|(offset, ..)| *offset >= from).cloned().collect()
            };
            assert_eq!(table(&behind(&found)), table(&behind(&live)), "from {from}");
        }
    }
}

fn apply(mut bed: Bed, model: &mut Model, step: Step) -> Bed {
    match step {
        Step::Write(batches) => {
            for records in batches {
                let base = model.all.len() as u64;
                let named: Vec<_> = (base..)
                    .zip(&records)
                    .map(|(offset, (key, has_value))| {
                        let key = (*key < 9).then(|| "k".repeat(usize::from(*key * 3)));
                        (offset, key, has_value.then(|| format!("value {offset}")))
                    })
                    .collect();
                let pairs: Vec<Pair<'_>> =
                    named.iter().map(|(_, k, v)| (k.as_deref(), v.as_deref())).collect();
                write(&mut bed.log, &pairs);
                model.all.extend(named);
            }
        }
        Step::Seal => seal(&mut bed),
        Step::Compact { map_slots, bits, stop_after } => {
            let run = Run { now: model.now, map_bytes: map_slots * 16, bits, aborted: None };
            let mut pass = begin(&bed.log, run);
            for _ in 0..stop_after {
                let progress = advance(&mut pass).unwrap();
                if !swap(&mut bed.log, &mut pass, progress).unwrap() {
                    break;
                }
            }
        }
        Step::Pass(by) => model.now += by,
        Step::Trim(by) => {
            let start = (bed.log.start_offset() + by).min(bed.log.end_offset());
            bed.log.set_start(start).unwrap();
        }
        Step::Kill => bed = bed.kill(),
        Step::Close => bed = bed.close(),
    }
    assert!(bed.report.cuts.is_empty() && bed.report.strangers.is_empty(), "{:?}", bed.report);
    bed
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a54_a62_no_history_brings_a_key_back_or_loses_its_newest_value(
        steps in prop::collection::vec(step(), 1..40),
        segment_bytes in 200_u32..2_000,
        interval in prop_oneof![Just(0_u32), Just(200), Just(4_096)],
    ) {
        let mut config = config(segment_bytes, interval);
        config.delete_retention_ms = RETENTION;
        let mut bed = Bed::new(config);
        let mut model = Model { now: 1_000_000, all: Vec::new() };
        for step in steps {
            bed = apply(bed, &mut model, step);
            model.check(&bed);
        }
        // Two whole passes, a horizon apart: one record is left of each key that has a value.
        seal(&mut bed);
        for _ in 0..2 {
            compact(&mut bed.log, Run::at(model.now)).unwrap();
            model.now += RETENTION;
            model.check(&bed);
        }
        let mut bed = bed.kill();
        compact(&mut bed.log, Run::at(model.now)).unwrap();
        model.check(&bed);
        let found = contents(&bed.log.view());
        prop_assert_eq!(found.len(), table(&found).len());
    }
}
