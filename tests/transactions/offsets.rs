//! Offsets that are committed as part of a transaction.

use std::time::Duration;

use alluvium::{
    CompactionOptions, CompactionOutcome, Consumer, ErrorKind, Isolation, OffsetAndMetadata,
    Offsets, Outcome, TransactionalProducer,
};

use super::bed::{Bed, on_each_kind, to, tp};

fn offset(topic: &str, offset: u64) -> Offsets {
    Offsets::from_iter([(tp(topic, 0), offset)])
}

/// Sends `value` to `b`, and an offset of `a`, in one transaction that ends as said.
fn end(producer: &mut TransactionalProducer, consumer: &Consumer, at: u64, commits: bool) {
    let transaction = producer.begin().unwrap();
    transaction.send(to("b", 0, &at.to_string())).unwrap();
    transaction.send_offsets(&offset("a", at), &consumer.group_metadata()).unwrap();
    if commits { transaction.commit().unwrap() } else { transaction.abort().unwrap() }
}

#[test]
fn b38_offsets_count_when_the_transaction_does() {
    on_each_kind(|bed| {
        let consumer = bed.member("g").build().unwrap();
        let mut producer = bed.transactional("t");
        end(&mut producer, &consumer, 3, false);
        assert_eq!(bed.offset_of("g", "a", 0), None);
        assert!(bed.log.admin().list_groups().unwrap().is_empty(), "nor does the group exist");
        end(&mut producer, &consumer, 5, true);
        assert_eq!(bed.offset_of("g", "a", 0), Some(5));
        end(&mut producer, &consumer, 7, false);
        let transaction = producer.begin().unwrap();
        transaction.send_offsets(&offset("a", 9), &consumer.group_metadata()).unwrap();
        assert_eq!(bed.offset_of("g", "a", 0), Some(5), "the old one until the commit");
        transaction.commit().unwrap();
        assert_eq!(bed.offset_of("g", "a", 0), Some(9));
        drop((producer, consumer));
        let bed = bed.reopen();
        assert_eq!(bed.offset_of("g", "a", 0), Some(9));
        assert_eq!(bed.committed("b", 0), ["5"]);
        assert_eq!(bed.log.admin().list_groups().unwrap().len(), 1);
    });
}

#[test]
fn b38_who_reads_what_is_committed_waits_for_the_outcome_of_its_offsets() {
    on_each_kind(|bed| {
        for at in 0..4 {
            bed.send("a", 0, &at.to_string());
        }
        for commits in [true, false] {
            let group = format!("g-{commits}");
            let outsider = bed.member(&group).build().unwrap();
            let mut producer = bed.transactional("t");
            let transaction = producer.begin().unwrap();
            transaction.send_offsets(&offset("a", 3), &outsider.group_metadata()).unwrap();
            let mut member = bed.member(&group).topics(["a"]).build().unwrap();
            let mut careless = bed.member(&format!("other-{commits}"));
            careless = careless.isolation(Isolation::ReadUncommitted).topics(["a"]);
            let mut careless = careless.build().unwrap();
            for _ in 0..3 {
                let records = member.poll(Duration::from_millis(5)).unwrap();
                assert!(records.is_empty(), "it may not know where to begin");
            }
            assert_eq!(careless.poll(Duration::ZERO).unwrap().len(), 4);
            if commits {
                transaction.commit().unwrap()
            } else {
                transaction.abort().unwrap()
            }
            let records = member.poll(Duration::from_secs(10)).unwrap();
            assert_eq!(records.len(), if commits { 1 } else { 4 });
        }
    });
}

