//! Who may go on, and who is told why not.

use std::time::Duration;

use alluvium::{ErrorKind, Isolation, Outcome, TransactionState};

use super::bed::{Bed, Kind, on_each_kind, to, tp};

/// Leaves a transaction open, as a thread does that hangs.
fn leak(transaction: alluvium::Transaction<'_>) {
    std::mem::forget(transaction);
}

#[test]
fn b27_the_same_id_again_is_the_same_producer_in_its_next_epoch_and_ends_what_was_open() {
    on_each_kind(|bed| {
        let mut first = bed.transactional("t");
        let before = bed.log.admin().describe_transaction("t").unwrap();
        assert_eq!((before.producer_epoch, before.state), (0, TransactionState::Empty));
        let transaction = first.begin().unwrap();
        transaction.send(to("a", 0, "zombie's")).unwrap();
        leak(transaction);
        let mut second = bed.transactional("t");
        let after = bed.log.admin().describe_transaction("t").unwrap();
        assert_eq!(after.producer_id, before.producer_id);
        assert!(after.producer_epoch > before.producer_epoch);
        let transaction = second.begin().unwrap();
        transaction.send(to("a", 0, "second's")).unwrap();
        transaction.commit().unwrap();
        assert_eq!(bed.committed("a", 0), ["second's"]);
        drop((first, second));
        let bed = bed.reopen();
        let known = bed.log.admin().describe_transaction("t").unwrap();
        assert_eq!(known.producer_id, before.producer_id);
        drop(bed.transactional("t"));
        let again = bed.log.admin().describe_transaction("t").unwrap();
        assert!(again.producer_epoch > known.producer_epoch, "{again:?}");
    });
}

#[test]
fn b28_a_fenced_producer_gets_nothing_done_at_any_of_its_calls() {
    on_each_kind(|bed| {
        for step in 0..5 {
            let mut zombie = bed.transactional("t");
            let open = zombie.begin().unwrap();
            open.send(to("a", 0, "zombie's")).unwrap();
            let mut newer = bed.transactional("t");
            let kind = match step {
                0 => open.send(to("a", 0, "late")).unwrap_err().kind(),
                1 => open.send(to("b", 1, "late")).unwrap_err().kind(),
                2 => {
                    let error = open.commit().unwrap_err();
                    assert_eq!(error.outcome, Outcome::Aborted);
                    error.error.kind()
                }
                3 => open.abort().unwrap_err().kind(),
                _ => {
                    drop(open);
                    zombie.begin().unwrap_err().kind()
                }
            };
            assert_eq!(kind, ErrorKind::ProducerFenced, "step {step}");
            let transaction = newer.begin().unwrap();
            transaction.send(to("a", 0, "newer's")).unwrap();
            transaction.commit().unwrap();
        }
        assert_eq!(bed.committed("a", 0), ["newer's"; 5]);
        assert!(bed.committed("b", 1).is_empty());
        assert!(bed.all("b", 1).is_empty(), "a zombie enters no partition");
    });
}

#[test]
fn b42_a_timeout_above_the_logs_is_refused_when_the_producer_is_built() {
    let bed = Bed::memory();
    let build = |ms| bed.log.transactional_producer("t").timeout(Duration::from_millis(ms)).build();
    let error = build(900_001).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidTransactionTimeout);
    assert!(error.to_string().contains("900001") && error.to_string().contains("900000"));
    assert_eq!(build(0).unwrap_err().kind(), ErrorKind::InvalidConfig);
    drop(build(900_000).unwrap());
    for bad in ["", &"x".repeat(250)] {
        let error = bed.log.transactional_producer(bad).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    }
}

#[test]
fn b43_what_is_open_for_too_long_is_aborted_and_its_owner_is_told_the_true_cause() {
    on_each_kind(|bed| {
        for step in 0..4 {
            let mut producer = bed.transactional("t");
            let transaction = producer.begin().unwrap();
            transaction.send(to("a", 0, "late")).unwrap();
            let offsets = [(tp("a", 0), 1)].into_iter().collect();
            bed.clock.advance(Duration::from_millis(59_999));
            bed.log.tick();
            transaction.send(to("a", 1, "still in time")).unwrap();
            bed.clock.advance(Duration::from_millis(1));
            let error = match step {
                0 => {
                    let error = transaction.send(to("b", 1, "too late")).unwrap_err();
                    drop(transaction);
                    error
                }
                1 => transaction.commit().unwrap_err().error,
                2 => transaction.abort().unwrap_err(),
                _ => {
                    let consumer = bed.log.consumer().group("g").build().unwrap();
                    let who = consumer.group_metadata();
                    let error = transaction.send_offsets(&offsets, &who).unwrap_err();
                    drop(transaction);
                    error
                }
            };
            // The partitions may be told by a pass of its own.
            bed.log.tick();
            assert_eq!(error.kind(), ErrorKind::TransactionTimedOut, "step {step}: {error}");
            assert!(error.to_string().contains("transaction.timeout.ms=60000"), "{error}");
            // Nobody else has the id: the producer goes on.
            let next = producer.begin().unwrap();
            next.send(to("b", 0, "next")).unwrap();
            next.commit().unwrap();
        }
        assert!(bed.committed("a", 0).is_empty());
        assert_eq!(bed.committed("b", 0), ["next"; 4]);
        assert_eq!(bed.offset_of("g", "a", 0), None);
    });
}

