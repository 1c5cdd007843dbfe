//! Members come, go, stall and are replaced.

use std::sync::Arc;

use crate::backend::{Backend, JoinGroup, Subscription};
use crate::base::{Error, ErrorKind, Result};
use crate::coord::groups::{Assignor, GroupEvent, GroupSpec, GroupState, Slot};
use crate::disk::sim::SimDisk;

use super::support::*;
use crate::base::wake_count::Count;

#[test]
fn c27_each_partition_has_one_owner_and_idle_members_have_none() {
    let bed = Bed::new();
    bed.topic("t", 3);
    let mut members: Vec<Member> = (0..5).map(|_| bed.join(&["t"])).collect();
    bed.settle(&mut members.iter_mut().collect::<Vec<_>>());
    let mut all: Vec<u32> = members.iter().flat_map(Member::numbers).collect();
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2]);
    assert_eq!(members.iter().filter(|m| m.owns.is_empty()).count(), 2);
    assert_eq!(bed.node.describe_group("g").unwrap().summary.state, GroupState::Stable);
}

#[test]
fn c49_a_partition_moves_only_after_its_owner_let_go() {
    let bed = Bed::new();
    bed.topic("t", 2);
    let mut a = bed.join(&["t"]);
    a.poll();
    assert_eq!(a.numbers(), [0, 1]);
    let mut b = bed.join(&["t"]);
    b.poll();
    assert!(b.owns.is_empty(), "the owner was not heard yet");
    assert!(b.session.assignment().unwrap().pending);
    assert_eq!(bed.node.describe_group("g").unwrap().summary.state, GroupState::Reconciling);
    let (count, waker) = Count::new();
    assert!(b.session.register(b.session.version(), &waker).is_some());
    let told = a.session.assignment().unwrap();
    assert_eq!(told.partitions.len(), 1);
    b.poll();
    assert!(b.owns.is_empty(), "the owner still works on what it had");
    assert_eq!(count.get(), 0);
    a.session.release().unwrap();
    assert_eq!(count.get(), 1, "who waits is woken");
    b.poll();
    assert_eq!(b.owns.len(), 1);
    assert_ne!(b.owns, told.partitions);
}

#[test]
fn c28_every_cause_makes_a_new_assignment() {
    let bed = Bed::new();
    bed.topic("t", 2);
    let mut a = bed.join(&["t", "later"]);
    let mut b = bed.join(&["t"]);
    bed.settle(&mut [&mut a, &mut b]);
    assert_eq!((a.owns.len(), b.owns.len()), (1, 1));
    bed.topic("later", 2);
    bed.settle(&mut [&mut a, &mut b]);
    assert_eq!(a.owns.len() + b.owns.len(), 4, "a topic was created");
    bed.node.create_partitions("t", 4).unwrap();
    bed.settle(&mut [&mut a, &mut b]);
    assert_eq!((a.owns.len(), b.owns.len()), (3, 3), "a topic has grown");
    a.session.subscribe(names(&["later"])).unwrap();
    bed.settle(&mut [&mut a, &mut b]);
    assert_eq!((a.owns[0].topic(), b.owns[0].topic()), ("later", "t"), "a subscription changed");
    bed.node.delete_topics(&["later"]).remove(0).unwrap();
    bed.settle(&mut [&mut a, &mut b]);
    assert_eq!((a.owns.len(), b.owns.len()), (0, 4), "a topic was deleted");
    a.session.subscribe(names(&["t"])).unwrap();
    drop(b);
    a.poll();
    assert_eq!(a.owns.len(), 4, "a member left");
}

#[test]
fn c04_a_pattern_takes_topics_that_come_later_and_never_the_logs_own() {
    let bed = Bed::new();
    bed.topic("orders-eu", 1);
    let subscription = Subscription::Pattern(".*o.*".into());
    let mut a = bed.try_join(JoinGroup { subscription, ..request(&[]) }).unwrap();
    a.poll();
    assert_eq!(a.owns, [tp("orders-eu", 0)]);
    bed.topic("orders-us", 1);
    bed.topic("payments", 1);
    a.poll();
    assert_eq!(a.owns, [tp("orders-eu", 0), tp("orders-us", 0)]);
}

