//! The one error type: one word, cheap to clone, with a stable kind.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::ids::TopicPartition;

/// What every fallible call of this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call failed.
///
/// One word, `Clone` (one cause reaches every waiter), with a stable [`kind`](Error::kind),
/// what the caller needs to act (topic, partition, offset, path), and the chain of causes
/// behind [`source`](StdError::source).
///
/// ```
/// use alluvium::{ErrorKind, EventLog};
///
/// let log = EventLog::in_memory();
/// let error = log.topic("nowhere").unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::UnknownTopicOrPartition);
/// assert_eq!(error.kafka_code(), Some(3));
/// assert_eq!(error.topic(), Some("nowhere"));
/// ```
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Default)]
struct Inner {
    kind: ErrorKind,
    message: String,
    topic: Option<Arc<str>>,
    partition: Option<u32>,
    offset: Option<u64>,
    path: Option<PathBuf>,
    records: Vec<usize>,
    actual: Actual,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// What was found where a condition expected something else.
#[derive(Clone, Copy, Debug, Default)]
struct Actual {
    offset: Option<u64>,
    version: Option<u64>,
}

macro_rules! kinds {
    ($($(#[$attr:meta])+ $name:ident = $kafka:literal, $code:expr, $retriable:literal;)+) => {
        /// The stable part of an [`Error`]. Names are Kafka's where Kafka has one.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorKind { $($(#[$attr])+ $name,)+ }

        impl ErrorKind {
            /// Every kind, in the order of declaration.
            pub const ALL: &'static [ErrorKind] = &[$(ErrorKind::$name),+];

            /// Kafka's name of this error, or this crate's in the same style.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(ErrorKind::$name => $kafka,)+ }
            }

            /// Kafka's code of this error on the wire, where it has one.
            #[must_use]
            pub fn kafka_code(self) -> Option<i16> {
                match self { $(ErrorKind::$name => $code,)+ }
            }

            /// Whether the same call may succeed later without any change.
            #[must_use]
            pub fn is_retriable(self) -> bool {
                match self { $(ErrorKind::$name => $retriable,)+ }
            }
        }
    };
}

kinds! {
    /// An internal rule was broken. A bug: please report it.
    #[default]
    Unknown = "UNKNOWN_SERVER_ERROR", Some(-1), false;
    /// A fetch position below the log start offset or above the log end offset.
    OffsetOutOfRange = "OFFSET_OUT_OF_RANGE", Some(1), false;
    /// Stored bytes do not match their checksum or cannot be decoded. Nothing is skipped.
    CorruptMessage = "CORRUPT_MESSAGE", Some(2), false;
    /// The topic does not exist (any more), or has no partition of that number.
    UnknownTopicOrPartition = "UNKNOWN_TOPIC_OR_PARTITION", Some(3), true;
    /// One send call's encoded records exceed `max.message.bytes`.
    MessageTooLarge = "MESSAGE_TOO_LARGE", Some(10), false;
    /// The metadata of a committed offset exceeds `offset.metadata.max.bytes`.
    OffsetMetadataTooLarge = "OFFSET_METADATA_TOO_LARGE", Some(12), false;
    /// A topic name that breaks the naming rules.
    InvalidTopic = "INVALID_TOPIC_EXCEPTION", Some(17), false;
    /// One send call's encoded records exceed `segment.bytes`.
    RecordListTooLarge = "RECORD_LIST_TOO_LARGE", Some(18), false;
    /// A generation of the group that is not its present one.
    IllegalGeneration = "ILLEGAL_GENERATION", Some(22), false;
    /// A group id that is empty, or a call that needs a group on a consumer without one.
    InvalidGroupId = "INVALID_GROUP_ID", Some(24), false;
    /// The group has no such member: it left, or was removed, or never joined.
    UnknownMemberId = "UNKNOWN_MEMBER_ID", Some(25), false;
    /// A session timeout outside of its bounds.
    InvalidSessionTimeout = "INVALID_SESSION_TIMEOUT", Some(26), false;
    /// A timestamp outside of what a record may carry.
    InvalidTimestamp = "INVALID_TIMESTAMP", Some(32), false;
    /// Files of a format version, or with a feature, that this build does not understand.
    UnsupportedVersion = "UNSUPPORTED_VERSION", Some(35), false;
    /// A topic of that name exists.
    TopicAlreadyExists = "TOPIC_ALREADY_EXISTS", Some(36), false;
    /// A partition count outside of its bounds.
    InvalidPartitions = "INVALID_PARTITIONS", Some(37), false;
    /// A configuration key that is unknown, or a value outside of its bounds.
    InvalidConfig = "INVALID_CONFIG", Some(40), false;
    /// An argument outside of its bounds.
    InvalidRequest = "INVALID_REQUEST", Some(42), false;
    /// What a topic's settings forbid.
    PolicyViolation = "POLICY_VIOLATION", Some(44), false;
    /// A producer's sequence number that does not follow the one before: records in between are
    /// missing, or the ones that are sent again are older than what is remembered. Nothing was appended.
    OutOfOrderSequenceNumber = "OUT_OF_ORDER_SEQUENCE_NUMBER", Some(45), false;
    /// A producer's epoch that is older than one that has been used, or whose transaction has ended.
    InvalidProducerEpoch = "INVALID_PRODUCER_EPOCH", Some(47), false;
    /// A call that does not fit the state of the transaction.
    InvalidTxnState = "INVALID_TXN_STATE", Some(48), false;
    /// A producer id that its transactional id does not have, or a transactional id that has expired.
    InvalidProducerIdMapping = "INVALID_PRODUCER_ID_MAPPING", Some(49), false;
    /// A transaction timeout above `transaction.max.timeout.ms`.
    InvalidTransactionTimeout = "INVALID_TRANSACTION_TIMEOUT", Some(50), false;
    /// The transactional id has a decided transaction that is still being completed; or a condition
    /// depends on a record of another transaction that is not decided yet.
    ConcurrentTransactions = "CONCURRENT_TRANSACTIONS", Some(51), true;
    /// The file system failed: the source names the cause.
    StorageError = "KAFKA_STORAGE_ERROR", Some(56), true;
    /// The group has members, and the call needs an empty one.
    NonEmptyGroup = "NON_EMPTY_GROUP", Some(68), false;
    /// There is no group of that id.
    GroupIdNotFound = "GROUP_ID_NOT_FOUND", Some(69), false;
    /// Another live consumer has joined with the same `group.instance.id`: it has taken over.
    FencedInstanceId = "FENCED_INSTANCE_ID", Some(82), false;
    /// An open transaction has committed offsets whose outcome is not known yet.
    UnstableOffsetCommit = "UNSTABLE_OFFSET_COMMIT", Some(88), true;
    /// Another producer has the same transactional id or name now: this one can only be closed.
    ProducerFenced = "PRODUCER_FENCED", Some(90), false;
    /// There is no such transactional id.
    TransactionalIdNotFound = "TRANSACTIONAL_ID_NOT_FOUND", Some(105), false;
    /// The transaction can only be aborted: something in it has failed, or an operator has aborted it.
    TransactionAbortable = "TRANSACTION_ABORTABLE", Some(120), false;
    /// The transaction was open for longer than `transaction.timeout.ms`, and was aborted. The
    /// producer can begin another one.
    TransactionTimedOut = "TRANSACTION_TIMED_OUT", None, false;
    /// The group has `group.max.size` members.
    GroupMaxSizeReached = "GROUP_MAX_SIZE_REACHED", Some(84), false;
    /// A member of the group subscribes to the topic.
    GroupSubscribedToTopic = "GROUP_SUBSCRIBED_TO_TOPIC", Some(86), false;
    /// A record that the format or the topic cannot hold; nothing of its batch was appended.
    InvalidRecord = "INVALID_RECORD", Some(87), false;
    /// The member's epoch is not one that it was given: it must drop everything and join again.
    FencedMemberEpoch = "FENCED_MEMBER_EPOCH", Some(110), false;
    /// A static member whose predecessor has not let go.
    UnreleasedInstanceId = "UNRELEASED_INSTANCE_ID", Some(111), false;
    /// An assignor that the log does not have.
    UnsupportedAssignor = "UNSUPPORTED_ASSIGNOR", Some(112), false;
    /// A commit for a partition that the member does not own since the epoch that it names.
    StaleMemberEpoch = "STALE_MEMBER_EPOCH", Some(113), false;
    /// A subscription's pattern that is no regular expression.
    InvalidRegularExpression = "INVALID_REGULAR_EXPRESSION", Some(128), false;
    /// A conditional append that expected something else than there is. Nothing was appended; the
    /// error tells what there is.
    ConditionFailed = "CONDITION_FAILED", None, false;
    /// A record for which the program's own code failed as often as it was to be tried.
    ProcessingFailed = "PROCESSING_FAILED", None, false;
    /// An assignor failed, panicked, or did not give each partition to one of its subscribers.
    AssignorFailed = "ASSIGNOR_FAILED", None, false;
    /// The disk is full. Nothing was appended; appends resume by themselves when there is space.
    StorageFull = "STORAGE_FULL", None, true;
    /// A call could not begin its work before its deadline; nothing was appended.
    Timeout = "REQUEST_TIMED_OUT", Some(7), true;
    /// A placed record did not reach its durability level before the deadline. It is in the log
    /// and may still become durable: sending it again makes a duplicate.
    DeliveryTimeout = "DELIVERY_TIMED_OUT", None, false;
    /// Another thread called `wakeup` on this consumer.
    Wakeup = "WAKEUP", None, true;
    /// The log, producer or consumer is closed.
    Closed = "CLOSED", None, false;
    /// The call is not legal in this state.
    IllegalState = "ILLEGAL_STATE", None, false;
    /// The directory belongs to another live process or handle.
    Locked = "LOG_DIR_LOCKED", None, true;
    /// The directory exists and holds something that is not a log.
    NotALog = "NOT_A_LOG", None, false;
    /// No offset is known for the partition and the reset policy is `none`.
    NoOffsetForPartition = "NO_OFFSET_FOR_PARTITION", None, false;
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Arc::new(Inner { kind, message: message.into(), ..Inner::default() }))
    }

