//! Opening a partition: what the manifest says, and what a scan finds behind it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::active::Active;
use super::cursor::{Cursor, Trouble};
use super::dir::FOUND_MARK;
use super::files::LogFiles;
use super::gaps::Gaps;
use super::index::Indexer;
use super::key::PartitionKey;
use super::layer::Layer;
use super::manifest::{SegmentEnd, SegmentState};
use super::producers::Producers;
use super::report::{Cut, GapEvent, OpenReport};
use super::roll::{Growth, jitter};
use super::scan::{self, Behind, Order, Replay, Scan};
use super::segment::{FIRST_BATCH, HeaderFlaw, Segment};
use super::segment_log::SegmentLog;
use super::source::Source;
use super::states;
use super::tail::Tail;
use super::view::View;
use crate::base::{Error, Result, TopicConfig, TopicPartition};
use crate::disk::DiskFile;

impl SegmentLog {
    /// Opens a partition as the manifest and its files have it. Writes nothing.
    ///
    /// Sealed segments are not read. Unsealed ones are scanned, unless the log was closed in
    /// order. What a scan cuts is not final before [`Tail::judge`] has agreed; what it took is
    /// written again or synced by nobody but [`seal_behind`](SegmentLog::seal_behind) and
    /// [`begin_sync`](SegmentLog::begin_sync), so a death during or after the open finds the
    /// same files.
    ///
    /// # Errors
    /// `CorruptMessage` naming the file when a sealed segment is missing or short, or when the
    /// segments contradict the manifest; `UnsupportedVersion`; `StorageError` from the disk.
    pub fn open(
        files: Arc<LogFiles>,
        key: PartitionKey,
        name: TopicPartition,
        config: Arc<TopicConfig>,
        now_ms: i64,
        report: &mut OpenReport,
    ) -> Result<SegmentLog> {
        let known = files.boot_partition(&key).cloned().unwrap_or_default();
        let gaps = Gaps::new(known.gaps().iter().map(|gap| (gap.from, gap.to)));
        let config = files.fit(config);
        if config.key_index {
            files.set_indexed(key.topic_id);
        }
        let mut opening = Opening::new(&files, key, &name, &config, gaps);
        opening.now_ms = now_ms;
        opening.carried = known.producers().into();
        let segments = known.segments();
        for (position, state) in segments.iter().enumerate() {
            let below = segments.get(position + 1).map_or(u64::MAX, |next| next.base_offset);
            let checkpoint = files.boot_state().checkpoint(state.number).copied();
            match (state.sealed, checkpoint) {
                (Some(end), _) => opening.sealed(state, &end)?,
                (None, Some(end)) => opening.checkpointed(state, &end, below)?,
                (None, None) => opening.unsealed(state, below, report)?,
            }
        }
        report.cuts.extend(opening.tail.cuts.iter().cloned());
        let log = opening.finish(known.start(), known.compacted())?;
        report.gaps.extend(log.gaps());
        Ok(log)
    }
}

/// A partition whose segments are gone through, oldest first.
struct Opening<'a> {
    files: &'a Arc<LogFiles>,
    key: PartitionKey,
    name: &'a TopicPartition,
    config: &'a Arc<TopicConfig>,
    gaps: Gaps,
    layers: Vec<Layer>,
    active: Option<Active>,
    dead: Vec<Arc<Segment>>,
    tail: Tail,
    /// Where the next segment has to begin, once there was one.
    next: Option<u64>,
    /// The end of what is sealed.
    synced: u64,
    /// The producers as of the end of the layers, once that was asked for.
    producers: Option<Producers>,
    /// What the manifest says of them, where segments do not.
    carried: Arc<[u8]>,
    now_ms: i64,
}

