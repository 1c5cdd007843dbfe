//! A table's door.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::backend::PartitionBackend;
use crate::base::wait::{Deadline, Parker};
use crate::base::{Error, ErrorKind, Result, TopicPartition};

use super::super::delivery::Placed;
use super::super::owned_record::OwnedRecord;
use super::super::routes::door;
use super::catch_up::Shared;
use super::part::ISOLATION;
use super::snapshot::Restored;
use super::stats::TableStats;
use super::table_view::TableView;

/// How long a save waits for the log to become durable.
const SAVE_TIMEOUT: Duration = Duration::from_secs(30);

/// The current latest record of each key of a topic, in memory.
///
/// From `EventLog::table`. A record with a value takes the place of the one before with its key, a
/// tombstone (a null value) removes it, a record without a key is ignored and counted (G01). Every
/// call first applies what has become visible, on the thread that calls; when nothing has, that is
/// a look at each partition's marks. So a table shows what was sent as soon as the send's delivery
/// has been waited for. It has no thread, and holds no file, map or buffer of the log.
///
/// Handles are cheap to clone, and can be used by many threads at once.
///
/// ```
/// use alluvium::{EventLog, NewTopic};
///
/// let log = EventLog::in_memory();
/// let profiles = log.create_topic(NewTopic::new("profiles").compacted())?;
/// let table = log.table("profiles").build()?;
/// let producer = log.producer().build()?;
/// producer.send(profiles.record("ada@example.org").key("ada"))?.wait()?;
/// producer.send(profiles.record("ada@example.com").key("ada"))?.wait()?;
/// let ada = table.get("ada")?.expect("was just sent");
/// assert_eq!((ada.value_str()?, ada.offset()), ("ada@example.com", 1));
/// producer.send(profiles.tombstone("ada"))?.wait()?;
/// assert!(table.get("ada")?.is_none());
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone)]
pub struct Table(pub(super) Arc<Shared>);

