//! Floor 2: the verbs between clients and whatever serves them.
//!
//! Clients hold an `Arc<dyn Backend>` and know nothing behind it. The embedded node is one
//! backend; a remote cluster can be another.

mod changes;
mod groups;
mod side_files;
mod topic_route;
mod transactions;

use std::fmt;
use std::num::NonZeroU64;
use std::ops::Range;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use crate::base::stop::Stop;
use crate::base::wait::Deadline;
use crate::base::{Clock, Error, ErrorKind, Expect, Isolation, RawRecord, Result, TimestampType};
use crate::batch::{BatchHeader, RecordReader};

pub use changes::Changes;
pub use groups::{
    CommitOffset, CommitReply, CommitRequest, CommitTicket, CommittedOffset, GroupAssignment,
    GroupBackend, GroupSession, JoinGroup, MemberRef, Subscription,
};
pub use side_files::{SideFile, SideFiles, SideWriter};
pub use topic_route::TopicRoute;
pub use transactions::{
    EndError, Fenced, NameHolder, Outcome, ProducerEpoch, TransactionBackend, TransactionHolder,
};

/// Where records go to and come from.
pub trait Backend: Send + Sync + fmt::Debug + 'static {
    /// The route of a topic; `UnknownTopicOrPartition` when there is none of that name.
    fn resolve(&self, topic: &str) -> Result<Arc<TopicRoute>>;

    /// The route of a topic that a client is about to use: created if there is none and the
    /// backend does so (`auto.create.topics.enable`).
    fn resolve_or_create(&self, topic: &str) -> Result<Arc<TopicRoute>> {
        self.resolve(topic)
    }

    /// Where it can be seen, and waited for, that topics come, grow and go.
    fn topic_changes(&self) -> &Changes;

    /// The log's only source of time.
    fn clock(&self) -> &dyn Clock;

    /// Returns when every record that was appended before the call has reached its level.
    /// `DeliveryTimeout` at the deadline, with the cause that held it up as its source.
    fn flush(&self, deadline: Deadline) -> Result<()>;

    /// Records that failing disks took away although they had been placed, told since `seen` such
    /// losses were: how many losses there are now, and what to say of the new ones.
    fn losses_since(&self, seen: u64) -> (u64, Option<Error>) {
        (seen, None)
    }

    /// Does the background work that is due, unless threads do it. Returns how long until there
    /// is more, `None` when nothing is planned.
    fn run_due(&self) -> Option<Duration>;

    /// As [`run_due`](Self::run_due), for who does not wait. Whether there was any.
    fn do_due(&self) -> bool {
        self.run_due();
        true
    }

    /// `Closed` once the log is.
    fn check_open(&self) -> Result<()>;

    /// Where clients keep files; `UnsupportedVersion` when this backend has no such place.
    fn side_files(&self) -> Result<&dyn SideFiles> {
        Err(Error::new(ErrorKind::UnsupportedVersion, "this backend keeps no files for clients"))
    }

    /// The coordinator of groups; `UnsupportedVersion` when this backend has none.
    fn groups(&self) -> Result<&dyn GroupBackend> {
        Err(Error::new(ErrorKind::UnsupportedVersion, "this backend coordinates no groups"))
    }

    /// The coordinator of transactions; `UnsupportedVersion` when this backend has none.
    fn transactions(&self) -> Result<&dyn TransactionBackend> {
        let message = "this backend coordinates no transactions";
        Err(Error::new(ErrorKind::UnsupportedVersion, message))
    }

    /// Where those who sleep learn that background work is due sooner than
    /// [`run_due`](Self::run_due) has told; none where that cannot be.
    fn plans(&self) -> Option<&Changes> {
        None
    }
}

