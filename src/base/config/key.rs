//! What is known of one setting: the row of a table.

use super::value::{Kind, invalid};
use crate::base::error::Result;

/// One setting.
#[derive(Debug)]
pub struct Key {
    /// Its name at a topic, or at the log where only the log has it.
    pub name: &'static str,
    /// Type and bounds.
    pub kind: Kind,
    /// What holds where nobody says anything; `None` when nothing does, or when something else
    /// decides, which `doc` tells.
    pub default: Option<&'static str>,
    /// The default of a log with [`kafka_defaults`](crate::EventLogBuilder::kafka_defaults),
    /// where that is another one.
    pub cluster: Option<&'static str>,
    /// The names under which the log sets it for topics that do not, the strongest first, each
    /// with the factor from its unit to the topic's.
    pub log_names: &'static [(&'static str, i64)],
    /// Values that are known and cannot be had, with the reason.
    pub refused: &'static [(&'static str, &'static str)],
    /// What it does.
    pub doc: &'static str,
    /// What it does not do.
    pub effect: Effect,
}

/// Whether a setting does anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It does what its documentation says.
    Full,
    /// It is accepted because Kafka's tools set it; the reason why it does nothing.
    None(&'static str),
}

impl Key {
    /// A row without names at the log and without a default.
    pub const fn new(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self {
            name,
            kind,
            default: None,
            cluster: None,
            log_names: &[],
            refused: &[],
            doc,
            effect: Effect::Full,
        }
    }

    pub const fn default(self, default: &'static str) -> Self {
        Self { default: Some(default), ..self }
    }

    pub const fn cluster(self, cluster: &'static str) -> Self {
        Self { cluster: Some(cluster), ..self }
    }

    pub const fn log(self, log_names: &'static [(&'static str, i64)]) -> Self {
        Self { log_names, ..self }
    }

    pub const fn refuses(self, refused: &'static [(&'static str, &'static str)]) -> Self {
        Self { refused, ..self }
    }

    pub const fn without_effect(self, why: &'static str) -> Self {
        Self { effect: Effect::None(why), ..self }
    }

    /// Refuses a value that it cannot have; `told` is the name that the caller used.
    pub fn check(&self, told: &str, value: &str) -> Result<()> {
        match self.refused.iter().find(|(word, _)| *word == value) {
            Some((_, reason)) => Err(invalid(told, value, reason)),
            None => self.kind.check(told, value),
        }
    }

    /// What it does, and what it does not.
    pub fn documentation(&self) -> String {
        match self.effect {
            Effect::Full => self.doc.to_owned(),
            Effect::None(why) => format!("{} Without effect: {why}.", self.doc),
        }
    }

    pub fn has_effect(&self) -> bool {
        self.effect == Effect::Full
    }

    /// The default of this log.
    pub fn default_of(&self, cluster: bool) -> Option<&'static str> {
        self.cluster.filter(|_| cluster).or(self.default)
    }
}
