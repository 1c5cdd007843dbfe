//! What a table makes of a log that is compacted, trimmed or failing under it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::backend::Backend;
use crate::base::{Error, ErrorKind};
use crate::client::fake::{Fake, State};
use crate::client::{Restored, Table, TableBuilder};

fn builder(fake: &Arc<Fake>) -> TableBuilder {
    TableBuilder::new(Arc::clone(fake) as Arc<dyn Backend>, "t")
}

fn content(table: &Table) -> BTreeMap<String, String> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    table.view().unwrap().iter().map(|(key, value)| (text(key), text(value))).collect()
}

fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

#[test]
fn a54_g01_a_tombstone_that_went_before_it_was_read_still_removes() {
    let fake = Fake::new();
    fake.create("t", 1);
    let partition = fake.partition("t", 0);
    partition.add_keyed(&[("a", Some("1")), ("b", Some("1"))]);
    let table = builder(&fake).build().unwrap();
    assert_eq!(content(&table).len(), 2);
    partition.add_keyed(&[("a", None), ("c", Some("1"))]);
    // Two passes while nobody asks: what the tombstone replaced has gone, and then the tombstone.
    partition.compact(|offset| offset == 1 || offset == 3);
    assert_eq!(content(&table), pairs([("b", "1"), ("c", "1")]));
    assert_eq!(table.stats().rescans, 1);
    // Behind the hole it goes on as ever.
    partition.add_keyed(&[("b", None)]);
    assert_eq!((content(&table), table.stats().rescans), (pairs([("c", "1")]), 1));
}

#[test]
fn a54_g01_a_hole_in_the_front_of_a_batch_in_its_end_and_a_whole_empty_one_are_seen() {
    for gone in [[2, 3], [3, 4], [2, 4], [4, 5], [5, 5]] {
        let fake = Fake::new();
        fake.create("t", 1);
        let partition = fake.partition("t", 0);
        partition.add_keyed(&[("a", Some("1")), ("b", Some("1"))]);
        let table = builder(&fake).build().unwrap();
        partition.add_keyed(&[("x", Some("1")), ("y", Some("1"))]);
        partition.add_keyed(&[("z", Some("1")), ("a", None)]);
        let is_gone = |offset| gone.contains(&offset) || offset == 5 || offset == 0;
        partition.compact(|offset| !is_gone(offset));
        let right = content(&builder(&fake).build().unwrap());
        assert_eq!(content(&table), right, "{gone:?}");
        assert!(!right.contains_key("a") && table.stats().rescans == 1);
    }
}

#[test]
fn a54_g01_nothing_at_all_up_to_the_end_is_a_hole_too() {
    let fake = Fake::new();
    fake.create("t", 1);
    let partition = fake.partition("t", 0);
    partition.add_keyed(&[("a", Some("1")), ("b", Some("1"))]);
    let table = builder(&fake).build().unwrap();
    partition.add_keyed(&[("a", None)]);
    partition.add_keyed(&[("b", None)]);
    partition.compact(|_| false);
    partition.drop_empty();
    assert_eq!(content(&table), pairs([]));
    assert_eq!(table.view().unwrap().position(0), Some(4));
    assert_eq!(content(&builder(&fake).build().unwrap()), pairs([]));
    partition.add_keyed(&[("c", Some("1"))]);
    assert_eq!((content(&table), table.stats().rescans), (pairs([("c", "1")]), 1));
}

#[test]
fn a54_g01_a_compaction_that_comes_between_has_the_table_read_anew() {
    let fake = Fake::new();
    fake.create("t", 1);
    let partition = fake.partition("t", 0);
    let large = "v".repeat(300_000);
    partition.add_keyed(&[("a", Some(&large)), ("b", Some("1"))]);
    partition.add_keyed(&[("a", None), ("c", Some("1"))]);
    // When the first batch is read, both passes come: the value is read, its tombstone is not.
    partition.state.lock().after_fetch =
        Some(|state| state.compact(|offset| offset == 1 || offset == 3));
    let table = builder(&fake).build().unwrap();
    assert_eq!(content(&table), pairs([("b", "1"), ("c", "1")]));
    assert_eq!(table.stats().rescans, 1);
    // One that ends before the reading begins is none of its business.
    assert_eq!(builder(&fake).build().unwrap().stats().rescans, 0);
}

#[test]
fn a54_g01_a_reading_that_fails_behind_a_compaction_begins_again() {
    let fake = Fake::new();
    fake.create("t", 1);
    let partition = fake.partition("t", 0);
    // Large ones end a fetch.
    let large = "v".repeat(300_000);
    partition.add_keyed(&[("a", Some(&large)), ("b", Some("1"))]);
    let table = builder(&fake).build().unwrap();
    partition.add_keyed(&[("x", Some("1")), ("y", Some("1"))]);
    partition.add_keyed(&[("a", None), ("c", Some(&large))]);
    partition.add_keyed(&[("d", Some("1"))]);
    // The first fetch meets a hole: all is read anew. Behind the second, which has brought a, its
    // tombstone goes; behind the fourth, which should have brought it, the disk goes too.
    partition.compact(|offset| offset != 2);
    fn first(state: &mut State) {
        state.after_fetch = Some(second);
    }
    fn second(state: &mut State) {
        state.compact(|offset| ![0, 4].contains(&offset));
        state.after_fetch = Some(|state| state.after_fetch = Some(fourth));
    }
    fn fourth(state: &mut State) {
        state.fail_fetch = Some(Error::new(ErrorKind::StorageError, "the disk is gone"));
    }
    partition.state.lock().after_fetch = Some(first);
    assert_eq!(table.view().unwrap_err().kind(), ErrorKind::StorageError);
    partition.state.lock().fail_fetch = None;
    let keys: Vec<_> = content(&table).into_keys().collect();
    assert_eq!(keys, ["b", "c", "d", "y"]);
}