impl<'a> Opening<'a> {
    fn new(
        files: &'a Arc<LogFiles>,
        key: PartitionKey,
        name: &'a TopicPartition,
        config: &'a Arc<TopicConfig>,
        gaps: Gaps,
    ) -> Self {
        let (layers, dead, tail) = (Vec::new(), Vec::new(), Tail::default());
        Self {
            files,
            key,
            name,
            config,
            gaps,
            layers,
            active: None,
            dead,
            tail,
            next: None,
            synced: 0,
            producers: None,
            carried: Arc::default(),
            now_ms: 0,
        }
    }

    /// The producers as of the end of the layers.
    fn producers(&mut self) -> Result<Producers> {
        match &self.producers {
            Some(known) => Ok(known.clone()),
            None => states::producers_behind(&self.carried, &self.layers, self.now_ms),
        }
    }

    fn segment(&self, state: &SegmentState) -> Segment {
        let SegmentState { number, base_offset, .. } = *state;
        Segment::new(self.files, self.name, self.key, number, base_offset, FOUND_MARK)
    }

    /// Whether a segment that begins at `base` follows what is there, with nothing missing.
    fn follows(&self, base: u64) -> bool {
        self.next.is_none_or(|next| next == base || self.gaps.behind(next) == base)
    }

    fn sealed(&mut self, state: &SegmentState, end: &SegmentEnd) -> Result<()> {
        let segment = self.segment(state);
        self.check_there(&segment, end.file_len)?;
        let base = segment.base_offset;
        if !self.follows(base) {
            // Only a torn segment in front may explain a hole; and then this one proves that
            // what is missing was durable.
            let next = self.next.unwrap_or(base);
            if self.tail.cuts.is_empty() || next > base {
                let reason = "it does not begin where the segment before it ends";
                return Err(segment.damaged(0, next, reason));
            }
            self.tail.prove(base, segment.path.clone());
        }
        self.next = Some(end.next_offset);
        let unbroken = self.layers.iter().all(|layer| layer.sealed.is_some());
        if unbroken {
            self.synced = end.next_offset;
        }
        self.producers = None;
        self.layers.push(Layer::of_end(Arc::new(segment), end));
        Ok(())
    }

    fn check_there(&self, segment: &Segment, len: u64) -> Result<()> {
        let reason = match self.files.found_len(segment.number) {
            Some(found) if found >= len => return Ok(()),
            Some(found) => format!("the file has {found} bytes, the manifest says {len}"),
            None => "the file is missing".to_owned(),
        };
        Err(segment.damaged(0, segment.base_offset, &reason))
    }

    /// A segment that a clean close left with a footer: written again if it is the last one.
    fn checkpointed(&mut self, state: &SegmentState, end: &SegmentEnd, below: u64) -> Result<()> {
        let segment = Arc::new(self.segment(state));
        self.check_there(&segment, end.file_len)?;
        if !self.follows(segment.base_offset) || below != u64::MAX {
            let reason = "it was closed, and is not the partition's last segment";
            return Err(segment.damaged(0, segment.base_offset, reason));
        }
        let mut layer = Layer::of_end(Arc::clone(&segment), end);
        let all: Vec<_> = self.layers.iter().chain([&layer]).cloned().collect();
        self.producers = Some(states::producers_behind(&self.carried, &all, self.now_ms)?);
        *segment.aborted.write() = layer.aborted_at_close()?;
        layer.sealed = None;
        let (entries, created_ms) = layer.reopen(end.file_len, end.footer_crc)?;
        let first = self.first_timestamp(&layer)?;
        let (interval, base) = (self.config.index_interval_bytes, segment.base_offset);
        let indexer = Indexer::resume(interval, base, entries.len(), end.max_timestamp);
        *segment.live.write() = entries;
        let jitter = jitter(self.config, segment.salt);
        let growth = Growth::new(base, created_ms, interval, jitter);
        let growth = growth.resume(end.data_len, end.next_offset, indexer, first);
        self.active = Some(Active::reopen(segment, growth, end.file_len, end.footer_crc));
        (self.next, self.synced) = (Some(end.next_offset), end.next_offset);
        Ok(())
    }

