//! What stands in `__consumer_offsets`: keys and values of its records.
//!
//! Every key and every value begins with a version. The newest record of a key counts, and one
//! without a value takes it away. What lives only as long as a handle stands in no record:
//! members without an instance id, epochs in between, deadlines.

use std::sync::Arc;
use std::time::Duration;

use crate::backend::{CommittedOffset, Subscription};
use crate::base::{Error, ErrorKind, Result, TopicId};
use crate::coord::row::Row;

use super::topics::Part;

const VERSION: u8 = 1;
const GROUP: u8 = 1;
const STATIC_MEMBER: u8 = 2;
const OFFSET: u8 = 3;

/// One record, or what takes one away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A group exists.
    Group(Arc<str>, Option<GroupEntry>),
    /// A group has a static member of this instance id.
    Static(Arc<str>, Arc<str>, Option<StaticEntry>),
    /// A group has committed an offset.
    Offset(Arc<str>, Part, Option<CommittedOffset>),
}

/// What is to be remembered of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupEntry {
    /// Its epoch when this was written; later ones may have been told.
    pub epoch: i32,
    /// Whether it ever had members; else it is of offsets only.
    pub had_members: bool,
    /// Wall time since which it has no members, in milliseconds; none while it has.
    pub empty_since_ms: Option<i64>,
}

/// What is to be remembered of a static member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticEntry {
    /// The member's id.
    pub member_id: Arc<str>,
    /// Its client id.
    pub client_id: Arc<str>,
    /// What it subscribes to.
    pub subscription: Subscription,
    /// The assignor that it asks for.
    pub assignor: Option<Arc<str>>,
    /// How long it outlives its handle.
    pub session_timeout: Duration,
    /// How long it may stay away from polling.
    pub max_poll_interval: Duration,
    /// What it is to own.
    pub parts: Vec<Part>,
}

impl Row for Record {
    fn key(&self, out: &mut Vec<u8>) {
        match self {
            Record::Group(group, _) => head(out, GROUP, group),
            Record::Static(group, instance, _) => {
                head(out, STATIC_MEMBER, group);
                put_text(out, instance);
            }
            Record::Offset(group, part, _) => {
                head(out, OFFSET, group);
                put_part(out, *part);
            }
        }
    }

    fn value(&self, out: &mut Vec<u8>) -> bool {
        match self {
            Record::Group(_, Some(entry)) => put_group(out, *entry),
            Record::Static(_, _, Some(entry)) => put_static(out, entry),
            Record::Offset(_, _, Some(offset)) => put_offset(out, offset),
            Record::Group(_, None) | Record::Static(_, _, None) | Record::Offset(_, _, None) => {
                return false;
            }
        }
        true
    }
}

impl Record {
    /// The record of a key and a value.
    pub fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Self> {
        let version = [key.first(), value.and_then(<[u8]>::first)];
        if let Some(other) = version.into_iter().flatten().find(|version| **version != VERSION) {
            let message = format!("version {other} of a record of groups: {VERSION} is known");
            return Err(Error::new(ErrorKind::UnsupportedVersion, message));
        }
        decode(key, value).ok_or_else(|| {
            let message = "a record of groups and offsets cannot be decoded";
            Error::new(ErrorKind::CorruptMessage, message)
        })
    }
}

