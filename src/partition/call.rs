//! One append call, checked and measured before any lock is taken.

use crate::backend::{Appended, ProducerStamp};
use crate::base::{Error, ErrorKind, RawRecord, Result, TimestampType};
use crate::batch::{self, Attributes, BatchHeader, Measure};
use crate::log::producers::behind;

/// A checked call. Checking it allocates nothing, and hashes nothing: what may go another way, or
/// wait, is hashed when it is encoded.
#[derive(Debug)]
pub struct Call<'a> {
    records: &'a [RawRecord<'a>],
    /// Who makes it, of a producer with an id.
    pub producer: Option<ProducerStamp>,
    /// Of a single record that was measured already.
    single: Option<Measure>,
    /// Encoded bytes of all records.
    pub bytes: usize,
    /// Least and greatest timestamp of the records that have one of their own.
    times: Option<(i64, i64)>,
    /// Whether some record takes the clock's time.
    pub needs_now: bool,
    /// Whether some record has no key.
    lacks_key: bool,
}

impl<'a> Call<'a> {
    /// Checks every record and adds up what they take; the error names the records that are refused.
    pub fn measure(records: &'a [RawRecord<'a>]) -> Result<Self> {
        if records.is_empty() {
            return Err(Error::new(ErrorKind::InvalidRequest, "there is no record to append"));
        }
        let mut call = Self::empty(records);
        for record in records {
            let Some(size) = valid_size(record) else {
                return Err(refuse(records));
            };
            call.bytes += size;
            call.note(record);
        }
        Ok(call)
    }

    fn empty(records: &'a [RawRecord<'a>]) -> Self {
        let (needs_now, lacks_key) = (false, false);
        Self { records, producer: None, single: None, bytes: 0, times: None, needs_now, lacks_key }
    }

    /// A call of one record, measured already.
    pub fn of_one(
        record: &'a RawRecord<'a>,
        measure: Measure,
        producer: Option<ProducerStamp>,
    ) -> Self {
        let empty = Self::empty(std::slice::from_ref(record));
        let mut call = Self { producer, single: Some(measure), bytes: measure.len, ..empty };
        call.note(record);
        call
    }

    #[inline]
    fn note(&mut self, record: &RawRecord<'_>) {
        self.lacks_key |= record.key.is_none();
        let Some(time) = record.timestamp_ms else {
            self.needs_now = true;
            return;
        };
        let (least, most) = self.times.unwrap_or((time, time));
        self.times = Some((least.min(time), most.max(time)));
    }

    /// The records.
    pub fn records(&self) -> &'a [RawRecord<'a>] {
        self.records
    }

    /// How many records.
    pub fn count(&self) -> usize {
        self.records.len()
    }

    /// The only record with what was measured of it, where both are so.
    #[inline]
    pub fn single(&self) -> Option<(&'a RawRecord<'a>, Measure)> {
        self.records.first().zip(self.single)
    }

    /// Whether some record has no key.
    #[inline]
    pub fn lacks_key(&self) -> bool {
        self.lacks_key
    }

    /// Least and greatest timestamp of the records that have one of their own.
    #[inline]
    pub fn own_times(&self) -> Option<(i64, i64)> {
        self.times
    }

    /// The timestamp that the first record gets.
    #[inline]
    pub fn first_time(&self, stamp: Stamp) -> i64 {
        self.records.first().map_or(stamp.now, |record| stamp.of(record))
    }

    /// The greatest timestamp that a record gets.
    pub fn last_time(&self, stamp: Stamp) -> i64 {
        let now = (self.needs_now || stamp.is_append_time()).then_some(stamp.now);
        let own = self.times.map(|(_, most)| most).filter(|_| !stamp.is_append_time());
        now.max(own).unwrap_or(stamp.now)
    }

    /// Whether all timestamps can be told as differences to `base`.
    #[inline]
    pub fn fits_times(&self, base: i64, stamp: Stamp) -> bool {
        if stamp.is_append_time() {
            return time_fits(base, stamp.now);
        }
        let now_fits = !self.needs_now || time_fits(base, stamp.now);
        let own_fit = self.times.is_none_or(|(a, b)| time_fits(base, a) && time_fits(base, b));
        now_fits && own_fit
    }

    /// How many batches the call needs: one, unless its timestamps are weeks apart.
    pub fn batches(&self, stamp: Stamp) -> usize {
        if self.fits_times(self.first_time(stamp), stamp) {
            return 1;
        }
        let (mut batches, mut base) = (1, self.first_time(stamp));
        for record in self.records {
            let time = stamp.of(record);
            if !time_fits(base, time) {
                batches += 1;
                base = time;
            }
        }
        batches
    }
}

/// The clock's time at an append, and which records get it.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    /// The clock's time.
    pub now: i64,
    /// Whether all records get it, or those without a time of their own.
    pub timestamp_type: TimestampType,
}

impl Stamp {
    /// At `now`, where records keep times of their own.
    #[inline]
    pub fn own(now: i64) -> Self {
        Self { now, timestamp_type: TimestampType::CreateTime }
    }

    /// Whether all records get the clock's time.
    #[inline]
    pub fn is_append_time(self) -> bool {
        self.timestamp_type == TimestampType::LogAppendTime
    }

