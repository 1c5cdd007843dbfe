//! The file header and the frames around groups of records.
//!
//! File header, 64 bytes, little endian:
//!
//! | at | field |
//! |---|---|
//! | 0 | magic `ALLUVMAN` |
//! | 8 | version u32 = 1 |
//! | 12 | must-understand flags u32: an unknown bit refuses the file |
//! | 16 | log id u128 |
//! | 32 | generation u64: grows with every rewrite |
//! | 40 | sequence number u64 of the first frame |
//! | 48 | birth length u64: what was synced before the file got its name |
//! | 56 | zeros |
//! | 60 | CRC-32 of bytes 0..60; in every version at this place |
//!
//! Frame, a head of 32 bytes and a payload of records:
//!
//! | at | field |
//! |---|---|
//! | 0 | payload length u32, a multiple of 8, at least 8 |
//! | 4 | CRC-32 of the bytes 8.. of the frame and then its length field, seeded with the file header's CRC |
//! | 8 | sequence number u64: the frame before has one less |
//! | 16 | synced u64: this many bytes of the file were known synced when the frame was written |
//! | 24 | CRC u32 of the frame before; of the file header in the first frame |
//! | 28 | zeros |
//!
//! The seed refuses frames of another file that may show through recycled blocks, the chain
//! (CRC of the frame before) those of an earlier tail of the same file, and `synced` proves
//! that a damaged place before it was once whole.

use super::fields::{Fields, Flaw};

/// The file header's length.
pub(super) const HEADER_BYTES: usize = 64;
/// The length of a frame's head.
pub(super) const HEAD_BYTES: usize = 32;
/// No frame's payload is longer.
pub(super) const MAX_PAYLOAD: usize = 256 << 20;

const MAGIC: [u8; 8] = *b"ALLUVMAN";
const VERSION: u32 = 1;
const UNDERSTOOD: u32 = 0;

/// How much of which manifest file is known to be synced.
///
/// Whoever remembers it elsewhere (the stage does) can later tell a manifest that lost its end
/// from one that was never longer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Witness {
    /// The file's generation; 0 when nothing is known.
    pub generation: u64,
    /// Bytes of that file.
    pub len: u64,
}

impl Witness {
    /// Nothing is known.
    pub const NONE: Witness = Witness { generation: 0, len: 0 };
}

/// What a manifest file says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileHeader {
    pub(super) log_id: u128,
    pub(super) generation: u64,
    pub(super) first_sequence: u64,
    pub(super) birth_len: u64,
}

impl FileHeader {
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&UNDERSTOOD.to_le_bytes());
        out.extend_from_slice(&self.log_id.to_le_bytes());
        out.extend_from_slice(&self.generation.to_le_bytes());
        out.extend_from_slice(&self.first_sequence.to_le_bytes());
        out.extend_from_slice(&self.birth_len.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
        let mut header = [0; HEADER_BYTES];
        header.copy_from_slice(&out);
        header
    }

    /// The header and its CRC, which seeds those of the frames.
    pub(super) fn decode(bytes: &[u8]) -> Result<(FileHeader, u32), Flaw> {
        let checked = bytes.get(..HEADER_BYTES - 4).ok_or(Flaw::Bad("the file header is cut"))?;
        let mut fields = Fields::new(bytes);
        if fields.array()? != MAGIC {
            return Err(Flaw::Bad("this is not a manifest: the magic number"));
        }
        let (version, flags) = (fields.u32()?, fields.u32()?);
        let header = FileHeader {
            log_id: fields.u128()?,
            generation: fields.u64()?,
            first_sequence: fields.u64()?,
            birth_len: fields.u64()?,
        };
        let reserved = fields.zeros::<4>();
        let crc = fields.u32()?;
        if crc != crc32fast::hash(checked) {
            return Err(Flaw::Bad("the file header's checksum"));
        }
        if version != VERSION {
            return Err(Flaw::Unknown("the format version"));
        }
        if flags & !UNDERSTOOD != 0 {
            return Err(Flaw::Unknown("a must-understand flag"));
        }
        reserved?;
        Ok((header, crc))
    }
}

/// A frame's head, without length and checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHead {
    pub(super) sequence: u64,
    pub(super) synced: u64,
    pub(super) previous_crc: u32,
}

impl FrameHead {
    /// The head's bytes and the frame's CRC. `None` when the payload is too long.
    pub(super) fn encode(&self, payload: &[u8], seed: u32) -> Option<([u8; HEAD_BYTES], u32)> {
        let len = u32::try_from(payload.len()).ok().filter(|_| payload.len() <= MAX_PAYLOAD)?;
        let mut rest = Vec::with_capacity(HEAD_BYTES - 8);
        rest.extend_from_slice(&self.sequence.to_le_bytes());
        rest.extend_from_slice(&self.synced.to_le_bytes());
        rest.extend_from_slice(&self.previous_crc.to_le_bytes());
        rest.extend_from_slice(&[0; 4]);
        let crc = checksum(seed, &[&rest, payload, &len.to_le_bytes()]);
        let mut head = [0; HEAD_BYTES];
        let (len_field, more) = head.split_at_mut(4);
        let (crc_field, rest_field) = more.split_at_mut(4);
        len_field.copy_from_slice(&len.to_le_bytes());
        crc_field.copy_from_slice(&crc.to_le_bytes());
        rest_field.copy_from_slice(&rest);
        Some((head, crc))
    }
}

/// A frame whose checksum fits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    pub(super) head: FrameHead,
    pub(super) crc: u32,
    pub(super) payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The frame at the start of `bytes`, `None` when nothing whole stands there.
    pub(super) fn decode(bytes: &'a [u8], seed: u32) -> Option<Frame<'a>> {
        Self::decode_if(bytes, seed, |_| true)
    }

    /// Like `decode`, but pays for the checksum only when `wanted` likes the head.
    pub(super) fn decode_if(
        bytes: &'a [u8],
        seed: u32,
        wanted: impl FnOnce(&FrameHead) -> bool,
    ) -> Option<Frame<'a>> {
        let mut fields = Fields::new(bytes);
        let len_field = fields.array::<4>().ok()?;
        let crc = fields.u32().ok()?;
        let head = FrameHead {
            sequence: fields.u64().ok()?,
            synced: fields.u64().ok()?,
            previous_crc: fields.u32().ok()?,
        };
        fields.zeros::<4>().ok()?;
        let len = usize::try_from(u32::from_le_bytes(len_field)).ok()?;
        if len < 8 || len % 8 != 0 || len > MAX_PAYLOAD || !wanted(&head) {
            return None;
        }
        let payload = fields.bytes(len).ok()?;
        let covered = bytes.get(8..HEAD_BYTES)?;
        let fits = crc == checksum(seed, &[covered, payload, &len_field]);
        fits.then_some(Frame { head, crc, payload })
    }

    /// Bytes of the whole frame.
    pub(super) fn len(&self) -> usize {
        HEAD_BYTES + self.payload.len()
    }
}

fn checksum(seed: u32, parts: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finalize()
}
