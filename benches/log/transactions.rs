//! Rows of numbered producers and of transactions.

use std::thread;
use std::time::{Duration, Instant};

use alluvium::{
    Consumer, Durability, Isolation, OffsetReset, Offsets, Producer, Records, TopicPartition,
    TransactionalProducer,
};

use crate::bed::{Bed, Plan, TOPIC};
use crate::data::{Data, SMALL};
use crate::limits::SYNC;
use crate::row::{Row, Sample};

use Durability::{Memory, PowerLoss, ProcessCrash};

const RECORDS: usize = 100;
const PARTITIONS: u32 = 4;
const TRANSACTIONS: usize = 10;
const SCANNED: usize = 100_000;
const THREADS: usize = 8;

const PLAIN: &str = "append, plain producer";
const HUNDREDS: &str = "two hundred appends over 4 partitions";
const LONE: &str = "lone transaction of 1 record, power-loss";
const SCAN: &str = "scan, all records plain";

/// Everything that transactions are to reach.
pub fn rows() -> Vec<Row> {
    vec![
        row(PLAIN, || append(false)),
        row("append, idempotent producer", || append(true)).limited_by(PLAIN, 1.0).aim(1.5),
        row(HUNDREDS, plain_hundreds),
        row("transaction of 100 over 4 partitions, with offsets", transactions)
            .limited_by(HUNDREDS, 1.0)
            .aim(2.0),
        row(LONE, lone).limited_by(SYNC, 2.0),
        row("8 threads of such transactions, each", crowd).limited_by(LONE, 1.0).aim(1.0 / 3.0),
        row(SCAN, || scan(false)),
        row("scan, read-committed, 10 % aborted", || scan(true)).limited_by(SCAN, 1.0).aim(1.25),
    ]
}

fn row<W: FnMut() -> Sample + 'static>(
    name: &'static str,
    plan: impl FnOnce() -> W + 'static,
) -> Row {
    Row::new("transactions", name, plan)
}

fn send_all(bed: &Bed, producer: &Producer, data: &Data, count: usize) {
    for (key, partition) in data.keys.iter().cycle().zip((0..PARTITIONS).cycle()).take(count) {
        let record = bed.topic.record(&data.value).key(key).partition(partition);
        let _ = producer.send(record).unwrap();
    }
}

fn append(idempotent: bool) -> impl FnMut() -> Sample {
    const WINDOW: usize = 1_000;
    let bed = Plan::new(ProcessCrash).make();
    let producer = bed.log.producer().idempotent(idempotent).build().unwrap();
    let data = Data::new(SMALL);
    move || {
        let start = Instant::now();
        for key in data.keys.iter().cycle().take(WINDOW) {
            let record = bed.topic.record(&data.value).key(key).partition(0);
            let _ = producer.send(record).unwrap();
        }
        let elapsed = start.elapsed();
        bed.rest();
        Sample::new(elapsed, WINDOW)
    }
}

/// What a transaction is held against: its records, and a hundred appends more.
fn plain_hundreds() -> impl FnMut() -> Sample {
    let bed = Plan::new(ProcessCrash).partitions(PARTITIONS).make();
    let data = Data::new(SMALL);
    move || {
        let start = Instant::now();
        send_all(&bed, &bed.producer, &data, TRANSACTIONS * 2 * RECORDS);
        let elapsed = start.elapsed();
        bed.rest();
        Sample::new(elapsed, TRANSACTIONS)
    }
}

fn member(bed: &Bed) -> Consumer {
    let group = bed.log.consumer().group("movers").topics([TOPIC]).auto_commit(None);
    let mut member = group.offset_reset(OffsetReset::Earliest).build().unwrap();
    member.await_assignment(Duration::from_secs(10)).unwrap();
    member
}

