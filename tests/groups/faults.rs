//! Assignors that fail, and members that vanish in the middle of a rebalance.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use alluvium::assignors::Uniform;
use alluvium::{
    Assignor, Consumer, ConsumerEvent, Error, ErrorKind, EventLog, GroupSpec, NewTopic, Offsets,
    Record, Result, Slot,
};

use crate::bed::{Bed, look, on_each_kind, owned, settle, tp};

/// Uniform, unless it is told to panic.
#[derive(Debug)]
struct Moody(Arc<AtomicBool>);

impl Assignor for Moody {
    fn name(&self) -> &str {
        "moody"
    }

    fn assign(&self, group: &GroupSpec) -> Result<Vec<Vec<Slot>>, Error> {
        assert!(!self.0.load(Ordering::Relaxed), "not today");
        Uniform.assign(group)
    }
}

#[test]
fn an_assignor_that_panics_refuses_the_newcomer_and_changes_nothing_else() {
    let bad_mood = Arc::new(AtomicBool::new(false));
    let log = EventLog::builder().assignor(Moody(Arc::clone(&bad_mood))).open().unwrap();
    let topic = log.create_topic(NewTopic::new("t").partitions(4)).unwrap();
    let member = || {
        let group = log.consumer().group("g").topics(["t"]);
        group.set("group.remote.assignor", "moody").build().unwrap()
    };
    let mut first = member();
    look(&mut first);
    bad_mood.store(true, Ordering::Relaxed);
    let mut second = member();
    let error = second.poll(std::time::Duration::ZERO).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AssignorFailed);
    assert!(error.to_string().contains("moody") && error.to_string().contains("not today"));
    log.producer().build().unwrap().send(Record::new(topic.name(), "v")).unwrap().wait().unwrap();
    assert_eq!(look(&mut first).len(), 1, "the first goes on");
    let told = first.take_events();
    let failed = |event: &ConsumerEvent| matches!(event, ConsumerEvent::AssignorFailed { .. });
    assert!(told.iter().any(failed), "{told:?}");
    assert!(log.admin().describe_group("g").unwrap().problem.is_some());
    assert_eq!(owned(&first).len(), 4);
    first.commit().unwrap();
    bad_mood.store(false, Ordering::Relaxed);
    settle(&mut [&mut second, &mut first]);
    assert_eq!((owned(&first).len(), owned(&second).len()), (2, 2), "it was only a mood");
}

/// Whether these members own all of `t`'s partitions, each once.
fn own_all(members: &[&Consumer], partitions: u32) {
    let mut all: Vec<_> = members.iter().flat_map(|member| owned(member)).collect();
    all.sort();
    assert_eq!(all, (0..partitions).map(|number| tp("t", number)).collect::<Vec<_>>());
}

#[test]
fn members_that_vanish_at_any_step_of_a_rebalance_leave_their_partitions_to_the_others() {
    // After so many polls of all the victim is dropped; it is the newcomer, or one of before.
    for polls in 0..5 {
        for newcomer in [true, false] {
            let bed = Bed::memory();
            bed.topic("t", 7);
            let (mut a, mut b) = (bed.member("g", &["t"]), bed.member("g", &["t"]));
            settle(&mut [&mut a, &mut b]);
            let mut c = bed.member("g", &["t"]);
            for turn in 0..polls {
                look([&mut c, &mut b, &mut a][turn % 3]);
            }
            let victim = if newcomer { c } else { std::mem::replace(&mut b, c) };
            drop(victim);
            settle(&mut [&mut a, &mut b]);
            own_all(&[&a, &b], 7);
        }
    }
}

#[test]
fn resets_of_a_live_group_are_refused_and_change_nothing() {
    on_each_kind(|bed| {
        bed.topic("t", 1);
        bed.fill("t", 1, 5);
        let mut member = bed.member("g", &["t"]);
        look(&mut member);
        member.commit().unwrap();
        let admin = bed.log.admin();
        let zero = Offsets::from_iter([(tp("t", 0), 0)]);
        let error = admin.alter_group_offsets("g", &zero).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnknownMemberId);
        assert_eq!(admin.delete_group("g").unwrap_err().kind(), ErrorKind::NonEmptyGroup);
        let at = member.committed(&[tp("t", 0)]).unwrap();
        assert_eq!(at[&tp("t", 0)].offset, 5);
        let unknown = admin.describe_group("nobody").unwrap_err();
        assert_eq!(unknown.kind(), ErrorKind::GroupIdNotFound);
        drop(member);
        admin.alter_group_offsets("g", &zero).unwrap();
        admin.delete_group("g").unwrap();
    });
}
