//! A manifest written anew: live content only, a new generation, an atomic change of names.

use std::path::Path;

use super::frame::{FileHeader, FrameHead, HEAD_BYTES, HEADER_BYTES};
use super::open::{NAME, TEMPORARY};
use super::record::encode_all;
use super::tail::{RESERVE, STEP, Tail, to_u64};
use super::writer::{Manifest, Shared};
use crate::base::{Error, ErrorKind, Result};
use crate::disk::Disk;

/// The content that a manifest file is born with: one frame.
pub(super) struct Base {
    pub(super) log_id: u128,
    pub(super) generation: u64,
    /// The number of the frame: it stands for all frames up to this one.
    pub(super) sequence: u64,
    pub(super) payload: Vec<u8>,
}

impl Base {
    /// Writes it under the temporary name, with room in reserve, and syncs it.
    pub(super) fn write(&self, disk: &dyn Disk, dir: &Path) -> Result<Tail> {
        self.write_as(disk, dir, TEMPORARY)
    }

    /// As `write`, under another name.
    pub(super) fn write_as(&self, disk: &dyn Disk, dir: &Path, name: &str) -> Result<Tail> {
        let path = dir.join(name);
        let entry = disk.entry(&path).map_err(|e| Error::io("look for", &path, e))?;
        if entry.is_some() {
            disk.remove(&path).map_err(|e| Error::io("remove", &path, e))?;
        }
        let file = disk.create(&path).map_err(|e| Error::io("create", &path, e))?;
        let birth_len = to_u64(HEADER_BYTES + HEAD_BYTES) + to_u64(self.payload.len());
        let mut tail = Tail {
            file,
            path: dir.join(NAME),
            generation: self.generation,
            seed: 0,
            end: birth_len,
            last_crc: 0,
            sequence: self.sequence,
            synced: birth_len,
            dirty_to: birth_len,
            allocated: 0,
        };
        let written = self.fill(&mut tail, birth_len, &path);
        if written.is_err() {
            // Best effort: the next rewrite and the next open remove it too.
            let _ = disk.remove(&path);
        }
        written.map(|()| tail)
    }

    fn fill(&self, tail: &mut Tail, birth_len: u64, path: &Path) -> Result<()> {
        let room = (birth_len + RESERVE).next_multiple_of(STEP);
        tail.grow(room).map_err(|e| Error::io("reserve room in", path, e))?;
        let header = FileHeader {
            log_id: self.log_id,
            generation: self.generation,
            first_sequence: self.sequence,
            birth_len,
        };
        let header = header.encode();
        let (_, seed) = FileHeader::decode(&header)
            .map_err(|_| Error::new(ErrorKind::Unknown, "a new file header does not check"))?;
        let head = FrameHead { sequence: self.sequence, synced: 0, previous_crc: seed };
        let (head, crc) = head.encode(&self.payload, seed).ok_or_else(|| {
            Error::new(ErrorKind::InvalidRequest, "the live content is too long for a manifest")
        })?;
        (tail.seed, tail.last_crc) = (seed, crc);
        let parts: [&[u8]; 3] = [&header, &head, &self.payload];
        tail.file.write_at(&parts, 0).map_err(|e| Error::io("write", path, e))?;
        tail.file.sync().map_err(|e| Error::io("sync", path, e))
    }

    /// Gives it the real name. Durable only when the directory is synced.
    pub(super) fn publish(&self, disk: &dyn Disk, dir: &Path) -> Result<()> {
        let (from, to) = (dir.join(TEMPORARY), dir.join(NAME));
        disk.rename(&from, &to).map_err(|e| Error::io("rename", &from, e))
    }
}

impl Manifest {
    /// Writes the live state to a new file and goes on there. Only the leader calls this.
    ///
    /// Appends go on meanwhile: they are written to the old file, as a killed process must find
    /// them there, and kept to be written to the new one before it gets its name. So at every
    /// moment the file that bears the name holds every append that was answered, and nothing
    /// is confirmed as synced before the new name is.
    pub(super) fn rewrite(&self) -> Result<()> {
        let base = self.lock().begin_rewrite()?;
        let written = base.write(&*self.disk, &self.dir);
        self.swap(&base, written)?;
        self.sync_tail()
    }

    fn swap(&self, base: &Base, written: Result<Tail>) -> Result<()> {
        let mut shared = self.lock();
        let carried = shared.carry.take().unwrap_or_default();
        shared.postpone_rewrite();
        let mut tail = written?;
        for payload in &carried {
            tail.push(payload, true)?;
        }
        if let Err(error) = base.publish(&*self.disk, &self.dir) {
            // Nobody knows which file bears the name now: only another rename tells.
            shared.tainted = true;
            return Err(error);
        }
        shared.tail = tail;
        shared.name_is_new = true;
        shared.tainted = false;
        shared.postpone_rewrite();
        Ok(())
    }
}

impl Shared {
    fn begin_rewrite(&mut self) -> Result<Base> {
        if self.unborn {
            // A rewrite would give it the name that it must not have yet.
            let why = "a manifest that is not complete is not written anew";
            return Err(Error::new(ErrorKind::StorageError, why));
        }
        self.carry = Some(Vec::new());
        Ok(Base {
            log_id: self.state.log_id(),
            generation: self.tail.generation.saturating_add(1),
            sequence: self.tail.sequence,
            payload: encode_all(&self.state.records()),
        })
    }
}