#[test]
fn c31_only_the_poll_interval_removes_a_live_member() {
    let bed = Bed::new();
    bed.topic("t", 2);
    let (mut a, mut b) = (bed.join(&["t"]), bed.join(&["t"]));
    bed.settle(&mut [&mut a, &mut b]);
    let late = a.member();
    bed.clock.advance(200 * SECOND);
    b.poll();
    bed.clock.advance(100 * SECOND);
    assert_eq!(b.owns.len(), 1);
    b.poll();
    assert_eq!(b.owns.len(), 2, "300 s without a poll");
    let gone = a.session.assignment().unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::UnknownMemberId);
    let refused = bed.commit(Some(&late), &[(tp("t", 0), 1)]).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::UnknownMemberId);
    let events = bed.node.take_group_events();
    assert!(matches!(&events[..], [GroupEvent::MemberExpired { member_id, .. }]
        if *member_id == late.member_id));
}

#[test]
fn c31_a_member_in_a_poll_is_never_late_and_a_tick_finds_the_late_ones() {
    let bed = Bed::new();
    bed.topic("t", 1);
    let a = bed.join(&["t"]);
    a.session.poll_began();
    bed.clock.advance(3_600 * SECOND);
    bed.node.tick();
    assert!(a.session.assignment().is_ok());
    a.session.poll_ended();
    assert_eq!(a.session.next_due(), Some(300 * SECOND));
    assert_eq!(bed.node.tick(), Some(300 * SECOND));
    let (count, waker) = Count::new();
    assert!(a.session.register(a.session.version(), &waker).is_some());
    bed.clock.advance(300 * SECOND);
    bed.node.tick();
    assert!(a.session.assignment().is_err());
    assert_eq!(count.get(), 1);
}

#[test]
fn c31_who_sleeps_while_all_are_in_a_poll_looks_again_before_one_can_be_late() {
    let bed = Bed::new();
    bed.topic("t", 1);
    let (a, b) = (bed.join(&["t"]), bed.join(&["t"]));
    a.session.poll_began();
    b.session.poll_began();
    bed.clock.advance(3_600 * SECOND);
    bed.node.tick();
    // Nobody is called when a poll ends: this is how long a sleeper sleeps.
    let sleeps = b.session.next_due().unwrap();
    a.session.poll_ended();
    assert!(sleeps <= 300 * SECOND, "{sleeps:?}");
    bed.clock.advance(sleeps);
    b.session.poll_began();
    assert!(b.session.assignment().unwrap().partitions.len() == 1, "a is late");
}

#[test]
fn c30_who_sleeps_is_called_when_something_is_due_sooner() {
    let bed = Bed::new();
    bed.topic("t", 2);
    let fixed = bed.try_join(instance("i", &["t"])).unwrap();
    let mut b = bed.join(&["t"]);
    b.poll();
    b.session.poll_began();
    let sleeps = |told: usize, act: &mut dyn FnMut()| {
        let (count, waker) = Count::new();
        let token = b.session.register(b.session.version(), &waker);
        assert!(token.is_some());
        assert_eq!(b.session.next_due(), Some(300 * SECOND));
        act();
        assert_eq!(count.get(), told);
        b.session.next_due().unwrap()
    };
    let mut fixed = Some(fixed);
    let next = sleeps(1, &mut || drop(fixed.take()));
    assert_eq!(next, 45 * SECOND);
}

#[test]
fn c53_who_does_not_let_go_in_time_is_removed() {
    let bed = Bed::new();
    bed.topic("t", 2);
    let mut a = bed.join(&["t"]);
    a.poll();
    let mut b = bed.join(&["t"]);
    b.poll();
    a.session.assignment().unwrap();
    bed.clock.advance(299 * SECOND);
    b.poll();
    assert!(b.owns.is_empty());
    bed.clock.advance(SECOND);
    b.poll();
    assert_eq!(b.numbers(), [0, 1]);
}

