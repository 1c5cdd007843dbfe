//! What a manifest can say, and its bytes.
//!
//! A record is a head of 8 bytes (kind, three zeros, length of the whole record) and fixed
//! fields; every length is a multiple of 8. An unknown kind is never skipped: a manifest that
//! is half understood would delete files that somebody needs.

use std::ops::RangeInclusive;

use super::fields::{Fields, Flaw};
use crate::base::TopicId;
use crate::log::PartitionKey;

/// How a segment file ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentEnd {
    /// Bytes of header and batches.
    pub data_len: u64,
    /// Bytes of the whole file; equal to `data_len` when it has no footer.
    pub file_len: u64,
    /// The offset behind its last record.
    pub next_offset: u64,
    /// The greatest record timestamp, if any record has one.
    pub max_timestamp: Option<i64>,
    /// The footer's CRC; 0 without a footer.
    pub footer_crc: u32,
    /// Whether something is known of producers at its end, or a marker in it aborts a transaction.
    pub stateful: bool,
}

/// The end of one partition, staged records included, when the log was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionEnd {
    /// The partition.
    pub key: PartitionKey,
    /// The offset behind its last record.
    pub offset: u64,
}

/// One change of a log's metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// The log exists; always the first record.
    LogCreated {
        /// The log's identity.
        log_id: u128,
    },
    /// A process opened the log for writing. After a loss of power it says so twice: first with
    /// the boot of before, and with its own once everything is recovered.
    Opened {
        /// Grows with every open; the leader epoch of the batches written under it.
        incarnation: u32,
        /// The operating system's run, if it is known.
        boot_id: Option<u128>,
    },
    /// A segment file belongs to a partition.
    SegmentCreated {
        /// The partition.
        key: PartitionKey,
        /// The file's number, unique in the log for all time.
        number: u64,
        /// The offset of its first record.
        base_offset: u64,
    },
    /// A segment will never change again.
    SegmentSealed {
        /// The file's number.
        number: u64,
        /// How it ends.
        end: SegmentEnd,
    },
    /// A segment is not part of its partition any more; its file may be removed.
    SegmentRetired {
        /// The file's number.
        number: u64,
    },
    /// Records below `offset` are gone.
    LogStart {
        /// The partition.
        key: PartitionKey,
        /// Its new log start offset.
        offset: u64,
    },
    /// No offset at or above `offset` has been given to a record yet.
    Ceiling {
        /// The partition.
        key: PartitionKey,
        /// Its new ceiling.
        offset: u64,
    },
    /// The offsets `from..to` hold no records, and never will.
    Gap {
        /// The partition.
        key: PartitionKey,
        /// The first missing offset.
        from: u64,
        /// The offset behind the last missing one.
        to: u64,
    },
    /// A topic is deleted with everything that its partitions have.
    PartitionsRetired {
        /// The topic.
        topic_id: TopicId,
    },
    /// How an unsealed segment ends; holds only as part of a clean close.
    Checkpoint {
        /// The file's number.
        number: u64,
        /// How it ends.
        end: SegmentEnd,
    },
    /// The log was closed clean; only `Opened` may follow.
    Closed {
        /// The incarnation that closes.
        incarnation: u32,
        /// The partitions that have staged records.
        ends: Vec<PartitionEnd>,
    },
    /// The stage file in use from now on.
    Stage {
        /// The number in its name.
        number: u64,
        /// Its length.
        bytes: u64,
    },
    /// Segment numbers that no live segment has. Only a rewrite says this, once, because it
    /// drops the records that it follows from.
    Numbers {
        /// The greatest number ever used.
        highest: u64,
        /// Retired, and the file may still exist.
        retired: Vec<RangeInclusive<u64>>,
        /// Passed over: never used, and never to be used.
        skipped: Vec<RangeInclusive<u64>>,
    },
    /// Offsets below `offset` were used, although no live segment says so. Only a rewrite
    /// says this.
    Floor {
        /// The partition.
        key: PartitionKey,
        /// The least offset that a new segment may begin with.
        offset: u64,
    },
    /// Sealed segments that follow each other are replaced by one, sealed too, which begins and
    /// ends where they did.
    SegmentsReplaced {
        /// The partition.
        key: PartitionKey,
        /// The new file's number.
        number: u64,
        /// The offset that the first of them began with.
        base_offset: u64,
        /// How the new one ends.
        end: SegmentEnd,
        /// The files that are not needed any more, in the order of their offsets.
        old: Vec<u64>,
    },
    /// Below `offset` no record has a newer one of its key below `offset`.
    Compacted {
        /// The partition.
        key: PartitionKey,
        /// Where the next compaction begins to look for keys.
        offset: u64,
    },
    /// What was known of producers when the last segment went that said it, or that any did.
    Producers {
        /// The partition.
        key: PartitionKey,
        /// It is as of this offset.
        offset: u64,
        /// As in a footer; a multiple of 8 bytes.
        state: Vec<u8>,
    },
    /// The log began as a copy: segment files up to a number are another log's, and their salts
    /// follow from that one's identity. Stands right behind the log's creation; the numbers of
    /// several grow.
    Origin {
        /// The log that wrote those files.
        log_id: u128,
        /// The greatest of their numbers. Those up to the one of the origin before are not meant.
        upto: u64,
    },
}

