//! What was processed already, remembered in a compacted topic.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::base::{Result, TopicPartition};

use super::consumer::Consumer;
use super::producer::Producer;
use super::records::Records;
use super::topic::Topic;

/// Remembers which ids were processed, so that a record that comes again changes nothing: the
/// idempotent consumer. From `EventLog::processed_ids`.
///
/// Ids stand as keys in a compacted topic, and all of them in memory. An id is remembered *after*
/// its work: if the process dies in between, the work is done again. Where that must not be,
/// keep the id in the same transaction as the work's result. Handles are cheap to clone and can
/// be shared between threads; of several that come with one id at once, one works and the others
/// wait for it: work that asks for its own id would wait for itself. Share one handle by cloning
/// it: two that were opened apart, or that two processes have, do not see what the other
/// remembers until they are opened again.
///
/// ```
/// use alluvium::EventLog;
///
/// let log = EventLog::in_memory();
/// let paid = log.processed_ids("paid-invoices")?;
/// let mut payments = 0;
/// for invoice in ["i-1", "i-2", "i-1"] {
///     paid.once(invoice, || {
///         payments += 1;
///         Ok::<(), alluvium::Error>(())
///     })?;
/// }
/// assert_eq!(payments, 2);
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone)]
pub struct ProcessedIds(Arc<Inner>);

struct Inner {
    topic: Topic,
    producer: Producer,
    ids: Mutex<Ids>,
    done: Condvar,
}

#[derive(Default)]
struct Ids {
    known: HashSet<Box<[u8]>>,
    /// Whose work is being done.
    claimed: HashSet<Box<[u8]>>,
}

impl ProcessedIds {
    /// Reads the ids that `topic` holds. The consumer has nothing assigned yet.
    pub(crate) fn load(topic: Topic, producer: Producer, mut consumer: Consumer) -> Result<Self> {
        let partition = |number| TopicPartition::new(topic.name(), number);
        let all: Vec<_> = (0..topic.partition_count()).map(partition).collect();
        consumer.assign(all.iter().cloned())?;
        consumer.seek_to_beginning(&all)?;
        let ends = consumer.end_offsets(&all)?;
        let mut known = HashSet::new();
        let mut records = Records::default();
        let mut left: Vec<_> = ends.into_iter().collect();
        loop {
            for record in &records {
                match (record.key(), record.value()) {
                    (Some(id), Some(_)) => drop(known.insert(Box::from(id))),
                    (Some(id), None) => drop(known.remove(id)),
                    (None, _) => {}
                }
            }
            let mut ahead = Vec::new();
            for (partition, end) in left {
                if consumer.position(&partition)? < end {
                    ahead.push((partition, end));
                }
            }
            left = ahead;
            if left.is_empty() {
                break;
            }
            consumer.poll_into(&mut records, Duration::from_secs(1))?;
        }
        let ids = Mutex::new(Ids { known, claimed: HashSet::new() });
        Ok(Self(Arc::new(Inner { topic, producer, ids, done: Condvar::new() })))
    }

    /// Does `work` unless it was done for `id` before, and remembers the id when it has
    /// succeeded, as durably as the topic is. `None`: it was done before.
    ///
    /// # Errors
    ///
    /// What `work` fails with: the id is not remembered. What sending fails with: the work is
    /// done, and would be done again.
    pub fn once<T, E: From<crate::base::Error>>(
        &self,
        id: impl AsRef<[u8]>,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<Option<T>, E> {
        let id = id.as_ref();
        let Some(claim) = self.claim(id) else { return Ok(None) };
        let outcome = work()?;
        let record = self.0.topic.record("").key(id);
        self.0.producer.send(record)?.wait()?;
        claim.keep();
        Ok(Some(outcome))
    }

    /// Whether the work of `id` was done.
    #[must_use]
    pub fn contains(&self, id: impl AsRef<[u8]>) -> bool {
        self.0.ids.lock().known.contains(id.as_ref())
    }

    /// Forgets `id`, durably: its work may be done again. One that is not known is no error.
    ///
    /// # Errors
    ///
    /// What sending fails with.
    pub fn forget(&self, id: impl AsRef<[u8]>) -> Result<()> {
        let id = id.as_ref();
        let record = super::record::Record::tombstone(self.0.topic.name(), id);
        self.0.producer.send(record)?.wait()?;
        self.0.ids.lock().known.remove(id);
        Ok(())
    }

    /// How many ids are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.ids.lock().known.len()
    }

    /// Whether no id is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The right to do the work of `id`; waits while another thread has it. None when it is done.
    fn claim<'c>(&'c self, id: &'c [u8]) -> Option<Claim<'c>> {
        let mut ids = self.0.ids.lock();
        loop {
            if ids.known.contains(id) {
                return None;
            }
            if ids.claimed.insert(Box::from(id)) {
                return Some(Claim { inner: &self.0, id });
            }
            self.0.done.wait(&mut ids);
        }
    }
}

/// The right to do one id's work. Dropped, by a panic too, it is somebody else's.
struct Claim<'c> {
    inner: &'c Inner,
    id: &'c [u8],
}

impl Claim<'_> {
    fn keep(self) {
        self.inner.ids.lock().known.insert(Box::from(self.id));
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.inner.ids.lock().claimed.remove(self.id);
        self.inner.done.notify_all();
    }
}

impl fmt::Debug for ProcessedIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessedIds")
            .field("topic", &self.0.topic.name())
            .field("ids", &self.len())
            .finish()
    }
}