/// One partition, resolved.
pub trait PartitionBackend: Send + Sync + fmt::Debug + 'static {
    /// Appends all records or none. They take consecutive offsets.
    fn append(&self, request: Append<'_>) -> Result<Appended>;

    /// Appends one record, if that is as simple as it mostly is: nothing is in its way, no rule of
    /// the program's is to be asked, it carries its own time or the clock's. `None`, and nothing has
    /// happened, elsewhere: then [`append`](Self::append) does it, or tells why not.
    fn append_one(&self, record: &RawRecord<'_>, producer: Option<&ProducerStamp>) -> Option<Spot> {
        let _ = (record, producer);
        None
    }

    /// As [`append`](Self::append), if what `expect` says of the first record or its key holds:
    /// judged and appended as one. `ConditionFailed`, with what there is, if it does not.
    fn append_if(&self, request: Append<'_>, expect: Expect) -> Result<Appended> {
        let _ = (request, expect);
        Err(no_key_index())
    }

    /// The newest record of `key` below `below` that a reader of this isolation sees: a batch that
    /// begins with it.
    fn last_of(
        &self,
        key: &[u8],
        below: u64,
        isolation: Isolation,
    ) -> Result<Option<FetchedBatch>> {
        let _ = (key, below, isolation);
        Err(no_key_index())
    }

    /// Adds to `into` the offsets in `range` at which visible records of `key` may stand, in
    /// order, and returns up to where that was looked for. Records with other keys, and aborted
    /// ones, may be among them.
    fn places_of(
        &self,
        key: &[u8],
        range: Range<u64>,
        isolation: Isolation,
        into: &mut Vec<u64>,
    ) -> Result<u64> {
        let _ = (key, range, isolation, into);
        Err(no_key_index())
    }

    /// Adds the visible batches at or after `request.from` to `into`, whole: the caller drops
    /// records before `from` and at or above [`FetchedBatch::below`]. Nothing when `from` is at
    /// the visible end; `OffsetOutOfRange` below the log start or above the log end.
    fn fetch(&self, request: &Fetch, into: &mut Vec<FetchedBatch>) -> Result<FetchInfo>;

    /// As [`fetch`](Self::fetch), for a reader whose last fetch has ended in a batch that may have
    /// grown since: what it finds is copied into `room`.
    fn fetch_on(&self, request: &Fetch, room: &mut BytesMut) -> FetchedOn {
        let _ = (request, room);
        FetchedOn::Elsewhere
    }

    /// The marks of this moment.
    fn marks(&self) -> PartitionMarks;

    /// How often a compaction has put other records in the place of stored ones, in this life. It
    /// grows before anybody can read what it has left.
    fn rewritten(&self) -> u64 {
        0
    }

    /// The earliest offset that a reader of this isolation may see whose timestamp is at least
    /// `timestamp_ms`, with its timestamp (A25, A29).
    fn find_timestamp(&self, timestamp_ms: i64, isolation: Isolation)
    -> Result<Option<(u64, i64)>>;

    /// Where reading can go on after a fetch from `from` has failed with `CorruptMessage`: behind
    /// the damaged batch, or at the next one that can be found.
    fn behind_damage(&self, from: u64) -> Result<u64>;

    /// Waits until everything below `offset` has reached the partition's level. The caller does
    /// the work itself when nobody does. `DeliveryTimeout` at the deadline.
    fn wait_reached(&self, offset: u64, deadline: Deadline) -> Result<()>;

    /// Calls `waker` once when there is something to do for a reader at `from` of this isolation:
    /// a record became visible, one was appended that [`help`](Self::help) would make visible,
    /// the transaction ended that it waits for, or the partition was closed. `None` when there
    /// already is.
    fn register(&self, from: u64, isolation: Isolation, waker: &Waker) -> Option<WaitToken>;

    /// Takes a registration back; one that has fired is ignored.
    fn unregister(&self, token: WaitToken);

    /// Brings appended records to their level on the calling thread if a reader at `from` waits
    /// for that. True when the caller should look again.
    fn help(&self, from: u64, isolation: Isolation, deadline: Deadline) -> Result<bool>;
}