const HEAD_BYTES: usize = 8;
const LOG_CREATED: u8 = 1;
const OPENED: u8 = 2;
const SEGMENT_CREATED: u8 = 3;
const SEGMENT_SEALED: u8 = 4;
const SEGMENT_RETIRED: u8 = 5;
const LOG_START: u8 = 6;
const CEILING: u8 = 7;
const GAP: u8 = 8;
const PARTITIONS_RETIRED: u8 = 9;
const CHECKPOINT: u8 = 10;
const CLOSED: u8 = 11;
const STAGE: u8 = 12;
const NUMBERS: u8 = 13;
const FLOOR: u8 = 14;
const SEGMENTS_REPLACED: u8 = 15;
const COMPACTED: u8 = 16;
const PRODUCERS: u8 = 17;
const ORIGIN: u8 = 18;

impl Record {
    /// Whether this record must be writable on a full disk: it frees space, or an open, a trim
    /// or a close needs it.
    #[must_use]
    pub fn may_use_reserve(&self) -> bool {
        use Record as R;
        match self {
            R::SegmentSealed { .. } | R::SegmentRetired { .. } | R::PartitionsRetired { .. } => {
                true
            }
            R::LogStart { .. } | R::Gap { .. } => true,
            R::SegmentsReplaced { .. } | R::Compacted { .. } | R::Producers { .. } => true,
            R::Opened { .. } | R::Checkpoint { .. } | R::Closed { .. } => true,
            R::SegmentCreated { .. } | R::Ceiling { .. } | R::Stage { .. } => false,
            R::LogCreated { .. } | R::Numbers { .. } | R::Floor { .. } => false,
            R::Origin { .. } => false,
        }
    }

