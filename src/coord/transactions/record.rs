//! What stands in `__transaction_state`: keys and values of its records.
//!
//! Every key and every value begins with a version. The newest record of a key counts, and one
//! without a value takes it away. The order of records with different keys does not matter: a
//! transaction is open where partitions are listed under the producer id and epoch that its
//! transactional id has now.

use std::sync::Arc;
use std::time::Duration;

use crate::base::{Error, ErrorKind, Result, TopicId};
use crate::coord::row::Row;

use super::registry::Part;

const VERSION: u8 = 1;
const IDS: u8 = 1;
const TRANSACTION: u8 = 2;
const PARTITIONS: u8 = 3;
const NAME: u8 = 4;

/// One record, or what takes one away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// Producer ids below this one may have been given.
    Ids(i64),
    /// A transactional id, and what was last decided on it.
    Transaction(Arc<str>, Option<Entry>),
    /// Partitions that have become part of a transaction. Of each producer id the first to join
    /// stand under number 0, the next under 1; the next transaction begins at 0 again.
    Partitions(i64, u32, Option<Joined>),
    /// A named producer.
    Name(Arc<str>, Option<Named>),
}

/// What is to be remembered of a transactional id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its producer id.
    pub producer: i64,
    /// The epoch of the present transaction, or of the next one.
    pub epoch: i16,
    /// What was last decided.
    pub stage: Stage,
    /// How long a transaction may be open.
    pub timeout: Duration,
    /// Wall time of the decision, in milliseconds.
    pub changed_ms: i64,
}

/// How far the transaction of an id has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// There was none yet, or it is open.
    Empty,
    /// It is decided; its partitions may not know.
    Prepared {
        /// Whether it is committed.
        commit: bool,
    },
    /// The last one has ended, and all partitions know.
    Complete {
        /// Whether it was committed.
        commit: bool,
    },
}

/// Partitions of one transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Joined {
    /// The transaction's epoch.
    pub epoch: i16,
    /// When they came, in milliseconds of wall time.
    pub at_ms: i64,
    /// Which.
    pub parts: Vec<Part>,
}

/// A named producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its producer id.
    pub producer: i64,
    /// The epoch of its present holder.
    pub epoch: i16,
}

impl Row for Record {
    fn key(&self, out: &mut Vec<u8>) {
        match self {
            Record::Ids(_) => out.extend([VERSION, IDS]),
            Record::Transaction(id, _) => {
                out.extend([VERSION, TRANSACTION]);
                out.extend_from_slice(id.as_bytes());
            }
            Record::Partitions(producer, number, _) => {
                out.extend([VERSION, PARTITIONS]);
                out.extend_from_slice(&producer.to_le_bytes());
                out.extend_from_slice(&number.to_le_bytes());
            }
            Record::Name(name, _) => {
                out.extend([VERSION, NAME]);
                out.extend_from_slice(name.as_bytes());
            }
        }
    }

    fn value(&self, out: &mut Vec<u8>) -> bool {
        match self {
            Record::Ids(below) => {
                out.push(VERSION);
                out.extend_from_slice(&below.to_le_bytes());
            }
            Record::Transaction(_, Some(entry)) => put_entry(out, entry),
            Record::Partitions(_, _, Some(joined)) => put_joined(out, joined),
            Record::Name(_, Some(named)) => {
                out.push(VERSION);
                out.extend_from_slice(&named.producer.to_le_bytes());
                out.extend_from_slice(&named.epoch.to_le_bytes());
            }
            _ => return false,
        }
        true
    }
}

impl Record {
    /// The record of a key and a value.
    pub fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Self> {
        let version = [key.first(), value.and_then(<[u8]>::first)];
        if let Some(other) = version.into_iter().flatten().find(|version| **version != VERSION) {
            let message =
                format!("version {other} of a record of transactions: {VERSION} is known");
            return Err(Error::new(ErrorKind::UnsupportedVersion, message));
        }
        decode(key, value).ok_or_else(|| {
            let message = "a record of transactions cannot be decoded";
            Error::new(ErrorKind::CorruptMessage, message)
        })
    }
}

impl Stage {
    fn number(self) -> u8 {
        match self {
            Stage::Empty => 0,
            Stage::Prepared { commit: true } => 2,
            Stage::Prepared { commit: false } => 3,
            Stage::Complete { commit: true } => 4,
            Stage::Complete { commit: false } => 5,
        }
    }

    fn of(number: u8) -> Option<Self> {
        Some(match number {
            0 => Stage::Empty,
            2 => Stage::Prepared { commit: true },
            3 => Stage::Prepared { commit: false },
            4 => Stage::Complete { commit: true },
            5 => Stage::Complete { commit: false },
            _ => return None,
        })
    }
}

fn put_entry(out: &mut Vec<u8>, entry: &Entry) {
    out.extend([VERSION, entry.stage.number()]);
    out.extend_from_slice(&entry.producer.to_le_bytes());
    out.extend_from_slice(&entry.epoch.to_le_bytes());
    let timeout = u64::try_from(entry.timeout.as_millis()).unwrap_or(u64::MAX);
    out.extend_from_slice(&timeout.to_le_bytes());
    out.extend_from_slice(&entry.changed_ms.to_le_bytes());
}

fn put_joined(out: &mut Vec<u8>, joined: &Joined) {
    out.push(VERSION);
    out.extend_from_slice(&joined.epoch.to_le_bytes());
    out.extend_from_slice(&joined.at_ms.to_le_bytes());
    for (topic, partition) in &joined.parts {
        out.extend_from_slice(&topic.to_bytes());
        out.extend_from_slice(&partition.to_le_bytes());
    }
}

