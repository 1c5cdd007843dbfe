//! What the coordinator answers to who asks twice, or is wrong; and what its journal keeps.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::TRANSACTIONS;
use crate::backend::{Append, Backend, EndError, ProducerEpoch, ProducerStamp, TransactionHolder};
use crate::base::wait::Deadline;
use crate::base::{
    ErrorKind, Isolation, ManualClock, NewTopic, RawRecord, TopicId, TopicPartition,
};
use crate::coord::transactions::TransactionFilter;
use crate::disk::sim::SimDisk;
use crate::node::producer_tests::bed::read_all;
use crate::node::{CompactionOutcome, Node, Options};
use crate::partition::Partition;

struct Bed {
    clock: ManualClock,
    node: Arc<Node>,
    topic: TopicId,
}

impl Bed {
    fn new() -> Self {
        Self::open(|_| {})
    }

    /// A log of this level on a simulated disk, without a thread of its own.
    fn on(disk: &SimDisk, level: &str) -> Self {
        Self::open_on(disk, level, |_| {})
    }

    fn open_on(disk: &SimDisk, level: &str, change: impl FnOnce(&mut Options)) -> Self {
        Self::open(|options| {
            options.home = Some(PathBuf::from("/data"));
            options.disk = Some(Arc::new(disk.clone()));
            options.background = false;
            options.stage_bytes = 64 << 10;
            options.close_timeout = Duration::ZERO;
            options.settings.insert("durability".to_owned(), level.to_owned());
            change(options);
        })
    }

    fn open(change: impl FnOnce(&mut Options)) -> Self {
        let clock = ManualClock::starting_at(1_700_000_000_000);
        let mut options = Options { clock: Arc::new(clock.clone()), ..Options::default() };
        change(&mut options);
        let node = Node::open(options).unwrap();
        if node.resolve("t").is_err() {
            node.create_topic(&NewTopic::new("t").partitions(2)).unwrap();
        }
        let topic = node.resolve("t").unwrap().id;
        Self { clock, node, topic }
    }

    fn part(&self, number: u32) -> Arc<Partition> {
        self.node.partition(&TopicPartition::new("t", number)).unwrap()
    }

    /// A whole transaction of one record.
    fn send(&self, who: &TransactionHolder, number: u32, value: &str, commit: bool) {
        let stamp = self.begin_in(who, number);
        self.put(stamp, number, value);
        self.end(who, stamp, commit).unwrap();
    }

    fn put(&self, ProducerEpoch { producer: id, epoch }: ProducerEpoch, number: u32, value: &str) {
        let record = RawRecord { value: Some(value.as_bytes()), ..RawRecord::default() };
        let stamp = ProducerStamp { id, epoch, sequence: 0, transactional: true };
        let (max_block, producer) = (Duration::from_secs(1), Some(stamp));
        let append = Append { records: &[record], producer, max_block, stop: None };
        self.part(number).append(append).unwrap();
    }

    fn committed(&self, number: u32) -> Vec<String> {
        let (seen, _) = read_all(&*self.part(number), Isolation::ReadCommitted, 1 << 20);
        seen.into_iter().map(|(_, value)| value).collect()
    }

    /// Ends the journal's segment and compacts what may be; bytes of it that are left.
    fn compact_journal(&self) -> Option<u64> {
        self.node.transactions.partition().roll().unwrap();
        let report = self.node.run_compaction(Some(TRANSACTIONS), true).unwrap();
        match &report.partitions[0].outcome {
            CompactionOutcome::Compacted(done) => Some(done.bytes_after),
            CompactionOutcome::NothingNew => None,
            other => panic!("{other:?}"),
        }
    }

    fn soon(&self) -> Deadline<'_> {
        Deadline::after(&self.clock, Duration::from_secs(1))
    }

    fn hold(&self, id: &str) -> TransactionHolder {
        let timeout = Duration::from_secs(60);
        self.node.transactions().unwrap().hold_id(id, timeout, self.soon()).unwrap()
    }

    /// A transaction with a partition in it.
    fn begin(&self, who: &TransactionHolder) -> ProducerEpoch {
        self.begin_in(who, 0)
    }

    fn begin_in(&self, who: &TransactionHolder, number: u32) -> ProducerEpoch {
        let transactions = self.node.transactions().unwrap();
        let stamp = transactions.begin(who, self.soon()).unwrap();
        let max_block = Duration::from_secs(1);
        transactions.join(who, stamp, &[(self.topic, number)], max_block).unwrap();
        stamp
    }

    fn end(
        &self,
        who: &TransactionHolder,
        stamp: ProducerEpoch,
        commit: bool,
    ) -> Result<(), EndError> {
        self.node.transactions().unwrap().end(who, stamp, commit, self.soon())
    }

    fn refusal(&self, who: &TransactionHolder, stamp: ProducerEpoch, commit: bool) -> ErrorKind {
        self.end(who, stamp, commit).unwrap_err().error.kind()
    }
}

