//! What is committed, what is aborted, and who sees which.

use std::time::Duration;

use alluvium::{ErrorKind, Isolation, Outcome};

use super::bed::{Bed, on_each_kind, to, tp};

#[test]
fn b30_a_commit_shows_all_of_it_in_all_partitions_and_an_abort_nothing() {
    on_each_kind(|bed| {
        let mut producer = bed.transactional("t");
        for (round, commits) in [true, false, true].into_iter().enumerate() {
            let value = round.to_string();
            let transaction = producer.begin().unwrap();
            for (topic, partition) in [("a", 0), ("a", 1), ("b", 0)] {
                transaction.send(to(topic, partition, &value)).unwrap();
            }
            if commits { transaction.commit().unwrap() } else { transaction.abort().unwrap() }
        }
        for _life in 0..2 {
            for (topic, partition) in [("a", 0), ("a", 1), ("b", 0)] {
                assert_eq!(bed.committed(topic, partition), ["0", "2"]);
                assert_eq!(bed.all(topic, partition), ["0", "1", "2"]);
            }
            assert!(bed.committed("b", 1).is_empty());
        }
        drop(producer);
        let bed = bed.reopen();
        assert_eq!(bed.committed("a", 0), ["0", "2"]);
        assert_eq!(bed.all("b", 0), ["0", "1", "2"]);
    });
}

#[test]
fn b31_one_marker_in_each_partition_takes_an_offset_and_is_never_delivered() {
    on_each_kind(|bed| {
        let mut producer = bed.transactional("t");
        let transaction = producer.begin().unwrap();
        for (at, value) in ["x", "y", "z"].into_iter().enumerate() {
            assert_eq!(transaction.send(to("a", 0, value)).unwrap().offset, at as u64);
        }
        transaction.commit().unwrap();
        bed.send("a", 0, "plain");
        for isolation in [Isolation::ReadCommitted, Isolation::ReadUncommitted] {
            let seen = bed.read(isolation, "a", 0);
            let offsets: Vec<u64> = seen.iter().map(|(offset, _)| *offset).collect();
            assert_eq!(offsets, [0, 1, 2, 4]);
        }
    });
}

#[test]
fn b32_b33_readers_of_what_is_committed_stop_at_the_first_open_transaction() {
    on_each_kind(|bed| {
        let (mut first, mut second) = (bed.transactional("1"), bed.transactional("2"));
        bed.send("a", 0, "before");
        let one = first.begin().unwrap();
        one.send(to("a", 0, "one")).unwrap();
        let two = second.begin().unwrap();
        two.send(to("a", 0, "two")).unwrap();
        bed.send("a", 0, "plain");
        two.commit().unwrap();
        assert_eq!(bed.committed("a", 0), ["before"]);
        assert_eq!(bed.all("a", 0), ["before", "one", "two", "plain"]);
        one.abort().unwrap();
        assert_eq!(bed.committed("a", 0), ["before", "two", "plain"]);
        assert_eq!(bed.all("a", 0), ["before", "one", "two", "plain"]);
    });
}

#[test]
fn b36_two_transactions_interleave_and_each_is_whole() {
    on_each_kind(|bed| {
        let (mut first, mut second) = (bed.transactional("1"), bed.transactional("2"));
        let (one, two) = (first.begin().unwrap(), second.begin().unwrap());
        for number in 0..3 {
            one.send(to("a", 0, &format!("1.{number}"))).unwrap();
            two.send(to("a", 0, &format!("2.{number}"))).unwrap();
        }
        one.commit().unwrap();
        assert_eq!(bed.committed("a", 0), ["1.0"], "up to the first of the other one");
        two.commit().unwrap();
        assert_eq!(bed.committed("a", 0), ["1.0", "2.0", "1.1", "2.1", "1.2", "2.2"]);
    });
}

#[test]
fn b37_what_a_transaction_writes_is_not_read_before_it_is_committed() {
    on_each_kind(|bed| {
        let mut producer = bed.transactional("t");
        let mut reader = bed.reader(Isolation::ReadCommitted, &[tp("a", 0)]);
        let transaction = producer.begin().unwrap();
        transaction.send(to("a", 0, "own")).unwrap();
        assert!(reader.poll(Duration::ZERO).unwrap().is_empty());
        transaction.commit().unwrap();
        assert_eq!(reader.poll(Duration::ZERO).unwrap().len(), 1, "right after the commit");
    });
}

