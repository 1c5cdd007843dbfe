//! The write path: measure, place, publish, wake.

use std::task::Waker;

use crate::backend::{Append, Appended, ProducerStamp};
use crate::base::wait::Deadline;
use crate::base::{Durability, Error, ErrorKind, RawRecord, Result, TimestampType};
use crate::batch::Measure;
use crate::stage::{ChunkWish, MAX_CHUNK};

use super::Partition;
use super::appender::{Appender, Place};
use super::call::{Call, Stamp, size_up_to};
use super::conditional::{Condition, Judgement};
use super::numbered::Known;
use super::waiters::Woken;

/// A call larger than this is written through to the segment.
const WRITE_THROUGH: usize = MAX_CHUNK / 2;

/// What an attempt under the append lock came to.
enum Attempt {
    Done {
        appended: Appended,
        news: Option<News>,
    },
    NeedChunk(usize),
    NeedCeiling,
    /// The keys in memory are to be sealed.
    NeedSeal,
    /// Something is to be looked at for a condition.
    NeedLook(Option<u64>),
    Busy,
    /// It is there already.
    Known(Known, Stamp),
    /// The settings that it was checked by hold no more.
    Altered,
}

/// One record on its way into the open batch.
struct Single<'a> {
    record: &'a RawRecord<'a>,
    measure: Measure,
    producer: Option<&'a ProducerStamp>,
    /// When it came.
    now: i64,
    /// The version of the settings that it was checked by.
    settings: u32,
}

/// What became of it.
#[derive(Clone, Copy)]
enum Placing {
    /// It has this offset.
    Done(u64),
    /// A batch is to begin, or a chunk.
    NoRoom,
    /// Something that only the long way knows how to deal with.
    InTheWay,
}

impl Placing {
    fn offset(self) -> Option<u64> {
        match self {
            Placing::Done(offset) => Some(offset),
            Placing::NoRoom | Placing::InTheWay => None,
        }
    }
}

/// Who is to be told of an append.
pub(super) struct News {
    /// Those who wait for the end.
    woken: Woken,
    /// The background thread, for the first unsynced record.
    sleeper: Option<Waker>,
    /// Whether there is much to settle.
    ask: bool,
}

impl Partition {
    /// Appends all records of the call or none. In steady state: no system call, no allocation,
    /// and no wake unless somebody waits.
    ///
    /// Order of effects: the bytes and the claim that a kill leaves behind (`place`), the mark
    /// that readers look at (`set_end`), the wake. A failure before `place` changes nothing; a
    /// kill after it leaves a record that nobody was told of, which recovery keeps.
    #[inline]
    pub fn append(&self, request: Append<'_>) -> Result<Appended> {
        if let [record] = request.records
            && let Some((offset, now)) =
                self.place_alone(record, request.producer.as_ref(), |_| true)
        {
            return Ok(Stamp::own(now).appended(offset));
        }
        self.append_all(request, None)
    }

    /// Appends one record, where nothing is in its way: its offset, and the time that it came.
    /// `None`, and nothing has changed, elsewhere.
    #[inline(always)]
    pub(super) fn place_alone(
        &self,
        record: &RawRecord<'_>,
        producer: Option<&ProducerStamp>,
        may: impl Fn(&Appender) -> bool,
    ) -> Option<(u64, i64)> {
        let settings = self.limits.version();
        // Before anything is known that would have to be kept over a call.
        let now = self.shared.clock.unix_ms();
        let measure = size_up_to(record, self.most_at_once())?;
        if !self.takes(record, now) {
            return None;
        }
        let single = Single { record, measure, producer, now, settings };
        let Some(mut appender) = self.append.lock_as_favourite() else {
            return self.place_by_the_door(&single, &may).map(|offset| (offset, now));
        };
        match self.place_under(&mut appender, &single, &may) {
            Placing::Done(offset) if !self.has_news(&appender) => Some((offset, now)),
            placing => {
                let news = placing.offset().map(|_| self.news(&mut appender));
                drop(appender);
                self.end_placing(&single, placing, news, &may).map(|offset| (offset, now))
            }
        }
    }

    /// The same for a thread that the append lock does not favour.
    #[inline(never)]
    fn place_by_the_door(
        &self,
        single: &Single<'_>,
        may: &dyn Fn(&Appender) -> bool,
    ) -> Option<u64> {
        let mut appender = self.append.lock();
        let placing = self.place_under(&mut appender, single, may);
        let has_news = placing.offset().is_some() && self.has_news(&appender);
        let news = has_news.then(|| self.news(&mut appender));
        drop(appender);
        self.end_placing(single, placing, news, may)
    }

