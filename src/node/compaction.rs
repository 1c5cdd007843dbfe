//! Compaction of a log: the dirtiest partition first, one at a time, in slices.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::base::{Clock, Error, ErrorKind, LogConfig};
use crate::coord::{groups, transactions};
use crate::log::{CompactionPass, PartitionKey, Slice, Verdict};
use crate::partition::{Beginning, Partition, Shared};

use super::compaction_report::{CompactedPartition, CompactionOutcome, PartitionCompaction};
use super::housekeeping::OpenTopics;

/// A slice of a pass reads and writes so much.
const SLICE_BYTES: u64 = 4 << 20;
/// And takes so long, but for the sync of a file.
const SLICE_TIME: Duration = Duration::from_millis(5);
/// A partition that failed is left alone for so long.
const RETRY: Duration = Duration::from_secs(60);

/// Whose topics are compacted too.
pub type Coordinators<'c> = (&'c groups::Coordinator, &'c Arc<transactions::Coordinator>);

/// Compacts the partitions of a log, on whatever thread.
pub struct Compactor {
    shared: Arc<Shared>,
    topics: Arc<OpenTopics>,
    /// Those of the log's own topics.
    own: [Arc<Partition>; 2],
    transactions: Arc<transactions::Coordinator>,
    rules: Rules,
    /// Held for a slice, or as long as somebody who asked for it waits.
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug)]
struct Rules {
    enabled: bool,
    map_bytes: u64,
    bytes_per_second: f64,
    backoff: Duration,
}

#[derive(Default)]
struct State {
    run: Option<Run>,
    /// The throttle allows nothing before.
    not_before: Duration,
    failures: HashMap<PartitionKey, Failure>,
    closed: bool,
}

struct Run {
    partition: Arc<Partition>,
    pass: Box<CompactionPass>,
}

struct Failure {
    retry_at: Duration,
    /// What was told of it: the same is not told again.
    told: String,
}

/// What a look at all partitions found.
struct Choice {
    dirtiest: Option<Arc<Partition>>,
    /// Time alone may make another one due.
    waits: bool,
}

impl Compactor {
    /// For a log that is being opened.
    pub fn new(
        shared: &Arc<Shared>,
        topics: &Arc<OpenTopics>,
        (groups, transactions): Coordinators<'_>,
        config: &LogConfig,
    ) -> Self {
        let rules = Rules {
            enabled: config.cleaner_enable,
            map_bytes: config.cleaner_dedupe_buffer_bytes,
            bytes_per_second: config.cleaner_io_max_bytes_per_second,
            backoff: Duration::from_millis(config.cleaner_backoff_ms),
        };
        let (shared, topics) = (Arc::clone(shared), Arc::clone(topics));
        let own = [groups.partition(), transactions.partition()].map(Arc::clone);
        let transactions = Arc::clone(transactions);
        Self { shared, topics, own, transactions, rules, state: Mutex::default() }
    }

    fn clock(&self) -> &dyn Clock {
        &**self.shared.clock()
    }

    /// Does one slice of what is due, the dirtiest partition first. What was finished by it, and
    /// when there is more, in monotonic time.
    pub fn step(&self) -> (Option<CompactedPartition>, Option<Duration>) {
        // Whoever holds it calls housekeeping when it is done.
        let Some(mut state) = self.state.try_lock() else { return (None, None) };
        let now = self.clock().monotonic();
        if state.closed || !self.rules.enabled {
            return (None, None);
        }
        if now < state.not_before {
            return (None, Some(state.not_before));
        }
        if state.run.is_none() {
            self.transactions.ripen();
            let choice = self.choose(&state.failures, now);
            let Some(partition) = choice.dirtiest else {
                let waits = choice.waits || !state.failures.is_empty();
                return (None, waits.then(|| now.saturating_add(self.rules.backoff)));
            };
            match partition.begin_compaction(self.shared.is_tight(), self.rules.map_bytes) {
                Ok(Beginning::Begun(pass)) => state.run = Some(Run { partition, pass }),
                Ok(_) => {}
                Err(error) => self.fail(&mut state, &partition, error),
            }
        }
        let finished = self.slice(&mut state, now);
        (finished, Some(state.not_before.max(now)))
    }

    fn slice(&self, state: &mut State, now: Duration) -> Option<CompactedPartition> {
        let run = state.run.as_mut()?;
        let mut slice = Slice::new(self.clock(), SLICE_BYTES, SLICE_TIME);
        let done = run.partition.compact(&mut run.pass, &mut slice);
        state.not_before = now.saturating_add(self.pause(slice.spent()));
        if matches!(done, Ok(false)) {
            return None;
        }
        let Run { partition, pass } = state.run.take()?;
        match done {
            Ok(_) => {
                state.failures.remove(&partition.key());
                Some(CompactedPartition::new(&partition, &pass.report()))
            }
            Err(error) => {
                self.fail(state, &partition, error);
                None
            }
        }
    }

