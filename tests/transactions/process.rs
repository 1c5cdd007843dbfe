//! Read, process, write.

use std::time::Duration;

use alluvium::{
    Backoff, Consumer, ErrorKind, Isolation, Record, RunOptions, TransactionalProducer,
};

use super::bed::{Bed, on_each_kind, to, tp};

fn copy(bed: &Bed, producer: &mut TransactionalProducer, consumer: &mut Consumer) -> usize {
    let _ = bed;
    let done = producer.process(consumer, |transaction, records| {
        for record in records {
            transaction.send(Record::new("b", record.value().unwrap()).partition(0))?;
        }
        Ok::<_, alluvium::Error>(())
    });
    done.unwrap().records
}

#[test]
fn what_is_read_and_what_comes_of_it_count_together() {
    on_each_kind(|bed| {
        for number in 0..5 {
            bed.send("a", 0, &number.to_string());
        }
        let mut consumer = bed.member("g").topics(["a"]).build().unwrap();
        let mut producer = bed.transactional("t");
        assert_eq!(copy(&bed, &mut producer, &mut consumer), 5);
        assert_eq!(bed.offset_of("g", "a", 0), Some(5));
        assert_eq!(bed.committed("b", 0), ["0", "1", "2", "3", "4"]);
        bed.send("a", 0, "5");
        // Another one of the group, after a failure of the first, begins behind what was done.
        drop(consumer);
        let mut consumer = bed.member("g").topics(["a"]).build().unwrap();
        let mut producer = bed.transactional("t");
        assert_eq!(copy(&bed, &mut producer, &mut consumer), 1);
        assert_eq!(bed.committed("b", 0), ["0", "1", "2", "3", "4", "5"]);
    });
}

#[test]
fn b41_a_failed_attempt_is_aborted_and_the_records_come_again() {
    on_each_kind(|bed| {
        for number in 0..3 {
            bed.send("a", 0, &number.to_string());
        }
        let mut consumer = bed.member("g").topics(["a"]).build().unwrap();
        let mut producer = bed.transactional("t");
        let (mut attempts, options) = (0, RunOptions::new().backoff(Backoff::NONE));
        let wait = Duration::from_secs(1);
        let done = producer.process_with(&mut consumer, &options, wait, |transaction, records| {
            attempts += 1;
            for record in records {
                let value = format!("{attempts}: {}", record.value_str().unwrap());
                transaction.send(to("b", 0, &value)).unwrap();
            }
            if attempts < 3 { Err("not yet") } else { Ok(()) }
        });
        let done = done.unwrap();
        assert_eq!((done.records, done.retries), (3, 2));
        assert_eq!(bed.committed("b", 0), ["3: 0", "3: 1", "3: 2"]);
        assert_eq!(bed.all("b", 0).len(), 9);

        bed.send("a", 0, "poison");
        let done = producer.process_with(&mut consumer, &options, wait, |_, _| Err::<(), _>("no"));
        let error = done.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ProcessingFailed);
        assert_eq!((error.partition(), error.offset()), (Some(0), Some(3)));
        assert!(error.to_string().contains("4 times: no"), "{error}");
        assert_eq!(consumer.position(&tp("a", 0)).unwrap(), 3, "set back to what failed");
        assert_eq!(bed.offset_of("g", "a", 0), Some(3));
    });
}

#[test]
fn a_poisonous_record_is_put_aside_alone_in_the_transaction_that_passes_it() {
    on_each_kind(|bed| {
        bed.log.create_topic(alluvium::NewTopic::new("out")).unwrap();
        for value in ["1", "poison", "3", "venom", "5"] {
            bed.send("a", 0, value);
        }
        let mut consumer = bed.member("g").topics(["a"]).build().unwrap();
        let mut producer = bed.transactional("t");
        let letters = bed.log.producer().build().unwrap();
        let options = RunOptions::new().retries(1).backoff(Backoff::NONE);
        let options = options.dead_letters(letters, "b");
        let wait = Duration::from_secs(1);
        let done = producer.process_with(&mut consumer, &options, wait, |transaction, records| {
            for record in records {
                let value = record.value_str().unwrap();
                if value.parse::<u32>().is_err() {
                    return Err(format!("{value} is no number"));
                }
                transaction.send(to("out", 0, value)).map_err(|e| e.to_string())?;
            }
            Ok(())
        });
        let done = done.unwrap();
        // Together twice, each bad one alone twice.
        assert_eq!((done.records, done.dead_lettered, done.retries), (3, 2, 3));
        assert_eq!(bed.offset_of("g", "a", 0), Some(5));
        assert_eq!(bed.committed("out", 0), ["1", "3", "5"]);
        let mut reader = bed.reader(Isolation::ReadCommitted, &[tp("b", 0), tp("b", 1)]);
        let mut seen = Vec::new();
        for _ in 0..3 {
            for letter in &reader.poll(Duration::ZERO).unwrap() {
                let header = |name| {
                    let found = letter.headers().find(|header| header.0 == name).unwrap().1;
                    String::from_utf8(found.unwrap().to_vec()).unwrap()
                };
                let offset = header("__connect.errors.offset");
                let message = header("__connect.errors.exception.message");
                seen.push((letter.value_str().unwrap().to_owned(), offset, message));
            }
        }
        seen.sort();
        let letter = |value: &str, offset: &str| {
            (value.to_owned(), offset.to_owned(), format!("{value} is no number"))
        };
        assert_eq!(seen, [letter("poison", "1"), letter("venom", "3")]);
    });
}

#[test]
fn a_fenced_processor_stops_and_one_that_commits_by_itself_does_not_begin() {
    on_each_kind(|bed| {
        bed.send("a", 0, "v");
        let mut producer = bed.transactional("t");
        let group = bed.log.consumer().group("auto").topics(["a"]);
        let mut itself = group.auto_commit(Some(Duration::from_secs(5))).build().unwrap();
        let error = producer.process(&mut itself, |_, _| Ok::<_, String>(())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::IllegalState);
        let mut consumer = bed.member("g").topics(["a"]).build().unwrap();
        let mut newer = None;
        let error = producer.process(&mut consumer, |transaction, _| {
            newer = Some(bed.transactional("t"));
            transaction.send(to("b", 0, "zombie's")).map(drop)
        });
        assert_eq!(error.unwrap_err().kind(), ErrorKind::ProducerFenced);
        assert_eq!(consumer.position(&tp("a", 0)).unwrap(), 0, "set back");
        let mut newer = newer.unwrap();
        assert_eq!(copy(&bed, &mut newer, &mut consumer), 1);
        assert_eq!(bed.committed("b", 0), ["v"]);
    });
}
