//! Sealing what was rolled, and closing what is left.

use std::sync::Arc;

use super::keyed;
use super::layer::{Layer, NO_FOOTER};
use super::layout::Footer;
use super::manifest::Record;
use super::sections;
use super::segment_log::SegmentLog;
use super::sync::MANY;
use crate::base::{Error, ErrorKind, Result};

impl SegmentLog {
    /// Seals the segments behind the active one, retires those without batches, and removes
    /// the files of retired ones. Work of the background; does nothing where nothing is to do.
    ///
    /// Order of effects for each segment, oldest first, and why a death in between harms
    /// nothing:
    /// 1. The footer behind the batches, and the file cut to its exact length. A scan that
    ///    meets a footer takes it for the end.
    /// 2. Contents and name durable. Still an unsealed segment, with nothing torn.
    /// 3. The manifest's record, durable. From here on nothing of the file is ever cut.
    /// 4. The snapshot names it as sealed.
    ///
    /// # Errors
    /// `StorageError` from the disk or the manifest; the rest is done by the next call.
    pub fn seal_behind(&mut self) -> Result<()> {
        self.check_open()?;
        let sealed = self.closed.iter().take_while(|layer| layer.sealed.is_some()).count();
        for position in sealed..self.closed.len() {
            let Some(layer) = self.closed.get(position).cloned() else { break };
            self.seal(position, layer)?;
        }
        self.bury()
    }

    fn seal(&mut self, position: usize, mut layer: Layer) -> Result<()> {
        let (file_len, crc) = self.finish_file_or_fail(&layer, &keyed::for_footer(&layer))?;
        let end = layer.end(file_len, crc);
        let record = Record::SegmentSealed { number: layer.segment.number, end };
        let name = self.name.clone();
        let place = |error: Error| error.with_partition(&name);
        let sequence = self.files.manifest().append(&[record]).map_err(place)?;
        self.manifest_position = sequence;
        // From here on the manifest says so, whether or not its sync succeeds.
        layer.sealed = Some((file_len, crc));
        layer.segment.raise_synced_len(layer.data_len);
        let (next_offset, segment) = (layer.next_offset, Arc::clone(&layer.segment));
        if let Some(slot) = Arc::make_mut(&mut self.closed).get_mut(position) {
            *slot = layer;
        }
        self.publish();
        // Views from before find the index in the footer now.
        segment.end.get_or_init(|| end);
        segment.forget_live();
        self.files.cache.set_dirty(segment.number, false);
        self.files.manifest().sync_to(sequence).map_err(place)?;
        self.synced = self.synced.max(self.gaps.behind(next_offset).min(self.end));
        self.publish();
        Ok(())
    }

    /// Retires segments without batches, and lets go of what is durably retired.
    pub(super) fn bury(&mut self) -> Result<()> {
        if !self.dead.is_empty() {
            let retire = |number: u64| Record::SegmentRetired { number };
            let records: Vec<_> = self.dead.iter().map(|s| retire(s.number)).collect();
            self.manifest_position = self.files.manifest().append(&records)?;
            self.retiring.append(&mut self.dead);
        }
        if !self.retiring.is_empty() {
            // A file may go only when no manifest that a power cut leaves can name it.
            self.files.manifest().sync_to(self.manifest_position)?;
            self.retiring.drain(..).for_each(|segment| segment.retire());
        }
        Ok(())
    }

    /// The whole of a close.
    #[cfg(test)]
    pub fn close(&mut self) -> Result<()> {
        let footing = self.begin_close()?;
        let synced = Footing::sync_all(footing.iter()).pop();
        self.end_close(footing, synced.unwrap_or(Ok(())))
    }

    /// Leaves the partition so that the next open need not scan: everything synced, what was
    /// rolled sealed, the active segment with a footer. This one is not synced yet: of very many
    /// partitions all are synced together. Nothing is written from here on.
    ///
    /// # Errors
    /// `StorageError` and `StorageFull`; the log can be closed again.
    pub fn begin_close(&mut self) -> Result<Option<Footing>> {
        if self.is_closed {
            return Ok(None);
        }
        self.check_open()?;
        self.sync()?;
        self.seal_behind()?;
        if self.active.as_ref().is_some_and(|active| active.is_empty()) {
            self.retire_active();
            self.bury()?;
        }
        let footing = self.write_checkpoint()?;
        self.is_closed = true;
        Ok(footing)
    }

