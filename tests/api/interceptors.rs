//! Code of the program's own that sees every record, and what became of it.

use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use alluvium::testing::{Fault, SimDisk};
use alluvium::{
    Durability, ErrorKind, EventLog, ManualClock, OutgoingRecord, Producer, ProducerInterceptor,
    Record, SendOutcome,
};

use crate::support::*;

/// Topic, partition and offset, or why not.
type Told = Result<(String, u32, u64), ErrorKind>;

/// Writes down what it is told.
#[derive(Clone, Default)]
struct Listener(Arc<Mutex<Vec<Told>>>);

impl Listener {
    fn told(&self) -> Vec<Told> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    fn offsets(&self) -> Vec<u64> {
        self.told().into_iter().map(|outcome| outcome.unwrap().2).collect()
    }
}

impl ProducerInterceptor for Listener {
    fn on_acknowledgement(&self, outcome: &SendOutcome<'_>) {
        let told = outcome.result().map_err(|error| error.kind()).map(|placed| {
            assert_eq!(outcome.partition(), Some(placed.partition));
            (outcome.topic().to_owned(), placed.partition, placed.offset)
        });
        self.0.lock().unwrap().push(told);
    }
}

fn with(log: &EventLog, interceptor: impl ProducerInterceptor) -> Producer {
    log.producer().interceptor(interceptor).build().unwrap()
}

#[test]
fn b16_an_interceptor_sees_and_replaces_everything_of_a_record() {
    on_each_kind(|bed| {
        let log = bed.open();
        let (from, to) = (topic_of(&log, "from", 2), topic_of(&log, "to", 3));
        let producer = with(&log, |record: &mut OutgoingRecord<'_>| {
            assert_eq!((record.topic(), record.partition()), ("from", Some(1)));
            assert_eq!((record.key(), record.value()), (Some(&b"k"[..]), Some(&b"v"[..])));
            assert_eq!((record.timestamp_ms(), record.headers()), (Some(5), vec![("a", None)]));
            record.set_topic("to");
            record.set_partition(None);
            record.set_key(Some(b"foobar"));
            record.set_value(None);
            record.set_timestamp_ms(Some(7));
            record.add_header("b", Some(b""));
            record.add_header("a", Some(b"again"));
        });
        let record = || from.record("v").key("k").partition(1).timestamp_ms(5);
        let headers = [("a", None)];
        let delivery = producer.send(record().headers(&headers)).unwrap();
        assert_eq!(delivery.topic(), "to");
        let placed = delivery.wait().unwrap();
        assert_eq!((placed.timestamp_ms, placed.key_size), (7, Some(6)));
        assert_eq!(placed.value_size, None);
        let batch = producer.send_batch([record().headers(&headers), record().headers(&headers)]);
        batch.wait().unwrap();
        assert_eq!((batch.parts().len(), batch.parts()[0].topic()), (1, "to"));
        assert_eq!(batch.parts()[0].result().unwrap(), 1..3);

        let read = read_all(&log, &tp("to", placed.partition));
        assert_eq!(to.partition_count(), 3);
        for record in &read {
            assert_eq!((record.key(), record.value()), (Some(&b"foobar"[..]), None));
            assert_eq!(record.timestamp_ms(), Some(7));
            let all: Vec<_> = record.headers().collect();
            assert_eq!(all, [("a", None), ("b", Some(&b""[..])), ("a", Some(&b"again"[..]))]);
        }
        assert_eq!(read.len(), 3);
        assert_eq!(read_all(&log, &tp("from", 1)).len(), 0);
        assert_eq!(producer.interceptor_failures(), 0);
    });
}

#[test]
fn b16_interceptors_follow_each_other_and_see_what_those_before_changed() {
    let log = EventLog::in_memory();
    let topic = topic(&log, "t");
    let append = |mark: u8| {
        move |record: &mut OutgoingRecord<'_>| {
            let mut value = record.value().unwrap().to_vec();
            value.push(mark);
            record.set_value(Some(&value));
        }
    };
    let builder = log.producer().interceptor(append(b'1')).interceptor(append(b'2'));
    put(&builder.build().unwrap(), topic.record("v"));
    let headers = |record: &mut OutgoingRecord<'_>| record.set_headers(&[("only", None)]);
    put(&with(&log, headers), topic.record("w").headers(&[("a", None), ("b", None)]));
    let read = read_all(&log, &tp("t", 0));
    assert_eq!(values(&read), [&b"v12"[..], b"w"]);
    assert_eq!(read[1].headers().map(|(name, _)| name).collect::<Vec<_>>(), ["only"]);
}

