//! Time, and nothing else that knows it.
//!
//! Every timestamp, timeout and timer of a log reads the [`Clock`] that the
//! log was built with. Wall time may jump; monotonic time never does.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

/// The only source of "now" in a log.
///
/// ```
/// use alluvium::{Clock, ManualClock};
/// use std::time::Duration;
///
/// let clock = ManualClock::starting_at(1_700_000_000_000);
/// clock.advance(Duration::from_secs(1));
/// assert_eq!(clock.unix_ms(), 1_700_000_001_000);
/// assert_eq!(clock.monotonic(), Duration::from_secs(1));
/// ```
pub trait Clock: Send + Sync + 'static {
    /// Wall time in milliseconds since the Unix epoch. May jump in either direction.
    fn unix_ms(&self) -> i64;

    /// Time since some fixed moment in the past. Never goes back.
    fn monotonic(&self) -> Duration;

    /// As [`monotonic`](Self::monotonic), and up to 10 milliseconds behind it where that is cheaper
    /// to have. By default the same.
    ///
    /// Polls that do not wait look at it to see whether anything is due.
    fn monotonic_coarse(&self) -> Duration {
        self.monotonic()
    }

    /// Whether time passes by itself.
    ///
    /// Calls that wait ask this to know whether a real timer can end their wait.
    fn is_real(&self) -> bool {
        true
    }

    /// Calls `wake` whenever time is moved by hand. A real clock has nothing to do.
    fn on_advance(&self, wake: Box<dyn Fn() -> bool + Send + Sync>) {
        drop(wake);
    }
}

/// The operating system's clocks; the default.
///
/// Wall time is the coarse real-time clock where the platform has one
/// (resolution 1 to 4 ms, no system call), because a record's timestamp has
/// a resolution of one millisecond.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[cfg(target_os = "linux")]
    fn unix_ms(&self) -> i64 {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
        // Nanoseconds are below a thousand million: a short division.
        now.tv_sec * 1_000 + i64::from(now.tv_nsec as u32 / 1_000_000)
    }

    #[cfg(not(target_os = "linux"))]
    fn unix_ms(&self) -> i64 {
        use std::time::{SystemTime, UNIX_EPOCH};
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
        }
    }

    #[cfg(target_os = "linux")]
    fn monotonic(&self) -> Duration {
        since_start(rustix::time::ClockId::Monotonic)
    }

    #[cfg(target_os = "linux")]
    fn monotonic_coarse(&self) -> Duration {
        since_start(rustix::time::ClockId::MonotonicCoarse)
    }

    #[cfg(not(target_os = "linux"))]
    fn monotonic(&self) -> Duration {
        use std::sync::OnceLock;
        use std::time::Instant;
        static START: OnceLock<Instant> = OnceLock::new();
        START.get_or_init(Instant::now).elapsed()
    }
}

/// Time since this was asked for the first time. The coarse clock runs behind the other one, and
/// so may not have come to that moment.
#[cfg(target_os = "linux")]
fn since_start(clock: rustix::time::ClockId) -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    use std::sync::OnceLock;
    static START: OnceLock<Duration> = OnceLock::new();
    let read = |clock| {
        let now = clock_gettime(clock);
        // Neither is ever negative.
        Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
    };
    let start = *START.get_or_init(|| read(ClockId::Monotonic));
    read(clock).saturating_sub(start)
}

/// A clock that moves only when it is told to. Clones share one time.
///
/// A call that waits on a log with this clock ends when its deadline passes in
/// injected time *or* in real time, whichever comes first, so no test hangs.
#[derive(Clone)]
pub struct ManualClock(Arc<ManualTime>);

type Hook = Box<dyn Fn() -> bool + Send + Sync>;

struct ManualTime {
    wall_ms: AtomicI64,
    monotonic_ns: AtomicU64,
    hooks: Mutex<Hooks>,
}

/// Who wants to hear of every move.
#[derive(Default)]
struct Hooks {
    list: Vec<Hook>,
    /// With so many, those that nobody wants any more are looked for.
    crowd: usize,
}

