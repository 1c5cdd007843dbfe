//! Alluvium: an embedded, in-process, partitioned event log with Kafka's semantics and no broker.
//!
//! Topics, partitions, producers and consumer groups, linked straight into an application.
//! An append is a copy into a small shared-memory stage and survives `kill -9`; one sync of the
//! stage makes everything appended so far, in all partitions, survive a power cut.
//!
//! ```
//! use alluvium::{EventLog, NewTopic, OffsetReset};
//! use std::time::Duration;
//!
//! let log = EventLog::in_memory(); // or EventLog::open("data")?
//! let orders = log.ensure_topic(NewTopic::new("orders").partitions(3))?;
//!
//! let producer = log.producer().build()?;
//! producer.send(orders.record("one espresso").key("table-7"))?.wait()?;
//!
//! let kitchen = log.consumer().group("kitchen").topics(["orders"]);
//! let mut kitchen = kitchen.offset_reset(OffsetReset::Earliest).build()?;
//! for order in &kitchen.poll(Duration::from_secs(1))? {
//!     println!("{} {}", order.offset(), order.value_str()?);
//! }
//! kitchen.commit()?; // where the group goes on
//! log.close()?;
//! # Ok::<(), alluvium::Error>(())
//! ```
//!
//! # The floors
//!
//! ```text
//!  6   lib.rs   event_log.rs   admin.rs        the public door
//!      ---------------------------------------------------------------------------
//!  5   client/                     node/       two neighbours that never import each other
//!  4                               coord/      state machines replayed from internal topics
//!  3                               partition/  a log that is safe to share; owns all its locks
//!  2   backend/                    log/  stage/   verbs | one partition's segments | write-ahead ring
//!  1   batch/                      disk/       bytes <-> records | the one door to the system
//!  0   base/                                   words: errors, names, configs, clock
//! ```
//!
//! A module imports only lower floors; a test keeps it so. `ARCHITECTURE.md` tells the rest.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[forbid(unsafe_code)]
mod admin;
#[forbid(unsafe_code)]
mod backend;
#[forbid(unsafe_code)]
mod base;
#[forbid(unsafe_code)]
mod batch;
#[forbid(unsafe_code)]
mod client;
#[forbid(unsafe_code)]
mod coord;
mod disk;
#[forbid(unsafe_code)]
mod event_log;
#[doc(hidden)]
#[forbid(unsafe_code)]
pub mod fuzzing;
mod lock;
#[forbid(unsafe_code)]
mod log;
#[forbid(unsafe_code)]
mod node;
#[forbid(unsafe_code)]
mod partition;
#[forbid(unsafe_code)]
mod stage;
#[forbid(unsafe_code)]
pub mod testing;

pub use admin::{
    Admin, CompactionOptions, CreateTopicsOptions, GroupDescription, ListTopicsOptions,
    ProducerDescription,
};
pub use backend::{CommittedOffset, Outcome};
pub use base::{
    AlterConfigOp, CleanupPolicy, Clock, CompressionType, ConfigEntry, ConfigResource,
    ConfigSource, ConfigSynonym, ConfigType, Durability, Error, ErrorKind, Expect, Header,
    Isolation, LogConfig, ManualClock, NewTopic, RecordView, Result, SystemClock, TimestampType,
    TopicConfig, TopicId, TopicPartition, Violation,
};
pub use client::{
    Aggregate, Aggregates, AsOf, Backoff, BatchDelivery, BatchPart, CloudEvent, CommitError,
    CommitPolicy, Consumer, ConsumerBuilder, ConsumerEvent, ConsumerRecord, Delivery, Gap,
    GroupMetadata, KeyHistory, Loaded, OffsetAndMetadata, OffsetAndTimestamp, OffsetReset, Offsets,
    OutgoingRecord, OwnedDelivery, OwnedRecord, Partitioner, Placed, Processed, ProcessedIds,
    Producer, ProducerBuilder, ProducerInterceptor, Rebalance, RebalanceListener, Record, Records,
    RecordsIter, ResetReason, Restored, RunOptions, RunReport, SendOutcome, StopHandle, Table,
    TableBuilder, TableRecord, TableStats, TableView, Topic, Transaction, TransactionalProducer,
    TransactionalProducerBuilder, WakeupHandle,
};
pub use coord::groups::{
    Assignor, GroupEvent, GroupSpec, GroupState, GroupSummary, GroupType, MemberSpec, MemberView,
    Slot, TopicSpec,
};
/// The assignors that every log has, as values: for an [`Assignor`] of your own to build upon.
#[forbid(unsafe_code)]
pub mod assignors {
    pub use crate::coord::groups::{Range, RoundRobin, Uniform};
}
pub use coord::transactions::{TransactionFilter, TransactionState, TransactionView};
pub use event_log::{EventLog, EventLogBuilder, Tick};
pub use log::{Cut, GapEvent, OpenReport};
pub use node::{
    CompactedPartition, CompactionOutcome, CompactionReport, DeletedSegments, GroupLag,
    HousekeepingEvent, ListedOffset, LogDirInfo, OffsetChange, OffsetSpec, PartitionCompaction,
    PartitionRoll, PartitionSize, RecordsToDelete, ResetTo, RetentionReport, SnapshotReport,
    TopicInfo,
};
pub use partition::Rolled;

/// The examples of the documentation, run with those of the code.
#[cfg(doctest)]
#[forbid(unsafe_code)]
mod documentation {
    #[doc = include_str!("../docs/configuration.md")]
    struct Configuration;
    #[doc = include_str!("../docs/event-sourcing.md")]
    struct EventSourcing;
    #[doc = include_str!("../docs/errors.md")]
    struct Errors;
    #[doc = include_str!("../docs/events.md")]
    struct Events;
    #[doc = include_str!("../docs/groups.md")]
    struct Groups;
    #[doc = include_str!("../docs/housekeeping.md")]
    struct Housekeeping;
    #[doc = include_str!("../docs/snapshots.md")]
    struct Snapshots;
    #[doc = include_str!("../docs/tables.md")]
    struct Tables;
    #[doc = include_str!("../docs/transactions.md")]
    struct Transactions;
    #[doc = include_str!("../README.md")]
    struct Readme;
}
