//! What a table's records take.

use alluvium::{EventLog, NewTopic};

use crate::support::*;

#[test]
fn a_record_takes_its_bytes_and_some_words() {
    const KEYS: u32 = 100_000;
    let log = EventLog::in_memory();
    let topic = log.create_topic(NewTopic::new("t")).unwrap();
    let producer = producer(&log);
    let key = |n: u32| u128::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    for round in 0..3_u8 {
        let value = [round; 100];
        for n in 0..KEYS {
            let record = topic.record(&value);
            let _ = producer.send(record.key(&key(n).to_le_bytes())).unwrap();
        }
    }
    let mut table = None;
    let info = allocation_counter::measure(|| table = Some(log.table("t").build().unwrap()));
    assert_eq!(table.unwrap().len().unwrap(), KEYS as usize);
    // A counted pointer's two words, what a record is known by, key and value.
    let own = 16 + 16 + (16_u64 + 16 + 100).next_multiple_of(8);
    let more = u64::try_from(info.bytes_current).unwrap() / u64::from(KEYS) - own;
    assert!((20..60).contains(&more), "{more} bytes to find a record by");
    let most = info.bytes_max / u64::from(KEYS);
    assert!(most < own + 70, "{most} bytes a record at most");
    // Records that replace others of their length take no new memory: a third of them are new.
    let count = info.count_total / u64::from(KEYS);
    assert!(count <= 1, "{count} allocations a key");
}
