//! The interceptors of one producer, and how they are called.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::{Error, ErrorKind, Header, Result};

use super::super::batch_delivery::{self, BatchDelivery};
use super::super::delivery::{Delivery, Placed};
use super::super::producer::Shared;
use super::super::record::Record;
use super::queue::{Look, Queue, Waiting};
use super::{OutgoingRecord, ProducerInterceptor, SendOutcome};

/// The interceptors of a producer, in their order. Never empty.
pub(in crate::client) struct Chain {
    interceptors: Vec<Arc<dyn ProducerInterceptor>>,
    failures: AtomicU64,
    queue: Queue,
}

impl Chain {
    /// `None` where there are no interceptors: then nothing of this is ever looked at.
    pub(in crate::client) fn new(
        interceptors: Vec<Arc<dyn ProducerInterceptor>>,
    ) -> Option<Box<Self>> {
        let failures = AtomicU64::new(0);
        let chain = Self { interceptors, failures, queue: Queue::default() };
        (!chain.interceptors.is_empty()).then(|| Box::new(chain))
    }

    pub(in crate::client) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    pub(in crate::client) fn send<'p>(
        &self,
        producer: &'p Arc<Shared>,
        record: &Record<'_>,
    ) -> Result<Delivery<'p>> {
        self.send_by(record, |record| producer.place(record))
    }

    /// Sends a record by `place`.
    pub(in crate::client) fn send_by<'p>(
        &self,
        record: &Record<'_>,
        place: impl FnOnce(&Record<'_>) -> Result<Delivery<'p>>,
    ) -> Result<Delivery<'p>> {
        let record_out = self.intercept(record);
        let changed: Vec<Header<'_>>;
        let headers = if record_out.has_changed_headers() {
            changed = record_out.headers();
            &changed[..]
        } else {
            record.raw.headers
        };
        let sent = place(&record_out.record(headers));
        match &sent {
            Ok(delivery) => {
                self.queue.push(delivery.waiting());
                self.tell_done(Look::Front);
            }
            Err(error) => {
                let partition = record_out.partition().or(error.partition());
                self.tell(&SendOutcome {
                    topic: record_out.topic(),
                    partition,
                    result: Err(error),
                });
            }
        }
        sent
    }

    pub(in crate::client) fn send_batch<'p, 'a>(
        &self,
        producer: &'p Arc<Shared>,
        records: impl Iterator<Item = Record<'a>>,
    ) -> BatchDelivery<'p> {
        let records: Vec<_> = records.map(|record| self.intercept(&record)).collect();
        let headers: Vec<_> = records.iter().map(OutgoingRecord::headers).collect();
        let outgoing = records.iter().zip(&headers).map(|(record, h)| record.record(h));
        let sent = batch_delivery::send(producer, outgoing);
        self.await_all(&sent, &records);
        sent
    }

    /// Sends records by `place`, all or none.
    pub(in crate::client) fn send_all_by<'p, 'a>(
        &self,
        records: impl Iterator<Item = Record<'a>>,
        place: impl FnOnce(&[Record<'_>]) -> Result<BatchDelivery<'p>>,
    ) -> Result<BatchDelivery<'p>> {
        let records: Vec<_> = records.map(|record| self.intercept(&record)).collect();
        let headers: Vec<_> = records.iter().map(OutgoingRecord::headers).collect();
        let outgoing: Vec<_> =
            records.iter().zip(&headers).map(|(record, h)| record.record(h)).collect();
        let sent = place(&outgoing);
        match &sent {
            Ok(sent) => self.await_all(sent, &records),
            Err(error) => {
                for record in &records {
                    let partition = record.partition().or(error.partition());
                    let topic = record.topic();
                    self.tell(&SendOutcome { topic, partition, result: Err(error) });
                }
            }
        }
        sent
    }

    fn await_all(&self, sent: &BatchDelivery<'_>, records: &[OutgoingRecord<'_>]) {
        for part in sent.parts() {
            for (number, index) in (0..).zip(part.record_indexes()) {
                let Some(record) = records.get(*index) else { continue };
                match part.waiting(number, record) {
                    Ok(waiting) => self.queue.push(waiting),
                    Err(error) => {
                        let (topic, partition) = (part.topic(), part.partition());
                        self.tell(&SendOutcome { topic, partition, result: Err(&error) });
                    }
                }
            }
        }
        self.tell_done(Look::Front);
    }

    /// Tells of every record that is done by now.
    pub(in crate::client) fn tell_all_done(&self) {
        self.tell_done(Look::All);
    }

    /// The close is over: tells of every record, and of those that are pending that they failed.
    pub(in crate::client) fn tell_rest(&self) {
        self.tell_done(Look::All);
        for Waiting { topic, placed, .. } in self.queue.take_all() {
            let message = "the producer was closed before the record reached its level; it is in \
                           the log and may still do so";
            let error = Error::new(ErrorKind::Closed, message).with_offset(placed.offset);
            let partition = Some(placed.partition);
            self.tell(&SendOutcome { topic: &topic, partition, result: Err(&error) });
        }
    }

    fn tell_done(&self, look: Look) {
        self.queue.tell_done(look, |Waiting { topic, placed, .. }, outcome| {
            let (partition, result) = (Some(placed.partition), outcome.as_ref().copied());
            self.tell(&SendOutcome { topic, partition, result });
        });
    }

    fn intercept<'a>(&self, record: &Record<'a>) -> OutgoingRecord<'a> {
        let mut outgoing = OutgoingRecord::new(*record);
        for interceptor in &self.interceptors {
            let survived = outgoing.try_change(|record| interceptor.on_send(record));
            self.count(survived);
        }
        outgoing
    }

    fn tell(&self, outcome: &SendOutcome<'_>) {
        for interceptor in &self.interceptors {
            let told = catch_unwind(AssertUnwindSafe(|| interceptor.on_acknowledgement(outcome)));
            self.count(told.is_ok());
        }
    }

    fn count(&self, survived: bool) {
        self.failures.fetch_add(u64::from(!survived), Ordering::Relaxed);
    }
}

impl Delivery<'_> {
    fn waiting(&self) -> Waiting {
        let (topic, door, placed) = self.parts();
        Waiting { topic: Arc::clone(topic), door: Arc::clone(door), placed }
    }
}

impl batch_delivery::BatchPart<'_> {
    /// Where the `number`th record of this part stands; the error when the part was refused.
    fn waiting(&self, number: u64, record: &OutgoingRecord<'_>) -> Result<Waiting> {
        let offset = self.result()?.start + number;
        let Some((partition, door)) = self.partition().zip(self.door()) else {
            return Err(Error::new(ErrorKind::Unknown, "a part without a place was appended"));
        };
        let placed = Placed {
            partition,
            offset,
            timestamp_ms: self.time_of(record.timestamp_ms()),
            key_size: record.key().map(<[u8]>::len),
            value_size: record.value().map(<[u8]>::len),
        };
        Ok(Waiting { topic: Arc::clone(self.topic_name()), door: Arc::clone(door), placed })
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chain")
            .field("interceptors", &self.interceptors.len())
            .field("failures", &self.failures)
            .finish_non_exhaustive()
    }
}