#[test]
fn c43_a_static_member_comes_back_to_what_it_had_without_a_rebalance() {
    let bed = Bed::new();
    bed.topic("t", 4);
    let mut a = bed.try_join(instance("i", &["t"])).unwrap();
    let mut b = bed.join(&["t"]);
    bed.settle(&mut [&mut a, &mut b]);
    let (had, epoch) = (a.owns.clone(), bed.node.describe_group("g").unwrap().epoch);
    drop(a);
    bed.clock.advance(44 * SECOND);
    assert!(!b.poll());
    let mut again = bed.try_join(instance("i", &["t"])).unwrap();
    again.poll();
    assert_eq!(again.owns, had);
    assert_eq!(bed.node.describe_group("g").unwrap().epoch, epoch);
    bed.clock.advance(3_600 * SECOND / 20);
    assert!(again.session.assignment().is_ok(), "no session time passes while it is held");
}

#[test]
fn c30_the_session_of_a_static_member_ends_and_has_bounds() {
    let bed = Bed::new();
    bed.topic("t", 2);
    let mut a = bed.try_join(instance("i", &["t"])).unwrap();
    let mut b = bed.join(&["t"]);
    bed.settle(&mut [&mut a, &mut b]);
    drop(a);
    bed.clock.advance(45 * SECOND);
    b.poll();
    assert_eq!(b.owns.len(), 2);
    for timeout in [5_999, 1_800_001] {
        let session_timeout = std::time::Duration::from_millis(timeout);
        let join = JoinGroup { session_timeout, ..instance("i", &["t"]) };
        let error = bed.try_join(join).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidSessionTimeout);
        assert!(error.to_string().contains(&timeout.to_string()));
    }
}

