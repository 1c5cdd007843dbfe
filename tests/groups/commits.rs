//! What is committed, by whom, and what it is worth.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use alluvium::{ConsumerEvent, ErrorKind, OffsetAndMetadata, OffsetReset, Offsets};

use crate::bed::{Bed, Kind, look, on_each_kind, owned, settle, tp, values};

fn at(topic: &str, partition: u32, offset: u64) -> Offsets {
    Offsets::from_iter([(tp(topic, partition), offset)])
}

fn committed(bed: &Bed, group: &str, topic: &str) -> Option<u64> {
    let consumer = bed.builder(group).build().unwrap();
    let found = consumer.committed(&[tp(topic, 0)]).unwrap();
    found.get(&tp(topic, 0)).map(|committed| committed.offset)
}

#[test]
fn c12_a_commit_is_where_the_next_member_goes_on() {
    on_each_kind(|bed| {
        bed.topic("t", 1);
        bed.fill("t", 1, 5);
        let mut first = bed.member("g", &["t"]);
        let records = look(&mut first);
        let third = records.iter().nth(2).unwrap();
        first.commit_record(&third).unwrap();
        drop(first);
        let mut second = bed.member("g", &["t"]);
        assert_eq!(values(&look(&mut second)), ["3", "4"]);
        second.commit().unwrap();
        second.close().unwrap();
        assert!(look(&mut bed.member("g", &["t"])).is_empty());
    });
}

#[test]
fn c12_commits_of_any_partition_go_forwards_and_backwards() {
    let bed = Bed::memory();
    bed.topic("t", 1);
    bed.topic("other", 1);
    let mut consumer = bed.member("g", &["t"]);
    look(&mut consumer);
    for offset in [7, 3, 900] {
        consumer.commit_offsets(&at("t", 0, offset)).unwrap();
        assert_eq!(committed(&bed, "g", "t"), Some(offset));
    }
    consumer.commit_offsets(&at("other", 0, 5)).unwrap();
    assert_eq!(committed(&bed, "g", "other"), Some(5));
    let error = consumer.commit_offsets(&at("nowhere", 0, 5)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownTopicOrPartition);
    assert_eq!(error.topic(), Some("nowhere"));
}

#[test]
fn c13_metadata_comes_back_and_too_much_of_it_is_refused_for_its_partition_alone() {
    on_each_kind(|bed| {
        bed.topic("t", 2);
        let mut consumer = bed.member("g", &["t"]);
        look(&mut consumer);
        let note = OffsetAndMetadata::new(4).metadata("by hand").leader_epoch(9);
        consumer.commit_with_metadata([(tp("t", 0), note.clone())]).unwrap();
        let long = OffsetAndMetadata::new(5).metadata(&"x".repeat(4_097));
        let fits = OffsetAndMetadata::new(6).metadata(&"x".repeat(4_096));
        let both = [(tp("t", 0), long), (tp("t", 1), fits.clone())];
        let error = consumer.commit_with_metadata(both).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OffsetMetadataTooLarge);
        assert_eq!((error.topic(), error.partition()), (Some("t"), Some(0)));
        assert!(error.to_string().contains("4096") || error.to_string().contains("4,096"));
        let found = consumer.committed(&[tp("t", 0), tp("t", 1)]).unwrap();
        assert_eq!(found[&tp("t", 0)], note);
        assert_eq!(found[&tp("t", 1)], fits);
    });
}

#[test]
fn c14_nothing_is_committed_for_what_nobody_has_committed() {
    let bed = Bed::memory();
    bed.topic("t", 1);
    assert_eq!(committed(&bed, "nobody", "t"), None);
    assert_eq!(committed(&bed, "nobody", "nowhere"), None);
}

#[test]
fn c15_asynchronous_commits_are_told_in_order_in_the_callers_thread() {
    on_each_kind(|bed| {
        bed.topic("t", 1);
        let mut consumer = bed.member("g", &["t"]);
        look(&mut consumer);
        let told = Arc::new(Mutex::new(Vec::new()));
        let here = std::thread::current().id();
        for offset in [1, 2, 3] {
            let told = Arc::clone(&told);
            let topic = if offset == 2 { "nowhere" } else { "t" };
            let done = move |outcome: alluvium::Result<()>| {
                assert_eq!(std::thread::current().id(), here);
                told.lock().unwrap().push((offset, outcome.is_ok()));
            };
            consumer.commit_async(&at(topic, 0, offset), done).unwrap();
        }
        consumer.commit_offsets(&at("t", 0, 4)).unwrap();
        assert_eq!(*told.lock().unwrap(), [(1, true), (2, false), (3, true)]);
        assert_eq!(committed(&bed, "g", "t"), Some(4), "the later commit counts");
    });
}

