//! What the machine can do: each row of the log is held against one of these, taken in the same
//! run. They use no code of the log.

use std::fs::{File, OpenOptions};
use std::hint::{black_box, spin_loop};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam::channel;
use crossbeam::utils::CachePadded;

use crate::data::{HUGE, LARGE, SMALL, STAGE_BYTES, encoded_len, scratch};
use crate::row::{Row, Sample};

pub const COPY_DESIGN: &str = "copy 116 B into a 4 MiB ring";
pub const COPY_SMALL: &str = "copy 136 B into a 4 MiB ring";
pub const COPY_LARGE: &str = "copy 1056 B into a 4 MiB ring";
pub const COPY_HUGE: &str = "copy 65568 B into a 4 MiB ring";
pub const CRC_BATCH: &str = "CRC of 16 KiB, per byte";
pub const CRC_BULK: &str = "CRC of 64 KiB, per byte";
pub const WRITE: &str = "256 KiB writes, preallocated, per byte";
pub const SYNC: &str = "write 4 KiB + fdatasync";
pub const SYNC_SHARED: &str = "8 threads, write 136 B, shared fdatasync";
pub const SYNC_WINDOW_SMALL: &str = "write 136 KiB + fdatasync";
pub const SYNC_WINDOW_LARGE: &str = "write 1056 KiB + fdatasync";
pub const WALK: &str = "walk of mapped bytes, per byte";
pub const MAPPED_READ: &str = "CRC of some 16 KiB of 64 MiB mapped";
pub const MAPPED_READ_SMALL: &str = "CRC of some 1 KiB of 64 MiB mapped";
pub const MAPPED_READ_LARGE: &str = "CRC of some 64 KiB of 64 MiB mapped";
pub const READ_CRC: &str = "read 64 KiB + CRC, per byte";
pub const OPEN_READ: &str = "open 5 files, read 256 KiB, write + fdatasync";
pub const OPEN_READ_MANY: &str = "open 17 files, read 1 MiB, write + fdatasync";
pub const SPIN: &str = "atomic ping-pong, one way";
pub const CHANNEL: &str = "channel ping-pong, one way";
pub const PARK: &str = "park and unpark, one way";

const MIB: usize = 1 << 20;

/// Every limit.
pub fn rows() -> Vec<Row> {
    let row = |name, plan: fn() -> Box<dyn FnMut() -> Sample>| Row::new("limit", name, plan);
    vec![
        row(COPY_DESIGN, || Box::new(copy(116))),
        row(COPY_SMALL, || Box::new(copy(encoded_len(SMALL)))),
        row(COPY_LARGE, || Box::new(copy(encoded_len(LARGE)))),
        row(COPY_HUGE, || Box::new(copy(encoded_len(HUGE)))),
        row(CRC_BATCH, || Box::new(crc(16 << 10))).per_byte(),
        row(CRC_BULK, || Box::new(crc(64 << 10))).per_byte(),
        row(WRITE, || Box::new(write())).per_byte(),
        row(SYNC, || Box::new(sync(4 << 10, 4))),
        row(SYNC_SHARED, || Box::new(shared_sync(8))),
        row(SYNC_WINDOW_SMALL, || Box::new(sync(encoded_len(SMALL) << 10, 4))),
        row(SYNC_WINDOW_LARGE, || Box::new(sync(encoded_len(LARGE) << 10, 2))),
        row(WALK, || Box::new(walk())).per_byte(),
        row(MAPPED_READ, || Box::new(mapped_read(16 << 10))),
        row(MAPPED_READ_SMALL, || Box::new(mapped_read(1 << 10))),
        row(MAPPED_READ_LARGE, || Box::new(mapped_read(64 << 10))),
        row(READ_CRC, || Box::new(read_and_crc())).per_byte(),
        row(OPEN_READ, || Box::new(open_and_read(4))),
        row(OPEN_READ_MANY, || Box::new(open_and_read(16))),
        row(SPIN, || Box::new(spin())),
        row(CHANNEL, || Box::new(channel())),
        row(PARK, || Box::new(park())),
    ]
}

