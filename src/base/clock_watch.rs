//! Whether wall time has jumped: it is held against monotonic time.

use std::time::Duration;

/// So far the two may drift apart between two looks before it counts as a jump.
const DRIFT_MS: i64 = 60_000;

/// Both times as they were at the last look.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClockWatch {
    at: Duration,
    wall_ms: i64,
}

impl ClockWatch {
    /// The first look.
    pub fn new(at: Duration, wall_ms: i64) -> Self {
        Self { at, wall_ms }
    }

    /// When the last look was, in monotonic time.
    pub fn at(&self) -> Duration {
        self.at
    }

    /// Looks again. How far wall time has jumped since the last look, in milliseconds; negative:
    /// backwards; `None` where it has only passed, or drifted by a minute at most.
    ///
    /// Monotonic time need not count the time that a machine was suspended: then waking up is a
    /// jump.
    pub fn look(&mut self, at: Duration, wall_ms: i64) -> Option<i64> {
        let passed = i64::try_from(at.saturating_sub(self.at).as_millis()).unwrap_or(i64::MAX);
        let jump = wall_ms.saturating_sub(self.wall_ms).saturating_sub(passed);
        *self = Self { at, wall_ms };
        (jump.saturating_abs() > DRIFT_MS).then_some(jump)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_that_passes_is_no_jump_and_one_minute_is_drift() {
        let second = Duration::from_secs(1);
        let mut watch = ClockWatch::new(second, 1_000);
        assert_eq!(watch.look(second * 3_600, 3_600_000), None);
        assert_eq!(watch.look(second * 3_601, 3_601_000 + 60_000), None);
        assert_eq!(watch.at(), second * 3_601);
    }

    #[test]
    fn a_jump_is_told_once_in_both_directions() {
        let mut watch = ClockWatch::new(Duration::ZERO, 0);
        let later = Duration::from_secs(10);
        assert_eq!(watch.look(later, 10_000 + 60_001), Some(60_001));
        assert_eq!(watch.look(later, 10_000 + 60_001), None);
        assert_eq!(watch.look(later, 0), Some(-70_001));
        assert_eq!(watch.look(later, i64::MIN), Some(i64::MIN));
        assert_eq!(watch.look(Duration::MAX, i64::MAX), None, "as long as time itself");
    }
}
