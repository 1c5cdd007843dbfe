//! Appends that depend on what was appended before.
//!
//! The condition is looked at under the append lock, in the critical section in which the records
//! get their place. A key that was used lately is decided there (`recent.rs`). What sealed
//! segments say of any other key is found out before, under no lock, and noted with the offset
//! up to which it was: it holds as long as the recent part begins there.

use crate::backend::{Append, Appended};
use crate::base::{Error, ErrorKind, Expect, Isolation, RawRecord, Result};
use crate::batch::key_hash;

use super::Partition;
use super::appender::Appender;
use super::call::Stamp;

/// What a call relies on, and what is known about it so far.
#[derive(Debug)]
pub(super) struct Condition<'a> {
    expect: Expect,
    key: &'a [u8],
    hash: u64,
    /// Who asks: records of its own open transaction count.
    producer: Option<i64>,
    sealed: Option<Sealed>,
    doubts: Vec<Doubt>,
}

/// A record of a transaction.
#[derive(Clone, Copy, Debug)]
struct Doubt {
    offset: u64,
    producer: i64,
    /// Whether it was aborted; `None` when its transaction was open.
    aborted: Option<bool>,
}

/// Whether a record of a transaction counts.
enum Counts {
    Yes,
    No,
    /// Another transaction has it, and may yet be aborted.
    InDoubt,
    /// It is to be looked at first.
    Unknown,
}

/// What the segments say of the key.
#[derive(Clone, Copy, Debug)]
struct Sealed {
    /// Up to this offset.
    to: u64,
    latest: Option<u64>,
    count: u64,
    /// A record that another transaction may yet abort.
    in_doubt: Option<u64>,
}

/// Whether a condition holds.
#[derive(Debug)]
pub(super) enum Judgement {
    Met,
    /// It does not; what there is instead.
    Failed(Error),
    /// What is to be looked at first: a record of a transaction, or the segments.
    Unknown(Option<u64>),
}

/// Why there is no answer yet.
enum Open {
    InDoubt(u64),
    Unknown(Option<u64>),
}

impl Partition {
    /// As `append`, if what `expect` says of the first record, or its key, holds.
    pub fn append_if(&self, request: Append<'_>, expect: Expect) -> Result<Appended> {
        let producer = request.producer.filter(|stamp| stamp.transactional);
        let mut condition = self.condition(request.records, expect)?;
        condition.producer = producer.map(|stamp| stamp.id);
        if let [record] = request.records
            && let Some((offset, now)) =
                self.place_alone(record, request.producer.as_ref(), |appender| {
                    matches!(self.judge_condition(appender, &condition), Judgement::Met)
                })
        {
            return Ok(Stamp::own(now).appended(offset));
        }
        self.append_all(request, Some(&mut condition))
    }

