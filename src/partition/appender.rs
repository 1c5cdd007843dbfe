//! What stands behind the append lock: the chunk being filled, and the ones before it.

use std::collections::VecDeque;
use std::ops::Range;

use crate::backend::ProducerStamp;
use crate::base::{Error, RawRecord, TimestampType};
use crate::batch::{BatchHeader, Measure};
use crate::disk::BlockReader;
use crate::log::producers::{Producers, behind};
use crate::stage::{BatchSpot, Chunk, MAX_CHUNK, MIN_CHUNK, SMALL_CHUNK};

use super::call::{Call, Stamp, time_fits};
use super::recent::Recent;
use super::staged::StagedBatch;
use super::turn::Turn;
use super::waiters::Waiters;

/// A batch grows to about this many payload bytes before the next one begins.
pub const BATCH_TARGET: usize = 16 << 10;

/// A chunk that takes so many rounds to fill is longer than it need be.
const MANY_ROUNDS: usize = 8;

/// The state that an append changes.
#[derive(Debug, Default)]
pub struct Appender {
    /// The next offset to be given.
    pub next_offset: u64,
    /// The log's incarnation.
    pub epoch: u32,
    /// A batch of several calls grows to about this many payload bytes.
    pub batch_target: usize,
    current: Option<Chunk>,
    full: VecDeque<Chunk>,
    /// How long the next chunk should be: it doubles as long as chunks fill up between rounds.
    wish: usize,
    /// Rounds since the current chunk was taken into use.
    rounds: usize,
    /// Whether the partition stands in the list of partitions with unsynced records.
    pub listed: bool,
    /// Whether the partition stands in the list of those that hold chunks.
    pub held: bool,
    /// Whether a settle has been asked for.
    pub asked: bool,
    /// Whether a seal has been asked for. It changes under the flush lock.
    pub asked_to_seal: bool,
    /// Whose time records carry. All batches that are open have this type.
    pub timestamp_type: TimestampType,
    /// The version of the settings that hold (see `limits.rs`).
    pub settings: u32,
    /// Payload bytes that no round has looked at.
    pub unsynced: usize,
    /// Payload bytes that no settle has looked at.
    pub unsettled: usize,
    /// A large call is being written; others wait outside.
    pub busy: bool,
    /// No offset at or above is given before the manifest allows it.
    pub ceiling: u64,
    /// The highest ceiling that the manifest may know of: none goes back behind it.
    pub known_ceiling: u64,
    /// Offsets given since the ceiling was last raised.
    pub ceiling_base: u64,
    /// Why nothing more is taken.
    pub refusing: Option<Error>,
    /// The log or the topic is gone.
    pub closed: bool,
    /// Who waits for the end to move.
    pub waiters: Waiters,
    /// The producers with ids, as of the last one's turn.
    pub producers: Producers,
    /// Whose turn it is, of those: the last record and the open batch are its.
    pub turn: Option<Turn>,
    /// The open batch, if there is one, has no producer: records of nobody may join it. A turn that
    /// has ended leaves the batch of its producer open.
    is_open_plain: bool,
    /// The keys of what is not sealed, where they are indexed.
    pub recent: Option<Box<Recent>>,
}

/// A closed batch that a settle or a round works on.
#[derive(Debug)]
pub struct Work {
    /// Its header; the checksum is missing unless `spot.sealed`.
    pub spot: BatchSpot,
    /// Its chunk's memory.
    pub reader: BlockReader,
    /// Its chunk.
    pub generation: (u32, u64),
    /// Its place in the chunk's table.
    pub index: usize,
}

/// What became of an attempt to place a call.
#[derive(Debug)]
pub enum Place {
    /// It stands in the stage.
    Done,
    /// The chunk is full or there is none: one with this much room for payload is needed.
    NeedChunk(usize),
}

impl Appender {
    /// An appender that goes on behind adopted chunks.
    pub fn new(next_offset: u64, epoch: u32, adopted: VecDeque<Chunk>) -> Self {
        let (wish, batch_target) = (SMALL_CHUNK, BATCH_TARGET);
        Self { next_offset, epoch, batch_target, full: adopted, wish, ..Self::default() }
    }

    /// The length that a new chunk should have. A partition begins with a small one; it goes on
    /// with a page as long as the stage is `roomy`.
    pub fn wish(&self, roomy: bool) -> usize {
        if roomy && self.has_chunks() { self.wish.max(MIN_CHUNK) } else { self.wish }
    }

