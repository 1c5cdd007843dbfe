//! Random histories against a plain map, with conflicts, seals, deletions and restarts.

use std::collections::BTreeMap;

use alluvium::{Durability, ErrorKind, EventLog, Expect, NewTopic, RecordsToDelete, Topic};
use proptest::prelude::*;

use crate::bed::*;
use crate::support::*;

#[derive(Clone, Debug)]
enum Step {
    Send {
        key: u8,
        len: usize,
    },
    Tombstone {
        key: u8,
    },
    NoKey,
    /// Relies on what there is, or on what there was so many records ago.
    If {
        key: u8,
        kind: u8,
        stale: u64,
        count: usize,
    },
    Seal,
    Trim {
        percent: u64,
    },
    Look {
        key: u8,
    },
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = || 0..12_u8;
    let step = prop_oneof![
        20 => (key(), 0..300_usize).prop_map(|(key, len)| Step::Send { key, len }),
        4 => key().prop_map(|key| Step::Tombstone { key }),
        2 => Just(Step::NoKey),
        30 => (key(), 0..4_u8, 0..3_u64, 1..4_usize)
            .prop_map(|(key, kind, stale, count)| Step::If { key, kind, stale, count }),
        3 => Just(Step::Seal),
        1 => (0..=60_u64).prop_map(|percent| Step::Trim { percent }),
        10 => key().prop_map(|key| Step::Look { key }),
        2 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 0..160)
}

/// The keys of what was appended, and the log start.
#[derive(Default)]
struct Model {
    keys: Vec<Option<u8>>,
    start: u64,
}

impl Model {
    fn places(&self, key: u8) -> Vec<u64> {
        let all = (0..).zip(&self.keys).filter(|(_, of)| **of == Some(key));
        all.map(|(offset, _)| offset).filter(|offset| *offset >= self.start).collect()
    }

    fn expect(&self, key: u8, kind: u8, stale: u64) -> Option<Expect> {
        let places = self.places(key);
        Some(match kind {
            0 => Expect::NextOffset((self.keys.len() as u64).saturating_sub(stale)),
            1 => Expect::KeyAbsent,
            2 => Expect::KeyAt(places.last()?.saturating_sub(stale)),
            _ => Expect::KeyVersion((places.len() as u64).saturating_sub(stale)),
        })
    }

    /// Whether it holds.
    fn judge(&self, key: u8, expect: Expect) -> bool {
        let places = self.places(key);
        match expect {
            Expect::NextOffset(next) => next == self.keys.len() as u64,
            Expect::KeyAbsent => places.is_empty(),
            Expect::KeyAt(offset) => places.last() == Some(&offset),
            Expect::KeyVersion(count) => places.len() as u64 == count,
            _ => unreachable!("no other condition is made"),
        }
    }
}

fn name(key: u8) -> String {
    format!("key-{key}")
}

fn look(topic: &Topic, model: &Model, key: u8) {
    let places = model.places(key);
    assert_eq!(history(topic, &name(key)), places);
    assert_eq!(latest(topic, &name(key)), places.last().copied());
    if let Some(middle) = places.get(places.len() / 2) {
        let from = topic.history(name(key)).unwrap().from(*middle);
        assert_eq!(from.count(), places.len() - places.len() / 2);
    }
}

fn send_if(log: &EventLog, topic: &Topic, model: &mut Model, step: (u8, u8, u64, usize)) {
    let (key, kind, stale, count) = step;
    let Some(expect) = model.expect(key, kind, stale) else { return };
    let (p, key_name) = (producer(log), name(key));
    let records = vec![topic.record("v").key(&key_name); count];
    let sent = match count {
        1 => p.send_if(records[0], expect).map(|sent| sent.wait().unwrap().offset),
        _ => p.send_batch_if(records, expect).map(|sent| {
            sent.wait().unwrap();
            sent.parts()[0].result().unwrap().start
        }),
    };
    let is_counted = !matches!(expect, Expect::KeyVersion(_)) || model.start == 0;
    match (is_counted, model.judge(key, expect)) {
        (false, _) => {
            refused(ErrorKind::PolicyViolation, sent);
        }
        (true, true) => {
            assert_eq!(sent.unwrap(), model.keys.len() as u64, "{expect:?}");
            model.keys.extend(std::iter::repeat_n(Some(key), count));
        }
        (true, false) => {
            let error = refused(ErrorKind::ConditionFailed, sent);
            let next = model.keys.len() as u64;
            let actual = match expect {
                Expect::NextOffset(_) => Some(next),
                _ => model.places(key).last().copied(),
            };
            assert_eq!(error.actual_offset(), actual, "{expect:?}");
        }
    }
}

fn run(bed: &Bed, steps: Vec<Step>) {
    let open = || bed.builder().stage_bytes(64 << 10).open().unwrap();
    let mut log = open();
    let config = NewTopic::new("t")
        .key_index(true)
        .config("internal.segment.bytes", "4096")
        .config("key.index.memory.bytes", "65536");
    let mut topic = log.create_topic(config).unwrap();
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Send { key, len } => {
                put(&producer(&log), topic.record(&vec![7; len]).key(&name(key)));
                model.keys.push(Some(key));
            }
            Step::Tombstone { key } => {
                put(&producer(&log), topic.tombstone(&name(key)));
                model.keys.push(Some(key));
            }
            Step::NoKey => {
                put(&producer(&log), topic.record("v"));
                model.keys.push(None);
            }
            Step::If { key, kind, stale, count } => {
                send_if(&log, &topic, &mut model, (key, kind, stale, count));
            }
            Step::Seal => seal(&log, &topic),
            Step::Trim { percent } => {
                let before = model.start.max(model.keys.len() as u64 * percent / 100);
                let to = RecordsToDelete::BeforeOffset(before);
                log.admin().delete_records(&tp("t", 0), to).unwrap();
                model.start = before;
            }
            Step::Look { key } => look(&topic, &model, key),
            Step::Reopen if bed.is_memory() => {}
            Step::Reopen => {
                log.close().unwrap();
                log = open();
                topic = log.topic("t").unwrap();
            }
        }
    }
    (0..12).for_each(|key| look(&topic, &model, key));
    let by_key = read_all(&log, &tp("t", 0));
    let mut seen = BTreeMap::<Option<Vec<u8>>, usize>::new();
    by_key.iter().for_each(|r| *seen.entry(r.key().map(<[u8]>::to_vec)).or_default() += 1);
    for key in 0..12 {
        let count = seen.get(&Some(name(key).into_bytes())).copied().unwrap_or(0);
        assert_eq!(count, model.places(key).len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn an_indexed_topic_in_memory_is_its_model(steps in steps()) {
        run(&Bed::new(Kind::Memory), steps);
    }

    #[test]
    fn an_indexed_topic_on_disk_is_its_model(steps in steps(), durable in any::<bool>()) {
        let kind = if durable { Kind::PowerLoss } else { Kind::ProcessCrash };
        let bed = Bed::new(kind);
        debug_assert_ne!(Durability::Memory, Durability::PowerLoss);
        run(&bed, steps);
    }
}
