//! A copier: every value that is committed becomes one copy, and that it was read is committed
//! with it.

use std::time::Duration;

use alluvium::{Consumer, Isolation, OffsetReset, Record, TransactionalProducer};

use crate::history::Read;
use crate::run::{Chance, Life, read_all};

fn parts(life: &Life<'_>, id: &str) -> alluvium::Result<(Consumer, TransactionalProducer)> {
    let builder = life.machine.log.consumer().group("copiers").topics(["h"]).auto_commit(None);
    let builder = builder.isolation(Isolation::ReadCommitted).set("max.poll.records", "7");
    let consumer = builder.offset_reset(OffsetReset::Earliest).build()?;
    Ok((consumer, life.machine.log.transactional_producer(id).build()?))
}

/// One transaction: polls, copies, commits or not. Whether there was anything.
fn step(
    consumer: &mut Consumer,
    producer: &mut TransactionalProducer,
    aborts: bool,
) -> alluvium::Result<bool> {
    let records = consumer.poll(Duration::from_millis(1))?;
    if records.is_empty() {
        return Ok(false);
    }
    let transaction = producer.begin()?;
    for record in &records {
        transaction.send(Record::new("copies", record.value().unwrap_or_default()))?;
    }
    transaction.send_offsets(&records.next_offsets(), &consumer.group_metadata())?;
    if aborts {
        transaction.abort()?;
        consumer.rewind_to_committed()?;
    } else {
        transaction.commit()?;
    }
    Ok(true)
}

pub fn copy(life: &Life<'_>, chance: &mut Chance, id: &str) {
    while life.goes_on() {
        let Ok((mut consumer, mut producer)) = parts(life, id) else { return };
        for _ in 0..5 + chance.below(20) {
            let aborts = chance.below(3) == 0;
            // What fails begins anew, from what is committed.
            if !life.goes_on() || step(&mut consumer, &mut producer, aborts).is_err() {
                break;
            }
        }
    }
}

/// Copies what is left, undisturbed. What there was to copy, and what there is of copies.
pub fn copies_of(life: &Life<'_>, inputs: &[Read]) -> (Vec<u64>, Vec<u64>) {
    let (mut consumer, mut producer) = parts(life, "copier").unwrap();
    let mut idle = 0;
    while idle < 5 {
        idle = if step(&mut consumer, &mut producer, false).unwrap() { 0 } else { idle + 1 };
    }
    let copies = read_all(life, "copies", 1);
    let values = |reads: &[Read]| reads.iter().map(|read| read.value).collect();
    (values(inputs), values(&copies))
}
