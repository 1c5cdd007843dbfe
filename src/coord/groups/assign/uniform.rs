//! `uniform`: everybody gets the same number, and as little as possible moves.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::base::Result;

use super::{Assignor, GroupSpec, Slot};

/// Everybody gets the same number of partitions but for one, and as few as possible change hands
/// (C37, C48). With unequal subscriptions nobody could take a partition from one who has two
/// more.
#[derive(Clone, Copy, Debug)]
pub struct Uniform;

impl Assignor for Uniform {
    fn name(&self) -> &str {
        "uniform"
    }

    fn assign(&self, group: &GroupSpec) -> Result<Vec<Vec<Slot>>> {
        let equal = group.members.windows(2).all(|pair| pair[0].topics == pair[1].topics);
        let mut answer = if equal { equally(group) } else { unequally(group) };
        answer.iter_mut().for_each(|slots| slots.sort_unstable());
        Ok(answer)
    }
}

/// All members subscribe to the same topics.
fn equally(group: &GroupSpec) -> Vec<Vec<Slot>> {
    let members = group.members.len();
    let topics = group.members.first().map_or(&[][..], |member| &member.topics);
    let total: usize = topics.iter().map(|&topic| group.topics[topic].partitions as usize).sum();
    let (least, mut larger) = (total / members, total % members);
    let mut kept = keep(group);
    // The larger shares go first to those who have that many: each saves a move.
    let mut order: Vec<usize> = (0..members).collect();
    order.sort_by_key(|&member| Reverse(kept.answer[member].len()));
    let mut short = Vec::new();
    for member in order {
        let share = least + usize::from(larger > 0);
        larger = larger.saturating_sub(1);
        let slots = &mut kept.answer[member];
        while slots.len() > share {
            kept.free.extend(slots.pop());
        }
        if slots.len() < share {
            short.push((member, share));
        }
    }
    kept.free.sort_unstable_by_key(|slot| Reverse(*slot));
    short.sort_unstable();
    for (member, share) in short {
        let slots = &mut kept.answer[member];
        let wanted = share - slots.len();
        let from = kept.free.len().saturating_sub(wanted);
        slots.extend(kept.free.drain(from..).rev());
    }
    kept.answer
}

/// What may stay where it was, and what is to be given.
struct Kept {
    answer: Vec<Vec<Slot>>,
    free: Vec<Slot>,
}

fn keep(group: &GroupSpec) -> Kept {
    let subscribers = group.subscribers();
    let mut taken = group.table(false);
    let mut answer = vec![Vec::new(); group.members.len()];
    for (member, spec) in group.members.iter().enumerate() {
        for &slot in &spec.owned {
            let subscribed = spec.topics.binary_search(&slot.topic).is_ok();
            if let Some(taken) = taken.get_mut(slot).filter(|taken| subscribed && !**taken) {
                *taken = true;
                answer[member].push(slot);
            }
        }
    }
    let mut is_free = |slot: &Slot| {
        !subscribers[slot.topic].is_empty() && taken.get_mut(*slot) == Some(&mut false)
    };
    Kept { free: group.slots().filter(|slot| is_free(slot)).collect(), answer }
}

/// Topics have subscribers of their own.
fn unequally(group: &GroupSpec) -> Vec<Vec<Slot>> {
    let subscribers = group.subscribers();
    let Kept { mut answer, mut free } = keep(group);
    // Those with the fewest takers first: the others can still even it out.
    free.sort_by_key(|slot| (subscribers[slot.topic].len(), *slot));
    let mut at = 0;
    while at < free.len() {
        let topic = free[at].topic;
        let end = at + free[at..].iter().take_while(|slot| slot.topic == topic).count();
        deal(&mut answer, &free[at..end], &subscribers[topic]);
        at = end;
    }
    // Every move lowers the sum of the squares of what members have, so this comes to an end.
    while even_out(&mut answer, &subscribers) {}
    answer
}

/// Partitions of one topic, each to the subscriber that has the least.
fn deal(answer: &mut [Vec<Slot>], slots: &[Slot], members: &[usize]) {
    let mut loads: BinaryHeap<_> =
        members.iter().map(|&member| Reverse((answer[member].len(), member))).collect();
    for &slot in slots {
        let Some(Reverse((load, member))) = loads.pop() else { return };
        answer[member].push(slot);
        loads.push(Reverse((load + 1, member)));
    }
}

/// Moves partitions from those who have more to those who have at least two less and may take
/// them. Whether anything has moved.
fn even_out(answer: &mut [Vec<Slot>], subscribers: &[Vec<usize>]) -> bool {
    let mut order: Vec<usize> = (0..answer.len()).collect();
    order.sort_by_key(|&member| Reverse(answer[member].len()));
    let mut moved = false;
    for rich in order {
        let mut topics: Vec<usize> = answer[rich].iter().map(|slot| slot.topic).collect();
        topics.sort_unstable();
        topics.dedup();
        for topic in topics {
            moved |= give_away(answer, rich, topic, &subscribers[topic]);
        }
    }
    moved
}

/// Lets one member give partitions of one topic to poorer subscribers.
fn give_away(answer: &mut [Vec<Slot>], rich: usize, topic: usize, takers: &[usize]) -> bool {
    let mut moved = false;
    loop {
        let poor = takers.iter().copied().min_by_key(|&member| (answer[member].len(), member));
        let Some(poor) = poor.filter(|&poor| answer[poor].len() + 2 <= answer[rich].len()) else {
            return moved;
        };
        let Some(at) = answer[rich].iter().rposition(|slot| slot.topic == topic) else {
            return moved;
        };
        let slot = answer[rich].swap_remove(at);
        answer[poor].push(slot);
        moved = true;
    }
}