    /// An operating system's failure while doing `what` to `path`.
    pub(crate) fn io(what: &str, path: &Path, error: io::Error) -> Self {
        let kind = if is_full(&error) { ErrorKind::StorageFull } else { ErrorKind::StorageError };
        let message = format!("could not {what} {}: {error}", path.display());
        Self::new(kind, message).with_path(path).with_source(error)
    }

    /// Damage: bytes of `path` that cannot be what was written.
    pub(crate) fn corrupt(path: &Path, message: impl Into<String>) -> Self {
        let message = format!("{}: {}", path.display(), message.into());
        Self::new(ErrorKind::CorruptMessage, message).with_path(path)
    }

    pub(crate) fn closed() -> Self {
        Self::new(ErrorKind::Closed, "the log is closed")
    }

    pub(crate) fn unknown_topic(name: &str) -> Self {
        Self::new(ErrorKind::UnknownTopicOrPartition, format!("there is no topic {name:?}"))
            .with_topic(name)
    }

    fn change(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            change(inner);
            return self;
        }
        let old = &self.0;
        let mut copy = Inner {
            kind: old.kind,
            message: old.message.clone(),
            topic: old.topic.clone(),
            partition: old.partition,
            offset: old.offset,
            path: old.path.clone(),
            records: old.records.clone(),
            actual: old.actual,
            source: old.source.clone(),
        };
        change(&mut copy);
        Self(Arc::new(copy))
    }

    pub(crate) fn with_topic(self, topic: &str) -> Self {
        self.change(|e| e.topic = Some(topic.into()))
    }

    pub(crate) fn with_partition(self, tp: &TopicPartition) -> Self {
        self.change(|e| {
            e.topic = Some(tp.topic().into());
            e.partition = Some(tp.partition());
        })
    }

    pub(crate) fn with_offset(self, offset: u64) -> Self {
        self.change(|e| e.offset = Some(offset))
    }

    pub(crate) fn with_actual(self, offset: Option<u64>, version: Option<u64>) -> Self {
        self.change(|e| e.actual = Actual { offset, version })
    }

    pub(crate) fn with_path(self, path: &Path) -> Self {
        self.change(|e| e.path = Some(path.to_owned()))
    }

    pub(crate) fn with_records(self, records: Vec<usize>) -> Self {
        self.change(|e| e.records = records)
    }

    pub(crate) fn with_source(self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.change(|e| e.source = Some(Arc::new(source)))
    }

    pub(crate) fn with_boxed_source(self, source: Box<dyn StdError + Send + Sync>) -> Self {
        self.change(|e| e.source = Some(Arc::from(source)))
    }

    /// The same cause under another kind, the old error becoming the source.
    pub(crate) fn because(self, kind: ErrorKind, message: impl Into<String>) -> Self {
        let mut outer = Inner { kind, message: message.into(), ..Inner::default() };
        outer.topic = self.0.topic.clone();
        outer.partition = self.0.partition;
        outer.offset = self.0.offset;
        outer.path = self.0.path.clone();
        outer.actual = self.0.actual;
        outer.source = Some(Arc::new(self));
        Self(Arc::new(outer))
    }

    /// The stable kind: what programs decide by.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the same call may succeed later without any change.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        self.0.kind.is_retriable()
    }

    /// Kafka's code for this error on the wire, where Kafka has one.
    #[must_use]
    pub fn kafka_code(&self) -> Option<i16> {
        self.0.kind.kafka_code()
    }

    /// The topic that the error is about.
    #[must_use]
    pub fn topic(&self) -> Option<&str> {
        self.0.topic.as_deref()
    }

    /// The partition that the error is about.
    #[must_use]
    pub fn partition(&self) -> Option<u32> {
        self.0.partition
    }

    /// The offset that the error is about.
    #[must_use]
    pub fn offset(&self) -> Option<u64> {
        self.0.offset
    }

    /// Of a [`ConditionFailed`](ErrorKind::ConditionFailed): the offset of the latest record of
    /// the key, `None` when there is no record of it; for
    /// [`NextOffset`](crate::Expect::NextOffset), the partition's next offset. It may be one that
    /// consumers do not see yet.
    #[must_use]
    pub fn actual_offset(&self) -> Option<u64> {
        self.0.actual.offset
    }

    /// Of a [`ConditionFailed`](ErrorKind::ConditionFailed) of a
    /// [`KeyVersion`](crate::Expect::KeyVersion): how many records of the key there are.
    #[must_use]
    pub fn actual_version(&self) -> Option<u64> {
        self.0.actual.version
    }

    /// The file or directory that the error is about.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.0.path.as_deref()
    }

    /// The positions, in the caller's batch, of the records that were refused (KIP-467).
    #[must_use]
    pub fn record_indexes(&self) -> &[usize] {
        &self.0.records
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.0.topic, self.0.partition) {
            (Some(topic), Some(partition)) => write!(f, "{topic}-{partition}: {}", self.0.message),
            _ => f.write_str(&self.0.message),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({self}", self.0.kind.name())?;
        let mut cause = self.source();
        while let Some(error) = cause {
            write!(f, "; caused by: {error}")?;
            cause = error.source();
        }
        f.write_str(")")
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|e| e as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_word_and_crosses_threads() {
        fn check<T: Send + Sync + Clone + 'static>() {}
        check::<Error>();
        assert_eq!(size_of::<Error>(), size_of::<usize>());
        assert_eq!(size_of::<Result<()>>(), size_of::<usize>());
    }

    #[test]
    fn a_full_disk_has_its_own_kind() {
        let io = io::Error::from(io::ErrorKind::StorageFull);
        let error = Error::io("write", Path::new("x"), io);
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        assert!(error.is_retriable());
        assert!(error.source().is_some());
    }

    #[test]
    fn the_context_survives_a_wrap_and_a_clone() {
        let tp = TopicPartition::new("orders", 3);
        let inner = Error::new(ErrorKind::StorageError, "disk gone").with_partition(&tp);
        let kept = inner.clone();
        let outer = inner.with_offset(9).because(ErrorKind::DeliveryTimeout, "not durable yet");
        assert_eq!(outer.offset(), Some(9));
        assert_eq!(outer.partition(), Some(3));
        assert_eq!(kept.offset(), None, "a clone is not changed by later context");
        assert!(format!("{outer:?}").contains("disk gone"));
        assert_eq!(outer.to_string(), "orders-3: not durable yet");
    }

    #[test]
    fn every_kind_has_a_name_of_its_own() {
        let mut names: Vec<_> = ErrorKind::ALL.iter().map(|k| k.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ErrorKind::ALL.len());
    }
}