    /// Whether records of this partition stand in chunks.
    pub fn has_chunks(&self) -> bool {
        self.current.is_some() || !self.full.is_empty()
    }

    /// Bytes of the stage that this partition holds.
    pub fn chunk_bytes(&self) -> usize {
        self.full.iter().chain(&self.current).map(Chunk::size).sum()
    }

    /// Where they stand in the stage.
    pub fn chunk_places(&self) -> Vec<Range<usize>> {
        self.full.iter().chain(&self.current).map(Chunk::place).collect()
    }

    /// Everything from this offset to `end` stands in chunks; `end` when what is before it does
    /// not. A large call that was written through leaves a hole between two chunks.
    pub fn staged_from(&self, end: u64) -> u64 {
        let mut from = end;
        for chunk in self.full.iter().chain(&self.current).rev() {
            let Some(first) = chunk.batches().first().map(|spot| spot.header.base_offset) else {
                continue;
            };
            if first < end && chunk.next_offset() < from {
                break;
            }
            from = from.min(first);
        }
        from
    }

    /// Goes on behind records that were written to a segment and stand in no chunk. A chunk's
    /// offsets are dense, so no chunk goes on over them.
    pub fn pass_through(&mut self, next_offset: u64) {
        self.retire_current();
        self.next_offset = next_offset;
    }

    /// Whether the current chunk has room for `payload` bytes in a batch of their own.
    pub fn has_room(&self, payload: usize) -> bool {
        self.current.as_ref().is_some_and(|chunk| chunk.fits(payload, 1))
    }

    /// Takes a new chunk into use; the old one is closed.
    pub fn install(&mut self, chunk: Chunk) {
        self.retire_current();
        self.current = Some(chunk);
        // A sync writes whole pages: where head, records and table of a chunk stand in one page,
        // a record that is waited for costs one.
        self.wish = match std::mem::take(&mut self.rounds) {
            0 => (self.wish * 2).clamp(MIN_CHUNK, MAX_CHUNK),
            1..MANY_ROUNDS => self.wish,
            _ if self.wish == SMALL_CHUNK => SMALL_CHUNK,
            _ => (self.wish / 2).max(MIN_CHUNK),
        };
    }

    /// Takes note of a round: the payload bytes that none has looked at, and the first offset of
    /// what is staged without a hole.
    pub fn begin_round(&mut self) -> (usize, u64) {
        self.listed = false;
        self.rounds += 1;
        (std::mem::take(&mut self.unsynced), self.staged_from(self.next_offset))
    }

    /// Goes by other settings from now on.
    pub fn reconfigure(&mut self, batch_target: usize, timestamp_type: TimestampType) {
        self.batch_target = batch_target;
        if std::mem::replace(&mut self.timestamp_type, timestamp_type) != timestamp_type
            && let Some(chunk) = self.current.as_mut()
        {
            chunk.close();
        }
    }

    fn retire_current(&mut self) {
        if let Some(mut old) = self.current.take() {
            old.close();
            self.full.push_back(old);
        }
    }

    /// Places a call of one record where nothing is in its way: appends are taken, it is that of
    /// the one whose turn it is (with an id, it has the number that follows the last one), and the
    /// open batch has room for it. Returns its offset; `None`, and nothing has changed, elsewhere.
    #[inline(always)]
    pub fn place_one(
        &mut self,
        record: &RawRecord<'_>,
        measure: Measure,
        (now, time): (i64, i64),
        producer: Option<&ProducerStamp>,
    ) -> Option<u64> {
        let goes_on = match (producer, &self.turn) {
            (None, _) => self.is_open_plain,
            (Some(stamp), Some(turn)) => turn.goes_on(stamp, self.next_offset),
            (Some(_), None) => false,
        };
        if !goes_on || !self.takes_plain() {
            return None;
        }
        let offset = self.next_offset;
        let chunk = self.current.as_mut()?;
        if !chunk.push_one(record, measure, time, self.batch_target) {
            return None;
        }
        self.next_offset = offset + 1;
        self.unsynced += measure.len;
        self.unsettled += measure.len;
        if let (Some(_), Some(turn)) = (producer, &mut self.turn) {
            turn.touch(now, time);
        }
        Some(offset)
    }

