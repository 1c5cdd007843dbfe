//! What operators do with groups, and what time does to offsets.

use std::time::Duration;

use crate::base::{ErrorKind, TopicPartition};
use crate::coord::groups::{GroupEvent, GroupState, GroupType};
use crate::node::{OffsetChange, ResetTo};

use super::support::*;

#[test]
fn e14_groups_are_listed_with_state_and_type() {
    let bed = Bed::new();
    bed.topic("t", 1);
    assert!(bed.node.list_groups().unwrap().is_empty());
    bed.node.alter_group_offsets("simple", &[(tp("t", 0), 0)]).unwrap();
    let mut a = bed.join(&["t"]);
    a.poll();
    let list = |bed: &Bed| -> Vec<(String, GroupState, GroupType)> {
        let groups = bed.node.list_groups().unwrap().into_iter();
        groups.map(|g| (g.group.to_string(), g.state, g.group_type)).collect()
    };
    let simple = ("simple".to_owned(), GroupState::Empty, GroupType::Simple);
    let g = |state| ("g".to_owned(), state, GroupType::Consumer);
    assert_eq!(list(&bed), [g(GroupState::Stable), simple.clone()]);
    drop(a);
    assert_eq!(list(&bed), [g(GroupState::Empty), simple]);
    let error = bed.node.describe_group("no").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::GroupIdNotFound);
}

#[test]
fn e15_a_description_tells_members_epochs_and_lag() {
    let bed = Bed::new();
    bed.topic("t", 2);
    bed.send(&tp("t", 0), 10);
    let mut a = bed.try_join(instance("i", &["t"])).unwrap();
    a.poll();
    bed.commit(Some(&a.member()), &[(tp("t", 0), 4)]).unwrap();
    let view = bed.node.describe_group("g").unwrap();
    let [member] = &view.members[..] else { panic!("{view:?}") };
    assert_eq!(member.instance_id.as_deref(), Some("i"));
    assert_eq!((&*member.client_id, member.is_live), ("c", true));
    assert_eq!(member.assignment, [tp("t", 0), tp("t", 1)]);
    assert_eq!(member.target, member.assignment);
    assert_eq!((view.epoch, view.target_epoch, member.epoch), (1, 1, 1));
    assert_eq!(&*view.assignor, "uniform");
    let lag = bed.node.group_lag(&view);
    assert_eq!((lag[&tp("t", 0)].lag, lag[&tp("t", 1)].lag), (6, 0));
    assert_eq!(lag[&tp("t", 0)].committed.as_ref().map(|c| c.offset), Some(4));
}

#[test]
fn e16_only_empty_groups_can_be_deleted() {
    let bed = Bed::new();
    bed.topic("t", 1);
    let error = bed.node.delete_group("g").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::GroupIdNotFound);
    let a = bed.join(&["t"]);
    bed.commit(Some(&a.member()), &[(tp("t", 0), 4)]).unwrap();
    let error = bed.node.delete_group("g").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NonEmptyGroup);
    drop(a);
    bed.node.delete_group("g").unwrap();
    assert_eq!(bed.committed(&tp("t", 0)), None);
    assert!(bed.node.list_groups().unwrap().is_empty());
}

#[test]
fn e17_offsets_are_reset_in_every_form_and_a_plan_changes_nothing() {
    let bed = Bed::new();
    bed.topic("t", 1);
    let part = tp("t", 0);
    bed.send(&part, 10);
    bed.clock.advance(100 * SECOND);
    bed.send(&part, 10);
    let start = 1_700_000_000_000;
    let cases = [
        (ResetTo::Earliest, 0),
        (ResetTo::Latest, 20),
        (ResetTo::Offset(7), 7),
        (ResetTo::Offset(1_000), 20),
        (ResetTo::ShiftBy(-5), 15),
        (ResetTo::ShiftBy(-500), 0),
        (ResetTo::ShiftBy(i64::MAX), 20),
        (ResetTo::Current, 20),
        (ResetTo::Timestamp(start + 1), 10),
        (ResetTo::Timestamp(start + 1_000_000), 20),
        (ResetTo::Ago(50 * SECOND), 10),
        (ResetTo::Ago(Duration::MAX), 0),
    ];
    let mut from = None;
    for (reset, to) in cases {
        let change = OffsetChange { partition: part.clone(), from, to };
        let parts = std::slice::from_ref(&part);
        let change = std::slice::from_ref(&change);
        assert_eq!(bed.node.plan_group_reset("g", parts, reset).unwrap(), change);
        assert_eq!(bed.committed(&part), from, "{reset:?}: a plan only");
        assert_eq!(bed.node.reset_group("g", parts, reset).unwrap(), change);
        assert_eq!(bed.committed(&part), Some(to), "{reset:?}");
        from = Some(to);
    }
    let all = bed.node.reset_group("g", &[], ResetTo::Latest).unwrap();
    assert_eq!(all.len(), 1, "all that are committed");
    let error = bed.node.reset_group("g", &[tp("t", 9)], ResetTo::Latest).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownTopicOrPartition);
    let _a = bed.join(&["t"]);
    let error = bed.node.reset_group("g", &[part], ResetTo::Earliest).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownMemberId, "a live group is not reset");
}

