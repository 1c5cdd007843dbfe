//! Conditions and look-ups beside transactions: open ones are in the way, aborted ones never were.

use alluvium::{ErrorKind, EventLog, Expect, Isolation, Topic};

use crate::bed::*;
use crate::support::*;

fn version(log: &EventLog, topic: &Topic, key: &str, expect: Expect) -> Result<u64, ErrorKind> {
    let p = producer(log);
    let sent = p.send_if(topic.record("v").key(key), expect);
    sent.map(|sent| sent.wait().unwrap().offset).map_err(|error| error.kind())
}

#[test]
fn a_record_of_an_open_transaction_is_in_the_way_until_it_is_decided() {
    staged_and_sealed(|log, settle| {
        let topic = indexed(log);
        let mut till = log.transactional_producer("till").build().unwrap();
        for (key, commit) in [("a", true), ("b", false)] {
            let sale = till.begin().unwrap();
            let placed = sale.send(topic.record("v").key(key)).unwrap();
            settle(&topic);
            producer(log).flush().unwrap();
            for expect in [Expect::KeyAbsent, Expect::KeyAt(placed.offset), Expect::KeyVersion(1)] {
                let outcome = version(log, &topic, key, expect);
                assert_eq!(outcome, Err(ErrorKind::ConcurrentTransactions), "{expect:?}");
            }
            assert!(ErrorKind::ConcurrentTransactions.is_retriable());
            assert_eq!((latest(&topic, key), history(&topic, key)), (None, vec![]));
            let history = topic.history(key).unwrap().isolation(Isolation::ReadUncommitted);
            assert_eq!(history.count(), 1);
            if commit {
                sale.commit().unwrap();
                assert_eq!(latest(&topic, key), Some(placed.offset));
                let absent = version(log, &topic, key, Expect::KeyAbsent);
                assert_eq!(absent, Err(ErrorKind::ConditionFailed));
                version(log, &topic, key, Expect::KeyAt(placed.offset)).unwrap();
            } else {
                sale.abort().unwrap();
                assert_eq!((latest(&topic, key), history_of(&topic, key)), (None, 0));
                let at = version(log, &topic, key, Expect::KeyAt(placed.offset));
                assert_eq!(at, Err(ErrorKind::ConditionFailed));
                let counted = version(log, &topic, key, Expect::KeyVersion(1));
                assert_eq!(counted, Err(ErrorKind::ConditionFailed));
                version(log, &topic, key, Expect::KeyAbsent).unwrap();
                version(log, &topic, key, Expect::KeyVersion(1)).unwrap();
            }
        }
    });
}

fn history_of(topic: &Topic, key: &str) -> usize {
    topic.history(key).unwrap().count()
}

#[test]
fn a_transaction_relies_on_its_own_records_and_outlives_a_condition_that_fails() {
    staged_and_sealed(|log, settle| {
        let topic = indexed(log);
        let mut till = log.transactional_producer("till").build().unwrap();
        let sale = till.begin().unwrap();
        let record = topic.record("v").key("a");
        let first = sale.send_if(record, Expect::KeyAbsent).unwrap();
        refused(ErrorKind::ConditionFailed, sale.send_if(record, Expect::KeyAbsent));
        settle(&topic);
        let second = sale.send_if(record, Expect::KeyAt(first.offset)).unwrap();
        sale.send_if(record, Expect::KeyVersion(2)).unwrap();
        let e = refused(ErrorKind::ConditionFailed, {
            sale.send_if(record, Expect::NextOffset(second.offset))
        });
        assert!(e.actual_offset() > Some(second.offset));
        sale.commit().unwrap();
        assert_eq!(history_of(&topic, "a"), 3);
        // An older record behind an aborted one counts again.
        let sale = till.begin().unwrap();
        let last = latest(&topic, "a").unwrap();
        sale.send_if(record, Expect::KeyAt(last)).unwrap();
        sale.abort().unwrap();
        version(log, &topic, "a", Expect::KeyAt(last)).unwrap();
    });
}

#[test]
fn what_became_of_transactions_is_known_in_the_next_life() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = indexed(&log);
        let mut till = log.transactional_producer("till").build().unwrap();
        let kept = {
            let sale = till.begin().unwrap();
            let kept = sale.send(topic.record("v").key("a")).unwrap();
            sale.commit().unwrap();
            kept.offset
        };
        for key in ["a", "b"] {
            let sale = till.begin().unwrap();
            sale.send(topic.record("w").key(key)).unwrap();
            sale.abort().unwrap();
        }
        drop(till);
        let log = bed.reopen(log);
        let topic = log.topic("t").unwrap();
        assert_eq!((latest(&topic, "a"), latest(&topic, "b")), (Some(kept), None));
        let absent = version(&log, &topic, "a", Expect::KeyAbsent);
        assert_eq!(absent, Err(ErrorKind::ConditionFailed));
        version(&log, &topic, "a", Expect::KeyAt(kept)).unwrap();
        version(&log, &topic, "b", Expect::KeyAbsent).unwrap();
    });
}
