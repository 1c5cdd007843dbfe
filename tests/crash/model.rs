//! Random histories of the whole log, against a model of plain maps.
//!
//! `PROPTEST_CASES=20000 cargo test --release --test crash model` for many of them.

use proptest::collection::vec;
use proptest::prelude::*;

use alluvium::Durability::{PowerLoss, ProcessCrash};
use alluvium::{Durability, TopicPartition};

use super::bed::{Bed, End, Sent, Shape, There};
use super::history::Step;
use super::verify::{brief, found, read_from};

const NAMES: [(&str, Durability); 3] = [("p", PowerLoss), ("c", ProcessCrash), ("q", PowerLoss)];

#[derive(Clone, Copy, Debug)]
enum Op {
    Send {
        topic: usize,
        count: usize,
        size: usize,
    },
    Batch {
        topic: usize,
        count: usize,
        size: usize,
    },
    Large {
        size: usize,
    },
    Wait {
        topic: usize,
    },
    Flush,
    Tick,
    Reopen,
    Kill,
    Cut(u64),
    Recreate {
        topic: usize,
        segment: u32,
    },
    Read {
        topic: usize,
        from: u64,
    },
    Time {
        topic: usize,
        time: u64,
    },
    /// The machine stops in the middle of what comes next.
    Crash {
        within: u64,
        seed: u64,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let topic = 0..NAMES.len();
    prop_oneof![
        8 => (topic.clone(), 1_usize..12, 8_usize..260)
            .prop_map(|(topic, count, size)| Op::Send { topic, count, size }),
        2 => (topic.clone(), 60_usize..120, 200_usize..260)
            .prop_map(|(topic, count, size)| Op::Send { topic, count, size }),
        4 => (topic.clone(), 2_usize..6, 8_usize..40)
            .prop_map(|(topic, count, size)| Op::Batch { topic, count, size }),
        1 => (66_000_usize..80_000).prop_map(|size| Op::Large { size }),
        3 => topic.clone().prop_map(|topic| Op::Wait { topic }),
        2 => Just(Op::Flush),
        3 => Just(Op::Tick),
        2 => Just(Op::Reopen),
        2 => Just(Op::Kill),
        2 => any::<u64>().prop_map(Op::Cut),
        1 => (topic.clone(), 300_u32..900)
            .prop_map(|(topic, segment)| Op::Recreate { topic, segment }),
        3 => (topic.clone(), any::<u64>()).prop_map(|(topic, from)| Op::Read { topic, from }),
        2 => (topic, any::<u64>()).prop_map(|(topic, time)| Op::Time { topic, time }),
        2 => (0_u64..30, any::<u64>()).prop_map(|(within, seed)| Op::Crash { within, seed }),
    ]
}

fn create(index: usize, segment: u32) -> Step {
    let (name, level) = NAMES[index];
    // The last topic takes the large calls.
    let segment = if index == 2 { 100_000 } else { segment };
    Step::Create(name, Shape { level, partitions: 1, segment, compacted: false })
}

/// Does it; an error is fine only once the machine is off.
fn apply(bed: Bed, op: Op, what: &str) -> Bed {
    let mut bed = bed;
    let step = match op {
        Op::Send { topic, count, size } => Step::Send(NAMES[topic].0, 0, count, size),
        Op::Batch { topic, count, size } => Step::Batch(NAMES[topic].0, 0, count, size),
        Op::Large { size } => Step::Send(NAMES[2].0, 0, 1, size),
        Op::Wait { topic } => Step::Wait(NAMES[topic].0, 0),
        Op::Flush => Step::Flush,
        Op::Tick => Step::Tick,
        Op::Reopen => Step::Reopen,
        Op::Kill => return crash(bed, End::Kill, what),
        Op::Cut(seed) => return crash(bed, End::seed(seed), what),
        Op::Recreate { topic, segment } => {
            let steps = [Step::Delete(NAMES[topic].0), create(topic, segment)];
            return settle(bed, &steps, what);
        }
        Op::Read { topic, from } => {
            look_from(&bed, NAMES[topic], from, what);
            return bed;
        }
        Op::Time { topic, time } => {
            look_at(&mut bed, NAMES[topic], time, what);
            return bed;
        }
        Op::Crash { within, .. } => {
            bed.disk.crash_at(bed.disk.operations() + within);
            return bed;
        }
    };
    settle(bed, &[step], what)
}

fn settle(mut bed: Bed, steps: &[Step], what: &str) -> Bed {
    if let Err(error) = bed.run(steps) {
        assert!(bed.disk.is_off(), "{what}: {error:?}");
    }
    bed
}

fn crash(bed: Bed, end: End, what: &str) -> Bed {
    let mut next = bed.end(end);
    next.recover(end, what);
    for (index, (name, _)) in NAMES.iter().enumerate() {
        let there = next.account.topics.get(name).is_some_and(|known| known.there == There::Yes);
        if !there {
            next.step(create(index, 500)).unwrap_or_else(|e| panic!("{what}: create: {e:?}"));
        }
    }
    next
}

/// The records of a topic that may be seen now: all of `ProcessCrash`, else a prefix.
fn visible(bed: &Bed, (name, level): (&str, Durability), end: u64) -> Vec<(u64, Sent)> {
    let part = &bed.account.topics[name].parts[0];
    assert!(end >= if level == PowerLoss { part.acked } else { part.end() });
    part.sent.range(..end).map(|(offset, sent)| (*offset, *sent)).collect()
}

fn look_from(bed: &Bed, topic: (&str, Durability), from: u64, what: &str) {
    if bed.disk.is_off() {
        return;
    }
    let end = bed.account.topics[topic.0].parts[0].sent.len() as u64;
    // Offsets behind a gap are reached through their records.
    let known: Vec<u64> = bed.account.topics[topic.0].parts[0].sent.keys().copied().collect();
    let from = match known.as_slice() {
        [] => 0,
        some => some[usize::try_from(from % end).unwrap()],
    };
    let content = read_from(bed.log(), topic.0, 0, Some(from));
    let content = match content {
        Ok(content) => content,
        Err(_) if bed.disk.is_off() => return,
        Err(error) => panic!("{what}: read from {from}: {error:?}"),
    };
    let all = visible(bed, topic, content.end);
    let expected: Vec<_> = all
        .into_iter()
        .filter(|(offset, _)| *offset >= from)
        .map(|(offset, sent)| found(offset, sent))
        .collect();
    let (is, should) = (brief(&content.records), brief(&expected));
    assert!(content.records == expected, "{what}: from {from}: {is:?}, not {should:?}");
}

fn look_at(bed: &mut Bed, topic: (&str, Durability), time: u64, what: &str) {
    let time = 1_000_000 + i64::try_from(time % (bed.account.next * 10 + 20)).unwrap();
    let tp = TopicPartition::new(topic.0, 0);
    let consumer = bed.log().consumer().build();
    let Ok(consumer) = consumer else { return };
    let end = consumer.end_offsets(std::slice::from_ref(&tp)).unwrap().get(&tp).unwrap();
    let hits = match consumer.offsets_for_times([(tp.clone(), time)]) {
        Ok(hits) => hits,
        Err(_) if bed.disk.is_off() => return,
        Err(error) => panic!("{what}: at {time}: {error:?}"),
    };
    if bed.disk.is_off() {
        return;
    }
    let all = visible(bed, topic, end);
    let expected = all.into_iter().find(|(_, sent)| sent.time() >= time);
    let hit = hits.get(&tp).copied().flatten().map(|hit| (hit.offset, hit.timestamp_ms));
    assert_eq!(hit, expected.map(|(offset, sent)| (offset, sent.time())), "{what}: at {time}");
}

fn cases() -> ProptestConfig {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if std::env::var_os("PROPTEST_CASES").is_some() { config } else { config_of(config, 64) }
}

fn config_of(config: ProptestConfig, cases: u32) -> ProptestConfig {
    ProptestConfig { cases, ..config }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn the_log_is_what_the_model_says(
        segments in (300_u32..900, 300_u32..900),
        ops in vec(op(), 1..40),
    ) {
        let mut bed = Bed::fresh();
        bed.run(&[create(0, segments.0), create(1, segments.1), create(2, 0)]).unwrap();
        let mut seed = 0;
        for (number, op) in ops.iter().enumerate() {
            let what = format!("operation {number}, {op:?}");
            bed = apply(bed, *op, &what);
            if let Op::Crash { seed: new, .. } = op {
                seed = *new;
            }
            if bed.disk.is_off() {
                let end = if seed % 3 == 0 { End::Kill } else { End::seed(seed) };
                bed = crash(bed, end, &format!("{what}, crashed, {end:?}"));
            }
        }
        bed = crash(bed, End::Kill, "at the end, killed");
        bed.step(Step::Reopen).unwrap();
        bed.verify(End::NOTHING, "at the end, closed");
        let _ = crash(bed, End::NOTHING, "at the end, without power");
    }
}
