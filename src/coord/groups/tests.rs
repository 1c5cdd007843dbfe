//! The machine under every schedule that chance makes: members join, leave, stall and die, topics
//! come and go, assignors are slow, and nobody says when he is heard.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use crate::backend::Subscription;
use crate::base::{Durability, TopicId};

use super::assign::{Assignor, Range, Uniform, run};
use super::group::{Group, GroupState, Question};
use super::member::{Life, MemberKey, Profile};
use super::pulse::Pulse;
use super::topics::{GroupTopic, Interest, Part, Topics};

const NAMES: [&str; 3] = ["a", "b", "c"];

#[derive(Clone, Copy, Debug)]
enum Step {
    Join(u8, bool),
    Leave(u8),
    Tell(u8),
    Release(u8),
    Subscribe(u8, u8),
    Ask,
    Answer,
    Topic(u8, u32),
    Delete(u8),
    Commit(u8, u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let byte = any::<u8>();
    let step = prop_oneof![
        3 => (byte, any::<bool>()).prop_map(|(topics, same)| Step::Join(topics, same)),
        2 => byte.prop_map(Step::Leave),
        9 => byte.prop_map(Step::Tell),
        9 => byte.prop_map(Step::Release),
        1 => (byte, byte).prop_map(|(who, what)| Step::Subscribe(who, what)),
        6 => Just(Step::Ask),
        6 => Just(Step::Answer),
        1 => (byte, 1_u32..7).prop_map(|(name, count)| Step::Topic(name, count)),
        1 => byte.prop_map(Step::Delete),
        6 => (byte, byte).prop_map(|(who, part)| Step::Commit(who, part)),
    ];
    proptest::collection::vec(step, 1..120)
}

/// A client as it is: what it works on, and the epoch that it knows.
#[derive(Debug, Default)]
struct Client {
    id: Arc<str>,
    epoch: i32,
    works_on: BTreeSet<Part>,
    told: BTreeSet<Part>,
}

#[derive(Debug)]
struct World {
    group: Group,
    topics: Topics,
    clients: BTreeMap<MemberKey, Client>,
    /// Clients that were removed, or have lost a partition, and do not know: they go on.
    zombies: Vec<Client>,
    asked: Option<Question>,
    uniform: bool,
    next: u128,
}

impl World {
    fn new(uniform: bool) -> Self {
        let (group, topics, clients) = (Group::default(), Topics::default(), BTreeMap::new());
        let mut world =
            Self { group, topics, clients, zombies: Vec::new(), asked: None, uniform, next: 1 };
        NAMES.iter().enumerate().for_each(|(at, _)| world.topic(at as u8, 3));
        world
    }

    fn pick(&self, nth: u8) -> Option<MemberKey> {
        let at = usize::from(nth) % self.clients.len().max(1);
        self.clients.keys().nth(at).copied()
    }

    fn interest(bits: u8) -> Interest {
        let names = NAMES.iter().enumerate().filter(|(at, _)| bits >> at & 1 == 1);
        Interest::new(Subscription::Topics(names.map(|(_, name)| Arc::from(*name)).collect()))
            .unwrap()
    }

    fn topic(&mut self, name: u8, partitions: u32) {
        let name: Arc<str> = NAMES[usize::from(name) % 3].into();
        let known = self.topics.named(&name).map(|topic| (topic.id, topic.partitions));
        self.next += 1;
        let (id, least) = known.unwrap_or((TopicId(self.next), 0));
        let partitions = partitions.max(least);
        self.topics.put(GroupTopic { id, name, partitions, level: Durability::Memory });
        self.group.changed();
    }

    fn join(&mut self, bits: u8) {
        self.next += 1;
        let id: Arc<str> = format!("m{:04}", self.next).into();
        let profile = Profile {
            id: Arc::clone(&id),
            client_id: "c".into(),
            instance_id: None,
            interest: Self::interest(bits),
            assignor: None,
            max_poll_interval: Duration::MAX,
            session_timeout: Duration::MAX,
        };
        let pulse = Arc::new(Pulse::new(Duration::ZERO));
        let key = self.group.join(profile, Life::Handle(pulse));
        self.clients.insert(key, Client { id, ..Client::default() });
    }

    fn tell(&mut self, key: MemberKey) {
        let (Some(told), Some(client)) = (self.group.tell(key), self.clients.get_mut(&key)) else {
            return;
        };
        client.told = told.parts.iter().copied().collect();
        // New ones are worked on at once; old ones until the release.
        client.works_on.extend(&told.parts);
        client.epoch = told.epoch;
    }

    fn release(&mut self, key: MemberKey) {
        if let Some(client) = self.clients.get_mut(&key) {
            // A thread of the client may go on with what it knew.
            let lost = client.works_on.difference(&client.told).copied().collect();
            let id = Arc::clone(&client.id);
            self.zombies.push(Client {
                id,
                epoch: client.epoch,
                works_on: lost,
                ..Client::default()
            });
            client.works_on = client.told.clone();
            self.group.release(key);
        }
    }

