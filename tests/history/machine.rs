//! A machine that is killed: what it says afterwards does not count.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use alluvium::testing::{Planted, SimDisk};
use alluvium::{Clock, Durability, EventLog, NewTopic};

pub const PARTITIONS: u32 = 2;

/// Real time, which flies once the machine is off: nobody waits for a disk that is gone.
struct FlyingClock {
    disk: SimDisk,
    begin: Instant,
    gone: Arc<AtomicU64>,
}

impl Clock for FlyingClock {
    fn unix_ms(&self) -> i64 {
        1_700_000_000_000 + i64::try_from(self.monotonic().as_millis()).unwrap()
    }

    fn monotonic(&self) -> Duration {
        let step = if self.disk.is_off() { 3_600 } else { 0 };
        let gone = self.gone.fetch_add(step, Ordering::Relaxed) + step;
        self.begin.elapsed() + Duration::from_secs(gone)
    }
}

/// One life of the log.
pub struct Machine {
    pub disk: SimDisk,
    pub log: EventLog,
}

impl Machine {
    pub fn boot(disk: SimDisk, level: Durability, planted: Option<Planted>) -> Self {
        let clock = FlyingClock { disk: disk.clone(), begin: Instant::now(), gone: Arc::default() };
        let builder = EventLog::builder().disk(disk.clone()).path("/data").background(false);
        let mut builder = builder.durability(level).clock(clock).close_timeout(Duration::ZERO);
        if let Some(planted) = planted {
            builder = builder.planted(planted);
        }
        let log = builder.open().unwrap();
        for (name, partitions) in [("h", PARTITIONS), ("copies", 1)] {
            log.ensure_topic(NewTopic::new(name).partitions(partitions)).unwrap();
        }
        Self { disk, log }
    }

    /// Whether what was just said still counts.
    pub fn lives(&self) -> bool {
        !self.disk.is_off()
    }
}
