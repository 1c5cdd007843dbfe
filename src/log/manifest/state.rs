//! What the records of a manifest add up to.

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;

use super::numbers::NumberSet;
use super::origins::Origins;
use super::partition::{Gap, PartitionState, SegmentState, unknown};
use super::record::{PartitionEnd, Record, SegmentEnd};
use crate::base::{Error, ErrorKind, Result, TopicId};
use crate::log::PartitionKey;

/// The stage file in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StageFile {
    /// The number in its name.
    pub number: u64,
    /// Its length.
    pub bytes: u64,
}

/// Everything that a manifest says, as of its last record.
///
/// [`apply`](ManifestState::apply) is the only way to change it, here and at every open, and it
/// refuses histories that no writer produces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ManifestState {
    head: Head,
    origins: Origins,
    partitions: BTreeMap<PartitionKey, PartitionState>,
    live: HashMap<u64, PartitionKey>,
    retired: NumberSet,
    skipped: NumberSet,
    checkpoints: BTreeMap<u64, SegmentEnd>,
    staged_ends: BTreeMap<PartitionKey, u64>,
}

/// The part that every record group may touch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Head {
    log_id: Option<u128>,
    incarnation: u32,
    boot_id: Option<u128>,
    clean: bool,
    stage: Option<StageFile>,
    highest: u64,
}

impl ManifestState {
    /// The log's identity; 0 before the first record.
    #[must_use]
    pub fn log_id(&self) -> u128 {
        self.head.log_id.unwrap_or(0)
    }

    /// Who opened the log last; 0 when nobody has.
    #[must_use]
    pub fn incarnation(&self) -> u32 {
        self.head.incarnation
    }

    /// Under which run of the operating system the log was opened last, if that is known.
    #[must_use]
    pub fn boot_id(&self) -> Option<u128> {
        self.head.boot_id
    }

    /// Whether the log was left open under another run of the operating system than `now`.
    #[must_use]
    pub fn may_have_lost_power(&self, now: Option<u128>) -> bool {
        let same = now.is_some() && now == self.head.boot_id;
        self.head.incarnation > 0 && !self.head.clean && !same
    }

