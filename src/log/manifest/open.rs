//! Making a manifest, and opening it again.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::frame::Witness;
use super::read::{self, Reading};
use super::record::{Record, encode_all};
use super::rewrite::Base;
use super::state::ManifestState;
use super::tail::{Tail, to_u64};
use super::writer::Manifest;
use crate::base::{Error, ErrorKind, Result};
use crate::disk::{Disk, DiskFile};

/// The manifest's name in the log's directory.
pub(super) const NAME: &str = "manifest";
/// The name of one that is being written.
pub(super) const TEMPORARY: &str = "manifest.tmp";
/// No manifest is longer: a rewrite keeps it near four times its live content.
const MAX_BYTES: u64 = 2 << 30;

/// What an open found that the state does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ManifestReport {
    /// Bytes of an unsynced end that was cut. As long as there are any, no file may be removed
    /// for not being named: the cut end may have named it.
    pub torn_bytes: u64,
    /// Which manifest file it is: grows with every rewrite.
    pub generation: u64,
    /// Where the valid content ended.
    pub valid_bytes: u64,
    /// An unfinished rewrite was removed.
    pub removed_rewrite: bool,
}

impl Manifest {
    /// Whether `dir` has a manifest.
    ///
    /// # Errors
    ///
    /// `StorageError` when the disk cannot tell.
    pub fn exists(disk: &dyn Disk, dir: &Path) -> Result<bool> {
        let path = dir.join(NAME);
        let entry = disk.entry(&path).map_err(|e| Error::io("look for", &path, e))?;
        Ok(entry.is_some())
    }

    /// Makes the manifest of a new log in the existing directory `dir`, durably. The entry of
    /// `dir` in its own parent is the caller's to sync.
    ///
    /// # Errors
    ///
    /// `IllegalState` when there is one, `StorageFull` and `StorageError` from the disk.
    pub fn create(disk: Arc<dyn Disk>, dir: &Path, log_id: u128) -> Result<Manifest> {
        if Self::exists(&*disk, dir)? {
            let why = format!("{} has a manifest", dir.display());
            return Err(Error::new(ErrorKind::IllegalState, why).with_path(dir));
        }
        let record = Record::LogCreated { log_id };
        let mut state = ManifestState::default();
        state.apply(&record)?;
        let payload = encode_all(&[record]);
        let base = Base { log_id, generation: 1, sequence: 1, payload };
        let tail = base.write(&*disk, dir)?;
        base.publish(&*disk, dir)?;
        disk.sync_dir(dir).map_err(|e| Error::io("sync", dir, e))?;
        let witness = Witness { generation: 1, len: tail.synced };
        let manifest = Manifest::new(disk, dir, state, tail, witness);
        manifest.mark_durable();
        Ok(manifest)
    }

    /// Opens the manifest in `dir`, with its state as it stands in the file and what was
    /// noteworthy. Writes nothing. `witness` is what [`synced_len`](Manifest::synced_len) last
    /// told somebody who remembers.
    ///
    /// What was read may be unsynced (a killed process leaves that): sync a record of your own,
    /// such as `Opened`, before acting on it in a way that cannot be undone.
    ///
    /// # Errors
    ///
    /// `NotALog` without a manifest, `UnsupportedVersion` for a newer format, `CorruptMessage`
    /// (with file and position) for damage, `StorageError` from the disk.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        witness: Witness,
    ) -> Result<(Manifest, ManifestState, ManifestReport)> {
        let path = dir.join(NAME);
        let file = disk.open(&path).map_err(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                return Error::io("open", &path, error);
            }
            let why = format!("{} has no manifest", dir.display());
            Error::new(ErrorKind::NotALog, why).with_path(dir)
        })?;
        let bytes = read_all(&*file, &path)?;
        let reading = read::read(&path, &bytes, witness)?;
        let report = ManifestReport {
            torn_bytes: to_u64(reading.torn_to - reading.end),
            generation: reading.header.generation,
            valid_bytes: to_u64(reading.end),
            removed_rewrite: remove_rewrite(&*disk, dir),
        };
        let state = reading.state.clone();
        let tail = tail_of(&reading, file, &path, to_u64(bytes.len()));
        let manifest = Manifest::new(disk, dir, reading.state, tail, witness);
        Ok((manifest, state, report))
    }
}

/// What stands under the temporary name never got its real one: it is nothing.
fn remove_rewrite(disk: &dyn Disk, dir: &Path) -> bool {
    let path = dir.join(TEMPORARY);
    let there = matches!(disk.entry(&path), Ok(Some(_)));
    there && disk.remove(&path).is_ok()
}

fn tail_of(reading: &Reading, file: Arc<dyn DiskFile>, path: &Path, allocated: u64) -> Tail {
    Tail {
        file,
        path: path.to_owned(),
        generation: reading.header.generation,
        seed: reading.seed,
        end: to_u64(reading.end),
        last_crc: reading.last_crc,
        sequence: reading.sequence,
        synced: reading.synced,
        dirty_to: to_u64(reading.torn_to),
        allocated,
    }
}

fn read_all(file: &dyn DiskFile, path: &Path) -> Result<Vec<u8>> {
    let len = file.len().map_err(|e| Error::io("measure", path, e))?;
    let len = usize::try_from(len).ok().filter(|_| len <= MAX_BYTES);
    let len = len.ok_or_else(|| Error::corrupt(path, "it is longer than any manifest"))?;
    let mut bytes = vec![0; len];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, to_u64(filled)).map_err(|e| Error::io("read", path, e))? {
            0 => break,
            read => filled += read,
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}
