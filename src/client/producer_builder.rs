//! How a producer is made.

use std::fmt;
use std::sync::Arc;

use crate::backend::{Backend, ProducerEpoch};
use crate::base::Result;
use crate::base::config::invalid;
use crate::base::wait::Deadline;

use super::interceptor::{Chain, ProducerInterceptor};
use super::numbering::{Identity, Numbering};
use super::partitioner::{Partitioner, Random, Strategy};
use super::producer::{Producer, Shared};
use super::producer_settings::ProducerSettings;

/// Makes a [`Producer`]. From `EventLog::producer`.
///
/// Settings are checked together in [`build`](Self::build).
///
/// ```
/// use alluvium::{ErrorKind, EventLog};
///
/// let log = EventLog::in_memory();
/// let producer = log.producer().set("max.block.ms", "500").build()?;
/// let refused = log.producer().set("linger.ms", "5").build().unwrap_err();
/// assert_eq!(refused.kind(), ErrorKind::InvalidConfig);
/// # drop(producer);
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone)]
#[must_use = "a producer is made by build()"]
pub struct ProducerBuilder {
    backend: Arc<dyn Backend>,
    settings: Vec<(String, String)>,
    strategy: Option<Strategy>,
    interceptors: Vec<Arc<dyn ProducerInterceptor>>,
    seed: Option<u64>,
    name: Option<String>,
}

impl ProducerBuilder {
    pub(crate) fn new(backend: Arc<dyn Backend>) -> Self {
        Self {
            backend,
            settings: Vec::new(),
            strategy: None,
            interceptors: Vec::new(),
            seed: None,
            name: None,
        }
    }

