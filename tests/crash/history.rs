//! The language of workloads: what is done to a log, and what is promised by it.

use std::time::Duration;

use alluvium::{
    AlterConfigOp, CompactionOptions, CompactionOutcome, ConfigResource, CreateTopicsOptions,
    Durability, Error, ErrorKind, NewTopic, OffsetSpec, Record, RecordsToDelete, TopicPartition,
};

use super::bed::{Bed, Known, Part, Sent, Shape, There};

/// One thing that a program does to its log.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    Create(&'static str, Shape),
    Delete(&'static str),
    /// Many topics in one call.
    CreateAll(&'static [(&'static str, Shape)]),
    DeleteAll(&'static [&'static str]),
    /// More partitions for a topic: so many in all.
    Grow(&'static str, u32),
    /// Alters the level of a topic whose records are all durable.
    Level(&'static str, Durability),
    /// Topic, partition, records, bytes each: one call for each record.
    Send(&'static str, u32, usize, usize),
    /// The same in one call.
    Batch(&'static str, u32, usize, usize),
    /// Waits for the newest record of a partition.
    Wait(&'static str, u32),
    /// Deletes all visible records of a partition but so many.
    Trim(&'static str, u32, u64),
    /// Lets a topic keep so many bytes of each partition, and runs retention.
    Expire(&'static str, u64),
    /// Ends the segments that are written of a topic.
    Roll(&'static str),
    /// Ends the segments of a topic, and compacts them.
    Compact(&'static str),
    /// Closes, and opens with room for so many bytes in all.
    Limit(u64),
    Flush,
    /// Lets a flush interval pass and does what is due.
    Tick,
    Close,
    /// Closes and opens.
    Reopen,
}

impl Bed {
    /// Does all of it, up to the first failure.
    pub fn run(&mut self, steps: &[Step]) -> Result<(), Error> {
        steps.iter().try_for_each(|step| self.step(*step))
    }

    pub fn step(&mut self, step: Step) -> Result<(), Error> {
        match step {
            Step::Create(name, shape) => self.create(name, shape),
            Step::Delete(name) => self.delete(name),
            Step::CreateAll(topics) => self.create_all(topics),
            Step::DeleteAll(names) => self.delete_all(names),
            Step::Grow(name, total) => self.grow(name, total),
            Step::Level(name, level) => self.alter_level(name, level),
            Step::Send(topic, partition, count, size) => {
                (0..count).try_for_each(|_| self.send(topic, partition, 1, size))
            }
            Step::Batch(topic, partition, count, size) => self.send(topic, partition, count, size),
            Step::Wait(topic, partition) => self.wait(topic, partition),
            Step::Trim(topic, partition, keep) => self.trim(topic, partition, keep),
            Step::Expire(topic, keep) => self.expire(topic, keep),
            Step::Compact(topic) => self.compact(topic),
            Step::Roll(topic) => self.log().admin().roll(topic).map(drop),
            Step::Limit(bytes) => {
                self.account.limit = Some(bytes);
                self.step(Step::Reopen)
            }
            Step::Flush => self.flush(),
            Step::Tick => {
                self.clock.manual.advance(Duration::from_millis(150));
                self.log().tick();
                Ok(())
            }
            Step::Close => self.close(),
            Step::Reopen => {
                self.close()?;
                self.open()
            }
        }
    }

    fn create(&mut self, name: &'static str, shape: Shape) -> Result<(), Error> {
        self.expect(name, shape);
        let created = self.log().create_topic(new_topic(name, shape)).map(|_| ());
        self.conclude(name, There::Yes, created)
    }

    /// A topic that is being created.
    fn expect(&mut self, name: &'static str, shape: Shape) {
        let grown = shape.partitions as usize;
        let parts = vec![Part::default(); grown];
        let Shape { level, compacted, .. } = shape;
        let known = Known { level, there: There::Perhaps, compacted, parts, grown };
        self.account.topics.insert(name, known);
    }

    fn create_all(&mut self, topics: &[(&'static str, Shape)]) -> Result<(), Error> {
        topics.iter().for_each(|(name, shape)| self.expect(name, *shape));
        let new = topics.iter().map(|(name, shape)| new_topic(name, *shape));
        let admin = self.log().admin();
        let answers = admin.create_topics(new, CreateTopicsOptions::default());
        let mut each = topics.iter().zip(answers);
        each.try_for_each(|((name, _), made)| self.conclude(name, There::Yes, made.map(drop)))
    }

    fn delete_all(&mut self, names: &[&'static str]) -> Result<(), Error> {
        for name in names {
            self.account.topics.get_mut(name).unwrap().there = There::Perhaps;
        }
        let answers = self.log().admin().delete_topics(names);
        let mut each = names.iter().zip(answers);
        each.try_for_each(|(name, gone)| self.conclude(name, There::No, gone))
    }

    fn grow(&mut self, name: &'static str, total: u32) -> Result<(), Error> {
        let known = self.account.topics.get_mut(name).unwrap();
        known.parts.resize(total as usize, Part::default());
        self.log().admin().create_partitions(name, total)?;
        if !self.disk.is_off() {
            self.account.topics.get_mut(name).unwrap().grown = total as usize;
        }
        Ok(())
    }

    /// The topic that a failed creation has left.
    pub fn ensure(&mut self, name: &'static str, shape: Shape) -> Result<(), Error> {
        let topic = new_topic(name, shape);
        let ensured = self.log().ensure_topic(topic).map(|_| ());
        self.conclude(name, There::Yes, ensured)
    }

    /// A failed deletion was one after all.
    pub fn gone(&mut self, name: &str) {
        self.account.topics.get_mut(name).unwrap().there = There::No;
    }

    fn delete(&mut self, name: &'static str) -> Result<(), Error> {
        self.account.topics.get_mut(name).unwrap().there = There::Perhaps;
        let deleted = self.log().admin().delete_topic(name);
        self.conclude(name, There::No, deleted)
    }

    /// Until the change is acknowledged nothing is promised that only the higher level keeps; what
    /// was acknowledged and what was seen stays so at both.
    fn alter_level(&mut self, name: &'static str, level: Durability) -> Result<(), Error> {
        let word = match level {
            Durability::PowerLoss => "power-loss",
            _ => "process-crash",
        };
        if level == Durability::ProcessCrash {
            self.account.topics.get_mut(name).unwrap().level = level;
        }
        let ops = [AlterConfigOp::set("durability", word)];
        self.log().admin().incremental_alter_configs(&ConfigResource::topic(name), &ops)?;
        if level == Durability::PowerLoss && !self.disk.is_off() {
            let known = self.account.topics.get_mut(name).unwrap();
            known.level = level;
            known.parts.iter_mut().for_each(|part| part.acked = part.end());
        }
        Ok(())
    }

    fn conclude(
        &mut self,
        name: &str,
        there: There,
        result: Result<(), Error>,
    ) -> Result<(), Error> {
        if result.is_ok() && !self.disk.is_off() {
            self.account.topics.get_mut(name).unwrap().there = there;
        }
        result
    }

    pub fn send(
        &mut self,
        topic: &str,
        partition: u32,
        count: usize,
        size: usize,
    ) -> Result<(), Error> {
        let sent: Vec<Sent> = (0..count).map(|_| self.account.number(topic, size)).collect();
        self.account.part(topic, partition as usize).underway = sent.clone();
        let result = self.place(topic, partition, &sent);
        let off = self.disk.is_off();
        let part = self.account.part(topic, partition as usize);
        match &result {
            Ok(base) if !off => {
                assert!(*base >= part.end(), "offset {base} again: {part:?}");
                part.sent.extend((*base..).zip(sent));
                part.underway.clear();
            }
            // Refused: nothing of it is there.
            Err(_) if !off => part.underway.clear(),
            _ => {}
        }
        result.map(|_| ())
    }

    fn place(&self, topic: &str, partition: u32, sent: &[Sent]) -> Result<u64, Error> {
        let values: Vec<_> = sent.iter().map(|sent| (sent.value(), sent.key())).collect();
        let records: Vec<Record<'_>> = values
            .iter()
            .zip(sent)
            .map(|((value, key), sent)| {
                let record = Record::new(topic, value).partition(partition);
                let record = record.timestamp_ms(sent.time());
                match key {
                    Some(key) => record.key(key),
                    None => record,
                }
            })
            .collect();
        if let [record] = records.as_slice() {
            return self.producer().send(*record).map(|delivery| delivery.placed().offset);
        }
        let delivery = self.producer().send_batch(records);
        let part = delivery.parts().first().unwrap();
        part.result().map(|offsets| offsets.start)
    }

    fn wait(&mut self, topic: &str, partition: u32) -> Result<(), Error> {
        // A record of its own to wait for: deliveries borrow the producer.
        let sent = self.account.number(topic, 16);
        self.account.part(topic, partition as usize).underway = vec![sent];
        let (value, producer) = (sent.value(), self.producer().clone());
        let record = Record::new(topic, &value).partition(partition).timestamp_ms(sent.time());
        let key = sent.key();
        let record = key.as_ref().map_or(record, |key| record.key(key));
        let placed = producer.send(record);
        if self.disk.is_off() {
            return placed.map(|_| ());
        }
        self.account.part(topic, partition as usize).underway.clear();
        let delivery = placed?;
        let offset = delivery.placed().offset;
        self.account.part(topic, partition as usize).sent.insert(offset, sent);
        delivery.wait()?;
        if !self.disk.is_off() && self.is_power_loss(topic) {
            self.account.part(topic, partition as usize).acked = offset + 1;
        }
        Ok(())
    }

    fn trim(&mut self, topic: &str, partition: u32, keep: u64) -> Result<(), Error> {
        let (tp, admin) = (TopicPartition::new(topic, partition), self.log().admin());
        let latest = admin.list_offsets([(tp.clone(), OffsetSpec::Latest)]).remove(0)?;
        let before = latest.unwrap().offset.saturating_sub(keep);
        let part = self.account.part(topic, partition as usize);
        part.start_asked = before.max(part.start);
        let start = admin.delete_records(&tp, RecordsToDelete::BeforeOffset(before))?;
        if !self.disk.is_off() {
            let part = self.account.part(topic, partition as usize);
            assert_eq!(start, part.start_asked, "the low watermark");
            part.start = start;
        }
        Ok(())
    }

    fn expire(&mut self, topic: &str, keep: u64) -> Result<(), Error> {
        let admin = self.log().admin();
        for number in 0..self.account.topics[topic].grown {
            let tp = TopicPartition::new(topic, number as u32);
            let latest = admin.list_offsets([(tp, OffsetSpec::Latest)]).remove(0)?;
            let part = self.account.part(topic, number);
            part.start_asked = latest.unwrap().offset.max(part.start);
        }
        let ops = [AlterConfigOp::set("retention.bytes", &keep.to_string())];
        admin.incremental_alter_configs(&ConfigResource::topic(topic), &ops)?;
        let report = admin.run_retention()?;
        if let Some((_, error)) = report.failed.into_iter().next() {
            return Err(error);
        }
        if !self.disk.is_off() {
            for deleted in report.deleted {
                let number = deleted.partition.partition() as usize;
                let part = self.account.part(deleted.partition.topic(), number);
                assert!(deleted.log_start_offset > part.start && deleted.bytes > 0);
                part.start = deleted.log_start_offset;
            }
            self.account.part(topic, 0).start_asked = self.account.part(topic, 0).start;
        }
        // The next pass is for another topic.
        let ops = [AlterConfigOp::set("retention.bytes", "-1")];
        admin.incremental_alter_configs(&ConfigResource::topic(topic), &ops)
    }

    fn compact(&mut self, topic: &str) -> Result<(), Error> {
        let admin = self.log().admin();
        admin.roll(topic)?;
        let options = CompactionOptions::default().topic(topic).force(true);
        for done in admin.run_compaction(options)?.partitions {
            if let CompactionOutcome::Failed(error) = done.outcome {
                return Err(error);
            }
        }
        if !self.disk.is_off() {
            let parts = &mut self.account.topics.get_mut(topic).unwrap().parts;
            parts.iter_mut().for_each(|part| part.compacted = part.end());
        }
        Ok(())
    }

    fn is_power_loss(&self, topic: &str) -> bool {
        self.account.topics[topic].level == alluvium::Durability::PowerLoss
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.producer().flush()?;
        if !self.disk.is_off() {
            let topics = self.account.topics.values_mut();
            for known in topics.filter(|k| k.level == alluvium::Durability::PowerLoss) {
                known.parts.iter_mut().for_each(|part| part.acked = part.end());
            }
        }
        Ok(())
    }

    pub fn close(&mut self) -> Result<(), Error> {
        self.producer = None;
        let Some(log) = self.log.take() else { return Ok(()) };
        log.close()?;
        if self.disk.is_off() {
            return Err(closed_too_late());
        }
        self.account.settle_clean();
        Ok(())
    }
}

fn new_topic(name: &str, shape: Shape) -> NewTopic {
    let topic = NewTopic::new(name);
    let topic =
        if shape.compacted { topic.config("cleanup.policy", "compact,delete") } else { topic };
    topic
        .partitions(shape.partitions)
        .durability(shape.level)
        .config("internal.segment.bytes", &shape.segment.to_string())
}

fn closed_too_late() -> Error {
    // Any error will do: the machine was off before the close could count.
    let error = alluvium::EventLog::builder().stage_bytes(0).open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    error
}
