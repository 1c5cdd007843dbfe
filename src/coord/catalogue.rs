//! Which topics exist: the replay of `__cluster_metadata`.
//!
//! A topic is one record under its id: created, then marked as deleted until its files are gone,
//! then a tombstone. So an open after a crash finishes a deletion, and never begins one.

use std::collections::BTreeMap;

use crate::base::config::PARTITIONS;
use crate::base::ids::check_topic_name;
use crate::base::{Error, ErrorKind, Result, TopicId};

use super::table::{Entry, Machine};

const CREATED: u8 = 1;
const DELETED: u8 = 2;

/// A topic as the catalogue knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicEntry {
    /// Its identity.
    pub id: TopicId,
    /// Its name.
    pub name: String,
    /// How many partitions it has.
    pub partitions: u32,
    /// The settings that it was given, as strings.
    pub configs: BTreeMap<String, String>,
}

/// All topics, and the deleted ones whose files may still be there.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    topics: BTreeMap<String, TopicEntry>,
    /// The names with dots as underscores, and what they are without.
    folded: BTreeMap<String, String>,
    deleted: BTreeMap<TopicId, String>,
}

impl Catalogue {
    /// The topic of this name.
    pub fn topic(&self, name: &str) -> Option<&TopicEntry> {
        self.topics.get(name)
    }

    /// All topics, by name.
    pub fn topics(&self) -> impl Iterator<Item = &TopicEntry> {
        self.topics.values()
    }

    /// Topics that are deleted, but for their files.
    pub fn deleted(&self) -> impl Iterator<Item = TopicId> {
        self.deleted.keys().copied()
    }

    /// Decides to create a topic. Names that differ only in `.` and `_` collide, as in Kafka.
    pub fn create(&self, topic: TopicEntry) -> Result<(Vec<Entry>, TopicEntry)> {
        check_topic_name(&topic.name)?;
        if self.topics.contains_key(&topic.name) {
            let message = format!("there is a topic {:?} already", topic.name);
            let error = Error::new(ErrorKind::TopicAlreadyExists, message);
            return Err(error.with_topic(&topic.name));
        }
        if let Some(other) = self.folded.get(&fold(&topic.name)) {
            let message = format!("{:?} collides with the topic {other:?}", topic.name);
            return Err(Error::new(ErrorKind::InvalidTopic, message).with_topic(&topic.name));
        }
        let entry = (topic.id.to_bytes().to_vec(), Some(encode(&topic)));
        Ok((vec![entry], topic))
    }

    /// Decides that a topic has these settings.
    pub fn configure(
        &self,
        id: TopicId,
        configs: BTreeMap<String, String>,
    ) -> Result<(Vec<Entry>, ())> {
        let known = self.topics.values().find(|topic| topic.id == id);
        let gone = || Error::new(ErrorKind::UnknownTopicOrPartition, "the topic was deleted");
        let topic = TopicEntry { configs, ..known.ok_or_else(gone)?.clone() };
        let entry = (topic.id.to_bytes().to_vec(), Some(encode(&topic)));
        Ok((vec![entry], ()))
    }

    /// Decides to delete a topic.
    pub fn delete(&self, name: &str) -> Result<(Vec<Entry>, TopicEntry)> {
        let topic = self.topics.get(name).ok_or_else(|| Error::unknown_topic(name))?.clone();
        let mut value = vec![DELETED];
        value.extend_from_slice(topic.name.as_bytes());
        Ok((vec![(topic.id.to_bytes().to_vec(), Some(value))], topic))
    }

    /// Decides that nothing of these deleted topics is left.
    pub fn forget(&self, ids: &[TopicId]) -> Result<(Vec<Entry>, ())> {
        let known = ids.iter().filter(|id| self.deleted.contains_key(id));
        Ok((known.map(|id| (id.to_bytes().to_vec(), None)).collect(), ()))
    }

    /// Decides to give a topic more partitions, `total` in all.
    pub fn grow(&self, name: &str, total: u32) -> Result<(Vec<Entry>, TopicEntry)> {
        let mut topic = self.topics.get(name).ok_or_else(|| Error::unknown_topic(name))?.clone();
        let most = *PARTITIONS.end();
        if total <= topic.partitions || total > most {
            let have = topic.partitions;
            let message = format!(
                "{total} partitions: the topic has {have}, it can only grow, to {most} at most"
            );
            return Err(Error::new(ErrorKind::InvalidPartitions, message).with_topic(name));
        }
        topic.partitions = total;
        Ok((vec![(topic.id.to_bytes().to_vec(), Some(encode(&topic)))], topic))
    }
}

