//! What happens to the topic while a table reads it: it grows, and its front is deleted.

use alluvium::{NewTopic, RecordsToDelete};

use crate::support::*;

#[test]
fn g02_partitions_that_are_added_join_unless_some_were_chosen() {
    on_each_kind(|bed| {
        let log = bed.open();
        topic_of(&log, "t", 1);
        let producer = producer(&log);
        let all = log.table("t").build().unwrap();
        let chosen = log.table("t").partitions([0]).build().unwrap();
        log.admin().create_partitions("t", 3).unwrap();
        let topic = log.topic("t").unwrap();
        let placed = producer.send(topic.record("v").key("new").partition(2)).unwrap().placed();
        all.wait_for(placed, LONG).unwrap();
        assert_eq!(all.get("new").unwrap().unwrap().partition(), 2);
        assert!(chosen.get("new").unwrap().is_none());
        put(&producer, topic.record("v").key("old").partition(0));
        assert_eq!((all.len().unwrap(), chosen.len().unwrap()), (2, 1));
        assert_eq!(log.table("t").build().unwrap().len().unwrap(), 2);
    });
}

#[test]
fn an_aborted_transaction_is_passed_and_nothing_is_read_again_for_it() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic_of(&log, "t", 1);
        let mut producer = log.transactional_producer("p").build().unwrap();
        let table = log.table("t").build().unwrap();
        for round in 0..4 {
            let transaction = producer.begin().unwrap();
            transaction.send(topic.record(&round.to_string()).key("k")).unwrap();
            if round % 2 == 0 {
                transaction.commit().unwrap()
            } else {
                transaction.abort().unwrap()
            }
            let value = table.get("k").unwrap().unwrap();
            assert_eq!(value.value_str().unwrap(), (round / 2 * 2).to_string());
        }
        assert_eq!((table.stats().applied, table.stats().rescans), (2, 0));
    });
}

#[test]
fn what_is_deleted_from_the_front_leaves_the_table_too() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic_of(&log, "t", 2);
        let producer = producer(&log);
        let live = log.table("t").build().unwrap();
        for n in 0..100_u32 {
            let key = format!("{}", n % 60);
            put(&producer, topic.record(&n.to_string()).key(&key).partition(0));
        }
        put(&producer, topic.record("stays").key("of 1").partition(1));
        assert_eq!(live.len().unwrap(), 61);
        // Not looked at in between: part of what is deleted was never applied.
        let late = log.table("t").build().unwrap();
        for n in 100..130_u32 {
            put(&producer, topic.record(&n.to_string()).key("late").partition(0));
        }
        for before in [0, 35, 70, 101, 129, 130] {
            let records = RecordsToDelete::BeforeOffset(before);
            log.admin().delete_records(&tp("t", 0), records).unwrap();
            let built = log.table("t").build().unwrap().view().unwrap();
            let view = live.view().unwrap();
            let mut both = [&built, &view].map(|view| {
                let rows = view.records().map(|r| (r.key().to_vec(), r.partition(), r.offset()));
                rows.collect::<Vec<_>>()
            });
            both.iter_mut().for_each(|rows| rows.sort());
            assert_eq!(both[0], both[1], "as if it had been built now");
            assert!(both[0].iter().all(|(_, partition, at)| *partition == 1 || *at >= before));
            assert_eq!((view.len(), view.iter().count()), (both[0].len(), both[0].len()));
        }
        assert_eq!(late.len().unwrap(), 1, "only what stands in partition 1");
        put(&producer, topic.record("again").key("7").partition(0));
        for table in [&live, &late] {
            assert_eq!(table.get("7").unwrap().unwrap().value_str().unwrap(), "again");
            assert_eq!(table.stats().rescans, 0);
        }
    });
}

#[test]
fn a_reader_is_overtaken_by_deletions_again_and_again() {
    on_each_kind(|bed| {
        let log = bed.open();
        let small = NewTopic::new("t").config("internal.segment.bytes", "8192");
        let topic = log.create_topic(small).unwrap();
        let producer = producer(&log);
        let table = log.table("t").build().unwrap();
        for round in 0..10_u64 {
            let records: Vec<_> = (0..200).map(|n| format!("{}", round * 1_000 + n)).collect();
            let keyed = records.iter().map(|value| topic.record(value).key(value));
            producer.send_batch(keyed).wait().unwrap();
            let before = RecordsToDelete::BeforeOffset(200 * round + 150);
            log.admin().delete_records(&tp("t", 0), before).unwrap();
            assert_eq!(table.len().unwrap(), 50, "round {round}");
        }
    });
}
