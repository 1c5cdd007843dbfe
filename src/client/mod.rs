//! Floor 5: what programs hold to write and read records.
//!
//! Clients know [`Backend`](crate::backend::Backend) and nothing behind it.

mod aggregate;
mod batch_delivery;
mod bell;
mod cloud_event;
mod conditional;
mod consumer;
mod consumer_builder;
mod consumer_event;
mod consumer_record;
mod consumer_settings;
mod delivery;
mod fetcher;
mod group;
mod interceptor;
mod key_history;
mod lifetime;
mod numbering;
mod offset_reset;
mod offsets;
mod owned_record;
mod packed_record;
mod partitioner;
mod pending;
mod positions;
mod processed_ids;
mod producer;
mod producer_builder;
mod producer_settings;
mod record;
mod records;
mod routes;
mod slot;
mod table;
mod topic;
mod transaction;
mod wakeup;
mod walk;
mod window;
mod worker;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;

pub use aggregate::{Aggregate, Aggregates, AsOf, Loaded};
pub use batch_delivery::{BatchDelivery, BatchPart};
pub use cloud_event::CloudEvent;
pub use consumer::Consumer;
pub use consumer_builder::ConsumerBuilder;
pub use consumer_event::{ConsumerEvent, ResetReason};
pub use consumer_record::ConsumerRecord;
pub use delivery::{Delivery, OwnedDelivery, Placed};
pub use group::{GroupMetadata, OffsetAndMetadata, Rebalance, RebalanceListener};
pub use interceptor::{OutgoingRecord, ProducerInterceptor, SendOutcome};
pub use key_history::KeyHistory;
pub use offset_reset::OffsetReset;
pub use offsets::{OffsetAndTimestamp, Offsets};
pub use owned_record::OwnedRecord;
pub use partitioner::Partitioner;
pub use processed_ids::ProcessedIds;
pub use producer::Producer;
pub use producer_builder::ProducerBuilder;
pub use record::Record;
pub use records::{Gap, Records, RecordsIter};
pub use table::{Restored, Table, TableBuilder, TableRecord, TableStats, TableView};
pub use topic::Topic;
pub use transaction::{
    CommitError, Processed, Transaction, TransactionalProducer, TransactionalProducerBuilder,
};
pub use wakeup::{StopHandle, WakeupHandle};
pub use worker::{Backoff, CommitPolicy, RunOptions, RunReport};
