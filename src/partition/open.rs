//! Opening a partition: segments, then the chunks that go on where they end.

use std::collections::VecDeque;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};

use crossbeam::utils::CachePadded;
use parking_lot::RwLock;

use crate::base::sync::Mutex;
use crate::base::{Durability, Error, ErrorKind, Result, TopicConfig, TopicPartition};
use crate::lock::Biased;
use crate::log::producers::{AbortedTxn, Producers};
use crate::log::{GapEvent, OpenReport, PartitionKey, Record, SegmentLog};
use crate::stage::{BatchSpot, Chunk, FoundChunk};

use super::appender::{Appender, generation};
use super::ceiling::FIRST_CEILING;
use super::limits::Limits;
use super::marks::Marks;
use super::reconfigure::batch_target;
use super::staged::{Staged, StagedBatch, slice};
use super::waiters::Waiters;
use super::{Partition, Shared};

/// Which partition to open.
#[derive(Clone, Debug)]
pub struct PartitionSpec {
    /// Topic id and number.
    pub key: PartitionKey,
    /// Topic name and number.
    pub tp: TopicPartition,
    /// The topic's settings.
    pub config: Arc<TopicConfig>,
    /// Whether the log itself needs it.
    pub internal: bool,
}

/// How the log stopped, and what is told of the open.
#[derive(Debug)]
pub struct Opening<'a> {
    /// The power may have been cut: what is below `PowerLoss` may have lost its tail.
    pub power_lost: bool,
    /// The log was closed; everything that it held is durable.
    pub clean: bool,
    /// Chunks that are not taken over, to be wiped once every partition was accepted, and whether
    /// a later life would take them for records of its own.
    pub unwanted: Vec<(FoundChunk, bool)>,
    /// What the manifest must say, durably, before anything is appended.
    pub records: Vec<Record>,
    /// What recovery did.
    pub report: &'a mut OpenReport,
}

impl<'a> Opening<'a> {
    /// Nothing is opened yet.
    pub fn new(report: &'a mut OpenReport, clean: bool, power_lost: bool) -> Self {
        Self { power_lost, clean, unwanted: Vec::new(), records: Vec::new(), report }
    }
}

/// What recovery found of one partition.
struct Recovered {
    log: SegmentLog,
    chunks: VecDeque<Chunk>,
    end: u64,
    floor: u64,
    ceiling: Option<u64>,
}

impl Partition {
    /// Opens a partition. `found` are the chunks that an earlier life left of it.
    ///
    /// Chunks are taken by base offset: one that ends below the segments' end has settled, one
    /// that goes on there is adopted where it stands, one behind a gap is refused and counted.
    pub fn open(
        shared: &Arc<Shared>,
        spec: PartitionSpec,
        found: Vec<FoundChunk>,
        opening: &mut Opening<'_>,
    ) -> Result<Arc<Self>> {
        let files = Arc::clone(&shared.files);
        let (key, tp, config) = (spec.key, spec.tp.clone(), Arc::clone(&spec.config));
        let log = {
            let now_ms = shared.clock.unix_ms();
            SegmentLog::open(files, key, tp, config, now_ms, opening.report)?
        };
        let (end, chunks) = (log.end_offset(), VecDeque::new());
        let mut recovered = Recovered { log, chunks, end, floor: 0, ceiling: None };
        recovered.adopt(&spec, found, opening);
        let tail = recovered.log.tail().clone();
        tail.judge(&spec.tp, recovered.end)?;
        if let Some(promised) = shared.files.boot_state().staged_end(&spec.key)
            && promised > recovered.end
        {
            return Err(missing_end(&spec.tp, promised, recovered.end));
        }
        recovered.rise_to_ceiling(shared, &spec, opening)?;
        let config = Arc::clone(&spec.config);
        let partition = Self::build(shared, spec, recovered, opening.clean);
        if partition.indexed {
            partition.build_recent(&config)?;
        }
        Ok(partition)
    }

