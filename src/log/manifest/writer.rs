//! The handle of an open manifest: append, and group commit.

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::frame::Witness;
use super::record::{Record, encode_all};
use super::state::ManifestState;
use super::tail::Tail;
use crate::base::{Error, ErrorKind, Result, TopicId};
use crate::disk::Disk;

/// A manifest is rewritten when it is longer than this and four times its live content.
const REWRITE_BYTES: u64 = 64 << 10;

/// The open manifest of a log. All calls may run concurrently.
///
/// An append is one write of one frame and survives the death of the process; after
/// [`sync_to`](Manifest::sync_to) it survives a power cut. Whoever comes first syncs for all
/// that wait; no lock is held meanwhile, so appends go on.
#[derive(Debug)]
pub struct Manifest {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    shared: Mutex<Shared>,
    /// A leader has finished.
    turn: Condvar,
}

/// What the lock guards.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) state: ManifestState,
    pub(super) tail: Tail,
    /// Payloads appended while a rewrite runs.
    pub(super) carry: Option<Vec<Vec<u8>>>,
    /// The file's name may not be durable yet.
    pub(super) name_is_new: bool,
    /// A sync failed: syncing this file, or this name, again would prove nothing.
    pub(super) tainted: bool,
    /// Every frame up to this number is durable, as far as this process knows.
    synced: u64,
    witness: Witness,
    /// Somebody syncs.
    leading: bool,
    /// Nothing can be made durable any more.
    broken: Option<Error>,
    reserved_number: u64,
    /// Topics that this process has deleted: nothing may name them any more.
    gone: HashSet<TopicId>,
    /// At this length the live content is measured again.
    rewrite_at: u64,
    /// The file has not got its name yet.
    pub(super) unborn: bool,
}

