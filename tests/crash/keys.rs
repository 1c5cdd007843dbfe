//! An indexed topic with conditional appends, and a crash at every operation: what is found by key is
//! what reading the whole topic finds, conditions go by it, and no acknowledged update is lost.

use std::collections::BTreeMap;

use alluvium::testing::SimDisk;
use alluvium::{Durability, Error, EventLog, Expect, NewTopic, OffsetReset, TopicPartition};

use super::bed::{Account, Bed, End, much};

const KEYS: [&str; 3] = ["a", "b", "c"];
const ROUNDS: u64 = 5;

/// How many updates of each key were acknowledged, and how many were tried.
type Told = BTreeMap<&'static str, (u64, u64)>;

/// Each round adds one to the number of every key, if nobody else has.
fn run(bed: &mut Bed, told: &mut Told) -> Result<(), Error> {
    bed.open()?;
    let topic = NewTopic::new("t").durability(Durability::PowerLoss).key_index(true);
    bed.log().create_topic(topic.config("internal.segment.bytes", "700"))?;
    for round in 0..ROUNDS {
        if round == ROUNDS / 2 {
            bed.close()?;
            bed.open()?;
        }
        let topic = bed.log().topic("t")?;
        for key in KEYS {
            let said = told.entry(key).or_default();
            said.1 = round + 1;
            let seen = topic.latest(key)?;
            let expect = seen.as_ref().map_or(Expect::KeyAbsent, |r| Expect::KeyAt(r.offset()));
            let value = format!("{:0>120}", round + 1);
            bed.producer().send_if(topic.record(&value).key(key), expect)?.wait()?;
            if !bed.disk.is_off() {
                said.0 = round + 1;
            }
        }
        bed.log().admin().roll("t")?;
    }
    bed.close()
}

/// Every record: its offset, key and value.
fn read(log: &EventLog) -> Vec<(u64, Vec<u8>, u64)> {
    let part = TopicPartition::new("t", 0);
    let mut reader = log.consumer().offset_reset(OffsetReset::Earliest).build().unwrap();
    reader.assign([part.clone()]).unwrap();
    let mut all = Vec::new();
    while reader.lag(&part).unwrap() > 0 {
        for record in &reader.poll(std::time::Duration::ZERO).unwrap() {
            let value = record.value_str().unwrap().parse().unwrap();
            all.push((record.offset(), record.key().unwrap().to_vec(), value));
        }
    }
    all
}

fn check(log: &EventLog, told: &Told, what: &str) {
    let topic = log.topic("t").unwrap();
    let all = read(log);
    for key in KEYS {
        let mine: Vec<_> = all.iter().filter(|(_, of, _)| of == key.as_bytes()).collect();
        let found: Vec<_> = topic.history(key).unwrap().map(|r| r.unwrap().offset()).collect();
        let offsets: Vec<_> = mine.iter().map(|(offset, ..)| *offset).collect();
        assert_eq!(found, offsets, "{what}: {key}: by key and by reading");
        let values: Vec<_> = mine.iter().map(|(.., value)| *value).collect();
        let last = values.len() as u64;
        assert_eq!(values, (1..=last).collect::<Vec<_>>(), "{what}: {key}: an update is lost");
        let (acknowledged, tried) = told.get(key).copied().unwrap_or_default();
        assert!((acknowledged..=tried).contains(&last), "{what}: {key}: {last}");
        let producer = log.producer().build().unwrap();
        let record = topic.record("0").key(key);
        let wrong = producer.send_if(record, Expect::KeyVersion(last + 1)).unwrap_err();
        assert_eq!(wrong.actual_offset(), offsets.last().copied(), "{what}: {key}");
        let right = offsets.last().map_or(Expect::KeyAbsent, |at| Expect::KeyAt(*at));
        producer.send_if(record, right).unwrap().wait().unwrap();
    }
}

#[test]
fn what_is_found_by_key_is_what_is_there_after_a_crash_at_every_operation() {
    let length = {
        let (mut bed, mut told) = (Bed::on(SimDisk::new(), Account::default()), Told::new());
        run(&mut bed, &mut told).unwrap();
        assert!(told.values().all(|said| *said == (ROUNDS, ROUNDS)), "{told:?}");
        bed.disk.operations()
    };
    for at in 0..length {
        let disk = SimDisk::new();
        disk.crash_at(at);
        let (mut bed, mut told) = (Bed::on(disk, Account::default()), Told::new());
        drop(run(&mut bed, &mut told));
        let ends = [End::Kill, End::NOTHING, End::EVERYTHING];
        for end in ends.into_iter().chain((0..much(1, 24)).map(|n| End::seed(at * 100 + n))) {
            let what = format!("crash at {at}, {end:?}");
            let mut after = Bed::on(end.of(&bed.disk), Account::default());
            after.open().unwrap_or_else(|e| panic!("{what}: does not open: {e:?}"));
            match after.log().topic("t") {
                Ok(_) => check(after.log(), &told, &what),
                Err(_) => assert!(told.is_empty(), "{what}: the topic is lost"),
            }
        }
    }
}
