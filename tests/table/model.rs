//! Random histories against a plain map.

use std::collections::BTreeMap;

use alluvium::{EventLog, NewTopic, Producer, RecordsToDelete, Table, Topic};
use proptest::prelude::*;

use crate::support::*;

#[derive(Clone, Debug)]
enum Step {
    Send { key: u8, partition: u32, len: usize },
    Tombstone { key: u8, partition: u32 },
    NoKey,
    Trim { partition: u32, percent: u64 },
    Look,
    Build,
    Save,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        30 => (0..30_u8, 0..3_u32, 0..200_usize)
            .prop_map(|(key, partition, len)| Step::Send { key, partition, len }),
        10 => (0..30_u8, 0..3_u32).prop_map(|(key, partition)| Step::Tombstone { key, partition }),
        2 => Just(Step::NoKey),
        2 => (0..3_u32, 0..=100_u64).prop_map(|(partition, percent)| Step::Trim { partition, percent }),
        6 => Just(Step::Look),
        2 => Just(Step::Build),
        2 => Just(Step::Save),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 0..150)
}

/// What was sent and is not trimmed: a row of records for each partition.
#[derive(Default)]
struct Model {
    rows: [Vec<Row>; 3],
    starts: [u64; 3],
}

#[derive(Clone)]
struct Row {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    time: i64,
}

type Found = BTreeMap<Vec<u8>, (u32, u64, Vec<u8>)>;

impl Model {
    fn table(&self) -> Found {
        let mut best: BTreeMap<Vec<u8>, (i64, u32, u64, Vec<u8>)> = BTreeMap::new();
        for (partition, rows) in (0_u32..).zip(&self.rows) {
            let mut latest = BTreeMap::new();
            for (offset, row) in (0_u64..).zip(rows) {
                let Some(key) =
                    row.key.clone().filter(|_| offset >= self.starts[partition as usize])
                else {
                    continue;
                };
                latest.insert(key, (offset, row.clone()));
            }
            for (key, (offset, row)) in latest {
                let Some(value) = row.value else { continue };
                let mine = (row.time, partition, offset, value);
                let known = best.entry(key).or_insert_with(|| mine.clone());
                if (mine.0, mine.1) > (known.0, known.1) {
                    *known = mine;
                }
            }
        }
        best.into_iter().map(|(key, (_, p, o, v))| (key, (p, o, v))).collect()
    }
}

fn found(table: &Table) -> Found {
    let view = table.view().unwrap();
    let rows =
        view.records().map(|r| (r.key().to_vec(), (r.partition(), r.offset(), r.value().to_vec())));
    let rows: Found = rows.collect();
    assert_eq!(rows.len(), view.len());
    for (key, (partition, offset, value)) in &rows {
        let record = table.get(key).unwrap().unwrap();
        assert_eq!((record.partition(), record.offset()), (*partition, *offset));
        assert_eq!(record.value(), Some(&value[..]));
    }
    rows
}

/// With the snapshot of an earlier moment, if there is one.
fn build(bed: &Bed, log: &EventLog) -> Table {
    let file = bed.path().map_or_else(|| "t.table".into(), |log| log.with_file_name("t.table"));
    log.table("t").snapshot(file).build().unwrap()
}

struct World<'b> {
    bed: &'b Bed,
    log: EventLog,
    topic: Topic,
    producer: Producer,
    table: Table,
    model: Model,
    time: i64,
}

impl<'b> World<'b> {
    fn new(bed: &'b Bed) -> Self {
        let log = bed.open();
        let small = NewTopic::new("t").partitions(3).config("internal.segment.bytes", "2048");
        let topic = log.create_topic(small).unwrap();
        let (producer, table) = (producer(&log), build(bed, &log));
        Self { bed, log, topic, producer, table, model: Model::default(), time: 0 }
    }

    fn send(&mut self, key: Option<u8>, partition: u32, value: Option<Vec<u8>>) {
        // Times go back now and then.
        self.time = (self.time + 7) % 100;
        let key = key.map(|key| vec![key; 1 + key as usize]);
        let record = match (&key, &value) {
            (Some(key), Some(value)) => self.topic.record(value).key(key),
            (Some(key), None) => self.topic.tombstone(key),
            (None, Some(value)) => self.topic.record(value),
            (None, None) => self.topic.null(),
        };
        put(&self.producer, record.partition(partition).timestamp_ms(self.time));
        self.model.rows[partition as usize].push(Row { key, value, time: self.time });
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Send { key, partition, len } => {
                self.send(Some(key), partition, Some(vec![key; len]));
            }
            Step::Tombstone { key, partition } => self.send(Some(key), partition, None),
            Step::NoKey => self.send(None, 0, Some(vec![1])),
            Step::Trim { partition, percent } => {
                let start = &mut self.model.starts[partition as usize];
                let end = self.model.rows[partition as usize].len() as u64;
                *start += (end - *start) * percent / 100;
                let before = RecordsToDelete::BeforeOffset(*start);
                self.log.admin().delete_records(&tp("t", partition), before).unwrap();
            }
            Step::Look => assert_eq!(found(&self.table), self.model.table()),
            Step::Build => {
                let table = self.log.table("t").build().unwrap();
                assert_eq!(found(&table), self.model.table());
                assert_eq!(found(&build(self.bed, &self.log)), self.model.table());
            }
            Step::Save => self.table.save().unwrap(),
            Step::Reopen => {
                self.log = self.bed.reopen(self.log.clone());
                self.topic = self.log.topic("t").unwrap();
                self.producer = producer(&self.log);
                self.table = build(self.bed, &self.log);
            }
        }
    }
}

fn play(kind: Kind, steps: Vec<Step>) {
    let bed = Bed::new(kind);
    let mut world = World::new(&bed);
    steps.into_iter().for_each(|step| world.step(step));
    world.step(Step::Look);
    world.step(Step::Build);
    assert_eq!(world.table.stats().rescans, 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn g01_g02_a_table_in_memory_is_the_map_of_its_topic(steps in steps()) {
        play(Kind::Memory, steps);
    }

}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn g01_g02_a_table_on_disk_is_the_map_of_its_topic(steps in steps()) {
        play(Kind::ProcessCrash, steps);
    }
}
