//! Producers and transactions, as an operator sees them.

use std::time::Duration;

use alluvium::{ErrorKind, Outcome, TransactionFilter, TransactionState};

use super::bed::{on_each_kind, to, tp};

#[test]
fn e20_producers_of_a_partition_with_what_they_have_open() {
    on_each_kind(|bed| {
        let mut producer = bed.transactional("t");
        let named = bed.log.producer().name("n").build().unwrap();
        bed.send("a", 0, "nobody's");
        let _ = named.send(to("a", 0, "n")).unwrap();
        let _ = named.send(to("a", 0, "n")).unwrap();
        let transaction = producer.begin().unwrap();
        transaction.send(to("a", 0, "t")).unwrap();
        let described = bed.log.admin().describe_producers(&tp("a", 0)).unwrap();
        assert_eq!(described.len(), 2);
        let id = bed.log.admin().describe_transaction("t").unwrap().producer_id;
        let of_t = described.iter().find(|producer| producer.producer_id == id).unwrap();
        assert_eq!((of_t.last_sequence, of_t.transaction_start), (Some(0), Some(3)));
        assert_eq!((of_t.producer_epoch, of_t.last_timestamp_ms), (0, 1_700_000_000_000));
        let of_n = described.iter().find(|producer| producer.producer_id != id).unwrap();
        assert_eq!((of_n.last_sequence, of_n.transaction_start), (Some(1), None));
        transaction.commit().unwrap();
        let described = bed.log.admin().describe_producers(&tp("a", 0)).unwrap();
        assert!(described.iter().all(|producer| producer.transaction_start.is_none()));
        let error = bed.log.admin().describe_producers(&tp("a", 7)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnknownTopicOrPartition);
    });
}

#[test]
fn e21_transactions_are_listed_with_their_state_partitions_and_age() {
    on_each_kind(|bed| {
        let admin = bed.log.admin();
        let (mut one, mut two) = (bed.transactional("1"), bed.transactional("2"));
        let transaction = one.begin().unwrap();
        transaction.send(to("b", 1, "v")).unwrap();
        transaction.send(to("a", 0, "v")).unwrap();
        bed.clock.advance(Duration::from_secs(10));
        let view = admin.describe_transaction("1").unwrap();
        assert_eq!(view.state, TransactionState::Ongoing);
        assert_eq!(view.partitions, [tp("a", 0), tp("b", 1)]);
        assert_eq!(view.timeout, Duration::from_secs(60));
        assert_eq!(view.started_ms, Some(1_700_000_000_000));
        let list = |filter: TransactionFilter| {
            let views = admin.list_transactions(&filter).unwrap();
            views.iter().map(|view| view.transactional_id.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(list(TransactionFilter::new()), ["1", "2"]);
        assert_eq!(list(TransactionFilter::new().states([TransactionState::Ongoing])), ["1"]);
        assert_eq!(list(TransactionFilter::new().states([TransactionState::Empty])), ["2"]);
        assert_eq!(list(TransactionFilter::new().open_for(Duration::from_secs(10))), ["1"]);
        assert!(list(TransactionFilter::new().open_for(Duration::from_secs(11))).is_empty());
        let other = admin.describe_transaction("2").unwrap().producer_id;
        assert_eq!(list(TransactionFilter::new().producer_ids([other])), ["2"]);
        transaction.commit().unwrap();
        let second = two.begin().unwrap();
        second.send(to("a", 0, "v")).unwrap();
        second.abort().unwrap();
        let view = admin.describe_transaction("1").unwrap();
        assert_eq!(view.state, TransactionState::CompleteCommit);
        assert_eq!((view.partitions.len(), view.started_ms), (0, None));
        let view = admin.describe_transaction("2").unwrap();
        assert_eq!(view.state, TransactionState::CompleteAbort);
        assert_eq!(view.state.name(), "CompleteAbort");
        let error = admin.describe_transaction("3").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TransactionalIdNotFound);
    });
}

#[test]
fn e22_an_operator_aborts_what_hangs_and_its_owner_is_told() {
    on_each_kind(|bed| {
        let admin = bed.log.admin();
        let mut producer = bed.transactional("t");
        let transaction = producer.begin().unwrap();
        transaction.send(to("a", 0, "hangs")).unwrap();
        transaction.send(to("b", 0, "hangs")).unwrap();
        let id = admin.describe_transaction("t").unwrap().producer_id;
        admin.abort_transaction(&tp("a", 0), id).unwrap();
        assert_eq!(admin.describe_transaction("t").unwrap().state, TransactionState::CompleteAbort);
        bed.send("b", 0, "behind");
        assert_eq!(bed.committed("b", 0), ["behind"]);
        let error = transaction.send(to("a", 0, "late")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TransactionAbortable, "{error}");
        assert!(error.to_string().contains("operator"), "{error}");
        let error = transaction.commit().unwrap_err();
        assert_eq!(error.outcome, Outcome::Aborted);
        let next = producer.begin().unwrap();
        next.send(to("a", 0, "next")).unwrap();
        next.commit().unwrap();
        assert_eq!(bed.committed("a", 0), ["next"]);
        // Nothing is open: nothing happens.
        admin.abort_transaction(&tp("a", 0), id).unwrap();
        let error = admin.abort_transaction(&tp("a", 9), id).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnknownTopicOrPartition);
    });
}

#[test]
fn e22_an_operator_fences_producers() {
    on_each_kind(|bed| {
        let mut producer = bed.transactional("t");
        let transaction = producer.begin().unwrap();
        transaction.send(to("a", 0, "fenced")).unwrap();
        let failed = bed.log.admin().fence_producers(["t", "nobody"]).unwrap();
        assert_eq!(failed.len(), 1);
        assert_eq!(failed[0].0, "nobody");
        assert_eq!(failed[0].1.kind(), ErrorKind::TransactionalIdNotFound);
        let error = transaction.commit().unwrap_err();
        assert_eq!(error.error.kind(), ErrorKind::ProducerFenced);
        assert_eq!(producer.begin().unwrap_err().kind(), ErrorKind::ProducerFenced);
        bed.send("a", 0, "behind");
        assert_eq!(bed.committed("a", 0), ["behind"]);
    });
}