#[test]
fn b16_a_panic_never_fails_a_send_and_is_counted() {
    struct Faulty(Listener);
    impl ProducerInterceptor for Faulty {
        fn on_send(&self, record: &mut OutgoingRecord<'_>) {
            record.set_value(Some(b"half done"));
            record.set_topic("nowhere");
            panic!("a bug of the program");
        }
        fn on_acknowledgement(&self, outcome: &SendOutcome<'_>) {
            self.0.on_acknowledgement(outcome);
            panic!("another");
        }
    }
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic(&log, "t");
        let (early, late) = (Listener::default(), Listener::default());
        let add = |record: &mut OutgoingRecord<'_>| record.add_header("kept", None);
        let builder = log.producer().interceptor(add).interceptor(Faulty(early.clone()));
        let producer = builder.interceptor(late.clone()).build().unwrap();
        assert_eq!(put(&producer, topic.record("v")), 0);
        assert_eq!(producer.interceptor_failures(), 2);
        producer.send_batch([topic.record("a"), topic.record("b")]).wait().unwrap();
        assert_eq!(producer.interceptor_failures(), 6);
        assert_eq!(early.offsets(), [0, 1, 2]);
        assert_eq!(late.offsets(), [0, 1, 2], "those behind are told all the same");
        let read = read_all(&log, &tp("t", 0));
        assert_eq!(values(&read), [b"v", b"a", b"b"], "as they were before the panic");
        assert!(read.iter().all(|record| record.headers().count() == 1), "earlier changes stay");
    });
}

#[test]
fn b16_each_record_is_told_of_once_when_it_has_its_level() {
    on_each_kind(|bed| {
        let log = bed.builder().background(false).open().unwrap();
        let topic = topic(&log, "t");
        let listener = Listener::default();
        let producer = with(&log, listener.clone());
        for offset in 0..5 {
            assert_eq!(place(&producer, topic.record("v")), offset);
        }
        let at_once = if bed.kind == Kind::PowerLoss { 0 } else { 5 };
        assert_eq!(listener.offsets().len(), at_once, "not before it is durable");
        producer.flush().unwrap();
        assert_eq!(listener.offsets().len(), 5 - at_once);
        assert_eq!(put(&producer, topic.record("v")), 5);
        assert_eq!(listener.told(), [Ok(("t".to_owned(), 0, 5))]);
        let owned = producer.send(topic.record("v")).unwrap().into_owned();
        owned.wait().unwrap();
        owned.wait().unwrap();
        place(&producer, topic.record("v"));
        producer.close().unwrap();
        assert_eq!(listener.offsets(), [6, 7]);
    });
}

#[test]
fn b16_refused_records_are_told_of_with_their_error() {
    let log = EventLog::in_memory();
    let topic = topic_of(&log, "t", 2);
    let listener = Listener::default();
    let builder = log.producer().interceptor(listener.clone()).set("max.request.size", "100");
    let producer = builder.build().unwrap();
    let large = [0; 200];
    refused(ErrorKind::UnknownTopicOrPartition, producer.send(Record::new("u", "v")));
    refused(ErrorKind::UnknownTopicOrPartition, producer.send(topic.record("v").partition(2)));
    refused(ErrorKind::MessageTooLarge, producer.send(topic.record(&large)));
    let unknown = Err(ErrorKind::UnknownTopicOrPartition);
    let too_large = Err(ErrorKind::MessageTooLarge);
    assert_eq!(listener.told(), [unknown.clone(), unknown, too_large.clone()]);

    let good = topic.record("v").partition(0);
    let batch = [good, topic.record(&large).partition(1), good, topic.record("w").partition(1)];
    assert!(producer.send_batch(batch).wait().is_err());
    let told = listener.told();
    let good = |offset| Ok(("t".to_owned(), 0, offset));
    assert_eq!(told, [too_large.clone(), too_large, good(0), good(1)]);
    let clone = producer.clone();
    producer.close().unwrap();
    refused(ErrorKind::Closed, clone.send(topic.record("v")));
    assert_eq!(listener.told(), [Err(ErrorKind::Closed)]);
}

