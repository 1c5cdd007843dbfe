//! Aggregates: loaded, changed at once by many, snapshots used and refused, the past.

use std::thread;

use alluvium::{
    Aggregate, Aggregates, AsOf, ErrorKind, EventLog, ManualClock, NewTopic, RecordsToDelete, Topic,
};

use crate::support::*;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A sum, and how often it was told anything: what is replayed is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    total: i64,
    replayed: u64,
}

impl Aggregate for Sum {
    type Event = i64;

    fn apply(&mut self, by: &i64) {
        self.total += by;
        self.replayed += 1;
    }

    fn encode(by: &i64) -> Vec<u8> {
        by.to_string().into_bytes()
    }

    fn decode(bytes: &[u8]) -> Result<i64, Failure> {
        Ok(std::str::from_utf8(bytes)?.parse()?)
    }

    fn snapshot(&self) -> Option<Vec<u8>> {
        Some(self.total.to_le_bytes().to_vec())
    }

    fn restore(bytes: &[u8]) -> Option<Self> {
        Some(Self { total: i64::from_le_bytes(bytes.try_into().ok()?), replayed: 0 })
    }
}

fn events(log: &EventLog) -> Topic {
    log.ensure_topic(NewTopic::new("events").partitions(2).key_index(true)).unwrap()
}

fn states(log: &EventLog) -> Topic {
    log.ensure_topic(NewTopic::new("states").compacted().key_index(true)).unwrap()
}

fn add(sums: &Aggregates<Sum>, key: &str, by: i64) -> alluvium::Result<u64> {
    sums.execute(key, |_| Ok::<_, alluvium::Error>(vec![by])).map(|loaded| loaded.version)
}

#[test]
fn many_threads_change_one_aggregate_and_no_event_is_lost() {
    on_each_kind(|bed| {
        let log = bed.open();
        let sums = log.aggregates::<Sum>(&events(&log)).unwrap();
        let sums = sums.snapshots(&states(&log), 10).attempts(10_000);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..15 {
                        add(&sums, "one", 2).unwrap();
                    }
                });
            }
        });
        let loaded = sums.load("one").unwrap();
        assert_eq!((loaded.state.total, loaded.version), (90, 45));
        let log = bed.reopen(log);
        let sums = log.aggregates::<Sum>(&events(&log)).unwrap();
        assert_eq!(sums.load("one").unwrap().state, Sum { total: 90, replayed: 45 });
        let sums = sums.snapshots(&states(&log), 10);
        let loaded = sums.load("one").unwrap();
        assert_eq!((loaded.state.total, loaded.version), (90, 45));
        assert!(loaded.state.replayed <= 15, "it begins with a snapshot: {loaded:?}");
    });
}

#[test]
fn the_events_of_a_decision_are_one_and_without_any_nothing_is_appended() {
    let log = EventLog::in_memory();
    let topic = events(&log);
    let sums = log.aggregates::<Sum>(&topic).unwrap();
    let after = sums.execute("a", |_| Ok::<_, alluvium::Error>(vec![1, 2, 3])).unwrap();
    assert_eq!((after.state.total, after.version, after.last_offset), (6, 3, Some(2)));
    let same = sums.execute("a", |_| Ok::<_, alluvium::Error>(vec![])).unwrap();
    assert_eq!(same.last_offset, Some(2));
    let refused = sums.execute("a", |sum| Err::<Vec<i64>, Failure>(sum.total.to_string().into()));
    assert_eq!(refused.unwrap_err().to_string(), "6");
    assert_eq!(topic.history("a").unwrap().count(), 3);
    let nobody = sums.load("b").unwrap();
    assert_eq!((nobody.state, nobody.version, nobody.last_offset), (Sum::default(), 0, None));
}

