//! Aggregates, with snapshots of their states in a topic of its own.

use alluvium::{Aggregate, Aggregates, EventLog, NewTopic};

use crate::check::{Checked, hold};
use crate::model::Model;
use crate::reading::told;

pub const TOPICS: [&str; 2] = ["events", "states"];
pub const OF: [&str; 3] = ["tea", "milk", "sugar"];

#[derive(Clone, Copy, Debug, Default)]
pub struct Sum(i64);

impl Aggregate for Sum {
    type Event = i64;

    fn apply(&mut self, by: &i64) {
        self.0 += by;
    }

    fn encode(by: &i64) -> Vec<u8> {
        by.to_string().into_bytes()
    }

    fn decode(bytes: &[u8]) -> Result<i64, Box<dyn std::error::Error + Send + Sync>> {
        Ok(std::str::from_utf8(bytes)?.parse()?)
    }

    fn snapshot(&self) -> Option<Vec<u8>> {
        Some(self.0.to_le_bytes().to_vec())
    }

    fn restore(bytes: &[u8]) -> Option<Self> {
        Some(Self(i64::from_le_bytes(bytes.try_into().ok()?)))
    }
}

pub fn create(log: &EventLog) -> alluvium::Result<()> {
    let [events, states] = TOPICS;
    let events = NewTopic::new(events).key_index(true).config("internal.segment.bytes", "700");
    log.create_topic(events)?;
    let states = NewTopic::new(states).key_index(true).compacted();
    log.create_topic(states.config("internal.segment.bytes", "500")).map(drop)
}

fn sums(log: &EventLog) -> alluvium::Result<Aggregates<Sum>> {
    let [events, states] = TOPICS;
    Ok(log.aggregates::<Sum>(&log.topic(events)?)?.snapshots(&log.topic(states)?, 3))
}

pub fn add(log: &EventLog, of: &str, by: i64) -> alluvium::Result<i64> {
    let loaded = sums(log)?.execute(of, |_| Ok::<_, alluvium::Error>(vec![by]))?;
    Ok(loaded.state.0)
}

pub fn check(log: &EventLog, model: &Model) -> Checked {
    let sums = sums(log).map_err(told)?;
    for of in OF {
        let found = sums.load(of).map_err(told)?.state.0;
        let wanted = model.sums.get(of).copied().unwrap_or_default();
        hold(found == wanted, || format!("the sum of {of} is {found}, not {wanted}"))?;
    }
    Ok(())
}