    /// The timestamp that a record gets.
    #[inline]
    pub fn of(self, record: &RawRecord<'_>) -> i64 {
        match self.timestamp_type {
            TimestampType::CreateTime => record.timestamp_ms.unwrap_or(self.now),
            TimestampType::LogAppendTime => self.now,
        }
    }

    /// The record with the timestamp that it gets.
    pub fn on<'r>(self, record: &RawRecord<'r>) -> RawRecord<'r> {
        RawRecord { timestamp_ms: Some(self.of(record)), ..*record }
    }

    /// What is told of an append with such timestamps.
    #[inline]
    pub fn appended(self, base_offset: u64) -> Appended {
        let Self { now, timestamp_type } = self;
        Appended { base_offset, timestamp_ms: now, timestamp_type, duplicate: false, exact: true }
    }

    /// The header of a batch of such records that begins now, with the record number `at` of a
    /// call of `producer`.
    pub fn header(
        self,
        base_offset: u64,
        base_timestamp: i64,
        producer: Option<ProducerStamp>,
        at: u32,
    ) -> BatchHeader {
        let time =
            if self.is_append_time() { Attributes::LOG_APPEND_TIME } else { Attributes::NONE };
        let empty = BatchHeader::empty(base_offset);
        let Some(ProducerStamp { id, epoch, sequence, transactional }) = producer else {
            return BatchHeader { attributes: time, base_timestamp, ..empty };
        };
        let kind = if transactional { Attributes::TRANSACTIONAL } else { Attributes::NONE };
        BatchHeader {
            attributes: time.with(kind),
            base_timestamp,
            producer_id: id,
            producer_epoch: epoch,
            base_sequence: behind(sequence, at),
            ..empty
        }
    }
}

/// Whether `time` can be told as a 32-bit difference to `base` (about 24 days either way).
#[inline]
pub fn time_fits(base: i64, time: i64) -> bool {
    batch::timestamp_delta(base, time).is_some()
}

/// The encoded bytes of one record; `None` when it is refused.
#[inline(always)]
fn valid_size(record: &RawRecord<'_>) -> Option<usize> {
    let len = batch::valid_encoded_len(record)?;
    record.timestamp_ms.is_none_or(|time| time >= 0).then_some(len)
}

/// Checks one record; its encoded bytes.
fn size(record: &RawRecord<'_>) -> Result<usize> {
    let len = batch::encoded_len(record)?;
    if record.timestamp_ms.is_some_and(|time| time < 0) {
        return Err(negative_time(record.timestamp_ms.unwrap_or(0)));
    }
    Ok(len)
}

/// Measures a record of at most `most` encoded bytes; `None` when it has more, or is refused.
/// What is too long is not hashed for nothing.
#[inline(always)]
pub fn size_up_to(record: &RawRecord<'_>, most: usize) -> Option<Measure> {
    let valid = record.timestamp_ms.is_none_or(|time| time >= 0);
    if valid { Measure::up_to(record, most) } else { None }
}

#[cold]
fn negative_time(time: i64) -> Error {
    let message = format!("timestamp {time} ms: the least is 0");
    Error::new(ErrorKind::InvalidTimestamp, message)
}

/// Names every record of the call that is refused, not only the first, and says why that is.
#[cold]
fn refuse(records: &[RawRecord<'_>]) -> Error {
    let (mut refused, mut first) = (Vec::new(), None);
    for (at, record) in records.iter().enumerate() {
        if let Err(error) = size(record) {
            refused.push(at);
            first.get_or_insert(error);
        }
    }
    let first = first.unwrap_or_else(|| Error::new(ErrorKind::InvalidRecord, "no record is valid"));
    first.with_records(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Stamp = Stamp { now: 5, timestamp_type: TimestampType::CreateTime };

    fn at(timestamp_ms: Option<i64>) -> RawRecord<'static> {
        RawRecord { value: Some(b"v"), timestamp_ms, ..RawRecord::default() }
    }

    #[test]
    fn timestamps_60_years_apart_take_a_batch_each() {
        let years = 60 * 365 * 86_400_000;
        let records = [at(Some(0)), at(Some(years)), at(Some(years + 1)), at(Some(0))];
        let call = Call::measure(&records).unwrap();
        assert_eq!(call.batches(NOW), 3);
        assert!(!call.fits_times(0, NOW));
        let all = Stamp { timestamp_type: TimestampType::LogAppendTime, ..NOW };
        assert_eq!((call.batches(all), call.first_time(all)), (1, 5));
        assert_eq!(Call::measure(&records[1..3]).unwrap().batches(NOW), 1);
    }

    #[test]
    fn a06_the_error_names_every_refused_record() {
        let long = vec![0; 1 << 24];
        let bad = RawRecord { key: Some(&long), ..RawRecord::default() };
        let records = [at(None), bad, at(None), at(Some(-1))];
        let error = Call::measure(&records).unwrap_err();
        assert_eq!(error.record_indexes(), [1, 3]);
    }

    #[test]
    fn an_empty_call_is_an_error() {
        assert_eq!(Call::measure(&[]).unwrap_err().kind(), ErrorKind::InvalidRequest);
    }
}