    /// Ends a close when its footer is synced, or could not be: a checkpoint in the manifest. It
    /// counts once [`LogFiles::mark_closed`](super::LogFiles::mark_closed) has succeeded.
    ///
    /// # Errors
    /// As [`begin_close`](Self::begin_close).
    pub fn end_close(&mut self, footing: Option<Footing>, synced: Result<()>) -> Result<()> {
        let Some(footing) = footing else { return Ok(()) };
        let Footing { layer, file_len, crc, .. } = footing;
        let noted = synced.and_then(|()| {
            let (number, end) = (layer.segment.number, layer.end(file_len, crc));
            self.files.manifest().append(&[Record::Checkpoint { number, end }])
        });
        match noted {
            Ok(position) => {
                self.manifest_position = position;
                if let Some(active) = &mut self.active {
                    active.closed_as = Some((file_len, crc));
                }
                Ok(())
            }
            Err(error) => {
                self.is_closed = false;
                self.fail_with(&layer, &error);
                Err(error)
            }
        }
    }

    fn write_checkpoint(&mut self) -> Result<Option<Footing>> {
        let Some(active) = &mut self.active else { return Ok(None) };
        let layer = active.layer();
        let unchanged = active.closed_as;
        active.expect_footer();
        layer.segment.store(&self.producers);
        let (file_len, crc) = match unchanged {
            Some(unchanged) => unchanged,
            None => {
                let written = write_footer(&layer, &[]);
                written.inspect_err(|error| self.fail_with(&layer, error))?
            }
        };
        Ok(Some(Footing { layer, file_len, crc, is_synced: unchanged.is_some() }))
    }

    /// An error of another kind leaves a file that can be finished later.
    fn fail_with(&mut self, layer: &Layer, error: &Error) {
        if layer.segment.has_failed() {
            self.fail(error.clone());
        }
    }

    fn finish_file_or_fail(&mut self, layer: &Layer, keys: &[u8]) -> Result<(u64, u32)> {
        finish_file(layer, keys).inspect_err(|error| self.fail_with(layer, error))
    }
}

/// The footer of a log that is being closed, which is to be synced.
#[derive(Debug)]
pub struct Footing {
    layer: Layer,
    file_len: u64,
    crc: u32,
    /// It stands there since the last close.
    is_synced: bool,
}

impl Footing {
    /// Makes footers of one log durable, with their files' names; what became of each. Where there
    /// are very many, one sync of their file system covers all of them.
    pub fn sync_all<'f>(footings: impl Iterator<Item = &'f Footing> + Clone) -> Vec<Result<()>> {
        let mut dirty = footings.clone().filter(|footing| !footing.is_synced);
        let together = dirty.nth(MANY).and_then(|footing| {
            // What failed once is never synced again: whoever has such a file finds out alone.
            let whole = footings.clone().all(|footing| !footing.layer.segment.has_failed());
            whole.then(|| footing.layer.segment.files.dir.sync_everything())?
        });
        footings.map(|footing| footing.sync(together.as_ref())).collect()
    }

    fn sync(&self, together: Option<&Result<()>>) -> Result<()> {
        let segment = &*self.layer.segment;
        match together {
            _ if self.is_synced => Ok(()),
            None => segment.sync_with_name(&*segment.file()?),
            Some(Ok(())) => segment.sync_name(),
            Some(Err(error)) => {
                // Which file it was is not told: none of them counts any more.
                segment.set_failed();
                Err(segment.place(error.clone()))
            }
        }
    }
}

/// Footer, exact length, sync; the file's length and the footer's checksum.
pub(super) fn finish_file(layer: &Layer, keys: &[u8]) -> Result<(u64, u32)> {
    let end = write_footer(layer, keys)?;
    let segment = &*layer.segment;
    segment.sync_with_name(&*segment.file()?)?;
    Ok(end)
}

/// Footer and exact length; the file's length and the footer's checksum.
fn write_footer(layer: &Layer, keys: &[u8]) -> Result<(u64, u32)> {
    let segment = &*layer.segment;
    if segment.repair.load(std::sync::atomic::Ordering::Acquire) {
        segment.write(&[&segment.header(0).encode()], 0)?;
    }
    let (bytes, crc) = {
        let (mut rest, entries) = (Vec::new(), segment.live.read());
        let producers = segment.stored();
        if !producers.is_empty() {
            sections::put(&mut rest, sections::PRODUCERS, &producers);
        }
        if !keys.is_empty() {
            sections::put(&mut rest, sections::KEYS, keys);
        }
        let Layer { data_len, next_offset, max_timestamp, .. } = *layer;
        Footer::encode(&entries, data_len, next_offset, max_timestamp, &rest)
    };
    let (file_len, crc) = match segment.write(&[&bytes], layer.data_len) {
        Ok(()) => (layer.data_len + bytes.len() as u64, crc),
        // Sealing must work on a full disk, and the index can be had by a scan.
        Err(error) if error.kind() == ErrorKind::StorageFull => (layer.data_len, NO_FOOTER),
        Err(error) => return Err(error),
    };
    segment.set_len(file_len)?;
    Ok((file_len, crc))
}
