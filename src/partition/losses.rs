//! Records that were placed and then lost, by disks that failed to sync them.

use std::collections::VecDeque;

use parking_lot::Mutex;

use crate::base::{Error, ErrorKind, TopicPartition};

/// Losses before the last so many are counted and no longer named.
const NAMED: usize = 64;

/// The losses of a log in this life, in the order in which they were found.
#[derive(Debug, Default)]
pub struct Losses(Mutex<List>);

#[derive(Debug, Default)]
struct List {
    count: u64,
    last: VecDeque<Loss>,
}

#[derive(Debug)]
struct Loss {
    place: TopicPartition,
    from: u64,
    to: u64,
}

impl Losses {
    /// The offsets from `from` to `to`, exclusive, are gone.
    pub fn note(&self, place: &TopicPartition, from: u64, to: u64) {
        let mut list = self.0.lock();
        list.count += 1;
        list.last.push_back(Loss { place: place.clone(), from, to });
        if list.last.len() > NAMED {
            list.last.pop_front();
        }
    }

    /// Whether there has been one.
    pub fn any(&self) -> bool {
        self.0.lock().count > 0
    }

    /// How many losses there have been, and an error that names those after the first `seen`.
    pub fn since(&self, seen: u64) -> (u64, Option<Error>) {
        let list = self.0.lock();
        let new = usize::try_from(list.count.saturating_sub(seen)).unwrap_or(usize::MAX);
        let named = new.min(list.last.len());
        let mut losses = list.last.range(list.last.len() - named..);
        let Some(first) = losses.next() else { return (list.count, None) };
        let mut message = String::from("a disk that failed to sync has taken away");
        tell(&mut message, first);
        losses.for_each(|loss| tell(&mut message, loss));
        if new > named {
            message += &format!(" and {} earlier runs of offsets", new - named);
        }
        let error = Error::new(ErrorKind::StorageError, message);
        (list.count, Some(error.with_partition(&first.place).with_offset(first.from)))
    }
}

fn tell(message: &mut String, loss: &Loss) {
    *message += &format!(" {} offsets {}..{};", loss.place, loss.from, loss.to);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_told_from_where_the_caller_stopped() {
        let losses = Losses::default();
        assert!(matches!(losses.since(0), (0, None)));
        let place = TopicPartition::new("t", 3);
        losses.note(&place, 5, 7);
        losses.note(&TopicPartition::new("u", 0), 0, 9);
        let (seen, error) = losses.since(0);
        let error = error.unwrap();
        assert_eq!((seen, error.topic(), error.partition()), (2, Some("t"), Some(3)));
        assert_eq!((error.kind(), error.offset()), (ErrorKind::StorageError, Some(5)));
        assert!(error.to_string().contains("t-3 offsets 5..7; u-0 offsets 0..9"), "{error}");
        assert_eq!(losses.since(1).1.unwrap().topic(), Some("u"));
        assert!(losses.since(2).1.is_none() && losses.since(u64::MAX).1.is_none());
    }

    #[test]
    fn a_long_list_is_counted_and_not_kept() {
        let losses = Losses::default();
        let place = TopicPartition::new("t", 0);
        (0..100).for_each(|at| losses.note(&place, at, at + 1));
        let (seen, error) = losses.since(10);
        assert_eq!(seen, 100);
        assert!(error.unwrap().to_string().contains("and 26 earlier"));
        assert_eq!(losses.0.lock().last.len(), NAMED);
    }
}