#[test]
fn who_is_always_too_slow_is_told_so_after_its_attempts() {
    let log = EventLog::in_memory();
    let topic = events(&log);
    let (sums, other) = (log.aggregates::<Sum>(&topic).unwrap(), producer(&log));
    let sums = sums.attempts(3);
    let mut tries = 0;
    let slow = sums.execute("a", |_| {
        tries += 1;
        put(&other, topic.record("1").key("a"));
        Ok::<_, alluvium::Error>(vec![5])
    });
    refused(ErrorKind::ConditionFailed, slow);
    assert_eq!((tries, sums.load("a").unwrap().state.total), (3, 3));
}

#[test]
fn the_past_is_had_by_offset_and_by_time() {
    let clock = ManualClock::starting_at(1_000);
    let log = EventLog::builder().clock(clock.clone()).open().unwrap();
    let sums = log.aggregates::<Sum>(&events(&log)).unwrap().snapshots(&states(&log), 2);
    for by in [10, 20, 30, 40] {
        add(&sums, "a", by).unwrap();
        clock.advance(std::time::Duration::from_secs(1));
    }
    let total = |moment| sums.load_as_of("a", moment).unwrap().state.total;
    assert_eq!([0, 1, 2, 4, 9].map(|at| total(AsOf::Offset(at))), [0, 10, 30, 100, 100]);
    let times = [999, 1_000, 1_999, 2_000, 9_999];
    assert_eq!(times.map(|at| total(AsOf::TimestampMs(at))), [0, 10, 10, 30, 100]);
}

#[test]
fn events_that_are_missing_are_told_unless_a_snapshot_covers_them() {
    let log = EventLog::in_memory();
    let topic = log.create_topic(NewTopic::new("e").key_index(true)).unwrap();
    let sums = log.aggregates::<Sum>(&topic).unwrap();
    for _ in 0..6 {
        add(&sums, "a", 1).unwrap();
    }
    let with = log.aggregates::<Sum>(&topic).unwrap().snapshots(&states(&log), 1_000);
    assert!(with.snapshot("a").unwrap() && !sums.snapshot("a").unwrap());
    add(&with, "a", 1).unwrap();
    log.admin().delete_records(&tp("e", 0), RecordsToDelete::BeforeOffset(3)).unwrap();
    names(&refused(ErrorKind::PolicyViolation, sums.load("a")), &["number 3", "0 is next"]);
    assert_eq!(with.load("a").unwrap().state.total, 7);
    log.admin().delete_records(&tp("e", 0), RecordsToDelete::All).unwrap();
    // The snapshot is as of the sixth event: what was deleted behind it is gone.
    assert_eq!(with.load("a").unwrap().version, 6);
    assert_eq!(with.load("a").unwrap().last_offset, None);
    assert_eq!(add(&with, "a", 1).unwrap(), 7);
}

#[test]
fn a_snapshot_of_an_event_that_is_not_there_is_passed_over() {
    let log = EventLog::in_memory();
    let (topic, states) = (events(&log), states(&log));
    let sums = log.aggregates::<Sum>(&topic).unwrap().snapshots(&states, 1_000);
    add(&sums, "a", 1).unwrap();
    let (far, version) = (77_u64.to_le_bytes(), 9_u64.to_le_bytes());
    let headers = [("alluvium.offset", Some(&far[..])), ("alluvium.version", Some(&version[..]))];
    let p = producer(&log);
    put(&p, states.record(&500_i64.to_le_bytes()).key("a").headers(&headers));
    assert_eq!(sums.load("a").unwrap().state, Sum { total: 1, replayed: 1 });
    put(&p, states.record("of another version of the program").key("a"));
    assert_eq!(sums.load("a").unwrap().state, Sum { total: 1, replayed: 1 });
}

#[test]
fn a_record_that_is_no_event_is_named_with_the_cause() {
    let log = EventLog::in_memory();
    let topic = events(&log);
    put(&producer(&log), topic.record("not a number").key("a"));
    let sums = log.aggregates::<Sum>(&topic).unwrap();
    let e = refused(ErrorKind::InvalidRecord, sums.load("a"));
    assert_eq!(e.offset(), Some(0));
    assert!(std::error::Error::source(&e).unwrap().to_string().contains("digit"));
}
