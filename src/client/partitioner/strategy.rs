//! How a producer chooses partitions, and the choice for one record.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::base::{Error, ErrorKind, Result, TopicPartition};

use super::super::record::Record;
use super::super::routes::Entry;
use super::Partitioner;
use super::murmur2::partition_of;

/// How a producer chooses the partition of a record that names none.
#[derive(Clone, Default)]
pub(in crate::client) enum Strategy {
    /// By the key's hash; without a key, the sticky partition.
    #[default]
    Kafka,
    /// The sticky partition, whatever the key (`partitioner.ignore.keys`).
    IgnoreKeys,
    /// One after the other, whatever the key.
    RoundRobin,
    /// As the program says.
    Custom(Arc<dyn Partitioner>),
}

/// The partition of one record.
#[derive(Clone, Copy, Debug)]
pub(in crate::client) struct Chosen {
    pub(in crate::client) partition: u32,
    /// Whether its bytes count for the sticky partition.
    pub(in crate::client) is_sticky: bool,
}

impl Chosen {
    fn fixed(partition: u32) -> Self {
        Self { partition, is_sticky: false }
    }

    fn sticky(partition: u32) -> Self {
        Self { partition, is_sticky: true }
    }
}

/// Whose turn it is in one topic.
#[derive(Debug, Default)]
pub(in crate::client) struct Turns(AtomicU32);

impl Turns {
    fn next(&self, count: u32) -> u32 {
        self.0.fetch_add(1, Ordering::Relaxed) % count.max(1)
    }
}

impl Strategy {
    /// The partition of a record: its own, or as the strategy says; `sticky` tells the sticky one.
    #[inline]
    pub(in crate::client) fn choose(
        &self,
        record: &Record<'_>,
        entry: &Entry,
        sticky: impl FnOnce() -> u32,
    ) -> Result<Chosen> {
        match (record.partition, self, record.raw.key) {
            (Some(named), ..) => Ok(Chosen::fixed(named)),
            (None, Strategy::Kafka, Some(key)) => {
                Ok(Chosen::fixed(partition_of(key, entry.partition_count())))
            }
            (None, Strategy::Kafka | Strategy::IgnoreKeys, _) => Ok(Chosen::sticky(sticky())),
            (None, Strategy::RoundRobin, _) => {
                Ok(Chosen::fixed(entry.turns.next(entry.partition_count())))
            }
            (None, Strategy::Custom(custom), _) => ask(&**custom, record, entry).map(Chosen::fixed),
        }
    }
}

impl Strategy {
    /// The usual cases of [`choose`](Self::choose); `None` elsewhere.
    #[inline(always)]
    pub(in crate::client) fn choose_at_once(
        &self,
        record: &Record<'_>,
        entry: &Entry,
    ) -> Option<Chosen> {
        match (record.partition, self, record.raw.key) {
            (Some(named), ..) => Some(Chosen::fixed(named)),
            (None, Strategy::Kafka, Some(key)) => {
                Some(Chosen::fixed(partition_of(key, entry.partition_count())))
            }
            (None, Strategy::Kafka, None) => Some(Chosen::sticky(entry.sticky.current())),
            _ => None,
        }
    }
}

/// Asks the program's code; holds no lock and has changed nothing yet, so a panic may pass.
fn ask(custom: &dyn Partitioner, record: &Record<'_>, entry: &Entry) -> Result<u32> {
    let (topic, count) = (&entry.route.name, entry.partition_count());
    let partition = custom.partition(topic, record.raw.key, record.raw.value, count);
    if partition < count {
        return Ok(partition);
    }
    let message =
        format!("the partitioner chose partition {partition}: the topic has {count}, from 0");
    Err(Error::new(ErrorKind::InvalidRequest, message)
        .with_partition(&TopicPartition::new(Arc::clone(topic), partition)))
}

impl fmt::Debug for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Strategy::Kafka => "Kafka",
            Strategy::IgnoreKeys => "IgnoreKeys",
            Strategy::RoundRobin => "RoundRobin",
            Strategy::Custom(_) => "Custom",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b06_turns_go_round_also_where_their_count_wraps() {
        let turns = Turns::default();
        assert_eq!((0..7).map(|_| turns.next(3)).collect::<Vec<_>>(), [0, 1, 2, 0, 1, 2, 0]);
        let late = Turns(AtomicU32::new(u32::MAX));
        assert!(late.next(3) < 3 && late.next(3) < 3);
        assert_eq!(Turns::default().next(0), 0);
    }
}