#[test]
fn b38_offsets_and_the_log_outlive_compactions_of_what_was_committed() {
    on_each_kind(|mut bed| {
        for round in 1..=6 {
            let consumer = bed.member("g").build().unwrap();
            let mut producer = bed.transactional("t");
            end(&mut producer, &consumer, 2 * round, true);
            end(&mut producer, &consumer, 2 * round + 1, false);
            drop((producer, consumer));
            let admin = bed.log.admin();
            admin.roll("__consumer_offsets").unwrap();
            let all = CompactionOptions::default().topic("__consumer_offsets").force(true);
            for partition in admin.run_compaction(all).unwrap().partitions {
                let outcome = partition.outcome;
                assert!(!matches!(outcome, CompactionOutcome::Failed(_)), "{outcome:?}");
            }
            // First the horizon of a marker is set, in the next rounds the marker goes.
            bed.clock.advance(Duration::from_secs(13 * 60 * 60));
            bed = bed.reopen();
            assert_eq!(bed.offset_of("g", "a", 0), Some(2 * round), "round {round}");
        }
    });
}

#[test]
fn b38_an_operator_can_ask_for_offsets_whose_outcome_is_known() {
    let bed = Bed::memory();
    let consumer = bed.member("g").build().unwrap();
    let mut producer = bed.transactional("t");
    end(&mut producer, &consumer, 5, true);
    let admin = bed.log.admin();
    assert_eq!(admin.stable_group_offsets("g").unwrap()[&tp("a", 0)].offset, 5);
    let transaction = producer.begin().unwrap();
    transaction.send_offsets(&offset("a", 6), &consumer.group_metadata()).unwrap();
    let error = admin.stable_group_offsets("g").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnstableOffsetCommit);
    assert!(error.is_retriable());
    assert_eq!(admin.group_offsets("g").unwrap()[&tp("a", 0)].offset, 5);
    transaction.abort().unwrap();
    assert_eq!(admin.stable_group_offsets("g").unwrap()[&tp("a", 0)].offset, 5);
}

#[test]
fn b39_a_consumer_that_is_no_member_any_more_commits_nothing_by_a_transaction_either() {
    on_each_kind(|bed| {
        bed.send("a", 0, "v");
        let mut first = bed.member("g").topics(["a"]).build().unwrap();
        first.await_assignment(Duration::from_secs(1)).unwrap();
        let stale = first.group_metadata();
        let mut producer = bed.transactional("t");
        assert_eq!(bed.log.admin().remove_all_group_members("g").unwrap(), 1);
        let second = {
            let mut second = bed.member("g").topics(["a"]).build().unwrap();
            second.await_assignment(Duration::from_secs(1)).unwrap();
            second
        };
        let outsider = bed.member("g").build().unwrap().group_metadata();
        let mut ahead = second.group_metadata();
        ahead.epoch += 7;
        let attempts = [
            (stale, ErrorKind::UnknownMemberId),
            (outsider, ErrorKind::UnknownMemberId),
            (ahead, ErrorKind::FencedMemberEpoch),
        ];
        for (who, kind) in attempts {
            let transaction = producer.begin().unwrap();
            transaction.send(to("b", 0, "with it")).unwrap();
            let error = transaction.send_offsets(&offset("a", 1), &who).unwrap_err();
            assert_eq!(error.kind(), kind);
            let error = transaction.commit().unwrap_err();
            assert_eq!(error.outcome, Outcome::Aborted, "only the abort is left");
        }
        assert_eq!(bed.offset_of("g", "a", 0), None);
        assert!(bed.committed("b", 0).is_empty());
        let transaction = producer.begin().unwrap();
        transaction.send_offsets(&offset("a", 1), &second.group_metadata()).unwrap();
        transaction.commit().unwrap();
        assert_eq!(bed.offset_of("g", "a", 0), Some(1));
    });
}

#[test]
fn b39_offsets_of_which_one_is_refused_are_all_refused() {
    let bed = Bed::memory();
    let consumer = bed.member("g").build().unwrap();
    let mut producer = bed.transactional("t");
    let transaction = producer.begin().unwrap();
    let both = Offsets::from_iter([(tp("a", 0), 1), (tp("nowhere", 0), 1)]);
    let error = transaction.send_offsets(&both, &consumer.group_metadata()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownTopicOrPartition);
    assert_eq!(error.topic(), Some("nowhere"));
    drop(transaction);
    assert_eq!(bed.offset_of("g", "a", 0), None);
}