#[test]
fn b43_a_waiting_reader_ends_a_transaction_whose_owner_hangs() {
    let bed = Bed::new(Kind::PowerLoss);
    let mut producer = bed.transactional("t");
    let mut reader = bed.reader(Isolation::ReadCommitted, &[tp("a", 0)]);
    let clock = bed.clock.clone();
    let waiting =
        std::thread::spawn(move || reader.poll(Duration::from_secs(3_600)).unwrap().len());
    let transaction = producer.begin().unwrap();
    transaction.send(to("a", 0, "never")).unwrap();
    leak(transaction);
    bed.send("a", 0, "behind it");
    // The reader sleeps through the first hour or is woken within it: both are well.
    while !waiting.is_finished() {
        clock.advance(Duration::from_secs(10));
        std::thread::yield_now();
    }
    let seen = waiting.join().unwrap();
    assert!(seen <= 1);
    assert_eq!(bed.committed("a", 0), ["behind it"]);
}

#[test]
fn jumps_of_the_wall_clock_end_no_transaction() {
    on_each_kind(|bed| {
        let mut producer = bed.transactional("t");
        let transaction = producer.begin().unwrap();
        transaction.send(to("a", 0, "kept")).unwrap();
        for ms in [1_900_000_000_000, 0, 1_700_000_000_000] {
            bed.clock.jump_wall(ms);
            bed.log.tick();
        }
        transaction.commit().unwrap();
        assert_eq!(bed.committed("a", 0), ["kept"]);
    });
}

#[test]
fn b44_what_comes_late_from_one_transaction_never_lands_in_the_next() {
    on_each_kind(|bed| {
        let mut producer = bed.transactional("t");
        let epoch = || bed.log.admin().describe_transaction("t").unwrap().producer_epoch;
        let mut before = epoch();
        for (round, commits) in [true, false, true].into_iter().enumerate() {
            let transaction = producer.begin().unwrap();
            transaction.send(to("a", 0, &round.to_string())).unwrap();
            if commits {
                transaction.commit().unwrap()
            } else {
                transaction.abort().unwrap()
            }
            assert_eq!(epoch(), before + 1, "after round {round}");
            before = epoch();
        }
    });
}

#[test]
fn b45_a_producer_whose_epochs_are_used_up_gets_a_new_producer_id_unnoticed() {
    let bed = Bed::memory();
    let mut producer = bed.transactional("t");
    let id = || bed.log.admin().describe_transaction("t").unwrap().producer_id;
    let first = id();
    let mut count = 0_u32;
    while id() == first {
        let transaction = producer.begin().unwrap();
        transaction.send(to("a", 0, "v")).unwrap();
        transaction.commit().unwrap();
        count += 1;
        assert!(count < 40_000, "the epochs never end");
    }
    assert_eq!(count, 32_766, "as many as there are epochs");
    for _ in 0..3 {
        let transaction = producer.begin().unwrap();
        transaction.send(to("a", 0, "v")).unwrap();
        transaction.commit().unwrap();
    }
    let seen = bed.committed("a", 0).len();
    assert_eq!(seen as u32, count + 3);
}

#[test]
fn producer_ids_are_never_given_twice_also_over_lives_of_the_log() {
    on_each_kind(|mut bed| {
        let mut seen = std::collections::HashSet::new();
        for life in 0..3 {
            for number in 0..3 {
                let id = format!("{life}.{number}");
                drop(bed.transactional(&id));
                let view = bed.log.admin().describe_transaction(&id).unwrap();
                assert!(seen.insert(view.producer_id), "{view:?}");
            }
            bed = bed.reopen();
        }
    });
}

#[test]
fn b50_an_id_that_nobody_uses_is_forgotten_and_its_holder_must_build_anew() {
    let bed = Bed::memory();
    let mut producer = bed.transactional("t");
    let transaction = producer.begin().unwrap();
    transaction.send(to("a", 0, "v")).unwrap();
    transaction.commit().unwrap();
    let day = Duration::from_secs(24 * 3_600);
    for _ in 0..6 {
        bed.clock.advance(day);
        bed.log.tick();
    }
    drop(producer.begin().unwrap());
    assert!(bed.log.admin().describe_transaction("t").is_ok(), "six days are not enough");
    for _ in 0..2 {
        bed.clock.advance(day);
        bed.log.tick();
    }
    let gone = bed.log.admin().describe_transaction("t").unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::TransactionalIdNotFound);
    let error = producer.begin().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidProducerIdMapping);
    let mut again = bed.transactional("t");
    let transaction = again.begin().unwrap();
    transaction.send(to("a", 0, "w")).unwrap();
    transaction.commit().unwrap();
    assert_eq!(bed.committed("a", 0), ["v", "w"]);
}

#[test]
fn commits_race_with_the_timeout_and_have_one_outcome() {
    for round in 0..50 {
        let bed = Bed::memory();
        let mut producer = bed.transactional("t");
        let transaction = producer.begin().unwrap();
        transaction.send(to("a", 0, "v")).unwrap();
        transaction.send(to("b", 1, "v")).unwrap();
        let (clock, log) = (bed.clock.clone(), bed.log.clone());
        let racing = std::thread::spawn(move || {
            clock.advance(Duration::from_secs(60));
            log.tick();
        });
        let outcome = transaction.commit();
        racing.join().unwrap();
        bed.log.tick();
        let expected: &[&str] = match &outcome {
            Ok(()) => &["v"],
            Err(e) => {
                assert_eq!(e.outcome, Outcome::Aborted, "round {round}");
                assert_eq!(e.error.kind(), ErrorKind::TransactionTimedOut);
                &[]
            }
        };
        assert_eq!(bed.committed("a", 0), expected, "round {round}: {outcome:?}");
        assert_eq!(bed.committed("b", 1), expected, "round {round}: {outcome:?}");
    }
}
