//! Transactions, and a crash at every operation: each counts wholly or not at all, in all of its
//! partitions and offsets, and those that were acknowledged do count.

use std::collections::BTreeSet;
use std::time::Duration;

use alluvium::testing::{Fault, SimDisk};
use alluvium::{
    CommitError, Durability, Error, ErrorKind, EventLog, Isolation, NewTopic, OffsetReset, Offsets,
    Outcome, Record, TopicPartition, TransactionalProducer,
};

use super::bed::{Account, Bed, End, much};

const LEVELS: [Durability; 2] = [Durability::PowerLoss, Durability::ProcessCrash];
/// Whether each transaction is to be committed.
const ROUNDS: [bool; 4] = [true, false, true, true];

fn tp(topic: &str) -> TopicPartition {
    TopicPartition::new(topic, 0)
}

/// What was said of transactions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Told {
    /// Those that were to be committed, by number.
    tried: BTreeSet<u64>,
    /// Those of which the commit has returned.
    acknowledged: BTreeSet<u64>,
    /// Those of which it was said that they do not count.
    aborted: BTreeSet<u64>,
}

/// Sends the number of the transaction to every topic, and commits it as an offset.
fn transact(
    producer: &mut TransactionalProducer,
    log: &EventLog,
    topics: &[&str],
    number: u64,
    commits: bool,
) -> Result<(), CommitError> {
    let aborted = |error| CommitError { error, outcome: Outcome::Aborted };
    let transaction = producer.begin().map_err(aborted)?;
    let value = number.to_string();
    for topic in topics {
        let padding = "p".repeat(200);
        for text in [&value, &padding] {
            transaction.send(Record::new(topic, text)).map_err(aborted)?;
        }
    }
    let consumer = log.consumer().group("g").build().map_err(aborted)?;
    let offsets = Offsets::from_iter([(tp(topics[0]), number)]);
    transaction.send_offsets(&offsets, &consumer.group_metadata()).map_err(aborted)?;
    if commits { transaction.commit() } else { transaction.abort().map_err(aborted) }
}

fn prepare(bed: &mut Bed, topics: &[(&str, Durability)]) -> Result<TransactionalProducer, Error> {
    bed.open()?;
    for (name, level) in topics {
        let topic = NewTopic::new(name).durability(*level);
        bed.log().create_topic(topic.config("internal.segment.bytes", "900"))?;
    }
    bed.log().transactional_producer("t").timeout(Duration::from_secs(900)).build()
}

fn run(bed: &mut Bed, topics: &[(&str, Durability)], told: &mut Told) -> Result<(), Error> {
    let mut producer = prepare(bed, topics)?;
    let names: Vec<&str> = topics.iter().map(|(name, _)| *name).collect();
    for (number, commits) in (1..).zip(ROUNDS) {
        if commits {
            told.tried.insert(number);
        }
        let outcome = transact(&mut producer, bed.log(), &names, number, commits);
        // Of a machine that is off nobody was told anything.
        if bed.disk.is_off() {
            return outcome.map_err(Error::from);
        }
        match outcome {
            Ok(()) if commits => drop(told.acknowledged.insert(number)),
            Ok(()) => {}
            Err(e) => return Err(e.into()),
        }
        bed.clock.manual.advance(Duration::from_millis(60));
        bed.log().tick();
        if number == 2 {
            drop(producer);
            bed.close()?;
            bed.open()?;
            producer = bed.log().transactional_producer("t").build()?;
        }
    }
    drop(producer);
    bed.close()
}

/// The numbers that readers of what is committed see in a topic.
fn seen(log: &EventLog, topic: &str, what: &str) -> BTreeSet<u64> {
    let reader = log.consumer().isolation(Isolation::ReadCommitted);
    let mut reader = reader.offset_reset(OffsetReset::Earliest).build().unwrap();
    reader.assign([tp(topic)]).unwrap();
    let (mut numbers, mut records) = (Vec::new(), 0);
    for _ in 0..20 {
        for record in &reader.poll(Duration::ZERO).unwrap() {
            records += 1;
            numbers.extend(record.value_str().unwrap().parse::<u64>().ok());
        }
    }
    let set: BTreeSet<u64> = numbers.iter().copied().collect();
    assert_eq!(numbers.len(), set.len(), "{what}: {topic}: doubled: {numbers:?}");
    assert_eq!(records, 2 * numbers.len(), "{what}: {topic}: a part of a transaction");
    assert!(numbers.is_sorted(), "{what}: {topic}: {numbers:?}");
    set
}