    /// Places a record in the open batch, if nothing is in its way.
    #[inline(always)]
    fn place_under(
        &self,
        appender: &mut Appender,
        single: &Single<'_>,
        may: impl Fn(&Appender) -> bool,
    ) -> Placing {
        let Single { record, measure, producer, now, settings } = *single;
        if appender.settings != settings || !may(appender) {
            return Placing::InTheWay;
        }
        if self.indexed && appender.is_recent_full() {
            return Placing::InTheWay;
        }
        let time = record.timestamp_ms.unwrap_or(now);
        let Some(offset) = appender.place_one(record, measure, (now, time), producer) else {
            return Placing::NoRoom;
        };
        if self.indexed {
            appender.note_keys(std::slice::from_ref(record), offset, producer);
        }
        self.marks.set_end(offset + 1);
        Placing::Done(offset)
    }

    /// What is left to do once the lock is given back.
    #[cold]
    fn end_placing(
        &self,
        single: &Single<'_>,
        placing: Placing,
        news: Option<News>,
        may: &dyn Fn(&Appender) -> bool,
    ) -> Option<u64> {
        if let Some(news) = news {
            self.tell(news);
        }
        match placing {
            Placing::Done(offset) => Some(offset),
            Placing::NoRoom => {
                let Single { record, measure, producer, now, settings } = *single;
                let call = Call::of_one(record, measure, producer.copied());
                self.place_in_new_batch(&call, now, settings, may)
            }
            Placing::InTheWay => None,
        }
    }

    /// The same for a record that the open batch has no room for, or the chunk: what was measured
    /// is not measured again.
    #[inline(never)]
    fn place_in_new_batch(
        &self,
        call: &Call<'_>,
        now: i64,
        settings: u32,
        may: &dyn Fn(&Appender) -> bool,
    ) -> Option<u64> {
        let stamp = Stamp::own(now);
        for _ in 0..2 {
            let mut appender = self.append.lock();
            let goes_on = appender.takes_more_of(call.producer.as_ref());
            if !goes_on || appender.settings != settings || !may(&appender) {
                return None;
            }
            if appender.is_recent_full() {
                return None;
            }
            let offset = appender.next_offset;
            let place = appender.place(call, stamp, &mut |batch| self.staged.write().push(batch));
            if let Place::NeedChunk(payload) = place {
                drop(appender);
                let held = self.shared.stage.can_hold(payload);
                if !held || !matches!(self.try_refill(payload, self.internal), Ok(true)) {
                    return None;
                }
                continue;
            }
            appender.note_keys(call.records(), offset, call.producer.as_ref());
            if let Some(turn) = &mut appender.turn {
                turn.touch(now, call.last_time(stamp));
            }
            self.marks.set_end(appender.next_offset);
            let news = self.has_news(&appender).then(|| self.news(&mut appender));
            drop(appender);
            if let Some(news) = news {
                self.tell(news);
            }
            return Some(offset);
        }
        None
    }

    /// Whether somebody is to be told of an append.
    #[inline(always)]
    pub(super) fn has_news(&self, appender: &Appender) -> bool {
        let unlisted = !appender.listed && self.wants_rounds();
        let much = appender.unsettled >= MAX_CHUNK && !appender.asked;
        unlisted || much || !appender.waiters.is_empty()
    }

    /// Takes note of what is to be told once the append lock is released.
    #[cold]
    pub(super) fn news(&self, appender: &mut Appender) -> News {
        let woken = self.take_passed(appender, appender.next_offset);
        let sleeper = self.list(appender);
        let ask = appender.unsettled >= MAX_CHUNK && !std::mem::replace(&mut appender.asked, true);
        News { woken, sleeper, ask }
    }

    /// Takes those who wait for the end, or the last stable offset, off their list.
    pub(super) fn take_passed(&self, appender: &mut Appender, end: u64) -> Woken {
        appender.waiters.take_passed_by(end, end.min(self.marks.unstable()))
    }

    #[cold]
    pub(super) fn tell(&self, news: News) {
        news.woken.relay();
        self.after_append(news.sleeper, news.ask);
    }

