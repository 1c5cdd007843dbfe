//! A backend of plain vectors: what clients must do is tested without a node.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::backend::*;
use crate::base::wait::Deadline;
use crate::base::{
    Clock, Error, ErrorKind, Isolation, ManualClock, RawRecord, Result, TimestampType, TopicId,
    TopicPartition,
};
use crate::batch::{Attributes, Batch, BatchHeader, encode_record, encoded_len};

use super::{ConsumerBuilder, ProducerBuilder, Topic};

#[derive(Debug)]
pub(super) struct Fake {
    pub(super) clock: ManualClock,
    routes: Mutex<BTreeMap<String, Arc<TopicRoute>>>,
    partitions: Mutex<BTreeMap<TopicPartition, Arc<FakePartition>>>,
    pub(super) closed: AtomicBool,
    pub(super) resolved: AtomicUsize,
    pub(super) flushed: AtomicUsize,
    pub(super) ran_due: AtomicUsize,
    /// What `run_due` makes visible, once.
    pub(super) due: Mutex<Option<Arc<FakePartition>>>,
    next_id: AtomicUsize,
    changes: Changes,
    files: Mutex<BTreeMap<PathBuf, Vec<u8>>>,
}

#[derive(Debug)]
pub(super) struct FakePartition {
    clock: ManualClock,
    pub(super) state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) batches: Vec<Batch>,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) visible: u64,
    pub(super) gaps: Vec<(u64, u64)>,
    /// Records stay invisible until `publish` or `help`.
    pub(super) lazy: bool,
    pub(super) closed: bool,
    pub(super) fetches: Vec<Fetch>,
    pub(super) fail_fetch: Option<Error>,
    /// What happens behind the next fetch.
    pub(super) after_fetch: Option<fn(&mut State)>,
    rewritten: u64,
    pub(super) fail_append: Option<Error>,
    pub(super) appends: usize,
    /// How often a reader has asked for anything.
    looks: usize,
    wakers: Vec<(u64, u64, Waker)>,
    tokens: u64,
}

impl State {
    pub(super) fn compact(&mut self, keeps: impl Fn(u64) -> bool) {
        self.rewritten += 1;
        for batch in &mut self.batches {
            let (mut kept, mut count) = (Vec::new(), 0);
            let mut records = batch.records();
            while let Ok(Some(record)) = records.next() {
                if keeps(batch.header.base_offset + u64::from(record.offset_delta)) {
                    kept.extend_from_slice(record.encoded());
                    count += 1;
                }
            }
            (batch.header.count, batch.header.payload_len) = (count, kept.len() as u32);
            batch.payload = Bytes::from(kept);
        }
    }
}

impl Fake {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            clock: ManualClock::starting_at(1_000),
            routes: Mutex::default(),
            partitions: Mutex::default(),
            closed: AtomicBool::new(false),
            resolved: AtomicUsize::new(0),
            flushed: AtomicUsize::new(0),
            ran_due: AtomicUsize::new(0),
            due: Mutex::new(None),
            next_id: AtomicUsize::new(1),
            changes: Changes::default(),
            files: Mutex::default(),
        })
    }

    pub(super) fn create(&self, name: &str, count: u32) -> Topic {
        let partition = |number| {
            let made = Arc::new(FakePartition {
                clock: self.clock.clone(),
                state: Mutex::new(State::default()),
            });
            self.partitions.lock().insert(TopicPartition::new(name, number), Arc::clone(&made));
            made as Arc<dyn PartitionBackend>
        };
        let id = TopicId(self.next_id.fetch_add(1, Ordering::Relaxed) as u128);
        let route = TopicRoute::new(name.into(), id, (0..count).map(partition));
        self.routes.lock().insert(name.to_owned(), Arc::clone(&route));
        self.changes.announce();
        Topic::new(route)
    }

    pub(super) fn delete(&self, name: &str) {
        let route = self.routes.lock().remove(name).unwrap();
        route.delete();
        for number in 0..route.partitions.len() as u32 {
            self.partition(name, number).close();
        }
    }

    pub(super) fn partition(&self, name: &str, number: u32) -> Arc<FakePartition> {
        Arc::clone(&self.partitions.lock()[&TopicPartition::new(name, number)])
    }

    pub(super) fn producer(self: &Arc<Self>) -> ProducerBuilder {
        ProducerBuilder::new(Arc::clone(self) as Arc<dyn Backend>).seed(42)
    }

    pub(super) fn consumer(self: &Arc<Self>) -> ConsumerBuilder {
        ConsumerBuilder::new(Arc::clone(self) as Arc<dyn Backend>)
    }
}

impl Backend for Fake {
    fn resolve(&self, topic: &str) -> Result<Arc<TopicRoute>> {
        self.resolved.fetch_add(1, Ordering::Relaxed);
        self.routes.lock().get(topic).cloned().ok_or_else(|| Error::unknown_topic(topic))
    }

    fn topic_changes(&self) -> &Changes {
        &self.changes
    }

