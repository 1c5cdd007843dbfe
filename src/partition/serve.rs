//! A partition as clients see it.

use std::ops::{ControlFlow, Range};
use std::sync::atomic::Ordering;
use std::task::Waker;
use std::time::Duration;

use bytes::BytesMut;

use crate::backend::{
    Append, Appended, Fetch, FetchInfo, FetchedBatch, FetchedOn, PartitionBackend, PartitionMarks,
    ProducerStamp, Spot, WaitToken,
};
use crate::base::validation::validate;
use crate::base::wait::Deadline;
use crate::base::{Error, ErrorKind, Expect, Isolation, RawRecord, Result};
use crate::batch::Damage;

use super::Partition;

/// How long a reader helps before it looks at its other partitions again.
const HELP: Duration = Duration::from_millis(20);

impl PartitionBackend for Partition {
    fn append(&self, request: Append<'_>) -> Result<Appended> {
        self.validate(&request)?;
        self.append_all(request, None)
    }

    #[inline]
    fn append_one(&self, record: &RawRecord<'_>, producer: Option<&ProducerStamp>) -> Option<Spot> {
        if !self.rules.is_empty() {
            return None;
        }
        let (offset, now) = self.place_alone(record, producer, |_| true)?;
        Spot::new(offset, record.timestamp_ms.unwrap_or(now))
    }

    fn append_if(&self, request: Append<'_>, expect: Expect) -> Result<Appended> {
        self.validate(&request)?;
        Partition::append_if(self, request, expect)
    }

    fn last_of(
        &self,
        key: &[u8],
        below: u64,
        isolation: Isolation,
    ) -> Result<Option<FetchedBatch>> {
        Partition::last_of(self, key, below, isolation)
    }

    fn places_of(
        &self,
        key: &[u8],
        range: Range<u64>,
        isolation: Isolation,
        into: &mut Vec<u64>,
    ) -> Result<u64> {
        Partition::places_of(self, key, range, isolation, into)
    }

    fn fetch(&self, request: &Fetch, into: &mut Vec<FetchedBatch>) -> Result<FetchInfo> {
        self.read(request, into)
    }

    fn fetch_on(&self, request: &Fetch, room: &mut BytesMut) -> FetchedOn {
        self.read_on(request, room)
    }

    fn marks(&self) -> PartitionMarks {
        self.marks_now()
    }

    fn rewritten(&self) -> u64 {
        self.rewritten.load(Ordering::Acquire)
    }

    fn find_timestamp(
        &self,
        timestamp_ms: i64,
        isolation: Isolation,
    ) -> Result<Option<(u64, i64)>> {
        let marks = self.marks_for(isolation);
        let view = self.view.read().clone();
        let found = view.find_timestamp(timestamp_ms, marks.visible);
        if let Some((offset, time)) = found.map_err(|e| self.error(e))? {
            return Ok((offset >= marks.start).then_some((offset, time)));
        }
        self.find_staged_timestamp(timestamp_ms, view.end(), marks)
    }

    fn behind_damage(&self, from: u64) -> Result<u64> {
        let view = self.view.read().clone();
        view.behind_damage(from).map_err(|e| self.error(e))
    }

    fn wait_reached(&self, offset: u64, deadline: Deadline) -> Result<()> {
        self.wait_level(offset, deadline)?;
        self.check_not_lost(offset)
    }

    fn register(&self, from: u64, isolation: Isolation, waker: &Waker) -> Option<WaitToken> {
        let mut appender = self.append.lock();
        // Appended but not visible: `help` is what is to be done.
        if appender.closed || self.end_for(isolation) > from {
            return None;
        }
        Some(WaitToken(appender.waiters.add_for(from, isolation, waker)))
    }

    fn unregister(&self, token: WaitToken) {
        self.append.lock().waiters.remove(token.0);
    }

    fn help(&self, from: u64, isolation: Isolation, deadline: Deadline) -> Result<bool> {
        let end = self.end_for(isolation);
        if end <= from || self.visible() > from {
            return Ok(end > from);
        }
        // One round is enough for one look; a disk that fails must not make the reader deaf.
        let soon = Deadline::after(&*self.shared.clock, HELP).earlier(deadline);
        self.wait_level(end, soon).map(|()| true)
    }
}

