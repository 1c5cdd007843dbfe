//! Code of the program's own that sees every record of a producer, and what became of it.

mod chain;
mod outcome;
mod outgoing;
mod queue;

pub use outcome::SendOutcome;
pub use outgoing::OutgoingRecord;

pub(super) use chain::Chain;

/// Sees each record of a producer before it is placed, may change it, and is told what became of
/// it.
///
/// Set with [`ProducerBuilder::interceptor`](crate::ProducerBuilder::interceptor). Several are
/// called in the order in which they were set, each seeing the changes of those before it. They
/// run on the threads that use the producer and under no lock, so they may send and flush, by this
/// producer too (whose records they then see).
///
/// A panic never fails a send: the changes of that call are dropped, the panic is counted
/// ([`Producer::interceptor_failures`](crate::Producer::interceptor_failures)), and the record goes
/// on as it was before. (Not in a program that is built to abort on panic.)
///
/// A function that takes `&mut OutgoingRecord<'_>` is an interceptor of sends.
///
/// ```
/// use alluvium::{EventLog, NewTopic, OutgoingRecord, Record};
///
/// let log = EventLog::in_memory();
/// log.create_topic(NewTopic::new("orders"))?;
/// let stamp = |record: &mut OutgoingRecord<'_>| record.add_header("origin", Some(b"till 3"));
/// let producer = log.producer().interceptor(stamp).build()?;
/// producer.send(Record::new("orders", "one espresso"))?.wait()?;
/// # Ok::<(), alluvium::Error>(())
/// ```
pub trait ProducerInterceptor: Send + Sync + 'static {
    /// Sees a record before its partition is chosen. What it sets is sent instead; checks of size
    /// and names come afterwards.
    fn on_send(&self, record: &mut OutgoingRecord<'_>) {
        let _ = record;
    }

    /// Is told once of each record what became of it: that it reached its topic's level, or why
    /// it did not.
    ///
    /// A record that has its level when it is placed is told of by the thread that sends it. The
    /// others are told of by the next call that finds out: a send, a wait, a flush, a close. So
    /// all that a flush has waited for is told when it returns, unless another thread is just
    /// telling it. What is pending when a close ends is told as failed. A producer that is dropped
    /// without a close tells nothing more.
    fn on_acknowledgement(&self, outcome: &SendOutcome<'_>) {
        let _ = outcome;
    }
}

impl<F: Fn(&mut OutgoingRecord<'_>) + Send + Sync + 'static> ProducerInterceptor for F {
    fn on_send(&self, record: &mut OutgoingRecord<'_>) {
        self(record);
    }
}