fn transactions() -> impl FnMut() -> Sample {
    let bed = Plan::new(ProcessCrash).partitions(PARTITIONS).make();
    let data = Data::new(SMALL);
    let mut producer = bed.log.transactional_producer("mover").build().unwrap();
    let mut group = member(&bed);
    let mut offset = 0;
    move || {
        let mut elapsed = Duration::ZERO;
        for _ in 0..TRANSACTIONS {
            // A member that has just polled, as one that processes has.
            let _ = group.poll(Duration::ZERO).unwrap();
            offset += 1;
            let offsets = Offsets::from_iter([(TopicPartition::new(TOPIC, 0), offset)]);
            let start = Instant::now();
            let transaction = producer.begin().unwrap();
            for (key, partition) in
                data.keys.iter().cycle().zip((0..PARTITIONS).cycle()).take(RECORDS)
            {
                let record = bed.topic.record(&data.value).key(key).partition(partition);
                transaction.send(record).unwrap();
            }
            transaction.send_offsets(&offsets, &group.group_metadata()).unwrap();
            transaction.commit().unwrap();
            elapsed += start.elapsed();
        }
        bed.rest();
        Sample::new(elapsed, TRANSACTIONS)
    }
}

fn one(bed: &Bed, producer: &mut TransactionalProducer, data: &Data) {
    let transaction = producer.begin().unwrap();
    transaction.send(bed.topic.record(&data.value).key(&data.keys[0])).unwrap();
    transaction.commit().unwrap();
}

fn lone() -> impl FnMut() -> Sample {
    let bed = Plan::new(PowerLoss).make();
    let data = Data::new(SMALL);
    let mut producer = bed.log.transactional_producer("lone").build().unwrap();
    move || {
        let start = Instant::now();
        (0..TRANSACTIONS).for_each(|_| one(&bed, &mut producer, &data));
        Sample::new(start.elapsed(), TRANSACTIONS)
    }
}

fn crowd() -> impl FnMut() -> Sample {
    let bed = Plan::new(PowerLoss).partitions(THREADS as u32).make();
    let data = Data::new(SMALL);
    let builder = |n| bed.log.transactional_producer(&format!("crowd-{n}")).build().unwrap();
    let mut producers: Vec<_> = (0..THREADS).map(builder).collect();
    move || {
        let (bed, data) = (&bed, &data);
        let start = Instant::now();
        thread::scope(|scope| {
            for producer in &mut producers {
                scope.spawn(move || (0..TRANSACTIONS).for_each(|_| one(bed, producer, data)));
            }
        });
        Sample::new(start.elapsed(), THREADS * TRANSACTIONS)
    }
}

/// As many records that are given, from the start; with `aborted`, every tenth transaction is.
fn scan(aborted: bool) -> impl FnMut() -> Sample {
    let bed = Plan::new(Memory).make();
    let data = Data::new(SMALL);
    let mut given = 0;
    if aborted {
        let mut producer = bed.log.transactional_producer("writer").build().unwrap();
        for number in 0..SCANNED / RECORDS {
            let transaction = producer.begin().unwrap();
            for key in data.keys.iter().cycle().take(RECORDS) {
                transaction.send(bed.topic.record(&data.value).key(key)).unwrap();
            }
            if number % 10 == 0 {
                transaction.abort().unwrap();
            } else {
                transaction.commit().unwrap();
                given += RECORDS;
            }
        }
    } else {
        for key in data.keys.iter().cycle().take(SCANNED) {
            let _ = bed.producer.send(bed.topic.record(&data.value).key(key)).unwrap();
        }
        given = SCANNED;
    }
    bed.rest();
    let isolation = if aborted { Isolation::ReadCommitted } else { Isolation::ReadUncommitted };
    let consumer = bed.log.consumer().offset_reset(OffsetReset::Earliest).isolation(isolation);
    let mut consumer = consumer.build().unwrap();
    let partition = TopicPartition::new(TOPIC, 0);
    consumer.assign([partition.clone()]).unwrap();
    let mut records = Records::default();
    move || {
        let _kept = &bed;
        consumer.seek(&partition, 0).unwrap();
        let mut seen = 0;
        let start = Instant::now();
        while seen < given {
            consumer.poll_into(&mut records, Duration::ZERO).unwrap();
            for record in &records {
                std::hint::black_box(record.value());
                seen += 1;
            }
        }
        Sample::new(start.elapsed(), seen)
    }
}
