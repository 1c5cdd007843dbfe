//! Housekeeping: what is to be done to stored records, whether or not anybody uses the log.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

use crate::base::events::Events;
use crate::base::{Clock, ClockWatch, LogConfig, TopicPartition};
use crate::partition::{Partition, Relief, Shared};

use super::OpenTopic;
use super::compaction::{Compactor, Coordinators};
use super::housekeeping_event::{DeletedSegments, HousekeepingEvent};
use super::worker::Chore;

/// The first look after an open comes so soon, or after one interval.
const FIRST_CHECK: Duration = Duration::from_secs(30);

/// The open topics of a log, by name.
pub(super) type OpenTopics = RwLock<HashMap<Arc<str>, OpenTopic>>;

/// What a log does to its old records, on whatever thread: retention and compaction.
pub struct Housekeeping {
    shared: Arc<Shared>,
    topics: Arc<OpenTopics>,
    compactor: Compactor,
    check_interval: Duration,
    /// Held while a pass is under way.
    state: Mutex<State>,
    events: Mutex<Events<HousekeepingEvent>>,
}

struct State {
    watch: ClockWatch,
    next_check: Duration,
    /// Segments from the future that were told of.
    pinned: HashMap<TopicPartition, u64>,
}

/// What a retention pass found and did. From
/// [`Admin::run_retention`](crate::Admin::run_retention).
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RetentionReport {
    /// How many partitions have a retention at all.
    pub checked: usize,
    /// So far wall time has jumped since the last pass, in milliseconds; negative: backwards.
    /// Nothing was deleted then.
    pub clock_jump_ms: Option<i64>,
    /// What was deleted, by partition.
    pub deleted: Vec<DeletedSegments>,
    /// Partitions in which a segment that is stamped in the future keeps older ones: its base
    /// offset and its greatest timestamp, in milliseconds since the Unix epoch.
    pub pinned: Vec<(TopicPartition, u64, i64)>,
    /// What could not be done; the next pass tries it again.
    pub failed: Vec<(TopicPartition, crate::base::Error)>,
}

impl Housekeeping {
    /// For a log that was opened just now.
    pub fn new(
        shared: &Arc<Shared>,
        topics: &Arc<OpenTopics>,
        coordinators: Coordinators<'_>,
        config: &LogConfig,
    ) -> Arc<Self> {
        let clock = shared.clock();
        let now = clock.monotonic();
        let check_interval = Duration::from_millis(config.retention_check_ms);
        let state = State {
            watch: ClockWatch::new(now, clock.unix_ms()),
            next_check: now + check_interval.min(FIRST_CHECK),
            pinned: HashMap::new(),
        };
        Arc::new(Self {
            shared: Arc::clone(shared),
            topics: Arc::clone(topics),
            compactor: Compactor::new(shared, topics, coordinators, config),
            check_interval,
            state: Mutex::new(state),
            events: Mutex::default(),
        })
    }

    /// Who compacts.
    pub fn compactor(&self) -> &Compactor {
        &self.compactor
    }

    /// What happened since the last call.
    pub fn take_events(&self) -> Vec<HousekeepingEvent> {
        let told = self.shared.relief().map(Relief::take_told).unwrap_or_default();
        let mut events = self.events.lock();
        for (partition, gone) in told {
            events.push(HousekeepingEvent::Deleted(DeletedSegments {
                partition,
                log_start_offset: gone.log_start_offset,
                by_size: 0,
                by_time: 0,
                by_budget: gone.segments,
                bytes: gone.bytes,
            }));
        }
        events.take(HousekeepingEvent::Missed)
    }

    /// One pass over all partitions, now.
    pub fn run_retention(&self) -> RetentionReport {
        self.check(&mut self.state.lock())
    }

    fn check(&self, state: &mut State) -> RetentionReport {
        let clock = &**self.shared.clock();
        let (now, wall_ms) = (clock.monotonic(), clock.unix_ms());
        state.next_check = now.saturating_add(self.check_interval);
        let clock_jump_ms = state.watch.look(now, wall_ms);
        let mut report = RetentionReport { clock_jump_ms, ..RetentionReport::default() };
        if let Some(by_ms) = report.clock_jump_ms {
            // Perhaps the clock was set wrong: what is old is as old in the next pass.
            self.events.lock().push(HousekeepingEvent::ClockJumped { by_ms });
        }
        let told = std::mem::take(&mut state.pinned);
        for partition in self.with_retention() {
            report.checked += 1;
            if report.clock_jump_ms.is_none() {
                self.expire(&partition, wall_ms, &mut report);
            }
        }
        for (partition, base_offset, timestamp_ms) in &report.pinned {
            if told.get(partition) != Some(base_offset) {
                self.events.lock().push(HousekeepingEvent::RetentionPinned {
                    partition: partition.clone(),
                    base_offset: *base_offset,
                    timestamp_ms: *timestamp_ms,
                });
            }
            state.pinned.insert(partition.clone(), *base_offset);
        }
        report
    }

    fn expire(&self, partition: &Partition, wall_ms: i64, report: &mut RetentionReport) {
        let name = || partition.name().clone();
        let expired = match partition.expire(wall_ms) {
            Ok(expired) => expired,
            Err(error) => return report.failed.push((name(), error)),
        };
        if let Some((base_offset, timestamp_ms)) = expired.pinned_by {
            report.pinned.push((name(), base_offset, timestamp_ms));
        }
        if expired.by_size + expired.by_time > 0 {
            let deleted = DeletedSegments {
                partition: name(),
                log_start_offset: expired.log_start_offset,
                by_size: expired.by_size,
                by_time: expired.by_time,
                by_budget: 0,
                bytes: expired.bytes,
            };
            self.events.lock().push(HousekeepingEvent::Deleted(deleted.clone()));
            report.deleted.push(deleted);
        }
    }

    fn with_retention(&self) -> Vec<Arc<Partition>> {
        let topics = self.topics.read();
        let all = topics.values().flat_map(|topic| &topic.partitions);
        all.filter(|partition| partition.has_retention()).cloned().collect()
    }

    fn any_retention(&self) -> bool {
        let topics = self.topics.read();
        // All partitions of a topic go by the same settings.
        topics.values().filter_map(|topic| topic.partitions.first()).any(|p| p.has_retention())
    }
}

impl Chore for Housekeeping {
    fn run_due(&self) -> Option<Duration> {
        let (clock, agenda) = (&**self.shared.clock(), self.shared.agenda());
        if agenda.begin(clock) {
            let mut state = self.state.lock();
            if self.any_retention() {
                if state.next_check <= clock.monotonic() {
                    let report = self.check(&mut state);
                    report
                        .failed
                        .into_iter()
                        .for_each(|(_, error)| self.shared.files().warn(error));
                }
                agenda.plan(state.next_check);
            }
            drop(state);
            let (compacted, next) = self.compactor.step();
            if let Some(compacted) = compacted {
                self.events.lock().push(HousekeepingEvent::Compacted(compacted));
            }
            match next {
                Some(at) if at <= clock.monotonic() => agenda.call(),
                Some(at) => agenda.plan(at),
                None => {}
            }
        }
        agenda.next_due(clock)
    }

    fn sleep(&self, waker: &Waker, _planned: bool) -> bool {
        self.shared.agenda().sleep(waker)
    }

    fn clock(&self) -> &dyn Clock {
        &**self.shared.clock()
    }
}
