//! Random histories: what was appended is what an open finds.

use proptest::prelude::*;

use super::*;

/// A record made of three small numbers: often legal, often not.
fn record(kind: u8, a: u64, b: u64) -> Record {
    let k = key(u128::from(a % 3) + 1, (b % 2) as u32);
    match kind % 14 {
        0 => Record::Opened { incarnation: a as u32, boot_id: b.is_multiple_of(2).then_some(7) },
        1 | 2 => Record::SegmentCreated { key: k, number: a, base_offset: b },
        3 => Record::SegmentSealed { number: a, end: end(b) },
        4 => Record::SegmentRetired { number: a },
        5 => Record::LogStart { key: k, offset: b },
        6 => Record::Ceiling { key: k, offset: b },
        7 => Record::Gap { key: k, from: a, to: b },
        8 if b.is_multiple_of(8) => Record::PartitionsRetired { topic_id: k.topic_id },
        8 => Record::Stage { number: a, bytes: b },
        9 | 10 => Record::Checkpoint { number: a, end: end(b) },
        11 => Record::Compacted { key: k, offset: b },
        12 => {
            let (base_offset, old) = (b / 8, vec![a / 2, a / 2 + 1]);
            Record::SegmentsReplaced { key: k, number: a, base_offset, end: end(b), old }
        }
        _ => {
            let ends = vec![PartitionEnd { key: k, offset: b }];
            Record::Closed { incarnation: a as u32, ends }
        }
    }
}

fn groups() -> impl Strategy<Value = Vec<Vec<Record>>> {
    let record = (any::<u8>(), 0_u64..14, 0_u64..40).prop_map(|(kind, a, b)| record(kind, a, b));
    prop::collection::vec(prop::collection::vec(record, 1..4), 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn an_open_finds_what_was_appended(groups in groups(), pause in 1_usize..9) {
        let disk = TestDisk::new();
        let mut manifest = create(&disk);
        manifest.append(&[Record::Opened { incarnation: 1, boot_id: None }]).unwrap();
        for (step, group) in groups.iter().enumerate() {
            let before = state_of(&manifest);
            match manifest.append(group) {
                Ok(sequence) if step % 2 == 0 => manifest.sync_to(sequence).unwrap(),
                Ok(_) => {}
                Err(_) => prop_assert_eq!(&before, &state_of(&manifest), "half a group"),
            }
            if step % pause == 0 {
                let state = state_of(&manifest);
                let witness = manifest.synced_len();
                let (reopened, report) = open(&disk, witness).unwrap();
                prop_assert_eq!(&state, &state_of(&reopened));
                prop_assert_eq!(report.torn_bytes, 0);
                manifest = reopened;
            }
            if step % 7 == 3 {
                manifest.rewrite().unwrap();
                let (reopened, _) = open(&disk, manifest.synced_len()).unwrap();
                prop_assert_eq!(state_of(&manifest), state_of(&reopened));
            }
        }
    }

    #[test]
    fn a_group_is_tried_on_an_excerpt_as_on_the_whole(groups in groups()) {
        let mut state = ManifestState::default();
        state.apply(&Record::LogCreated { log_id: 1 }).unwrap();
        for group in groups {
            let mut whole = state.clone();
            let outcome = group.iter().try_for_each(|record| whole.change(record));
            prop_assert_eq!(state.check(&group), outcome.clone());
            if outcome.is_ok() {
                state = whole;
                let mut again = ManifestState::default();
                state.records().iter().try_for_each(|record| again.apply(record)).unwrap();
                prop_assert_eq!(&again, &state);
            }
        }
    }
}

#[test]
fn ten_thousand_partitions_fit() {
    let disk = TestDisk::new();
    let manifest = create(&disk);
    manifest.append(&[Record::Opened { incarnation: 1, boot_id: None }]).unwrap();
    let mut last = 0;
    for n in 0..10_000_u32 {
        let (key, number) = (key(u128::from(n / 100), n % 100), manifest.next_number());
        let create = Record::SegmentCreated { key, number, base_offset: 0 };
        last = manifest.append(&[create, Record::Ceiling { key, offset: 4096 }]).unwrap();
    }
    manifest.sync_to(last).unwrap();
    let (reopened, _) = open(&disk, manifest.synced_len()).unwrap();
    assert_eq!(reopened.with_state(|state| state.partitions().count()), 10_000);
}