    /// Whether the last to open the log also closed it.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.head.clean
    }

    /// The stage file in use, if the log has one.
    #[must_use]
    pub fn stage(&self) -> Option<StageFile> {
        self.head.stage
    }

    /// Whose files the log began with, if it began as a copy.
    #[must_use]
    pub fn origins(&self) -> &Origins {
        &self.origins
    }

    /// The log that wrote segment file `number`: its identity is what the file's salt follows from.
    #[must_use]
    pub fn writer_of(&self, number: u64) -> u128 {
        self.origins.writer(number, self.log_id())
    }

    /// The greatest segment number ever used; 0 before the first.
    #[must_use]
    pub fn highest_number(&self) -> u64 {
        self.head.highest
    }

    /// One partition, if the manifest has anything to say of it.
    #[must_use]
    pub fn partition(&self, key: &PartitionKey) -> Option<&PartitionState> {
        self.partitions.get(key)
    }

    /// All partitions that the manifest has anything to say of, in order.
    pub fn partitions(&self) -> impl Iterator<Item = (&PartitionKey, &PartitionState)> {
        self.partitions.iter()
    }

    /// Whose segment `number` is, if it is live.
    #[must_use]
    pub fn owner(&self, number: u64) -> Option<&PartitionKey> {
        self.live.get(&number)
    }

    /// How the unsealed segment `number` ends, if the log was closed clean.
    #[must_use]
    pub fn checkpoint(&self, number: u64) -> Option<&SegmentEnd> {
        self.checkpoints.get(&number).filter(|_| self.head.clean)
    }

    /// The end of a partition that had staged records, if the log was closed clean.
    #[must_use]
    pub fn staged_end(&self, key: &PartitionKey) -> Option<u64> {
        self.staged_ends.get(key).copied()
    }

    /// The ends that the last clean close promised for partitions with staged records.
    pub fn staged_ends(&self) -> impl Iterator<Item = (&PartitionKey, u64)> {
        self.staged_ends.iter().map(|(key, end)| (key, *end))
    }

    /// Whether it is proven that no live data is in segment file `number`: it was retired, or
    /// never became part of a partition. Proof only as long as no torn end was cut from the
    /// manifest: that may have named the file.
    #[must_use]
    pub fn is_removable(&self, number: u64) -> bool {
        number > self.head.highest || self.retired.contains(number) || self.skipped.contains(number)
    }

    /// Applies one record.
    ///
    /// # Errors
    ///
    /// `CorruptMessage` when no writer could have said this now; the state may then be changed
    /// in part and is of no further use.
    pub fn apply(&mut self, record: &Record) -> Result<()> {
        self.change(record).map_err(|why| Error::new(ErrorKind::CorruptMessage, why))
    }

    /// Whether all of `records` could be applied one after the other. Changes nothing.
    pub(super) fn check(&self, records: &[Record]) -> Result<(), String> {
        let mut trial = self.excerpt(records);
        records.iter().try_for_each(|record| trial.change(record))
    }

    /// As much of the state as `records` touch: a group is tried on it first, so that a refused
    /// group or a failed write needs no undoing. The cost follows the partitions touched.
    fn excerpt(&self, records: &[Record]) -> Self {
        let mut excerpt = Self { head: self.head, ..Self::default() };
        for record in records {
            match record {
                Record::SegmentCreated { key, number, .. } => {
                    excerpt.copy_number(self, *number);
                    excerpt.copy_partition(self, key);
                }
                Record::SegmentsReplaced { key, number, old, .. } => {
                    excerpt.copy_number(self, *number);
                    excerpt.copy_partition(self, key);
                    old.iter().for_each(|number| excerpt.copy_number(self, *number));
                }
                Record::LogStart { key, .. }
                | Record::Compacted { key, .. }
                | Record::Producers { key, .. }
                | Record::Ceiling { key, .. }
                | Record::Floor { key, .. }
                | Record::Gap { key, .. } => excerpt.copy_partition(self, key),
                Record::SegmentSealed { number, .. }
                | Record::SegmentRetired { number }
                | Record::Checkpoint { number, .. } => excerpt.copy_number(self, *number),
                Record::PartitionsRetired { topic_id } => {
                    for (key, _) in self.partitions.range(keys_of(*topic_id)) {
                        excerpt.copy_partition(self, key);
                    }
                }
                // A summary touches everything; it is written by rewrites and copies only.
                Record::Numbers { .. } | Record::Origin { .. } => return self.clone(),
                Record::LogCreated { .. }
                | Record::Opened { .. }
                | Record::Closed { .. }
                | Record::Stage { .. } => {}
            }
        }
        excerpt
    }

    fn copy_number(&mut self, whole: &Self, number: u64) {
        if let Some(key) = whole.live.get(&number) {
            self.copy_partition(whole, key);
        }
        if whole.skipped.contains(number) {
            self.skipped.insert(number..=number);
        }
    }

    fn copy_partition(&mut self, whole: &Self, key: &PartitionKey) {
        let Some(partition) = whole.partitions.get(key) else {
            return;
        };
        if !self.partitions.contains_key(key) {
            self.live.extend(partition.segments.iter().map(|s| (s.number, *key)));
            self.partitions.insert(*key, partition.clone());
        }
    }

    pub(super) fn change(&mut self, record: &Record) -> Result<(), String> {
        self.check_order(record)?;
        match record {
            Record::LogCreated { log_id } => self.head.log_id = Some(*log_id),
            Record::Opened { incarnation, boot_id } => self.open(*incarnation, *boot_id)?,
            Record::SegmentCreated { key, number, base_offset } => {
                self.use_number(*number)?;
                self.live.insert(*number, *key);
                self.partition_mut(key).add_segment(*number, *base_offset)?;
            }
            Record::SegmentSealed { number, end } => {
                self.owner_mut(*number)?.seal(*number, *end)?;
                self.checkpoints.remove(number);
            }
            Record::SegmentRetired { number } => self.retire(*number)?,
            Record::LogStart { key, offset } => {
                self.partition_mut(key).raise_start(*offset)?;
                self.prune(key);
            }
            Record::Ceiling { key, offset } => {
                self.partition_mut(key).raise_ceiling(*offset)?;
                self.prune(key);
            }
            Record::Floor { key, offset } => {
                let partition = self.partition_mut(key);
                partition.floor = partition.floor.max(*offset);
                self.prune(key);
            }
            Record::Gap { key, from, to } => {
                self.partition_mut(key).add_gap(Gap { from: *from, to: *to })?;
                self.prune(key);
            }
            Record::SegmentsReplaced { key, number, base_offset, end, old } => {
                let (number, base_offset, sealed) = (*number, *base_offset, Some(*end));
                self.replace(key, SegmentState { number, base_offset, sealed }, old)?;
            }
            Record::Compacted { key, offset } => {
                self.partition_mut(key).raise_compacted(*offset)?;
                self.prune(key);
            }
            Record::Producers { key, offset, state } => {
                self.partition_mut(key).producers = (*offset, state.clone());
                self.prune(key);
            }
            Record::PartitionsRetired { topic_id } => self.retire_topic(*topic_id),
            Record::Checkpoint { number, end } => {
                self.owner_mut(*number)?.checkpoint(*number, end)?;
                self.checkpoints.insert(*number, *end);
            }
            Record::Closed { incarnation, ends } => self.close(*incarnation, ends)?,
            Record::Stage { number, bytes } => self.set_stage(*number, *bytes)?,
            Record::Origin { log_id, upto } => self.add_origin(*log_id, *upto)?,
            Record::Numbers { highest, retired, skipped } => {
                self.set_numbers(*highest, retired, skipped)?;
            }
        }
        Ok(())
    }

    /// `LogCreated` comes first and once; behind a clean close only `Opened` is legal.
    fn check_order(&self, record: &Record) -> Result<(), String> {
        let first = matches!(record, Record::LogCreated { .. });
        if first == self.head.log_id.is_some() {
            return Err("the record of the log's creation is not the first one".into());
        }
        if self.head.clean && !matches!(record, Record::Opened { .. }) {
            return Err("a closed log was changed".into());
        }
        Ok(())
    }

    fn open(&mut self, incarnation: u32, boot_id: Option<u128>) -> Result<(), String> {
        // The same one again, once: its recovery is complete, and `boot_id` is its boot.
        let known = incarnation > 0 && incarnation == self.head.incarnation;
        let again = known && !self.head.clean;
        if incarnation <= self.head.incarnation && !again {
            let last = self.head.incarnation;
            return Err(format!("incarnation {incarnation} follows {last}"));
        }
        self.head = Head { incarnation, boot_id, clean: false, ..self.head };
        self.checkpoints.clear();
        self.staged_ends.clear();
        Ok(())
    }

    fn close(&mut self, incarnation: u32, ends: &[PartitionEnd]) -> Result<(), String> {
        if incarnation != self.head.incarnation || incarnation == 0 {
            let last = self.head.incarnation;
            return Err(format!("incarnation {incarnation} closes what {last} opened"));
        }
        self.staged_ends = ends.iter().map(|end| (end.key, end.offset)).collect();
        if self.staged_ends.len() != ends.len() {
            return Err("a partition has two ends".into());
        }
        self.head.clean = true;
        Ok(())
    }

    fn set_stage(&mut self, number: u64, bytes: u64) -> Result<(), String> {
        if self.head.stage.is_some_and(|stage| number <= stage.number) {
            return Err(format!("stage number {number} was used before"));
        }
        self.head.stage = Some(StageFile { number, bytes });
        Ok(())
    }

    /// Nobody has opened the copy yet, and no file of it is named. Numbers that its origin used
    /// count as passed over until a segment says otherwise.
    fn add_origin(&mut self, log_id: u128, upto: u64) -> Result<(), String> {
        if self.head.incarnation > 0 || self.head.stage.is_some() || !self.live.is_empty() {
            return Err("a log that is in use does not become a copy".into());
        }
        self.origins.add(log_id, upto)?;
        if upto > self.head.highest {
            self.skipped.insert(self.head.highest + 1..=upto);
            self.head.highest = upto;
        }
        Ok(())
    }

    /// Numbers may arrive out of order (each partition creates its own files), never twice.
    fn use_number(&mut self, number: u64) -> Result<(), String> {
        if number > self.head.highest {
            self.skipped.insert(self.head.highest + 1..=number - 1);
            self.head.highest = number;
        } else if self.skipped.contains(number) {
            self.skipped.remove(number..=number);
        } else {
            return Err(format!("segment number {number} was used before"));
        }
        Ok(())
    }

    fn set_numbers(
        &mut self,
        highest: u64,
        retired: &[RangeInclusive<u64>],
        skipped: &[RangeInclusive<u64>],
    ) -> Result<(), String> {
        let (mut gone, mut never) = (NumberSet::default(), NumberSet::default());
        retired.iter().for_each(|range| gone.insert(range.clone()));
        skipped.iter().for_each(|range| never.insert(range.clone()));
        let overlap = never.ranges().any(|range| gone.intersects(&range));
        let live = self.live.keys().any(|n| gone.contains(*n) || never.contains(*n));
        let above = highest < u64::MAX && {
            let above = highest + 1..=u64::MAX;
            gone.intersects(&above) || never.intersects(&above)
        };
        let zero = gone.contains(0) || never.contains(0);
        if zero || overlap || live || above || highest < self.head.highest {
            return Err("the summary of segment numbers contradicts the segments".into());
        }
        (self.retired, self.skipped, self.head.highest) = (gone, never, highest);
        Ok(())
    }

    fn retire(&mut self, number: u64) -> Result<(), String> {
        let key = *self.live.get(&number).ok_or_else(|| unknown(number))?;
        self.partition_mut(&key).remove_segment(number)?;
        self.prune(&key);
        self.live.remove(&number);
        self.checkpoints.remove(&number);
        self.retired.insert(number..=number);
        Ok(())
    }

    fn replace(
        &mut self,
        key: &PartitionKey,
        new: SegmentState,
        old: &[u64],
    ) -> Result<(), String> {
        self.use_number(new.number)?;
        if let Some(foreign) = old.iter().find(|number| self.live.get(number) != Some(key)) {
            return Err(unknown(*foreign));
        }
        self.partition_mut(key).replace(new, old)?;
        for number in old {
            self.live.remove(number);
            self.retired.insert(*number..=*number);
        }
        self.live.insert(new.number, *key);
        Ok(())
    }

    fn retire_topic(&mut self, topic_id: TopicId) {
        let keys: Vec<_> = self.partitions.range(keys_of(topic_id)).map(|(key, _)| *key).collect();
        for partition in keys.iter().filter_map(|key| self.partitions.remove(key)) {
            for segment in partition.segments {
                self.live.remove(&segment.number);
                self.checkpoints.remove(&segment.number);
                self.retired.insert(segment.number..=segment.number);
            }
        }
    }

    fn partition_mut(&mut self, key: &PartitionKey) -> &mut PartitionState {
        self.partitions.entry(*key).or_default()
    }

    fn owner_mut(&mut self, number: u64) -> Result<&mut PartitionState, String> {
        let key = self.live.get(&number).ok_or_else(|| unknown(number))?;
        self.partitions.get_mut(key).ok_or_else(|| unknown(number))
    }

    /// A partition of which nothing is known is not kept: the state is what its records say.
    fn prune(&mut self, key: &PartitionKey) {
        if self.partitions.get(key).is_some_and(|p| *p == PartitionState::default()) {
            self.partitions.remove(key);
        }
    }

    /// Whether there are numbers without a live segment to be remembered.
    pub fn remembers_numbers(&self) -> bool {
        self.retired.ranges().next().is_some() || self.skipped.ranges().next().is_some()
    }

    /// The files of these numbers are gone for good.
    pub(super) fn forget(&mut self, numbers: &RangeInclusive<u64>) {
        self.retired.remove(numbers.clone());
        self.skipped.remove(numbers.clone());
    }

    /// The records that make this state out of nothing: the content of a rewritten manifest.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        let mut out = Vec::with_capacity(8 + 2 * self.live.len() + 2 * self.partitions.len());
        let Head { log_id, incarnation, boot_id, clean, stage, highest } = self.head;
        let Some(log_id) = log_id else { return out };
        out.push(Record::LogCreated { log_id });
        out.extend(self.origins.records());
        if incarnation > 0 {
            out.push(Record::Opened { incarnation, boot_id });
        }
        if let Some(StageFile { number, bytes }) = stage {
            out.push(Record::Stage { number, bytes });
        }
        for (key, partition) in &self.partitions {
            partition.records(*key, &mut out);
        }
        if highest > 0 {
            let (retired, skipped) = (self.retired.ranges(), self.skipped.ranges());
            let (retired, skipped) = (retired.collect(), skipped.collect());
            out.push(Record::Numbers { highest, retired, skipped });
        }
        let ends = self.checkpoints.iter();
        out.extend(ends.map(|(number, end)| Record::Checkpoint { number: *number, end: *end }));
        if clean {
            let ends = self.staged_ends.iter();
            let ends = ends.map(|(key, offset)| PartitionEnd { key: *key, offset: *offset });
            out.push(Record::Closed { incarnation, ends: ends.collect() });
        }
        out
    }
}

fn keys_of(topic_id: TopicId) -> RangeInclusive<PartitionKey> {
    PartitionKey { topic_id, partition: 0 }..=PartitionKey { topic_id, partition: u32::MAX }
}