    /// Whether another record, of the one whose turn it is, finds no more in its way than that a
    /// batch is to begin.
    pub fn takes_more_of(&self, producer: Option<&ProducerStamp>) -> bool {
        let goes_on = match (producer, &self.turn) {
            (None, turn) => turn.is_none(),
            (Some(stamp), Some(turn)) => turn.goes_on(stamp, self.next_offset),
            (Some(_), None) => false,
        };
        goes_on && self.takes_plain()
    }

    /// Whether records with times of their own may be placed here and now.
    #[inline(always)]
    fn takes_plain(&self) -> bool {
        self.timestamp_type == TimestampType::CreateTime
            && !self.busy
            && !self.closed
            && self.refusing.is_none()
            && self.next_offset < self.ceiling
    }

    /// Encodes the whole call into the current chunk, or nothing of it.
    #[inline]
    pub fn place(
        &mut self,
        call: &Call<'_>,
        stamp: Stamp,
        opened: &mut impl FnMut(StagedBatch),
    ) -> Place {
        let batches = call.batches(stamp);
        let Some(chunk) = self.current.as_mut() else {
            return Place::NeedChunk(need(call, batches));
        };
        if !chunk.fits(call.bytes, batches) {
            return Place::NeedChunk(need(call, batches));
        }
        let full = chunk.open_len() + call.bytes > self.batch_target;
        let joins = batches == 1
            && !full
            && goes_on(chunk, call.producer.as_ref(), self.next_offset)
            && chunk.open_timestamp().is_some_and(|base| call.fits_times(base, stamp));
        if !joins {
            chunk.close();
        }
        if batches == 1 {
            if !joins {
                let time = call.first_time(stamp);
                let header = stamp.header(self.next_offset, time, call.producer, 0);
                chunk.open(BatchHeader { leader_epoch: self.epoch, ..header });
                opened(staged(chunk));
            }
            match call.single() {
                Some((record, measure)) => chunk.push(record, measure, stamp.of(record)),
                None => chunk.push_all(call.records(), |record| stamp.of(record)),
            }
            self.next_offset += call.count() as u64;
        } else {
            self.place_apart(call, stamp, opened);
        }
        if let Some(chunk) = self.current.as_mut() {
            chunk.commit();
        }
        self.is_open_plain = call.producer.is_none();
        self.unsynced += call.bytes;
        self.unsettled += call.bytes;
        Place::Done
    }

    /// Places a control record in a batch of its own, which is closed.
    pub fn place_control(
        &mut self,
        header: BatchHeader,
        record: &RawRecord<'_>,
        measure: Measure,
        opened: impl FnOnce(StagedBatch),
    ) -> Place {
        let Some(chunk) = self.current.as_mut().filter(|chunk| chunk.fits(measure.len, 1)) else {
            return Place::NeedChunk(measure.len + crate::batch::HEADER_BYTES);
        };
        chunk.close();
        chunk.open(BatchHeader { leader_epoch: self.epoch, ..header });
        opened(staged(chunk));
        chunk.push(record, measure, header.base_timestamp);
        chunk.commit();
        chunk.close();
        self.next_offset += 1;
        self.unsynced += measure.len;
        self.unsettled += measure.len;
        Place::Done
    }

    /// A call whose timestamps are weeks apart: a batch for each run of them.
    #[cold]
    fn place_apart(&mut self, call: &Call<'_>, stamp: Stamp, opened: &mut impl FnMut(StagedBatch)) {
        let Some(chunk) = self.current.as_mut() else { return };
        for (at, record) in (0..).zip(call.records()) {
            let measure = Measure::of_checked(record);
            let time = stamp.of(record);
            let fits = chunk.open_timestamp().is_some_and(|base| time_fits(base, time));
            if !fits {
                chunk.close();
                let header = stamp.header(self.next_offset, time, call.producer, at);
                chunk.open(BatchHeader { leader_epoch: self.epoch, ..header });
                opened(staged(chunk));
            }
            chunk.push(record, measure, time);
            self.next_offset += 1;
        }
    }

