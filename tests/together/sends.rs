//! Records of all kinds of producers.

use alluvium::{ErrorKind, Expect, OffsetSpec, Outcome, Placed, Producer, Record, TopicPartition};

use crate::actor::{Actor, Ask, Said};
use crate::model::{Draft, Rec, State, Txn};
use crate::world::World;

pub const KEYS: [&str; 7] = ["a", "b", "c", "dd", "eeee", "", "a long key, longer than others"];
pub const NAMES: [&str; 2] = ["n-1", "n-2"];

impl World {
    fn some_draft(&mut self) -> Option<Draft> {
        let (topic, partition) = self.some_partition()?;
        // Records of an index are found where their key sends them.
        let chosen = !self.model.topics[&topic].indexed;
        Some(self.draft(&topic, chosen.then_some(partition)))
    }

    fn placed(&mut self, draft: Draft, placed: Option<Placed>) {
        match placed {
            Some(placed) => {
                assert_eq!(placed.timestamp_ms, draft.rec.time);
                self.model.place(&draft.topic, placed.partition, placed.offset, draft.rec);
                if self.machine.level == alluvium::Durability::PowerLoss {
                    let part = self.model.part(&draft.topic, placed.partition);
                    part.durable = placed.offset + 1;
                }
            }
            None => self.perhaps.push(draft),
        }
    }

    fn send_by(&self, producer: &Producer, draft: &Draft) -> Option<Placed> {
        let id = draft.headers();
        let headers = [("n", Some(&id[..]))];
        let record = draft.record(&headers);
        let record = match &draft.rec.number {
            Some((_, number)) => record.sequence(*number),
            None => record,
        };
        self.judge(producer.send(record).and_then(|delivery| delivery.wait()))
    }

    pub fn send(&mut self) {
        let Some(draft) = self.some_draft() else { return };
        self.note(format!("send {draft:?}"));
        let numbered = self.chance.one_in(4);
        let producer = if numbered { &self.idempotent } else { &self.plain };
        let producer = producer.clone().unwrap();
        let placed = self.send_by(&producer, &draft);
        self.placed(draft, placed);
    }

    pub fn send_batch(&mut self) {
        let Some(topic) = self.some_topic() else { return };
        let chosen = !self.model.topics[&topic].indexed;
        let parts = self.model.topics[&topic].parts.len() as u64;
        let mut drafts = Vec::new();
        for _ in 0..1 + self.chance.below(6) {
            let partition = chosen.then(|| self.chance.below(parts) as u32);
            drafts.push(self.draft(&topic, partition));
        }
        self.note(format!("batch {drafts:?}"));
        let ids: Vec<[u8; 8]> = drafts.iter().map(Draft::headers).collect();
        let headers: Vec<_> = ids.iter().map(|id| [("n", Some(&id[..]))]).collect();
        let records: Vec<Record<'_>> =
            drafts.iter().zip(&headers).map(|(draft, headers)| draft.record(headers)).collect();
        let producer = self.plain.clone().unwrap();
        let delivery = producer.send_batch(records);
        if self.judge(delivery.wait()).is_none() {
            self.perhaps.extend(drafts.clone());
            return;
        }
        for part in delivery.parts() {
            let offsets = part.result().unwrap();
            for (offset, index) in offsets.zip(part.record_indexes()) {
                let rec = drafts[*index].rec.clone();
                self.model.place(&topic, part.partition().unwrap(), offset, rec);
                self.model.part(&topic, part.partition().unwrap()).durable = offset + 1;
            }
        }
    }

    /// Under a name: the next record, one of before again, or one that is too far.
    pub fn send_named(&mut self) {
        let Some((topic, partition)) = self.some_partition() else { return };
        if self.model.topics[&topic].indexed {
            return;
        }
        let name = *self.chance.of(&NAMES);
        let Some(producer) = self.judge(self.log().producer().name(name).build()) else { return };
        let known = (name.to_owned(), topic.clone(), partition);
        let next = self.model.numbers.get(&known).map_or(0, |last| last + 1);
        let number = match self.chance.below(4) {
            0 if next > 0 => self.chance.below(next as u64) as i32,
            1 => next + 1 + self.chance.below(3) as i32,
            _ => next,
        };
        let mut draft = self.draft(&topic, Some(partition));
        draft.rec.number = Some((name.to_owned(), number));
        self.note(format!("named {draft:?}, next {next}"));
        if number > next && next > 0 {
            let id = draft.headers();
            let headers = [("n", Some(&id[..]))];
            let said = producer.send(draft.record(&headers).sequence(number)).map(|_| ());
            let refused = said.err().map(|error| error.kind());
            let wanted = Some(ErrorKind::OutOfOrderSequenceNumber);
            assert!(self.is_off() || refused == wanted, "{refused:?}");
            return;
        }
        draft.rec.number = Some((name.to_owned(), number.min(next)));
        let placed = self.send_by(&producer, &draft);
        if number >= next {
            self.placed(draft, placed);
        }
    }

    /// On a condition.
    pub fn send_if(&mut self) {
        let Some(topic) = self.some_topic() else { return };
        let (partition, indexed) = (0, self.model.topics[&topic].indexed);
        self.check_now();
        if self.is_off() {
            return;
        }
        if indexed { self.send_if_key(&topic) } else { self.send_if_next(&topic, partition) }
    }

    fn send_if_next(&mut self, topic: &str, partition: u32) {
        let tp = TopicPartition::new(topic, partition);
        let found = self.log().admin().list_offsets([(tp, OffsetSpec::Latest)]).pop().unwrap();
        let Some(end) = self.judge(found) else { return };
        let end = end.unwrap().offset;
        let right = self.chance.one_in(2) || end == 0;
        let expect = Expect::NextOffset(if right { end } else { end - 1 });
        let draft = self.draft(topic, Some(partition));
        self.conditional(draft, expect, right);
    }

