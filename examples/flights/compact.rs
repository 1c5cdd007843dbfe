//! The latest flight of each aircraft, in a compacted topic: what a table shows of it, what a reader
//! from the start finds, and what the input says must be the same.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use alluvium::{
    CompactionOptions, CompactionOutcome, EventLog, NewTopic, OffsetReset, Table, Topic,
    TopicPartition,
};

use crate::input::{Input, UNKNOWN};
use crate::job::Outcome;
use crate::report::grouped;

const TOPIC: &str = "latest-flights";

/// Rows by tail number: the last one of each.
type Latest<'i> = HashMap<&'i str, &'i str>;

/// Sends every flight, compacts, and proves that what is left is the latest flight of each aircraft.
/// Returns what there is to say.
pub fn keep_latest(input: &Input, dir: &Path, partitions: u32) -> Outcome<String> {
    let log = EventLog::open(dir)?;
    let topic = log.ensure_topic(NewTopic::new(TOPIC).compacted().partitions(partitions))?;
    send_all(&log, &topic, input)?;
    let truth: Latest<'_> =
        (0..input.len()).map(|row| input.row(row)).map(|row| (row.tail, row.text)).collect();
    let table = log.table(TOPIC).build()?;
    prove_table(&table, &truth)?;
    prove_replay(&log, &topic, &truth)?;
    // The log has done some of it by itself by now, if there was much.
    compact(&log)?;
    let left = prove_replay(&log, &topic, &truth)?;
    // Another table, and the one that was there before, show the same.
    prove_table(&log.table(TOPIC).build()?, &truth)?;
    prove_table(&table, &truth)?;
    if left != truth.len() as u64 {
        return Err(format!("{left} records are left of {} aircraft", truth.len()).into());
    }
    let unknown = truth.contains_key(UNKNOWN);
    let aircraft = grouped(truth.len() as u64 - u64::from(unknown));
    let beside = if unknown { format!(" and {UNKNOWN}") } else { String::new() };
    let flights = grouped(input.len() as u64);
    log.close()?;
    Ok(format!(
        "latest {aircraft} aircraft{beside} are left of {flights} flights, as the input says"
    ))
}

fn send_all(log: &EventLog, topic: &Topic, input: &Input) -> Outcome<()> {
    let producer = log.producer().build()?;
    for row in (0..input.len()).map(|row| input.row(row)) {
        let record = topic.record(row.text).key(row.tail).timestamp_ms(row.time_ms);
        let _durable_with_the_flush = producer.send(record)?;
    }
    Ok(producer.flush()?)
}

/// Leaves the newest record of each key: of everything that was sent, whatever share of it is new.
fn compact(log: &EventLog) -> Outcome<()> {
    log.admin().roll(TOPIC)?;
    let options = CompactionOptions::default().topic(TOPIC).force(true);
    for partition in log.admin().run_compaction(options)?.partitions {
        if let CompactionOutcome::Failed(error) = partition.outcome {
            return Err(error.into());
        }
    }
    Ok(())
}

fn prove_table(table: &Table, truth: &Latest<'_>) -> Outcome<()> {
    let view = table.view()?;
    for (tail, row) in truth {
        if view.get(tail) != Some(row.as_bytes()) {
            return Err(format!("the table shows another flight of {tail} than {row}").into());
        }
    }
    match view.len() == truth.len() {
        true => Ok(()),
        false => Err(format!("the table has {} aircraft, not {}", view.len(), truth.len()).into()),
    }
}

/// Reads the topic as anybody would, from its start: the last record of each key.
fn prove_replay(log: &EventLog, topic: &Topic, truth: &Latest<'_>) -> Outcome<u64> {
    let mut reader = log.consumer().offset_reset(OffsetReset::Earliest).build()?;
    let all: Vec<_> = (0..topic.partition_count()).map(|p| TopicPartition::new(TOPIC, p)).collect();
    reader.assign(all.iter().cloned())?;
    let (mut found, mut count) = (HashMap::new(), 0);
    while all.iter().any(|partition| reader.lag(partition).is_ok_and(|lag| lag > 0)) {
        for record in &reader.poll(Duration::from_secs(1))? {
            let tail = String::from_utf8(record.key().unwrap_or_default().to_vec())?;
            found.insert(tail, record.value_str()?.to_owned());
            count += 1;
        }
    }
    let same = |(tail, row): (&&str, &&str)| found.get(*tail).is_some_and(|found| found == row);
    if found.len() != truth.len() || !truth.iter().all(same) {
        return Err("a reader from the start finds other flights than the input has".into());
    }
    Ok(count)
}
