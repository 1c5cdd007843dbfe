//! `range`: of each topic a run of partitions to each member.

use crate::base::Result;

use super::{Assignor, GroupSpec, Slot};

/// Of each topic, each subscriber gets a run of neighbouring partitions; the first ones get one
/// more where the count does not divide (C35). So partitions of the same number in topics of
/// equal size go to the same member (C48).
#[derive(Clone, Copy, Debug)]
pub struct Range;

impl Assignor for Range {
    fn name(&self) -> &str {
        "range"
    }

    fn assign(&self, group: &GroupSpec) -> Result<Vec<Vec<Slot>>> {
        let mut answer = vec![Vec::new(); group.members.len()];
        for (topic, members) in group.subscribers().iter().enumerate() {
            let partitions = group.topics[topic].partitions as usize;
            let mut next = 0;
            for (rank, &member) in members.iter().enumerate() {
                let more = usize::from(rank < partitions % members.len());
                let end = next + partitions / members.len() + more;
                let slots = (next..end).map(|at| Slot { topic, partition: at as u32 });
                answer[member].extend(slots);
                next = end;
            }
        }
        Ok(answer)
    }
}
