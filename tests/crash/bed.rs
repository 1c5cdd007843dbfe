//! A log on a simulated disk, and the account of what it has promised.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use alluvium::testing::{PowerCut, SimDisk};
use alluvium::{Clock, Durability, Error, EventLog, EventLogBuilder, ManualClock, Producer};

/// Where the log is, if nothing is said.
const HOME: &str = "/data";
pub const STAGE: usize = 64 << 10;

/// Whether everything is to be tried instead of a sample.
pub fn soak() -> bool {
    std::env::var_os("ALLUVIUM_SOAK").is_some_and(|value| value != "0")
}

/// `all` with the soak, else `some`.
pub fn much<T>(some: T, all: T) -> T {
    if soak() { all } else { some }
}

/// Manual time, in which every deadline passes once the machine is off: nobody waits for a disk
/// that never answers again.
#[derive(Clone)]
pub struct SimClock {
    pub manual: ManualClock,
    disk: SimDisk,
    /// Nanoseconds that time goes on with every look at it.
    pub hurry: Arc<AtomicU64>,
    gone: Arc<AtomicU64>,
}

impl SimClock {
    pub fn new(disk: &SimDisk) -> Self {
        let manual = ManualClock::starting_at(1_700_000_000_000);
        Self { manual, disk: disk.clone(), hurry: Arc::default(), gone: Arc::default() }
    }

    /// Lets time fly: `each` with every look at it.
    pub fn hurry(&self, each: Duration) {
        self.hurry.store(u64::try_from(each.as_nanos()).unwrap(), Ordering::Relaxed);
    }
}

impl Clock for SimClock {
    fn unix_ms(&self) -> i64 {
        self.manual.unix_ms()
    }

    fn monotonic(&self) -> Duration {
        let hour = 3_600_000_000_000;
        let step = if self.disk.is_off() { hour } else { self.hurry.load(Ordering::Relaxed) };
        let gone = self.gone.fetch_add(step, Ordering::Relaxed) + step;
        self.manual.monotonic() + Duration::from_nanos(gone)
    }
}

/// How a machine ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Kill,
    Cut(PowerCut),
}

impl End {
    pub const NOTHING: End = End::Cut(PowerCut::Nothing);
    pub const EVERYTHING: End = End::Cut(PowerCut::Everything);

    pub fn seed(seed: u64) -> End {
        End::Cut(PowerCut::Seed(seed))
    }

    pub fn of(self, disk: &SimDisk) -> SimDisk {
        match self {
            End::Kill => disk.kill(),
            End::Cut(cut) => disk.power_cut_with(cut),
        }
    }
}

/// A record, told by its number: no two are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sent {
    pub seq: u64,
    pub size: usize,
    /// It has one of few keys.
    pub keyed: bool,
}

impl Sent {
    pub fn value(self) -> Vec<u8> {
        let mut state = self.seq.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut value = self.seq.to_le_bytes().to_vec();
        while value.len() < self.size {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            value.extend_from_slice(&state.to_le_bytes());
        }
        value.truncate(self.size.max(8));
        value
    }

    pub fn time(self) -> i64 {
        1_000_000 + i64::try_from(self.seq).unwrap() * 10
    }

    pub fn key(self) -> Option<[u8; 2]> {
        if self.keyed {
            return Some([2, (self.seq % 5) as u8]);
        }
        self.seq.is_multiple_of(3).then_some([1, (self.seq % 256) as u8])
    }
}

/// Whether a topic exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum There {
    Yes,
    No,
    /// It was being created, or deleted.
    Perhaps,
}

/// What is promised of a partition.
#[derive(Clone, Debug, Default)]
pub struct Part {
    /// What has a place, by offset.
    pub sent: BTreeMap<u64, Sent>,
    /// Everything below survives a power cut.
    pub acked: u64,
    /// Offsets below it may have been seen and are never given again.
    pub seen: u64,
    /// A call that had not returned: all of it is there, or nothing.
    pub underway: Vec<Sent>,
    /// The log start that was acknowledged.
    pub start: u64,
    /// The one that was asked for last.
    pub start_asked: u64,
    /// Everything below was compacted, as was acknowledged: of each key one record is left there.
    pub compacted: u64,
}