    /// How long so many bytes take at the rate that is allowed.
    fn pause(&self, bytes: u64) -> Duration {
        #[allow(clippy::cast_precision_loss, reason = "a rate need not be exact")]
        let seconds = bytes as f64 / self.rules.bytes_per_second;
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }

    fn choose(&self, failures: &HashMap<PartitionKey, Failure>, now: Duration) -> Choice {
        let mut choice = Choice { dirtiest: None, waits: false };
        let mut dirtiest = -1.0;
        let tight = self.shared.is_tight();
        for partition in self.compacted(None) {
            if failures.get(&partition.key()).is_some_and(|failure| failure.retry_at > now) {
                continue;
            }
            match partition.end_overdue() {
                Ok(waits) => choice.waits |= waits,
                Err(error) => self.shared.files().warn(error),
            }
            let (verdict, standing) = partition.compaction_verdict();
            choice.waits |= standing.waits;
            // Where there is hardly room for more, any gain is welcome.
            let due = verdict == Verdict::Due || tight && verdict == Verdict::TooClean;
            if due && standing.ratio() > dirtiest {
                dirtiest = standing.ratio();
                choice.dirtiest = Some(partition);
            }
        }
        choice
    }

    /// The partitions of compacted topics: of all, or of one.
    fn compacted(&self, topic: Option<&str>) -> Vec<Arc<Partition>> {
        let wanted = |p: &&Arc<Partition>| {
            p.is_compacted() && topic.is_none_or(|topic| p.name().topic() == topic)
        };
        let topics = self.topics.read();
        let open = topics.values().flat_map(|topic| &topic.partitions);
        open.chain(&self.own).filter(wanted).cloned().collect()
    }

    fn fail(&self, state: &mut State, partition: &Partition, error: Error) {
        let gone = [ErrorKind::Closed, ErrorKind::UnknownTopicOrPartition];
        if gone.contains(&error.kind()) {
            state.failures.remove(&partition.key());
            return;
        }
        let (retry_at, told) = (self.clock().monotonic() + RETRY, error.to_string());
        let before = state.failures.insert(partition.key(), Failure { retry_at, told });
        if before.is_none_or(|before| before.told != error.to_string()) {
            self.shared.files().warn(error);
        }
    }

    /// Compacts every partition of a topic, or of all topics, on this thread and without a
    /// throttle: those that are due; with `force` all that have anything to look through.
    pub fn run(&self, topic: Option<&str>, force: bool) -> Vec<PartitionCompaction> {
        let mut state = self.state.lock();
        self.transactions.ripen();
        let mut all = self.compacted(topic);
        all.sort_by(|a, b| a.name().cmp(b.name()));
        let told = all.iter().map(|partition| PartitionCompaction {
            partition: partition.name().clone(),
            outcome: self.run_one(&mut state, partition, force),
        });
        let told = told.collect();
        drop(state);
        self.shared.agenda().call();
        told
    }

    fn run_one(
        &self,
        state: &mut State,
        partition: &Arc<Partition>,
        force: bool,
    ) -> CompactionOutcome {
        // What the background has begun is begun again here.
        state.run.take_if(|run| run.partition.key() == partition.key());
        let mut whole = CompactedPartition::empty(partition);
        let bound = partition.compaction_standing().bound;
        let mut rounds = 0;
        loop {
            let before = partition.compaction_standing().first_dirty;
            let mut pass =
                match partition.begin_compaction(force || rounds > 0, self.rules.map_bytes) {
                    Ok(Beginning::Begun(pass)) => pass,
                    Ok(Beginning::NothingNew) => return CompactionOutcome::NothingNew,
                    Ok(Beginning::TooClean(standing)) => {
                        return CompactionOutcome::TooClean { dirty_ratio: standing.ratio() };
                    }
                    Err(error) => return CompactionOutcome::Failed(error),
                };
            loop {
                let mut slice = Slice::new(self.clock(), SLICE_BYTES, SLICE_TIME);
                match partition.compact(&mut pass, &mut slice) {
                    Ok(false) => {}
                    Ok(true) => break,
                    Err(error) => return CompactionOutcome::Failed(error),
                }
            }
            rounds += 1;
            whole.add(&pass.report());
            // A full map ends a pass before the end: the next one goes on there.
            let now = partition.compaction_standing().first_dirty;
            if now <= before || now >= bound {
                return CompactionOutcome::Compacted(whole);
            }
        }
    }

    /// Ends what is under way; nothing is compacted any more.
    pub fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.run = None;
    }
}
