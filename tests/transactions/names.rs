//! Producers that number their records: with a name, which outlives them, and without.

use alluvium::{ErrorKind, NewTopic};

use super::bed::{Bed, on_each_kind, to, tp};

#[test]
fn b17_idempotence_is_asked_for_and_contradictions_are_refused() {
    let bed = Bed::memory();
    drop(bed.log.producer().idempotent(true).build().unwrap());
    drop(bed.log.producer().set("enable.idempotence", "true").set("retries", "1").build().unwrap());
    let refused = [("max.in.flight.requests.per.connection", "6"), ("retries", "0"), ("acks", "1")];
    for (key, value) in refused {
        let builder = bed.log.producer().idempotent(true).set(key, value);
        let error = builder.build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert!(error.to_string().contains(&format!("{key}={value}")), "{error}");
        if key != "acks" {
            // Without idempotence there is nothing to contradict.
            drop(bed.log.producer().set(key, value).build().unwrap());
        }
    }
    let error = bed.log.producer().name("n").idempotent(false).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    let transactional = bed.log.transactional_producer("t").set("enable.idempotence", "false");
    assert_eq!(transactional.build().unwrap_err().kind(), ErrorKind::InvalidConfig);
    let error = bed.log.producer().set("transactional.id", "t").build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
}

#[test]
fn b18_b20_numbers_count_for_each_partition_and_a_resend_is_answered_with_the_first_place() {
    on_each_kind(|bed| {
        let producer = bed.log.producer().idempotent(true).build().unwrap();
        for number in 0..3 {
            let value = number.to_string();
            producer.send(to("a", 0, &value)).unwrap().wait().unwrap();
            producer.send(to("a", 1, &value).sequence(number)).unwrap().wait().unwrap();
        }
        assert_eq!(producer.last_sequence(&tp("a", 0)).unwrap(), Some(2));
        let resent = producer.send(to("a", 1, "1").sequence(1)).unwrap().wait().unwrap();
        assert_eq!(resent.offset, 1);
        let next = producer.send(to("a", 1, "3")).unwrap().wait().unwrap();
        assert_eq!(next.offset, 3);
        assert_eq!(bed.all("a", 1), ["0", "1", "2", "3"]);
        assert_eq!(producer.last_sequence(&tp("b", 0)).unwrap(), None);
    });
}

#[test]
fn b19_a_gap_in_the_numbers_is_refused_and_nothing_is_appended() {
    on_each_kind(|bed| {
        let producer = bed.log.producer().idempotent(true).build().unwrap();
        producer.send(to("a", 0, "0")).unwrap().wait().unwrap();
        let error = producer.send(to("a", 0, "2").sequence(2)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfOrderSequenceNumber);
        producer.send(to("a", 0, "1").sequence(1)).unwrap().wait().unwrap();
        assert_eq!(bed.all("a", 0), ["0", "1"]);
    });
}

#[test]
fn b25_without_a_name_another_producer_is_another_one() {
    on_each_kind(|bed| {
        for _ in 0..2 {
            let producer = bed.log.producer().idempotent(true).build().unwrap();
            producer.send(to("a", 0, "same").sequence(0)).unwrap().wait().unwrap();
        }
        assert_eq!(bed.all("a", 0), ["same", "same"]);
    });
}

#[test]
fn a_name_goes_on_where_it_ended_and_takes_nothing_twice_whatever_its_age() {
    on_each_kind(|mut bed| {
        let outbox: Vec<String> = (0..30).map(|number| number.to_string()).collect();
        for life in 1..=3 {
            let producer = bed.log.producer().name("sensor-7").build().unwrap();
            let last = producer.last_sequence(&tp("a", 0)).unwrap();
            assert_eq!(last, (life > 1).then_some((life - 1) * 10 - 1));
            // From the very beginning, as a program does that remembers nothing.
            for (number, value) in outbox.iter().enumerate().take(life as usize * 10) {
                let record = to("a", 0, value).sequence(number as i32);
                producer.send(record).unwrap().wait().unwrap();
            }
            drop(producer);
            bed = bed.reopen();
        }
        assert_eq!(bed.all("a", 0), outbox);
        let producer = bed.log.producer().name("sensor-7").build().unwrap();
        producer.send(to("a", 0, "by itself")).unwrap().wait().unwrap();
        assert_eq!(producer.last_sequence(&tp("a", 0)).unwrap(), Some(30));
    });
}

