//! Commits: who may, what stays, what a crash leaves.

use std::time::Duration;

use crate::backend::{CommitOffset, CommitRequest, MemberRef};
use crate::base::wait::Deadline;
use crate::base::{ErrorKind, SystemClock};
use crate::disk::sim::SimDisk;

use super::support::*;

#[test]
fn c12_any_offset_of_any_partition_and_the_last_one_wins() {
    let bed = Bed::new();
    bed.topic("t", 2);
    bed.topic("other", 1);
    let mut a = bed.join(&["t"]);
    a.poll();
    let me = a.member();
    let other = tp("other", 0);
    bed.commit(Some(&me), &[(tp("t", 0), 7), (other.clone(), 1 << 40)]).unwrap();
    bed.commit(Some(&me), &[(tp("t", 0), 9), (tp("t", 0), 3)]).unwrap();
    assert_eq!(bed.committed(&tp("t", 0)), Some(3), "backwards, and the last of two");
    assert_eq!(bed.committed(&other), Some(1 << 40), "not even assigned");
    assert_eq!(bed.committed(&tp("t", 1)), None);
}

#[test]
fn c13_metadata_and_epoch_come_back_and_too_much_is_refused_for_its_partition_only() {
    let bed = Bed::new();
    bed.topic("t", 2);
    let (most, more) = ("m".repeat(4_096), "m".repeat(4_097));
    let (p0, p1) = (tp("t", 0), tp("t", 1));
    let offset = |partition, metadata| CommitOffset {
        partition,
        offset: 5,
        leader_epoch: Some(3),
        metadata,
    };
    let offsets = [offset(&p0, &*most), offset(&p1, &*more)];
    let reply = bed
        .groups()
        .commit(&CommitRequest {
            group: "g",
            member: None,
            offsets: &offsets,
            max_block: Duration::ZERO,
        })
        .unwrap();
    let [(partition, error)] = &reply.refused[..] else { panic!("{reply:?}") };
    assert_eq!((partition, error.kind()), (&p1, ErrorKind::OffsetMetadataTooLarge));
    assert!(error.to_string().contains("4097") && error.to_string().contains("4096"));
    let all = bed.groups().committed("g", None).unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!((&*all[&p0].metadata, all[&p0].leader_epoch), (&*most, Some(3)));
    assert_eq!(all[&p0].commit_ms, 1_700_000_000_000);
}

#[test]
fn what_does_not_exist_or_cannot_be_is_refused_for_its_partition_only() {
    let bed = Bed::new();
    bed.topic("t", 1);
    let offsets = [(tp("t", 1), 1), (tp("no", 0), 1), (tp("t", 0), u64::MAX), (tp("t", 0), 4)];
    let reply = bed.commit(None, &offsets).unwrap();
    let kinds: Vec<_> = reply.refused.iter().map(|(_, error)| error.kind()).collect();
    let unknown = ErrorKind::UnknownTopicOrPartition;
    assert_eq!(kinds, [unknown, unknown, ErrorKind::InvalidRequest]);
    assert_eq!(bed.committed(&tp("t", 0)), Some(4));
}

#[test]
fn c14_unknown_groups_and_partitions_have_nothing_committed() {
    let bed = Bed::new();
    bed.topic("t", 1);
    assert!(bed.groups().committed("nobody", None).unwrap().is_empty());
    assert_eq!(bed.committed(&tp("t", 0)), None);
    assert_eq!(bed.committed(&tp("no", 0)), None);
}