#[test]
fn b47_a_transaction_without_records_leaves_nothing_behind() {
    on_each_kind(|bed| {
        let mut producer = bed.transactional("t");
        producer.begin().unwrap().commit().unwrap();
        producer.begin().unwrap().abort().unwrap();
        drop(producer.begin().unwrap());
        bed.send("a", 0, "first");
        assert_eq!(bed.read(Isolation::ReadUncommitted, "a", 0), [(0, "first".to_owned())]);
    });
}

#[test]
fn b48_a_failed_send_leaves_nothing_but_the_abort() {
    on_each_kind(|bed| {
        let mut producer = bed.transactional("t");
        let transaction = producer.begin().unwrap();
        transaction.send(to("a", 0, "lost")).unwrap();
        let refused = transaction.send(to("nowhere", 0, "x")).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::UnknownTopicOrPartition);
        let again = transaction.send(to("a", 0, "too")).unwrap_err();
        assert_eq!(again.kind(), ErrorKind::TransactionAbortable);
        assert!(again.to_string().contains("nowhere"), "{again}");
        let error = transaction.commit().unwrap_err();
        assert_eq!(error.outcome, Outcome::Aborted);
        assert_eq!(error.error.kind(), ErrorKind::TransactionAbortable);
        let next = producer.begin().unwrap();
        next.send(to("a", 0, "kept")).unwrap();
        next.commit().unwrap();
        assert_eq!(bed.committed("a", 0), ["kept"]);
        assert_eq!(bed.all("a", 0), ["lost", "kept"]);
    });
}

#[test]
fn b29_a_dropped_transaction_is_aborted_also_by_a_panic() {
    let bed = Bed::memory();
    let mut producer = bed.transactional("t");
    let transaction = producer.begin().unwrap();
    transaction.send(to("a", 0, "dropped")).unwrap();
    drop(transaction);
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let transaction = producer.begin().unwrap();
        transaction.send(to("a", 0, "unwound")).unwrap();
        panic!("on purpose");
    }));
    assert!(outcome.is_err());
    bed.send("a", 0, "plain");
    assert_eq!(bed.committed("a", 0), ["plain"]);
}

#[test]
fn threads_share_a_transaction() {
    on_each_kind(|bed| {
        let mut producer = bed.transactional("t");
        let transaction = producer.begin().unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let transaction = &transaction;
                scope.spawn(move || {
                    for number in 0..50 {
                        let value = format!("{thread}.{number}");
                        transaction.send(to("a", thread % 2, &value)).unwrap();
                    }
                });
            }
        });
        transaction.commit().unwrap();
        let seen = [bed.committed("a", 0), bed.committed("a", 1)].concat();
        assert_eq!(seen.len(), 200);
        for thread in 0..4 {
            let prefix = format!("{thread}.");
            let own: Vec<_> = seen.iter().filter(|value| value.starts_with(&prefix)).collect();
            let expected: Vec<String> =
                (0..50).map(|number| format!("{thread}.{number}")).collect();
            assert_eq!(own, expected.iter().collect::<Vec<_>>(), "the order of each thread");
        }
    });
}

#[test]
fn many_partitions_and_batches_are_one_transaction() {
    on_each_kind(|bed| {
        let many = alluvium::NewTopic::new("many").partitions(40);
        let many = bed.log.create_topic(many).unwrap();
        let mut producer = bed.transactional("t");
        for commits in [false, true] {
            let transaction = producer.begin().unwrap();
            let records = (0..80).map(|at| many.record("v").partition(at % 40));
            let placed = transaction.send_batch(records).unwrap();
            assert_eq!(placed.len(), 40);
            assert!(placed.iter().all(|(_, range)| range.end - range.start == 2));
            if commits { transaction.commit().unwrap() } else { transaction.abort().unwrap() }
        }
        for partition in 0..40 {
            assert_eq!(bed.committed("many", partition).len(), 2);
            assert_eq!(bed.all("many", partition).len(), 4);
        }
    });
}