/// Copies of an encoded record into warm memory as large as the stage.
fn copy(len: usize) -> impl FnMut() -> Sample {
    let record = vec![7_u8; len];
    let mut ring = vec![1_u8; STAGE_BYTES];
    let mut at = 0;
    move || {
        let copies = (2 * STAGE_BYTES).div_ceil(len);
        let start = Instant::now();
        for _ in 0..copies {
            if at + len > ring.len() {
                at = 0;
            }
            // The length is the caller's, as in a log: no copy of a length known in advance.
            ring[at..at + len].copy_from_slice(black_box(&record));
            at += len;
        }
        let elapsed = start.elapsed();
        black_box(&ring);
        Sample::new(elapsed, copies)
    }
}

/// One copy after the other into such a ring.
pub fn copier(len: usize) -> impl FnMut() {
    let record = vec![7_u8; len];
    let mut ring = vec![1_u8; STAGE_BYTES];
    let mut at = 0;
    move || {
        if at + len > ring.len() {
            at = 0;
        }
        ring[at..at + len].copy_from_slice(black_box(&record));
        at += len;
        black_box(&ring);
    }
}

/// Checksums of warm blocks.
fn crc(block: usize) -> impl FnMut() -> Sample {
    let bytes: Vec<u8> = (0..block).map(|i| ((i * 31) >> 3) as u8).collect();
    move || {
        let blocks = 4 * MIB / block;
        let start = Instant::now();
        for _ in 0..blocks {
            black_box(crc32fast::hash(black_box(&bytes)));
        }
        Sample::new(start.elapsed(), blocks * block)
    }
}

/// Large writes into fresh files of 64 MiB, preallocated in steps of 32 MiB; what a segment costs
/// without any log around it.
fn write() -> impl FnMut() -> Sample {
    const FILE: usize = 64 * MIB;
    const STEP: usize = 32 * MIB;
    const FILES: usize = 2;
    let dir = scratch();
    let piece = vec![7_u8; 256 << 10];
    move || {
        let start = Instant::now();
        for number in 0..FILES {
            let mut file = File::create(dir.path().join(number.to_string())).unwrap();
            for written in (0..FILE).step_by(piece.len()) {
                if written % STEP == 0 {
                    preallocate(&file, written as u64, STEP as u64);
                }
                file.write_all(&piece).unwrap();
            }
        }
        let elapsed = start.elapsed();
        for number in 0..FILES {
            std::fs::remove_file(dir.path().join(number.to_string())).unwrap();
        }
        Sample::new(elapsed, FILES * FILE)
    }
}

#[cfg(target_os = "linux")]
fn preallocate(file: &File, position: u64, len: u64) {
    use rustix::fs::{FallocateFlags, fallocate};
    // A file system without it grows the file by writing, as a segment then does.
    let _ = fallocate(file, FallocateFlags::empty(), position, len);
}

#[cfg(not(target_os = "linux"))]
fn preallocate(_file: &File, _position: u64, _len: u64) {}

/// A file of zeros, written in small pieces and synced, so that its blocks exist and its cached
/// pages are small.
fn zeros(path: &Path, len: usize) -> File {
    let options = OpenOptions::new().read(true).write(true).create_new(true).clone();
    let mut file = options.open(path).unwrap();
    for _ in 0..len.div_ceil(4 << 10) {
        file.write_all(&[0; 4 << 10]).unwrap();
    }
    file.sync_all().unwrap();
    file
}

/// One write and one sync at a time, into blocks that exist, forward through 4 MiB.
fn sync(bytes: usize, syncs: usize) -> impl FnMut() -> Sample {
    let dir = scratch();
    let len = STAGE_BYTES.next_multiple_of(bytes);
    let mut file = zeros(&dir.path().join("zeros"), len);
    let block = vec![7_u8; bytes];
    let mut at = 0;
    move || {
        let _kept = &dir;
        let start = Instant::now();
        for _ in 0..syncs {
            file.seek(SeekFrom::Start(at as u64)).unwrap();
            file.write_all(&block).unwrap();
            file.sync_data().unwrap();
            at = (at + bytes) % len;
        }
        Sample::new(start.elapsed(), syncs)
    }
}

/// What threads have written, and how much of it is synced.
#[derive(Default)]
struct Shared {
    written: u64,
    synced: u64,
    leading: bool,
}