    /// Closes the open batch and lists the closed batches at or above `from` that `wanted`
    /// chooses, up to `most` payload bytes.
    pub fn closed_batches(
        &mut self,
        from: u64,
        most: usize,
        wanted: impl Fn(&BatchSpot) -> bool,
    ) -> Vec<Work> {
        if let Some(chunk) = self.current.as_mut() {
            chunk.close();
        }
        let mut work = Vec::new();
        let mut bytes = 0;
        for chunk in self.full.iter().chain(self.current.as_ref()) {
            if chunk.next_offset() <= from {
                continue;
            }
            for (index, spot) in chunk.batches().iter().enumerate() {
                if bytes >= most {
                    return work;
                }
                if spot.header.base_offset >= from && wanted(spot) {
                    bytes += spot.len();
                    let (reader, generation) = (chunk.reader(), generation(chunk));
                    work.push(Work { spot: *spot, reader, generation, index });
                }
            }
        }
        work
    }

    /// Closes the open batch and lists those without checksums.
    pub fn unsealed_batches(&mut self) -> Vec<Work> {
        if let Some(chunk) = self.current.as_mut() {
            chunk.close();
        }
        // Those of one chunk are sealed in order. Adopted chunks may be sealed behind others.
        let is_open = |chunk: &&Chunk| chunk.batches().last().is_some_and(|spot| !spot.sealed);
        let mut work = Vec::new();
        for chunk in self.full.iter().chain(self.current.as_ref()).filter(is_open) {
            let first = chunk.batches().partition_point(|spot| spot.sealed);
            for (index, spot) in chunk.batches().iter().enumerate().skip(first) {
                let (reader, generation) = (chunk.reader(), generation(chunk));
                work.push(Work { spot: *spot, reader, generation, index });
            }
        }
        work
    }

    /// Notes the checksum of a batch.
    pub fn seal(&mut self, work: &Work, payload_crc: u32) {
        // The newest first: that is where batches without checksums stand.
        let mut chunks = self.current.iter_mut().chain(self.full.iter_mut().rev());
        if let Some(chunk) = chunks.find(|chunk| generation(chunk) == work.generation) {
            chunk.seal(work.index, payload_crc);
        }
    }

    /// Takes the chunks whose records all stand below `offset`.
    pub fn take_settled(&mut self, offset: u64) -> Vec<Chunk> {
        let mut taken = Vec::new();
        while self.full.front().is_some_and(|chunk| chunk.next_offset() <= offset) {
            taken.extend(self.full.pop_front());
        }
        let idle = |chunk: &Chunk| !chunk.is_open() && chunk.next_offset() <= offset;
        if self.full.is_empty() && self.current.as_ref().is_some_and(idle) {
            // Its rate did not fill it before it had to go.
            self.wish = match self.current.as_ref().is_some_and(Chunk::is_nearly_empty) {
                true => SMALL_CHUNK,
                false => (self.wish / 2).max(MIN_CHUNK),
            };
            taken.extend(self.current.take());
        }
        taken
    }

    /// Takes every chunk, whatever it holds.
    pub fn take_chunks(&mut self) -> Vec<Chunk> {
        self.full.drain(..).chain(self.current.take()).collect()
    }
}

/// Which chunk it is, for as long as the log is open.
pub fn generation(chunk: &Chunk) -> (u32, u64) {
    (chunk.identity().incarnation, chunk.identity().generation)
}

/// The newest batch of `chunk` as readers will look for it.
pub fn staged(chunk: &Chunk) -> StagedBatch {
    let spot = chunk.batches().last().copied().unwrap_or(BatchSpot {
        header: BatchHeader::empty(chunk.identity().base_offset),
        position: 0,
        sealed: false,
    });
    StagedBatch {
        header: spot.header,
        position: spot.position,
        generation: generation(chunk),
        reader: chunk.reader(),
    }
}

fn need(call: &Call<'_>, batches: usize) -> usize {
    call.bytes + batches * crate::batch::HEADER_BYTES
}

/// Whether a call may join the open batch of `chunk`: a batch has one producer, and its numbers
/// follow from its offsets.
#[inline]
fn goes_on(chunk: &Chunk, producer: Option<&ProducerStamp>, next_offset: u64) -> bool {
    let Some(BatchSpot { header, .. }) = chunk.batches().last() else { return false };
    let Some(stamp) = producer else { return header.producer_id < 0 };
    // A batch has fewer than 2^32 records.
    let sequence = behind(header.base_sequence, (next_offset - header.base_offset) as u32);
    header.producer_id == stamp.id
        && header.producer_epoch == stamp.epoch
        && header.attributes.is_transactional() == stamp.transactional
        && sequence == stamp.sequence
}