impl Part {
    pub fn end(&self) -> u64 {
        self.sent.last_key_value().map_or(0, |(offset, _)| offset + 1).max(self.seen)
    }
}

/// What is promised of a topic.
#[derive(Clone, Debug)]
pub struct Known {
    pub level: Durability,
    pub there: There,
    /// Records may go when newer ones of their keys are there.
    pub compacted: bool,
    /// Those that a growth that had not returned would add are among them.
    pub parts: Vec<Part>,
    /// So many partitions there are for certain; `parts` are all, or only these.
    pub grown: usize,
}

/// What a topic is created with.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub level: Durability,
    pub partitions: u32,
    pub segment: u32,
    /// Its policy is compact and delete.
    pub compacted: bool,
}

/// Of a topic that comes after the crash.
pub const SPARE: Shape =
    Shape { level: Durability::PowerLoss, partitions: 1, segment: 500, compacted: false };

/// Everything that was promised.
#[derive(Clone, Debug, Default)]
pub struct Account {
    pub topics: BTreeMap<&'static str, Known>,
    pub next: u64,
    /// What the log's files may take together.
    pub limit: Option<u64>,
}

impl Account {
    pub fn number(&mut self, topic: &str, size: usize) -> Sent {
        self.next += 1;
        Sent { seq: self.next, size, keyed: self.topics[topic].compacted }
    }

    pub fn part(&mut self, topic: &str, partition: usize) -> &mut Part {
        &mut self.topics.get_mut(topic).unwrap().parts[partition]
    }

    /// What holds when `end` came over the log.
    pub fn settle_clean(&mut self) {
        for part in self.topics.values_mut().flat_map(|topic| &mut topic.parts) {
            part.acked = part.acked.max(part.end());
        }
    }
}

/// A log, its disk, and what it has promised.
pub struct Bed {
    pub disk: SimDisk,
    /// Where the log is.
    pub home: &'static str,
    pub clock: SimClock,
    pub log: Option<EventLog>,
    pub producer: Option<Producer>,
    pub account: Account,
}

impl fmt::Debug for Bed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bed").field("account", &self.account).finish_non_exhaustive()
    }
}

/// Opens the log of a disk.
pub fn open_log(disk: &SimDisk, clock: &SimClock) -> Result<EventLog, Error> {
    builder(disk, clock).open()
}

fn builder(disk: &SimDisk, clock: &SimClock) -> EventLogBuilder {
    builder_at(disk, clock, HOME)
}

fn builder_at(disk: &SimDisk, clock: &SimClock, home: &str) -> EventLogBuilder {
    EventLog::builder()
        .disk(disk.clone())
        .path(home)
        .background(false)
        .clock(clock.clone())
        .stage_bytes(STAGE)
}

impl Bed {
    /// A bed without a log yet.
    pub fn on(disk: SimDisk, account: Account) -> Self {
        Self::at(disk, HOME, account)
    }

    /// The same, in another directory.
    pub fn at(disk: SimDisk, home: &'static str, account: Account) -> Self {
        let clock = SimClock::new(&disk);
        Self { disk, home, clock, log: None, producer: None, account }
    }

    pub fn fresh() -> Self {
        let mut bed = Self::on(SimDisk::new(), Account::default());
        bed.open().unwrap();
        bed
    }

    pub fn open(&mut self) -> Result<(), Error> {
        let builder = builder_at(&self.disk, &self.clock, self.home);
        let log = match self.account.limit {
            Some(limit) => builder.max_disk_bytes(limit).open()?,
            None => builder.open()?,
        };
        self.producer = Some(log.producer().seed(7).build()?);
        self.log = Some(log);
        Ok(())
    }

    pub fn log(&self) -> &EventLog {
        self.log.as_ref().unwrap()
    }

    pub fn producer(&self) -> &Producer {
        self.producer.as_ref().unwrap()
    }

    /// The machine ends; what comes after it, with the account of before.
    pub fn end(mut self, end: End) -> Bed {
        let disk = end.of(&self.disk);
        self.producer = None;
        self.log = None;
        Bed::at(disk, self.home, self.account)
    }
}