fn offset(log: &EventLog, topic: &str) -> Option<u64> {
    let consumer = log.consumer().group("g").build().unwrap();
    consumer.committed(&[tp(topic)]).unwrap().get(&tp(topic)).map(|found| found.offset)
}

/// One outcome for each transaction, and another one can follow.
fn check(log: &EventLog, topics: &[(&str, Durability)], told: &Told, what: &str) {
    let names: Vec<&str> = topics.iter().map(|(name, _)| *name).collect();
    let first = seen(log, names[0], what);
    for name in &names {
        let other = seen(log, name, what);
        assert_eq!(first, other, "{what}: {} and {name} differ, {told:?}", names[0]);
    }
    assert_eq!(offset(log, names[0]), first.last().copied(), "{what}: offsets and records");
    assert!(first.is_superset(&told.acknowledged), "{what}: {first:?} of {told:?}");
    assert!(first.is_subset(&told.tried), "{what}: {first:?} of {told:?}");
    assert!(first.is_disjoint(&told.aborted), "{what}: {first:?} of {told:?}");
}

fn goes_on(log: &EventLog, topics: &[(&str, Durability)], what: &str) {
    let names: Vec<&str> = topics.iter().map(|(name, _)| *name).collect();
    let mut producer = log.transactional_producer("t").build().unwrap();
    transact(&mut producer, log, &names, 1_000, true).unwrap_or_else(|e| panic!("{what}: {e}"));
    for name in &names {
        assert!(seen(log, name, what).contains(&1_000), "{what}: {name} stands still");
    }
}

fn crash_everywhere(topics: &[(&str, Durability)], ends: &[End], seeds: u64) {
    let length = {
        let (mut bed, mut told) = (Bed::on(SimDisk::new(), Account::default()), Told::default());
        run(&mut bed, topics, &mut told).unwrap();
        assert_eq!(told.acknowledged.len(), 3, "{told:?}");
        bed.disk.operations()
    };
    let (mut within, mut undone) = (0, 0);
    for at in 0..length {
        let disk = SimDisk::new();
        disk.crash_at(at);
        let (mut bed, mut told) = (Bed::on(disk, Account::default()), Told::default());
        drop(run(&mut bed, topics, &mut told));
        within += u64::from(told.acknowledged.len() < told.tried.len());
        let seeds = (0..seeds).map(|n| End::seed(at * 100 + n));
        for end in ends.iter().copied().chain(seeds) {
            let what = format!("crash at {at}, {end:?}");
            let mut after = Bed::on(end.of(&bed.disk), Account::default());
            after.open().unwrap_or_else(|e| panic!("{what}: does not open: {e:?}"));
            if topics.iter().any(|(name, _)| after.log().topic(name).is_err()) {
                assert!(told.tried.is_empty(), "{what}: a topic is lost");
                continue;
            }
            check(after.log(), topics, &told, &what);
            undone += u64::from(seen(after.log(), topics[0].0, &what).len() < told.tried.len());
            goes_on(after.log(), topics, &what);
        }
    }
    assert!(within > 3 && undone > 3, "{within} crashes were within a commit, {undone} undone");
}

#[test]
fn b30_a_transaction_of_both_levels_is_whole_after_a_kill_or_a_power_cut_at_every_operation() {
    let topics = [("p", LEVELS[0]), ("c", LEVELS[1]), ("q", LEVELS[0])];
    let ends = [End::Kill, End::NOTHING, End::EVERYTHING];
    crash_everywhere(&topics, &ends, much(2, 24));
}

#[test]
fn b30_a_transaction_below_power_loss_is_whole_after_a_kill_at_every_operation() {
    let topics = [("c", LEVELS[1]), ("d", LEVELS[1])];
    crash_everywhere_quietly(&topics);
}