#[test]
fn a_second_holder_of_a_name_fences_the_first_one() {
    on_each_kind(|bed| {
        let first = bed.log.producer().name("n").build().unwrap();
        first.send(to("a", 0, "first's")).unwrap().wait().unwrap();
        let second = bed.log.producer().name("n").build().unwrap();
        for partition in [0, 1] {
            let error = first.send(to("a", partition, "late")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ProducerFenced);
            assert!(error.to_string().contains("\"n\""), "{error}");
        }
        assert_eq!(first.last_sequence(&tp("a", 0)).unwrap_err().kind(), ErrorKind::ProducerFenced);
        second.send(to("a", 0, "second's")).unwrap().wait().unwrap();
        assert_eq!(second.last_sequence(&tp("a", 0)).unwrap(), Some(1));
        assert_eq!(bed.all("a", 0), ["first's", "second's"]);
        assert!(bed.all("a", 1).is_empty());
    });
}

#[test]
fn numbers_go_on_when_a_topic_grows() {
    let bed = Bed::memory();
    let producer = bed.log.producer().name("n").build().unwrap();
    let topic = bed.log.create_topic(NewTopic::new("grows")).unwrap();
    producer.send(topic.record("0").partition(0)).unwrap().wait().unwrap();
    bed.log.admin().create_partitions("grows", 3).unwrap();
    producer.send(to("grows", 0, "1")).unwrap().wait().unwrap();
    producer.send(to("grows", 2, "0")).unwrap().wait().unwrap();
    assert_eq!(producer.last_sequence(&tp("grows", 0)).unwrap(), Some(1));
    assert_eq!(bed.all("grows", 0), ["0", "1"]);
}

#[test]
fn threads_that_share_a_numbered_producer_lose_and_double_nothing() {
    on_each_kind(|bed| {
        let producer = bed.log.producer().idempotent(true).build().unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let producer = producer.clone();
                scope.spawn(move || {
                    for number in 0..100 {
                        let value = format!("{thread}.{number}");
                        producer.send(to("a", 0, &value)).unwrap().wait().unwrap();
                    }
                });
            }
        });
        let mut seen = bed.all("a", 0);
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 400);
        assert_eq!(bed.all("a", 0).len(), 400);
    });
}

#[test]
fn a_sequence_that_nobody_counts_or_that_does_not_fit_its_batch_is_refused() {
    let bed = Bed::memory();
    let error = bed.plain.send(to("a", 0, "v").sequence(3)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
    assert_eq!(bed.plain.last_sequence(&tp("a", 0)).unwrap_err().kind(), ErrorKind::IllegalState);
    let producer = bed.log.producer().name("n").build().unwrap();
    let batch = [to("a", 0, "0").sequence(0), to("a", 0, "2").sequence(2)];
    let error = producer.send_batch(batch).wait().unwrap_err();
    assert_eq!((error.kind(), error.record_indexes()), (ErrorKind::InvalidRequest, &[1][..]));
    let batch = [to("a", 0, "0").sequence(0), to("a", 0, "1").sequence(1)];
    producer.send_batch(batch).wait().unwrap();
    producer.send_batch(batch).wait().unwrap();
    assert_eq!(bed.all("a", 0), ["0", "1"]);
    let mut transactional = bed.transactional("t");
    let transaction = transactional.begin().unwrap();
    let error = transaction.send(to("a", 0, "v").sequence(0)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
}