fn no_key_index() -> Error {
    Error::new(ErrorKind::UnsupportedVersion, "this backend does not find records by their keys")
}

/// A request to append.
#[derive(Clone, Copy, Debug)]
pub struct Append<'a> {
    /// What to append, in order.
    pub records: &'a [RawRecord<'a>],
    /// Who appends, of a producer whose records are numbered.
    pub producer: Option<ProducerStamp>,
    /// How long to wait for room in the stage (`max.block.ms`).
    pub max_block: Duration,
    /// Ends that wait when it is set.
    pub stop: Option<&'a Stop>,
}

impl<'a> Append<'a> {
    /// When a wait for room ends that begins now.
    pub fn deadline(&self, clock: &dyn Clock) -> Deadline<'a> {
        let deadline = Deadline::after(clock, self.max_block);
        self.stop.map_or(deadline, |stop| deadline.or_stop(stop))
    }
}

/// Who appends, and which of its records these are: what is sent twice is appended once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerStamp {
    /// The producer's id, at least 0. At or above [`NAMED_PRODUCERS`](crate::base::NAMED_PRODUCERS)
    /// it belongs to a name: its state never expires, and goes on over its epochs.
    pub id: i64,
    /// The producer's epoch, at least 0; lower ones are refused from now on.
    pub epoch: i16,
    /// The number of the call's first record in its partition, at least 0; 0 follows `i32::MAX`.
    pub sequence: i32,
    /// Whether the records belong to the producer's transaction.
    pub transactional: bool,
}

/// Where a record stands that was appended alone. With none of it, it fits two registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot {
    behind: NonZeroU64,
    /// The record's timestamp.
    pub timestamp_ms: i64,
}

impl Spot {
    /// The spot of a record at `offset`; of the greatest offset there is, none.
    #[inline]
    #[must_use]
    pub fn new(offset: u64, timestamp_ms: i64) -> Option<Self> {
        Some(Self { behind: NonZeroU64::new(offset.wrapping_add(1))?, timestamp_ms })
    }

    /// The record's offset.
    #[inline]
    #[must_use]
    pub fn offset(self) -> u64 {
        self.behind.get() - 1
    }
}

/// Where the records of an [`Append`] stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The offset of the first record.
    pub base_offset: u64,
    /// The clock's time at the append, which records without a time of their own were given.
    pub timestamp_ms: i64,
    /// Whether all records were given it.
    pub timestamp_type: TimestampType,
    /// Whether the records were there already (B20). Nothing was appended then; offset and
    /// timestamp are those of the earlier append.
    pub duplicate: bool,
    /// Whether the offset is known. It is not of what a named producer sends again after so long
    /// that only its last number is remembered: then all records stand below
    /// `base_offset` + their count, and nothing else is told of them.
    pub exact: bool,
}

impl Appended {
    /// The timestamp that a record has, sent with `own`.
    #[inline]
    #[must_use]
    pub fn time_of(&self, own: Option<i64>) -> i64 {
        match self.timestamp_type {
            TimestampType::CreateTime => own.unwrap_or(self.timestamp_ms),
            TimestampType::LogAppendTime => self.timestamp_ms,
        }
    }
}

/// A request to read.
#[derive(Clone, Copy, Debug)]
pub struct Fetch {
    /// The first offset wanted.
    pub from: u64,
    /// Stop after this many bytes; the first batch is returned whatever its size (A33).
    pub max_bytes: usize,
    /// What the reader sees of transactions. Batches of which it sees nothing, and control
    /// batches at either level, are left out, or come without a payload.
    pub isolation: Isolation,
    /// Whether the checksum of each batch is to be computed (`check.crcs`). Without it damaged
    /// records may come as they are, or as bytes that are no records; which batches there are,
    /// how long they are and which offsets they have is proven by their headers either way.
    pub check_crcs: bool,
    /// Where the last fetch ended; [`FetchHint::default`] at first.
    pub hint: FetchHint,
}