    /// One of Kafka's string settings. The last value of a key counts.
    ///
    /// | key | unit | bounds | default |
    /// |---|---|---|---|
    /// | `max.block.ms` | ms | 0 ..= i64::MAX | 60,000: how long `send` waits for room |
    /// | `delivery.timeout.ms` | ms | 0 ..= i64::MAX | 120,000: how long `wait`, `flush` and `close` wait |
    /// | `batch.size` | bytes | 0 ..= i32::MAX | 16,384: records without a key change the partition after this many |
    /// | `max.request.size` | bytes | 0 ..= 64 MiB | 1 MiB: the largest record that `send` takes |
    /// | `enable.idempotence` | | `true`, `false` | `false`; see [`idempotent`](Self::idempotent) |
    /// | `partitioner.class` | | empty, `round-robin` | empty: by key, else sticky; see [`round_robin`](Self::round_robin) |
    /// | `partitioner.ignore.keys` | | `true`, `false` | `false`; see [`ignore_keys`](Self::ignore_keys) |
    ///
    /// These are checked and have no effect, because there is no network, no queue and no
    /// retry between `send` and the log. A value that would promise something else is refused.
    ///
    /// | key | values | says |
    /// |---|---|---|
    /// | `linger.ms` | 0 | a record is in the log when `send` returns |
    /// | `acks` | `all`, `-1` | a delivery is done when its topic's level is reached |
    /// | `compression.type` | `none` | batches are not compressed |
    /// | `partitioner.adaptive.partitioning.enable` | `false` | partitions have no queues to adapt to |
    /// | `interceptor.classes` | empty | interceptors are values: see [`interceptor`](Self::interceptor) |
    /// | `request.timeout.ms` | 0 ..= i32::MAX | nothing, but that `delivery.timeout.ms` must not be below it where both are set |
    /// | `retries`, `max.in.flight.requests.per.connection` | 0 (1) ..= i32::MAX | nothing |
    /// | `buffer.memory`, `retry.backoff.ms`, `retry.backoff.max.ms` | 0 ..= i64::MAX | nothing: the stage is the log's |
    /// | `client.id` | any | nothing |
    pub fn set(mut self, key: &str, value: &str) -> Self {
        self.settings.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Lets the program choose the partition of records that name none. Wins over
    /// `partitioner.class` and `partitioner.ignore.keys`. See [`Partitioner`].
    ///
    /// Default: by the key's hash (Kafka's murmur2), without a key the sticky partition.
    pub fn partitioner(mut self, partitioner: impl Partitioner) -> Self {
        self.strategy = Some(Strategy::Custom(Arc::new(partitioner)));
        self
    }

    /// Partitions take turns in each topic, from 0, whatever the key: records of one key then go
    /// to different partitions. Wins over `partitioner.class`.
    ///
    /// ```
    /// use alluvium::{EventLog, NewTopic};
    ///
    /// let log = EventLog::in_memory();
    /// let orders = log.create_topic(NewTopic::new("orders").partitions(2))?;
    /// let producer = log.producer().round_robin().build()?;
    /// for expected in [0, 1, 0] {
    ///     let delivery = producer.send(orders.record("one espresso").key("table-7"))?;
    ///     assert_eq!(delivery.placed().partition, expected);
    /// }
    /// # Ok::<(), alluvium::Error>(())
    /// ```
    pub fn round_robin(mut self) -> Self {
        self.strategy = Some(Strategy::RoundRobin);
        self
    }

    /// Records with a key go to the sticky partition too, as if they had none. Wins over
    /// `partitioner.class` and `partitioner.ignore.keys`.
    pub fn ignore_keys(mut self) -> Self {
        self.strategy = Some(Strategy::IgnoreKeys);
        self
    }

    /// Adds code that sees every record before it is placed, may change it, and is told what
    /// became of it. See [`ProducerInterceptor`]. Default: none, which costs nothing.
    pub fn interceptor(mut self, interceptor: impl ProducerInterceptor) -> Self {
        self.interceptors.push(Arc::new(interceptor));
        self
    }

    /// Fixes the partitions that records without a key are spread over, so that a test of one
    /// thread repeats exactly. Default: different in each producer.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Numbers the records of each partition, so that what is sent twice is appended once (B20).
    /// The same as `enable.idempotence=true`. Default: no. Inside of one process a send is never
    /// repeated behind the program's back, so this only helps programs that give
    /// [`Record::sequence`](crate::Record::sequence) themselves.
    pub fn idempotent(self, enabled: bool) -> Self {
        self.set("enable.idempotence", if enabled { "true" } else { "false" })
    }

    /// Numbers the records, under a name that outlives the producer: whoever builds a producer of
    /// this name again goes on where this one ended
    /// ([`Producer::last_sequence`](crate::Producer::last_sequence)), and fences it. What the log
    /// remembers of a name never expires. 1 to 249 bytes.
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// The producer.
    ///
    /// # Errors
    ///
    /// `InvalidConfig` for a key that is unknown or a value outside of its bounds, naming both;
    /// `Closed` when the log is closed. With a name or idempotence also `StorageFull`,
    /// `StorageError`: what the log must remember could not be written.
    pub fn build(self) -> Result<Producer> {
        let settings = ProducerSettings::parse(&self.settings)?;
        match (self.name.clone(), settings.idempotent) {
            (Some(_), Some(false)) => {
                let reason = "a producer with a name numbers its records";
                Err(invalid("enable.idempotence", "false", reason))
            }
            (None, None | Some(false)) => self.make(settings, None),
            (Some(name), _) => self.make(
                settings,
                Some(&|backend, deadline| {
                    let holder = backend.transactions()?.hold_name(&name, deadline)?;
                    let name = Some((name.as_str().into(), holder.fenced));
                    Ok(Numbering::Own(Identity { stamp: holder.stamp, name }))
                }),
            ),
            (None, Some(true)) => self.make(
                settings,
                Some(&|backend, deadline| {
                    let producer = backend.transactions()?.new_producer(deadline)?;
                    let stamp = ProducerEpoch { producer, epoch: 0 };
                    Ok(Numbering::Own(Identity { stamp, name: None }))
                }),
            ),
        }
    }

    /// What a transactional producer is made of.
    pub(super) fn build_numbered(
        self,
        number: impl Fn(&dyn Backend, Deadline<'_>) -> Result<Numbering>,
    ) -> Result<Arc<Shared>> {
        let settings = ProducerSettings::parse(&self.settings)?;
        if settings.idempotent == Some(false) {
            let reason = "a transactional producer numbers its records";
            return Err(invalid("enable.idempotence", "false", reason));
        }
        self.make(settings, Some(&number)).map(Producer::into_shared)
    }

    fn make(self, mut settings: ProducerSettings, number: Option<Number<'_>>) -> Result<Producer> {
        settings.strategy = self.strategy.unwrap_or(settings.strategy);
        self.backend.check_open()?;
        let deadline = || Deadline::after(self.backend.clock(), settings.max_block);
        let numbering = number.map(|number| number(&*self.backend, deadline())).transpose()?;
        let random = self.seed.map_or_else(Random::unseeded, Random::seeded);
        let chain = Chain::new(self.interceptors);
        Ok(Producer::new(self.backend, settings, random, chain, numbering))
    }
}

/// How the log comes to know a producer.
type Number<'n> = &'n dyn Fn(&dyn Backend, Deadline<'_>) -> Result<Numbering>;

impl fmt::Debug for ProducerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProducerBuilder")
            .field("settings", &self.settings)
            .field("strategy", &self.strategy)
            .finish_non_exhaustive()
    }
}