    fn send_if_key(&mut self, topic: &str) {
        let mut draft = self.draft(topic, None);
        draft.rec.number = None;
        let key = draft.rec.key.clone();
        let mut latest = None;
        let mut open = false;
        for part in &self.model.topics[topic].parts {
            for (at, rec) in part.recs.range(part.start..).filter(|(_, rec)| rec.key == key) {
                match self.model.state(rec) {
                    State::Aborted => {}
                    _ if part.gone.contains(at) => {}
                    state => {
                        if latest.is_none_or(|known| known < *at) {
                            latest = Some(*at);
                            open = state == State::Open;
                        }
                    }
                }
            }
        }
        let right = self.chance.one_in(2);
        let expect = match (latest, right) {
            (Some(at), true) => Expect::KeyAt(at),
            (None, true) | (Some(_), false) => Expect::KeyAbsent,
            (None, false) => Expect::KeyAt(self.chance.below(9)),
        };
        self.conditional(draft, expect, right && !open);
    }

    fn conditional(&mut self, draft: Draft, expect: Expect, holds: bool) {
        self.note(format!("{expect:?} ({holds}) {draft:?}"));
        let id = draft.headers();
        let headers = [("n", Some(&id[..]))];
        let producer = self.plain.clone().unwrap();
        let said = producer.send_if(draft.record(&headers), expect);
        match said {
            Ok(delivery) if !self.is_off() => {
                assert!(holds, "{expect:?} does not hold");
                let placed = self.judge(delivery.wait());
                self.placed(draft.clone(), placed);
            }
            Err(error) if !self.is_off() => {
                assert!(!holds, "{expect:?} holds: {error:?}: {error}");
                let kinds = [ErrorKind::ConditionFailed, ErrorKind::ConcurrentTransactions];
                assert!(kinds.contains(&error.kind()), "{error:?}");
            }
            _ => self.perhaps.push(draft.clone()),
        }
    }

    /// A transaction begins, or goes on.
    pub fn txn_send(&mut self, actor: usize) {
        if self.actors[actor].is_none() {
            self.note(format!("t-{actor} comes"));
            let made = Actor::new(self.log(), &format!("t-{actor}"));
            let Some(made) = self.judge(made) else { return };
            self.actors[actor] = Some(made);
        }
        if self.is_late(actor) {
            return self.txn_end(actor);
        }
        if self.actors[actor].as_ref().unwrap().open.is_none() {
            if self.ask(actor, Ask::Begin).is_none() {
                return;
            }
            self.ids += 1;
            let (state, begun, offsets) = (State::Open, self.now(), Vec::new());
            let txn = Txn { state, begun, is_begun: false, offsets };
            self.model.txns.insert(self.ids, txn);
            self.actors[actor].as_mut().unwrap().open = Some(self.ids);
        }
        let txn = self.actors[actor].as_ref().unwrap().open;
        let Some(mut draft) = self.some_draft() else { return };
        draft.rec = Rec { txn, ..draft.rec };
        self.note(format!("t-{actor} {draft:?}"));
        match self.ask(actor, Ask::Send(draft.clone())) {
            Some(Said::Placed(placed)) => {
                assert_eq!(placed.timestamp_ms, draft.rec.time);
                self.model.place(&draft.topic, placed.partition, placed.offset, draft.rec);
                self.model.txns.get_mut(&txn.unwrap()).unwrap().is_begun = true;
            }
            _ => self.perhaps.push(draft),
        }
    }

    /// Whether what it has open was open for too long.
    pub fn is_late(&self, actor: usize) -> bool {
        let open = self.actors[actor].as_ref().and_then(|actor| actor.open);
        open.is_some_and(|txn| self.model.txns[&txn].state != State::Open)
    }

    pub fn txn_end(&mut self, actor: usize) {
        let Some(holder) = self.actors[actor].as_mut() else { return };
        let Some(txn) = holder.open.take() else { return };
        let how = self.chance.below(5);
        self.note(format!("t-{actor} ends {txn}: {how}"));
        let late = self.model.txns[&txn].state != State::Open;
        let said = match how {
            0 => self.actors[actor].as_ref().unwrap().ask(Ask::Abort),
            1 => self.actors[actor].as_ref().unwrap().ask(Ask::Drop),
            _ => self.actors[actor].as_ref().unwrap().ask(Ask::Commit),
        };
        if late {
            // What has nothing in it is nobody's to abort.
            let how = if self.model.txns[&txn].is_begun { how } else { 0 };
            let refused = matches!(said, Said::NotCommitted(Outcome::Aborted, _));
            assert!(how < 2 || self.is_off() || refused, "{said:?}");
            return;
        }
        let state = if how < 2 { State::Aborted } else { State::Committed };
        self.model.end_txn(txn, state);
        assert!(self.is_off() || matches!(said, Said::Done), "{said:?}");
    }

    /// Another one takes over an id, and what its holder has open.
    pub fn txn_fence(&mut self, actor: usize) {
        let Some(old) = self.actors[actor].take() else { return };
        self.note(format!("t-{actor} is fenced"));
        let made = Actor::new(self.log(), &format!("t-{actor}"));
        if let Some(txn) = old.open.filter(|txn| self.model.txns[txn].state == State::Open) {
            self.model.end_txn(txn, State::Aborted);
        }
        self.actors[actor] = self.judge(made);
    }
}
