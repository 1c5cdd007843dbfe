//! Loading aggregates, and changing them without losing an update.

use std::fmt;

use crate::base::{Error, ErrorKind, Expect, Result};

use super::super::key_history::wait_visible;
use super::super::owned_record::OwnedRecord;
use super::super::producer::Producer;
use super::super::topic::Topic;
use super::snapshots::{Snapshot, Snapshots, VERSION, number};
use super::{Aggregate, AsOf, Failure, Loaded};

const ATTEMPTS: u32 = 16;

/// The aggregates of one kind: a topic of their events, by key. Made by
/// [`EventLog::aggregates`](crate::EventLog::aggregates).
///
/// ```
/// # #[derive(Default)]
/// # struct Account { cents: i64 }
/// # impl alluvium::Aggregate for Account {
/// #     type Event = i64;
/// #     fn apply(&mut self, moved: &i64) { self.cents += moved; }
/// #     fn encode(moved: &i64) -> Vec<u8> { moved.to_le_bytes().to_vec() }
/// #     fn decode(bytes: &[u8]) -> Result<i64, Box<dyn std::error::Error + Send + Sync>> {
/// #         Ok(i64::from_le_bytes(bytes.try_into()?))
/// #     }
/// # }
/// use alluvium::{Aggregates, AsOf, EventLog, NewTopic};
///
/// let log = EventLog::in_memory();
/// let events = log.create_topic(NewTopic::new("accounts").key_index(true))?;
/// let accounts: Aggregates<Account> = log.aggregates(&events)?;
/// accounts.execute("alice", |_| Ok::<_, alluvium::Error>(vec![500]))?;
/// let after = accounts.execute("alice", |account| {
///     let takes = if account.cents >= 200 { vec![-200] } else { vec![] };
///     Ok::<_, alluvium::Error>(takes)
/// })?;
/// assert_eq!((after.state.cents, after.version), (300, 2));
/// assert_eq!(accounts.load_as_of("alice", AsOf::Offset(1))?.state.cents, 500);
/// # Ok::<(), alluvium::Error>(())
/// ```
pub struct Aggregates<A> {
    events: Topic,
    producer: Producer,
    snapshots: Option<Snapshots<A>>,
    attempts: u32,
}

impl<A: Aggregate> Aggregates<A> {
    pub(crate) fn new(events: Topic, producer: Producer) -> Self {
        Self { events, producer, snapshots: None, attempts: ATTEMPTS }
    }

    /// Keeps a snapshot of each aggregate in `topic` after every so many events, 1 at least, and
    /// begins loads with it. The topic is [`compacted`](crate::NewTopic::compacted) and has
    /// [`key_index`](crate::NewTopic::key_index). Default: none.
    #[must_use]
    pub fn snapshots(mut self, topic: &Topic, every: u64) -> Self {
        self.snapshots = Some(Snapshots::new(topic.clone(), every));
        self
    }

    /// How often [`execute`](Self::execute) decides anew when others are faster, 1 at least.
    /// Default: 16.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// The aggregate of a key as of its last visible event.
    ///
    /// # Errors
    ///
    /// `InvalidRecord` for a record that is no event, with the cause as its source;
    /// `PolicyViolation` when older events were deleted and no snapshot covers them; those of
    /// [`Topic::history`].
    pub fn load(&self, key: impl AsRef<[u8]>) -> Result<Loaded<A>> {
        let key = key.as_ref();
        match self.begin(key)? {
            Some((loaded, from)) => self.replay(key, loaded, from, None),
            None => self.replay(key, Loaded::default(), 0, None),
        }
    }

    /// The aggregate of a key as it was at a moment of the past, from its events alone.
    ///
    /// # Errors
    ///
    /// Those of [`load`](Self::load).
    pub fn load_as_of(&self, key: impl AsRef<[u8]>, moment: AsOf) -> Result<Loaded<A>> {
        self.replay(key.as_ref(), Loaded::default(), 0, Some(moment))
    }

    /// Loads the aggregate of a key, lets `decide` say what happens to it, and appends that if
    /// nobody else has appended meanwhile; else all of it again. Returns the aggregate after it,
    /// when the events have reached their topic's level.
    ///
    /// The events of one call are appended as one. Without events nothing is appended. `decide`
    /// may be called several times, each time with the state of then.
    ///
    /// # Errors
    ///
    /// That of `decide`; `ConditionFailed` (or `ConcurrentTransactions`) when others were faster
    /// in every one of the [`attempts`](Self::attempts); those of [`load`](Self::load) and
    /// [`Producer::send_batch_if`]. After `DeliveryTimeout` the events are in the log; else
    /// nothing was appended.
    pub fn execute<E: From<Error>>(
        &self,
        key: impl AsRef<[u8]>,
        mut decide: impl FnMut(&A) -> Result<Vec<A::Event>, E>,
    ) -> Result<Loaded<A>, E> {
        let key = key.as_ref();
        let mut left = self.attempts;
        loop {
            let loaded = self.load(key)?;
            let events = decide(&loaded.state)?;
            if events.is_empty() {
                return Ok(loaded);
            }
            left -= 1;
            match self.append(key, loaded, &events) {
                Err(error) if left > 0 && is_conflict(&error) => self.wait_for(key, &error)?,
                done => return Ok(done?),
            }
        }
    }

