//! What the manifest promises, tried.

mod disk;
mod faults;
mod format;
mod group_commit;
mod history;
mod legality;

use std::path::Path;
use std::sync::Arc;

use self::disk::TestDisk;
use super::open::ManifestReport;
use super::*;
use crate::base::{Result, TopicId};
use crate::log::PartitionKey;

const DIR: &str = "log";

fn key(topic: u128, partition: u32) -> PartitionKey {
    PartitionKey { topic_id: TopicId(topic), partition }
}

fn end(next_offset: u64) -> SegmentEnd {
    SegmentEnd {
        data_len: 640,
        file_len: 720,
        next_offset,
        max_timestamp: Some(-5),
        stateful: true,
        footer_crc: 77,
    }
}

fn created(number: u64, base_offset: u64) -> Record {
    Record::SegmentCreated { key: key(1, 0), number, base_offset }
}

fn ceiling(offset: u64) -> Record {
    Record::Ceiling { key: key(1, 0), offset }
}

fn create(disk: &Arc<TestDisk>) -> Manifest {
    Manifest::create(disk.clone(), Path::new(DIR), 99).unwrap()
}

fn open(disk: &Arc<TestDisk>, witness: Witness) -> Result<(Manifest, ManifestReport)> {
    let (manifest, state, report) = Manifest::open(disk.clone(), Path::new(DIR), witness)?;
    manifest.with_state(|live| assert_eq!(*live, state));
    Ok((manifest, report))
}

fn state_of(manifest: &Manifest) -> ManifestState {
    manifest.with_state(Clone::clone)
}

/// Where the content of the file ends.
fn end_of(manifest: &Manifest) -> usize {
    manifest.lock().tail.end as usize
}

/// Every kind of record that a writer appends, as one legal history of record groups.
fn every_kind() -> Vec<Vec<Record>> {
    let k = key(1, 0);
    vec![
        vec![Record::Opened { incarnation: 1, boot_id: Some(5) }],
        vec![Record::Stage { number: 1, bytes: 4 << 20 }, created(1, 0)],
        vec![Record::SegmentSealed { number: 1, end: end(40) }, created(3, 40)],
        vec![Record::SegmentCreated { key: key(2, 7), number: 2, base_offset: 9 }],
        vec![Record::LogStart { key: k, offset: 40 }, Record::SegmentRetired { number: 1 }],
        vec![ceiling(1000), Record::Gap { key: k, from: 60, to: 70 }],
        vec![Record::PartitionsRetired { topic_id: TopicId(2) }],
        vec![
            Record::SegmentSealed { number: 3, end: end(70) },
            created(4, 70),
            Record::SegmentSealed { number: 4, end: end(75) },
            created(6, 75),
        ],
        vec![
            Record::SegmentsReplaced {
                key: k,
                number: 5,
                base_offset: 40,
                end: end(75),
                old: vec![3, 4],
            },
            Record::Compacted { key: k, offset: 72 },
            Record::Producers { key: k, offset: 70, state: vec![7; 24] },
        ],
        vec![
            Record::Checkpoint { number: 6, end: SegmentEnd { max_timestamp: None, ..end(80) } },
            Record::Closed { incarnation: 1, ends: vec![PartitionEnd { key: k, offset: 90 }] },
        ],
    ]
}
