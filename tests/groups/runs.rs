//! Processing at least once: retries, dead letters, stops; and once in effect.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use alluvium::{
    Backoff, Clock, CommitPolicy, ErrorKind, EventLog, ManualClock, NewTopic, OffsetReset, Record,
    RunOptions, TopicPartition,
};

use crate::bed::{Bed, Kind, LONG, look, on_each_kind, tp, values};

fn quick() -> RunOptions {
    RunOptions::new().backoff(Backoff::NONE)
}

#[test]
fn a_record_that_fails_is_tried_again_in_place() {
    on_each_kind(|bed| {
        bed.topic("t", 1);
        bed.fill("t", 1, 4);
        let mut member = bed.member("g", &["t"]);
        let stop = member.stop_handle();
        let mut attempts = Vec::new();
        let report = member
            .run(&quick().retries(2), |record| {
                let value = record.value_str().unwrap().to_owned();
                attempts.push(value.clone());
                if value == "3" {
                    stop.stop();
                }
                let fails = value == "1" && attempts.iter().filter(|v| **v == value).count() < 3;
                if fails { Err("not yet") } else { Ok(()) }
            })
            .unwrap();
        assert_eq!(attempts, ["0", "1", "1", "1", "2", "3"]);
        assert_eq!((report.processed, report.retries, report.dead_lettered), (4, 2, 0));
        drop(member);
        assert!(look(&mut bed.member("g", &["t"])).is_empty(), "all is committed");
    });
}

#[test]
fn without_a_place_for_dead_letters_the_run_ends_at_the_record() {
    let bed = Bed::memory();
    bed.topic("t", 1);
    bed.fill("t", 1, 4);
    let mut member = bed.member("g", &["t"]);
    let fails = |record: &alluvium::ConsumerRecord<'_>| {
        if record.offset() == 2 { Err("broken") } else { Ok(()) }
    };
    for _ in 0..2 {
        let error = member.run(&quick().retries(1), fails).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ProcessingFailed);
        assert_eq!((error.partition(), error.offset()), (Some(0), Some(2)));
        let source = std::error::Error::source(&error).unwrap();
        assert_eq!(source.to_string(), "broken");
        assert_eq!(member.position(&tp("t", 0)).unwrap(), 2);
    }
    let committed = member.committed(&[tp("t", 0)]).unwrap();
    assert_eq!(committed[&tp("t", 0)].offset, 2, "what was processed before it");
}

#[test]
fn dead_letters_tell_where_they_are_from() {
    on_each_kind(|bed| {
        bed.topic("t", 2);
        bed.topic("dead", 1);
        let headers = [("kept", Some("yes".as_bytes())), ("empty", None)];
        let record = alluvium::Record::new("t", "bad").key("k").partition(1).headers(&headers);
        bed.producer.send(record.timestamp_ms(77)).unwrap().wait().unwrap();
        bed.send("t", 1, "good");
        let mut member = bed.member("g", &["t"]);
        let stop = member.stop_handle();
        let options = quick().retries(1).dead_letters(bed.producer.clone(), "dead");
        let report = member
            .run(&options, |record| match record.value_str().unwrap() {
                "bad" => Err("no good"),
                _ => {
                    stop.stop();
                    Ok(())
                }
            })
            .unwrap();
        assert_eq!((report.processed, report.retries, report.dead_lettered), (1, 1, 1));
        let mut undertaker = bed.member("undertaker", &["dead"]);
        let letters = look(&mut undertaker);
        let letter = letters.iter().next().unwrap();
        assert_eq!((letter.key(), letter.value()), (Some(&b"k"[..]), Some(&b"bad"[..])));
        assert_eq!(letter.timestamp_ms(), Some(77));
        let text = |name: &str| {
            let value = letter.header(name).unwrap().unwrap();
            std::str::from_utf8(value).unwrap().to_owned()
        };
        assert_eq!((text("kept").as_str(), letter.header("empty")), ("yes", Some(None)));
        for (name, value) in [
            ("__connect.errors.topic", "t"),
            ("__connect.errors.partition", "1"),
            ("__connect.errors.offset", "0"),
            ("__connect.errors.exception.message", "no good"),
            ("alluvium.errors.attempts", "2"),
            ("alluvium.errors.group", "g"),
        ] {
            assert_eq!(text(name), value, "{name}");
        }
    });
}