fn decode(key: &[u8], value: Option<&[u8]>) -> Option<Record> {
    let (&[_, kind], mut rest) = key.split_first_chunk::<2>()?;
    // Behind its version.
    let value = match value {
        None => None,
        Some(value) => Some(value.split_first()?.1),
    };
    Some(match kind {
        IDS => Record::Ids(i64::from_le_bytes(value?.try_into().ok()?)),
        TRANSACTION => Record::Transaction(text(rest)?, each(value, take_entry)?),
        PARTITIONS => {
            let producer = i64::from_le_bytes(*take(&mut rest)?);
            let number = u32::from_le_bytes(rest.try_into().ok()?);
            Record::Partitions(producer, number, each(value, take_joined)?)
        }
        NAME => Record::Name(text(rest)?, each(value, take_named)?),
        _ => return None,
    })
}

/// A value to its last byte; the outer option is whether it could be decoded.
#[expect(clippy::option_option, reason = "no value is one thing, a bad one another")]
fn each<T>(value: Option<&[u8]>, take: impl FnOnce(&mut &[u8]) -> Option<T>) -> Option<Option<T>> {
    let Some(mut value) = value else { return Some(None) };
    let entry = take(&mut value)?;
    value.is_empty().then_some(Some(entry))
}

fn text(bytes: &[u8]) -> Option<Arc<str>> {
    std::str::from_utf8(bytes).ok().map(Arc::from)
}

fn take<'b, const N: usize>(bytes: &mut &'b [u8]) -> Option<&'b [u8; N]> {
    let (taken, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(taken)
}

fn take_entry(bytes: &mut &[u8]) -> Option<Entry> {
    let [stage] = *take::<1>(bytes)?;
    Some(Entry {
        stage: Stage::of(stage)?,
        producer: i64::from_le_bytes(*take(bytes)?),
        epoch: i16::from_le_bytes(*take(bytes)?),
        timeout: Duration::from_millis(u64::from_le_bytes(*take(bytes)?)),
        changed_ms: i64::from_le_bytes(*take(bytes)?),
    })
}

fn take_joined(bytes: &mut &[u8]) -> Option<Joined> {
    let epoch = i16::from_le_bytes(*take(bytes)?);
    let at_ms = i64::from_le_bytes(*take(bytes)?);
    let mut parts = Vec::with_capacity(bytes.len() / 20);
    while !bytes.is_empty() {
        let mut topic = *take::<16>(bytes)?;
        topic.reverse();
        parts.push((TopicId(u128::from_le_bytes(topic)), u32::from_le_bytes(*take(bytes)?)));
    }
    Some(Joined { epoch, at_ms, parts })
}

fn take_named(bytes: &mut &[u8]) -> Option<Named> {
    let producer = i64::from_le_bytes(*take(bytes)?);
    Some(Named { producer, epoch: i16::from_le_bytes(*take(bytes)?) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coord::row::testing::{assert_read_as_written, bytes};

    fn samples() -> Vec<Record> {
        let entry = |stage| Entry {
            producer: 1_000,
            epoch: 7,
            stage,
            timeout: Duration::from_millis(60_000),
            changed_ms: 1_700_000_000_000,
        };
        let parts = vec![(TopicId(7), 0), (TopicId(1 << 100), 3)];
        let joined = Joined { epoch: 7, at_ms: -1, parts };
        let stages = [0, 2, 3, 4, 5].map(|number| Stage::of(number).unwrap());
        let of_stage = |stage| Record::Transaction("pay-1".into(), Some(entry(stage)));
        let mut samples: Vec<_> = stages.into_iter().map(of_stage).collect();
        samples.extend([
            Record::Ids(2_000),
            Record::Transaction("pay-1".into(), None),
            Record::Partitions(1_000, 0, Some(joined)),
            Record::Partitions(1_000, 9, Some(Joined::default())),
            Record::Partitions(1_000, 9, None),
            Record::Name("sensor-7".into(), Some(Named { producer: 5, epoch: 2 })),
            Record::Name("sensor-7".into(), None),
        ]);
        samples
    }

    #[test]
    fn what_is_written_is_read() {
        assert_read_as_written(samples(), Record::decode);
    }

    #[test]
    fn damaged_and_newer_records_are_refused() {
        for record in samples() {
            let (key, value) = bytes(&record);
            let mut newer = key.clone();
            newer[0] = 2;
            let error = Record::decode(&newer, value.as_deref()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnsupportedVersion);
            let mut other = key.clone();
            other[1] = 99;
            assert!(Record::decode(&other, value.as_deref()).is_err());
            let Some(value) = value else { continue };
            for cut in 0..value.len() {
                // A list of partitions may end behind any of them: the batch's checksum tells.
                let whole =
                    matches!(record, Record::Partitions(..)) && cut >= 11 && (cut - 11) % 20 == 0;
                assert_eq!(Record::decode(&key, Some(&value[..cut])).is_ok(), whole);
            }
            assert!(Record::decode(&key, Some(&[value.as_slice(), &[0]].concat())).is_err());
        }
    }

    /// The exact bytes: a format that has gone out is not changed.
    #[test]
    fn a_decision_has_these_bytes() {
        let (key, value) = bytes(&samples()[1]);
        assert_eq!(key, b"\x01\x02pay-1");
        let value = value.unwrap();
        assert_eq!(value[..12], [1, 2, 0xe8, 3, 0, 0, 0, 0, 0, 0, 7, 0]);
        assert_eq!(value[12..20], 60_000_u64.to_le_bytes());
        assert_eq!(value[20..], 1_700_000_000_000_i64.to_le_bytes());
        let (key, value) = bytes(&samples()[7]);
        assert_eq!(key, [1, 3, 0xe8, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(value.unwrap().len(), 1 + 2 + 8 + 2 * 20);
    }
}
