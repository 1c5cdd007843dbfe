//! Where things stand in a chunk and in the stage file's first page.
//!
//! ```text
//! chunk   0 identity (64)   64 slot A (16)   80 slot B (16)   96 zeros   128 payload ->
//!         ... <- batch headers, 64 bytes each, growing down from the chunk's end
//! ```

use crate::base::TopicId;

/// A page: the smallest chunk that has pages of its own, and the grain of the stage.
pub const MIN_CHUNK: usize = 4 << 10;
/// What a partition begins with: ten such chunks share a page, so that ten thousand partitions have
/// one each in a stage of 4 MiB.
pub const SMALL_CHUNK: usize = 400;
/// The largest chunk.
pub const MAX_CHUNK: usize = 256 << 10;
/// Bytes before a chunk's payload.
pub const CHUNK_HEAD: usize = 128;
/// Bytes of one entry of a chunk's table of batch headers.
pub const ENTRY: usize = 64;

const MAGIC: u32 = 0x4B4E_4843;
const VERSION: u8 = 1;
const SLOTS: [usize; 2] = [64, 80];

/// Whose records a chunk holds. Covered by every check in the chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The log's incarnation that wrote the chunk.
    pub incarnation: u32,
    /// Grows with every chunk of an incarnation.
    pub generation: u64,
    /// The topic.
    pub topic_id: TopicId,
    /// The partition's number.
    pub partition: u32,
    /// The offset of the chunk's first record.
    pub base_offset: u64,
    /// The chunk's length in bytes.
    pub len: u32,
}

impl Identity {
    /// The first 64 bytes of the chunk.
    pub fn encode(&self) -> [u8; 64] {
        let mut out = [0; 64];
        out[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        out[4] = VERSION;
        out[8..12].copy_from_slice(&self.len.to_le_bytes());
        out[12..16].copy_from_slice(&self.incarnation.to_le_bytes());
        out[16..24].copy_from_slice(&self.generation.to_le_bytes());
        out[24..40].copy_from_slice(&self.topic_id.0.to_le_bytes());
        out[40..44].copy_from_slice(&self.partition.to_le_bytes());
        out[48..56].copy_from_slice(&self.base_offset.to_le_bytes());
        let crc = crc32fast::hash(&out[..60]);
        out[60..64].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// What stands at the beginning of `chunk`; `None` when that is no identity.
    pub fn decode(chunk: &[u8]) -> Option<Self> {
        let head = chunk.first_chunk::<64>()?;
        let magic_fits = read_u32(head, 0)? == MAGIC && head[4] == VERSION;
        if !magic_fits || crc32fast::hash(&head[..60]) != read_u32(head, 60)? {
            return None;
        }
        let topic_id = u128::from_le_bytes(head[24..40].try_into().ok()?);
        Some(Self {
            len: read_u32(head, 8)?,
            incarnation: read_u32(head, 12)?,
            generation: read_u64(head, 16)?,
            topic_id: TopicId(topic_id),
            partition: read_u32(head, 40)?,
            base_offset: read_u64(head, 48)?,
        })
    }

    /// Whether the beginning of `chunk` is an identity, or nearly so: what bits flipped in it have
    /// left is to be counted. Else it is what a longer chunk once held there.
    pub fn is_claimed(chunk: &[u8]) -> bool {
        let Some(head) = chunk.first_chunk::<64>() else { return false };
        let len = read_u32(head, 8).unwrap_or(0) as usize;
        let has_magic = read_u32(head, 0) == Some(MAGIC);
        let has_length = len.is_power_of_two() && (MIN_CHUNK..=MAX_CHUNK).contains(&len);
        let unused = [5..8, 44..48, 56..60].into_iter().flat_map(|range| &head[range]);
        has_magic || (has_length && unused.fold(0, |all, byte| all | byte) == 0)
    }

    /// Salt of the batch headers in this chunk: a header of another chunk never validates.
    pub fn salt(&self) -> u32 {
        salt_in(&self.encode())
    }

    /// What the running check begins with.
    pub fn words(&self) -> [u64; 6] {
        let id = self.topic_id.0;
        [
            u64::from(self.incarnation) << 32 | u64::from(self.len),
            self.generation,
            (id >> 64) as u64,
            id as u64,
            u64::from(self.partition),
            self.base_offset,
        ]
    }
}

/// The salt that an encoded identity has: its own checksum. (Over data and its own checksum CRC-32
/// is a constant.)
pub fn salt_in(encoded: &[u8; 64]) -> u32 {
    let [.., a, b, c, d] = *encoded;
    u32::from_le_bytes([a, b, c, d])
}

/// One of the two alternating claims about how far a chunk is filled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// The running check over everything before `tail`.
    pub check: u64,
    /// The end of the payload, from the chunk's beginning.
    pub tail: u32,
    /// How many batches have begun.
    pub batches: u32,
}

impl Slot {
    /// Writes this claim into slot `which` of a chunk's head.
    #[inline]
    pub fn store(self, head: &mut [u8], which: bool) {
        let at = SLOTS[usize::from(which)];
        if let Some(out) = head.get_mut(at..at + 16) {
            out[..8].copy_from_slice(&self.check.to_le_bytes());
            let words = u64::from(self.tail) | u64::from(self.batches) << 32;
            out[8..].copy_from_slice(&words.to_le_bytes());
        }
    }

    /// Both claims of a chunk's head.
    pub fn load(head: &[u8]) -> [Slot; 2] {
        SLOTS.map(|at| Slot {
            check: read_u64(head, at).unwrap_or(0),
            tail: read_u32(head, at + 8).unwrap_or(0),
            batches: read_u32(head, at + 12).unwrap_or(0),
        })
    }
}

/// The little-endian number at `at`, if it is there.
pub fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The little-endian number at `at`, if it is there.
pub fn read_u64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity {
            incarnation: 3,
            generation: 77,
            topic_id: TopicId(0xabcd << 70),
            partition: 9,
            base_offset: 1 << 40,
            len: 8192,
        }
    }

    #[test]
    fn an_identity_comes_back_and_no_flipped_bit_passes() {
        let bytes = identity().encode();
        assert_eq!(Identity::decode(&bytes), Some(identity()));
        for bit in 0..64 * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Identity::decode(&bad), None, "bit {bit}");
        }
        assert_eq!(Identity::decode(&bytes[..63]), None);
    }

    #[test]
    fn every_identity_has_a_salt_of_its_own() {
        let salts = (0..100).map(|generation| Identity { generation, ..identity() }.salt());
        assert_eq!(salts.collect::<std::collections::BTreeSet<_>>().len(), 100);
    }

    #[test]
    fn slots_do_not_overlap() {
        let mut head = [0; CHUNK_HEAD];
        let a = Slot { check: u64::MAX, tail: 5, batches: 6 };
        let b = Slot { check: 1, tail: u32::MAX, batches: 8 };
        a.store(&mut head, false);
        b.store(&mut head, true);
        assert_eq!(Slot::load(&head), [a, b]);
    }
}
