//! Partitions chosen by the program.

/// Chooses the partition of records that name none.
///
/// Set with [`ProducerBuilder::partitioner`](crate::ProducerBuilder::partitioner). It is asked
/// once for each record, on the thread that sends, under no lock; a panic passes through `send`,
/// and nothing of that call was appended. A record that names its partition is not shown to it.
///
/// Functions of this form are partitioners:
///
/// ```
/// use alluvium::{EventLog, NewTopic};
///
/// fn by_first_byte(_topic: &str, key: Option<&[u8]>, _value: Option<&[u8]>, count: u32) -> u32 {
///     key.and_then(|key| key.first()).map_or(0, |byte| u32::from(*byte) % count)
/// }
///
/// let log = EventLog::in_memory();
/// let orders = log.create_topic(NewTopic::new("orders").partitions(3))?;
/// let producer = log.producer().partitioner(by_first_byte).build()?;
/// let placed = producer.send(orders.record("one espresso").key("a"))?.wait()?;
/// assert_eq!(placed.partition, u32::from(b'a') % 3);
/// # Ok::<(), alluvium::Error>(())
/// ```
pub trait Partitioner: Send + Sync + 'static {
    /// The partition of a record of `topic`: below `partition_count`, which is at least 1. A
    /// greater number makes the send fail with `InvalidRequest`.
    fn partition(
        &self,
        topic: &str,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        partition_count: u32,
    ) -> u32;
}

impl<F> Partitioner for F
where
    F: Fn(&str, Option<&[u8]>, Option<&[u8]>, u32) -> u32 + Send + Sync + 'static,
{
    fn partition(
        &self,
        topic: &str,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        partition_count: u32,
    ) -> u32 {
        self(topic, key, value, partition_count)
    }
}