/// Threads that each write a record and wait until it is synced: the first one that waits syncs
/// for all that have written by then.
fn shared_sync(threads: usize) -> impl FnMut() -> Sample {
    const EACH: usize = 8;
    let dir = scratch();
    let file = zeros(&dir.path().join("zeros"), STAGE_BYTES);
    let len = encoded_len(SMALL);
    let state = (Mutex::new(Shared::default()), Condvar::new());
    let one = move |file: &File, (state, turn): &(Mutex<Shared>, Condvar)| {
        let mut shared = state.lock().unwrap();
        let at = shared.written % (STAGE_BYTES / len) as u64 * len as u64;
        let mut end = file;
        end.seek(SeekFrom::Start(at)).unwrap();
        end.write_all(&vec![7; len]).unwrap();
        shared.written += 1;
        let mine = shared.written;
        while shared.synced < mine {
            if shared.leading {
                shared = turn.wait(shared).unwrap();
                continue;
            }
            shared.leading = true;
            let upto = shared.written;
            drop(shared);
            file.sync_data().unwrap();
            shared = state.lock().unwrap();
            (shared.synced, shared.leading) = (upto, false);
            turn.notify_all();
        }
    };
    move || {
        let _kept = &dir;
        let elapsed = together(threads, |_| (0..EACH).for_each(|_| one(&file, &state)));
        Sample::new(elapsed, threads * EACH)
    }
}

