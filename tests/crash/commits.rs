//! Committed offsets, and a crash at every operation: an old one or a new one, whole, and nothing
//! lost that was acknowledged at the level of its topic.

use std::collections::BTreeMap;
use std::time::Duration;

use alluvium::testing::SimDisk;
use alluvium::{
    Consumer, Durability, Error, EventLog, NewTopic, OffsetAndMetadata, OffsetReset, Offsets,
    Record, TopicPartition,
};

use super::bed::{Account, Bed, End, much};

const TOPICS: [(&str, Durability); 2] =
    [("p", Durability::PowerLoss), ("c", Durability::ProcessCrash)];
const ROUNDS: u64 = 6;

fn tp(topic: &str) -> TopicPartition {
    TopicPartition::new(topic, 0)
}

/// What was said of a group's offset in one topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Said {
    /// The last commit that was acknowledged.
    acknowledged: u64,
    /// The last that was tried.
    tried: u64,
}

type Told = BTreeMap<&'static str, Said>;

fn member(log: &EventLog) -> Result<Consumer, Error> {
    let group = log.consumer().group("g").topics(["p", "c"]).auto_commit(None);
    group.set("group.instance.id", "one").offset_reset(OffsetReset::Earliest).build()
}

/// Sends a record to each topic, reads it and commits behind it, until the machine stops.
fn run(bed: &mut Bed, told: &mut Told) -> Result<(), Error> {
    bed.open()?;
    for (name, level) in TOPICS {
        let topic = NewTopic::new(name).durability(level);
        bed.log().create_topic(topic.config("internal.segment.bytes", "900"))?;
    }
    let mut consumer = member(bed.log())?;
    for round in 0..ROUNDS {
        if round == ROUNDS / 2 {
            drop(consumer);
            bed.close()?;
            bed.open()?;
            consumer = member(bed.log())?;
        }
        for (name, _) in TOPICS {
            bed.producer().send(Record::new(name, &[b'v'; 300]))?.wait()?;
        }
        consumer.poll(Duration::ZERO)?;
        for (name, _) in TOPICS {
            let said = told.entry(name).or_default();
            said.tried = round + 1;
            let text = (round + 1).to_string();
            let offset = OffsetAndMetadata::new(round + 1).metadata(&text);
            consumer.commit_with_metadata([(tp(name), offset)])?;
            if !bed.disk.is_off() {
                said.acknowledged = round + 1;
            }
        }
        bed.clock.manual.advance(Duration::from_millis(60));
        bed.log().tick();
    }
    drop(consumer);
    bed.close()
}

/// Whether the offset is one that may be there, and whole.
fn check(log: &EventLog, name: &str, level: Durability, said: Said, end: End, what: &str) -> u64 {
    let consumer = log.consumer().group("g").build().unwrap();
    let found = consumer.committed(&[tp(name)]).unwrap();
    let found = found.get(&tp(name));
    let offset = found.map_or(0, |found| found.offset);
    if let Some(found) = found {
        assert_eq!(found.metadata.as_ref(), offset.to_string(), "{what}: {name}: a mixture");
    }
    let safe = end == End::Kill || level == Durability::PowerLoss;
    let least = if safe { said.acknowledged } else { 0 };
    assert!((least..=said.tried).contains(&offset), "{what}: {name}: {offset} of {said:?}");
    offset
}

/// The group goes on: it reads every record from what is committed on, and what is sent now.
fn goes_on(log: &EventLog, committed: &BTreeMap<&str, u64>, what: &str) {
    let producer = log.producer().build().unwrap();
    let mut new = BTreeMap::new();
    for (name, _) in TOPICS {
        let delivery = producer.send(Record::new(name, "new")).unwrap();
        new.insert(name, delivery.wait().unwrap().offset);
    }
    let mut consumer = member(log).unwrap();
    let mut seen: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for _ in 0..20 {
        for record in &consumer.poll(Duration::ZERO).unwrap() {
            seen.entry(record.topic().to_owned()).or_default().push(record.offset());
        }
    }
    for (name, _) in TOPICS {
        let (seen, new) = (&seen[name], new[name]);
        assert_eq!(seen.last(), Some(&new), "{what}: {name}: the new record is skipped: {seen:?}");
        let mut reader = log.consumer().offset_reset(OffsetReset::Earliest).build().unwrap();
        reader.assign([tp(name)]).unwrap();
        reader.seek_to_beginning(&[tp(name)]).unwrap();
        let mut all = Vec::new();
        while reader.position(&tp(name)).unwrap() <= new {
            all.extend(reader.poll(Duration::ZERO).unwrap().iter().map(|r| r.offset()));
        }
        all.retain(|offset| *offset >= committed[name]);
        assert_eq!(*seen, all, "{what}: {name}: from {} on", committed[name]);
    }
}

#[test]
fn commits_are_old_or_new_and_whole_after_a_crash_at_every_operation() {
    let length = {
        let (mut bed, mut told) = (Bed::on(SimDisk::new(), Account::default()), Told::new());
        run(&mut bed, &mut told).unwrap();
        assert!(told.values().all(|said| said.acknowledged == ROUNDS), "{told:?}");
        bed.disk.operations()
    };
    let mut between = 0;
    for at in 0..length {
        let disk = SimDisk::new();
        disk.crash_at(at);
        let (mut bed, mut told) = (Bed::on(disk, Account::default()), Told::new());
        drop(run(&mut bed, &mut told));
        let ends = [End::Kill, End::NOTHING, End::EVERYTHING];
        for end in ends.into_iter().chain((0..much(3, 24)).map(|n| End::seed(at * 100 + n))) {
            let what = format!("crash at {at}, {end:?}");
            let mut after = Bed::on(end.of(&bed.disk), Account::default());
            after.open().unwrap_or_else(|e| panic!("{what}: does not open: {e:?}"));
            if TOPICS.iter().any(|(name, _)| after.log().topic(name).is_err()) {
                assert!(told.is_empty(), "{what}: a topic is lost");
                continue;
            }
            let mut committed = BTreeMap::new();
            for (name, level) in TOPICS {
                let said = told.get(name).copied().unwrap_or_default();
                between += u64::from(said.acknowledged < said.tried);
                committed.insert(name, check(after.log(), name, level, said, end, &what));
            }
            goes_on(after.log(), &committed, &what);
        }
    }
    assert!(between > 3, "{between} crashes were within a commit");
}

