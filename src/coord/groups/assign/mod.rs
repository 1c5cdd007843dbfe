//! Who gets which partition: pure functions, and the trait that users write their own with.

mod range;
mod round_robin;
mod uniform;

#[cfg(test)]
mod tests;

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::base::{Error, ErrorKind, Result};

pub use range::Range;
pub use round_robin::RoundRobin;
pub use uniform::Uniform;

/// Decides which member of a group reads which partition.
///
/// It is called once for each change of a group, with no lock held. The log tests the answer:
/// every partition that has subscribers must go to exactly one of them, else the group keeps the
/// assignment that it had and the caller gets `AssignorFailed`. So it does when the assignor
/// panics.
///
/// ```
/// use alluvium::{Assignor, EventLog, GroupSpec, Slot};
///
/// /// Everything to the first member.
/// #[derive(Debug)]
/// struct First;
///
/// impl Assignor for First {
///     fn name(&self) -> &str {
///         "first"
///     }
///
///     fn assign(&self, group: &GroupSpec) -> Result<Vec<Vec<Slot>>, alluvium::Error> {
///         let mut answer = vec![Vec::new(); group.members.len()];
///         answer[0] = group.slots().collect();
///         Ok(answer)
///     }
/// }
///
/// let log = EventLog::builder().assignor(First).open()?;
/// # drop(log);
/// # Ok::<(), alluvium::Error>(())
/// ```
pub trait Assignor: fmt::Debug + Send + Sync + 'static {
    /// What members ask for in `group.remote.assignor`.
    fn name(&self) -> &str;

    /// The partitions of each member, in the order of [`GroupSpec::members`].
    ///
    /// # Errors
    ///
    /// Any: the group keeps the assignment that it had, and the cause is told.
    fn assign(&self, group: &GroupSpec) -> Result<Vec<Vec<Slot>>>;
}

/// A group as an assignor sees it.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct GroupSpec {
    /// The members, ordered by their ids; static ones by their instance ids. Never empty.
    pub members: Vec<MemberSpec>,
    /// The topics that somebody subscribes to, ordered by name.
    pub topics: Vec<TopicSpec>,
}

/// A member as an assignor sees it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MemberSpec {
    /// Its id, or its instance id.
    pub id: Arc<str>,
    /// The indexes of its topics in [`GroupSpec::topics`], ascending.
    pub topics: Vec<usize>,
    /// What the last assignment gave it, ascending.
    pub owned: Vec<Slot>,
}

/// A topic as an assignor sees it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TopicSpec {
    /// Its name.
    pub name: Arc<str>,
    /// How many partitions it has.
    pub partitions: u32,
}

/// A partition of a [`GroupSpec`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot {
    /// The index of its topic in [`GroupSpec::topics`].
    pub topic: usize,
    /// Its number.
    pub partition: u32,
}

impl GroupSpec {
    /// Every partition of every topic, in order.
    pub fn slots(&self) -> impl Iterator<Item = Slot> {
        self.topics.iter().enumerate().flat_map(|(topic, spec)| {
            (0..spec.partitions).map(move |partition| Slot { topic, partition })
        })
    }

    /// The members that subscribe to each topic, by index, ascending.
    #[must_use]
    pub fn subscribers(&self) -> Vec<Vec<usize>> {
        let mut subscribers = vec![Vec::new(); self.topics.len()];
        for (member, spec) in self.members.iter().enumerate() {
            for &topic in &spec.topics {
                subscribers[topic].push(member);
            }
        }
        subscribers
    }

    /// A table with one entry for each slot.
    fn table<T: Clone>(&self, value: T) -> SlotTable<T> {
        let mut starts = Vec::with_capacity(self.topics.len());
        let mut len = 0;
        for topic in &self.topics {
            starts.push(len);
            len += topic.partitions as usize;
        }
        SlotTable {
            starts,
            counts: self.topics.iter().map(|t| t.partitions).collect(),
            values: vec![value; len],
        }
    }
}

