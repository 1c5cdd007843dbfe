//! Lives of a log: how they begin and end.

use std::collections::BTreeMap;

use alluvium::{Durability, EventLog, Isolation, TopicPartition};

use crate::check::{Check, Checked};
use crate::model::{Model, State};
use crate::reading::{Seen, read};
use crate::sums;
use crate::world::World;

impl World {
    pub fn play(&mut self) {
        self.log = Some(self.machine.open().unwrap());
        sums::create(self.log()).unwrap();
        self.come();
        self.create_topics();
        for _ in 0..3 + self.chance.below(3) {
            let before = self.live();
            self.end();
            self.begin(before);
        }
    }

    /// Whoever is at work in a life.
    fn come(&mut self) {
        self.plain = Some(self.log().producer().seed(1).build().unwrap());
        self.idempotent = Some(self.log().producer().idempotent(true).build().unwrap());
        for topic in self.model.topics.keys().cloned().collect::<Vec<_>>() {
            let file = format!("/{topic}.table");
            let table = self.log().table(&topic).snapshot(file).build().unwrap();
            self.tables.insert(topic, table);
        }
    }

    /// Some steps, of which one may be cut off; what was before that one.
    fn live(&mut self) -> Model {
        let steps = 20 + self.chance.below(50);
        let cut = self.chance.one_in(2).then(|| self.chance.below(steps));
        let mut before = self.model.clone();
        for step in 0..steps {
            if cut == Some(step) {
                let at = self.machine.disk.operations() + self.chance.below(25);
                self.note(format!("crash at {at}"));
                self.machine.disk.crash_at(at);
            }
            before = self.model.clone();
            self.step();
            if self.is_off() {
                break;
            }
        }
        before
    }

    fn end(&mut self) {
        let cuts = self.machine.level == Durability::PowerLoss;
        let how = if self.is_off() { 2 } else { self.chance.below(4) };
        let cuts = cuts && self.chance.one_in(2);
        let seed = self.chance.below(1_000_000);
        self.note(format!("end {how} {cuts} {seed}"));
        if how == 0 {
            drop(self.log().clone().close());
        }
        let off = (how > 1 || self.is_off()).then(|| self.machine.disk.clone());
        let next = off.map(|disk| if cuts { disk.power_cut(seed) } else { disk.kill() });
        self.actors.iter_mut().for_each(|actor| *actor = None);
        self.tables.clear();
        (self.plain, self.idempotent, self.log) = (None, None, None);
        if let Some(next) = next {
            self.machine.disk = next;
        }
        self.model.surely_expired = 0;
        self.model.abort(|_| true);
    }

    /// The next life, which must be what was before the last step or what is after it.
    fn begin(&mut self, mut before: Model) {
        let log = self.open();
        before.abort(|_| true);
        before.surely_expired = 0;
        let after = std::mem::take(&mut self.model);
        let mut told = Vec::new();
        for (which, mut model) in [("after", after), ("before", before)] {
            match self.agree(&log, &mut model) {
                Ok(()) => {
                    self.note(format!("begins as {which}"));
                    self.model = model;
                    self.perhaps.clear();
                    self.log = Some(log);
                    self.come();
                    return self.check_now();
                }
                Err(what) => told.push(format!("{which}: {what}")),
            }
        }
        panic!("{}", told.join("\n"));
    }

    /// Opens it, also where the machine ends in the middle of that.
    fn open(&mut self) -> EventLog {
        loop {
            match self.machine.open() {
                Ok(log) if !self.is_off() => return log,
                Err(error) if !self.is_off() => panic!("it does not open: {error:?}: {error}"),
                _ => {}
            }
            self.note("an end while it opens".to_owned());
            self.machine.disk = self.machine.disk.kill();
        }
    }

    fn agree(&mut self, log: &EventLog, model: &mut Model) -> Checked {
        self.take_in(log, model)?;
        let (now, tables) = (self.now(), BTreeMap::new());
        Check { log, model, chance: &mut self.chance, now, tables: &tables }.all()
    }

    /// Records of the last call that are there, and those of no outcome that are not.
    fn take_in(&mut self, log: &EventLog, model: &mut Model) -> Checked {
        for (name, topic) in model.clone().topics {
            for partition in 0..topic.parts.len() as u32 {
                let tp = TopicPartition::new(name.as_str(), partition);
                let seen = read(log, Isolation::ReadUncommitted, &tp, None, 500)?;
                let end = seen.last().map_or(0, |seen| seen.at + 1);
                let part = model.part(&name, partition);
                let durable = part.durable;
                let lost =
                    part.recs.range(end.max(durable)..).map(|(at, _)| *at).collect::<Vec<_>>();
                let lost: Vec<u64> = lost
                    .into_iter()
                    .filter(|at| {
                        model.state(&topic.parts[partition as usize].recs[at]) == State::Aborted
                    })
                    .collect();
                let part = model.part(&name, partition);
                lost.iter().for_each(|at| drop(part.recs.remove(at)));
                if let Some(first) = lost.first() {
                    part.next = *first;
                }
                let known =
                    |seen: &&Seen| !topic.parts[partition as usize].recs.contains_key(&seen.at);
                for seen in seen.iter().filter(known) {
                    let drafts = self.perhaps.iter();
                    let mut drafts =
                        drafts.filter(|draft| draft.rec.id == seen.id && draft.topic == name);
                    if let Some(draft) = drafts.next() {
                        model.place(&name, partition, seen.at, draft.rec.clone());
                    }
                }
            }
        }
        Ok(())
    }

    /// A copy of everything, which is a log of its own, or the one that goes on.
    pub fn copy(&mut self) {
        self.check_now();
        self.copies += 1;
        let home = format!("/copy-{}", self.copies);
        self.note(format!("copy to {home}"));
        if self.judge(self.log().snapshot(&home)).is_none() {
            return;
        }
        let log = self.machine.open_at(&home);
        let Some(log) = self.judge(log) else { return };
        let mut model = self.model.clone();
        model.abort(|_| true);
        let agreed = self.agree(&log, &mut model);
        if self.is_off() {
            return;
        }
        if let Err(what) = agreed {
            panic!("the copy: {what}");
        }
        if self.chance.one_in(2) {
            self.judge(log.close());
            return;
        }
        // The copy goes on, and the log is left.
        self.actors.iter_mut().for_each(|actor| *actor = None);
        self.tables.clear();
        (self.plain, self.idempotent) = (None, None);
        if self.chance.one_in(2) {
            self.judge(self.log().clone().close());
        }
        self.log = Some(log);
        self.machine.home = home;
        self.model = model;
        if !self.is_off() {
            self.come();
        }
    }
}
