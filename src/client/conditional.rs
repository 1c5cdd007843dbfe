//! Appends that depend on what was appended before.

use std::slice;
use std::sync::Arc;

use crate::base::{Error, ErrorKind, Expect, Result, TopicPartition};

use super::batch_delivery::BatchDelivery;
use super::delivery::{Delivery, Placed};
use super::partitioner::partition_of;
use super::producer::{Producer, Shared};
use super::record::Record;
use super::routes::{Entry, door};

impl Producer {
    /// Appends one record if what `expect` says holds in the moment of the append.
    ///
    /// What it says is looked at under the partition's lock, together with the append: of two
    /// threads that rely on the same thing at most one succeeds. Everything that was appended
    /// counts, durable or not.
    ///
    /// A condition about a key is looked at in the key's own partition (Kafka's murmur2, whatever
    /// partitioner the producer has), and its record goes there. For
    /// [`NextOffset`](Expect::NextOffset) the record names its partition, has a key, or is for a
    /// topic of one partition.
    ///
    /// ```
    /// use alluvium::{ErrorKind, EventLog, Expect, NewTopic};
    ///
    /// let log = EventLog::in_memory();
    /// let accounts = log.create_topic(NewTopic::new("accounts").key_index(true))?;
    /// let producer = log.producer().build()?;
    /// loop {
    ///     let seen = accounts.latest(b"alice")?;
    ///     let expect = seen.as_ref().map_or(Expect::KeyAbsent, |r| Expect::KeyAt(r.offset()));
    ///     match producer.send_if(accounts.record("debited 5").key("alice"), expect) {
    ///         Ok(delivery) => break delivery.wait()?,
    ///         Err(e) if e.kind() == ErrorKind::ConditionFailed => continue, // somebody was faster
    ///         Err(e) => return Err(e),
    ///     }
    /// };
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Nothing was appended in any case.
    ///
    /// - `ConditionFailed`: something else holds; [`Error::actual_offset`] and
    ///   [`Error::actual_version`] tell what.
    /// - `InvalidRequest`: a condition about a key on a topic without `key.index`, on a record
    ///   without a key, or on one that names another partition than the key's.
    /// - `IllegalState`: the producer has a name or `enable.idempotence`.
    /// - `PolicyViolation`: [`KeyVersion`](Expect::KeyVersion) where older records may have gone.
    /// - Those of [`send`](Self::send).
    pub fn send_if(&self, record: Record<'_>, expect: Expect) -> Result<Delivery<'_>> {
        let shared = self.shared();
        match shared.chain() {
            None => shared.place_if(&record, expect),
            Some(chain) => chain.send_by(&record, |record| shared.place_if(record, expect)),
        }
    }

    /// Appends many records as one, all or none, if what `expect` says holds in the moment of the
    /// append.
    ///
    /// They go to one partition and stand one behind the other. The condition is about the first
    /// record, before any of them is appended: [`NextOffset`](Expect::NextOffset) is that of the
    /// first, and a condition about a key is about the first one's key. Others may have other
    /// keys, or none, and then name that partition.
    ///
    /// The answer has one part.
    ///
    /// ```
    /// use alluvium::{EventLog, Expect, NewTopic};
    ///
    /// let log = EventLog::in_memory();
    /// let accounts = log.create_topic(NewTopic::new("accounts").key_index(true))?;
    /// let producer = log.producer().build()?;
    /// let events = ["opened", "credited 5"];
    /// let records = events.iter().map(|event| accounts.record(event).key("alice"));
    /// let sent = producer.send_batch_if(records, Expect::KeyVersion(0))?;
    /// assert_eq!(sent.parts()[0].result()?, 0..2);
    /// sent.wait()?;
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`send_if`](Self::send_if), and `InvalidRequest` when there is no record, or when
    /// they belong to several partitions. Nothing was appended in any case.
    pub fn send_batch_if<'a>(
        &self,
        records: impl IntoIterator<Item = Record<'a>>,
        expect: Expect,
    ) -> Result<BatchDelivery<'_>> {
        let (shared, records) = (self.shared(), records.into_iter());
        match shared.chain() {
            None => shared.place_all_if(&records.collect::<Vec<_>>(), expect),
            Some(chain) => {
                chain.send_all_by(records, |records| shared.place_all_if(records, expect))
            }
        }
    }
}

