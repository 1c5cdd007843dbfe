//! Polls and waits that depend on other members.

use std::thread;
use std::time::Duration;

use alluvium::{ErrorKind, OffsetReset, Offsets, Record};

use crate::bed::{Bed, LONG, look, on_each_kind, owned, settle, tp, values};

#[test]
fn two_members_of_one_thread_never_wait_for_each_other() {
    on_each_kind(|bed| {
        bed.topic("t", 2);
        bed.fill("t", 2, 10);
        let mut first = bed.member("g", &["t"]);
        look(&mut first);
        let mut second = bed.member("g", &["t"]);
        // Real time would be the whole timeout, and the test would be noticed.
        assert!(second.poll(Duration::from_secs(600)).unwrap().is_empty());
        look(&mut first);
        assert_eq!(second.poll(Duration::from_secs(600)).unwrap().len(), 10);
        assert_eq!((owned(&first).len(), owned(&second).len()), (1, 1));
    });
}

#[test]
fn a_poll_that_waits_is_called_when_its_turn_comes() {
    let bed = Bed::memory();
    bed.topic("t", 1);
    let mut first = bed.member("g", &["t"]);
    look(&mut first);
    let mut second = bed.member("g", &["t"]);
    settle(&mut [&mut second, &mut first]);
    assert!(owned(&second).is_empty() ^ owned(&first).is_empty());
    let (owner, mut idle) =
        if owned(&first).is_empty() { (second, first) } else { (first, second) };
    bed.fill("t", 1, 1);
    thread::scope(|scope| {
        let waits = scope.spawn(|| values(&idle.poll(LONG).unwrap()));
        drop(owner);
        assert_eq!(waits.join().unwrap(), ["0"]);
    });
}

#[test]
fn a_poll_that_waits_is_called_when_its_topic_is_created() {
    let bed = Bed::memory();
    let mut member = bed.member("g", &["t"]);
    thread::scope(|scope| {
        let waits = scope.spawn(|| values(&member.poll(LONG).unwrap()));
        bed.topic("t", 1);
        bed.fill("t", 1, 1);
        assert_eq!(waits.join().unwrap(), ["0"]);
    });
}

#[test]
fn a_poll_that_waits_notices_a_member_that_is_late() {
    let bed = Bed::memory();
    bed.topic("t", 1);
    bed.fill("t", 1, 1);
    let late = bed.builder("g").set("max.poll.interval.ms", "1000").topics(["t"]);
    let mut late = late.build().unwrap();
    look(&mut late);
    let mut next = bed.member("g", &["t"]);
    look(&mut next);
    thread::scope(|scope| {
        let waits = scope.spawn(|| {
            loop {
                let records = next.poll(LONG).unwrap();
                if !records.is_empty() {
                    return values(&records);
                }
            }
        });
        while !waits.is_finished() {
            bed.clock.advance(Duration::from_millis(100));
            thread::yield_now();
        }
        assert_eq!(waits.join().unwrap(), ["0"]);
    });
}

#[test]
fn awaiting_an_assignment_brings_partitions_with_positions() {
    on_each_kind(|bed| {
        bed.topic("t", 3);
        bed.fill("t", 3, 2);
        let group = bed.log.consumer().group("g").offset_reset(OffsetReset::Latest);
        let mut member = group.topics(["t"]).build().unwrap();
        let all = member.await_assignment(LONG).unwrap().to_vec();
        assert_eq!(all, [tp("t", 0), tp("t", 1), tp("t", 2)]);
        bed.fill("t", 3, 1);
        let mut seen = 0;
        while seen < 3 {
            seen += member.poll(LONG).unwrap().len();
        }
        assert_eq!(seen, 3, "what came before is not read, what comes after is");
    });
}