#[test]
fn e18_offsets_of_subscribed_topics_cannot_be_deleted() {
    let bed = Bed::new();
    bed.topic("t", 1);
    bed.topic("u", 1);
    let both = [tp("t", 0), tp("u", 0)];
    let error = bed.node.delete_group_offsets("g", &both).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::GroupIdNotFound);
    let a = bed.join(&["t"]);
    bed.commit(Some(&a.member()), &both.clone().map(|tp| (tp, 3))).unwrap();
    let refused = bed.node.delete_group_offsets("g", &both).unwrap();
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].1.kind(), ErrorKind::GroupSubscribedToTopic);
    assert_eq!((bed.committed(&both[0]), bed.committed(&both[1])), (Some(3), None));
    drop(a);
    assert!(bed.node.delete_group_offsets("g", &both).unwrap().is_empty());
    assert_eq!(bed.committed(&both[0]), None);
}

#[test]
fn e23_members_are_removed_by_either_name_or_all() {
    let bed = Bed::new();
    bed.topic("t", 2);
    let a = bed.try_join(instance("i", &["t"])).unwrap();
    let (b, mut c) = (bed.join(&["t"]), bed.join(&["t"]));
    let error = bed.node.remove_group_members("g", Some(&["i", "nobody"])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownMemberId);
    assert!(a.session.assignment().is_ok(), "nobody was removed");
    let ids = ["i", &**b.session.member_id()];
    assert_eq!(bed.node.remove_group_members("g", Some(&ids)).unwrap(), 2);
    for gone in [&a, &b] {
        assert_eq!(gone.session.assignment().unwrap_err().kind(), ErrorKind::UnknownMemberId);
    }
    c.poll();
    assert_eq!(c.owns.len(), 2);
    assert_eq!(bed.node.remove_group_members("g", None).unwrap(), 1);
    assert_eq!(bed.node.describe_group("g").unwrap().summary.state, GroupState::Empty);
    assert_eq!(
        bed.node.remove_group_members("no", None).unwrap_err().kind(),
        ErrorKind::GroupIdNotFound
    );
}

fn keeping(minutes: &str) -> Bed {
    let minutes = minutes.to_owned();
    Bed::with(|options| {
        options.settings.insert("offsets.retention.minutes".to_owned(), minutes);
    })
}

fn pass(bed: &Bed, minutes: u32) {
    bed.clock.advance(60 * SECOND * minutes);
    bed.node.tick();
}

fn expired(bed: &Bed) -> Vec<(TopicPartition, u64)> {
    let told = |event| match event {
        GroupEvent::OffsetExpired { partition, offset, .. } => Some((partition, offset)),
        _ => None,
    };
    bed.node.take_group_events().into_iter().filter_map(told).collect()
}

#[test]
fn c62_offsets_never_expire_by_default() {
    let bed = Bed::new();
    bed.topic("t", 1);
    bed.commit(None, &[(tp("t", 0), 4)]).unwrap();
    pass(&bed, 60 * 24 * 365 * 10);
    assert_eq!(bed.committed(&tp("t", 0)), Some(4));
    assert_eq!(bed.node.tick(), None, "nothing is planned");
}

#[test]
fn c59_c61_offsets_of_an_empty_group_expire_and_then_the_group() {
    let bed = keeping("60");
    bed.topic("t", 1);
    let a = bed.join(&["t"]);
    bed.commit(Some(&a.member()), &[(tp("t", 0), 4)]).unwrap();
    a.session.poll_began();
    pass(&bed, 120);
    assert_eq!(bed.committed(&tp("t", 0)), Some(4), "C60: a live idle group loses nothing");
    drop(a);
    pass(&bed, 59);
    assert_eq!(bed.committed(&tp("t", 0)), Some(4), "the time began when it became empty");
    pass(&bed, 10);
    assert_eq!(bed.committed(&tp("t", 0)), None);
    assert_eq!(expired(&bed), [(tp("t", 0), 4)]);
    assert!(bed.node.list_groups().unwrap().is_empty());
}

#[test]
fn c59_a_group_without_members_counts_from_each_commit() {
    let bed = keeping("60");
    bed.topic("t", 2);
    bed.commit(None, &[(tp("t", 0), 1)]).unwrap();
    pass(&bed, 40);
    bed.commit(None, &[(tp("t", 1), 2)]).unwrap();
    pass(&bed, 30);
    assert_eq!(expired(&bed), [(tp("t", 0), 1)]);
    assert_eq!(bed.committed(&tp("t", 1)), Some(2));
}

#[test]
fn c60_a_live_group_loses_only_what_nobody_subscribes_to() {
    let bed = keeping("60");
    bed.topic("t", 1);
    bed.topic("old", 1);
    let a = bed.join(&["t"]);
    a.session.poll_began();
    bed.commit(Some(&a.member()), &[(tp("t", 0), 1), (tp("old", 0), 2)]).unwrap();
    pass(&bed, 70);
    assert_eq!(expired(&bed), [(tp("old", 0), 2)]);
    assert_eq!(bed.committed(&tp("t", 0)), Some(1));
}

#[test]
fn a_jump_of_the_wall_expires_nothing_in_the_pass_that_sees_it() {
    let bed = keeping("60");
    bed.topic("t", 1);
    bed.commit(None, &[(tp("t", 0), 1)]).unwrap();
    bed.clock.jump_wall(1_900_000_000_000);
    pass(&bed, 10);
    assert_eq!(bed.committed(&tp("t", 0)), Some(1));
    let events = bed.node.take_group_events();
    assert!(matches!(events[..], [GroupEvent::ClockJumped(_)]), "{events:?}");
    pass(&bed, 10);
    assert_eq!(expired(&bed), [(tp("t", 0), 1)]);
}
