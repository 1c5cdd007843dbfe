//! The topics that groups may subscribe to, as the coordinator knows them.

use std::collections::BTreeMap;
use std::sync::Arc;

use regex_lite::Regex;

use crate::backend::Subscription;
use crate::base::{Durability, Error, ErrorKind, Result, TopicId, TopicPartition};

use super::part_map::TopicMap;

/// A partition, by its topic's identity: a topic that is created again has other ones.
pub type Part = (TopicId, u32);

/// A topic as groups need it.
#[derive(Clone, Debug)]
pub struct GroupTopic {
    /// Its identity.
    pub id: TopicId,
    /// Its name.
    pub name: Arc<str>,
    /// How many partitions it has.
    pub partitions: u32,
    /// What its records survive.
    pub level: Durability,
}

/// All topics but the log's own.
#[derive(Debug, Default)]
pub struct Topics {
    by_name: BTreeMap<Arc<str>, GroupTopic>,
    by_id: TopicMap<Arc<str>>,
}

impl Topics {
    /// Adds a topic, or changes what is known of it.
    pub fn put(&mut self, topic: GroupTopic) {
        self.by_id.insert(topic.id, Arc::clone(&topic.name));
        if let Some(old) = self.by_name.insert(Arc::clone(&topic.name), topic.clone())
            && old.id != topic.id
        {
            self.by_id.remove(&old.id);
        }
    }

    /// Notes another level of a topic. Returns the one before.
    pub fn set_level(&mut self, id: TopicId, level: Durability) -> Option<Durability> {
        let topic = self.by_name.get_mut(self.by_id.get(&id)?)?;
        Some(std::mem::replace(&mut topic.level, level))
    }

    /// Takes a topic away.
    pub fn remove(&mut self, id: TopicId) {
        if let Some(name) = self.by_id.remove(&id) {
            self.by_name.remove(&name);
        }
    }

    /// The topic of this name.
    pub fn named(&self, name: &str) -> Option<&GroupTopic> {
        self.by_name.get(name)
    }

    /// The topic of this identity.
    pub fn get(&self, id: TopicId) -> Option<&GroupTopic> {
        self.by_name.get(self.by_id.get(&id)?)
    }

    /// A partition by its topic's identity, if it exists.
    pub fn part(&self, partition: &TopicPartition) -> Option<Part> {
        let topic = self.named(partition.topic())?;
        (partition.partition() < topic.partitions).then_some((topic.id, partition.partition()))
    }

    /// A partition by its topic's name.
    pub fn name(&self, (id, partition): Part) -> Option<TopicPartition> {
        let name = self.by_id.get(&id)?;
        Some(TopicPartition::new(Arc::clone(name), partition))
    }
}

/// A subscription that was looked at: its pattern is one.
#[derive(Clone, Debug)]
pub struct Interest {
    said: Subscription,
    pattern: Option<Regex>,
}

impl Interest {
    /// `InvalidRegularExpression` names pattern and cause.
    pub fn new(said: Subscription) -> Result<Self> {
        let pattern = match &said {
            Subscription::Topics(_) => None,
            Subscription::Pattern(pattern) => Some(whole(pattern)?),
        };
        Ok(Self { said, pattern })
    }

    /// What the member has said.
    pub fn said(&self) -> &Subscription {
        &self.said
    }

    /// The topics that exist and are meant, by name.
    pub fn topics<'t>(&self, topics: &'t Topics) -> Vec<&'t GroupTopic> {
        match (&self.said, &self.pattern) {
            (Subscription::Topics(names), _) => {
                let mut found: Vec<_> = names.iter().filter_map(|n| topics.named(n)).collect();
                found.sort_unstable_by(|a, b| a.name.cmp(&b.name));
                found.dedup_by(|a, b| a.id == b.id);
                found
            }
            (Subscription::Pattern(_), Some(pattern)) => {
                topics.by_name.values().filter(|topic| pattern.is_match(&topic.name)).collect()
            }
            (Subscription::Pattern(_), None) => Vec::new(),
        }
    }

    /// Whether a topic of this name is meant, if it exists.
    pub fn means(&self, name: &str) -> bool {
        match &self.said {
            Subscription::Topics(names) => names.iter().any(|said| &**said == name),
            Subscription::Pattern(_) => self.pattern.as_ref().is_some_and(|p| p.is_match(name)),
        }
    }
}

/// The expression that matches only whole names.
fn whole(pattern: &str) -> Result<Regex> {
    // By itself first: "a)|(b" must not become an expression by what is put around it.
    Regex::new(pattern).and_then(|_| Regex::new(&format!("^(?:{pattern})$"))).map_err(|error| {
        let message = format!("{pattern:?} is no pattern of topics: {error}");
        Error::new(ErrorKind::InvalidRegularExpression, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics(names: &[&str]) -> Topics {
        let mut topics = Topics::default();
        for (at, name) in names.iter().enumerate() {
            let (id, name) = (TopicId(at as u128 + 1), Arc::from(*name));
            topics.put(GroupTopic { id, name, partitions: 2, level: Durability::Memory });
        }
        topics
    }

    fn matched(pattern: &str, names: &[&str]) -> Vec<String> {
        let interest = Interest::new(Subscription::Pattern(pattern.into())).unwrap();
        interest.topics(&topics(names)).iter().map(|topic| topic.name.to_string()).collect()
    }

    #[test]
    fn c04_a_pattern_matches_whole_names() {
        let names = ["order", "orders", "orders-eu", "reorders", "x"];
        assert_eq!(matched("orders", &names), ["orders"]);
        assert_eq!(matched("orders.*", &names), ["orders", "orders-eu"]);
        assert_eq!(matched("x|order", &names), ["order", "x"]);
        assert_eq!(matched("(?i)ORDERS", &names), ["orders"]);
    }

    #[test]
    fn c04_what_is_no_expression_is_refused_and_named() {
        for bad in ["(", "a)|(b", "[", "*"] {
            let error = Interest::new(Subscription::Pattern(bad.into())).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidRegularExpression);
            assert!(error.to_string().contains(bad), "{error}");
        }
    }

    #[test]
    fn a_topic_that_comes_again_is_another_one() {
        let mut topics = topics(&["a"]);
        let tp = TopicPartition::new("a", 1);
        assert_eq!(topics.part(&tp), Some((TopicId(1), 1)));
        let (id, level) = (TopicId(9), Durability::Memory);
        topics.put(GroupTopic { id, name: "a".into(), partitions: 1, level });
        assert_eq!(topics.part(&tp), None);
        assert_eq!(topics.name((TopicId(1), 1)), None);
        topics.remove(TopicId(9));
        assert!(topics.named("a").is_none());
    }
}