impl Hooks {
    /// So many are kept without a look at them.
    const FEW: usize = 64;

    fn add(&mut self, hook: Hook) {
        // Only a call tells who is gone. Whoever is not is woken for nothing, and rarely: the
        // next crowd is twice as large as what is left.
        if self.list.len() >= self.crowd.max(Self::FEW) {
            self.call();
            self.crowd = 2 * self.list.len();
        }
        self.list.push(hook);
    }

    /// Hooks answer whether they are still wanted.
    fn call(&mut self) {
        self.list.retain(|hook| hook());
    }
}

impl ManualClock {
    /// A clock whose wall time is `unix_ms` and whose monotonic time is zero.
    pub fn starting_at(unix_ms: i64) -> Self {
        Self(Arc::new(ManualTime {
            wall_ms: AtomicI64::new(unix_ms),
            monotonic_ns: AtomicU64::new(0),
            hooks: Mutex::default(),
        }))
    }

    /// Moves both wall and monotonic time forward; wakes every call that waits on the clock.
    ///
    /// Wall time has milliseconds: what is left of `by` below one stays in monotonic time only.
    pub fn advance(&self, by: Duration) {
        let ns = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        let ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        let forward = |old: u64| Some(old.saturating_add(ns));
        let _ = self.0.monotonic_ns.fetch_update(Ordering::AcqRel, Ordering::Acquire, forward);
        let later = |old: i64| Some(old.saturating_add(ms));
        let _ = self.0.wall_ms.fetch_update(Ordering::AcqRel, Ordering::Acquire, later);
        self.0.call_hooks();
    }

    /// Sets wall time, forwards or backwards. Monotonic time does not change.
    pub fn jump_wall(&self, unix_ms: i64) {
        self.0.wall_ms.store(unix_ms, Ordering::Release);
        self.0.call_hooks();
    }
}

impl ManualTime {
    fn call_hooks(&self) {
        self.hooks.lock().call();
    }
}

impl Clock for ManualClock {
    fn unix_ms(&self) -> i64 {
        self.0.wall_ms.load(Ordering::Acquire)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_nanos(self.0.monotonic_ns.load(Ordering::Acquire))
    }

    fn is_real(&self) -> bool {
        false
    }

    fn on_advance(&self, wake: Hook) {
        self.0.hooks.lock().add(wake);
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManualClock")
            .field("unix_ms", &self.unix_ms())
            .field("monotonic", &self.monotonic())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_of_the_wall_leaves_monotonic_time_alone() {
        let clock = ManualClock::starting_at(5_000);
        clock.advance(Duration::from_millis(7));
        clock.jump_wall(-3);
        assert_eq!(clock.unix_ms(), -3);
        assert_eq!(clock.monotonic(), Duration::from_millis(7));
    }

    #[test]
    fn clones_share_time_and_hooks_hear_of_it() {
        let clock = ManualClock::starting_at(0);
        let heard = Arc::new(AtomicU64::new(0));
        let ear = Arc::clone(&heard);
        clock.on_advance(Box::new(move || ear.fetch_add(1, Ordering::Relaxed) < 1));
        let twin = clock.clone();
        for _ in 0..5 {
            twin.advance(Duration::from_secs(1));
        }
        assert_eq!(clock.unix_ms(), 5_000);
        assert_eq!(heard.load(Ordering::Relaxed), 2, "a hook that answers false is dropped");
    }

    #[test]
    fn hooks_of_waits_that_are_over_do_not_pile_up() {
        let clock = ManualClock::starting_at(0);
        for number in 0..10_000 {
            clock.on_advance(Box::new(move || number == 0));
        }
        assert!(clock.0.hooks.lock().list.len() <= 2 * Hooks::FEW);
    }

    #[test]
    fn the_system_clock_is_after_2025_and_does_not_go_back() {
        let clock = SystemClock;
        assert!(clock.unix_ms() > 1_735_689_600_000);
        let first = clock.monotonic();
        assert!(clock.monotonic() >= first);
    }
}
