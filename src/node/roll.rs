//! Segments ended, retention and compaction run, because somebody asks.

use crate::backend::Backend;
use crate::base::{Error, Result, TopicPartition};
use crate::partition::Rolled;

use super::{CompactionReport, HousekeepingEvent, Node, RetentionReport};

/// What [`Admin::roll`](crate::Admin::roll) did to a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionRoll {
    /// Which one.
    pub partition: TopicPartition,
    /// The segment that was ended; none where no record stands in it.
    pub segment: Option<Rolled>,
}

impl Node {
    /// Ends the segments that are written of a topic.
    pub fn roll(&self, topic: &str) -> Result<Vec<PartitionRoll>> {
        self.check_open()?;
        let own = self.own_partitions().into_iter().filter(|p| p.name().topic() == topic);
        let mut partitions: Vec<_> = own.collect();
        if partitions.is_empty() {
            let topics = self.topics.read();
            let open = topics.get(topic).ok_or_else(|| Error::unknown_topic(topic))?;
            partitions.clone_from(&open.partitions);
        }
        let roll = |partition: &std::sync::Arc<crate::partition::Partition>| {
            let segment = partition.roll()?;
            Ok(PartitionRoll { partition: partition.name().clone(), segment })
        };
        partitions.iter().map(roll).collect()
    }

    /// Deletes what is too old or too much, now.
    pub fn run_retention(&self) -> Result<RetentionReport> {
        self.check_open()?;
        Ok(self.housekeeping.run_retention())
    }

    /// Compacts one topic, or all that are compacted.
    pub fn run_compaction(&self, topic: Option<&str>, force: bool) -> Result<CompactionReport> {
        self.check_open()?;
        if let Some(topic) = topic
            && self.own_partitions().iter().all(|own| own.name().topic() != topic)
        {
            self.resolve(topic)?;
        }
        let partitions = self.housekeeping.compactor().run(topic, force);
        self.check_open()?;
        Ok(CompactionReport { partitions })
    }

    /// What housekeeping did since the last call.
    pub fn take_events(&self) -> Vec<HousekeepingEvent> {
        self.housekeeping.take_events()
    }
}