    /// Appends the bytes of this record to `out`.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[self.kind(), 0, 0, 0, 0, 0, 0, 0]);
        self.encode_body(out);
        // A length that does not fit makes the frame too long, which the frame refuses.
        let len = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
        if let Some(field) = out.get_mut(start + 4..start + HEAD_BYTES) {
            field.copy_from_slice(&len.to_le_bytes());
        }
    }

    /// The partition that it says something new of.
    pub(super) fn key(&self) -> Option<&PartitionKey> {
        match self {
            Record::SegmentCreated { key, .. }
            | Record::LogStart { key, .. }
            | Record::Ceiling { key, .. }
            | Record::Floor { key, .. }
            | Record::SegmentsReplaced { key, .. }
            | Record::Compacted { key, .. }
            | Record::Producers { key, .. }
            | Record::Gap { key, .. } => Some(key),
            _ => None,
        }
    }

    fn kind(&self) -> u8 {
        match self {
            Record::LogCreated { .. } => LOG_CREATED,
            Record::Opened { .. } => OPENED,
            Record::SegmentCreated { .. } => SEGMENT_CREATED,
            Record::SegmentSealed { .. } => SEGMENT_SEALED,
            Record::SegmentRetired { .. } => SEGMENT_RETIRED,
            Record::LogStart { .. } => LOG_START,
            Record::Ceiling { .. } => CEILING,
            Record::Gap { .. } => GAP,
            Record::PartitionsRetired { .. } => PARTITIONS_RETIRED,
            Record::Checkpoint { .. } => CHECKPOINT,
            Record::Closed { .. } => CLOSED,
            Record::Stage { .. } => STAGE,
            Record::Numbers { .. } => NUMBERS,
            Record::Floor { .. } => FLOOR,
            Record::SegmentsReplaced { .. } => SEGMENTS_REPLACED,
            Record::Compacted { .. } => COMPACTED,
            Record::Producers { .. } => PRODUCERS,
            Record::Origin { .. } => ORIGIN,
        }
    }

    fn encode_body(&self, out: &mut Vec<u8>) {
        match self {
            Record::LogCreated { log_id } => put(out, &log_id.to_le_bytes()),
            Record::Opened { incarnation, boot_id } => {
                put(out, &incarnation.to_le_bytes());
                put(out, &u32::from(boot_id.is_some()).to_le_bytes());
                put(out, &boot_id.unwrap_or(0).to_le_bytes());
            }
            Record::SegmentCreated { key, number, base_offset } => {
                put(out, &number.to_le_bytes());
                put_place(out, key, *base_offset);
            }
            Record::SegmentSealed { number, end } | Record::Checkpoint { number, end } => {
                put(out, &number.to_le_bytes());
                put_end(out, end);
            }
            Record::SegmentRetired { number } => put(out, &number.to_le_bytes()),
            Record::LogStart { key, offset }
            | Record::Ceiling { key, offset }
            | Record::Compacted { key, offset }
            | Record::Floor { key, offset } => put_place(out, key, *offset),
            Record::Producers { key, offset, state } => {
                put_place(out, key, *offset);
                put(out, state);
            }
            Record::Gap { key, from, to } => {
                put_place(out, key, *from);
                put(out, &to.to_le_bytes());
            }
            Record::PartitionsRetired { topic_id } => put(out, &topic_id.0.to_le_bytes()),
            Record::Closed { incarnation, ends } => {
                put(out, &incarnation.to_le_bytes());
                put_count(out, ends.len());
                ends.iter().for_each(|end| put_place(out, &end.key, end.offset));
            }
            Record::Stage { number, bytes } => {
                put(out, &number.to_le_bytes());
                put(out, &bytes.to_le_bytes());
            }
            Record::Origin { log_id, upto } => {
                put(out, &log_id.to_le_bytes());
                put(out, &upto.to_le_bytes());
            }
            Record::Numbers { highest, retired, skipped } => {
                put(out, &highest.to_le_bytes());
                put_count(out, retired.len());
                put_count(out, skipped.len());
                for range in retired.iter().chain(skipped) {
                    put(out, &range.start().to_le_bytes());
                    put(out, &range.end().to_le_bytes());
                }
            }
            Record::SegmentsReplaced { key, number, base_offset, end, old } => {
                put(out, &number.to_le_bytes());
                put_place(out, key, *base_offset);
                put_end(out, end);
                put_count(out, old.len());
                put(out, &[0; 4]);
                old.iter().for_each(|number| put(out, &number.to_le_bytes()));
            }
        }
    }

    /// Takes one record from the front of `fields`.
    pub(super) fn decode(fields: &mut Fields<'_>) -> Result<Record, Flaw> {
        let kind = fields.u8()?;
        fields.zeros::<3>()?;
        let len = usize::try_from(fields.u32()?).map_err(|_| Flaw::Bad("its length"))?;
        let body = len.checked_sub(HEAD_BYTES).ok_or(Flaw::Bad("its length"))?;
        let mut body = Fields::new(fields.bytes(body)?);
        let record = Self::decode_body(kind, &mut body)?;
        if body.is_empty() { Ok(record) } else { Err(Flaw::Bad("bytes behind its last field")) }
    }

    fn decode_body(kind: u8, body: &mut Fields<'_>) -> Result<Record, Flaw> {
        Ok(match kind {
            LOG_CREATED => Record::LogCreated { log_id: body.u128()? },
            OPENED => decode_opened(body)?,
            SEGMENT_CREATED => {
                let number = body.u64()?;
                let (key, base_offset) = place(body)?;
                Record::SegmentCreated { key, number, base_offset }
            }
            SEGMENT_SEALED => Record::SegmentSealed { number: body.u64()?, end: end(body)? },
            SEGMENT_RETIRED => Record::SegmentRetired { number: body.u64()? },
            LOG_START => {
                let (key, offset) = place(body)?;
                Record::LogStart { key, offset }
            }
            CEILING => {
                let (key, offset) = place(body)?;
                Record::Ceiling { key, offset }
            }
            GAP => {
                let (key, from) = place(body)?;
                Record::Gap { key, from, to: body.u64()? }
            }
            PARTITIONS_RETIRED => Record::PartitionsRetired { topic_id: TopicId(body.u128()?) },
            CHECKPOINT => Record::Checkpoint { number: body.u64()?, end: end(body)? },
            CLOSED => decode_closed(body)?,
            STAGE => Record::Stage { number: body.u64()?, bytes: body.u64()? },
            NUMBERS => decode_numbers(body)?,
            FLOOR => {
                let (key, offset) = place(body)?;
                Record::Floor { key, offset }
            }
            SEGMENTS_REPLACED => decode_replaced(body)?,
            COMPACTED => {
                let (key, offset) = place(body)?;
                Record::Compacted { key, offset }
            }
            PRODUCERS => {
                let (key, offset) = place(body)?;
                Record::Producers { key, offset, state: body.rest().to_vec() }
            }
            ORIGIN => Record::Origin { log_id: body.u128()?, upto: body.u64()? },
            _ => return Err(Flaw::Unknown("a record of an unknown kind")),
        })
    }
}

