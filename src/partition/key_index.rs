//! Finding the records of a key: the recent ones in memory, older ones in sealed segments.
//!
//! A table of the recent part is given up after the snapshot is published in which its records
//! are sealed. So whoever looks at the recent part first and loads the snapshot then misses
//! nothing.

use std::ops::Range;

use crate::backend::{Fetch, FetchedBatch, ProducerStamp};
use crate::base::{Error, ErrorKind, Isolation, RawRecord, Result, TopicConfig};
use crate::batch::{BatchHeader, key_hash};
use crate::log::SegmentLog;

use super::Partition;
use super::appender::Appender;
use super::recent::Recent;

/// Bytes of one read when the recent part is built.
const READ_BYTES: usize = 1 << 20;

impl Partition {
    /// Refuses what needs an index on a topic that has none, or is gone.
    pub(super) fn check_indexed(&self) -> Result<()> {
        if self.is_closed() {
            return Err(self.closed());
        }
        if self.indexed {
            return Ok(());
        }
        let message = "the topic has no index of its keys: create it with key.index=true";
        Err(self.error(Error::new(ErrorKind::InvalidRequest, message)))
    }

    /// The newest record of `key` below `below` that a reader of this isolation sees: a batch
    /// that begins with it.
    pub fn last_of(
        &self,
        key: &[u8],
        below: u64,
        isolation: Isolation,
    ) -> Result<Option<FetchedBatch>> {
        self.check_indexed()?;
        let visible = self.marks_for(isolation).visible;
        self.find_before(key_hash(key), key, below.min(visible), isolation)
    }

    /// Adds to `into` the offsets in `range` at which visible records of `key` may stand, in
    /// order, and returns up to where that was looked for.
    pub fn places_of(
        &self,
        key: &[u8],
        range: Range<u64>,
        isolation: Isolation,
        into: &mut Vec<u64>,
    ) -> Result<u64> {
        self.check_indexed()?;
        let marks = self.marks_for(isolation);
        let range = range.start.max(marks.start)..range.end.min(marks.visible);
        self.places_in(key_hash(key), key, range, into)
    }

    fn places_in(
        &self,
        hash: u64,
        key: &[u8],
        range: Range<u64>,
        into: &mut Vec<u64>,
    ) -> Result<u64> {
        let (from, most_bytes) = {
            let appender = self.append.lock();
            let Some(recent) = appender.recent.as_deref() else { return Err(self.closed()) };
            if range.start >= recent.from() {
                into.extend(recent.within(hash, key, range.clone()));
                return Ok(range.end);
            }
            (recent.from(), recent.limit())
        };
        let view = self.view.read().clone();
        let below = range.end.min(from);
        let places = view.key_places_from(hash, range.start, below, most_bytes);
        let places = places.map_err(|e| self.error(e))?;
        into.extend(places.offsets);
        Ok(places.next)
    }

    /// The newest record of `key` below `below`, visible or not.
    pub(super) fn find_before(
        &self,
        hash: u64,
        key: &[u8],
        mut below: u64,
        isolation: Isolation,
    ) -> Result<Option<FetchedBatch>> {
        while let Some(offset) = self.place_before(hash, key, below)? {
            if let Some(found) = self.record_at(offset, key, isolation)? {
                return Ok(Some(found));
            }
            below = offset;
        }
        Ok(None)
    }

    fn place_before(&self, hash: u64, key: &[u8], below: u64) -> Result<Option<u64>> {
        let (from, most_bytes, found) = {
            let appender = self.append.lock();
            let Some(recent) = appender.recent.as_deref() else { return Err(self.closed()) };
            (recent.from(), recent.limit(), recent.before(hash, key, below))
        };
        let found = match found {
            Some(offset) => Some(offset),
            None => {
                let view = self.view.read().clone();
                let found = view.key_place_before(hash, below.min(from), most_bytes);
                found.map_err(|e| self.error(e))?
            }
        };
        Ok(found.filter(|offset| *offset >= self.marks.start()))
    }

    /// The header of the batch that holds `offset`; `None` when there is none any more.
    pub(super) fn header_at(&self, offset: u64) -> Result<Option<BatchHeader>> {
        let request = Fetch::new(offset, 1);
        let mut batches = Vec::new();
        match self.read_to_end(&request, &mut batches) {
            Err(e) if e.kind() == ErrorKind::OffsetOutOfRange => return Ok(None),
            read => read?,
        };
        let first = batches.into_iter().next().map(|batch| batch.header);
        Ok(first.filter(|header| header.base_offset <= offset))
    }

    /// The record at `offset` if it has this key: a batch that begins with it and ends behind it.
    fn record_at(
        &self,
        offset: u64,
        key: &[u8],
        isolation: Isolation,
    ) -> Result<Option<FetchedBatch>> {
        let request = Fetch { isolation, ..Fetch::new(offset, 1) };
        let mut batches = Vec::new();
        let read = match isolation {
            // Conditions also depend on what is not visible yet.
            Isolation::ReadUncommitted => self.read_to_end(&request, &mut batches),
            Isolation::ReadCommitted => self.read(&request, &mut batches),
        };
        match read {
            Ok(_) => {}
            // Deleted from the front in this moment.
            Err(e) if e.kind() == ErrorKind::OffsetOutOfRange => return Ok(None),
            Err(error) => return Err(error),
        }
        for batch in batches {
            if batch.header.base_offset > offset || batch.header.attributes.is_control() {
                break;
            }
            if let Some(position) = self.position_of(&batch, offset, key)? {
                return Ok(Some(FetchedBatch { position, below: offset + 1, ..batch }));
            }
        }
        Ok(None)
    }

