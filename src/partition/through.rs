//! Calls too large for the stage: written through to the segment.

use std::borrow::Cow;
use std::task::Waker;
use std::time::Duration;

use crate::backend::{Append, Appended};
use crate::base::wait::{Deadline, Parker};
use crate::base::{Error, ErrorKind, RawRecord, Result, TimestampType};
use crate::batch::Batch;
use crate::log::{Placed, SegmentLog};

use super::Partition;
use super::appender::Appender;
use super::call::{Call, Stamp, time_fits};
use super::conditional::{Condition, Judgement};
use super::numbered::Known;
use super::waiters::Woken;

/// What became of the wish to write a large call.
enum Turned {
    /// The offsets from here on are its.
    Busy(u64, Stamp),
    /// It is there already.
    Known(Known, Stamp),
}

/// What is in the way of a large call.
enum Obstacle {
    /// The manifest allows no such offset yet.
    Ceiling,
    /// Another one is being written.
    Busy,
    /// The keys in memory are to be sealed.
    Keys,
    /// Something is to be looked at for its condition.
    Look(Option<u64>),
}

impl Partition {
    /// Appends a large call. Other appends wait meanwhile, outside the lock.
    ///
    /// Order of effects: everything staged settles, the call's batches are written, then the end
    /// moves. When the write fails the offsets are given back: nobody came after them. (A call
    /// whose timestamps are weeks apart is several batches; those that were written stay.)
    pub(super) fn append_through(
        &self,
        call: &Call<'_>,
        now: i64,
        request: &Append<'_>,
        condition: Option<&mut Condition<'_>>,
    ) -> Result<Appended> {
        let deadline = request.deadline(&*self.shared.clock);
        self.shared.relieve(call.bytes as u64);
        let (base_offset, stamp) = match self.become_busy(call, now, deadline, condition)? {
            Turned::Known(known, stamp) => return Ok(self.answer_known(call, known, stamp)),
            Turned::Busy(base_offset, stamp) => (base_offset, stamp),
        };
        let (written, woken, sleeper) = self.write_through(call, stamp, base_offset);
        self.shared.room.wake_all();
        woken.wake();
        self.after_append(sleeper, false);
        written.map(|()| stamp.appended(base_offset))
    }

    fn become_busy(
        &self,
        call: &Call<'_>,
        now: i64,
        deadline: Deadline<'_>,
        mut condition: Option<&mut Condition<'_>>,
    ) -> Result<Turned> {
        let count = call.count() as u64;
        loop {
            let settings = self.check(call, now)?;
            let obstacle = {
                let mut appender = self.append.lock();
                self.check_takes(&appender)?;
                if appender.settings != settings {
                    continue;
                }
                if appender.busy {
                    Obstacle::Busy
                } else {
                    let stamp = self.stamp(&appender, now);
                    if let Some(known) = self.judge(&mut appender, call, now)? {
                        return Ok(Turned::Known(known, stamp));
                    }
                    match self.obstacle(&appender, count, condition.as_deref())? {
                        Some(obstacle) => obstacle,
                        None => {
                            // Nobody appends from here on: what the call relies on stays so.
                            appender.busy = true;
                            return Ok(Turned::Busy(appender.next_offset, stamp));
                        }
                    }
                }
            };
            match (obstacle, condition.as_deref_mut()) {
                (Obstacle::Ceiling, _) => self.raise_ceiling(count)?,
                (Obstacle::Busy, _) => self.wait_idle(deadline)?,
                (Obstacle::Keys, _) => self.seal_keys()?,
                (Obstacle::Look(what), Some(condition)) => self.learn(condition, what)?,
                (Obstacle::Look(_), None) => {}
            }
        }
    }

    /// What a large call has to see to first. The append lock is held.
    fn obstacle(
        &self,
        appender: &Appender,
        count: u64,
        condition: Option<&Condition<'_>>,
    ) -> Result<Option<Obstacle>> {
        if appender.next_offset + count > appender.ceiling {
            return Ok(Some(Obstacle::Ceiling));
        }
        match condition.map(|condition| self.judge_condition(appender, condition)) {
            None | Some(Judgement::Met) => {}
            Some(Judgement::Failed(error)) => return Err(error),
            Some(Judgement::Unknown(what)) => return Ok(Some(Obstacle::Look(what))),
        }
        Ok(appender.is_recent_full().then_some(Obstacle::Keys))
    }

