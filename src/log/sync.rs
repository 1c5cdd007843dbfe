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
    file: Option<Arc<dyn DiskFile>>,
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

impl Piece {
    fn sync(&self) -> Result<()> {
        match &self.file {
            Some(file) => self.segment.sync(&**file),
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
            file: layer.segment.file().ok(),
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
            let clean = self.active.as_ref().is_none_or(|a| {
                a.segment.number != piece.segment.number || a.growth.position == piece.len
            });
            if clean {
                self.files.cache.set_dirty(piece.segment.number, false);
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
