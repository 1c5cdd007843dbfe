//! One measured thing. Criterion and the table measure the same rows.

use std::time::Duration;

/// What one sample took, and how many units it did.
#[derive(Clone, Copy)]
pub struct Sample {
    pub elapsed: Duration,
    pub units: u64,
}

impl Sample {
    pub fn new(elapsed: Duration, units: usize) -> Self {
        Self { elapsed, units: units as u64 }
    }

    /// Nanoseconds per unit.
    pub fn per_unit(self) -> f64 {
        self.elapsed.as_secs_f64() * 1e9 / self.units as f64
    }
}

/// Takes one sample. What must be prepared for it is prepared outside of its time.
pub type Work = Box<dyn FnMut() -> Sample>;

/// A row: a name, what bounds it, and the work. A row that a filter excludes prepares nothing.
pub struct Row {
    pub group: &'static str,
    pub name: String,
    /// The row that bounds this one, and how many of its units make one of this row's.
    pub limit: Option<(&'static str, f64)>,
    /// The ratio to the limit that is aimed at.
    pub aim: Option<f64>,
    /// Whether a unit is a byte.
    pub is_bytes: bool,
    plan: Option<Box<dyn FnOnce() -> Work>>,
    work: Option<Work>,
}

impl Row {
    pub fn new<W>(
        group: &'static str,
        name: impl Into<String>,
        plan: impl FnOnce() -> W + 'static,
    ) -> Self
    where
        W: FnMut() -> Sample + 'static,
    {
        let plan: Box<dyn FnOnce() -> Work> = Box::new(move || Box::new(plan()));
        Self {
            group,
            name: name.into(),
            limit: None,
            aim: None,
            is_bytes: false,
            plan: Some(plan),
            work: None,
        }
    }

    /// Names the row that bounds this one: `units` of it are what one unit here cannot beat.
    pub fn limited_by(mut self, name: &'static str, units: f64) -> Self {
        self.limit = Some((name, units));
        self
    }

    /// Says which ratio is aimed at.
    pub fn aim(mut self, ratio: f64) -> Self {
        self.aim = Some(ratio);
        self
    }

    /// Says that a unit is a byte.
    pub fn per_byte(mut self) -> Self {
        self.is_bytes = true;
        self
    }

    pub fn full_name(&self) -> String {
        format!("{}/{}", self.group, self.name)
    }

    pub fn sample(&mut self) -> Sample {
        if let Some(plan) = self.plan.take() {
            self.work = Some(plan());
        }
        let work = self.work.as_mut().expect("a row is planned or ready");
        work()
    }
}