    fn build(
        shared: &Arc<Shared>,
        spec: PartitionSpec,
        recovered: Recovered,
        clean: bool,
    ) -> Arc<Self> {
        let Recovered { log, chunks, end, floor, ceiling } = recovered;
        let staged = staged_batches(&chunks, log.end_offset());
        let holds_chunks = !chunks.is_empty();
        let adopted = chunks.back().map_or(0, Chunk::next_offset);
        let unsynced = !clean && (holds_chunks || log.synced_offset() < log.end_offset());
        // A hole at the end holds nothing that could be lost.
        let settled = log.end_offset();
        let synced = log.synced_offset();
        let hole_only = !unsynced && floor > settled;
        let start = log.start_offset().min(end);
        let marks = Marks::new(start, end, settled.min(end), synced.min(end));
        if hole_only || clean {
            marks.endure(end);
        }
        let now_ms = shared.clock.unix_ms();
        let (producers, aborted) = replay_staged(&log, &chunks, now_ms);
        marks.set_unstable(producers.first_unstable());
        let mut appender = Appender::new(end, shared.stage.incarnation(), chunks);
        appender.producers = producers;
        let config_level = spec.config.durability;
        let timestamp_type = spec.config.message_timestamp_type;
        appender.reconfigure(batch_target(&spec.config), timestamp_type);
        appender.known_ceiling = ceiling.unwrap_or_else(|| known_ceiling(shared, &spec.key));
        appender.ceiling = ceiling.unwrap_or_else(|| ceiling_of(shared, &spec, end));
        appender.ceiling_base = end;
        let list = unsynced && config_level != Durability::Memory;
        appender.listed = list;
        appender.held = holds_chunks;
        let view = log.view();
        let gaps: Vec<_> = log.gaps().map(|gap| (gap.from, gap.to)).collect();
        let rules = shared.validators.of(spec.tp.topic());
        let partition = Arc::new_cyclic(|this: &Weak<Partition>| Partition {
            tp: spec.tp,
            key: spec.key,
            limits: Limits::new(&spec.config),
            rules,
            internal: spec.internal,
            indexed: spec.config.key_index,
            settings: RwLock::new(spec.config),
            this: Weak::clone(this),
            shared: Arc::clone(shared),
            marks,
            adopted,
            flush: parking_lot::Mutex::new(log),
            append: CachePadded::new(Biased::new(appender)),
            closed: std::sync::atomic::AtomicBool::new(false),
            deleted: std::sync::atomic::AtomicBool::new(false),
            staged: RwLock::new(staged),
            view: RwLock::new(view),
            compact_below: AtomicU64::new(u64::MAX),
            rewritten: AtomicU64::new(0),
            aborted: RwLock::new(aborted),
            has_gaps: std::sync::atomic::AtomicBool::new(!gaps.is_empty()),
            gaps: RwLock::new(gaps),
            durable_waiters: Mutex::new(Waiters::default()),
        });
        if let Some(relief) = &shared.relief {
            relief.add(&partition);
        }
        if list {
            // The background thread has not been started.
            drop(shared.rounds.list(Arc::clone(&partition), &*shared.clock));
        }
        if holds_chunks {
            shared.room.holds_chunks(Arc::clone(&partition));
        }
        partition
    }
}

impl Recovered {
    fn adopt(
        &mut self,
        spec: &PartitionSpec,
        mut found: Vec<FoundChunk>,
        opening: &mut Opening<'_>,
    ) {
        found.sort_by_key(|chunk| (chunk.identity.base_offset, chunk.identity.incarnation));
        for chunk in found {
            opening.report.unproven_bytes += chunk.unproven as u64;
            let overlaps =
                self.chunks.back().is_some_and(|c| c.next_offset() > chunk.identity.base_offset);
            if chunk.next_offset() <= self.end {
                let synced = chunk.next_offset() <= self.log.synced_offset();
                if !synced && !overlaps && spec.config.durability != Durability::Memory {
                    // Its records stand in segments that nobody has synced: it may be what makes
                    // them durable, and goes only after a sync.
                    self.chunks.push_back(chunk.adopt());
                    continue;
                }
                opening.unwanted.push((chunk, false));
                continue;
            }
            let starts: Vec<u64> = chunk.batches.iter().map(|b| b.header.base_offset).collect();
            let goes_on = {
                let next = self.log.behind_gaps(self.end);
                starts.iter().any(|&base| base == self.end || base == next)
            };
            if !goes_on || overlaps {
                opening.report.rejected_chunks += 1;
                opening.unwanted.push((chunk, true));
                continue;
            }
            opening.report.adopted_chunks += 1;
            opening.report.adopted_records += chunk.next_offset() - self.end.max(starts[0]);
            self.end = chunk.next_offset();
            self.chunks.push_back(chunk.adopt());
        }
        self.end = self.log.behind_gaps(self.end);
    }

