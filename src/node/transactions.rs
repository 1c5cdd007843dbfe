//! Transactions as an operator handles them, and what the node tells their coordinator.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use crate::backend::Backend;
use crate::base::{Error, ErrorKind, LogConfig, Planted, Result, TopicId, TopicPartition};
use crate::coord::OFFSETS_TOPIC;
use crate::coord::groups;
use crate::coord::transactions::{
    Coordinator, Recovered, TransactionFilter, TransactionOptions, TransactionView, recover,
};
use crate::log::PartitionKey;
use crate::partition::{Opening, Partition, PartitionSpec, ProducerState, Shared};
use crate::stage::FoundChunk;

use super::topics::internal_config;
use super::{Node, OpenTopic};

const TRANSACTIONS: &str = "__transaction_state";
/// A transaction leaves some 300 bytes; what is in the segment that is written is not compacted.
const JOURNAL_SEGMENT_BYTES: u32 = 8 << 20;
/// The log's own topic of transactions and producers.
pub(super) const TRANSACTIONS_KEY: PartitionKey =
    PartitionKey { topic_id: TopicId(3), partition: 0 };

impl Node {
    /// Transactional ids in order, those that `filter` takes.
    pub fn list_transactions(&self, filter: &TransactionFilter) -> Result<Vec<TransactionView>> {
        self.transactions.list(filter)
    }

    /// One transactional id.
    pub fn describe_transaction(&self, id: &str) -> Result<TransactionView> {
        self.transactions.describe(id)
    }

    /// Aborts what a producer has open in a partition, and everywhere where it has an id.
    pub fn abort_transaction(&self, tp: &TopicPartition, producer: i64) -> Result<()> {
        let route = self.resolve(tp.topic())?;
        if tp.partition() as usize >= route.partitions.len() {
            return Err(no_partition(tp));
        }
        self.transactions.abort_producer((route.id, tp.partition()), producer)
    }

    /// The producers that a partition knows, by id.
    pub fn producers_of(&self, tp: &TopicPartition) -> Result<Vec<ProducerState>> {
        self.check_open()?;
        let topics = self.topics.read();
        let open = topics.get(tp.topic()).ok_or_else(|| Error::unknown_topic(tp.topic()))?;
        let Some(partition) = open.partitions.get(tp.partition() as usize) else {
            return Err(no_partition(tp));
        };
        let mut all = partition.producers();
        all.sort_unstable_by_key(|state| state.id);
        Ok(all)
    }

    /// Takes transactional ids from whoever holds them.
    pub fn fence_producers(&self, ids: &[&str]) -> Result<Vec<(String, Error)>> {
        self.transactions.fence_ids(ids)
    }
}

fn no_partition(tp: &TopicPartition) -> Error {
    let message = format!("there is no partition {tp}");
    Error::new(ErrorKind::UnknownTopicOrPartition, message).with_partition(tp)
}

/// Opens the partition of transactions and producers.
pub(super) fn open_journal(
    config: &LogConfig,
    shared: &Arc<Shared>,
    found: Vec<FoundChunk>,
    opening: &mut Opening<'_>,
) -> Result<Arc<Partition>> {
    let mut topic = internal_config(config.durability);
    (topic.cleanup_policy.compact, topic.cleanup_policy.delete) = (true, false);
    topic.segment_bytes = JOURNAL_SEGMENT_BYTES;
    let (tp, config) = (TopicPartition::new(TRANSACTIONS, 0), Arc::new(topic));
    let spec = PartitionSpec { key: TRANSACTIONS_KEY, tp, config, internal: true };
    let journal = Partition::open(shared, spec, found, opening)?;
    // The coordinator tells when.
    journal.allow_compaction_below(0);
    Ok(journal)
}

/// Ends what an earlier life has left open. Before groups are replayed: what transactions have
/// committed of offsets is decided then.
pub(super) fn recover_transactions<'t>(
    (journal, offsets): (Arc<Partition>, &Arc<Partition>),
    topics: impl Iterator<Item = &'t OpenTopic>,
    shared: &Shared,
    power_lost: bool,
    (ends, planted): (bool, Option<Planted>),
) -> Result<Recovered> {
    let own = (OFFSETS_TOPIC, vec![Arc::clone(offsets)]);
    let topics = topics.map(|open| (open.route.id, open.partitions.clone()));
    let incarnation = shared.files().incarnation();
    let recovered = recover(journal, topics.chain([own]), incarnation, power_lost)?;
    let recovered = recovered.planted(planted);
    if ends { recovered.end_all(&**shared.clock()) } else { Ok(recovered) }
}

/// Goes on from there.
pub(super) fn boot_transactions(
    recovered: Recovered,
    groups: &Arc<groups::Coordinator>,
    config: &LogConfig,
    shared: &Shared,
    planted: Option<Planted>,
) -> Arc<Coordinator> {
    let ms = |ms: u32| Duration::from_millis(u64::from(ms));
    let options = TransactionOptions {
        max_timeout: ms(config.transaction_max_timeout_ms),
        id_expiration: ms(config.transactional_id_expiration_ms),
        expiration_check: ms(config.transaction_remove_expired_check_ms),
        planted,
    };
    let clock = Arc::clone(shared.clock());
    Arc::new(Coordinator::new(recovered, Arc::clone(groups), clock, options))
}