/// Runs `work` on so many threads at once; from the first one's start to the last one's end.
pub fn together(threads: usize, work: impl Fn(usize) + Sync) -> Duration {
    let ready = Barrier::new(threads);
    let times: Vec<(Instant, Instant)> = thread::scope(|scope| {
        let run = |number| {
            let (ready, work) = (&ready, &work);
            scope.spawn(move || {
                ready.wait();
                let start = Instant::now();
                work(number);
                (start, Instant::now())
            })
        };
        let threads: Vec<_> = (0..threads).map(run).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let first = times.iter().map(|(start, _)| *start).min().unwrap();
    let last = times.iter().map(|(_, end)| *end).max().unwrap();
    last - first
}

/// Reads every byte of a mapped file that is in the page cache.
fn walk() -> impl FnMut() -> Sample {
    const LEN: usize = 64 * MIB;
    let dir = scratch();
    let path = dir.path().join("mapped");
    std::fs::write(&path, vec![7_u8; LEN]).unwrap();
    let (map, _) = vmap::Map::with_options().open(&path).unwrap();
    move || {
        let _kept = &dir;
        let start = Instant::now();
        black_box(sum(&map));
        Sample::new(start.elapsed(), LEN)
    }
}

/// Checksums of batches anywhere in a mapped file that is in the page cache.
fn mapped_read(batch: usize) -> impl FnMut() -> Sample {
    const LEN: usize = 64 * MIB;
    const READS: usize = 200;
    let dir = scratch();
    let path = dir.path().join("mapped");
    std::fs::write(&path, vec![7_u8; LEN]).unwrap();
    let (map, _) = vmap::Map::with_options().open(&path).unwrap();
    black_box(sum(&map));
    let mut state = 1_u64;
    move || {
        let _kept = &dir;
        let start = Instant::now();
        for _ in 0..READS {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = (state >> 33) as usize % (LEN / batch) * batch;
            black_box(crc32fast::hash(&map[at..at + batch]));
        }
        Sample::new(start.elapsed(), READS)
    }
}

pub fn sum(bytes: &[u8]) -> u64 {
    let (words, _) = bytes.as_chunks::<8>();
    words.iter().fold(0, |sum, word| u64::wrapping_add(sum, u64::from_le_bytes(*word)))
}

/// Reads a cached file in pieces and takes their checksums: what recovery cannot do without.
fn read_and_crc() -> impl FnMut() -> Sample {
    const LEN: usize = 32 * MIB;
    let dir = scratch();
    let path = dir.path().join("read");
    std::fs::write(&path, vec![7_u8; LEN]).unwrap();
    let mut piece = vec![0; 64 << 10];
    move || {
        let _kept = &dir;
        let start = Instant::now();
        let mut file = File::open(&path).unwrap();
        for _ in 0..LEN / piece.len() {
            file.read_exact(&mut piece).unwrap();
            black_box(crc32fast::hash(&piece));
        }
        Sample::new(start.elapsed(), LEN)
    }
}

/// What a clean open cannot do without: a manifest, four segments with their footers, and a durable
/// note that the log was opened.
fn open_and_read(segments: usize) -> impl FnMut() -> Sample {
    const FOOTER: usize = 64 << 10;
    let dir = scratch();
    let path = |number: usize| dir.path().join(number.to_string());
    zeros(&path(segments), 64 << 10);
    for number in 0..segments {
        std::fs::write(path(number), vec![7_u8; MIB]).unwrap();
    }
    let mut footer = vec![0; FOOTER];
    move || {
        let path = |number: usize| dir.path().join(number.to_string());
        let start = Instant::now();
        let mut manifest = OpenOptions::new().write(true).open(path(segments)).unwrap();
        for number in 0..segments {
            let mut file = File::open(path(number)).unwrap();
            file.seek(SeekFrom::End(-(FOOTER as i64))).unwrap();
            file.read_exact(&mut footer).unwrap();
        }
        manifest.write_all(&[7; 4 << 10]).unwrap();
        manifest.sync_data().unwrap();
        Sample::new(start.elapsed(), 1)
    }
}

/// Two spinning threads pass a number to and fro.
fn spin() -> impl FnMut() -> Sample {
    const TRIPS: u64 = 20_000;
    || {
        let ping = CachePadded::new(AtomicU64::new(0));
        let pong = CachePadded::new(AtomicU64::new(0));
        let await_number = |line: &AtomicU64, number| {
            while line.load(Ordering::Acquire) != number {
                spin_loop();
            }
        };
        thread::scope(|scope| {
            scope.spawn(|| {
                for trip in 1..=TRIPS + 1 {
                    await_number(&ping, trip);
                    pong.store(trip, Ordering::Release);
                }
            });
            let trip = |number| {
                ping.store(number, Ordering::Release);
                await_number(&pong, number);
            };
            // The first trip waits for the thread to start.
            trip(1);
            let start = Instant::now();
            (2..=TRIPS + 1).for_each(trip);
            Sample { elapsed: start.elapsed(), units: 2 * TRIPS }
        })
    }
}

/// Two threads that block on channels.
fn channel() -> impl FnMut() -> Sample {
    const TRIPS: u64 = 500;
    || {
        let (ping, pinged) = channel::bounded::<u64>(1);
        let (pong, ponged) = channel::bounded::<u64>(1);
        thread::scope(|scope| {
            scope.spawn(move || pinged.iter().for_each(|number| pong.send(number).unwrap()));
            let trip = |number| {
                ping.send(number).unwrap();
                ponged.recv().unwrap();
            };
            trip(0);
            let start = Instant::now();
            (0..TRIPS).for_each(trip);
            let elapsed = start.elapsed();
            drop(ping);
            Sample { elapsed, units: 2 * TRIPS }
        })
    }
}

/// Two threads that park at once: the price of a real wake-up, without anything around it.
fn park() -> impl FnMut() -> Sample {
    const TRIPS: u64 = 500;
    || {
        let turn = Arc::new([AtomicBool::new(false), AtomicBool::new(false)]);
        let wait = |flag: &AtomicBool| {
            while !flag.swap(false, Ordering::AcqRel) {
                thread::park();
            }
        };
        let call = |flag: &AtomicBool, other: &thread::Thread| {
            flag.store(true, Ordering::Release);
            other.unpark();
        };
        let here = thread::current();
        thread::scope(|scope| {
            let theirs = Arc::clone(&turn);
            let helper = scope.spawn(move || {
                for _ in 0..TRIPS + 1 {
                    wait(&theirs[0]);
                    call(&theirs[1], &here);
                }
            });
            let trip = || {
                call(&turn[0], helper.thread());
                wait(&turn[1]);
            };
            trip();
            let start = Instant::now();
            (0..TRIPS).for_each(|_| trip());
            Sample { elapsed: start.elapsed(), units: 2 * TRIPS }
        })
    }
}