    /// Keeps a snapshot of the aggregate of a key now; false when it has none to give, or there
    /// is no topic for it.
    ///
    /// # Errors
    ///
    /// Those of [`load`](Self::load) and [`Producer::send`].
    pub fn snapshot(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        let key = key.as_ref();
        let Some(snapshots) = &self.snapshots else { return Ok(false) };
        snapshots.save(&self.producer, key, &self.load(key)?)
    }

    /// The state of a snapshot, if there is one that fits the events, and where to go on.
    fn begin(&self, key: &[u8]) -> Result<Option<(Loaded<A>, u64)>> {
        let Some(snapshots) = &self.snapshots else { return Ok(None) };
        let Some(Snapshot { state, version, offset }) = snapshots.load(key)? else {
            return Ok(None);
        };
        let mut loaded = Loaded { state, version, last_offset: None };
        // A power cut may have taken the event away: then the snapshot is of a past that is not.
        match self.events.history(key)?.from(offset).below(offset + 1).next().transpose()? {
            Some(event) => {
                let number = number(&event, VERSION);
                loaded.last_offset = Some(offset);
                let fits = number.is_none_or(|number| number + 1 == version);
                Ok(fits.then_some((loaded, offset + 1)))
            }
            None if self.events.start_of(key)? > offset => Ok(Some((loaded, offset + 1))),
            None => Ok(None),
        }
    }

    fn replay(
        &self,
        key: &[u8],
        mut loaded: Loaded<A>,
        from: u64,
        until: Option<AsOf>,
    ) -> Result<Loaded<A>> {
        let mut history = self.events.history(key)?.from(from);
        if let Some(AsOf::Offset(offset)) = until {
            history = history.below(offset);
        }
        for record in history {
            let record = record?;
            if let (Some(AsOf::TimestampMs(last)), Some(time)) = (until, record.timestamp_ms())
                && time > last
            {
                break;
            }
            check_version(&record, loaded.version)?;
            let event = A::decode(record.value().unwrap_or_default());
            loaded.state.apply(&event.map_err(|cause| no_event(&record, cause))?);
            loaded.version += 1;
            loaded.last_offset = Some(record.offset());
        }
        Ok(loaded)
    }

    fn append(&self, key: &[u8], mut loaded: Loaded<A>, events: &[A::Event]) -> Result<Loaded<A>> {
        let values: Vec<_> = events.iter().map(A::encode).collect();
        let numbers: Vec<_> = (loaded.version..).take(events.len()).map(u64::to_le_bytes).collect();
        let headers: Vec<_> = numbers.iter().map(|n| [(VERSION, Some(&n[..]))]).collect();
        let records = values.iter().zip(&headers).map(|(value, headers)| {
            let record = self.events.record(value);
            record.key(key).headers(headers)
        });
        let expect = loaded.last_offset.map_or(Expect::KeyAbsent, Expect::KeyAt);
        let sent = self.producer.send_batch_if(records, expect)?;
        sent.wait()?;
        let added = events.len() as u64;
        events.iter().for_each(|event| loaded.state.apply(event));
        loaded.version += added;
        for part in sent.parts() {
            loaded.last_offset = part.result()?.end.checked_sub(1);
        }
        if let Some(snapshots) = self.snapshots.as_ref().filter(|s| s.is_due(loaded.version, added))
        {
            // The events are in the log: what becomes of the snapshot cannot change that.
            drop(snapshots.save(&self.producer, key, &loaded));
        }
        Ok(loaded)
    }

    /// Lets what was faster become visible, so that the next load sees it.
    fn wait_for(&self, key: &[u8], error: &Error) -> Result<()> {
        match error.actual_offset() {
            Some(offset) if error.kind() == ErrorKind::ConditionFailed => {
                wait_visible(&self.events, &self.producer, key, offset)
            }
            _ => Ok(()),
        }
    }
}

impl<A: Default> Default for Loaded<A> {
    fn default() -> Self {
        Self { state: A::default(), version: 0, last_offset: None }
    }
}

fn is_conflict(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::ConditionFailed | ErrorKind::ConcurrentTransactions)
}

/// Refuses to replay a history of which a part is missing.
fn check_version(record: &OwnedRecord, version: u64) -> Result<()> {
    match number(record, VERSION) {
        Some(number) if number != version => {
            let message = format!(
                "the event at offset {} is number {number} of its key, and {version} is next: \
                 events in front of it were deleted, and no snapshot covers them",
                record.offset()
            );
            let error = Error::new(ErrorKind::PolicyViolation, message);
            Err(error.with_partition(record.topic_partition()).with_offset(record.offset()))
        }
        _ => Ok(()),
    }
}

fn no_event(record: &OwnedRecord, cause: Failure) -> Error {
    let message = format!("the record at offset {} is no event: {cause}", record.offset());
    let error = Error::new(ErrorKind::InvalidRecord, message).with_offset(record.offset());
    error.with_partition(record.topic_partition()).with_boxed_source(cause)
}

impl<A> fmt::Debug for Aggregates<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aggregates")
            .field("events", &self.events)
            .field("snapshots", &self.snapshots.is_some())
            .field("attempts", &self.attempts)
            .finish_non_exhaustive()
    }
}
