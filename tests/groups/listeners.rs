//! What a listener is told, and when.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use alluvium::{ErrorKind, OffsetReset, Offsets, Rebalance, RebalanceListener, TopicPartition};

use crate::bed::{Bed, Diary, LONG, Told, look, owned, settle, tp, values};

#[test]
fn c39_a_listener_is_told_of_what_moves_and_of_nothing_else() {
    let bed = Bed::memory();
    bed.topic("t", 2);
    let diary = Diary::default();
    let mut first = bed.builder("g").topics(["t"]).listener(diary.of("first")).build().unwrap();
    look(&mut first);
    look(&mut first);
    let all = vec![tp("t", 0), tp("t", 1)];
    assert_eq!(diary.take(), [("first", Told::Assigned(all.clone()))]);
    let mut second = bed.builder("g").topics(["t"]).listener(diary.of("second")).build().unwrap();
    settle(&mut [&mut second, &mut first]);
    let told = diary.take();
    let moved = owned(&second);
    assert_eq!(moved.len(), 1);
    let revoked = told.iter().position(|t| *t == ("first", Told::Revoked(moved.clone())));
    let assigned = told.iter().position(|t| *t == ("second", Told::Assigned(moved.clone())));
    assert!(revoked.unwrap() < assigned.unwrap(), "C40: {told:?}");
    let of_first = told.iter().filter(|(who, _)| *who == "first").map(|(_, told)| told);
    // It keeps the other partition and is not told of it; the end of the change is told once.
    let expected = [Told::Revoked(moved.clone()), Told::Assigned(Vec::new())];
    assert_eq!(of_first.cloned().collect::<Vec<_>>(), expected);
    // Who keeps everything is told nothing.
    let mut third = bed.builder("g").topics(["t"]).listener(diary.of("third")).build().unwrap();
    settle(&mut [&mut third, &mut second, &mut first]);
    let told = diary.take();
    assert!(told.iter().all(|(who, _)| *who == "third"), "{told:?}");
    third.close().unwrap();
    diary.take();
    settle(&mut [&mut second, &mut first]);
    assert_eq!(diary.take(), []);
    second.close().unwrap();
    assert_eq!(diary.take(), [("second", Told::Revoked(moved.clone()))]);
    look(&mut first);
    assert!(diary.take().contains(&("first", Told::Assigned(moved))));
}

struct CommitsWhatGoes {
    done: Offsets,
}

impl RebalanceListener for CommitsWhatGoes {
    fn revoked(&mut self, cx: &mut Rebalance<'_>, gone: &[TopicPartition]) -> alluvium::Result<()> {
        for partition in gone {
            self.done.insert(partition.clone(), cx.position(partition)?);
        }
        cx.commit(&self.done)
    }
}

#[test]
fn c40_what_is_committed_when_it_goes_is_where_the_new_owner_begins() {
    let bed = Bed::memory();
    bed.topic("t", 2);
    bed.fill("t", 2, 3);
    let listener = CommitsWhatGoes { done: Offsets::new() };
    let mut first = bed.builder("g").topics(["t"]).listener(listener).build().unwrap();
    assert_eq!(look(&mut first).len(), 6);
    let mut second = bed.member("g", &["t"]);
    settle(&mut [&mut first, &mut second]);
    let came = owned(&second)[0].clone();
    assert_eq!(second.position(&came).unwrap(), 3);
    bed.send("t", came.partition(), "new");
    assert_eq!(values(&second.poll(LONG).unwrap()), ["new"]);
}

#[test]
fn c41_a_removed_member_is_told_that_its_partitions_are_lost() {
    let bed = Bed::memory();
    bed.topic("t", 1);
    let diary = Diary::default();
    let slow = bed.builder("g").set("max.poll.interval.ms", "1000").topics(["t"]);
    let mut slow = slow.listener(diary.of("slow")).build().unwrap();
    look(&mut slow);
    bed.clock.advance(Duration::from_secs(5));
    let mut other = bed.member("g", &["t"]);
    look(&mut other);
    assert_eq!(owned(&other), [tp("t", 0)]);
    diary.take();
    look(&mut slow);
    let told = diary.take();
    assert_eq!(told[0], ("slow", Told::Lost(vec![tp("t", 0)])), "{told:?}");
}

#[test]
fn c42_a_listeners_error_is_the_polls_and_the_assignment_stands() {
    let bed = Bed::memory();
    bed.topic("t", 2);
    bed.fill("t", 2, 1);
    let diary = Diary::default();
    let mut scribe = diary.of("first");
    scribe.fail = Some(bed.log.topic("nowhere").unwrap_err());
    let mut first = bed.builder("g").topics(["t"]).listener(scribe).build().unwrap();
    let error = first.poll(Duration::ZERO).unwrap_err();
    assert_eq!(error.topic(), Some("nowhere"));
    assert_eq!(owned(&first).len(), 2);
    assert_eq!(look(&mut first).len(), 2, "told once, and the records come");
    assert_eq!(diary.take().len(), 1);
    let mut second = bed.member("g", &["t"]);
    look(&mut second);
    first.poll(Duration::ZERO).unwrap_err();
    look(&mut second);
    assert_eq!((owned(&first).len(), owned(&second).len()), (1, 1), "it has let go all the same");
}

