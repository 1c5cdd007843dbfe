//! Making what was written survive a power cut, with no lock held meanwhile.

use std::sync::Arc;

use super::files::LogFiles;
use super::segment::Segment;
use super::segment_log::SegmentLog;
use crate::base::{Error, Result};
use crate::disk::DiskFile;

/// A sync under way: what has to be durable, and what is synced then.
#[derive(Debug)]
pub struct SyncTicket {
    files: Arc<LogFiles>,
    pieces: Vec<Piece>,
    manifest_position: u64,
    end: u64,
}

#[derive(Debug)]
struct Piece {
    segment: Arc<Segment>,
    len: u64,
    /// Held, so that the file stays open: a new handle may not hear of a failed write-back.
    file: Option<HeldFile>,
}

/// An open file that counts among those that are held.
#[derive(Debug)]
struct HeldFile {
    file: Arc<dyn DiskFile>,
    files: Arc<LogFiles>,
}

impl HeldFile {
    /// `None` where too many are held already: such a file is opened again to be synced.
    fn of(segment: &Segment) -> Option<Self> {
        if !segment.files.cache.hold() {
            return None;
        }
        match segment.file() {
            Ok(file) => Some(Self { file, files: Arc::clone(&segment.files) }),
            Err(_) => {
                segment.files.cache.let_go();
                None
            }
        }
    }
}

impl Drop for HeldFile {
    fn drop(&mut self) {
        self.files.cache.let_go();
    }
}

impl SyncTicket {
    /// Does the work: data, then names, then the manifest. No lock of the partition is needed.
    ///
    /// A death in between harms nothing: the mark moves only after all three, and each alone
    /// claims nothing. The manifest comes last, because its record of a file promises nothing
    /// about the file's contents while the segment is unsealed.
    ///
    /// # Errors
    /// `StorageError` naming the file.
    pub fn run(&self) -> Result<()> {
        for piece in &self.pieces {
            piece.sync()?;
        }
        for piece in &self.pieces {
            piece.segment.sync_name()?;
        }
        self.files.manifest().sync_to(self.manifest_position)
    }
}

/// With more files than this one sync of the whole file system is cheaper than theirs.
pub(super) const MANY: usize = 32;

impl SyncTicket {
    /// Does the work of many tickets of one log; what became of each. Where there are very many
    /// files one sync of their file system covers all of them.
    pub fn run_all<'t>(tickets: impl Iterator<Item = &'t SyncTicket> + Clone) -> Vec<Result<()>> {
        let together = tickets.clone().nth(MANY).and_then(|ticket| {
            // What failed once is never synced again: whoever has such a file finds out alone.
            let whole = tickets.clone().all(|ticket| !ticket.has_failed());
            whole.then(|| ticket.files.dir.sync_everything())?
        });
        tickets
            .map(|ticket| {
                together.clone().map_or_else(|| ticket.run(), |result| ticket.end(result))
            })
            .collect()
    }

    fn has_failed(&self) -> bool {
        self.pieces.iter().any(|piece| piece.segment.has_failed())
    }

    /// What is left to do after a sync of everything.
    fn end(&self, synced: Result<()>) -> Result<()> {
        if let Err(error) = synced {
            // Which file it was is not told: none of them counts any more.
            self.pieces.iter().for_each(|piece| piece.segment.set_failed());
            return Err(error);
        }
        self.pieces.iter().try_for_each(|piece| piece.segment.sync_name())?;
        self.files.manifest().sync_to(self.manifest_position)
    }
}

impl Piece {
    fn sync(&self) -> Result<()> {
        match &self.file {
            Some(held) => self.segment.sync(&*held.file),
            None => self.segment.sync(&*self.segment.file()?),
        }
    }
}

impl SegmentLog {
    /// What it takes to sync everything written so far; `None` when nothing is to do, or when
    /// a failed sync waits for its [`rescue`](SegmentLog::rescue).
    pub fn begin_sync(&mut self) -> Option<SyncTicket> {
        if self.synced == self.end || self.failed.is_some() {
            return None;
        }
        let active = self.active.as_ref().map(|active| active.layer());
        let layers = self.closed.iter().chain(&active);
        let pieces = layers.filter(|layer| layer.is_unsynced()).map(|layer| Piece {
            segment: Arc::clone(&layer.segment),
            len: layer.data_len,
            file: HeldFile::of(&layer.segment),
        });
        Some(SyncTicket {
            files: Arc::clone(&self.files),
            pieces: pieces.collect(),
            manifest_position: self.manifest_position,
            end: self.end,
        })
    }

    /// Takes the outcome of a ticket; the synced offset.
    ///
    /// After a failed sync of a file the log refuses to be written until
    /// [`rescue`](SegmentLog::rescue) has moved what is not synced.
    pub fn finish_sync(&mut self, ticket: &SyncTicket, result: Result<()>) -> u64 {
        match result {
            Ok(()) => self.take_synced(ticket),
            Err(error) => {
                // A ticket that overlapped a rescue may tell of files that count no more.
                let ours =
                    |s: &Arc<Segment>| self.unsynced_segments().any(|own| Arc::ptr_eq(own, s));
                let broken = |p: &Piece| p.segment.has_failed() && ours(&p.segment);
                if ticket.pieces.iter().any(broken) {
                    self.fail(error);
                }
            }
        }
        self.synced
    }

    fn take_synced(&mut self, ticket: &SyncTicket) {
        for piece in &ticket.pieces {
            piece.segment.raise_synced_len(piece.len);
            let number = piece.segment.number;
            let active = self.active.as_ref().filter(|active| active.segment.number == number);
            let closed = self.closed.iter().rev().find(|layer| layer.segment.number == number);
            // It may have been written on, and ended, while it was synced.
            let len = active.map(|a| a.growth.position).or(closed.map(|layer| layer.data_len));
            if len.is_none_or(|len| len == piece.len) {
                self.files.cache.set_dirty(number, false);
            }
        }
        self.synced = self.synced.max(ticket.end.min(self.end));
    }

    /// Syncs everything, at once.
    ///
    /// # Errors
    /// As [`SyncTicket::run`].
    pub fn sync(&mut self) -> Result<()> {
        let Some(ticket) = self.begin_sync() else { return self.check_open() };
        let result = ticket.run();
        self.finish_sync(&ticket, result.clone());
        result
    }

    pub(super) fn fail(&mut self, error: Error) {
        self.failed.get_or_insert(error);
    }

    fn unsynced_segments(&self) -> impl Iterator<Item = &Arc<Segment>> {
        let closed = self.closed.iter().filter(|layer| layer.sealed.is_none());
        closed.map(|layer| &layer.segment).chain(self.active.iter().map(|active| &active.segment))
    }
}
