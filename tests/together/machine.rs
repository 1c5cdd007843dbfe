//! A log on a simulated disk, with time that is set by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use alluvium::testing::SimDisk;
use alluvium::{Clock, Durability, EventLog, ManualClock, Result};

/// How long committed offsets are kept.
pub const OFFSETS_MINUTES: i64 = 120;

/// Manual time, which flies once the machine is off: nobody waits for a disk that is gone.
struct FlyingClock {
    manual: ManualClock,
    disk: SimDisk,
    gone: Arc<AtomicU64>,
}

impl Clock for FlyingClock {
    fn unix_ms(&self) -> i64 {
        self.manual.unix_ms()
    }

    fn monotonic(&self) -> Duration {
        let step = if self.disk.is_off() { 3_600 } else { 0 };
        let gone = self.gone.fetch_add(step, Ordering::Relaxed) + step;
        self.manual.monotonic() + Duration::from_secs(gone)
    }
}

/// Where a log is, and what it is opened with.
#[derive(Clone)]
pub struct Machine {
    pub disk: SimDisk,
    pub home: String,
    pub clock: ManualClock,
    pub level: Durability,
    pub stage: usize,
}

impl Machine {
    pub fn open(&self) -> Result<EventLog> {
        self.open_at(&self.home)
    }

    pub fn open_at(&self, home: &str) -> Result<EventLog> {
        let (manual, disk) = (self.clock.clone(), self.disk.clone());
        let clock = FlyingClock { manual, disk, gone: Arc::default() };
        let builder = EventLog::builder().disk(self.disk.clone()).path(home).background(false);
        let builder = builder.durability(self.level).stage_bytes(self.stage).clock(clock);
        builder.set("offsets.retention.minutes", &OFFSETS_MINUTES.to_string()).open()
    }

    pub fn now(&self) -> i64 {
        self.clock.unix_ms()
    }
}