struct Panics(Arc<Mutex<u32>>);

impl RebalanceListener for Panics {
    fn revoked(&mut self, _: &mut Rebalance<'_>, _: &[TopicPartition]) -> alluvium::Result<()> {
        *self.0.lock().unwrap() += 1;
        panic!("in the listener");
    }
}

#[test]
fn a_listener_that_panics_leaves_a_consumer_that_goes_on() {
    let bed = Bed::memory();
    bed.topic("t", 2);
    bed.fill("t", 2, 2);
    let told = Arc::new(Mutex::new(0));
    let panics = Panics(Arc::clone(&told));
    let mut first = bed.builder("g").topics(["t"]).listener(panics).build().unwrap();
    assert_eq!(look(&mut first).len(), 4);
    let mut second = bed.member("g", &["t"]);
    look(&mut second);
    let poll = std::panic::AssertUnwindSafe(|| first.poll(Duration::ZERO));
    std::panic::catch_unwind(poll).unwrap_err();
    settle(&mut [&mut second, &mut first]);
    assert_eq!((owned(&first).len(), owned(&second).len()), (1, 1));
    assert_eq!(*told.lock().unwrap(), 1);
}

/// Keeps offsets in a database of its own.
struct Outside(Arc<Mutex<Offsets>>);

impl RebalanceListener for Outside {
    fn assigned(
        &mut self,
        cx: &mut Rebalance<'_>,
        came: &[TopicPartition],
    ) -> alluvium::Result<()> {
        for partition in came {
            if let Some(offset) = self.0.lock().unwrap().get(partition) {
                cx.seek(partition, offset)?;
            }
        }
        cx.pause(&came[..1])
    }
}

#[test]
fn offsets_may_live_elsewhere_and_a_listener_may_pause() {
    let bed = Bed::memory();
    bed.topic("t", 2);
    bed.fill("t", 2, 5);
    let database = Arc::new(Mutex::new(Offsets::from_iter([(tp("t", 0), 4), (tp("t", 1), 3)])));
    let group = bed.builder("g").offset_reset(OffsetReset::None).topics(["t"]);
    let mut member = group.listener(Outside(database)).build().unwrap();
    assert_eq!(values(&look(&mut member)), ["3", "4"]);
    assert_eq!(member.paused().cloned().collect::<Vec<_>>(), [tp("t", 0)]);
    member.resume(&[tp("t", 0)]).unwrap();
    assert_eq!(values(&look(&mut member)), ["4"]);
}

struct Greedy;

impl RebalanceListener for Greedy {
    fn assigned(&mut self, cx: &mut Rebalance<'_>, _: &[TopicPartition]) -> alluvium::Result<()> {
        let foreign = TopicPartition::new("elsewhere", 0);
        assert_eq!(cx.position(&foreign).unwrap_err().kind(), ErrorKind::IllegalState);
        cx.seek(&foreign, 0)
    }
}

#[test]
fn a_listener_cannot_touch_what_is_not_assigned() {
    let bed = Bed::memory();
    bed.topic("t", 1);
    let mut member = bed.builder("g").topics(["t"]).listener(Greedy).build().unwrap();
    let error = member.poll(Duration::ZERO).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::IllegalState);
    assert_eq!(error.topic(), Some("elsewhere"));
}

/// Sends from within `assigned`: under `latest` it must not be missed.
struct SendsAtOnce(alluvium::Producer);

impl RebalanceListener for SendsAtOnce {
    fn assigned(&mut self, _: &mut Rebalance<'_>, came: &[TopicPartition]) -> alluvium::Result<()> {
        for partition in came {
            let record = alluvium::Record::new(partition.topic(), "after");
            self.0.send(record.partition(partition.partition()))?.wait()?;
        }
        Ok(())
    }
}

#[test]
fn c09_positions_are_known_before_the_listener_is_told() {
    let bed = Bed::memory();
    bed.topic("t", 3);
    bed.fill("t", 3, 2);
    let group = bed.log.consumer().group("g").offset_reset(OffsetReset::Latest);
    let listener = SendsAtOnce(bed.producer.clone());
    let mut member = group.topics(["t"]).listener(listener).build().unwrap();
    let mut seen = Vec::new();
    while seen.len() < 3 {
        seen.extend(values(&member.poll(LONG).unwrap()));
    }
    assert_eq!(seen, ["after"; 3]);
}