/// What an operator does to a group, one thing after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Committed(u64),
    Nothing,
}

const STATES: [State; 6] = [
    State::Committed(2),
    State::Committed(0),
    State::Nothing,
    State::Committed(1),
    State::Nothing,
    State::Committed(2),
];

/// Resets, deletes offsets and deletes the group; how many of [`STATES`] were acknowledged.
fn operate(bed: &mut Bed, acknowledged: &mut usize) -> Result<(), Error> {
    bed.open()?;
    bed.log().create_topic(NewTopic::new("p").durability(Durability::PowerLoss))?;
    for _ in 0..2 {
        bed.producer().send(Record::new("p", "v"))?.wait()?;
    }
    for (number, state) in STATES.into_iter().enumerate() {
        let admin = bed.log().admin();
        match state {
            State::Committed(offset) => {
                let offsets = Offsets::from_iter([(tp("p"), offset)]);
                admin.alter_group_offsets("g", &offsets)?;
            }
            State::Nothing if number == 2 => admin.delete_group_offsets("g", &[tp("p")])?,
            State::Nothing => admin.delete_group("g")?,
        }
        if !bed.disk.is_off() {
            *acknowledged = number + 1;
        }
    }
    bed.close()
}

#[test]
fn e16_e17_e18_resets_and_deletions_hold_wholly_or_not_at_all_after_a_crash_at_every_operation() {
    let length = {
        let mut bed = Bed::on(SimDisk::new(), Account::default());
        operate(&mut bed, &mut 0).unwrap();
        bed.disk.operations()
    };
    for at in 0..length {
        let disk = SimDisk::new();
        disk.crash_at(at);
        let (mut bed, mut acknowledged) = (Bed::on(disk, Account::default()), 0);
        drop(operate(&mut bed, &mut acknowledged));
        for end in [End::Kill, End::NOTHING, End::EVERYTHING, End::seed(at)] {
            let what = format!("crash at {at}, {end:?}, {acknowledged} acknowledged");
            let mut after = Bed::on(end.of(&bed.disk), Account::default());
            after.open().unwrap_or_else(|e| panic!("{what}: does not open: {e:?}"));
            if after.log().topic("p").is_err() {
                assert_eq!(acknowledged, 0, "{what}: the topic is lost");
                continue;
            }
            let consumer = after.log().consumer().group("g").build().unwrap();
            let found = consumer.committed(&[tp("p")]).unwrap();
            let found =
                found.get(&tp("p")).map_or(State::Nothing, |found| State::Committed(found.offset));
            // What was acknowledged last, or what was under way.
            let last = acknowledged.checked_sub(1).map_or(State::Nothing, |last| STATES[last]);
            let next = STATES.get(acknowledged).copied().unwrap_or(last);
            assert!([last, next].contains(&found), "{what}: {found:?} of {last:?} and {next:?}");
        }
    }
}

/// Bits of the log's own records that have changed: the open is refused, or nothing is lost.
#[test]
fn a_flipped_bit_of_committed_offsets_is_harmless_or_loud() {
    let disk = SimDisk::new();
    let mut bed = Bed::on(disk, Account::default());
    bed.open().unwrap();
    bed.log().create_topic(NewTopic::new("p").durability(Durability::PowerLoss)).unwrap();
    for _ in 0..3 {
        bed.producer().send(Record::new("p", "v")).unwrap().wait().unwrap();
    }
    let consumer = bed.log().consumer().group("g").build();
    let mut consumer = consumer.unwrap();
    // More than the stage holds, so that most of it stands in segments.
    let text = "m".repeat(2_000);
    for number in 0..200 {
        let offset = OffsetAndMetadata::new(number % 4).metadata(&text);
        consumer.commit_with_metadata([(tp("p"), offset)]).unwrap();
    }
    drop(consumer);
    bed.close().unwrap();
    let (mut loud, mut harmless) = (0, 0);
    for path in bed.disk.list_files() {
        let whole = bed.disk.read_file(&path).unwrap();
        let count = much(24, 400);
        for part in (0..count).filter(|_| !whole.is_empty()) {
            let at = whole.len() * part / count;
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (part % 8);
            let copy = bed.disk.kill();
            copy.write_file(&path, &bytes).unwrap();
            let mut after = Bed::on(copy, Account::default());
            match after.open() {
                Err(error) => {
                    assert_ne!(error.kind(), alluvium::ErrorKind::Unknown, "{error:?}");
                    loud += 1;
                }
                Ok(()) => {
                    let consumer = after.log().consumer().group("g").build().unwrap();
                    let found = consumer.committed(&[tp("p")]).unwrap();
                    assert_eq!(found[&tp("p")].offset, 199 % 4, "{path:?} at {at}");
                    harmless += 1;
                }
            }
        }
    }
    assert!(loud > 10 && harmless > 10, "{loud} refused, {harmless} without effect");
}