    #[inline(never)]
    pub(super) fn append_all(
        &self,
        request: Append<'_>,
        mut condition: Option<&mut Condition<'_>>,
    ) -> Result<Appended> {
        let mut call = Call::measure(request.records).map_err(|e| self.error(e))?;
        if let Some(producer) = &request.producer {
            self.check_stamp(producer)?;
            call.producer = request.producer;
        }
        let now = self.shared.clock.unix_ms();
        if call.bytes > WRITE_THROUGH {
            return self.append_through(&call, now, &request, condition);
        }
        let mut deadline = None;
        loop {
            let settings = self.check(&call, now)?;
            let attempt = self.attempt(&call, now, settings, condition.as_deref())?;
            let until = || {
                let clock = &*self.shared.clock;
                *deadline.get_or_insert_with(|| request.deadline(clock))
            };
            match attempt {
                Attempt::Done { appended, news } => {
                    if let Some(news) = news {
                        self.tell(news);
                    }
                    return Ok(appended);
                }
                Attempt::NeedChunk(payload) if !self.shared.stage.can_hold(payload) => {
                    // A small stage, or a batch for nearly every record.
                    return self.append_through(&call, now, &request, condition);
                }
                Attempt::NeedChunk(payload) => self.refill(payload, self.internal, { until }())?,
                Attempt::NeedCeiling => self.raise_ceiling(call.count() as u64)?,
                Attempt::NeedSeal => self.seal_keys()?,
                Attempt::NeedLook(what) => {
                    if let Some(condition) = condition.as_deref_mut() {
                        self.learn(condition, what)?;
                    }
                }
                Attempt::Busy => self.wait_idle({ until }())?,
                Attempt::Known(known, stamp) => return Ok(self.answer_known(&call, known, stamp)),
                Attempt::Altered => {}
            }
        }
    }

    #[inline]
    fn attempt(
        &self,
        call: &Call<'_>,
        now: i64,
        settings: u32,
        condition: Option<&Condition<'_>>,
    ) -> Result<Attempt> {
        let mut appender = self.append.lock();
        self.check_takes(&appender)?;
        if appender.busy {
            return Ok(Attempt::Busy);
        }
        if appender.settings != settings {
            return Ok(Attempt::Altered);
        }
        let stamp = self.stamp(&appender, now);
        if let Some(known) = self.judge(&mut appender, call, now)? {
            return Ok(Attempt::Known(known, stamp));
        }
        match condition.map(|condition| self.judge_condition(&appender, condition)) {
            None | Some(Judgement::Met) => {}
            Some(Judgement::Failed(error)) => return Err(error),
            Some(Judgement::Unknown(what)) => return Ok(Attempt::NeedLook(what)),
        }
        if appender.is_recent_full() {
            return Ok(Attempt::NeedSeal);
        }
        let base_offset = appender.next_offset;
        if base_offset + call.count() as u64 > appender.ceiling {
            return Ok(Attempt::NeedCeiling);
        }
        let place = appender.place(call, stamp, &mut |batch| self.staged.write().push(batch));
        if let Place::NeedChunk(payload) = place {
            return Ok(Attempt::NeedChunk(payload));
        }
        appender.note_keys(call.records(), base_offset, call.producer.as_ref());
        appender.note_placed(call, base_offset, stamp);
        self.publish_end(&mut appender, base_offset);
        let news = self.has_news(&appender).then(|| self.news(&mut appender));
        Ok(Attempt::Done { appended: stamp.appended(base_offset), news })
    }

    /// Moves the end behind what was placed at `base_offset`. A transaction that begins there is
    /// open before anybody sees its first record.
    pub(super) fn publish_end(&self, appender: &mut Appender, base_offset: u64) {
        if appender.producers.first_unstable() == base_offset {
            self.marks.set_unstable(base_offset);
        }
        self.marks.set_end(appender.next_offset);
    }

    /// The times of a call that came at `now`. The log's own time is that of the append: in the
    /// order of offsets it goes as the clock goes.
    #[inline]
    pub(super) fn stamp(&self, appender: &Appender, now: i64) -> Stamp {
        let timestamp_type = appender.timestamp_type;
        let now = match timestamp_type {
            TimestampType::CreateTime => now,
            TimestampType::LogAppendTime => self.shared.clock.unix_ms(),
        };
        Stamp { now, timestamp_type }
    }

    /// Enters the partition in the list of those with unsynced records, under the append lock:
    /// whoever appends next relies on its being there. Returns who is to be woken for that.
    #[inline]
    pub(super) fn list(&self, appender: &mut Appender) -> Option<Waker> {
        if appender.listed || !self.wants_rounds() {
            return None;
        }
        let this = self.this.upgrade()?;
        appender.listed = true;
        self.shared.rounds.list(this, &*self.shared.clock)
    }

    pub(super) fn after_append(&self, sleeper: Option<Waker>, ask: bool) {
        if let Some(sleeper) = sleeper {
            sleeper.wake();
        }
        if ask && let Some(this) = self.this.upgrade() {
            self.shared.rounds.ask(this);
        }
    }

    /// Whether a round ever has work here.
    pub(super) fn wants_rounds(&self) -> bool {
        self.limits.level() != Durability::Memory
    }

    pub(super) fn check_takes(&self, appender: &Appender) -> Result<()> {
        if appender.closed {
            return Err(self.closed());
        }
        match &appender.refusing {
            Some(cause) => Err(self.error(cause.clone())),
            None => Ok(()),
        }
    }

    /// The most encoded bytes of one call that goes through the stage.
    #[inline]
    fn most_at_once(&self) -> usize {
        WRITE_THROUGH.min(self.limits.max_message_bytes()).min(self.limits.segment_bytes())
    }