    fn first_timestamp(&self, layer: &Layer) -> Result<Option<i64>> {
        let source = Source::read(layer.segment.file()?).wanted(0);
        let mut cursor = layer.cursor_at(source, None);
        let header = cursor.header();
        let header = header.map_err(|t| t.into_error(&layer.segment, layer.segment.base_offset))?;
        Ok(header.and_then(|header| header.max_timestamp()))
    }

    /// A segment that was in use when the process died.
    fn unsealed(
        &mut self,
        state: &SegmentState,
        below: u64,
        report: &mut OpenReport,
    ) -> Result<()> {
        let segment = Arc::new(self.segment(state));
        report.scanned_segments += 1;
        // Its name may never have been durable: then nothing in it was either.
        if self.files.found_len(segment.number).is_none() {
            self.bury(segment);
            return Ok(());
        }
        let replay = Replay::new(self.producers()?, self.now_ms);
        let (scan, behind) = self.scan(&segment, below, replay, report)?;
        if let Some(Trouble::Bad { unknown: true, .. }) = scan.trouble {
            return Err(scan
                .trouble
                .map_or_else(Error::closed, |t| t.into_error(&segment, scan.next_offset)));
        }
        if !self.follows(segment.base_offset) {
            return self.behind_a_hole(segment, &scan, behind);
        }
        self.take_cut(&segment, scan.position, behind.torn, scan.next_offset);
        if let Some(proven) = behind.proven {
            self.tail.prove(proven, segment.path.clone());
        }
        if scan.position == FIRST_BATCH {
            self.bury(segment);
            return Ok(());
        }
        *segment.live.write() = scan.entries;
        *segment.aborted.write() = scan.aborted;
        segment.store(&scan.producers);
        self.producers = Some(scan.producers);
        self.next = Some(scan.next_offset);
        self.layers.push(Layer {
            segment,
            data_len: scan.position,
            next_offset: scan.next_offset,
            max_timestamp: scan.max_timestamp,
            sealed: None,
        });
        Ok(())
    }

    fn bury(&mut self, segment: Arc<Segment>) {
        // Offsets below its base were used, whatever became of them.
        self.next.get_or_insert(segment.base_offset);
        self.dead.push(segment);
    }

    /// Records behind a hole are no part of the log: what is in front of them was not durable,
    /// so they were not either. Unless they say otherwise: then the hole is damage.
    fn behind_a_hole(&mut self, segment: Arc<Segment>, scan: &Scan, behind: Behind) -> Result<()> {
        let next = self.next.unwrap_or(segment.base_offset);
        if next > segment.base_offset {
            let reason = "it begins in front of the end of the segment before it";
            return Err(segment.damaged(0, next, reason));
        }
        if let Some(proven) = self.proof_in(&segment, scan, next)?.max(behind.proven) {
            self.tail.prove(proven, segment.path.clone());
        }
        let bytes = scan.position - FIRST_BATCH + behind.torn;
        self.take_cut(&segment, FIRST_BATCH, bytes, next);
        self.dead.push(segment);
        Ok(())
    }

    /// The highest offset above `next` that a valid batch says everything below was durable of.
    fn proof_in(&self, segment: &Segment, scan: &Scan, next: u64) -> Result<Option<u64>> {
        let source = Source::read(segment.file()?);
        let mut cursor =
            Cursor::new(source, segment.salt, FIRST_BATCH, scan.position, segment.base_offset);
        let mut proven = None;
        while let Some(header) = cursor.header().map_err(|t| t.into_error(segment, next))? {
            if header.attributes.prev_durable() && header.base_offset > next {
                proven = Some(header.base_offset);
            }
            cursor.skip(&header);
        }
        Ok(proven)
    }

    fn take_cut(&mut self, segment: &Segment, position: u64, bytes: u64, offset: u64) {
        if bytes > 0 {
            let (partition, path) = (self.name.clone(), segment.path.clone());
            self.tail.cuts.push(Cut { partition, path, position, bytes, offset });
        }
    }