impl Table {
    /// The latest record of `key`: what was visible at the call is taken into account. It shares
    /// the table's memory of that record, and may be kept.
    ///
    /// # Errors
    ///
    /// - `UnknownTopicOrPartition`: the topic was deleted.
    /// - `CorruptMessage`, `StorageError`: what became visible cannot be read, naming partition and
    ///   offset. The table does not go past it: it would not be the topic's state.
    /// - `Closed`: the log is closed.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<OwnedRecord>> {
        let key = key.as_ref();
        self.0.backend.check_open()?;
        let state = self.0.state.read();
        if !state.has_news() {
            return Ok(state.owned(key));
        }
        drop(state);
        self.0.catch_up()?;
        Ok(self.0.state.read().owned(key))
    }

    /// The table as of this moment, to look at as often as one likes: nothing is copied.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get).
    pub fn view(&self) -> Result<TableView> {
        self.0.backend.check_open()?;
        if self.0.state.read().has_news() {
            self.0.catch_up()?;
        }
        Ok(TableView { state: Arc::clone(&self.0.state.read()) })
    }

    /// How many keys there are.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get).
    pub fn len(&self) -> Result<usize> {
        self.view().map(|view| view.len())
    }

    /// Whether there is no key.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get).
    pub fn is_empty(&self) -> Result<bool> {
        self.len().map(|len| len == 0)
    }

    /// The name of the topic.
    #[must_use]
    pub fn topic(&self) -> String {
        self.0.state.read().route.name.as_ref().to_owned()
    }

    /// What the table began with: whether its [snapshot](crate::TableBuilder::snapshot) was used,
    /// and if not, why.
    #[must_use]
    pub fn restored(&self) -> &Restored {
        &self.0.snapshot.restored
    }

    /// Writes the table of this moment to its [snapshot](crate::TableBuilder::snapshot) file, so
    /// that the next one need not read the topic from its start. The new file takes the place of
    /// the old one when it is whole and durable; readers and appends go on meanwhile.
    ///
    /// All records of the log are made durable first: a snapshot never holds what a power cut
    /// could take from the log. What it holds must fit on the disk twice for a moment.
    ///
    /// ```
    /// use alluvium::{EventLog, NewTopic};
    ///
    /// let log = EventLog::in_memory();
    /// let profiles = log.create_topic(NewTopic::new("profiles").compacted())?;
    /// log.producer().build()?.send(profiles.record("ada@example.org").key("ada"))?.wait()?;
    ///
    /// let table = || log.table("profiles").snapshot("profiles.table").build();
    /// table()?.save()?;
    /// let again = table()?;
    /// assert!(again.restored().is_taken());
    /// assert!(again.get("ada")?.is_some());
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `IllegalState` without a snapshot file; `InvalidRequest` when the file is something else,
    /// which is left alone; `StorageFull`, `StorageError`, `DeliveryTimeout` from the disk, and
    /// those of [`get`](Self::get). The old file stays whatever fails.
    pub fn save(&self) -> Result<()> {
        let Some(path) = &self.0.snapshot.path else {
            let message = "the table was built without a snapshot file";
            return Err(Error::new(ErrorKind::IllegalState, message));
        };
        self.0.save(path, SAVE_TIMEOUT)
    }

    /// What the table has met so far. Applies nothing.
    #[must_use]
    pub fn stats(&self) -> TableStats {
        self.0.state.read().stats
    }

    /// Returns when the record that stands at `placed` is applied. What it takes to make it visible
    /// is done on this thread: nobody waits for a background sync.
    ///
    /// ```
    /// use alluvium::{EventLog, NewTopic};
    /// use std::time::Duration;
    ///
    /// let log = EventLog::in_memory();
    /// let profiles = log.create_topic(NewTopic::new("profiles").compacted())?;
    /// let table = log.table("profiles").build()?;
    /// let producer = log.producer().build()?;
    /// let delivery = producer.send(profiles.record("ada@example.org").key("ada"))?;
    /// table.wait_for(delivery.placed(), Duration::from_secs(10))?;
    /// assert!(table.view()?.contains("ada"));
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `Timeout`, naming the offset and how far the table has come; `UnknownTopicOrPartition` for a
    /// partition that the topic does not have, `InvalidRequest` for one that the table was not to
    /// read; those of [`get`](Self::get).
    pub fn wait_for(&self, placed: Placed, timeout: Duration) -> Result<()> {
        let clock = self.0.backend.clock();
        let deadline = Deadline::after(clock, timeout);
        self.0.catch_up()?;
        let door = self.door(placed.partition)?;
        loop {
            let late = deadline.has_passed(clock);
            self.0.catch_up()?;
            let position = self.position(placed.partition);
            if position > placed.offset {
                return Ok(());
            }
            if late {
                return Err(self.not_applied(placed, position, timeout));
            }
            self.wait_at(&*door, position, deadline)?;
        }
    }

    /// Waits until there may be something behind `position`.
    fn wait_at(
        &self,
        door: &dyn PartitionBackend,
        position: u64,
        deadline: Deadline<'_>,
    ) -> Result<()> {
        let backend = &self.0.backend;
        let due = backend.run_due();
        match door.help(position, ISOLATION, deadline) {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            // It is this call's own deadline, or one more look will do.
            Err(e) if matches!(e.kind(), ErrorKind::DeliveryTimeout | ErrorKind::Timeout) => {
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        let clock = backend.clock();
        let until = due.map_or(deadline, |due| deadline.earlier(Deadline::after(clock, due)));
        let parker = Parker::new();
        if let Some(token) = door.register(position, ISOLATION, &parker.waker()) {
            parker.park(clock, &until);
            door.unregister(token);
        }
        Ok(())
    }

    fn door(&self, partition: u32) -> Result<Arc<dyn PartitionBackend>> {
        let state = self.0.state.read();
        if let Some(part) = state.part(partition) {
            return Ok(Arc::clone(&part.door));
        }
        let place = TopicPartition::new(Arc::clone(&state.route.name), partition);
        door(&state.route, partition)?;
        let read: Vec<u32> = state.parts.iter().map(|part| part.number).collect();
        let message = format!("the table reads the partitions {read:?} only, not {partition}");
        Err(Error::new(ErrorKind::InvalidRequest, message).with_partition(&place))
    }

    fn position(&self, partition: u32) -> u64 {
        self.0.state.read().part(partition).map_or(0, |part| part.position)
    }

    #[cold]
    fn not_applied(&self, placed: Placed, position: u64, timeout: Duration) -> Error {
        let Placed { partition, offset, .. } = placed;
        let place = TopicPartition::new(self.topic(), partition);
        let message = format!(
            "offset {offset} was not applied within {timeout:?}: the table has come to {position}"
        );
        Error::new(ErrorKind::Timeout, message).with_partition(&place).with_offset(offset)
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.state.read();
        f.debug_struct("Table")
            .field("topic", &state.route.name)
            .field("keys", &state.latest.len())
            .field("stats", &state.stats)
            .finish_non_exhaustive()
    }
}
