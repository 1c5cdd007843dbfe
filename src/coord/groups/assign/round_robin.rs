//! `round-robin`: all partitions dealt to the members in turn.

use crate::base::Result;

use super::{Assignor, GroupSpec, Slot};

/// All partitions, in order, are dealt to the members in turn; who does not subscribe to a topic
/// is passed over (C36).
#[derive(Clone, Copy, Debug)]
pub struct RoundRobin;

impl Assignor for RoundRobin {
    fn name(&self) -> &str {
        "round-robin"
    }

    fn assign(&self, group: &GroupSpec) -> Result<Vec<Vec<Slot>>> {
        let mut answer = vec![Vec::new(); group.members.len()];
        let subscribers = group.subscribers();
        let mut turn = 0;
        for slot in group.slots() {
            let members: &[usize] = &subscribers[slot.topic];
            // The first subscriber whose turn is not over, else the first one.
            let at = members.partition_point(|&member| member < turn);
            let Some(&member) = members.get(at).or(members.first()) else { continue };
            answer[member].push(slot);
            turn = (member + 1) % group.members.len();
        }
        Ok(answer)
    }
}