fn head(out: &mut Vec<u8>, kind: u8, group: &str) {
    out.extend([VERSION, kind]);
    put_text(out, group);
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn put_part(out: &mut Vec<u8>, (id, partition): Part) {
    out.extend_from_slice(&id.to_bytes());
    out.extend_from_slice(&partition.to_le_bytes());
}

fn put_group(out: &mut Vec<u8>, entry: GroupEntry) {
    out.extend([VERSION, u8::from(entry.had_members), u8::from(entry.empty_since_ms.is_some())]);
    out.extend_from_slice(&entry.epoch.to_le_bytes());
    out.extend_from_slice(&entry.empty_since_ms.unwrap_or(0).to_le_bytes());
}

fn put_offset(out: &mut Vec<u8>, offset: &CommittedOffset) {
    out.push(VERSION);
    out.extend_from_slice(&offset.offset.to_le_bytes());
    out.extend_from_slice(&offset.leader_epoch.unwrap_or(-1).to_le_bytes());
    out.extend_from_slice(&offset.commit_ms.to_le_bytes());
    put_text(out, &offset.metadata);
}

fn put_static(out: &mut Vec<u8>, entry: &StaticEntry) {
    out.push(VERSION);
    put_text(out, &entry.member_id);
    put_text(out, &entry.client_id);
    put_text(out, entry.assignor.as_deref().unwrap_or_default());
    put_millis(out, entry.session_timeout);
    put_millis(out, entry.max_poll_interval);
    let (is_pattern, names) = match &entry.subscription {
        Subscription::Topics(names) => (false, names.as_slice()),
        Subscription::Pattern(pattern) => (true, std::slice::from_ref(pattern)),
    };
    out.push(u8::from(is_pattern));
    out.extend_from_slice(&(names.len() as u32).to_le_bytes());
    names.iter().for_each(|name| put_text(out, name));
    out.extend_from_slice(&(entry.parts.len() as u32).to_le_bytes());
    entry.parts.iter().for_each(|part| put_part(out, *part));
}

fn put_millis(out: &mut Vec<u8>, time: Duration) {
    let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    out.extend_from_slice(&ms.to_le_bytes());
}

fn decode(mut key: &[u8], value: Option<&[u8]>) -> Option<Record> {
    let [_, kind] = *take::<2>(&mut key)?;
    let group = take_text(&mut key)?;
    let mut value = match value {
        None => None,
        Some(value) => Some(value.split_first()?.1),
    };
    let value = value.as_mut();
    let record = match kind {
        GROUP => Record::Group(group, entry(value, take_group)?),
        STATIC_MEMBER => {
            let instance = take_text(&mut key)?;
            Record::Static(group, instance, entry(value, take_static)?)
        }
        OFFSET => {
            let part = take_part(&mut key)?;
            Record::Offset(group, part, entry(value, take_offset)?)
        }
        _ => return None,
    };
    key.is_empty().then_some(record)
}

/// A value to its last byte; the outer option is whether it could be decoded.
#[expect(clippy::option_option, reason = "no value is one thing, a bad one another")]
fn entry<T>(
    value: Option<&mut &[u8]>,
    take: impl FnOnce(&mut &[u8]) -> Option<T>,
) -> Option<Option<T>> {
    let Some(value) = value else { return Some(None) };
    let entry = take(value)?;
    value.is_empty().then_some(Some(entry))
}

fn take<'b, const N: usize>(bytes: &mut &'b [u8]) -> Option<&'b [u8; N]> {
    let (taken, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(taken)
}

fn take_u32(bytes: &mut &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(*take(bytes)?))
}

fn take_i64(bytes: &mut &[u8]) -> Option<i64> {
    Some(i64::from_le_bytes(*take(bytes)?))
}

fn take_millis(bytes: &mut &[u8]) -> Option<Duration> {
    Some(Duration::from_millis(u64::from_le_bytes(*take(bytes)?)))
}

fn take_bool(bytes: &mut &[u8]) -> Option<bool> {
    match *take::<1>(bytes)? {
        [0] => Some(false),
        [1] => Some(true),
        _ => None,
    }
}