#[test]
fn b16_what_is_pending_at_the_end_of_a_close_is_told_as_failed() {
    let (disk, clock) = (SimDisk::new(), ManualClock::starting_at(0));
    let builder = EventLog::builder().disk(disk.clone()).path("/log").clock(clock);
    let builder = builder.durability(Durability::PowerLoss).close_timeout(Duration::ZERO);
    let log = builder.background(false).open().unwrap();
    let topic = topic(&log, "t");
    let listener = Listener::default();
    let producer = with(&log, listener.clone());
    put(&producer, topic.record("safe"));
    place(&producer, topic.record("late"));
    (0..10_000).for_each(|at| disk.fail_at(disk.operations() + at, Fault::Eio));
    refused(ErrorKind::DeliveryTimeout, producer.close_timeout(Duration::ZERO));
    assert_eq!(listener.told(), [Ok(("t".to_owned(), 0, 0)), Err(ErrorKind::Closed)]);

    // So it is when the log is closed under the producer.
    disk.clear_faults();
    let listener = Listener::default();
    let producer = with(&log, listener.clone());
    place(&producer, topic.record("later"));
    (0..10_000).for_each(|at| disk.fail_at(disk.operations() + at, Fault::Eio));
    assert!(log.close().is_err());
    refused(ErrorKind::Closed, producer.flush());
    assert_eq!(listener.told(), [Err(ErrorKind::Closed)]);
}

/// Flushes and sends from every callback: any lock held over one would be a deadlock.
#[test]
fn b13_b16_a_callback_may_flush_and_send_by_its_own_producer() {
    #[derive(Clone, Default)]
    struct Busy {
        producer: Arc<OnceLock<Producer>>,
        told: Arc<Mutex<Vec<String>>>,
    }
    impl ProducerInterceptor for Busy {
        fn on_send(&self, record: &mut OutgoingRecord<'_>) {
            let producer = self.producer.get().unwrap();
            producer.flush().unwrap();
            if record.topic() == "t" {
                producer.send(Record::new("seen", "v")).unwrap().wait().unwrap();
            }
        }
        fn on_acknowledgement(&self, outcome: &SendOutcome<'_>) {
            self.told.lock().unwrap().push(outcome.topic().to_owned());
            let producer = self.producer.get().unwrap();
            producer.flush().unwrap();
            if outcome.topic() == "t" {
                let _ = producer.send(Record::new("done", "v")).unwrap();
            }
            producer.flush().unwrap();
        }
    }
    on_each_kind(|bed| {
        let log = bed.open();
        for name in ["t", "seen", "done"] {
            topic(&log, name);
        }
        let busy = Busy::default();
        let producer = with(&log, busy.clone());
        assert!(busy.producer.set(producer.clone()).is_ok());
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    (0..10).for_each(|_| {
                        put(&producer, Record::new("t", "v"));
                    })
                });
            }
        });
        producer.flush().unwrap();
        assert_eq!(producer.interceptor_failures(), 0);
        for name in ["t", "seen", "done"] {
            let told = busy.told.lock().unwrap().iter().filter(|of| *of == name).count();
            assert_eq!((read_all(&log, &tp(name, 0)).len(), told), (30, 30), "{name}");
        }
        // The interceptor keeps its producer, which would keep the log open.
        log.close().unwrap();
    });
}

#[test]
fn b11_b16_one_thread_is_told_in_the_order_of_its_sends() {
    on_each_kind(|bed| {
        let log = bed.open();
        let topic = topic(&log, "t");
        let listener = Listener::default();
        let producer = with(&log, listener.clone());
        for n in 0..300_u64 {
            let delivery = producer.send(topic.record("v")).unwrap();
            if n % 7 == 0 {
                delivery.wait().unwrap();
            }
        }
        producer.flush().unwrap();
        assert_eq!(listener.offsets(), (0..300).collect::<Vec<_>>());
    });
}