#[test]
fn a_dead_letter_that_cannot_be_sent_loses_nothing() {
    let bed = Bed::memory();
    bed.topic("t", 1);
    bed.fill("t", 1, 1);
    let mut member = bed.member("g", &["t"]);
    let options = quick().retries(0).dead_letters(bed.producer.clone(), "nowhere");
    let error = member.run(&options, |_| Err("broken")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownTopicOrPartition);
    assert_eq!(member.position(&tp("t", 0)).unwrap(), 0);
    assert!(member.committed(&[tp("t", 0)]).unwrap().is_empty());
}

#[test]
fn back_off_is_on_the_logs_clock_and_a_stop_ends_it() {
    let bed = Bed::memory();
    bed.topic("t", 1);
    bed.fill("t", 1, 2);
    let backoff = Backoff::new(Duration::from_secs(1_000), Duration::from_secs(3_000));
    let options = RunOptions::new().retries(3).backoff(backoff);
    let mut member = bed.member("g", &["t"]);
    let stop = member.stop_handle();
    let (tell, hear) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let run = scope.spawn(|| {
            let report = member.run(&options, |_| {
                tell.send(()).unwrap();
                Err::<(), _>("never")
            });
            (report, member.position(&tp("t", 0)))
        });
        hear.recv().unwrap();
        bed.clock.advance(Duration::from_secs(1));
        stop.stop();
        let (report, position) = run.join().unwrap();
        assert_eq!(report.unwrap().processed, 0);
        assert_eq!(position.unwrap(), 0, "the record comes again");
    });
}

/// Tells each time that somebody begins to wait for time to be moved.
struct Watched {
    time: ManualClock,
    waits: Mutex<Sender<()>>,
}

impl Clock for Watched {
    fn unix_ms(&self) -> i64 {
        self.time.unix_ms()
    }

    fn monotonic(&self) -> Duration {
        self.time.monotonic()
    }

    fn is_real(&self) -> bool {
        false
    }

    fn on_advance(&self, wake: Box<dyn Fn() -> bool + Send + Sync>) {
        self.time.on_advance(wake);
        self.waits.lock().unwrap().send(()).unwrap();
    }
}

#[test]
fn a_member_that_backs_off_keeps_its_partitions() {
    let time = ManualClock::starting_at(1_700_000_000_000);
    let (tell, waits) = channel();
    let clock = Watched { time: time.clone(), waits: Mutex::new(tell) };
    let log = EventLog::builder().clock(clock).open().unwrap();
    log.create_topic(NewTopic::new("t")).unwrap();
    log.producer().build().unwrap().send(Record::new("t", "0")).unwrap().wait().unwrap();
    let member = || {
        let builder = log.consumer().group("g").offset_reset(OffsetReset::Earliest);
        builder.set("max.poll.interval.ms", "1000").topics(["t"]).build().unwrap()
    };
    let mut patient = member();
    patient.await_assignment(LONG).unwrap();
    let stop = patient.stop_handle();
    let hour = Backoff::new(Duration::from_secs(3_600), Duration::from_secs(3_600));
    let options = RunOptions::new().retries(1).backoff(hour);
    let mut attempts = 0;
    let run = std::thread::spawn(move || {
        patient.run(&options, |_| {
            attempts += 1;
            if attempts == 1 {
                return Err("once");
            }
            stop.stop();
            Ok(())
        })
    });
    waits.recv().unwrap();
    let mut other = member();
    for _ in 0..7_200 {
        time.advance(Duration::from_millis(500));
        look(&mut other);
        assert_eq!(other.assignment().len(), 0);
    }
    let report = run.join().unwrap().unwrap();
    assert_eq!((report.processed, report.late_commits), (1, 0));
}

