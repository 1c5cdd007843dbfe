//! A machine, and the partition that it is the replay of.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

use crate::backend::{Append, Fetch};
use crate::base::wait::Deadline;
use crate::base::{Clock, Isolation, RawRecord, Result};
use crate::partition::Partition;

/// How long a table's command waits for the disk.
const PATIENCE: Duration = Duration::from_secs(120);

/// State that changes only by the replay of records.
pub trait Machine: Default + fmt::Debug + Send + Sync + 'static {
    /// Takes one record into the state. Called in log order, at boot and for every decision.
    fn replay(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<()>;
}

/// One record of a decision.
pub type Entry = (Vec<u8>, Option<Vec<u8>>);

/// A machine that is safe to share.
pub struct Table<M> {
    machine: RwLock<M>,
    /// Commands are decided and replayed one at a time.
    commands: Mutex<()>,
    partition: Arc<Partition>,
    clock: Arc<dyn Clock>,
}

impl<M: Machine> Table<M> {
    /// Replays the whole partition into a new machine.
    pub fn boot(partition: Arc<Partition>, clock: Arc<dyn Clock>) -> Result<Self> {
        let mut machine = M::default();
        replay(&partition, |key, value| machine.replay(key, value))?;
        Ok(Self { machine: RwLock::new(machine), commands: Mutex::new(()), partition, clock })
    }

    /// Looks at the state.
    pub fn view<T>(&self, look: impl FnOnce(&M) -> T) -> T {
        look(&self.machine.read())
    }

    /// Decides, appends, replays. The second value is what to wait for until the decision is
    /// durable. A decision without records changes nothing.
    pub fn publish<T>(
        &self,
        decide: impl FnOnce(&M) -> Result<(Vec<Entry>, T)>,
    ) -> Result<(T, u64)> {
        self.publish_within(PATIENCE, decide)
    }

    /// As [`publish`](Self::publish), waiting for room in the stage no longer than `max_block`.
    pub fn publish_within<T>(
        &self,
        max_block: Duration,
        decide: impl FnOnce(&M) -> Result<(Vec<Entry>, T)>,
    ) -> Result<(T, u64)> {
        let _one_at_a_time = self.commands.lock();
        let (entries, answer) = decide(&self.machine.read())?;
        let end = if entries.is_empty() { 0 } else { self.append(&entries, max_block)? };
        Ok((answer, end))
    }

    /// Returns when everything below `end` is durable.
    pub fn wait(&self, end: u64) -> Result<()> {
        self.partition.wait_level(end, Deadline::after(&*self.clock, PATIENCE))
    }

    /// What to wait for until everything that was decided so far is durable.
    pub fn end(&self) -> u64 {
        self.partition.marks_now().end
    }

    fn append(&self, entries: &[Entry], max_block: Duration) -> Result<u64> {
        let records: Vec<RawRecord<'_>> = entries
            .iter()
            .map(|(key, value)| RawRecord {
                key: Some(key),
                value: value.as_deref(),
                ..RawRecord::default()
            })
            .collect();
        let request = Append { records: &records, producer: None, max_block, stop: None };
        let appended = self.partition.append(request)?;
        let mut machine = self.machine.write();
        for (key, value) in entries {
            machine.replay(key, value.as_deref())?;
        }
        Ok(appended.base_offset + entries.len() as u64)
    }

    /// The partition behind the table.
    pub fn partition(&self) -> &Arc<Partition> {
        &self.partition
    }
}

/// Gives every record of a partition to `take`, in order.
pub fn replay(
    partition: &Partition,
    take: impl FnMut(&[u8], Option<&[u8]>) -> Result<()>,
) -> Result<()> {
    replay_at(Isolation::ReadUncommitted, partition, take)
}

/// As [`replay`], without what a reader of this isolation does not see.
pub fn replay_at(
    isolation: Isolation,
    partition: &Partition,
    mut take: impl FnMut(&[u8], Option<&[u8]>) -> Result<()>,
) -> Result<()> {
    let mut from = partition.marks_now().start;
    let end = partition.marks_now().end;
    let mut batches = Vec::new();
    while from < end {
        let fetch = Fetch { isolation, ..Fetch::new(from, 1 << 20) };
        batches.clear();
        partition.read_to_end(&fetch, &mut batches)?;
        partition.hide(isolation, &mut batches)?;
        let before = from;
        for batch in &batches {
            let mut records = batch.records();
            while let Some(record) = records.next().map_err(|damage| partition.damage(damage))? {
                let offset = batch.header.base_offset + u64::from(record.offset_delta);
                if offset >= from {
                    take(record.key.unwrap_or_default(), record.value)?;
                    from = offset + 1;
                }
            }
            // Compaction may have taken the batch's last records, or all.
            from = from.max(batch.behind());
        }
        if from == before {
            break;
        }
    }
    Ok(())
}

impl<M: Machine> fmt::Debug for Table<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("machine", &self.machine)
            .field("partition", &self.partition)
            .finish_non_exhaustive()
    }
}