#[test]
fn c16_polls_commit_what_earlier_polls_have_returned_and_never_more() {
    on_each_kind(|bed| {
        bed.topic("t", 1);
        bed.fill("t", 1, 4);
        let every = Some(Duration::from_secs(5));
        let group = bed.builder("g").auto_commit(every).set("max.poll.records", "2");
        let mut consumer = group.topics(["t"]).build().unwrap();
        assert_eq!(values(&look(&mut consumer)), ["0", "1"]);
        bed.clock.advance(Duration::from_millis(4_999));
        assert_eq!(committed(&bed, "g", "t"), None);
        bed.clock.advance(Duration::from_millis(1));
        assert_eq!(values(&look(&mut consumer)), ["2", "3"]);
        assert_eq!(committed(&bed, "g", "t"), Some(2), "not what was just returned");
        bed.clock.advance(Duration::from_secs(5));
        look(&mut consumer);
        assert_eq!(committed(&bed, "g", "t"), Some(4));
        consumer.close().unwrap();
    });
}

#[test]
fn c16_unsubscribing_and_being_revoked_commit_too() {
    let bed = Bed::memory();
    bed.topic("t", 2);
    bed.fill("t", 2, 1);
    let every = Some(Duration::from_secs(3_600));
    let member = || bed.builder("g").auto_commit(every).topics(["t"]).build().unwrap();
    let mut first = member();
    assert_eq!(look(&mut first).len(), 2);
    let mut second = member();
    settle(&mut [&mut first, &mut second]);
    assert_eq!(owned(&second).len(), 1);
    assert_eq!(second.position(&owned(&second)[0].clone()).unwrap(), 1, "not read again");
    first.unsubscribe().unwrap();
    look(&mut second);
    assert_eq!(owned(&second).len(), 2);
    assert!(look(&mut second).is_empty(), "nothing comes again");
}

#[test]
fn c16_a_commit_that_fails_is_told_and_tried_again() {
    let bed = Bed::memory();
    bed.topic("t", 1);
    bed.fill("t", 1, 1);
    let mut stranger = bed.builder("g").auto_commit(Some(Duration::from_secs(1))).build().unwrap();
    stranger.assign([tp("t", 0)]).unwrap();
    assert_eq!(look(&mut stranger).len(), 1);
    let mut member = bed.member("g", &["t"]);
    look(&mut member);
    bed.clock.advance(Duration::from_secs(1));
    look(&mut stranger);
    let events = stranger.take_events();
    let failed = events.iter().find_map(|event| match event {
        ConsumerEvent::CommitFailed { offsets, cause } => Some((offsets.clone(), cause.kind())),
        _ => None,
    });
    assert_eq!(failed, Some((at("t", 0, 1), ErrorKind::UnknownMemberId)), "{events:?}");
    drop(member);
    bed.clock.advance(Duration::from_secs(1));
    look(&mut stranger);
    assert_eq!(committed(&bed, "g", "t"), Some(1));
}

#[test]
fn c17_an_outsider_commits_only_while_the_group_is_empty() {
    let bed = Bed::memory();
    bed.topic("t", 1);
    let mut outsider = bed.builder("g").build().unwrap();
    outsider.commit_offsets(&at("t", 0, 1)).unwrap();
    let mut member = bed.member("g", &["t"]);
    look(&mut member);
    let error = outsider.commit_offsets(&at("t", 0, 2)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownMemberId);
    assert_eq!(committed(&bed, "g", "t"), Some(1));
    member.close().unwrap();
    outsider.commit_offsets(&at("t", 0, 2)).unwrap();
    assert_eq!(committed(&bed, "g", "t"), Some(2));
}

#[test]
fn c24_only_close_commits_and_a_drop_brings_the_records_again() {
    on_each_kind(|bed| {
        bed.topic("t", 1);
        bed.fill("t", 1, 3);
        let every = Some(Duration::from_secs(3_600));
        let member = || bed.builder("g").auto_commit(every).topics(["t"]).build().unwrap();
        let fails = || -> Result<(), alluvium::Error> {
            let mut member = member();
            for record in &member.poll(Duration::ZERO)? {
                if record.offset() == 1 {
                    bed.log.topic("nowhere")?;
                }
            }
            member.close()
        };
        fails().unwrap_err();
        let panics = std::panic::AssertUnwindSafe(|| {
            let mut member = member();
            assert_eq!(look(&mut member).len(), 3, "left by `?`: all come again");
            panic!("in the middle of processing");
        });
        std::panic::catch_unwind(panics).unwrap_err();
        assert_eq!(committed(&bed, "g", "t"), None);
        let mut last = member();
        assert_eq!(look(&mut last).len(), 3, "left by a panic: all come again");
        last.close().unwrap();
        assert_eq!(committed(&bed, "g", "t"), Some(3));
    });
}