    fn position_of(&self, batch: &FetchedBatch, offset: u64, key: &[u8]) -> Result<Option<usize>> {
        let mut records = batch.records();
        loop {
            let position = records.position();
            let Some(record) = records.next().map_err(|d| self.damage(d))? else { return Ok(None) };
            let at = batch.header.base_offset + u64::from(record.offset_delta);
            if at == offset {
                return Ok((record.key == Some(key)).then_some(position));
            }
            if at > offset {
                return Ok(None);
            }
        }
    }

    /// Where the recent part begins.
    pub(super) fn recent_from(&self) -> Result<u64> {
        let appender = self.append.lock();
        appender.recent.as_deref().map(Recent::from).ok_or_else(|| self.closed())
    }

    /// Builds the recent part: the keys of everything that no sealed segment holds. Nobody
    /// appends yet.
    pub(super) fn build_recent(&self, config: &TopicConfig) -> Result<()> {
        let from = self.view.read().sealed_end().max(self.marks.start());
        let end = self.marks.end();
        let mut recent = Recent::new(from.min(end), config.key_index_memory_bytes as usize);
        let mut request = Fetch::new(from, READ_BYTES);
        let mut batches = Vec::new();
        while request.from < end {
            batches.clear();
            let info = self.read_to_end(&request, &mut batches)?;
            let mut next = request.from;
            for batch in &batches {
                next = self.note_batch(batch, next, &mut recent)?.max(next);
            }
            if next == request.from {
                let gap = info.gaps.iter().find(|(from, to)| (*from..*to).contains(&next));
                let Some((_, to)) = gap else { break };
                next = *to;
            }
            request.from = next;
        }
        self.append.lock().recent = Some(Box::new(recent));
        Ok(())
    }

    /// Takes note of the records of a batch from `from` on; returns the offset behind the last.
    fn note_batch(&self, batch: &FetchedBatch, from: u64, recent: &mut Recent) -> Result<u64> {
        let base = batch.header.base_offset;
        let is_control = batch.header.attributes.is_control();
        let in_doubt = batch.header.attributes.is_transactional();
        let mut records = batch.records();
        let mut next = base;
        while let Some(record) = records.next().map_err(|d| self.damage(d))? {
            let offset = base + u64::from(record.offset_delta);
            next = offset + 1;
            if let Some(key) = record.key.filter(|_| offset >= from && !is_control) {
                recent.note(key_hash(key), key, offset, in_doubt);
            }
        }
        // A batch of a segment may end in offsets without records; a staged one does not.
        let whole = batch.payload.len() == batch.header.payload_len as usize;
        let behind = batch.header.next_offset().min(batch.below);
        Ok(if whole { next.max(behind) } else { next })
    }

    /// Lets go of what is sealed by now, or deleted. To be called when that is published.
    pub(super) fn forget_recent(&self) {
        if !self.indexed {
            return;
        }
        let sealed = self.view.read().sealed_end().max(self.marks.start());
        let gone = {
            let mut appender = self.append.lock();
            let end = appender.next_offset;
            appender.recent.as_deref_mut().map(|recent| recent.forget_below(sealed, end))
        };
        drop(gone);
    }

    /// The records in these gaps are no more.
    pub(super) fn lose_recent(&self, gaps: impl Iterator<Item = (u64, u64)>) {
        if let Some(recent) = self.append.lock().recent.as_deref_mut() {
            gaps.for_each(|(from, to)| recent.lose(from, to));
        }
    }

    /// Ends the segment if the recent part has grown so much that it is to be sealed. The flush
    /// lock is held, and everything has settled that is to be.
    pub(super) fn roll_for_keys(&self, log: &mut SegmentLog) {
        let wants =
            |appender: &Appender| appender.recent.as_deref().is_some_and(Recent::wants_seal);
        if self.indexed && !log.needs_seal() && wants(&self.append.lock()) {
            log.roll();
            self.publish_segments(log);
            self.ask_to_seal();
        }
    }

    /// Makes room in the recent part: what it holds is sealed. Whoever comes second finds it done.
    #[cold]
    pub(super) fn seal_keys(&self) -> Result<()> {
        {
            let mut log = self.flush.lock();
            if self.is_closed() {
                return Err(self.closed());
            }
            if !self.append.lock().is_recent_full() {
                return Ok(());
            }
            self.settle_locked(&mut log)?;
            log.roll();
            self.publish_segments(&log);
        }
        self.seal_behind()?;
        self.forget_recent();
        Ok(())
    }
}

impl Appender {
    /// Whether no record with a key can be taken before something is sealed.
    #[inline]
    pub(super) fn is_recent_full(&self) -> bool {
        self.recent.as_deref().is_some_and(Recent::is_full)
    }

    /// Takes note of the keys of records that were placed from `offset` on.
    #[inline]
    pub(super) fn note_keys(
        &mut self,
        records: &[RawRecord<'_>],
        offset: u64,
        producer: Option<&ProducerStamp>,
    ) {
        let Some(recent) = self.recent.as_deref_mut() else { return };
        let in_doubt = producer.is_some_and(|stamp| stamp.transactional);
        for (offset, record) in (offset..).zip(records) {
            if let Some(key) = record.key {
                recent.note(key_hash(key), key, offset, in_doubt);
            }
        }
    }
}