/// Below `PowerLoss` a commit waits for no disk: the operations are those of what is around it,
/// so the process is killed behind every call as well.
fn crash_everywhere_quietly(topics: &[(&str, Durability)]) {
    let names: Vec<&str> = topics.iter().map(|(name, _)| *name).collect();
    for last in 1..=8 {
        let mut bed = Bed::on(SimDisk::new(), Account::default());
        let mut producer = prepare(&mut bed, topics).unwrap();
        let mut told = Told::default();
        for (number, commits) in (1..=last).zip(ROUNDS.into_iter().cycle()) {
            transact(&mut producer, bed.log(), &names, number, commits).unwrap();
            if commits {
                told.tried.insert(number);
                told.acknowledged.insert(number);
            }
        }
        let open = producer.begin().unwrap();
        open.send(Record::new(names[0], "open")).unwrap();
        let mut after = Bed::on(bed.disk.kill(), Account::default());
        after.open().unwrap();
        let what = format!("a kill behind {last}");
        check(after.log(), topics, &told, &what);
        goes_on(after.log(), topics, &what);
    }
}

/// The open that ends what a crash has left crashes too, at each of its operations.
#[test]
fn recovery_may_crash_at_every_operation_and_decides_the_same() {
    let topics = [("p", LEVELS[0]), ("c", LEVELS[1])];
    let length = {
        let (mut bed, mut told) = (Bed::on(SimDisk::new(), Account::default()), Told::default());
        run(&mut bed, &topics, &mut told).unwrap();
        bed.disk.operations()
    };
    let step = much(7, 1);
    for at in (length / 3..length).step_by(step) {
        let disk = SimDisk::new();
        disk.crash_at(at);
        let (mut bed, mut told) = (Bed::on(disk, Account::default()), Told::default());
        drop(run(&mut bed, &topics, &mut told));
        let base = bed.disk.power_cut_with(alluvium::testing::PowerCut::Seed(at));
        let open_length = {
            let mut after = Bed::on(base.kill(), Account::default());
            after.open().unwrap();
            if topics.iter().any(|(name, _)| after.log().topic(name).is_err()) {
                continue;
            }
            after.disk.operations()
        };
        let mut decided = None;
        for again in (0..open_length).step_by(much(3, 1)) {
            let what = format!("crash at {at}, and at {again} of the open");
            let disk = base.kill();
            disk.crash_at(again);
            let mut second = Bed::on(disk, Account::default());
            drop(second.open());
            let mut third = Bed::on(End::seed(again).of(&second.disk), Account::default());
            third.open().unwrap_or_else(|e| panic!("{what}: does not open: {e:?}"));
            check(third.log(), &topics, &told, &what);
            let now = seen(third.log(), "p", &what);
            assert_eq!(*decided.get_or_insert(now.clone()), now, "{what}");
        }
    }
}

/// A sync of the commit fails, and its time is over before the disk is well again.
#[test]
fn a_decision_whose_sync_fails_is_told_as_it_is_and_made_good_later() {
    let topics = [("p", LEVELS[0]), ("q", LEVELS[0])];
    let names = ["p", "q"];
    let commit = |fails: Option<u64>| {
        let mut bed = Bed::on(SimDisk::new(), Account::default());
        let mut producer = prepare(&mut bed, &topics).unwrap();
        transact(&mut producer, bed.log(), &names, 1, true).unwrap();
        let before = bed.disk.operations();
        if let Some(after) = fails {
            // The device is gone from there on.
            (after..after + 300).for_each(|at| bed.disk.fail_at(before + at, Fault::SyncFails));
            bed.clock.hurry(Duration::from_secs(9));
        }
        let outcome = transact(&mut producer, bed.log(), &names, 2, true);
        let length = bed.disk.operations() - before;
        bed.clock.hurry(Duration::ZERO);
        bed.disk.clear_faults();
        (bed, producer, outcome, length)
    };
    let length = commit(None).3;
    let mut outcomes = Vec::new();
    for fails in 0..length {
        let (bed, mut producer, outcome, _) = commit(Some(fails));
        let what = format!("operation {fails} fails: {outcome:?}");
        let mut told = Told { acknowledged: [1].into(), ..Told::default() };
        told.tried.extend([1, 2]);
        match &outcome {
            Ok(()) => drop(told.acknowledged.insert(2)),
            Err(e) => {
                outcomes.push(e.outcome);
                if e.outcome == Outcome::Aborted {
                    told.aborted.insert(2);
                } else {
                    // In this life it will be committed.
                    told.acknowledged.insert(2);
                }
            }
        }
        let mut next = producer.begin();
        for _ in 0..100 {
            let Err(e) = &next else { break };
            assert_eq!(e.kind(), ErrorKind::ConcurrentTransactions, "{what}: {e}");
            drop(next);
            bed.clock.manual.advance(Duration::from_millis(200));
            bed.log().tick();
            next = producer.begin();
        }
        drop(next.unwrap_or_else(|e| panic!("{what}: {e}")));
        check(bed.log(), &topics, &told, &what);
        goes_on(bed.log(), &topics, &what);
    }
    assert!(outcomes.contains(&Outcome::Aborted), "{outcomes:?}");
    assert!(outcomes.contains(&Outcome::Undecided), "{outcomes:?}");
}

