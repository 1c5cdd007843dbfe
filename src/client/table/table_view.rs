//! A table as of one moment.

use std::fmt;
use std::sync::Arc;

use super::state::State;
use super::table_record::TableRecord;

/// A table as of one moment: it lends records without copying them.
///
/// From [`Table::view`](crate::Table::view). It stands still while the table goes on, and holds
/// nobody up: neither the table, nor its other readers, nor the log. What it costs is memory: of
/// what changes while it is kept, the old records stay with it. So keep it for a look, not for the
/// life of the program.
///
/// ```
/// use alluvium::{EventLog, NewTopic};
///
/// let log = EventLog::in_memory();
/// let stock = log.create_topic(NewTopic::new("stock").compacted())?;
/// let producer = log.producer().build()?;
/// for (thing, count) in [("cups", "12"), ("spoons", "30"), ("cups", "11")] {
///     producer.send(stock.record(count).key(thing))?.wait()?;
/// }
/// let view = log.table("stock").build()?.view()?;
/// assert_eq!(view.get("cups"), Some("11".as_bytes()));
/// assert_eq!(view.len(), 2);
/// let newest = view.records().map(|record| record.offset()).max();
/// assert_eq!(newest, Some(2));
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone)]
pub struct TableView {
    pub(super) state: Arc<State>,
}

impl TableView {
    /// The value of the latest record of `key`.
    #[must_use]
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<&[u8]> {
        self.state.latest.get(key.as_ref())?.value()
    }

    /// The latest record of `key`.
    #[must_use]
    pub fn record(&self, key: impl AsRef<[u8]>) -> Option<TableRecord<'_>> {
        let record = self.state.latest.get(key.as_ref())?;
        Some(TableRecord::new(&self.state, record))
    }

    /// Whether there is a record of `key`.
    #[must_use]
    pub fn contains(&self, key: impl AsRef<[u8]>) -> bool {
        self.state.latest.get(key.as_ref()).is_some()
    }

    /// Key and value of every record, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.records().map(|record| (record.key(), record.value()))
    }

    /// Every record, in no order.
    pub fn records(&self) -> impl Iterator<Item = TableRecord<'_>> {
        self.state.latest.iter().map(|record| TableRecord::new(&self.state, record))
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.state.latest.len()
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How far the partition is applied: everything below this offset. `None` of a partition that
    /// the table does not read.
    #[must_use]
    pub fn position(&self, partition: u32) -> Option<u64> {
        self.state.part(partition).map(|part| part.position)
    }
}

impl fmt::Debug for TableView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableView")
            .field("topic", &self.state.route.name)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