impl Manifest {
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        dir: &Path,
        state: ManifestState,
        tail: Tail,
        witness: Witness,
    ) -> Self {
        let shared = Shared {
            reserved_number: state.highest_number(),
            state,
            carry: None,
            // Whoever gave the name may have died before it was synced. A witness of this very
            // file was noted after that sync.
            name_is_new: witness.generation != tail.generation,
            tainted: false,
            synced: 0,
            witness,
            leading: false,
            broken: None,
            gone: HashSet::new(),
            rewrite_at: REWRITE_BYTES,
            unborn: false,
            tail,
        };
        Self { disk, dir: dir.to_owned(), shared: Mutex::new(shared), turn: Condvar::new() }
    }

    /// The creator has synced everything, the name included.
    pub(super) fn mark_durable(&self) {
        let mut shared = self.lock();
        shared.synced = shared.tail.sequence;
        shared.name_is_new = false;
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock()
    }

    /// Appends `records` as one group, which will be there wholly or not at all, and returns
    /// the number to call [`sync_to`](Manifest::sync_to) with.
    ///
    /// # Errors
    ///
    /// `IllegalState` when the records do not fit the state, `StorageFull` when only the
    /// reserve is left and any of them has no right to it, `StorageError` when the write
    /// failed. The state is unchanged then; but after a `StorageError` the group may be found
    /// in the file if the process dies before the next append, as with any failed write.
    pub fn append(&self, records: &[Record]) -> Result<u64> {
        let payload = encode_all(records);
        let may_use_reserve = records.iter().all(Record::may_use_reserve);
        let mut shared = self.lock();
        shared.check_usable()?;
        if records.is_empty() {
            return Ok(shared.tail.sequence);
        }
        let illegal = |why| Error::new(ErrorKind::IllegalState, why).with_path(&self.dir);
        shared.check_not_gone(records).map_err(illegal)?;
        shared.state.check(records).map_err(illegal)?;
        let sequence = shared.tail.push(&payload, may_use_reserve)?;
        for record in records {
            if let Record::PartitionsRetired { topic_id } = record {
                shared.gone.insert(*topic_id);
            }
            // It was tried before the write: a refusal now is a bug of ours.
            if let Err(why) = shared.state.change(record) {
                let error = Error::new(ErrorKind::Unknown, why).with_path(&self.dir);
                return Err(shared.broken.insert(error).clone());
            }
        }
        if let Some(carry) = &mut shared.carry {
            carry.push(payload);
        }
        Ok(sequence)
    }

    /// Returns when the append that returned `sequence`, and all before it, survive a power
    /// cut.
    ///
    /// # Errors
    ///
    /// `StorageError` when the file could not be synced and its content could not be brought to
    /// a new file either: this and all later calls fail, the log must be opened again.
    pub fn sync_to(&self, sequence: u64) -> Result<()> {
        let mut shared = self.lock();
        if sequence > shared.tail.sequence {
            let why = format!("frame {sequence} was not appended yet");
            return Err(Error::new(ErrorKind::IllegalState, why));
        }
        // What nobody can find is synced once, before it gets its name.
        while shared.synced < sequence && !shared.unborn {
            shared.check_usable()?;
            if shared.leading {
                self.turn.wait(&mut shared);
                continue;
            }
            shared.leading = true;
            drop(shared);
            let result = self.lead();
            shared = self.lock();
            shared.leading = false;
            shared.broken = shared.broken.take().or(result.err());
            self.turn.notify_all();
        }
        Ok(())
    }

    /// Makes everything appended so far durable, with no lock held.
    fn lead(&self) -> Result<()> {
        let mostly_dead = self.lock().is_mostly_dead();
        if mostly_dead && self.rewrite().is_ok() {
            return Ok(());
        }
        let tainted = self.lock().tainted;
        let failed = if tainted { None } else { self.sync_tail().err() };
        if !tainted && failed.is_none() {
            return Ok(());
        }
        self.rewrite().map_err(|error| {
            let first = failed.map(|first| format!(" ({first})")).unwrap_or_default();
            let why =
                format!("a sync of the manifest failed{first}, and so did its rewrite: {error}");
            error.because(ErrorKind::StorageError, why)
        })
    }

    /// Syncs the file in use, and its name where that is new.
    pub(super) fn sync_tail(&self) -> Result<()> {
        let (file, path, sequence, witness, name_is_new) = {
            let shared = self.lock();
            let tail = &shared.tail;
            let witness = Witness { generation: tail.generation, len: tail.end };
            let file = Arc::clone(&tail.file);
            (file, tail.path.clone(), tail.sequence, witness, shared.name_is_new)
        };
        let mut result = file.sync().map_err(|e| Error::io("sync", &path, e));
        if result.is_ok() && name_is_new {
            result = self.disk.sync_dir(&self.dir).map_err(|e| Error::io("sync", &self.dir, e));
        }
        let mut shared = self.lock();
        if result.is_err() {
            shared.tainted = true;
            return result;
        }
        shared.name_is_new = false;
        shared.synced = sequence;
        shared.witness = witness;
        shared.tail.synced = witness.len;
        Ok(())
    }

    /// How much of which file is known to survive a power cut: to be remembered elsewhere and
    /// given to the next [`open`](Manifest::open). [`Witness::NONE`] before the first sync of a
    /// manifest that was opened without one.
    #[must_use]
    pub fn synced_len(&self) -> Witness {
        self.lock().witness
    }

    /// Looks at the state, under the lock: briefly, and without calling back.
    #[cfg(test)]
    pub fn with_state<T>(&self, look: impl FnOnce(&ManifestState) -> T) -> T {
        look(&self.lock().state)
    }

    /// A segment number that nobody has used or will be given again by this handle. The file of
    /// that number may exist nevertheless (if a torn end was cut): take the next one then.
    #[must_use]
    pub fn next_number(&self) -> u64 {
        let mut shared = self.lock();
        let used = shared.reserved_number.max(shared.state.highest_number());
        shared.reserved_number = used.saturating_add(1);
        shared.reserved_number
    }

    /// The segment files of these numbers are removed and their directory is synced: the next
    /// rewrite need not remember that they were retired or passed over. `n..=n` after removing
    /// one file, `0..=u64::MAX` when an open has removed all of them.
    pub fn forget(&self, numbers: RangeInclusive<u64>) {
        self.lock().state.forget(&numbers);
    }
}

impl Shared {
    /// A settle or an append that was under way while its topic was deleted comes too late. If
    /// it named the topic once more, the next open would find a topic that no catalogue knows.
    fn check_not_gone(&self, records: &[Record]) -> Result<(), String> {
        let late = |record: &Record| record.key().is_some_and(|k| self.gone.contains(&k.topic_id));
        if records.iter().any(late) { Err("the topic is deleted".into()) } else { Ok(()) }
    }

    fn check_usable(&self) -> Result<()> {
        self.broken.clone().map_or(Ok(()), Err)
    }

    /// Whether a rewrite pays. Measuring the live content costs as much as it has, so it is
    /// done only when the file has grown by a quarter since the last time.
    fn is_mostly_dead(&mut self) -> bool {
        if self.unborn || self.tail.end <= self.rewrite_at {
            return false;
        }
        let live = encode_all(&self.state.records()).len();
        let enough = super::tail::to_u64(live).saturating_mul(4);
        if self.tail.end > enough {
            return true;
        }
        self.rewrite_at = enough.max(self.tail.end + self.tail.end / 4);
        false
    }

    /// After a rewrite, or the failure of one: not again before the file has grown.
    pub(super) fn postpone_rewrite(&mut self) {
        self.rewrite_at = REWRITE_BYTES.max(self.tail.end + self.tail.end / 4);
    }
}
