//! Whose settings.

/// Whose settings are described or altered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ConfigResource {
    /// The log itself (Kafka's broker).
    Log,
    /// The topic of this name.
    Topic(String),
}

impl ConfigResource {
    /// The topic of this name.
    #[must_use]
    pub fn topic(name: &str) -> Self {
        ConfigResource::Topic(name.to_owned())
    }
}