#[test]
fn c45_a_zombies_commit_never_overwrites_the_new_owners() {
    let bed = Bed::memory();
    bed.topic("t", 1);
    bed.fill("t", 1, 9);
    let zombie = bed.builder("g").set("max.poll.interval.ms", "1000").topics(["t"]);
    let mut zombie = zombie.build().unwrap();
    let old = look(&mut zombie);
    let mut owner = bed.member("g", &["t"]);
    bed.clock.advance(Duration::from_secs(2));
    settle(&mut [&mut owner]);
    assert_eq!(owned(&owner), [tp("t", 0)]);
    owner.commit_offsets(&at("t", 0, 8)).unwrap();
    let error = zombie.commit_record(&old.iter().next().unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownMemberId);
    let told = Arc::new(Mutex::new(None));
    let tell = Arc::clone(&told);
    zombie
        .commit_async(&at("t", 0, 1), move |outcome| *tell.lock().unwrap() = Some(outcome))
        .unwrap();
    let _ = zombie.poll(Duration::ZERO);
    assert!(told.lock().unwrap().as_ref().unwrap().is_err());
    assert_eq!(committed(&bed, "g", "t"), Some(8));
}

#[test]
fn c07_a_committed_offset_wins_over_the_policy() {
    let bed = Bed::memory();
    bed.topic("t", 1);
    bed.fill("t", 1, 4);
    let mut outsider = bed.builder("g").build().unwrap();
    outsider.commit_offsets(&at("t", 0, 2)).unwrap();
    let member = bed.log.consumer().group("g").offset_reset(OffsetReset::Latest);
    let mut member = member.topics(["t"]).build().unwrap();
    assert_eq!(values(&look(&mut member)), ["2", "3"]);
}

#[test]
fn c07_none_fails_until_something_is_committed_or_sought() {
    let bed = Bed::memory();
    bed.topic("t", 1);
    bed.fill("t", 1, 1);
    let member = bed.log.consumer().group("g").offset_reset(OffsetReset::None);
    let mut member = member.topics(["t"]).build().unwrap();
    let error = member.poll(Duration::ZERO).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoOffsetForPartition);
    assert_eq!((error.topic(), error.partition()), (Some("t"), Some(0)));
    member.seek(&tp("t", 0), 0).unwrap();
    assert_eq!(look(&mut member).len(), 1);
}

#[test]
fn c08_a_committed_offset_beyond_the_end_is_told_and_not_skipped_silently() {
    let bed = Bed::memory();
    bed.topic("t", 1);
    bed.fill("t", 1, 3);
    let mut outsider = bed.builder("g").build().unwrap();
    outsider.commit_offsets(&at("t", 0, 50)).unwrap();
    let mut member = bed.member("g", &["t"]);
    assert_eq!(look(&mut member).len(), 3, "the policy: earliest");
    let events = member.take_events();
    let told = |event: &ConsumerEvent| {
        matches!(event, ConsumerEvent::Reset { wanted: Some(50), to: 0, .. })
    };
    assert!(events.iter().any(told), "{events:?}");
}

#[test]
fn rewinding_goes_to_what_is_committed_or_to_the_policy() {
    let bed = Bed::memory();
    bed.topic("t", 2);
    bed.fill("t", 2, 4);
    let mut member = bed.member("g", &["t"]);
    assert_eq!(look(&mut member).len(), 8);
    member.commit_offsets(&at("t", 0, 3)).unwrap();
    member.rewind_to_committed().unwrap();
    assert_eq!(member.position(&tp("t", 0)).unwrap(), 3);
    assert_eq!(member.position(&tp("t", 1)).unwrap(), 0);
    assert_eq!(look(&mut member).len(), 5);
}

#[test]
fn what_is_committed_is_there_in_the_next_life() {
    for kind in [Kind::ProcessCrash, Kind::PowerLoss] {
        let bed = Bed::new(kind);
        bed.topic("t", 1);
        bed.fill("t", 1, 6);
        let mut member = bed.member("g", &["t"]);
        look(&mut member);
        let note = OffsetAndMetadata::new(4).metadata("four");
        member.commit_with_metadata([(tp("t", 0), note.clone())]).unwrap();
        drop(member);
        let bed = bed.reopen();
        let mut member = bed.member("g", &["t"]);
        assert_eq!(member.committed(&[tp("t", 0)]).unwrap()[&tp("t", 0)], note);
        assert_eq!(values(&look(&mut member)), ["4", "5"]);
    }
}