    /// Whether the topic's rules let a record in that came at `now`.
    #[inline]
    fn takes(&self, record: &RawRecord<'_>, now: i64) -> bool {
        let in_time =
            record.timestamp_ms.is_none_or(|time| self.limits.allows_times(time, time, now));
        in_time && (record.key.is_some() || !self.limits.needs_keys())
    }

    /// Whether the topic lets the call in; the version of the settings that said so.
    #[inline]
    pub(super) fn check(&self, call: &Call<'_>, now: i64) -> Result<u32> {
        let settings = self.limits.version();
        self.check_size(call)?;
        let allows = |(least, most)| self.limits.allows_times(least, most, now);
        let keyed = !call.lacks_key() || !self.limits.needs_keys();
        if keyed && call.own_times().is_none_or(allows) {
            return Ok(settings);
        }
        self.refuse_records(call.records(), now).map_or(Ok(settings), Err)
    }

    /// Names every record that the topic's rules keep out, and the rule of the first; `None` when
    /// the rules have changed and let all of them in.
    #[cold]
    fn refuse_records(&self, records: &[RawRecord<'_>], now: i64) -> Option<Error> {
        let (before, after) = self.limits.time_bounds();
        let (needs_key, mut refused, mut first) = (self.limits.needs_keys(), Vec::new(), None);
        for (at, record) in records.iter().enumerate() {
            let own = record.timestamp_ms.unwrap_or(now);
            let error = if own.saturating_sub(now) > after {
                let ahead = format!("{} ms ahead of the clock", own.saturating_sub(now));
                out_of_bounds(own, &ahead, "message.timestamp.after.max.ms", after)
            } else if now.saturating_sub(own) > before {
                let behind = format!("{} ms behind the clock", now.saturating_sub(own));
                out_of_bounds(own, &behind, "message.timestamp.before.max.ms", before)
            } else if needs_key && record.key.is_none() {
                let message = "a record without a key: the topic is compacted";
                Error::new(ErrorKind::InvalidRecord, message)
            } else {
                continue;
            };
            refused.push(at);
            first.get_or_insert(error);
        }
        Some(first?.with_partition(&self.tp).with_records(refused))
    }

    #[inline]
    fn check_size(&self, call: &Call<'_>) -> Result<()> {
        if call.bytes > self.limits.max_message_bytes() {
            return Err(self.too_large(ErrorKind::MessageTooLarge, call, "max.message.bytes"));
        }
        if call.bytes > self.limits.segment_bytes() {
            return Err(self.too_large(ErrorKind::RecordListTooLarge, call, "segment.bytes"));
        }
        Ok(())
    }

    #[cold]
    fn too_large(&self, kind: ErrorKind, call: &Call<'_>, key: &str) -> Error {
        let limit = match kind {
            ErrorKind::MessageTooLarge => self.limits.max_message_bytes(),
            _ => self.limits.segment_bytes(),
        };
        let bytes = call.bytes;
        let message =
            format!("{} records of {bytes} encoded bytes: {key} is {limit}", call.count());
        Error::new(kind, message).with_partition(&self.tp)
    }

    /// Gets a chunk for `payload` bytes into place, making room when the stage is full. What is
    /// `internal` takes the room that is kept for it.
    pub(super) fn refill(&self, payload: usize, internal: bool, deadline: Deadline) -> Result<()> {
        loop {
            if self.try_refill(payload, internal)? {
                return Ok(());
            }
            self.make_room(deadline)?;
        }
    }

    fn try_refill(&self, payload: usize, internal: bool) -> Result<bool> {
        let mut appender = self.append.lock();
        self.check_takes(&appender)?;
        if appender.has_room(payload) {
            return Ok(true);
        }
        let pool = &self.shared.stage.pool;
        let roomy = pool.free_bytes() > pool.total_bytes() / 2;
        let want = ChunkWish { payload, len: appender.wish(roomy), internal };
        let (topic_id, partition) = (self.key.topic_id, self.key.partition);
        let base = appender.next_offset;
        let chunk = self.shared.stage.begin_chunk(want, topic_id, partition, base, Vec::new());
        let Some(chunk) = chunk.map_err(|e| self.error(e))? else { return Ok(false) };
        let first = !std::mem::replace(&mut appender.held, true);
        appender.install(chunk);
        drop(appender);
        if first && let Some(this) = self.this.upgrade() {
            self.shared.room.holds_chunks(this);
        }
        Ok(true)
    }
}

fn out_of_bounds(time: i64, distance: &str, key: &str, most: i64) -> Error {
    let message = format!("timestamp {time} is {distance}: {key} is {most}");
    Error::new(ErrorKind::InvalidTimestamp, message)
}