    fn leave(&mut self, key: MemberKey) {
        self.group.remove(key);
        self.zombies.extend(self.clients.remove(&key));
    }

    fn ask(&mut self) {
        self.asked = self.group.question(&self.topics);
    }

    fn answer(&mut self) {
        let Some(question) = self.asked.take() else { return };
        let assignor: &dyn Assignor = if self.uniform { &Uniform } else { &Range };
        self.group.answer(&question, run(assignor, &question.spec));
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Join(bits, same) => self.join(if same { 7 } else { bits }),
            Step::Leave(who) => self.pick(who).into_iter().for_each(|key| self.leave(key)),
            Step::Tell(who) => self.pick(who).into_iter().for_each(|key| self.tell(key)),
            Step::Release(who) => self.pick(who).into_iter().for_each(|key| self.release(key)),
            Step::Subscribe(who, what) => {
                let interest = Self::interest(what);
                self.pick(who)
                    .into_iter()
                    .for_each(|key| self.group.subscribe(key, interest.clone()));
            }
            Step::Ask => self.ask(),
            Step::Answer => self.answer(),
            Step::Topic(name, count) => self.topic(name, count),
            Step::Delete(name) => {
                let id = self.topics.named(NAMES[usize::from(name) % 3]).map(|topic| topic.id);
                id.into_iter().for_each(|id| self.topics.remove(id));
                self.group.changed();
            }
            Step::Commit(who, part) => self.check_commits(who, part),
        }
    }

    /// Who works on a partition may commit it; who lost it may not once it is another's.
    fn check_commits(&self, who: u8, part: u8) {
        if let Some(client) = self.pick(who).map(|key| &self.clients[&key]) {
            for part in &client.works_on {
                let member = self.group.check_member(&client.id, client.epoch).unwrap();
                self.group.check_part(member, client.epoch, *part).unwrap();
            }
        }
        let owners = self.owners();
        for zombie in &self.zombies {
            let Some(part) = zombie.works_on.iter().nth(usize::from(part) % 4) else { continue };
            let other = owners.get(part).is_some_and(|key| self.clients[key].id != zombie.id);
            let accepted = self
                .group
                .check_member(&zombie.id, zombie.epoch)
                .and_then(|member| self.group.check_part(member, zombie.epoch, *part));
            assert!(!other || accepted.is_err(), "{zombie:?} overwrites another's {part:?}");
        }
    }

    /// Who works on what; a partition of two is the end of the test.
    fn owners(&self) -> HashMap<Part, MemberKey> {
        let mut owners = HashMap::new();
        for (key, client) in &self.clients {
            for part in &client.works_on {
                let other = owners.insert(*part, *key);
                assert_eq!(other, None, "{part:?} is worked on by two");
            }
        }
        owners
    }

    /// Everybody is heard until nothing moves.
    fn come_to_rest(&mut self) {
        for _ in 0..4 {
            self.ask();
            self.answer();
            for key in self.clients.keys().copied().collect::<Vec<_>>() {
                self.tell(key);
                self.release(key);
            }
        }
    }

    fn check_rest(&self) {
        let state = if self.clients.is_empty() { GroupState::Empty } else { GroupState::Stable };
        assert_eq!(self.group.state(), state);
        let owners = self.owners();
        for topic in NAMES.iter().filter_map(|name| self.topics.named(name)) {
            let means = |key: &MemberKey| {
                self.group.member(*key).unwrap().profile.interest.means(&topic.name)
            };
            let wanted = self.clients.keys().any(means);
            for number in 0..topic.partitions {
                let owner = owners.get(&(topic.id, number));
                assert_eq!(owner.is_some(), wanted, "{}-{number}", topic.name);
                assert!(owner.is_none_or(means), "{}-{number}: no subscriber", topic.name);
            }
        }
        let there =
            |(id, number): &Part| self.topics.get(*id).is_some_and(|t| *number < t.partitions);
        assert!(owners.keys().all(there), "a partition that is gone has an owner");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn c49_never_two_owners_no_zombie_commit_and_in_the_end_all_is_owned(
        steps in steps(),
        uniform in any::<bool>(),
    ) {
        let mut world = World::new(uniform);
        for step in steps {
            world.step(step);
            world.owners();
        }
        world.come_to_rest();
        world.check_rest();
    }
}

/// What a join does beside the assignor's work must not be many times that work.
#[test]
fn a_join_of_the_thousandth_member_touches_only_who_gives_or_gets() {
    let mut world = World::new(true);
    world.topic(0, 10_000);
    (0..999).for_each(|_| world.join(1));
    world.come_to_rest();
    world.group.take_news();
    world.join(1);
    world.ask();
    world.answer();
    let news = world.group.take_news();
    assert!(news.len() <= 12, "{} of 1,000 members have news", news.len());
}
