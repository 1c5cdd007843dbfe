//! One append call, checked and measured before any lock is taken.

use crate::backend::{Appended, ProducerStamp};
use crate::base::{Error, ErrorKind, RawRecord, Result, TimestampType};
use crate::batch::{self, Attributes, BatchHeader, Measure};
use crate::log::producers::behind;

/// A measured call. One record, the usual case, allocates nothing.
#[derive(Debug)]
pub struct Call<'a> {
    records: &'a [RawRecord<'a>],
    /// Who makes it, of a producer with an id.
    pub producer: Option<ProducerStamp>,
    first: Measure,
    rest: Vec<Measure>,
    /// Encoded bytes of all records.
    pub bytes: usize,
    /// Least and greatest timestamp of the records that have one of their own.
    times: Option<(i64, i64)>,
    /// Whether some record takes the clock's time.
    pub needs_now: bool,
}

impl<'a> Call<'a> {
    /// Checks every record and measures it; the error names the records that are refused.
    #[inline]
    pub fn measure(records: &'a [RawRecord<'a>]) -> Result<Self> {
        let Some((head, tail)) = records.split_first() else {
            return Err(Error::new(ErrorKind::InvalidRequest, "there is no record to append"));
        };
        let first = size(head).map_err(|error| refuse(records, error))?;
        let mut call = Self {
            records,
            producer: None,
            first,
            rest: Vec::new(),
            bytes: first.len,
            times: None,
            needs_now: false,
        };
        call.note_time(head.timestamp_ms);
        if !tail.is_empty() {
            call.measure_rest(tail)?;
        }
        Ok(call)
    }

    fn measure_rest(&mut self, tail: &[RawRecord<'_>]) -> Result<()> {
        self.rest.reserve_exact(tail.len());
        for record in tail {
            let measure = size(record).map_err(|error| refuse(self.records, error))?;
            self.bytes += measure.len;
            self.note_time(record.timestamp_ms);
            self.rest.push(measure);
        }
        Ok(())
    }

    #[inline]
    fn note_time(&mut self, timestamp_ms: Option<i64>) {
        let Some(time) = timestamp_ms else {
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

    /// The records with their sizes.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = (&'a RawRecord<'a>, Measure)> + '_ {
        self.records.iter().zip(std::iter::once(self.first).chain(self.rest.iter().copied()))
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

/// Checks one record and measures it.
#[inline(always)]
pub fn size(record: &RawRecord<'_>) -> Result<Measure> {
    let measure = Measure::of(record)?;
    if record.timestamp_ms.is_some_and(|time| time < 0) {
        return Err(negative_time(record.timestamp_ms.unwrap_or(0)));
    }
    Ok(measure)
}

#[cold]
fn negative_time(time: i64) -> Error {
    let message = format!("timestamp {time} ms: the least is 0");
    Error::new(ErrorKind::InvalidTimestamp, message)
}

/// Names every record of the call that is refused, not only the first.
#[cold]
fn refuse(records: &[RawRecord<'_>], error: Error) -> Error {
    let refused = (0..records.len()).filter(|&i| size(&records[i]).is_err()).collect();
    error.with_records(refused)
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