impl Shared {
    pub(super) fn place_if<'p>(
        self: &'p Arc<Self>,
        record: &Record<'_>,
        expect: Expect,
    ) -> Result<Delivery<'p>> {
        self.check_open()?;
        record.check(self.settings().max_request_size)?;
        let entry = self.entry(record)?;
        let partition = home(record, entry, expect)?;
        let door = door(&entry.route, partition)?;
        let (raw, to) = (slice::from_ref(&record.raw), (entry, partition));
        let appended = self.append_if(to, &**door, raw, record.sequence, expect)?;
        let placed = Placed {
            partition,
            offset: appended.base_offset,
            timestamp_ms: appended.time_of(record.raw.timestamp_ms),
            key_size: record.raw.key.map(<[u8]>::len),
            value_size: record.raw.value.map(<[u8]>::len),
        };
        Ok(Delivery::new(self, entry, door, placed))
    }

    pub(super) fn place_all_if<'p>(
        self: &'p Arc<Self>,
        records: &[Record<'_>],
        expect: Expect,
    ) -> Result<BatchDelivery<'p>> {
        self.check_open()?;
        let Some(first) = records.first() else {
            return Err(Error::new(ErrorKind::InvalidRequest, "there is no record to append"));
        };
        let entry = self.entry(first)?;
        let partition = home(first, entry, expect)?;
        for (at, record) in records.iter().enumerate() {
            let blame = |error: Error| error.with_records(vec![at]);
            record.check(self.settings().max_request_size).map_err(blame)?;
            self.check_same(record, entry, partition).map_err(blame)?;
        }
        let door = door(&entry.route, partition)?;
        let raw: Vec<_> = records.iter().map(|record| record.raw).collect();
        let appended = self.append_if((entry, partition), &**door, &raw, first.sequence, expect)?;
        Ok(BatchDelivery::of_one(self, entry, door, partition, raw.len(), appended))
    }

    /// Refuses a record that does not belong to this partition.
    fn check_same(&self, record: &Record<'_>, entry: &Entry, partition: u32) -> Result<()> {
        let topic = self.entry(record)?;
        let own = record
            .partition
            .or_else(|| record.raw.key.map(|key| partition_of(key, entry.partition_count())));
        if topic.route.id == entry.route.id && own.unwrap_or(partition) == partition {
            return Ok(());
        }
        let (name, of) = (&topic.route.name, &entry.route.name);
        let message = format!(
            "a record for {name}-{} in a call for {of}-{partition}: all of them go to one partition",
            own.unwrap_or(0)
        );
        Err(Error::new(ErrorKind::InvalidRequest, message).with_topic(name))
    }
}

/// The partition that a conditional record goes to.
fn home(record: &Record<'_>, entry: &Entry, expect: Expect) -> Result<u32> {
    let count = entry.partition_count();
    let of_key = record.raw.key.map(|key| partition_of(key, count));
    let refuse = |message: String| {
        let error = Error::new(ErrorKind::InvalidRequest, message);
        let named = record.partition.unwrap_or(0);
        Err(error.with_partition(&TopicPartition::new(Arc::clone(&entry.route.name), named)))
    };
    match (record.partition, of_key) {
        (Some(named), Some(own)) if expect.is_about_key() && named != own => refuse(format!(
            "{expect:?} is about a key of partition {own}, and the record names partition {named}"
        )),
        (None, None) if count > 1 && !expect.is_about_key() => refuse(format!(
            "{expect:?} is about one of {count} partitions, and the record names none and has no key"
        )),
        (named, own) => Ok(named.or(own).unwrap_or(0)),
    }
}