impl Machine for Catalogue {
    fn replay(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<()> {
        let id = decode_id(key)?;
        match value.map(|value| value.split_first()) {
            None => {
                self.deleted.remove(&id);
            }
            Some(Some((&CREATED, rest))) => {
                let topic = decode(id, rest).ok_or_else(damaged)?;
                self.folded.insert(fold(&topic.name), topic.name.clone());
                self.topics.insert(topic.name.clone(), topic);
            }
            Some(Some((&DELETED, name))) => {
                let name = std::str::from_utf8(name).map_err(|_| damaged())?;
                self.topics.remove(name);
                self.folded.remove(&fold(name));
                self.deleted.insert(id, name.to_owned());
            }
            Some(_) => return Err(damaged()),
        }
        Ok(())
    }
}

fn fold(name: &str) -> String {
    name.replace('.', "_")
}

fn damaged() -> Error {
    Error::new(ErrorKind::CorruptMessage, "a record of the catalogue cannot be decoded")
}

fn decode_id(key: &[u8]) -> Result<TopicId> {
    let mut bytes: [u8; 16] = key.try_into().map_err(|_| damaged())?;
    bytes.reverse();
    Ok(TopicId(u128::from_le_bytes(bytes)))
}

fn encode(topic: &TopicEntry) -> Vec<u8> {
    let mut out = vec![CREATED];
    out.extend_from_slice(&topic.partitions.to_le_bytes());
    put_text(&mut out, &topic.name);
    for (key, value) in &topic.configs {
        put_text(&mut out, key);
        put_text(&mut out, value);
    }
    out
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn decode(id: TopicId, mut bytes: &[u8]) -> Option<TopicEntry> {
    let (count, rest) = bytes.split_first_chunk::<4>()?;
    let partitions = u32::from_le_bytes(*count);
    bytes = rest;
    let name = take_text(&mut bytes)?;
    let mut configs = BTreeMap::new();
    while !bytes.is_empty() {
        let key = take_text(&mut bytes)?;
        configs.insert(key, take_text(&mut bytes)?);
    }
    Some(TopicEntry { id, name, partitions, configs })
}

fn take_text(bytes: &mut &[u8]) -> Option<String> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
    *bytes = rest;
    String::from_utf8(text.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: u128, name: &str) -> TopicEntry {
        let configs = [("segment.ms".to_owned(), "7".to_owned())].into();
        TopicEntry { id: TopicId(id), name: name.to_owned(), partitions: 3, configs }
    }

    fn apply(catalogue: &mut Catalogue, entries: &[Entry]) {
        for (key, value) in entries {
            catalogue.replay(key, value.as_deref()).unwrap();
        }
    }

    #[test]
    fn a73_a_recreated_topic_has_another_id_and_the_old_one_stays_to_be_cleaned() {
        let mut catalogue = Catalogue::default();
        let (entries, made) = catalogue.create(entry(1, "orders")).unwrap();
        apply(&mut catalogue, &entries);
        assert_eq!(catalogue.topic("orders"), Some(&made));
        let (entries, _) = catalogue.delete("orders").unwrap();
        apply(&mut catalogue, &entries);
        assert!(catalogue.topic("orders").is_none());
        let (entries, _) = catalogue.create(entry(2, "orders")).unwrap();
        apply(&mut catalogue, &entries);
        assert_eq!(catalogue.deleted().collect::<Vec<_>>(), [TopicId(1)]);
        let (entries, ()) = catalogue.forget(&[TopicId(1)]).unwrap();
        apply(&mut catalogue, &entries);
        assert_eq!(catalogue.deleted().count(), 0);
        assert_eq!(catalogue.topic("orders").map(|t| t.id), Some(TopicId(2)));
    }

    #[test]
    fn e01_names_that_differ_in_dots_only_collide() {
        let mut catalogue = Catalogue::default();
        let (entries, _) = catalogue.create(entry(1, "a.b")).unwrap();
        apply(&mut catalogue, &entries);
        let error = catalogue.create(entry(2, "a_b")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidTopic);
        let error = catalogue.create(entry(2, "a.b")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TopicAlreadyExists);
    }

    #[test]
    fn damaged_records_are_refused() {
        let mut catalogue = Catalogue::default();
        let (entries, _) = catalogue.create(entry(1, "orders")).unwrap();
        let (key, value) = &entries[0];
        let value = value.as_deref().unwrap();
        for cut in 0..value.len() {
            let outcome = catalogue.replay(key, Some(&value[..cut]));
            // A cut between two settings is a topic with fewer settings; the batch's checksum
            // is what tells that one.
            if outcome.is_ok() {
                assert!(cut >= 1 + 4 + 4 + "orders".len());
            }
        }
        assert!(catalogue.replay(&key[1..], Some(value)).is_err());
    }
}