    /// After a power cut below `PowerLoss`: goes on at the ceiling and notes the hole, durably,
    /// before anything is appended behind it (the caller writes `opening.records`).
    fn rise_to_ceiling(
        &mut self,
        shared: &Shared,
        spec: &PartitionSpec,
        opening: &mut Opening<'_>,
    ) -> Result<()> {
        if !opening.power_lost || spec.config.durability != Durability::ProcessCrash {
            return Ok(());
        }
        let ceiling = ceiling_of(shared, spec, 0);
        if ceiling <= self.end {
            return Ok(());
        }
        let (key, next) = (spec.key, ceiling.saturating_add(FIRST_CEILING));
        // The records in front of an earlier hole may be gone by now: the hole itself is known.
        let parts = self.log.missing_gaps(self.end, ceiling);
        for &(from, to) in &parts {
            opening.records.push(Record::Gap { key, from, to });
            opening.report.gaps.push(GapEvent::new(spec.tp.clone(), from, to));
        }
        opening.records.push(Record::Ceiling { key, offset: next });
        self.ceiling = Some(next);
        self.log.note_gaps(&parts);
        self.end = ceiling;
        self.floor = ceiling;
        Ok(())
    }
}

/// The offset that appends may not reach: what the manifest says, or what is implied before
/// anything is written there. No limit at the other levels.
fn ceiling_of(shared: &Shared, spec: &PartitionSpec, end: u64) -> u64 {
    if spec.config.durability != Durability::ProcessCrash {
        return u64::MAX;
    }
    known_ceiling(shared, &spec.key).max(FIRST_CEILING).max(end)
}

/// The ceiling that the manifest has of a partition; 0 for none.
fn known_ceiling(shared: &Shared, key: &PartitionKey) -> u64 {
    shared.files.boot_state().partition(key).map_or(0, |known| known.ceiling())
}

fn staged_batches(chunks: &VecDeque<Chunk>, settled: u64) -> Staged {
    let mut staged = Staged::default();
    // What has settled is read from the segments: there may be more behind it than stands here.
    for chunk in chunks.iter().filter(|chunk| chunk.next_offset() > settled) {
        for spot in chunk.batches() {
            staged.push(StagedBatch {
                header: spot.header,
                position: spot.position,
                generation: generation(chunk),
                reader: chunk.reader(),
            });
        }
    }
    staged
}

/// The producers as of the end of the adopted chunks, and what markers in these abort.
fn replay_staged(
    log: &SegmentLog,
    chunks: &VecDeque<Chunk>,
    now_ms: i64,
) -> (Producers, Vec<AbortedTxn>) {
    let (mut producers, mut aborted) = (log.producers().clone(), Vec::new());
    for chunk in chunks {
        let reader = chunk.reader();
        let Some(pin) = reader.pin() else { continue };
        let settled = |spot: &&BatchSpot| spot.header.base_offset < log.end_offset();
        for spot in chunk.batches().iter().skip_while(settled) {
            let payload = slice(&pin, spot.position, spot.position + spot.len());
            // Its bytes are proven. A control record of a later version is told by who reads it.
            aborted.extend(producers.replay(&spot.header, payload, now_ms).ok().flatten());
        }
    }
    (producers, aborted)
}

/// The stage cannot be trusted to hold this partition: a closed log promised more than is there.
fn missing_end(tp: &TopicPartition, promised: u64, found: u64) -> Error {
    let message = format!("the log was closed at offset {promised}, only {found} is there");
    Error::new(ErrorKind::CorruptMessage, message).with_partition(tp).with_offset(found)
}
