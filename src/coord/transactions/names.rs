//! Producers that keep their name: what they have sent is known however long ago that was.

use std::sync::Arc;

use crate::backend::{Fenced, NameHolder, ProducerEpoch};
use crate::base::wait::Deadline;
use crate::base::{Error, ErrorKind, NAMED_PRODUCERS, Result};

use super::coordinator::{Coordinator, PATIENCE, check_id};
use super::record::{Named, Record};
use super::registry::Part;

impl Coordinator {
    /// The producer of this name, in an epoch of its own.
    pub(super) fn hold_name(&self, name: &str, deadline: Deadline<'_>) -> Result<NameHolder> {
        self.check_open()?;
        check_id("producer.name", name)?;
        let known = self.state.lock().registry.named(name);
        let fresh = match known {
            Some(_) => None,
            None => Some(NAMED_PRODUCERS + self.new_producer(deadline)?),
        };
        let (holder, end) = {
            let mut state = self.state.lock();
            let named = match (state.registry.named(name), fresh) {
                (Some(known), _) if known.epoch < i16::MAX => {
                    Named { epoch: known.epoch + 1, ..known }
                }
                (Some(_), _) => return Err(used_up(name)),
                (None, Some(producer)) => Named { producer, epoch: 0 },
                (None, None) => return Err(Error::closed()),
            };
            let record = Record::Name(Arc::from(name), Some(named));
            let end = self.journal.append(std::slice::from_ref(&record), PATIENCE)?;
            state.registry.apply(record);
            let fenced = Fenced::default();
            if let Some(former) = state.names.insert(Arc::from(name), fenced.clone()) {
                former.set();
            }
            let stamp = ProducerEpoch { producer: named.producer, epoch: named.epoch };
            (NameHolder { stamp, fenced }, end)
        };
        // An epoch that a power cut takes back would be given a second time.
        self.journal.wait(end, deadline)?;
        Ok(holder)
    }

    /// The last sequence of a producer in a partition; whoever had the producer before appends
    /// nothing there from now on.
    pub(super) fn last_sequence(&self, who: ProducerEpoch, part: Part) -> Result<Option<i32>> {
        self.check_open()?;
        let partition = self.state.lock().participants.get(part).map(Arc::clone);
        let partition = partition.ok_or_else(|| {
            let message = "the partition does not exist any more";
            Error::new(ErrorKind::UnknownTopicOrPartition, message)
        })?;
        partition.fence(who.producer, who.epoch)?;
        let known = partition.producer(who.producer);
        Ok(known.and_then(|state| state.last_sequence))
    }
}

fn used_up(name: &str) -> Error {
    let message = format!("the producer {name:?} was built {} times, which is the most", i16::MAX);
    Error::new(ErrorKind::InvalidProducerEpoch, message)
}
