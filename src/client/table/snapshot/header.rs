//! What a snapshot says of itself.

use crate::base::TopicId;

use super::super::part::Witness;

pub(super) const MAGIC: [u8; 8] = *b"ALVTABLE";
pub(super) const VERSION: u32 = 1;
pub(super) const HEADER_BYTES: usize = 64;
pub(super) const PART_BYTES: usize = 40;
/// What follows the parts.
pub(super) const PARTS_END_BYTES: usize = 8;
pub(super) const FRAME_HEAD_BYTES: usize = 16;

const CHOSEN: u32 = 1;
const HAS_LAST: u32 = 1;
const LAST_HAS_TIME: u32 = 2;

/// Whose state a snapshot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) log_id: u128,
    pub(super) topic_id: TopicId,
    pub(super) is_chosen: bool,
    pub(super) written_ms: i64,
    pub(super) parts: u32,
}

/// How far a partition was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PartMark {
    pub(super) number: u32,
    pub(super) position: u64,
    pub(super) last: Option<Witness>,
}

/// A CRC that begins with the one before it.
pub(super) fn chained(before: u32, parts: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&before.to_le_bytes());
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finalize()
}

/// Reads numbers one behind the other; zeros behind the end.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl Fields<'_> {
    pub(super) fn take<const N: usize>(&mut self) -> [u8; N] {
        let Some((field, rest)) = self.0.split_first_chunk() else { return [0; N] };
        self.0 = rest;
        *field
    }

    pub(super) fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    pub(super) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }
}

impl Header {
    /// Its bytes, and their CRC, which ends them.
    pub(super) fn encode(&self) -> (Vec<u8>, u32) {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(if self.is_chosen { CHOSEN } else { 0 }.to_le_bytes());
        bytes.extend(self.log_id.to_le_bytes());
        bytes.extend(self.topic_id.0.to_le_bytes());
        bytes.extend(self.written_ms.to_le_bytes());
        bytes.extend(self.parts.to_le_bytes());
        let crc = chained(0, &[&bytes]);
        bytes.extend(crc.to_le_bytes());
        (bytes, crc)
    }

    /// The header and its CRC, of bytes that begin with the magic and have this version.
    pub(super) fn decode(bytes: &[u8]) -> Result<(Self, u32), &'static str> {
        let (covered, mut end) = bytes.split_at_checked(HEADER_BYTES - 4).unwrap_or((bytes, &[]));
        let crc = chained(0, &[covered]);
        if std::mem::take(&mut end) != crc.to_le_bytes() {
            return Err("its header does not check");
        }
        let mut fields = Fields(covered);
        let _magic_and_version: [u8; 12] = fields.take();
        let flags = fields.u32();
        if flags & !CHOSEN != 0 {
            return Err("its header has unknown flags");
        }
        let header = Self {
            is_chosen: flags & CHOSEN != 0,
            log_id: u128::from_le_bytes(fields.take()),
            topic_id: TopicId(u128::from_le_bytes(fields.take())),
            written_ms: i64::from_le_bytes(fields.take()),
            parts: fields.u32(),
        };
        Ok((header, crc))
    }
}

impl PartMark {
    pub(super) fn encode(&self, into: &mut Vec<u8>) {
        let last = self.last;
        let time = last.and_then(|last| last.timestamp_ms);
        let has_time = if time.is_some() { LAST_HAS_TIME } else { 0 };
        let flags = if last.is_some() { HAS_LAST } else { 0 } | has_time;
        into.extend(self.number.to_le_bytes());
        into.extend(flags.to_le_bytes());
        into.extend(self.position.to_le_bytes());
        into.extend(last.map_or(0, |last| last.offset).to_le_bytes());
        into.extend(time.unwrap_or(0).to_le_bytes());
        into.extend(last.map_or(0, |last| last.hash).to_le_bytes());
    }

    pub(super) fn decode(fields: &mut Fields<'_>) -> Self {
        let (number, flags, position) = (fields.u32(), fields.u32(), fields.u64());
        let (offset, time, hash) = (fields.u64(), i64::from_le_bytes(fields.take()), fields.u64());
        let timestamp_ms = (flags & LAST_HAS_TIME != 0).then_some(time);
        let last = (flags & HAS_LAST != 0).then_some(Witness { offset, timestamp_ms, hash });
        Self { number, position, last }
    }
}
