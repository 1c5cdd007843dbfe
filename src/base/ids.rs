//! Names of things: topics, partitions, the log itself.

use std::fmt;
use std::sync::Arc;

use super::error::{Error, ErrorKind, Result};

/// The longest topic name, in bytes (Kafka's limit).
pub const MAX_TOPIC_NAME: usize = 249;

/// Producer ids at or above this one belong to named producers (see `ProducerStamp`).
pub const NAMED_PRODUCERS: i64 = 1 << 62;

/// A topic's identity for all time: a topic that is deleted and created again has another one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicId(pub(crate) u128);

impl TopicId {
    /// A new identity: a version-4 UUID.
    pub(crate) fn random() -> Self {
        let random = random_u128();
        Self(random & !(0xf << 76) & !(0b11 << 62) | 4 << 76 | 0b10 << 62)
    }

    /// The sixteen bytes of the UUID, in its text order.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        let mut bytes = self.0.to_le_bytes();
        bytes.reverse();
        bytes
    }
}

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = format!("{:032x}", self.0);
        write!(f, "{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One partition of one topic.
///
/// ```
/// use alluvium::TopicPartition;
///
/// let tp = TopicPartition::new("orders", 2);
/// assert_eq!(tp.to_string(), "orders-2");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    topic: Arc<str>,
    partition: u32,
}

impl TopicPartition {
    /// The partition with this number (from 0) of the topic with this name.
    pub fn new(topic: impl Into<Arc<str>>, partition: u32) -> Self {
        Self { topic: topic.into(), partition }
    }

    /// The topic's name.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The partition's number, from 0.
    #[must_use]
    pub fn partition(&self) -> u32 {
        self.partition
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// 128 bits that no two calls share, from the keys that the standard library draws for every
/// hash map.
pub(crate) fn random_u128() -> u128 {
    use std::hash::{BuildHasher, RandomState};
    let half = || u128::from(RandomState::new().hash_one(std::thread::current().id()));
    half() << 64 | half()
}

/// Checks Kafka's rules for a topic name: 1 to 249 characters of `[a-zA-Z0-9._-]`, not `.` or `..`.
pub(crate) fn check_topic_name(name: &str) -> Result<()> {
    let reason = if name.is_empty() {
        "it is empty".to_owned()
    } else if name.len() > MAX_TOPIC_NAME {
        format!("it has {} bytes, the limit is {MAX_TOPIC_NAME}", name.len())
    } else if name == "." || name == ".." {
        "it names a directory".to_owned()
    } else if let Some(bad) = name.chars().find(|c| !is_name_char(*c)) {
        format!("{bad:?} is not one of a-z A-Z 0-9 . _ -")
    } else {
        return Ok(());
    };
    let shown: String = name.chars().take(MAX_TOPIC_NAME).collect();
    Err(Error::new(ErrorKind::InvalidTopic, format!("{shown:?} is no topic name: {reason}")))
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e01_names_follow_kafkas_rules() {
        for good in ["a", "A.b_c-9", "...", &"x".repeat(249)] {
            assert!(check_topic_name(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a b", "a/b", "\u{e4}", "a\0", &"x".repeat(250)] {
            let error = check_topic_name(bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidTopic, "{bad}");
        }
    }

    #[test]
    fn a_topic_id_prints_as_a_uuid() {
        let id = TopicId(0x0123_4567_89ab_cdef_0011_2233_4455_6677);
        assert_eq!(id.to_string(), "01234567-89ab-cdef-0011-223344556677");
        assert_eq!(id.to_bytes()[0], 0x01);
    }
}