    fn clock(&self) -> &dyn Clock {
        &self.clock
    }

    fn flush(&self, _: Deadline) -> Result<()> {
        self.flushed.fetch_add(1, Ordering::Relaxed);
        for partition in self.partitions.lock().values() {
            partition.publish();
        }
        Ok(())
    }

    fn run_due(&self) -> Option<Duration> {
        self.ran_due.fetch_add(1, Ordering::Relaxed);
        if let Some(partition) = self.due.lock().take() {
            partition.publish();
        }
        None
    }

    fn side_files(&self) -> Result<&dyn SideFiles> {
        Ok(self)
    }

    fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) { Err(Error::closed()) } else { Ok(()) }
    }
}

impl SideFiles for Fake {
    fn log_id(&self) -> u128 {
        1
    }

    fn make_durable(&self, _: Deadline<'_>) -> Result<()> {
        Ok(())
    }

    fn open(&self, path: &Path) -> Result<Option<Box<dyn SideFile>>> {
        let file = self.files.lock().get(path).cloned();
        Ok(file.map(|bytes| Box::new(FakeFile(bytes)) as Box<dyn SideFile>))
    }

    fn replace(
        &self,
        path: &Path,
        write: &mut dyn FnMut(&mut dyn SideWriter) -> Result<()>,
    ) -> Result<()> {
        let mut file = FakeFile(Vec::new());
        write(&mut file)?;
        self.files.lock().insert(path.to_owned(), file.0);
        Ok(())
    }
}

struct FakeFile(Vec<u8>);

impl SideFile for FakeFile {
    fn len(&self) -> Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn read(&self, position: u64, len: usize) -> Result<Vec<u8>> {
        Ok(self.0.iter().skip(position as usize).take(len).copied().collect())
    }
}

impl SideWriter for FakeFile {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.extend(bytes);
        Ok(())
    }
}

impl FakePartition {
    /// Appends one batch.
    pub(super) fn add(&self, values: &[&str]) {
        let records: Vec<_> = values
            .iter()
            .map(|value| RawRecord { value: Some(value.as_bytes()), ..RawRecord::default() })
            .collect();
        self.append(Append {
            records: &records,
            producer: None,
            max_block: Duration::ZERO,
            stop: None,
        })
        .unwrap();
    }

    /// Appends one batch of records with keys.
    pub(super) fn add_keyed(&self, records: &[(&str, Option<&str>)]) {
        let records: Vec<_> = records
            .iter()
            .map(|(key, value)| RawRecord {
                key: Some(key.as_bytes()),
                value: value.map(str::as_bytes),
                ..RawRecord::default()
            })
            .collect();
        let (max_block, stop) = (Duration::ZERO, None);
        self.append(Append { records: &records, producer: None, max_block, stop }).unwrap();
    }

    /// Appends a batch that no consumer sees.
    pub(super) fn add_control(&self) {
        self.add(&["marker"]);
        let mut state = self.state.lock();
        let batch = state.batches.last_mut().unwrap();
        batch.header.attributes = batch.header.attributes.with(Attributes::CONTROL);
    }

    /// Keeps only the records at these offsets, as a compaction does: in their batches.
    pub(super) fn compact(&self, keeps: impl Fn(u64) -> bool) {
        self.state.lock().compact(keeps);
    }

    /// Removes the batches that a compaction has emptied.
    pub(super) fn drop_empty(&self) {
        self.state.lock().batches.retain(|batch| batch.header.count > 0);
    }

    /// Leaves out the next `count` offsets.
    pub(super) fn add_gap(&self, count: u64) {
        let mut state = self.state.lock();
        let from = state.end;
        state.end += count;
        state.visible = state.end;
        state.gaps.push((from, from + count));
    }

    /// Makes all that was appended visible.
    pub(super) fn publish(&self) {
        let mut state = self.state.lock();
        state.visible = state.end;
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        for (_, _, waker) in wakers {
            waker.wake();
        }
    }

    /// The topic is gone: whoever waits is called.
    fn close(&self) {
        self.state.lock().closed = true;
        self.publish();
    }

    pub(super) fn looks(&self) -> usize {
        self.state.lock().looks
    }

    pub(super) fn waiters(&self) -> usize {
        self.state.lock().wakers.len()
    }

    /// Spoils the bytes of the record at `offset`, which is its batch's n-th.
    pub(super) fn spoil(&self, batch: usize, byte: usize) {
        let mut state = self.state.lock();
        let batch = &mut state.batches[batch];
        let mut bytes = batch.payload.to_vec();
        bytes[byte..byte + 4].fill(0xff);
        batch.payload = Bytes::from(bytes);
    }
}

