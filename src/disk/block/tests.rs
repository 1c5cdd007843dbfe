use std::thread;

use super::Span;

fn filled(len: usize) -> Span {
    let mut span = Span::heap(len);
    for (i, byte) in span.bytes_mut().iter_mut().enumerate() {
        *byte = i as u8;
    }
    span
}

#[test]
fn heap_memory_starts_as_zeros() {
    let span = Span::heap(1000);
    assert_eq!((span.len(), span.position()), (1000, 0));
    assert!(span.bytes().iter().all(|&byte| byte == 0));
    assert!(Span::heap(0).bytes().is_empty());
}

#[test]
fn split_spans_are_disjoint_and_know_their_place() {
    let (mut a, b) = filled(100).split_at(30);
    let (mut b, c) = b.split_at(70);
    assert_eq!([a.len(), b.len(), c.len()], [30, 70, 0]);
    assert_eq!([a.position(), b.position(), c.position()], [0, 30, 100]);
    assert_eq!(a.region(), b.region());
    assert!(c.is_empty() && c.bytes().is_empty());
    a.bytes_mut().fill(0xAA);
    assert_eq!(b.bytes()[0], 30);
    b.bytes_mut().fill(0xBB);
    let whole = a.join(b).unwrap().join(c).unwrap();
    assert_eq!(whole.len(), 100);
    assert_eq!(&whole.bytes()[28..32], [0xAA, 0xAA, 0xBB, 0xBB]);
}

#[test]
fn only_neighbours_join_and_a_refusal_changes_nothing() {
    let (a, rest) = filled(90).split_at(30);
    let (b, c) = rest.split_at(30);
    let (a, c) = a.join(c).unwrap_err();
    let (c, b) = c.join(b).unwrap_err();
    let (c, stranger) = c.join(Span::heap(30)).unwrap_err();
    assert_ne!(c.region(), stranger.region());
    assert_eq!([a.bytes()[0], b.bytes()[0], c.bytes()[0]], [0, 30, 60]);
    let whole = a.join(b.join(c).unwrap()).unwrap();
    assert_eq!(whole.bytes(), filled(90).bytes());
}

#[test]
#[should_panic(expected = "split at 11")]
fn a_split_beyond_the_end_is_refused() {
    let _ = Span::heap(10).split_at(11);
}

#[test]
fn a_part_keeps_the_region_alive() {
    let (a, b) = filled(64).split_at(32);
    drop(a);
    let reader = b.into_block(0).reader();
    assert_eq!(reader.pin().unwrap().bytes().len(), 0);
}

#[test]
fn readers_see_neither_head_nor_spare_bytes() {
    let mut writer = filled(100).into_block(16);
    let reader = writer.reader();
    assert_eq!((writer.len(), writer.mark(), reader.mark()), (100, 16, 16));
    assert!(reader.pin().unwrap().bytes().is_empty());
    writer.head_mut().fill(0xEE);
    writer.spare_mut()[..4].copy_from_slice(b"abcd");
    assert!(reader.pin().unwrap().bytes().is_empty());
    writer.publish(20);
    assert_eq!(reader.pin().unwrap().bytes(), b"abcd");
    assert_eq!(writer.published(), b"abcd");
    assert_eq!(writer.spare_mut().len(), 80);
    assert_eq!(writer.head(), [0xEE; 16]);
}

#[test]
fn a_pin_shows_what_was_published_when_it_was_taken() {
    let mut writer = Span::heap(8).into_block(0);
    let reader = writer.reader();
    writer.publish(2);
    let pin = reader.pin().unwrap();
    writer.spare_mut().fill(1);
    writer.publish(8);
    assert_eq!((pin.bytes(), pin.mark()), (&[0, 0][..], 2));
    assert_eq!(reader.pin().unwrap().bytes(), [0, 0, 1, 1, 1, 1, 1, 1]);
}

#[test]
fn the_parts_of_a_block_may_be_used_together() {
    let mut writer = filled(12).into_block(4);
    writer.publish(8);
    let (head, published, spare) = writer.parts_mut();
    head.copy_from_slice(published);
    spare.copy_from_slice(published);
    writer.publish(12);
    assert_eq!(writer.reclaim().unwrap().bytes(), [4, 5, 6, 7].repeat(3));
}

#[test]
#[should_panic(expected = "publish 3 of 4..10")]
fn the_mark_never_goes_back() {
    Span::heap(10).into_block(4).publish(3);
}

#[test]
#[should_panic(expected = "publish 11 of 4..10")]
fn the_mark_never_passes_the_end() {
    Span::heap(10).into_block(4).publish(11);
}

#[test]
fn reclaim_fails_under_a_pin_and_no_pin_follows_it() {
    let mut writer = Span::heap(10).into_block(0);
    let reader = writer.reader();
    writer.publish(10);
    let pin = reader.pin().unwrap();
    let writer = writer.reclaim().unwrap_err();
    drop(pin);
    let span = writer.reclaim().unwrap();
    assert_eq!((span.len(), span.position()), (10, 0));
    assert!(reader.pin().is_none() && reader.clone().pin().is_none());
    // The same memory serves again, and the old reader has no part in it.
    let mut again = span.into_block(2);
    again.publish(5);
    assert!(reader.pin().is_none());
    assert_eq!(reader.mark(), 10);
}

#[test]
fn a_reclaimed_part_joins_its_neighbour_again() {
    let (a, b) = filled(20).split_at(10);
    let writer = b.into_block(3);
    assert_eq!((writer.position(), writer.region()), (10, a.region()));
    let whole = a.join(writer.reclaim().unwrap()).unwrap();
    assert_eq!(whole.bytes(), filled(20).bytes());
}

#[test]
fn threads_read_what_one_thread_publishes() {
    let rounds = if cfg!(miri) { 40 } else { 5_000 };
    let mut writer = Span::heap(rounds).into_block(0);
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let reader = writer.reader();
            thread::spawn(move || {
                let mut seen = 0;
                while let Some(pin) = reader.pin() {
                    let bytes = pin.bytes();
                    assert!(bytes.len() >= seen);
                    assert!(bytes.iter().enumerate().all(|(i, &byte)| byte == (i % 251) as u8 + 1));
                    seen = bytes.len();
                    drop(pin);
                    thread::yield_now();
                }
            })
        })
        .collect();
    for i in 0..rounds {
        writer.spare_mut()[0] = (i % 251) as u8 + 1;
        writer.publish(i + 1);
    }
    let mut reclaimed = writer.reclaim();
    while let Err(writer) = reclaimed {
        thread::yield_now();
        reclaimed = writer.reclaim();
    }
    // Stores of the next owner never meet a reader.
    reclaimed.unwrap().bytes_mut().fill(0);
    for reader in readers {
        reader.join().unwrap();
    }
}

#[test]
fn parts_of_one_region_are_written_by_two_threads_at_once() {
    let (mut a, mut b) = Span::heap(64).split_at(32);
    let (a, b) = thread::scope(|scope| {
        let a = scope.spawn(move || {
            a.bytes_mut().fill(1);
            a
        });
        b.bytes_mut().fill(2);
        (a.join().unwrap(), b)
    });
    let whole = a.join(b).unwrap();
    assert_eq!((whole.bytes()[31], whole.bytes()[32]), (1, 2));
}