#[test]
fn a_compaction_behind_the_table_costs_nothing() {
    let fake = Fake::new();
    fake.create("t", 1);
    let partition = fake.partition("t", 0);
    partition.add_keyed(&[("a", Some("1")), ("b", Some("1")), ("a", Some("2")), ("c", None)]);
    let table = builder(&fake).build().unwrap();
    partition.compact(|offset| offset == 1 || offset == 2);
    partition.add_keyed(&[("b", Some("2"))]);
    assert_eq!(content(&table), pairs([("a", "2"), ("b", "2")]));
    assert_eq!((table.stats().applied, table.stats().rescans), (5, 0));
}

#[test]
fn gaps_and_control_batches_are_no_holes() {
    let fake = Fake::new();
    fake.create("t", 1);
    let partition = fake.partition("t", 0);
    partition.add_keyed(&[("a", Some("1"))]);
    let table = builder(&fake).build().unwrap();
    partition.add_gap(5);
    partition.add_keyed(&[("b", Some("1"))]);
    partition.add_control();
    partition.add_keyed(&[("c", Some("1"))]);
    assert_eq!(content(&table).len(), 3);
    partition.add_control();
    assert_eq!(content(&table).len(), 3);
    partition.add_gap(3);
    assert_eq!(table.view().unwrap().position(0), Some(13));
    assert_eq!(table.stats().rescans, 0);
}

#[test]
fn a_reading_anew_that_fails_is_ended_by_a_later_call() {
    let fake = Fake::new();
    fake.create("t", 1);
    let partition = fake.partition("t", 0);
    partition.add_keyed(&[("a", Some("1")), ("b", Some("1"))]);
    let table = builder(&fake).build().unwrap();
    partition.add_keyed(&[("a", None), ("c", Some("1"))]);
    partition.compact(|offset| offset != 0 && offset != 2);
    let broken = Error::new(ErrorKind::StorageError, "the disk is gone");
    partition.state.lock().fail_fetch = Some(broken);
    for _ in 0..2 {
        assert_eq!(table.get("b").unwrap_err().kind(), ErrorKind::StorageError);
        assert_eq!(table.view().unwrap_err().kind(), ErrorKind::StorageError);
    }
    partition.state.lock().fail_fetch = None;
    assert_eq!(content(&table), pairs([("b", "1"), ("c", "1")]));
}

#[test]
fn a_damaged_record_is_told_and_not_passed() {
    let fake = Fake::new();
    fake.create("t", 1);
    let partition = fake.partition("t", 0);
    partition.add_keyed(&[("a", Some("1"))]);
    let table = builder(&fake).build().unwrap();
    partition.add_keyed(&[("b", Some("1")), ("c", Some("1"))]);
    partition.spoil(1, 24);
    for _ in 0..2 {
        let error = table.get("a").unwrap_err();
        assert_eq!((error.kind(), error.offset()), (ErrorKind::CorruptMessage, Some(2)));
        assert_eq!((error.topic(), error.partition()), (Some("t"), Some(0)));
    }
}

#[test]
fn a54_a_snapshot_behind_which_a_tombstone_has_gone_resurrects_nothing() {
    let fake = Fake::new();
    fake.create("t", 2);
    let (first, second) = (fake.partition("t", 0), fake.partition("t", 1));
    first.add_keyed(&[("a", Some("1")), ("b", Some("1")), ("b", Some("2"))]);
    second.add_keyed(&[("x", Some("1"))]);
    let build = || builder(&fake).snapshot("t.table").build().unwrap();
    build().save().unwrap();
    first.add_keyed(&[("a", None), ("c", Some("1"))]);
    first.compact(|offset| offset != 0 && offset != 1 && offset != 3);
    let table = build();
    assert_eq!(content(&table), pairs([("b", "2"), ("c", "1"), ("x", "1")]));
    assert_eq!((table.restored().is_taken(), table.stats().rescans), (true, 1));
}

#[test]
fn a54_a_snapshot_whose_last_record_a_compaction_took_is_not_used() {
    let fake = Fake::new();
    fake.create("t", 1);
    let partition = fake.partition("t", 0);
    partition.add_keyed(&[("a", Some("1")), ("b", Some("1"))]);
    let build = || builder(&fake).snapshot("t.table").build().unwrap();
    build().save().unwrap();
    partition.add_keyed(&[("b", None), ("c", Some("1"))]);
    partition.compact(|offset| offset == 0 || offset == 3);
    let table = build();
    assert!(matches!(table.restored(), Restored::Ignored { .. }));
    assert_eq!(content(&table), pairs([("a", "1"), ("c", "1")]));
}

#[test]
fn nothing_new_costs_a_look_at_the_marks_and_no_fetch() {
    let fake = Fake::new();
    fake.create("t", 3);
    fake.partition("t", 1).add_keyed(&[("a", Some("1"))]);
    let table = builder(&fake).build().unwrap();
    let fetches = || -> usize {
        (0..3).map(|number| fake.partition("t", number).state.lock().fetches.len()).sum()
    };
    let (before, resolved) = (fetches(), fake.resolved.load(Ordering::Relaxed));
    for _ in 0..10 {
        assert!(table.get("a").unwrap().is_some() && table.get("b").unwrap().is_none());
        assert_eq!(table.view().unwrap().len(), 1);
    }
    assert_eq!((fetches(), fake.resolved.load(Ordering::Relaxed)), (before, resolved));
    // And what is new in one partition is fetched from that one.
    fake.partition("t", 2).add_keyed(&[("b", Some("1"))]);
    assert!(table.get("b").unwrap().is_some());
    assert_eq!(fetches(), before + 1);
}