#[test]
fn c17_an_outsider_commits_only_while_the_group_is_empty() {
    let bed = Bed::new();
    bed.topic("t", 1);
    bed.commit(None, &[(tp("t", 0), 1)]).unwrap();
    let a = bed.join(&["t"]);
    let error = bed.commit(None, &[(tp("t", 0), 2)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownMemberId);
    drop(a);
    bed.commit(None, &[(tp("t", 0), 3)]).unwrap();
    assert_eq!(bed.committed(&tp("t", 0)), Some(3));
}

#[test]
fn c18_who_is_no_member_cannot_commit_as_one() {
    let bed = Bed::new();
    bed.topic("t", 1);
    let stranger = MemberRef { member_id: "x".into(), epoch: 1 };
    let refused =
        |bed: &Bed, member| bed.commit(Some(member), &[(tp("t", 0), 1)]).unwrap_err().kind();
    assert_eq!(refused(&bed, &stranger), ErrorKind::UnknownMemberId);
    let a = bed.join(&["t"]);
    let me = a.member();
    let ahead = MemberRef { epoch: me.epoch + 1, ..me.clone() };
    assert_eq!(refused(&bed, &ahead), ErrorKind::FencedMemberEpoch);
    drop(a);
    assert_eq!(refused(&bed, &me), ErrorKind::UnknownMemberId, "not even while it is empty");
    assert_eq!(bed.committed(&tp("t", 0)), None);
}

#[test]
fn c40_c45_c52_a_commit_counts_as_long_as_the_partition_is_owned_since_its_epoch() {
    let bed = Bed::new();
    bed.topic("t", 2);
    let mut a = bed.join(&["t"]);
    a.poll();
    let first = a.member();
    let mut b = bed.join(&["t"]);
    b.poll();
    let kept = a.session.assignment().unwrap().partitions[0].clone();
    let moved = tp("t", 1 - kept.partition());
    // It was told to let go and has not yet: what it has done there still counts.
    assert!(bed.commit(Some(&first), &[(moved.clone(), 10)]).unwrap().refused.is_empty());
    a.poll();
    b.poll();
    assert_eq!(b.owns, std::slice::from_ref(&moved));
    let stale = |member: &MemberRef, tp: &_| {
        let reply = bed.commit(Some(member), &[(crate::base::TopicPartition::clone(tp), 5)]);
        reply.unwrap().refused.first().map(|(_, error)| error.kind())
    };
    assert_eq!(stale(&first, &kept), None, "an old epoch, its own ever since");
    assert_eq!(stale(&first, &moved), Some(ErrorKind::StaleMemberEpoch));
    assert_eq!(stale(&a.member(), &moved), Some(ErrorKind::StaleMemberEpoch), "nor in a new one");
    assert_eq!(bed.committed(&moved), Some(10));
    drop(b);
    a.poll();
    assert_eq!(a.owns.len(), 2);
    assert_eq!(stale(&first, &moved), Some(ErrorKind::StaleMemberEpoch), "not since then");
    assert_eq!(stale(&a.member(), &moved), None);
}

#[test]
fn c25_offsets_of_a_deleted_topic_are_not_those_of_its_successor() {
    let disk = SimDisk::new();
    let bed = Bed::on(&disk, "power-loss");
    bed.topic("t", 1);
    bed.commit(None, &[(tp("t", 0), 4)]).unwrap();
    bed.node.delete_topics(&["t"]).remove(0).unwrap();
    assert!(bed.groups().committed("g", None).unwrap().is_empty());
    bed.topic("t", 1);
    assert_eq!(bed.committed(&tp("t", 0)), None);
    bed.node.close().unwrap();
    let bed = Bed::on(&disk, "power-loss");
    assert_eq!(bed.committed(&tp("t", 0)), None);
}

#[test]
fn offsets_are_found_again_at_every_level() {
    for level in ["power-loss", "process-crash"] {
        let disk = SimDisk::new();
        let bed = Bed::on(&disk, level);
        bed.topic("t", 3);
        bed.commit(None, &[(tp("t", 0), 4), (tp("t", 2), 6)]).unwrap();
        bed.commit(None, &[(tp("t", 0), 5)]).unwrap();
        bed.node.close().unwrap();
        let bed = Bed::on(&disk, level);
        assert_eq!(bed.committed(&tp("t", 0)), Some(5));
        assert_eq!(bed.committed(&tp("t", 1)), None);
        assert_eq!(bed.committed(&tp("t", 2)), Some(6));
    }
}

/// Commits 1, 2, 3... until the machine stops at operation `at`; the last one that was told.
fn commits_until(disk: &SimDisk, level: &str, at: u64) -> (u64, u64) {
    let bed = Bed::on(disk, level);
    bed.topic("t", 1);
    bed.send(&tp("t", 0), 100);
    disk.crash_at(disk.operations() + at);
    let (mut told, mut tried) = (0, 0);
    for offset in 1..40 {
        tried = offset;
        let Ok(reply) = bed.commit(None, &[(tp("t", 0), offset)]) else { break };
        let deadline = Deadline::after(&SystemClock, std::time::Duration::from_millis(1));
        if bed.groups().wait_committed(reply.ticket, deadline).is_err() {
            break;
        }
        told = offset;
    }
    // What a drop would still do does not count.
    disk.crash_at(disk.operations());
    (told, tried)
}

#[test]
fn a_commit_that_was_told_survives_what_its_level_says_and_else_it_is_old_or_new() {
    for at in 0..48 {
        let disk = SimDisk::new();
        let (told, tried) = commits_until(&disk, "power-loss", at);
        for after in [disk.kill(), disk.power_cut(at), disk.power_cut(at + 1_000)] {
            let found = Bed::on(&after, "power-loss").committed(&tp("t", 0)).unwrap_or(0);
            assert!((told..=tried).contains(&found), "crash at {at}: {found}, told {told}");
        }
        let disk = SimDisk::new();
        let (told, tried) = commits_until(&disk, "process-crash", at);
        let found = Bed::on(&disk.kill(), "process-crash").committed(&tp("t", 0)).unwrap_or(0);
        assert!((told..=tried).contains(&found), "kill at {at}: {found}, told {told}");
    }
}

#[test]
fn after_a_cut_no_new_record_stands_below_a_committed_offset() {
    for seed in 0..40 {
        let disk = SimDisk::new();
        let bed = Bed::on(&disk, "process-crash");
        bed.topic("t", 1);
        let part = tp("t", 0);
        for round in 1..=4 {
            bed.send(&part, 25);
            bed.commit(None, &[(part.clone(), round * 25)]).unwrap();
        }
        let after = Bed::on(&disk.power_cut(seed), "process-crash");
        let committed = after.committed(&part).unwrap_or(0);
        let route = crate::backend::Backend::resolve(&*after.node, "t").unwrap();
        let end = route.partitions[0].marks().end;
        assert!(end >= committed, "seed {seed}: {committed} is committed, the end is {end}");
        after.send(&part, 1);
        assert!(route.partitions[0].marks().end > committed, "a new record is not skipped");
    }
}

#[test]
fn a_commit_without_a_sync_is_an_append_only() {
    let disk = SimDisk::new();
    let bed = Bed::on(&disk, "process-crash");
    bed.topic("t", 1);
    bed.commit(None, &[(tp("t", 0), 1)]).unwrap();
    let before = disk.operations();
    for offset in 2..500 {
        let reply = bed.commit(None, &[(tp("t", 0), offset)]).unwrap();
        bed.groups().wait_committed(reply.ticket, Deadline::NEVER).unwrap();
    }
    assert_eq!(disk.operations(), before, "not one call of the disk");
}