#[test]
fn c43_a_second_live_member_of_one_instance_fences_the_older() {
    let bed = Bed::new();
    bed.topic("t", 1);
    let mut a = bed.try_join(instance("i", &["t"])).unwrap();
    a.poll();
    let old = a.member();
    let (count, waker) = Count::new();
    assert!(a.session.register(a.session.version(), &waker).is_some());
    let mut b = bed.try_join(instance("i", &["t"])).unwrap();
    assert_eq!(count.get(), 1);
    assert_eq!(a.session.assignment().unwrap_err().kind(), ErrorKind::FencedInstanceId);
    let error = bed.commit(Some(&old), &[(tp("t", 0), 1)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FencedInstanceId);
    drop(a);
    b.poll();
    assert_eq!(b.numbers(), [0], "the end of the fenced handle takes nothing away");
}

#[test]
fn c43_static_members_outlive_the_log_and_dynamic_ones_do_not() {
    let disk = SimDisk::new();
    let bed = Bed::on(&disk, "power-loss");
    bed.topic("t", 4);
    let mut a = bed.try_join(instance("i", &["t"])).unwrap();
    let mut b = bed.join(&["t"]);
    bed.settle(&mut [&mut a, &mut b]);
    let had = a.owns.clone();
    let old = b.member();
    let epoch = bed.node.describe_group("g").unwrap().epoch;
    drop((a, b));
    bed.node.close().unwrap();
    drop(bed);
    let bed = Bed::on(&disk, "power-loss");
    let view = bed.node.describe_group("g").unwrap();
    assert_eq!(view.members.len(), 1);
    assert!(!view.members[0].is_live);
    let error = bed.commit(Some(&old), &[(tp("t", 0), 1)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownMemberId);
    let mut a = bed.try_join(instance("i", &["t"])).unwrap();
    a.poll();
    for part in &had {
        assert!(a.owns.contains(part), "{:?} of {had:?}", a.owns);
    }
    assert!(epoch > 0);
    drop(a);
    bed.clock.advance(45 * SECOND);
    bed.node.tick();
    assert!(bed.node.describe_group("g").unwrap().members.is_empty());
}

#[test]
fn c44_a_full_group_refuses_another_member() {
    let bed = Bed::with(|options| {
        options.settings.insert("group.max.size".to_owned(), "1".to_owned());
    });
    bed.topic("t", 1);
    let a = bed.try_join(instance("i", &["t"])).unwrap();
    let error = bed.try_join(request(&["t"])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::GroupMaxSizeReached);
    bed.try_join(instance("i", &["t"])).unwrap();
    drop(a);
}

#[test]
fn bad_joins_are_refused_and_name_what_is_wrong() {
    let bed = Bed::new();
    let long = "x".repeat(250);
    for group in ["", &long] {
        let error = bed.try_join(JoinGroup { group: group.into(), ..request(&[]) }).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidGroupId);
    }
    let join = JoinGroup { assignor: Some("fair".into()), ..request(&[]) };
    assert_eq!(bed.try_join(join).unwrap_err().kind(), ErrorKind::UnsupportedAssignor);
    let subscription = Subscription::Pattern("(".into());
    let error = bed.try_join(JoinGroup { subscription, ..request(&[]) }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRegularExpression);
    assert!(bed.node.list_groups().unwrap().is_empty());
}

/// Fails as long as there are two members.
#[derive(Debug)]
struct Picky;

impl Assignor for Picky {
    fn name(&self) -> &str {
        "picky"
    }

    fn assign(&self, group: &GroupSpec) -> Result<Vec<Vec<Slot>>> {
        match group.members.len() {
            1 => Ok(vec![group.slots().collect()]),
            2 => Err(Error::new(ErrorKind::Unknown, "two are too many")),
            _ => panic!("three are far too many"),
        }
    }
}

#[test]
fn an_assignor_that_fails_keeps_newcomers_out_and_the_others_go_on() {
    let bed = Bed::with(|options| options.assignors.push(Arc::new(Picky)));
    bed.topic("t", 2);
    let picky = || JoinGroup { assignor: Some("picky".into()), ..request(&["t"]) };
    let mut a = bed.try_join(picky()).unwrap();
    a.poll();
    let error = bed.try_join(picky()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AssignorFailed);
    assert!(error.to_string().contains("two are too many"));
    assert!(!a.poll() || !a.poll());
    assert_eq!(a.owns.len(), 2);
    let view = bed.node.describe_group("g").unwrap();
    assert_eq!((view.members.len(), view.summary.state), (1, GroupState::Stable));
    assert!(view.problem.is_none());
}

#[test]
fn c24_a_dropped_or_closed_handle_gives_its_partitions_on_at_once() {
    let bed = Bed::new();
    bed.topic("t", 2);
    let (mut a, mut b) = (bed.join(&["t"]), bed.try_join(instance("i", &["t"])).unwrap());
    bed.settle(&mut [&mut a, &mut b]);
    b.session.leave();
    a.poll();
    assert_eq!(a.owns.len(), 2, "a static member that leaves for good is gone");
    drop(b);
    drop(a);
    assert_eq!(bed.node.describe_group("g").unwrap().summary.state, GroupState::Empty);
    assert_eq!(bed.committed(&tp("t", 0)), None, "and commits nothing");
}

#[test]
fn a_closed_log_wakes_and_refuses_members() {
    let bed = Bed::new();
    bed.topic("t", 1);
    let a = bed.join(&["t"]);
    let (count, waker) = Count::new();
    assert!(a.session.register(a.session.version(), &waker).is_some());
    bed.node.close().unwrap();
    assert_eq!(count.get(), 1);
    assert_eq!(a.session.assignment().unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(bed.try_join(request(&["t"])).unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(bed.groups().committed("g", None).unwrap_err().kind(), ErrorKind::Closed);
    assert!(bed.node.check_open().is_err());
}