fn take_text(bytes: &mut &[u8]) -> Option<Arc<str>> {
    let len = take_u32(bytes)? as usize;
    let (text, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    std::str::from_utf8(text).ok().map(Arc::from)
}

fn take_part(bytes: &mut &[u8]) -> Option<Part> {
    let mut id = *take::<16>(bytes)?;
    id.reverse();
    Some((TopicId(u128::from_le_bytes(id)), take_u32(bytes)?))
}

fn take_group(bytes: &mut &[u8]) -> Option<GroupEntry> {
    let (had_members, is_empty) = (take_bool(bytes)?, take_bool(bytes)?);
    let epoch = i32::from_le_bytes(*take(bytes)?);
    let since = take_i64(bytes)?;
    Some(GroupEntry { epoch, had_members, empty_since_ms: is_empty.then_some(since) })
}

fn take_offset(bytes: &mut &[u8]) -> Option<CommittedOffset> {
    let offset = u64::from_le_bytes(*take(bytes)?);
    let leader_epoch = i32::from_le_bytes(*take(bytes)?);
    let commit_ms = take_i64(bytes)?;
    let leader_epoch = (leader_epoch >= 0).then_some(leader_epoch);
    Some(CommittedOffset { offset, leader_epoch, metadata: take_text(bytes)?, commit_ms })
}

fn take_static(bytes: &mut &[u8]) -> Option<StaticEntry> {
    let (member_id, client_id) = (take_text(bytes)?, take_text(bytes)?);
    let assignor = Some(take_text(bytes)?).filter(|name| !name.is_empty());
    let (session_timeout, max_poll_interval) = (take_millis(bytes)?, take_millis(bytes)?);
    let is_pattern = take_bool(bytes)?;
    let names = take_list(bytes, take_text)?;
    let subscription = match names.as_slice() {
        [pattern] if is_pattern => Subscription::Pattern(Arc::clone(pattern)),
        _ if is_pattern => return None,
        _ => Subscription::Topics(names),
    };
    let parts = take_list(bytes, take_part)?;
    Some(StaticEntry {
        member_id,
        client_id,
        subscription,
        assignor,
        session_timeout,
        max_poll_interval,
        parts,
    })
}

fn take_list<T>(
    bytes: &mut &[u8],
    mut take_one: impl FnMut(&mut &[u8]) -> Option<T>,
) -> Option<Vec<T>> {
    let count = take_u32(bytes)?;
    // A count that lies ends with the bytes: nothing is reserved on its word.
    (0..count).map(|_| take_one(bytes)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coord::row::testing::{assert_read_as_written, bytes};

    fn samples() -> Vec<Record> {
        let group: Arc<str> = "billing".into();
        let parts = vec![(TopicId(7), 0), (TopicId(8), 3)];
        let member = |subscription| StaticEntry {
            member_id: "c-1".into(),
            client_id: "c".into(),
            subscription,
            assignor: Some("range".into()),
            session_timeout: Duration::from_secs(45),
            max_poll_interval: Duration::from_secs(300),
            parts: parts.clone(),
        };
        let topics = Subscription::Topics(vec!["a".into(), "b".into()]);
        let offset = CommittedOffset {
            offset: 9,
            leader_epoch: Some(2),
            metadata: "m".into(),
            commit_ms: -5,
        };
        let no_epoch = CommittedOffset { leader_epoch: None, ..offset.clone() };
        let entry = GroupEntry { epoch: 3, had_members: true, empty_since_ms: Some(-1) };
        vec![
            Record::Group(Arc::clone(&group), Some(entry)),
            Record::Group(
                Arc::clone(&group),
                Some(GroupEntry { had_members: false, empty_since_ms: None, ..entry }),
            ),
            Record::Group(Arc::clone(&group), None),
            Record::Static(Arc::clone(&group), "i".into(), Some(member(topics))),
            Record::Static(
                Arc::clone(&group),
                "i".into(),
                Some(member(Subscription::Pattern("a.*".into()))),
            ),
            Record::Static(Arc::clone(&group), "i".into(), None),
            Record::Offset(Arc::clone(&group), (TopicId(1 << 100), 4), Some(offset)),
            Record::Offset(Arc::clone(&group), (TopicId(2), 0), Some(no_epoch)),
            Record::Offset(group, (TopicId(2), 0), None),
        ]
    }

    #[test]
    fn what_is_written_is_read() {
        assert_read_as_written(samples(), Record::decode);
    }

    #[test]
    fn cut_longer_and_newer_records_are_refused() {
        for record in samples() {
            let (key, value) = bytes(&record);
            for cut in 0..key.len() {
                assert!(Record::decode(&key[..cut], value.as_deref()).is_err());
            }
            let mut newer = key.clone();
            newer[0] = 2;
            let error = Record::decode(&newer, value.as_deref()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnsupportedVersion);
            let Some(value) = value else { continue };
            for cut in 0..value.len() {
                assert!(Record::decode(&key, Some(&value[..cut])).is_err());
            }
            let longer = [value.as_slice(), &[0]].concat();
            assert!(Record::decode(&key, Some(&longer)).is_err());
        }
    }

    /// The exact bytes: a format that has gone out is not changed.
    #[test]
    fn an_offset_has_these_bytes() {
        let (key, value) = bytes(&samples()[6]);
        assert_eq!(key[..2], [1, 3]);
        assert_eq!(key[2..13], *b"\x07\0\0\0billing");
        assert_eq!(key.len(), 13 + 16 + 4);
        assert_eq!(key[29..], [4, 0, 0, 0]);
        let value = value.unwrap();
        assert_eq!(value[..13], [1, 9, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0]);
        assert_eq!(value[21..], *b"\x01\0\0\0m");
    }
}
