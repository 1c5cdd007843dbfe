//! What is known of producers after the log was closed, killed or cut off from power.

use super::bed::{Bed, TXN};
use crate::base::{ErrorKind, Isolation, NAMED_PRODUCERS};
use crate::disk::sim::SimDisk;

const LEVELS: [&str; 2] = ["process-crash", "power-loss"];
const SMALL: &[(&str, &str)] = &[("segment.index.bytes", "64"), ("index.interval.bytes", "0")];

/// Appends with all that a partition can know; the values that are committed.
fn fill(bed: &Bed) {
    bed.plain(&["p0"]);
    bed.begin(1, 0, &["a0", "a1"]);
    bed.begin(2, 0, &["b0"]);
    for sequence in 0..20 {
        bed.send(7, 3, sequence, &["n"]).unwrap();
        bed.plain(&["p"]);
    }
    bed.end(1, 0, false).unwrap();
    bed.send_in(2, 0, 1, &["b1"]).unwrap();
    bed.send(NAMED_PRODUCERS, 0, 40, &["x", "y"]).unwrap();
    bed.begin(3, 5, &["c0"]);
    bed.end(3, 5, true).unwrap();
}

fn check(bed: &Bed, how: &str) {
    let part = &bed.part;
    assert_eq!(part.marks_now().stable, 3, "{how}: the second transaction is open");
    let open = part.open_transactions();
    assert_eq!(open.len(), 1, "{how}");
    assert_eq!((open[0].producer, open[0].first_offset), (2, 3), "{how}");
    assert_eq!(part.producer(1).unwrap().last_marker, Some((0, false)), "{how}");
    assert_eq!(part.producer(3).unwrap().last_marker, Some((5, true)), "{how}");
    let again = bed.send(7, 3, 19, &["n"]).unwrap();
    assert!(again.duplicate, "{how}");
    let next = bed.send(7, 3, 21, &["n"]).unwrap_err();
    assert_eq!(next.kind(), ErrorKind::OutOfOrderSequenceNumber, "{how}");
    let lower = bed.send(7, 2, 20, &["n"]).unwrap_err();
    assert_eq!(lower.kind(), ErrorKind::InvalidProducerEpoch, "{how}");
    assert!(bed.send(NAMED_PRODUCERS, 0, 3, &["x"]).unwrap().duplicate, "{how}");
    assert_eq!(part.producer(NAMED_PRODUCERS).unwrap().last_sequence, Some(41), "{how}");
    let late = bed.send_in(1, 0, 2, &["late"]).unwrap_err();
    assert_eq!(late.kind(), ErrorKind::InvalidProducerEpoch, "{how}");
    assert_eq!(bed.committed(), ["p0"], "{how}");
}

/// Ends what is open, and looks at what is committed then.
fn finish(bed: &Bed, how: &str) {
    let end = bed.end(2, 0, true).unwrap() + 1;
    bed.part.wait_level(bed.part.marks_now().end, bed.soon()).unwrap();
    assert_eq!(bed.part.marks_now().end, end, "{how}");
    let seen = bed.committed();
    let count = |value: &str| seen.iter().filter(|seen| *seen == value).count();
    assert_eq!((count("a0"), count("a1"), count("n"), count("p")), (0, 0, 20, 20), "{how}");
    assert_eq!((count("b0"), count("b1"), count("c0"), count("y")), (1, 1, 1, 1), "{how}");
    let (_, position) = bed.read(Isolation::ReadCommitted, 1);
    assert_eq!(position, bed.part.marks_now().end, "{how}");
}

#[test]
fn a69_b26_all_is_as_it_was_after_a_close() {
    for level in LEVELS {
        for settings in [&[][..], SMALL] {
            let disk = SimDisk::new();
            let bed = Bed::on(&disk, level, settings);
            fill(&bed);
            bed.part.wait_level(bed.part.marks_now().end, bed.soon()).unwrap();
            check(&bed, "before");
            bed.node.close().unwrap();
            for again in 0..3 {
                let bed = Bed::on(&disk, level, settings);
                check(&bed, &format!("{level}, close {again}"));
                bed.node.close().unwrap();
            }
            finish(&Bed::on(&disk, level, settings), level);
        }
    }
}

#[test]
fn a69_b26_all_is_as_it_was_after_a_kill() {
    for level in LEVELS {
        for (settings, ticks) in [(&[][..], 0), (SMALL, 0), (SMALL, 2), (&[], 2)] {
            let disk = SimDisk::new();
            let bed = Bed::on(&disk, level, settings);
            fill(&bed);
            (0..ticks).for_each(|_| bed.tick());
            let mut disk = disk.kill();
            for again in 0..3 {
                let bed = Bed::on(&disk, level, settings);
                check(&bed, &format!("{level}, kill {again}, {ticks} ticks"));
                disk = disk.kill();
            }
            finish(&Bed::on(&disk, level, settings), level);
        }
    }
}

#[test]
fn a69_b26_all_that_is_durable_is_as_it_was_after_a_power_cut() {
    for settings in [&[][..], SMALL] {
        for seed in 0..5 {
            let disk = SimDisk::new();
            let bed = Bed::on(&disk, "power-loss", settings);
            fill(&bed);
            bed.part.wait_level(bed.part.marks_now().end, bed.soon()).unwrap();
            if seed % 2 == 0 {
                bed.tick();
            }
            let disk = disk.power_cut(seed);
            check(&Bed::on(&disk, "power-loss", settings), &format!("seed {seed}"));
            let disk = disk.power_cut(seed + 100);
            finish(&Bed::on(&disk, "power-loss", settings), &format!("seed {seed}"));
        }
    }
}

#[test]
fn b26_the_state_outlives_the_records() {
    for level in LEVELS {
        for settings in [&[][..], SMALL] {
            for keep in [0, 1, 12] {
                let disk = SimDisk::new();
                let bed = Bed::on(&disk, level, settings);
                for sequence in 0..30 {
                    bed.send(NAMED_PRODUCERS, 1, sequence, &["v"]).unwrap();
                    bed.plain(&["p"]);
                }
                bed.begin(TXN, 0, &["t"]);
                bed.end(TXN, 0, true).unwrap();
                let end = bed.part.marks_now().end;
                bed.part.wait_level(end, bed.soon()).unwrap();
                // All; all but the last segment; all but some.
                bed.part.delete_records(Some(end - keep)).unwrap();
                let known = |bed: &Bed| {
                    let state = bed.part.producer(NAMED_PRODUCERS);
                    assert_eq!(state.map(|state| state.last_sequence), Some(Some(29)), "{level}");
                    let state = bed.part.producer(TXN);
                    assert_eq!(state.map(|state| state.last_marker), Some(Some((0, true))));
                    assert!(bed.send(NAMED_PRODUCERS, 1, 3, &["v"]).unwrap().duplicate);
                };
                known(&bed);
                let disk = disk.kill();
                known(&Bed::on(&disk, level, settings));
                let disk = disk.kill();
                let bed = Bed::on(&disk, level, settings);
                known(&bed);
                bed.node.close().unwrap();
                let bed = Bed::on(&disk, level, settings);
                known(&bed);
                bed.send(NAMED_PRODUCERS, 1, 30, &["v"]).unwrap();
                bed.node.close().unwrap();
                let bed = Bed::on(&disk, level, settings);
                let state = bed.part.producer(NAMED_PRODUCERS).unwrap();
                assert_eq!(state.last_sequence, Some(30), "{level}");
            }
        }
    }
}
