//! One partition of a log, on whose clock time is moved by hand.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::backend::{
    Append, Appended, Backend, Fetch, FetchHint, FetchedBatch, PartitionBackend, ProducerStamp,
};
use crate::base::wait::Deadline;
use crate::base::{Isolation, ManualClock, NewTopic, RawRecord, Result, TopicPartition};
use crate::disk::sim::SimDisk;
use crate::node::{Node, Options};
use crate::partition::{Marker, Partition};

pub const NOW: i64 = 1_700_000_000_000;
pub const TXN: i64 = 100;

pub struct Bed {
    pub clock: ManualClock,
    pub node: Arc<Node>,
    pub part: Arc<Partition>,
}

impl Bed {
    pub fn in_memory() -> Self {
        Self::open(|_| {}, &[]).unwrap()
    }

    pub fn on(disk: &SimDisk, level: &str, topic: &[(&str, &str)]) -> Self {
        Self::try_on(disk, level, topic).unwrap()
    }

    /// A log on a simulated disk, of this level; the topic is made if there is none.
    pub fn try_on(disk: &SimDisk, level: &str, topic: &[(&str, &str)]) -> Result<Self> {
        let set = |options: &mut Options| {
            options.home = Some(PathBuf::from("/data"));
            options.disk = Some(Arc::new(disk.clone()));
            options.background = false;
            // What partitions remember is to be seen, and not what the coordinator makes of it.
            options.ends_transactions = false;
            options.stage_bytes = 64 << 10;
            // A disk that is off stays so.
            options.close_timeout = Duration::ZERO;
            options.settings.insert("durability".to_owned(), level.to_owned());
        };
        Self::open(set, topic)
    }

    pub fn open(change: impl FnOnce(&mut Options), topic: &[(&str, &str)]) -> Result<Self> {
        let clock = ManualClock::starting_at(NOW);
        let mut options = Options { clock: Arc::new(clock.clone()), ..Options::default() };
        change(&mut options);
        let node = Node::open(options)?;
        let at = TopicPartition::new("t", 0);
        if node.partition(&at).is_err() {
            let new = NewTopic::new("t").partitions(1);
            node.create_topic(&topic.iter().fold(new, |new, (key, value)| new.config(key, value)))?;
        }
        let part = node.partition(&at)?;
        Ok(Self { clock, node, part })
    }

    pub fn append(&self, producer: Option<ProducerStamp>, values: &[&str]) -> Result<Appended> {
        let records: Vec<RawRecord<'_>> = values
            .iter()
            .map(|value| RawRecord {
                // What stands in front of a colon is its key.
                key: value.split_once(':').map(|(key, _)| key.as_bytes()),
                value: Some(value.as_bytes()),
                ..RawRecord::default()
            })
            .collect();
        self.append_records(producer, &records)
    }

    pub fn append_records(
        &self,
        producer: Option<ProducerStamp>,
        records: &[RawRecord<'_>],
    ) -> Result<Appended> {
        let (max_block, stop) = (Duration::from_secs(1), None);
        self.part.append(Append { records, producer, max_block, stop })
    }

    /// Records of nobody: the first one's offset.
    pub fn plain(&self, values: &[&str]) -> u64 {
        self.append(None, values).unwrap().base_offset
    }

    pub fn send(&self, id: i64, epoch: i16, sequence: i32, values: &[&str]) -> Result<Appended> {
        let stamp = ProducerStamp { id, epoch, sequence, transactional: false };
        self.append(Some(stamp), values)
    }

    pub fn send_in(&self, id: i64, epoch: i16, sequence: i32, values: &[&str]) -> Result<Appended> {
        let stamp = ProducerStamp { id, epoch, sequence, transactional: true };
        self.append(Some(stamp), values)
    }

    /// A transaction that is open: one call with these values.
    pub fn begin(&self, id: i64, epoch: i16, values: &[&str]) -> u64 {
        self.part.admit(id, epoch).unwrap();
        self.send_in(id, epoch, 0, values).unwrap().base_offset
    }

    pub fn end(&self, id: i64, epoch: i16, commit: bool) -> Result<u64> {
        let marker = Marker { producer: id, epoch, coordinator_epoch: 1, commit };
        self.part.end_transaction(&marker, self.soon())
    }

    pub fn soon(&self) -> Deadline<'static> {
        Deadline::after(&self.clock, Duration::from_millis(250))
    }

    /// Everything that a reader of this isolation sees, and where it stands then.
    pub fn read(&self, isolation: Isolation, max_bytes: usize) -> (Vec<(u64, String)>, u64) {
        read_all(&*self.part, isolation, max_bytes)
    }

    pub fn values(&self, isolation: Isolation) -> Vec<String> {
        self.read(isolation, 1 << 20).0.into_iter().map(|(_, value)| value).collect()
    }

    pub fn committed(&self) -> Vec<String> {
        self.values(Isolation::ReadCommitted)
    }

    pub fn all(&self) -> Vec<String> {
        self.values(Isolation::ReadUncommitted)
    }

    /// Settles, syncs and seals what there is.
    pub fn tick(&self) {
        self.clock.advance(Duration::from_secs(1));
        self.node.run_due();
    }
}

/// Reads a partition from its start as a consumer does: the records, and where it stands then.
pub fn read_all(
    part: &dyn PartitionBackend,
    isolation: Isolation,
    max_bytes: usize,
) -> (Vec<(u64, String)>, u64) {
    let marks = part.marks();
    let (mut from, end) = (marks.start, marks.end_for(isolation));
    let (mut seen, mut hint) = (Vec::new(), FetchHint::default());
    while from < end {
        let mut batches = Vec::new();
        let info = part
            .fetch(&Fetch { isolation, hint, ..Fetch::new(from, max_bytes) }, &mut batches)
            .unwrap();
        hint = info.hint;
        let before = from;
        for batch in &batches {
            from = give(batch, from, &mut seen).max(from);
        }
        for (gap, to) in info.gaps {
            from = if gap <= from { from.max(to) } else { from };
        }
        assert!(from > before, "a reader at {from} of {end} goes on");
    }
    (seen, from)
}

fn give(batch: &FetchedBatch, from: u64, seen: &mut Vec<(u64, String)>) -> u64 {
    let mut records = batch.records();
    let mut next = batch.header.base_offset;
    while let Some(record) = records.next().unwrap() {
        let offset = batch.header.base_offset + u64::from(record.offset_delta);
        if offset >= batch.below {
            return batch.below;
        }
        if offset >= from {
            let value = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
            seen.push((offset, value));
        }
        next = offset + 1;
    }
    next.max(batch.header.next_offset().min(batch.below))
}
