//! The segment that is being written: preallocation, gathered writes, publication.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::index::Entry;
use super::layer::Layer;
use super::roll::Growth;
use super::segment::{FIRST_BATCH, Segment};
use super::segment_log::Placed;
use crate::base::{Error, Result, TopicConfig};
use crate::batch::BatchHeader;

/// The first reservation of a segment.
const FIRST_STEP: u64 = 64 << 10;
/// The largest.
const LAST_STEP: u64 = 32 << 20;
/// File systems reserve whole blocks.
const BLOCK: u64 = 4_096;
/// One write takes about this many bytes.
const WRITE_BYTES: u64 = 4 << 20;
/// Payloads up to this length are copied: one more piece of a gathered write costs as much.
const COPY_BYTES: usize = 2_048;

/// The segment that is being written.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) segment: Arc<Segment>,
    pub(super) growth: Growth,
    /// The file's length, or how far space is reserved.
    allocated: u64,
    /// The file may end in a footer, which must not show behind shorter data.
    footer: bool,
    /// A failed write may have left bytes behind the data, and they could not be cut.
    pub(super) spoiled: bool,
    /// How the segment stands in its file as of the last close, if nothing was written since.
    pub(super) closed_as: Option<(u64, u32)>,
}

impl Active {
    /// A new segment in its new file, with its header.
    pub(super) fn create(
        segment: Segment,
        growth: Growth,
        config: &TopicConfig,
        now_ms: i64,
    ) -> Result<Self> {
        let mut active = Self {
            segment: Arc::new(segment),
            growth,
            allocated: 0,
            footer: false,
            spoiled: false,
            closed_as: None,
        };
        let made = active.begin(config, now_ms);
        match made {
            Ok(()) => Ok(active),
            Err(error) => {
                // No record names the file yet: it goes with its last owner.
                active.segment.retire();
                Err(error)
            }
        }
    }

    fn begin(&mut self, config: &TopicConfig, now_ms: i64) -> Result<()> {
        self.reserve(FIRST_BATCH, config)?;
        let header = self.segment.header(now_ms).encode();
        self.segment.write(&[&header], 0)?;
        self.allocated = self.allocated.max(FIRST_BATCH);
        Ok(())
    }

    /// A segment that a clean close left with `file_len` bytes.
    pub(super) fn reopen(segment: Arc<Segment>, growth: Growth, file_len: u64, crc: u32) -> Self {
        let footer = file_len > growth.position;
        let closed_as = Some((file_len, crc));
        Self { segment, growth, allocated: file_len, footer, spoiled: false, closed_as }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.growth.is_empty()
    }

    /// A footer is about to be written behind the data.
    pub(super) fn expect_footer(&mut self) {
        self.footer = true;
    }

    /// What a snapshot may read of it.
    pub(super) fn layer(&self) -> Layer {
        Layer {
            segment: Arc::clone(&self.segment),
            data_len: self.growth.position,
            next_offset: self.growth.next_offset,
            max_timestamp: self.growth.indexer.max_timestamp(),
            sealed: None,
        }
    }

    /// Writes as many of `batches` as belong into this segment and one write; how many. The
    /// first one is taken whatever the rules say.
    ///
    /// On failure nothing is published and no byte of the batches stays behind.
    pub(super) fn write(
        &mut self,
        batches: &[Placed<'_>],
        config: &TopicConfig,
        now_ms: i64,
        synced: u64,
    ) -> Result<usize> {
        self.cut_footer()?;
        let plan = self.plan(batches, config, now_ms, synced);
        self.reserve(plan.growth.position, config)?;
        let written = plan.with_parts(|parts| self.segment.write(parts, self.growth.position));
        if let Err(error) = written {
            self.cut_back();
            return Err(error);
        }
        self.allocated = self.allocated.max(plan.growth.position);
        self.closed_as = None;
        self.segment.live.write().extend_from_slice(&plan.entries);
        self.growth = plan.growth;
        Ok(plan.count)
    }

    fn plan<'a>(
        &self,
        batches: &[Placed<'a>],
        config: &TopicConfig,
        now_ms: i64,
        synced: u64,
    ) -> Plan<'a> {
        let mut plan = Plan::new(self.growth);
        for batch in batches {
            let full = plan.growth.position - self.growth.position >= WRITE_BYTES;
            let hole = plan.growth.next_offset != batch.header.base_offset;
            let ends = full || hole || plan.growth.rolls(&batch.header, config, now_ms);
            if plan.count > 0 && ends {
                break;
            }
            let mut header = batch.header;
            let durable = synced >= header.base_offset;
            header.attributes = header.attributes.with_prev_durable(durable);
            plan.add(&header, batch.payload, self.segment.salt);
        }
        plan
    }