impl Fetch {
    /// A request of a reader that has not read before, and takes nothing on trust.
    pub fn new(from: u64, max_bytes: usize) -> Self {
        let (isolation, hint) = (Isolation::ReadUncommitted, FetchHint::default());
        Self { from, max_bytes, isolation, check_crcs: true, hint }
    }
}

/// Where a fetch ended, so that the next one need not search. Only ever a hint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FetchHint {
    /// Base offset of the batch in which the fetch ended.
    pub base_offset: u64,
    /// The offset that the next fetch will ask for if it goes on.
    pub next_offset: u64,
    /// The byte position of `next_offset` in that batch's payload.
    pub position: usize,
}

/// What a fetch tells beside its batches.
#[derive(Clone, Debug, Default)]
pub struct FetchInfo {
    /// Offsets that do not exist although records behind them do: `[from, to)`, from a power
    /// cut below `PowerLoss` or damage that the user chose to read around.
    pub gaps: Vec<(u64, u64)>,
    /// For the next fetch.
    pub hint: FetchHint,
}

/// What came of a fetch that goes on where the last one has ended.
#[derive(Clone, Debug)]
pub enum FetchedOn {
    /// There is nothing yet.
    Nothing,
    /// What has come since, all of it, and what to ask with next.
    More(FetchedBatch, FetchHint),
    /// Only [`PartitionBackend::fetch`] can tell.
    Elsewhere,
}

/// A batch, or the visible part of one that is still open.
#[derive(Clone, Debug)]
pub struct FetchedBatch {
    /// Base offset, base timestamp and attributes are exact; lengths and checksums are those of
    /// the stored batch, which may be longer than `payload`.
    pub header: BatchHeader,
    /// The batch's payload, at least up to `below`.
    pub payload: Bytes,
    /// The byte position in `payload` at which to begin: a record boundary.
    pub position: usize,
    /// Records at or above this offset must not be shown.
    pub below: u64,
}

impl FetchedBatch {
    /// The records from the position on. A delete horizon in front of the first is passed, a
    /// payload with a codec refused; of a hidden batch there are none.
    pub fn records(&self) -> RecordReader<'_> {
        match self.position {
            0 if !self.is_hidden() => RecordReader::new(self.header.attributes, &self.payload),
            position => RecordReader::at(&self.payload, position),
        }
    }

    /// Takes what it holds from the reader, who is only told how far it reaches.
    pub fn hide(&mut self) {
        self.payload.clear();
        self.position = 0;
    }

    /// Whether it holds nothing for the reader: a marker, or records of an aborted transaction.
    pub fn is_hidden(&self) -> bool {
        self.payload.is_empty() && self.header.payload_len > 0
    }

    /// Where reading goes on behind the batch, whatever records it has (A34).
    pub fn behind(&self) -> u64 {
        self.header.next_offset().min(self.below)
    }
}

/// Offsets that bound a partition: `start <= stable <= visible <= end`, `durable <= end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionMarks {
    /// The log start offset: the first that can be read.
    pub start: u64,
    /// The last stable offset: all transactions that begin below it and below the visible end
    /// have ended (B33).
    pub stable: u64,
    /// The visible end (Kafka's high watermark): the first that consumers do not see yet.
    pub visible: u64,
    /// The log end offset: the next to be given.
    pub end: u64,
    /// Everything below survives a power cut.
    pub durable: u64,
}

impl PartitionMarks {
    /// The first offset that a reader of this isolation does not see yet.
    #[must_use]
    pub fn end_for(&self, isolation: Isolation) -> u64 {
        match isolation {
            Isolation::ReadUncommitted => self.visible,
            Isolation::ReadCommitted => self.stable,
        }
    }
}

/// A registration of a waker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WaitToken(pub u64);
