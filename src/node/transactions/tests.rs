//! What the coordinator answers to who asks twice, or is wrong.

use std::sync::Arc;
use std::time::Duration;

use crate::backend::{Backend, EndError, ProducerEpoch, TransactionHolder};
use crate::base::wait::Deadline;
use crate::base::{ErrorKind, ManualClock, NewTopic, TopicId, TopicPartition};
use crate::node::{Node, Options};

struct Bed {
    clock: ManualClock,
    node: Arc<Node>,
    topic: TopicId,
}

impl Bed {
    fn new() -> Self {
        let clock = ManualClock::starting_at(1_700_000_000_000);
        let options = Options { clock: Arc::new(clock.clone()), ..Options::default() };
        let node = Node::open(options).unwrap();
        node.create_topic(&NewTopic::new("t").partitions(2)).unwrap();
        let topic = node.resolve("t").unwrap().id;
        Self { clock, node, topic }
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
        let transactions = self.node.transactions().unwrap();
        let stamp = transactions.begin(who, self.soon()).unwrap();
        transactions.join(who, stamp, &[(self.topic, 0)], Duration::ZERO).unwrap();
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
        let part = bed.node.partition(&TopicPartition::new("t", 0)).unwrap();
        let known = part.producer(stamp.producer).unwrap();
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