    fn scan(
        &self,
        segment: &Segment,
        below: u64,
        replay: Replay,
        report: &mut OpenReport,
    ) -> Result<(Scan, Behind)> {
        let file = segment.file()?;
        let io = |error| segment.place(Error::io("read", &segment.path, error));
        let len = file.len().map_err(io)?;
        self.check_head(segment, &*file, report)?;
        let base = segment.base_offset;
        let start =
            || Cursor::new(Source::read(Arc::clone(&file)), segment.salt, FIRST_BATCH, len, base);
        let order = Order::Contiguous { gaps: self.gaps.clone(), below };
        let scan = scan::batches(start(), base, self.config.index_interval_bytes, &order, replay);
        let scan = scan.map_err(io)?;
        let (at, next) = (scan.position, scan.next_offset);
        let mut rest = Cursor::new(Source::read(Arc::clone(&file)), segment.salt, at, len, next);
        let behind = scan::behind(&mut rest, segment.salt, len).map_err(io)?;
        Ok((scan, behind))
    }

    /// Everything that the header says is known from the manifest too: a damaged one hides
    /// nothing, and is written again when the segment is sealed.
    fn check_head(
        &self,
        segment: &Segment,
        file: &dyn DiskFile,
        report: &mut OpenReport,
    ) -> Result<()> {
        let head = read_head(file)
            .map_err(|error| segment.place(Error::io("read", &segment.path, error)))?;
        match segment.check_header(&head) {
            Ok(_) => Ok(()),
            Err(HeaderFlaw::Damaged(_)) => {
                segment.repair.store(true, Ordering::Release);
                if head.iter().any(|byte| *byte != 0) {
                    report.damaged_headers.push(segment.path.clone());
                }
                Ok(())
            }
            Err(flaw) => Err(segment.header_error(flaw)),
        }
    }

    fn finish(mut self, start: u64, compacted: u64) -> Result<SegmentLog> {
        let producers = self.producers()?;
        let Opening {
            files,
            key,
            name,
            config,
            gaps,
            mut layers,
            mut active,
            mut dead,
            tail,
            carried,
            ..
        } = self;
        let end = gaps.behind(self.next.unwrap_or(0)).max(start);
        let end = gaps.behind(end);
        // A start above everything: the records below it are gone, whoever saw them last (A68).
        let below = layers.iter().take_while(|layer| layer.next_offset <= start).count();
        dead.extend(layers.drain(..below).map(|layer| layer.segment));
        if active.as_ref().is_some_and(|active| active.growth.next_offset <= start) {
            dead.extend(active.take().map(|active| active.segment));
        }
        let all_synced = layers.iter().all(|layer| layer.sealed.is_some());
        let synced = if all_synced { end } else { self.synced.max(start).min(end) };
        let closed = Arc::new(layers);
        let view = View {
            name: name.clone(),
            start,
            end,
            compacted,
            carried: Arc::clone(&carried),
            closed: Arc::clone(&closed),
            active: active.as_ref().map(Active::layer),
        };
        Ok(SegmentLog {
            files: Arc::clone(files),
            key,
            name: name.clone(),
            config: Arc::clone(config),
            start,
            end,
            synced,
            compacted,
            closed,
            active,
            dead,
            retiring: Vec::new(),
            gaps,
            tail,
            producers,
            carried,
            manifest_position: 0,
            failed: None,
            is_closed: false,
            view: Arc::new(view),
        })
    }
}

fn read_head(file: &dyn DiskFile) -> io::Result<[u8; 64]> {
    let mut head = [0; 64];
    // A short file leaves zeros, which are no header.
    file.read_at(&mut head, 0)?;
    Ok(head)
}

/// A hole that an open decided to leave, for its report.
impl OpenReport {
    /// Adds the gap `from..to` of `partition`.
    pub fn add_gap(&mut self, partition: &TopicPartition, from: u64, to: u64) {
        self.gaps.push(GapEvent::new(partition.clone(), from, to));
    }
}