#[test]
fn b40_of_plain_and_transactional_commits_the_one_written_later_wins() {
    on_each_kind(|bed| {
        let mut plain = bed.member("g").build().unwrap();
        let (mut first, mut second) = (bed.transactional("1"), bed.transactional("2"));
        let who = plain.group_metadata();
        // Written first, ended last.
        let one = first.begin().unwrap();
        one.send_offsets(&offset("a", 10), &who).unwrap();
        plain.commit_offsets(&offset("a", 20)).unwrap();
        assert_eq!(bed.offset_of("g", "a", 0), Some(20));
        one.commit().unwrap();
        assert_eq!(bed.offset_of("g", "a", 0), Some(20));
        // Of two transactions likewise.
        let (one, two) = (first.begin().unwrap(), second.begin().unwrap());
        one.send_offsets(&offset("a", 30), &who).unwrap();
        two.send_offsets(&offset("a", 40), &who).unwrap();
        two.commit().unwrap();
        one.commit().unwrap();
        assert_eq!(bed.offset_of("g", "a", 0), Some(40));
        // And within one.
        let one = first.begin().unwrap();
        one.send_offsets(&offset("a", 50), &who).unwrap();
        one.send_offsets(&offset("a", 45), &who).unwrap();
        one.commit().unwrap();
        assert_eq!(bed.offset_of("g", "a", 0), Some(45));
        drop((plain, first, second));
        assert_eq!(bed.reopen().offset_of("g", "a", 0), Some(45));
    });
}

#[test]
fn b51_offsets_of_several_groups_and_their_metadata_are_part_of_one_transaction() {
    on_each_kind(|bed| {
        let groups = ["g", "h"].map(|group| bed.member(group).build().unwrap());
        let mut producer = bed.transactional("t");
        for (round, commits) in [(1, true), (2, false)] {
            let transaction = producer.begin().unwrap();
            for consumer in &groups {
                let detailed = OffsetAndMetadata::new(round).metadata("by t");
                let offsets = [(tp("a", 0), detailed)];
                transaction.send_offsets_detailed(&offsets, &consumer.group_metadata()).unwrap();
            }
            if commits { transaction.commit().unwrap() } else { transaction.abort().unwrap() }
        }
        for consumer in &groups {
            let found = consumer.committed(&[tp("a", 0)]).unwrap();
            let found = &found[&tp("a", 0)];
            assert_eq!((found.offset, &*found.metadata), (1, "by t"));
        }
    });
}

#[test]
fn c61_offsets_of_a_group_do_not_expire_while_their_outcome_is_open() {
    let clock = alluvium::ManualClock::starting_at(1_700_000_000_000);
    let log = alluvium::EventLog::builder()
        .clock(clock.clone())
        .set("offsets.retention.minutes", "1")
        .set("offsets.retention.check.interval.ms", "1000")
        .open()
        .unwrap();
    log.create_topic(alluvium::NewTopic::new("a")).unwrap();
    let mut consumer = log.consumer().group("g").auto_commit(None).build().unwrap();
    consumer.commit_offsets(&offset("a", 1)).unwrap();
    let builder = log.transactional_producer("t").timeout(Duration::from_secs(600));
    let mut producer = builder.build().unwrap();
    let transaction = producer.begin().unwrap();
    transaction.send_offsets(&offset("a", 2), &consumer.group_metadata()).unwrap();
    let found = || consumer.committed(&[tp("a", 0)]).unwrap().get(&tp("a", 0)).map(|o| o.offset);
    for _ in 0..4 {
        clock.advance(Duration::from_secs(50));
        log.tick();
    }
    // A minute is over, more than three times.
    transaction.abort().unwrap();
    assert_eq!(found(), Some(1));
    clock.advance(Duration::from_secs(50));
    log.tick();
    assert_eq!(found(), None);
}
