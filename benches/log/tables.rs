//! Rows of tables: built from a log, and looked up, beside the standard library's map.

use std::collections::HashMap;
use std::hint::black_box;
use std::time::Instant;

use alluvium::{Durability, EventLog, Table, TableView};
use tempfile::TempDir;

use crate::bed::{LOG, Plan, TOPIC};
use crate::data::{Data, KEY, SMALL, encoded_len};
use crate::read::SCAN_BYTES;
use crate::row::{Row, Sample};

const INTO_MAP: &str = "bare scan into a HashMap, 5 records a key";
const INTO_MAP_NEW: &str = "bare scan into a HashMap, every key new";
const MAP_GET: &str = "HashMap get, 100,000 keys";

/// Records of all rows.
const RECORDS: usize = SCAN_BYTES / encoded_len(SMALL);
/// Keys where some come again, and where they are looked up.
const KEYS: usize = 100_000;
/// Look-ups of a sample.
const LOOKS: usize = 100_000;

/// Tables, and what bounds them.
pub fn rows() -> Vec<Row> {
    vec![
        into_map(INTO_MAP, KEYS),
        into_map(INTO_MAP_NEW, RECORDS),
        build("table build, 5 records a key", KEYS, INTO_MAP),
        build("table build, every key new", RECORDS, INTO_MAP_NEW),
        map_get(),
        look("table get, 100,000 keys", |table, _, key| {
            table.get(key).unwrap()?.value().map(<[u8]>::len)
        }),
        look("table view get, 100,000 keys", |_, view, key| view.get(key).map(<[u8]>::len)),
    ]
}

/// Keys that lie nowhere near one another.
fn key(number: usize) -> [u8; KEY] {
    let mut key = [0; KEY];
    let mixed = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    key[..8].copy_from_slice(&mixed.to_le_bytes());
    key[8..].copy_from_slice(&(number as u64).to_le_bytes());
    key
}

type Map = HashMap<Box<[u8]>, Box<[u8]>>;

/// A walk over records in memory, as simple as they can be, into a map that owns them.
fn scan_into_map(bytes: &[u8], map: &mut Map) -> usize {
    let (mut rest, mut count) = (bytes, 0);
    while let Some((head, after)) = rest.split_first_chunk::<8>() {
        let [k0, k1, k2, k3, v0, v1, v2, v3] = *head;
        let key_len = u32::from_le_bytes([k0, k1, k2, k3]) as usize;
        let value_len = u32::from_le_bytes([v0, v1, v2, v3]) as usize;
        let (key, after) = after.split_at(key_len);
        let (value, after) = after.split_at(value_len);
        map.insert(key.into(), value.into());
        (rest, count) = (after, count + 1);
    }
    count
}

fn bare(keys: usize) -> Vec<u8> {
    let data = Data::new(SMALL);
    let mut bytes = Vec::with_capacity(RECORDS * (8 + KEY + SMALL));
    for number in 0..RECORDS {
        bytes.extend((KEY as u32).to_le_bytes());
        bytes.extend((SMALL as u32).to_le_bytes());
        bytes.extend(key(number % keys));
        bytes.extend(&data.value);
    }
    bytes
}

fn into_map(name: &'static str, keys: usize) -> Row {
    Row::new("table", name, move || {
        let bytes = bare(keys);
        move || {
            let mut map = Map::new();
            let start = Instant::now();
            let count = scan_into_map(black_box(&bytes), &mut map);
            let elapsed = start.elapsed();
            assert_eq!((count, map.len()), (RECORDS, keys));
            Sample::new(elapsed, RECORDS)
        }
    })
}

fn library(keys: usize) -> (EventLog, TempDir) {
    let bed = Plan::new(Durability::ProcessCrash).segment_bytes("16777216").make();
    let data = Data::new(SMALL);
    for number in 0..RECORDS {
        let record = bed.topic.record(&data.value);
        let _ = bed.producer.send(record.key(&key(number % keys))).unwrap();
    }
    bed.rest();
    let home = bed.close().unwrap();
    let builder = EventLog::builder().path(home.path().join(LOG));
    let log = builder.durability(Durability::ProcessCrash).background(false).open().unwrap();
    (log, home)
}

fn build(name: &'static str, keys: usize, limit: &'static str) -> Row {
    let row = Row::new("table", name, move || {
        let (log, home) = library(keys);
        move || {
            let _held = &home;
            let start = Instant::now();
            let table = log.table(TOPIC).build().unwrap();
            let elapsed = start.elapsed();
            assert_eq!(table.len().unwrap(), keys);
            Sample::new(elapsed, RECORDS)
        }
    });
    row.limited_by(limit, 1.0).aim(3.33)
}

fn map_get() -> Row {
    Row::new("table", MAP_GET, || {
        let mut map = Map::new();
        scan_into_map(&bare(KEYS), &mut map);
        move || looks(|key| map.get(black_box(key)).map(|value| value.len()))
    })
}

fn look(name: &'static str, find: fn(&Table, &TableView, &[u8]) -> Option<usize>) -> Row {
    let row = Row::new("table", name, move || {
        let (log, home) = library(KEYS);
        let table = log.table(TOPIC).build().unwrap();
        let view = table.view().unwrap();
        move || {
            let _held = &home;
            looks(|key| find(&table, &view, black_box(key)))
        }
    });
    row.limited_by(MAP_GET, 1.0).aim(2.0)
}

/// Looks keys up in an order that no cache foresees.
fn looks(find: impl Fn(&[u8]) -> Option<usize>) -> Sample {
    let (mut mixed, mut bytes) = (7_u64, 0);
    let start = Instant::now();
    for _ in 0..LOOKS {
        mixed = mixed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        bytes += find(&key((mixed >> 33) as usize % KEYS)).unwrap();
    }
    let elapsed = start.elapsed();
    assert_eq!(bytes, LOOKS * SMALL);
    Sample::new(elapsed, LOOKS)
}