/// The bytes of all `records`, one behind the other.
pub(super) fn encode_all(records: &[Record]) -> Vec<u8> {
    let mut out = Vec::with_capacity(records.len() * 64);
    records.iter().for_each(|record| record.encode(&mut out));
    out
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes);
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    put(out, &u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
}

fn put_place(out: &mut Vec<u8>, key: &PartitionKey, offset: u64) {
    put(out, &key.topic_id.0.to_le_bytes());
    put(out, &offset.to_le_bytes());
    put(out, &key.partition.to_le_bytes());
    put(out, &[0; 4]);
}

fn place(body: &mut Fields<'_>) -> Result<(PartitionKey, u64), Flaw> {
    let topic_id = TopicId(body.u128()?);
    let offset = body.u64()?;
    let partition = body.u32()?;
    body.zeros::<4>()?;
    Ok((PartitionKey { topic_id, partition }, offset))
}

fn put_end(out: &mut Vec<u8>, end: &SegmentEnd) {
    put(out, &end.data_len.to_le_bytes());
    put(out, &end.file_len.to_le_bytes());
    put(out, &end.next_offset.to_le_bytes());
    put(out, &end.max_timestamp.unwrap_or(0).to_le_bytes());
    let flags = u32::from(end.max_timestamp.is_some()) | u32::from(end.stateful) << 1;
    put(out, &flags.to_le_bytes());
    put(out, &end.footer_crc.to_le_bytes());
}

fn end(body: &mut Fields<'_>) -> Result<SegmentEnd, Flaw> {
    let (data_len, file_len, next_offset) = (body.u64()?, body.u64()?, body.u64()?);
    let timestamp = body.i64()?;
    let flags = body.u32()?;
    if flags > 3 {
        return Err(Flaw::Unknown("a flag"));
    }
    Ok(SegmentEnd {
        data_len,
        file_len,
        next_offset,
        max_timestamp: (flags & 1 != 0).then_some(timestamp),
        footer_crc: body.u32()?,
        stateful: flags & 2 != 0,
    })
}

fn decode_opened(body: &mut Fields<'_>) -> Result<Record, Flaw> {
    let incarnation = body.u32()?;
    let known = body.flag()?;
    let boot_id = body.u128()?;
    Ok(Record::Opened { incarnation, boot_id: known.then_some(boot_id) })
}

// Counts are not believed before the bytes are there: nothing is reserved by them.
fn decode_closed(body: &mut Fields<'_>) -> Result<Record, Flaw> {
    let (incarnation, count) = (body.u32()?, body.u32()?);
    let mut ends = Vec::new();
    for _ in 0..count {
        let (key, offset) = place(body)?;
        ends.push(PartitionEnd { key, offset });
    }
    Ok(Record::Closed { incarnation, ends })
}

fn decode_replaced(body: &mut Fields<'_>) -> Result<Record, Flaw> {
    let number = body.u64()?;
    let (key, base_offset) = place(body)?;
    let (end, count) = (end(body)?, body.u32()?);
    body.zeros::<4>()?;
    let mut old = Vec::new();
    for _ in 0..count {
        old.push(body.u64()?);
    }
    Ok(Record::SegmentsReplaced { key, number, base_offset, end, old })
}

fn decode_numbers(body: &mut Fields<'_>) -> Result<Record, Flaw> {
    let highest = body.u64()?;
    let (retired, skipped) = (body.u32()?, body.u32()?);
    let retired = decode_ranges(body, retired)?;
    Ok(Record::Numbers { highest, retired, skipped: decode_ranges(body, skipped)? })
}

fn decode_ranges(body: &mut Fields<'_>, count: u32) -> Result<Vec<RangeInclusive<u64>>, Flaw> {
    let mut ranges = Vec::new();
    for _ in 0..count {
        let (first, last) = (body.u64()?, body.u64()?);
        if first > last {
            return Err(Flaw::Bad("a range of numbers runs backwards"));
        }
        ranges.push(first..=last);
    }
    Ok(ranges)
}
