//! A log with groups, on whose clock time is moved by hand.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::backend::{
    Append, Backend, CommitOffset, CommitReply, CommitRequest, GroupBackend, GroupSession,
    JoinGroup, MemberRef, Subscription,
};
use crate::base::{ManualClock, NewTopic, RawRecord, Result, TopicPartition};
use crate::disk::sim::SimDisk;
use crate::node::{Node, Options};

pub const SECOND: Duration = Duration::from_secs(1);

pub struct Bed {
    pub clock: ManualClock,
    pub node: Arc<Node>,
}

impl Bed {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut Options)) -> Self {
        let clock = ManualClock::starting_at(1_700_000_000_000);
        let mut options = Options { clock: Arc::new(clock.clone()), ..Options::default() };
        change(&mut options);
        Self { clock, node: Node::open(options).unwrap() }
    }

    /// A log on a simulated disk, of this level.
    pub fn on(disk: &SimDisk, level: &str) -> Self {
        let level = level.to_owned();
        Self::with(|options| {
            options.home = Some(PathBuf::from("/data"));
            options.disk = Some(Arc::new(disk.clone()));
            options.background = false;
            options.settings.insert("durability".to_owned(), level);
        })
    }

    pub fn topic(&self, name: &str, partitions: u32) {
        self.node.create_topic(&NewTopic::new(name).partitions(partitions)).unwrap();
    }

    pub fn send(&self, tp: &TopicPartition, count: usize) {
        let route = self.node.resolve(tp.topic()).unwrap();
        let record = RawRecord { value: Some(b"v"), ..RawRecord::default() };
        let records = vec![record; count];
        let append = Append { records: &records, producer: None, max_block: SECOND, stop: None };
        route.partitions[tp.partition() as usize].append(append).unwrap();
    }

    pub fn join(&self, topics: &[&str]) -> Member {
        self.try_join(request(topics)).unwrap()
    }

    pub fn try_join(&self, join: JoinGroup) -> Result<Member> {
        self.groups().join(join).map(|session| Member { session, owns: Vec::new() })
    }

    pub fn groups(&self) -> &dyn GroupBackend {
        self.node.groups().unwrap()
    }

    /// Polls everybody until nobody has news.
    pub fn settle(&self, members: &mut [&mut Member]) {
        while members.iter_mut().any(|member| member.poll()) {}
    }

    pub fn commit(
        &self,
        member: Option<&MemberRef>,
        offsets: &[(TopicPartition, u64)],
    ) -> Result<CommitReply> {
        let offset = |(partition, offset)| CommitOffset {
            partition,
            offset,
            leader_epoch: None,
            metadata: "",
        };
        let offsets: Vec<_> = offsets.iter().map(|(tp, at)| offset((tp, *at))).collect();
        self.groups().commit(&CommitRequest {
            group: "g",
            member,
            offsets: &offsets,
            max_block: Duration::ZERO,
        })
    }

    pub fn committed(&self, tp: &TopicPartition) -> Option<u64> {
        let all = self.groups().committed("g", Some(std::slice::from_ref(tp))).unwrap();
        all.get(tp).map(|committed| committed.offset)
    }
}

pub fn request(topics: &[&str]) -> JoinGroup {
    JoinGroup {
        group: "g".into(),
        client_id: "c".into(),
        instance_id: None,
        subscription: names(topics),
        assignor: None,
        max_poll_interval: 300 * SECOND,
        session_timeout: 45 * SECOND,
    }
}

pub fn instance(id: &str, topics: &[&str]) -> JoinGroup {
    JoinGroup { instance_id: Some(id.into()), ..request(topics) }
}

pub fn names(topics: &[&str]) -> Subscription {
    Subscription::Topics(topics.iter().map(|topic| Arc::from(*topic)).collect())
}

pub fn tp(topic: &str, partition: u32) -> TopicPartition {
    TopicPartition::new(topic, partition)
}

/// A member as a consumer holds it.
#[derive(Debug)]
pub struct Member {
    pub session: Box<dyn GroupSession>,
    /// What it uses.
    pub owns: Vec<TopicPartition>,
}

impl Member {
    /// Takes the assignment, and lets go of what is not its own any more. Whether there was news.
    pub fn poll(&mut self) -> bool {
        let version = self.session.version();
        self.session.poll_began();
        let told = self.session.assignment().unwrap();
        self.owns = told.partitions;
        self.session.release().unwrap();
        self.session.poll_ended();
        self.session.version() != version
    }

    pub fn member(&self) -> MemberRef {
        let epoch = self.session.assignment().unwrap().epoch;
        MemberRef { member_id: Arc::clone(self.session.member_id()), epoch }
    }

    pub fn numbers(&self) -> Vec<u32> {
        self.owns.iter().map(TopicPartition::partition).collect()
    }
}