impl Partition {
    /// Asks the program's own rules, under no lock: whatever they do, nothing has changed yet.
    #[inline]
    fn validate(&self, request: &Append<'_>) -> Result<()> {
        if self.rules.is_empty() {
            return Ok(());
        }
        validate(&self.rules, &self.tp, request.records)
    }

    /// What a reader of this isolation would see if all that is appended were at its level.
    fn end_for(&self, isolation: Isolation) -> u64 {
        let end = self.marks.end();
        match isolation {
            Isolation::ReadUncommitted => end,
            Isolation::ReadCommitted => end.min(self.marks.unstable()),
        }
    }

    /// The marks of this moment, with the visible end of a reader of this isolation.
    pub(super) fn marks_for(&self, isolation: Isolation) -> PartitionMarks {
        let marks = self.marks_now();
        if self.shared.ignores_stable() {
            return marks;
        }
        PartitionMarks { visible: marks.end_for(isolation), ..marks }
    }

    /// Bytes in segment files, without what is reserved behind them.
    pub fn segment_bytes(&self) -> u64 {
        self.view.read().bytes()
    }

    /// Bytes of the stage that this partition holds.
    pub fn staged_bytes(&self) -> u64 {
        self.append.lock().chunk_bytes() as u64
    }

    /// A record that a failing disk has taken away is no delivery, although the durable mark
    /// has passed it.
    fn check_not_lost(&self, offset: u64) -> Result<()> {
        let last = offset.saturating_sub(1);
        let lost = self.gaps.read().iter().any(|&(from, to)| (from..to).contains(&last));
        if !lost || offset == 0 {
            return Ok(());
        }
        let message = format!("the record at offset {last} was lost by a disk that failed to sync");
        let error = Error::new(ErrorKind::StorageError, message);
        Err(error.with_partition(&self.tp).with_offset(last))
    }

    /// The visible record with the greatest timestamp, the first of those that have it (A28).
    pub fn find_max_timestamp(&self, isolation: Isolation) -> Result<Option<(u64, i64)>> {
        let marks = self.marks_for(isolation);
        let view = self.view.read().clone();
        let mut best = view.find_max_timestamp(marks.visible).map_err(|e| self.error(e))?;
        self.look_through_staged(view.end(), marks, &mut |offset, time| {
            if best.is_none_or(|(_, greatest)| time > greatest) {
                best = Some((offset, time));
            }
            ControlFlow::Continue(())
        })?;
        Ok(best)
    }

    fn find_staged_timestamp(
        &self,
        timestamp_ms: i64,
        from: u64,
        marks: PartitionMarks,
    ) -> Result<Option<(u64, i64)>> {
        let mut found = None;
        self.look_through_staged(from, marks, &mut |offset, time| {
            if time < timestamp_ms {
                return ControlFlow::Continue(());
            }
            found = Some((offset, time));
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    /// Looks through what is not in segments yet, batch by batch: the offset and the timestamp
    /// of each record that has one.
    fn look_through_staged(
        &self,
        from: u64,
        marks: PartitionMarks,
        look: &mut dyn FnMut(u64, i64) -> ControlFlow<()>,
    ) -> Result<()> {
        let mut request = Fetch::new(from.max(marks.start), 1 << 20);
        let mut batches = Vec::new();
        while request.from < marks.visible {
            batches.clear();
            self.read(&request, &mut batches)?;
            for batch in &batches {
                let within = request.from..batch.below.min(marks.visible);
                let looked = each_timestamp(batch, within, look).map_err(|d| self.damage(d))?;
                if looked.is_break() {
                    return Ok(());
                }
            }
            let Some(last) = batches.last() else { break };
            request.from = last.behind().max(request.from + 1);
        }
        Ok(())
    }
}

fn each_timestamp(
    batch: &FetchedBatch,
    within: Range<u64>,
    look: &mut dyn FnMut(u64, i64) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, Damage> {
    let mut records = batch.records();
    while let Some(record) = records.next()? {
        let offset = batch.header.base_offset + u64::from(record.offset_delta);
        if within.contains(&offset)
            && let Some(time) = batch.header.timestamp(record.ts_delta)
            && look(offset, time).is_break()
        {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}
