//! A manifest that no open finds before the log that it describes is complete.

use std::path::Path;
use std::sync::Arc;

use super::frame::Witness;
use super::open::NAME;
use super::record::{Record, encode_all};
use super::rewrite::Base;
use super::state::ManifestState;
use super::writer::Manifest;
use crate::base::{Error, Result};
use crate::disk::Disk;

/// The name of a manifest that is not complete. A directory with it, and without a manifest, holds
/// an unfinished copy of a log: an open refuses it.
pub const UNFINISHED: &str = "manifest.unfinished";

impl Manifest {
    /// Begins the manifest of a copied log in `dir` with `records`, under a name that no open
    /// takes; the name is durable when this returns. It is never written anew: when a sync of it
    /// fails the copy has failed.
    ///
    /// # Errors
    ///
    /// `IllegalState` when the records make no history; `StorageFull` and `StorageError` from the
    /// disk.
    pub fn begin(
        disk: Arc<dyn Disk>,
        dir: &Path,
        records: &[Record],
    ) -> Result<(Manifest, ManifestState)> {
        let mut state = ManifestState::default();
        records.iter().try_for_each(|record| state.apply(record))?;
        let payload = encode_all(records);
        let base = Base { log_id: state.log_id(), generation: 1, sequence: 1, payload };
        let tail = base.write_as(&*disk, dir, UNFINISHED)?;
        disk.sync_dir(dir).map_err(|e| Error::io("sync", dir, e))?;
        let witness = Witness { generation: 1, len: tail.synced };
        let manifest = Manifest::new(disk, dir, state.clone(), tail, witness);
        manifest.mark_durable();
        manifest.lock().unborn = true;
        Ok((manifest, state))
    }

    /// Syncs a manifest that was [begun](Manifest::begin), and gives it its name, durably. From the
    /// rename on the log exists.
    ///
    /// # Errors
    ///
    /// `StorageError` from the disk. When the last step fails the name may be there or not.
    pub fn publish(&self) -> Result<()> {
        self.sync_tail()?;
        let (from, to) = (self.dir.join(UNFINISHED), self.dir.join(NAME));
        self.disk.rename(&from, &to).map_err(|e| Error::io("rename", &from, e))?;
        self.disk.sync_dir(&self.dir).map_err(|e| Error::io("sync", &self.dir, e))
    }
}