    /// The footer of the last close must be gone before data covers a part of it.
    fn cut_footer(&mut self) -> Result<()> {
        if self.footer {
            self.segment.set_len(self.growth.position)?;
            self.allocated = self.growth.position;
            self.footer = false;
            // Nobody may find the old end in the file again.
            self.closed_as = None;
        }
        Ok(())
    }

    /// After a failed write: whatever it left would be found by a scan, and taken for records
    /// that were refused.
    fn cut_back(&mut self) {
        match self.segment.set_len(self.growth.position) {
            Ok(()) => self.allocated = self.growth.position,
            Err(error) => {
                self.segment.files.warn(error);
                self.spoiled = true;
            }
        }
    }

    /// Cuts off what is reserved behind the data. What fails costs space and nothing else.
    pub(super) fn give_back_reserve(&mut self) {
        if !self.footer && self.allocated > self.growth.position {
            self.cut_back();
        }
    }

    /// Reserves space up to `upto`, and more while there is some, in growing steps.
    fn reserve(&mut self, upto: u64, config: &TopicConfig) -> Result<()> {
        if upto <= self.allocated {
            return Ok(());
        }
        let need = upto.next_multiple_of(BLOCK);
        self.segment.files.check_room(need - self.allocated, &self.segment.path)?;
        let file = self.segment.file()?;
        let step = self.allocated.clamp(FIRST_STEP, LAST_STEP);
        let most = (FIRST_BATCH + u64::from(config.segment_bytes)).next_multiple_of(BLOCK);
        let wish = self.allocated.saturating_add(step).min(most).next_multiple_of(BLOCK).max(need);
        let wish = if self.segment.files.is_tight(wish - self.allocated) { need } else { wish };
        for target in [wish, need] {
            let len = target - self.allocated;
            match self.segment.files.allocate(&*file, self.allocated, len) {
                Ok(()) => {
                    self.allocated = target;
                    return Ok(());
                }
                Err(error) if may_do_without(&error) => {}
                Err(error) => {
                    let error = Error::io("reserve space for", &self.segment.path, error);
                    return Err(self.segment.place(error));
                }
            }
        }
        // The write itself will tell whether there is room for less than a block.
        Ok(())
    }
}

fn may_do_without(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull, Unsupported};
    matches!(error.kind(), Unsupported | StorageFull | QuotaExceeded)
}

/// One gathered write, and what the segment is after it.
struct Plan<'a> {
    growth: Growth,
    count: usize,
    entries: Vec<Entry>,
    copied: Vec<u8>,
    parts: Vec<Part<'a>>,
}

enum Part<'a> {
    Copied(Range<usize>),
    Borrowed(&'a [u8]),
}

impl<'a> Plan<'a> {
    fn new(growth: Growth) -> Self {
        let (entries, copied, parts) = (Vec::new(), Vec::new(), Vec::new());
        Self { growth, count: 0, entries, copied, parts }
    }

    fn add(&mut self, header: &BatchHeader, payload: &'a [u8], salt: u32) {
        self.copy(&header.encode(salt));
        if payload.len() <= COPY_BYTES {
            self.copy(payload);
        } else {
            self.parts.push(Part::Borrowed(payload));
        }
        self.entries.extend(self.growth.add(header));
        self.count += 1;
    }

    fn copy(&mut self, bytes: &[u8]) {
        let start = self.copied.len();
        self.copied.extend_from_slice(bytes);
        let end = self.copied.len();
        match self.parts.last_mut() {
            Some(Part::Copied(range)) => range.end = end,
            _ => self.parts.push(Part::Copied(start..end)),
        }
    }

    fn with_parts<T>(&self, write: impl FnOnce(&[&[u8]]) -> T) -> T {
        let bytes = |part: &Part<'a>| match part {
            Part::Copied(range) => self.copied.get(range.clone()).unwrap_or_default(),
            Part::Borrowed(bytes) => bytes,
        };
        let parts: Vec<&[u8]> = self.parts.iter().map(bytes).collect();
        write(&parts)
    }
}