    /// Waits while another thread's large call is being written.
    pub(super) fn wait_idle(&self, deadline: Deadline) -> Result<()> {
        let parker = Parker::new();
        loop {
            let token = {
                let mut appender = self.append.lock();
                if !appender.busy {
                    return Ok(());
                }
                // The end moves when the call is done; a failed one calls everybody.
                let end = appender.next_offset;
                appender.waiters.add(end, &parker.waker())
            };
            let soon = Deadline::after(&*self.shared.clock, Duration::from_millis(1));
            parker.park(&*self.shared.clock, &soon.earlier(deadline));
            self.append.lock().waiters.remove(token);
            if deadline.has_passed(&*self.shared.clock) {
                let message = "another large call was being written all through max.block.ms";
                return Err(Error::new(ErrorKind::Timeout, message).with_partition(&self.tp));
            }
        }
    }

    /// Writes the call's batches and moves the end behind what is written.
    fn write_through(
        &self,
        call: &Call<'_>,
        stamp: Stamp,
        base: u64,
    ) -> (Result<()>, Woken, Option<Waker>) {
        let epoch = self.shared.stage.incarnation();
        let encoded = encode(call, stamp, base, epoch);
        let mut log = self.flush.lock();
        let settled = self.settle_locked(&mut log).and(encoded);
        let written = settled.and_then(|batches| self.write_batches(&mut log, &batches, stamp.now));
        let mut appender = self.append.lock();
        appender.busy = false;
        // Only a call that needs several batches can have been written in part.
        let reached = log.end_offset().max(base);
        // The view first: a reader that sees the end must find what stands before it.
        self.publish_view(&log);
        if reached > base {
            appender.pass_through(reached);
            let placed = usize::try_from(reached - base).unwrap_or(usize::MAX);
            let records = call.records();
            let placed = records.get(..placed).unwrap_or(records);
            appender.note_keys(placed, base, call.producer.as_ref());
            appender.note_placed(call, base, stamp);
            // Everything staged has settled. What stays on the list would be taken for the
            // owner of the offsets that stand in the segment only.
            self.staged.write().clear();
        }
        self.publish_end(&mut appender, base);
        self.marks.settle(log.end_offset());
        let sleeper = if reached > base { self.list(&mut appender) } else { None };
        let woken = self.take_passed(&mut appender, reached);
        drop(appender);
        (written, woken, sleeper)
    }

    fn write_batches(&self, log: &mut SegmentLog, batches: &[Batch], now: i64) -> Result<()> {
        let placed: Vec<_> =
            batches.iter().map(|b| Placed { header: b.header, payload: &b.payload }).collect();
        log.write(&placed, now).map_err(|e| self.error(e))
    }
}

/// The call's records as batches: one, unless their timestamps are weeks apart.
fn encode(call: &Call<'_>, stamp: Stamp, base_offset: u64, epoch: u32) -> Result<Vec<Batch>> {
    let records: Cow<'_, [RawRecord<'_>]> = match stamp.timestamp_type {
        TimestampType::CreateTime => call.records().into(),
        TimestampType::LogAppendTime => {
            call.records().iter().map(|record| stamp.on(record)).collect()
        }
    };
    let mut batches: Vec<Batch> = Vec::new();
    let mut rest = &*records;
    let (mut offset, mut at) = (base_offset, 0);
    while let Some(first) = rest.first() {
        let base = stamp.of(first);
        let fits = |record: &&RawRecord<'_>| time_fits(base, stamp.of(record));
        let (run, after) = rest.split_at(rest.iter().take_while(fits).count());
        let mut batch = Batch::encode(offset, run, Some(stamp.now))?;
        let own = stamp.header(offset, batch.header.base_timestamp, call.producer, at);
        batch.header.leader_epoch = epoch;
        batch.header.attributes = own.attributes;
        batch.header.producer_id = own.producer_id;
        batch.header.producer_epoch = own.producer_epoch;
        batch.header.base_sequence = own.base_sequence;
        offset = batch.header.next_offset();
        at = at.saturating_add(batch.header.count);
        batches.push(batch);
        rest = after;
    }
    Ok(batches)
}