fn encode(base_offset: u64, now: i64, records: &[RawRecord<'_>]) -> Result<Batch> {
    let base = records.first().and_then(|r| r.timestamp_ms).unwrap_or(now);
    let mut payload = Vec::new();
    for (delta, record) in records.iter().enumerate() {
        let at = payload.len();
        payload.resize(at + encoded_len(record)?, 0);
        let ts_delta = i32::try_from(record.timestamp_ms.unwrap_or(now) - base).unwrap();
        encode_record(&mut payload[at..], record, delta as u32, Some(ts_delta));
    }
    let header = BatchHeader {
        attributes: Attributes::NONE,
        producer_epoch: -1,
        payload_len: payload.len() as u32,
        payload_crc: 0,
        base_offset,
        base_timestamp: base,
        last_offset_delta: records.len() as u32 - 1,
        count: records.len() as u32,
        max_timestamp_delta: 0,
        leader_epoch: 0,
        producer_id: -1,
        base_sequence: -1,
    };
    Ok(Batch { header, payload: Bytes::from(payload) })
}

impl PartitionBackend for FakePartition {
    fn append(&self, request: Append<'_>) -> Result<Appended> {
        let mut state = self.state.lock();
        if let Some(error) = &state.fail_append {
            return Err(error.clone());
        }
        let base_offset = state.end;
        let now = self.clock.unix_ms();
        state.batches.push(encode(base_offset, now, request.records)?);
        state.appends += 1;
        state.end += request.records.len() as u64;
        let lazy = state.lazy;
        drop(state);
        if !lazy {
            self.publish();
        }
        let timestamp_type = TimestampType::CreateTime;
        let (duplicate, exact) = (false, true);
        Ok(Appended { base_offset, timestamp_ms: now, timestamp_type, duplicate, exact })
    }

    fn fetch(&self, request: &Fetch, into: &mut Vec<FetchedBatch>) -> Result<FetchInfo> {
        let mut state = self.state.lock();
        state.fetches.push(*request);
        state.looks += 1;
        if let Some(error) = &state.fail_fetch {
            return Err(error.clone());
        }
        if request.from < state.start || request.from > state.end {
            return Err(Error::new(ErrorKind::OffsetOutOfRange, "out of range"));
        }
        let mut bytes = 0;
        let wanted = |batch: &&Batch| {
            batch.header.next_offset() > request.from && batch.header.base_offset < state.visible
        };
        for batch in state.batches.iter().filter(wanted) {
            bytes += batch.payload.len();
            if bytes > request.max_bytes && !into.is_empty() {
                break;
            }
            into.push(FetchedBatch {
                header: batch.header,
                payload: batch.payload.clone(),
                position: 0,
                below: state.visible,
            });
        }
        let after = state.after_fetch.take();
        let info = Ok(FetchInfo {
            gaps: state.gaps.iter().copied().filter(|(_, to)| *to > request.from).collect(),
            hint: FetchHint::default(),
        });
        after.into_iter().for_each(|after| after(&mut state));
        info
    }

    fn marks(&self) -> PartitionMarks {
        let mut state = self.state.lock();
        state.looks += 1;
        PartitionMarks {
            start: state.start,
            stable: state.visible,
            visible: state.visible,
            end: state.end,
            durable: state.visible,
        }
    }

    fn rewritten(&self) -> u64 {
        self.state.lock().rewritten
    }

    fn find_timestamp(&self, timestamp_ms: i64, _: Isolation) -> Result<Option<(u64, i64)>> {
        let state = self.state.lock();
        for batch in &state.batches {
            let mut records = batch.records();
            while let Ok(Some(record)) = records.next() {
                let offset = batch.header.base_offset + u64::from(record.offset_delta);
                let time = batch.header.timestamp(record.ts_delta).unwrap();
                if time >= timestamp_ms && offset < state.visible {
                    return Ok(Some((offset, time)));
                }
            }
        }
        Ok(None)
    }

    fn behind_damage(&self, from: u64) -> Result<u64> {
        let state = self.state.lock();
        let batch = state.batches.iter().find(|batch| batch.header.next_offset() > from);
        Ok(batch.map_or(state.end, |batch| batch.header.next_offset()))
    }

    fn wait_reached(&self, offset: u64, deadline: Deadline) -> Result<()> {
        if self.state.lock().visible >= offset {
            return Ok(());
        }
        if deadline.has_passed(&self.clock) {
            return Err(Error::new(ErrorKind::DeliveryTimeout, "not yet"));
        }
        self.publish();
        assert!(self.state.lock().visible >= offset);
        Ok(())
    }

    fn register(&self, from: u64, _: Isolation, waker: &Waker) -> Option<WaitToken> {
        let mut state = self.state.lock();
        state.looks += 1;
        if state.closed || state.visible > from || (state.lazy && state.end > state.visible) {
            return None;
        }
        state.tokens += 1;
        let token = state.tokens;
        state.wakers.push((token, from, waker.clone()));
        Some(WaitToken(token))
    }

    fn unregister(&self, token: WaitToken) {
        self.state.lock().wakers.retain(|(id, _, _)| *id != token.0);
    }

    fn help(&self, from: u64, _: Isolation, _: Deadline) -> Result<bool> {
        let marks = self.marks();
        let helps = marks.end > marks.visible && marks.end > from;
        if helps {
            self.publish();
        }
        Ok(helps)
    }
}