#[test]
fn each_commit_policy_brings_back_what_it_says() {
    let after = |policy| {
        let bed = Bed::memory();
        bed.topic("t", 1);
        bed.fill("t", 1, 6);
        let mut member = bed.member("g", &["t"]);
        let run = std::panic::AssertUnwindSafe(|| {
            member.run(&quick().commit(policy), |record| {
                assert!(record.offset() < 4, "a crash");
                Ok::<(), String>(())
            })
        });
        std::panic::catch_unwind(run).unwrap_err();
        let committed = member.committed(&[tp("t", 0)]).unwrap();
        assert_eq!(member.position(&tp("t", 0)).unwrap(), 4);
        committed.get(&tp("t", 0)).map(|committed| committed.offset)
    };
    assert_eq!(after(CommitPolicy::EachRecord), Some(4));
    assert_eq!(after(CommitPolicy::EachPoll), None);
    assert_eq!(after(CommitPolicy::Never), None);
}

#[test]
fn a_run_that_was_removed_from_its_group_counts_it_and_goes_on() {
    let bed = Bed::memory();
    bed.topic("t", 1);
    bed.fill("t", 1, 3);
    let slow = bed.builder("g").set("max.poll.interval.ms", "1000").topics(["t"]);
    let mut slow = slow.build().unwrap();
    let stop = slow.stop_handle();
    let mut seen = 0;
    let report = slow
        .run(&quick().commit(CommitPolicy::EachRecord), |_| {
            seen += 1;
            if seen == 2 {
                bed.clock.advance(Duration::from_secs(5));
                look(&mut bed.member("g", &["t"]));
            }
            if seen == 4 {
                stop.stop();
            }
            Ok::<(), String>(())
        })
        .unwrap();
    assert_eq!(report.late_commits, 1, "{report:?}");
    assert_eq!(seen, 4, "the second came again, and the third but once");
}

#[test]
fn ids_are_processed_once_over_lives_and_threads() {
    for kind in [Kind::ProcessCrash, Kind::PowerLoss] {
        let bed = Bed::new(kind);
        let ids = bed.log.processed_ids("ids").unwrap();
        let once = |id: &str| ids.once(id, || Ok::<_, alluvium::Error>(())).unwrap().is_some();
        assert!(once("a") && once("b") && !once("a"));
        let failed = ids.once("c", || Err::<(), _>(bed.log.topic("nowhere").unwrap_err()));
        failed.unwrap_err();
        assert!(!ids.contains("c") && once("c"));
        ids.forget("b").unwrap();
        drop(ids);
        let bed = bed.reopen();
        let ids = bed.log.processed_ids("ids").unwrap();
        assert_eq!(ids.len(), 2);
        let counts = std::sync::Mutex::new(BTreeMap::<String, u32>::new());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for id in ["a", "b", "c", "d"] {
                        let work = || {
                            *counts.lock().unwrap().entry(id.to_owned()).or_default() += 1;
                            Ok::<_, alluvium::Error>(())
                        };
                        ids.once(id, work).unwrap();
                    }
                });
            }
        });
        let counts = counts.into_inner().unwrap();
        assert_eq!(counts, [("b".to_owned(), 1), ("d".to_owned(), 1)].into());
    }
}

#[test]
fn for_each_commits_nothing_by_itself_and_a_group_goes_on_behind_it() {
    let bed = Bed::memory();
    bed.topic("t", 1);
    bed.fill("t", 1, 3);
    let group = bed.log.consumer().group("g").offset_reset(OffsetReset::Earliest);
    let mut member = group.topics(["t"]).build().unwrap();
    let failed = member.for_each(|record| {
        if record.offset() == 1 { Err(bed.log.topic("x").unwrap_err()) } else { Ok(()) }
    });
    failed.unwrap_err();
    member.close().unwrap();
    let mut next = bed.member("g", &["t"]);
    assert_eq!(values(&look(&mut next)), ["1", "2"], "close commits what was processed");
    let _: Vec<TopicPartition> = next.assignment().cloned().collect();
}