#[test]
fn b46_the_same_end_again_is_a_success_and_the_other_one_is_refused() {
    let bed = Bed::new();
    let who = bed.hold("pay-1");
    for commit in [true, false, true] {
        let stamp = bed.begin(&who);
        for _ in 0..3 {
            bed.end(&who, stamp, commit).unwrap();
        }
        assert_eq!(bed.refusal(&who, stamp, !commit), ErrorKind::InvalidTxnState);
        bed.end(&who, stamp, commit).unwrap();
        let known = bed.part(0).producer(stamp.producer).unwrap();
        assert_eq!(known.last_marker, Some((stamp.epoch, commit)), "what was decided stands");
    }
}

#[test]
fn b46_the_end_of_an_earlier_transaction_does_not_touch_the_present_one() {
    let bed = Bed::new();
    let who = bed.hold("pay-1");
    let [oldest, last] = [(), ()].map(|()| {
        let stamp = bed.begin(&who);
        bed.end(&who, stamp, true).unwrap();
        stamp
    });
    let present = bed.begin(&who);
    bed.end(&who, last, true).unwrap();
    for (stamp, commit) in [(last, false), (oldest, true), (oldest, false)] {
        assert_eq!(bed.refusal(&who, stamp, commit), ErrorKind::InvalidTxnState);
    }
    bed.node.transactions().unwrap().check(&who, present).unwrap();
    bed.end(&who, present, false).unwrap();
}

#[test]
fn b46_another_producer_id_is_refused() {
    let bed = Bed::new();
    let (who, other) = (bed.hold("pay-1"), bed.hold("pay-2"));
    let (stamp, others) = (bed.begin(&who), bed.begin(&other));
    for commit in [true, false] {
        assert_eq!(bed.refusal(&who, others, commit), ErrorKind::InvalidProducerIdMapping);
    }
    for who in [(&who, stamp), (&other, others)] {
        bed.end(who.0, who.1, true).unwrap();
    }
}

#[test]
fn the_journal_keeps_one_record_of_each_id() {
    let disk = SimDisk::new();
    let bed = Bed::on(&disk, "power-loss");
    let who = bed.hold("pay-1");
    for number in 0..200 {
        bed.send(&who, 0, &number.to_string(), number % 2 == 0);
    }
    assert_eq!(bed.compact_journal(), None, "no partition has the last markers for good");
    bed.clock.advance(Duration::from_secs(1));
    bed.node.run_due();
    let left = bed.compact_journal().unwrap();
    assert!(left < 1_000, "{left} bytes: of 200 transactions one is known");
    bed.send(&who, 0, "after", true);
    bed.clock.advance(Duration::from_secs(1));
    bed.node.run_due();
    let images = [(disk.kill(), "kill"), (disk.power_cut(1), "power cut")];
    drop(bed);
    for (left, at) in images {
        let bed = Bed::on(&left, "power-loss");
        let committed = bed.committed(0);
        assert_eq!(committed.len(), 101, "{at}");
        let who = bed.hold("pay-1");
        bed.send(&who, 1, "the next", true);
        assert_eq!(bed.node.list_transactions(&TransactionFilter::default()).unwrap().len(), 1);
    }
}

/// A committed transaction whose record is durable and whose marker is not. Newer decisions of the
/// same id make its own obsolete.
fn paid() -> (SimDisk, Bed) {
    let disk = SimDisk::new();
    let bed = Bed::on(&disk, "process-crash");
    let who = bed.hold("pay-1");
    let stamp = bed.begin(&who);
    bed.put(stamp, 0, "paid");
    bed.clock.advance(Duration::from_secs(1));
    bed.node.run_due();
    bed.end(&who, stamp, true).unwrap();
    (0..3).for_each(|number| bed.send(&who, 1, &number.to_string(), false));
    (disk, bed)
}

#[test]
fn b30_no_decision_is_compacted_whose_marker_a_power_cut_can_take() {
    for seed in 0..20 {
        let (disk, bed) = paid();
        for _ in 0..2 {
            bed.compact_journal();
        }
        let left = disk.power_cut(seed);
        drop(bed);
        let bed = Bed::on(&left, "process-crash");
        assert_eq!(bed.committed(0), ["paid"], "seed {seed}");
    }
}

#[test]
fn b30_no_decision_is_compacted_that_an_open_could_not_carry_out() {
    for seed in 0..20 {
        let (disk, bed) = paid();
        bed.node.transactions.partition().roll().unwrap();
        let left = disk.power_cut(seed);
        drop(bed);
        // As if the disk had failed under the marker.
        let bed = Bed::open_on(&left, "process-crash", |options| options.ends_transactions = false);
        let who = bed.hold("pay-1");
        (3..6).for_each(|number| bed.send(&who, 1, &number.to_string(), false));
        for _ in 0..3 {
            bed.clock.advance(Duration::from_secs(1));
            bed.node.run_due();
            bed.compact_journal();
        }
        let left = left.kill();
        drop(bed);
        assert_eq!(Bed::on(&left, "process-crash").committed(0), ["paid"], "seed {seed}");
    }
}