/// One value for each slot.
#[derive(Debug)]
struct SlotTable<T> {
    starts: Vec<usize>,
    counts: Vec<u32>,
    values: Vec<T>,
}

impl<T> SlotTable<T> {
    /// The value of a slot; none for one that is not in the group.
    fn get_mut(&mut self, slot: Slot) -> Option<&mut T> {
        if slot.partition >= *self.counts.get(slot.topic)? {
            return None;
        }
        self.values.get_mut(self.starts[slot.topic] + slot.partition as usize)
    }
}

/// Runs an assignor and tests its answer.
pub fn run(assignor: &dyn Assignor, group: &GroupSpec) -> Result<Vec<Vec<Slot>>> {
    if group.members.is_empty() {
        return Ok(Vec::new());
    }
    let failed = |what: String| {
        let message = format!("the assignor {:?} {what}", assignor.name());
        Error::new(ErrorKind::AssignorFailed, message)
    };
    // The spec is only read, and the answer is dropped: nothing half done is seen again.
    let outcome = catch_unwind(AssertUnwindSafe(|| assignor.assign(group)));
    let answer = match outcome {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => {
            let message = format!("the assignor {:?} failed: {error}", assignor.name());
            return Err(error.because(ErrorKind::AssignorFailed, message));
        }
        Err(panic) => return Err(failed(format!("panicked: {}", said(&*panic)))),
    };
    check(group, &answer).map_err(failed)?;
    Ok(answer)
}

fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

/// Every partition that has subscribers goes to exactly one of them.
fn check(group: &GroupSpec, answer: &[Vec<Slot>]) -> Result<(), String> {
    if answer.len() != group.members.len() {
        return Err(format!("answered {} of {} members", answer.len(), group.members.len()));
    }
    let mut taken = group.table(false);
    for (member, slots) in group.members.iter().zip(answer) {
        for &slot in slots {
            let name = || name(group, slot);
            if member.topics.binary_search(&slot.topic).is_err() {
                return Err(format!("gave {} to {}, no subscriber of it", name(), member.id));
            }
            match taken.get_mut(slot) {
                None => return Err(format!("gave {}, which does not exist", name())),
                Some(taken) if *taken => return Err(format!("gave {} twice", name())),
                Some(taken) => *taken = true,
            }
        }
    }
    let subscribers = group.subscribers();
    let missing = group.slots().find(|slot| {
        !subscribers[slot.topic].is_empty() && taken.get_mut(*slot) == Some(&mut false)
    });
    missing.map_or(Ok(()), |slot| Err(format!("gave {} to nobody", name(group, slot))))
}

fn name(group: &GroupSpec, slot: Slot) -> String {
    let topic = group.topics.get(slot.topic).map_or("?", |topic| &*topic.name);
    format!("{topic}-{}", slot.partition)
}

/// The assignors of a log: its own, and the user's.
#[derive(Clone, Debug)]
pub struct Assignors(Vec<Arc<dyn Assignor>>);

impl Assignors {
    /// Those of every log, and `users`, which come first where names are the same.
    pub fn new(users: &[Arc<dyn Assignor>]) -> Self {
        let own: [Arc<dyn Assignor>; 3] =
            [Arc::new(Uniform), Arc::new(Range), Arc::new(RoundRobin)];
        Self(users.iter().cloned().chain(own).collect())
    }

    /// The assignor of this name. `sticky` and `cooperative-sticky` are other names of `uniform`,
    /// which is both; `roundrobin` is how Kafka spells `round-robin`.
    pub fn named(&self, name: &str) -> Result<Arc<dyn Assignor>> {
        let find = |name: &str| self.0.iter().find(|known| known.name() == name).cloned();
        let other = match name {
            "sticky" | "cooperative-sticky" => "uniform",
            "roundrobin" => "round-robin",
            _ => name,
        };
        find(name).or_else(|| find(other)).ok_or_else(|| {
            let names: Vec<&str> = self.0.iter().map(|known| known.name()).collect();
            let message = format!("there is no assignor {name:?}, but {}", names.join(", "));
            Error::new(ErrorKind::UnsupportedAssignor, message)
        })
    }
}