/// The disk and the stage are full of other records: whoever has a transaction open can end it,
/// and the next open ends what is left.
#[test]
fn full_disks_keep_nobody_from_ending_a_transaction() {
    for commits in [true, false] {
        let topics = [("p", LEVELS[0]), ("c", LEVELS[1])];
        let mut bed = Bed::on(SimDisk::new(), Account::default());
        let mut producer = prepare(&mut bed, &topics).unwrap();
        let mut hanging = bed.log().transactional_producer("hangs").build().unwrap();
        let mut told = Told::default();
        transact(&mut producer, bed.log(), &["p", "c"], 1, true).unwrap();
        told.tried.insert(1);
        told.acknowledged.insert(1);
        let transaction = producer.begin().unwrap();
        for topic in ["p", "c"] {
            for value in ["2", "padding"] {
                transaction.send(Record::new(topic, value)).unwrap();
            }
        }
        let consumer = bed.log().consumer().group("g").build().unwrap();
        let offsets = Offsets::from_iter([(tp("p"), 2)]);
        transaction.send_offsets(&offsets, &consumer.group_metadata()).unwrap();
        let left = hanging.begin().unwrap();
        left.send(Record::new("c", "left open")).unwrap();
        bed.disk.set_space(bed.disk.used_space());
        let filler = bed.log().producer().set("max.block.ms", "20").build().unwrap();
        let filled = |topic| {
            let sent = (0..2_000).map(|_| filler.send(Record::new(topic, &[b'f'; 700])).map(drop));
            sent.filter_map(Result::err).next()
        };
        assert!(filled("c").is_some(), "the disk never filled up");
        told.tried.insert(2);
        let ended = if commits {
            transaction.commit()
        } else {
            transaction.abort().unwrap();
            Ok(())
        };
        match &ended {
            Ok(()) if commits => drop(told.acknowledged.insert(2)),
            Ok(()) => drop(told.aborted.insert(2)),
            Err(e) if e.outcome == Outcome::Aborted => drop(told.aborted.insert(2)),
            Err(_) => {}
        }
        // Another life finds the disk as full.
        std::mem::forget(left);
        let disk = bed.disk.kill();
        disk.set_space(disk.used_space());
        let mut after = Bed::on(disk, Account::default());
        after.open().unwrap_or_else(|e| panic!("{ended:?}: does not open: {e:?}"));
        let count = |name: &str| seen_of(after.log(), name);
        assert_eq!(count("p"), count("c"), "{ended:?}");
        assert!(count("p").is_superset(&told.acknowledged), "{ended:?}");
        assert!(count("p").is_disjoint(&told.aborted), "{ended:?}");
        assert_eq!(offset(after.log(), "p"), count("p").last().copied());
        after.disk.set_space(u64::MAX / 2);
        drop(producer);
        let mut producer = after.log().transactional_producer("t").build().unwrap();
        transact(&mut producer, after.log(), &["p", "c"], 9, true).unwrap();
        assert!(count("c").contains(&9), "the one that was left open is in the way");
    }
}

/// The numbers among everything that is committed.
fn seen_of(log: &EventLog, topic: &str) -> BTreeSet<u64> {
    let reader = log.consumer().isolation(Isolation::ReadCommitted);
    let mut reader = reader.offset_reset(OffsetReset::Earliest).build().unwrap();
    reader.assign([tp(topic)]).unwrap();
    let mut numbers = BTreeSet::new();
    for _ in 0..200 {
        for record in &reader.poll(Duration::ZERO).unwrap() {
            numbers.extend(record.value_str().ok().and_then(|text| text.parse::<u64>().ok()));
        }
    }
    numbers
}