    fn condition<'a>(&self, records: &[RawRecord<'a>], expect: Expect) -> Result<Condition<'a>> {
        let key = records.first().and_then(|record| record.key);
        if expect.is_about_key() {
            self.check_indexed()?;
            let needs_key = || {
                let message = format!("{expect:?} is about a key, and the record has none");
                self.error(Error::new(ErrorKind::InvalidRequest, message))
            };
            key.ok_or_else(needs_key)?;
        }
        if let Expect::KeyVersion(_) = expect {
            self.check_counts()?;
        }
        let key = key.unwrap_or_default();
        let hash = if expect.is_about_key() { key_hash(key) } else { 0 };
        let (producer, sealed, doubts) = (None, None, Vec::new());
        Ok(Condition { expect, key, hash, producer, sealed, doubts })
    }

    /// How many records of a key there were is only known while none of them can have gone.
    fn check_counts(&self) -> Result<()> {
        let start = self.marks.start();
        let reason = if self.limits.needs_keys() {
            "cleanup.policy has compact, which takes older records of a key away".to_owned()
        } else if start > 0 {
            format!("the records below offset {start} were deleted")
        } else {
            return Ok(());
        };
        let message = format!("KeyVersion needs all records of the key: {reason}");
        Err(self.error(Error::new(ErrorKind::PolicyViolation, message)))
    }

    /// Whether the condition holds now. The append lock is held.
    #[inline]
    pub(super) fn judge_condition(
        &self,
        appender: &Appender,
        condition: &Condition<'_>,
    ) -> Judgement {
        let next = appender.next_offset;
        match condition.expect {
            Expect::NextOffset(wanted) if wanted == next => Judgement::Met,
            Expect::NextOffset(_) => self.failed(condition, Some(next), None),
            Expect::KeyVersion(wanted) => self.judge_version(appender, condition, wanted),
            Expect::KeyAt(_) | Expect::KeyAbsent => {
                let latest = match self.latest_of(appender, condition) {
                    Ok(latest) => latest,
                    Err(open) => return self.not_judged(condition, open),
                };
                let wanted = match condition.expect {
                    Expect::KeyAt(offset) => Some(offset),
                    _ => None,
                };
                if latest == wanted {
                    return Judgement::Met;
                }
                self.failed(condition, latest, None)
            }
        }
    }

    /// Where the newest record of the key stands that counts, if there is one.
    #[inline]
    fn latest_of(
        &self,
        appender: &Appender,
        condition: &Condition<'_>,
    ) -> Result<Option<u64>, Open> {
        let Some(recent) = appender.recent.as_deref() else { return Err(Open::Unknown(None)) };
        let start = self.marks.start();
        for (offset, in_doubt) in recent.each(condition.hash, condition.key) {
            if offset < start {
                return Ok(None);
            }
            if !in_doubt || self.is_counted(appender, condition, offset)? {
                return Ok(Some(offset));
            }
        }
        let sealed = condition.sealed_below(recent.from()).ok_or(Open::Unknown(None))?;
        match sealed.in_doubt {
            Some(offset) => Err(Open::InDoubt(offset)),
            None => Ok(sealed.latest.filter(|offset| *offset >= start)),
        }
    }

    #[cold]
    fn is_counted(
        &self,
        appender: &Appender,
        condition: &Condition<'_>,
        offset: u64,
    ) -> Result<bool, Open> {
        match condition.counts(appender, offset) {
            Counts::Yes => Ok(true),
            Counts::No => Ok(false),
            Counts::InDoubt => Err(Open::InDoubt(offset)),
            Counts::Unknown => Err(Open::Unknown(Some(offset))),
        }
    }

    fn judge_version(
        &self,
        appender: &Appender,
        condition: &Condition<'_>,
        wanted: u64,
    ) -> Judgement {
        if let Err(error) = self.check_counts() {
            return Judgement::Failed(error);
        }
        match self.version_of(appender, condition) {
            Ok((count, _)) if count == wanted => Judgement::Met,
            Ok((count, latest)) => self.failed(condition, latest, Some(count)),
            Err(open) => self.not_judged(condition, open),
        }
    }

    /// How many records of the key count, and where the newest of them stands.
    fn version_of(
        &self,
        appender: &Appender,
        condition: &Condition<'_>,
    ) -> Result<(u64, Option<u64>), Open> {
        let Some(recent) = appender.recent.as_deref() else { return Err(Open::Unknown(None)) };
        let (mut count, mut latest) = (0, None);
        for (offset, in_doubt) in recent.each(condition.hash, condition.key) {
            if !in_doubt || self.is_counted(appender, condition, offset)? {
                count += 1;
                latest = latest.or(Some(offset));
            }
        }
        let sealed = condition.sealed_below(recent.from()).ok_or(Open::Unknown(None))?;
        match sealed.in_doubt {
            Some(offset) => Err(Open::InDoubt(offset)),
            None => Ok((count + sealed.count, latest.or(sealed.latest))),
        }
    }

    #[cold]
    fn not_judged(&self, condition: &Condition<'_>, open: Open) -> Judgement {
        let offset = match open {
            Open::Unknown(what) => return Judgement::Unknown(what),
            Open::InDoubt(offset) => offset,
        };
        let message = format!(
            "{:?}: the record of the key at {offset} belongs to another transaction, which is open",
            condition.expect
        );
        let error = Error::new(ErrorKind::ConcurrentTransactions, message);
        Judgement::Failed(self.error(error).with_actual(Some(offset), None))
    }

    #[cold]
    fn failed(
        &self,
        condition: &Condition<'_>,
        offset: Option<u64>,
        version: Option<u64>,
    ) -> Judgement {
        let actual = match (condition.expect, offset, version) {
            (Expect::NextOffset(_), Some(next), _) => format!("the next offset is {next}"),
            (_, _, Some(count)) => format!("there are {count} records of the key"),
            (_, Some(offset), None) => format!("the latest record of the key is at {offset}"),
            (Expect::KeyAt(gone), None, None) if gone < self.marks.start() => {
                let start = self.marks.start();
                format!("there is no record of the key; the records below {start} were deleted")
            }
            (_, None, None) => "there is no record of the key".to_owned(),
        };
        let message = format!("{:?} does not hold: {actual}", condition.expect);
        let error = Error::new(ErrorKind::ConditionFailed, message).with_actual(offset, version);
        Judgement::Failed(self.error(error))
    }

    /// Finds out what was missing for a judgement. No lock is held.
    pub(super) fn learn(&self, condition: &mut Condition<'_>, what: Option<u64>) -> Result<()> {
        match what {
            Some(offset) => {
                let doubt = self.look_at(offset)?;
                condition.doubts.retain(|known| known.offset != offset);
                condition.doubts.push(doubt);
            }
            None => condition.sealed = Some(self.ask_segments(condition)?),
        }
        Ok(())
    }

    /// What becomes of the record of a transaction at `offset`.
    fn look_at(&self, offset: u64) -> Result<Doubt> {
        // One that is gone counts as little as one that is aborted.
        let gone = Doubt { offset, producer: -1, aborted: Some(true) };
        let Some(header) = self.header_at(offset)? else { return Ok(gone) };
        let producer = header.producer_id;
        let is_open = is_open(&self.append.lock(), producer, offset);
        let aborted = if is_open { None } else { Some(self.is_aborted(&header)?) };
        Ok(Doubt { offset, producer, aborted })
    }

    /// Asks the segments about the key, up to where the recent part begins.
    fn ask_segments(&self, condition: &Condition<'_>) -> Result<Sealed> {
        let to = self.recent_from()?;
        let mut sealed = Sealed { to, latest: None, count: 0, in_doubt: None };
        let (hash, key, mut below) = (condition.hash, condition.key, to);
        let all = matches!(condition.expect, Expect::KeyVersion(_));
        while let Some(batch) = self.find_before(hash, key, below, Isolation::ReadUncommitted)? {
            below = batch.below.saturating_sub(1);
            if batch.header.attributes.is_transactional() {
                let doubt = self.look_at(below)?;
                match doubt.aborted {
                    Some(true) => continue,
                    None if condition.producer != Some(doubt.producer) => {
                        return Ok(Sealed { in_doubt: Some(below), ..sealed });
                    }
                    _ => {}
                }
            }
            sealed.latest = sealed.latest.or(Some(below));
            sealed.count += 1;
            if !all {
                break;
            }
        }
        Ok(sealed)
    }
}

fn is_open(appender: &Appender, producer: i64, offset: u64) -> bool {
    let open = appender.producers.get(producer).and_then(|producer| producer.open);
    open.is_some_and(|first| first <= offset)
}

impl Condition<'_> {
    /// Whether the record of a transaction counts now.
    fn counts(&self, appender: &Appender, offset: u64) -> Counts {
        let known = self.doubts.iter().find(|doubt| doubt.offset == offset);
        let Some(Doubt { producer, aborted, .. }) = known else { return Counts::Unknown };
        match (is_open(appender, *producer, offset), aborted) {
            (true, _) if self.producer == Some(*producer) => Counts::Yes,
            (true, _) => Counts::InDoubt,
            (false, Some(true)) => Counts::No,
            (false, Some(false)) => Counts::Yes,
            // It has ended since that was looked at.
            (false, None) => Counts::Unknown,
        }
    }

    /// What the segments say, if they were asked up to here.
    #[inline]
    fn sealed_below(&self, from: u64) -> Option<Sealed> {
        self.sealed.filter(|sealed| sealed.to == from)
    }
}