#[test]
fn awaiting_in_vain_says_who_holds_what() {
    let bed = Bed::memory();
    bed.topic("t", 1);
    let mut owner = bed.member("g", &["t"]);
    look(&mut owner);
    let mut second = bed.member("g", &["t"]);
    let error = second.await_assignment(Duration::from_millis(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let text = error.to_string();
    let holder = owner.group_metadata().member_id.unwrap();
    assert!(text.contains("t-0") && text.contains(&*holder), "{text}");
    let mut nobody = bed.log.consumer().group("g").build().unwrap();
    let error = nobody.await_assignment(LONG).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::IllegalState);
}

#[test]
fn awaiting_is_ended_by_the_other_member_in_another_thread() {
    let bed = Bed::memory();
    bed.topic("t", 2);
    bed.fill("t", 2, 5);
    let mut first = bed.member("g", &["t"]);
    look(&mut first);
    let mut second = bed.member("g", &["t"]);
    thread::scope(|scope| {
        let waits = scope.spawn(|| second.await_assignment(LONG).unwrap().len());
        while owned(&first).len() == 2 {
            look(&mut first);
            thread::yield_now();
        }
        assert_eq!(waits.join().unwrap(), 1);
    });
}

#[test]
fn awaiting_the_end_of_a_group_is_ended_by_the_last_commit() {
    on_each_kind(|bed| {
        bed.topic("t", 2);
        bed.fill("t", 2, 5);
        // The group is yet to come.
        thread::scope(|scope| {
            let waits = scope.spawn(|| bed.log.admin().await_group_lag_zero("g", LONG));
            let mut member = bed.member("g", &["t"]);
            let mut seen = 0;
            while seen < 10 {
                let records = member.poll(LONG).unwrap();
                seen += records.len();
                assert!(!waits.is_finished());
                member.commit().unwrap();
            }
            waits.join().unwrap().unwrap();
        });
        // Without members too, what was committed counts.
        bed.log.admin().await_group_lag_zero("g", Duration::ZERO).unwrap();
    });
}

#[test]
fn awaiting_the_end_of_a_group_counts_what_was_sent_before_and_says_what_is_missing() {
    on_each_kind(|bed| {
        let admin = bed.log.admin();
        let end = |timeout| admin.await_group_lag_zero("g", timeout);
        let in_vain = |told: &str| {
            let error = end(Duration::from_millis(1)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Timeout);
            assert!(error.to_string().contains(told), "{error}");
        };
        in_vain("has no members, and has committed nothing");
        let mut member = bed.member("g", &["t"]);
        look(&mut member);
        in_vain("has 1 members, none of them with partitions");
        bed.topic("t", 10);
        look(&mut member);
        end(Duration::ZERO).unwrap();
        for partition in 0..10 {
            // Not waited for: that it is sent is enough.
            let record = Record::new("t", "v").partition(partition);
            let _placed = bed.producer.send(record).unwrap().placed();
        }
        let holder = member.group_metadata().member_id.unwrap();
        in_vain(&format!("is behind in t-0 by 1 records, held by {holder}, in t-1"));
        in_vain(", and in 2 more");
        drop(member);
        let offsets = (0..9).map(|partition| (tp("t", partition), 1)).collect::<Vec<_>>();
        admin.alter_group_offsets("g", &Offsets::from_iter(offsets)).unwrap();
        end(Duration::ZERO).unwrap();
        admin.alter_group_offsets("g", &Offsets::from_iter([(tp("t", 3), 0)])).unwrap();
        in_vain("is behind in t-3 by 1 records, held by nobody");
        thread::scope(|scope| {
            let waits = scope.spawn(|| end(LONG));
            admin.alter_group_offsets("g", &Offsets::from_iter([(tp("t", 3), 1)])).unwrap();
            waits.join().unwrap().unwrap();
        });
    });
}

#[test]
fn awaiting_the_end_of_a_group_ends_with_the_log() {
    let bed = Bed::memory();
    thread::scope(|scope| {
        let waits = scope.spawn(|| bed.log.admin().await_group_lag_zero("g", Duration::MAX));
        bed.log.clone().close().unwrap();
        assert_eq!(waits.join().unwrap().unwrap_err().kind(), ErrorKind::Closed);
    });
}
