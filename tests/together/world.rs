//! A log, its model, and who is at work.

use std::collections::BTreeMap;

use alluvium::testing::SimDisk;
use alluvium::{Durability, EventLog, ManualClock, Producer, Result, Table};

use crate::actor::{Actor, Ask, Said};
use crate::chance::Chance;
use crate::check::Check;
use crate::machine::Machine;
use crate::model::{Draft, Model, Rec};

pub struct World {
    pub machine: Machine,
    pub log: Option<EventLog>,
    pub model: Model,
    /// Records of calls that the end of the machine has cut off.
    pub perhaps: Vec<Draft>,
    pub chance: Chance,
    pub actors: Vec<Option<Actor>>,
    pub plain: Option<Producer>,
    pub idempotent: Option<Producer>,
    pub tables: BTreeMap<String, Table>,
    pub trace: Vec<String>,
    pub ids: u64,
    pub copies: u64,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let level = *chance.of(&[Durability::PowerLoss, Durability::ProcessCrash]);
        let clock = ManualClock::starting_at(1_700_000_000_000);
        let (disk, home) = (SimDisk::new(), "/log".to_owned());
        let stage = *chance.of(&[64 << 10, 256 << 10]);
        Self {
            machine: Machine { disk, home, clock, level, stage },
            log: None,
            model: Model::default(),
            perhaps: Vec::new(),
            chance,
            actors: vec![None, None, None],
            plain: None,
            idempotent: None,
            tables: BTreeMap::new(),
            trace: vec![format!("{level:?}, stage {stage}")],
            ids: 0,
            copies: 0,
        }
    }

    pub fn log(&self) -> &EventLog {
        self.log.as_ref().unwrap()
    }

    pub fn now(&self) -> i64 {
        self.machine.now()
    }

    pub fn note(&mut self, what: String) {
        self.trace.push(format!("{} {what}", self.now() - 1_700_000_000_000));
    }

    pub fn is_off(&self) -> bool {
        self.machine.disk.is_off()
    }

    /// What a call has said; nothing if the machine has ended meanwhile.
    #[track_caller]
    pub fn judge<T>(&self, said: Result<T>) -> Option<T> {
        if self.is_off() {
            return None;
        }
        match said {
            Ok(said) => Some(said),
            Err(error) => panic!("{error:?}: {error}"),
        }
    }

    /// The same of a transaction's producer.
    #[track_caller]
    pub fn ask(&self, actor: usize, ask: Ask) -> Option<Said> {
        let said = self.actors[actor].as_ref().unwrap().ask(ask);
        match said {
            _ if self.is_off() => None,
            Said::Failed(error) | Said::NotCommitted(_, error) => panic!("{error:?}: {error}"),
            said => Some(said),
        }
    }

    pub fn draft(&mut self, topic: &str, partition: Option<u32>) -> Draft {
        self.ids += 1;
        let compacts = self.model.topics[topic].compacts() || self.model.topics[topic].indexed;
        let key = (compacts || !self.chance.one_in(3))
            .then(|| self.chance.of(&crate::sends::KEYS).as_bytes().to_vec());
        let is_tombstone = self.chance.one_in(5);
        let length = *self.chance.of(&[0, 1, 20, 80]);
        let value =
            (!is_tombstone).then(|| [&self.ids.to_le_bytes()[..], &vec![7; length]].concat());
        let ago = *self.chance.of(&[0, 0, 0, 1, 5, 3_000]);
        let (sent, time) = (self.now(), self.now() - ago);
        let rec = Rec { id: self.ids, key, value, time, sent, txn: None, number: None };
        Draft { topic: topic.to_owned(), partition, rec }
    }

    pub fn some_topic(&mut self) -> Option<String> {
        let names: Vec<String> = self.model.topics.keys().cloned().collect();
        (!names.is_empty()).then(|| self.chance.of(&names).clone())
    }

    pub fn some_partition(&mut self) -> Option<(String, u32)> {
        let topic = self.some_topic()?;
        let parts = self.model.topics[&topic].parts.len() as u64;
        Some((topic, self.chance.below(parts) as u32))
    }

    /// Everything that was sent is durable and visible now, and is what the model says.
    pub fn check_now(&mut self) {
        if self.is_off() || self.judge(self.plain.as_ref().unwrap().flush()).is_none() {
            return;
        }
        for part in self.model.topics.values_mut().flat_map(|topic| &mut topic.parts) {
            part.durable = part.next;
        }
        let mut model = self.model.clone();
        let (now, log) = (self.now(), self.log.clone().unwrap());
        let tables = &self.tables;
        let checked =
            Check { log: &log, model: &mut model, chance: &mut self.chance, now, tables }.all();
        if self.is_off() {
            return;
        }
        if let Err(what) = checked {
            panic!("{what}");
        }
        self.model = model;
    }
}
