//! The segment that a group of segments becomes.

use std::sync::Arc;

use crate::base::{Result, TopicPartition};
use crate::batch::{BatchHeader, HEADER_BYTES};
use crate::disk::DiskFile;
use crate::log::files::LogFiles;
use crate::log::index::{Entry, Indexer};
use crate::log::key::PartitionKey;
use crate::log::keyed;
use crate::log::layer::Layer;
use crate::log::manifest::SegmentEnd;
use crate::log::seal::finish_file;
use crate::log::segment::{FIRST_BATCH, Segment};
use crate::log::states::merged;

/// One write takes about this many bytes.
const WRITE_BYTES: usize = 1 << 20;
/// So many bytes are synced at once: the last sync, which all wait for, is then a short one.
const SYNC_BYTES: u64 = 8 << 20;

/// Where new segments come from.
#[derive(Clone, Debug)]
pub(super) struct Maker {
    pub(super) files: Arc<LogFiles>,
    pub(super) name: TopicPartition,
    pub(super) key: PartitionKey,
    pub(super) interval: u32,
    pub(super) now_ms: i64,
}

/// A new segment that nothing names yet; its file goes with it unless it is taken.
#[derive(Debug)]
pub(super) struct Output {
    segment: Unnamed,
    /// Held, so that the sync hears of every failed write.
    file: Arc<dyn DiskFile>,
    /// What is not written yet.
    buffer: Vec<u8>,
    written: u64,
    synced: u64,
    indexer: Indexer,
    entries: Vec<Entry>,
    next_offset: u64,
}

/// The owner of a file that goes with it.
#[derive(Debug)]
struct Unnamed(Option<Arc<Segment>>);

impl Drop for Unnamed {
    fn drop(&mut self) {
        if let Some(segment) = &self.0 {
            segment.retire();
        }
    }
}

/// A finished segment: sealed, synced with its name, not yet named by the manifest.
#[derive(Debug)]
pub(super) struct Finished {
    segment: Unnamed,
    pub(super) layer: Layer,
    pub(super) end: SegmentEnd,
}

impl Finished {
    /// The manifest names it from now on.
    pub(super) fn take(mut self) -> Layer {
        self.segment.0 = None;
        self.layer.clone()
    }
}

impl Output {
    pub(super) fn begin(maker: &Maker, base_offset: u64) -> Result<Self> {
        let Maker { files, name, key, interval, now_ms } = maker;
        let (number, mark) = files.create_segment().map_err(|error| error.with_partition(name))?;
        let segment = Arc::new(Segment::new(files, name, *key, number, base_offset, mark));
        let unnamed = Unnamed(Some(Arc::clone(&segment)));
        let file = segment.file()?;
        let buffer = segment.header(*now_ms).encode().to_vec();
        Ok(Self {
            segment: unnamed,
            file,
            buffer,
            written: 0,
            synced: 0,
            indexer: Indexer::new(*interval, base_offset),
            entries: Vec::new(),
            next_offset: base_offset,
        })
    }

    fn position(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Adds a batch; writes and syncs when there is enough.
    pub(super) fn push(&mut self, header: &BatchHeader, payload: &[u8]) -> Result<()> {
        let Some(segment) = self.segment.0.clone() else { return Ok(()) };
        let position = self.position();
        self.entries.extend(self.indexer.note(header, position));
        self.next_offset = header.next_offset();
        self.buffer.reserve(HEADER_BYTES + payload.len());
        self.buffer.extend_from_slice(&header.encode(segment.salt));
        self.buffer.extend_from_slice(payload);
        if self.buffer.len() < WRITE_BYTES {
            return Ok(());
        }
        self.write(&segment)?;
        if self.written - self.synced >= SYNC_BYTES {
            segment.sync(&*self.file)?;
            self.synced = self.written;
        }
        Ok(())
    }

    fn write(&mut self, segment: &Segment) -> Result<()> {
        segment.write(&[&self.buffer], self.written)?;
        self.written = self.position();
        self.buffer.clear();
        Ok(())
    }

    /// Footer, exact length, sync of contents and name. `None` if it has no batch. The footer says
    /// of producers what those of `inputs` say.
    pub(super) fn finish(mut self, inputs: &[Layer]) -> Result<Option<Finished>> {
        let Some(segment) = self.segment.0.clone() else { return Ok(None) };
        if self.position() == FIRST_BATCH {
            return Ok(None);
        }
        self.write(&segment)?;
        *segment.live.write() = std::mem::take(&mut self.entries);
        segment.set_stored(merged(inputs)?);
        let layer = Layer {
            segment: Arc::clone(&segment),
            data_len: self.written,
            next_offset: self.next_offset,
            max_timestamp: self.indexer.max_timestamp(),
            sealed: None,
        };
        let (file_len, crc) = finish_file(&layer, &keyed::for_footer(&layer))?;
        let end = layer.end(file_len, crc);
        segment.end.get_or_init(|| end);
        segment.forget_live();
        segment.files.cache.set_dirty(segment.number, false);
        let layer = Layer::of_end(segment, &end);
        Ok(Some(Finished { segment: self.segment, layer, end }))
    }
}
