//! The table at the end: every row beside its limit, both from the same minutes.

use std::time::{Duration, Instant};

use crate::row::Row;

/// How much is measured for the table.
#[derive(Clone, Copy)]
pub struct Effort {
    /// How often all rows take their turn.
    pub rounds: usize,
    /// How long a row's turn lasts at most; it takes one sample at least.
    pub turn: Duration,
}

/// Samples of every row, in nanoseconds per unit, in the order of rows.
pub struct Table {
    samples: Vec<Vec<f64>>,
}

impl Table {
    /// Rows take turns, so that what disturbs the machine disturbs a value and its limit alike.
    pub fn measure(rows: &mut [Row], effort: Effort) -> Self {
        let mut samples = vec![Vec::new(); rows.len()];
        for _ in 0..effort.rounds {
            for (row, samples) in rows.iter_mut().zip(&mut samples) {
                let start = Instant::now();
                samples.push(row.sample().per_unit());
                while start.elapsed() < effort.turn {
                    samples.push(row.sample().per_unit());
                }
            }
        }
        for samples in &mut samples {
            samples.sort_by(f64::total_cmp);
        }
        Self { samples }
    }

    fn best(&self, row: usize) -> f64 {
        self.samples[row].first().copied().unwrap_or(f64::NAN)
    }

    fn median(&self, row: usize) -> f64 {
        let samples = &self.samples[row];
        samples.get(samples.len() / 2).copied().unwrap_or(f64::NAN)
    }

    /// The table as text.
    pub fn render(&self, rows: &[Row]) -> String {
        let mut lines = vec![HEADINGS.map(str::to_owned)];
        for (at, row) in rows.iter().enumerate() {
            lines.push(self.line(rows, at, row));
        }
        let width = |column: usize| lines.iter().map(|line| line[column].len()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..HEADINGS.len()).map(width).collect();
        let mut text = String::new();
        let mut group = "";
        for (at, line) in lines.iter().enumerate() {
            let here = at.checked_sub(1).map_or("", |row| rows[row].group);
            if here != group {
                group = here;
                text.push_str(&format!("{:-<1$}\n", format!("-- {group} "), rule(&widths)));
            }
            for (column, cell) in line.iter().enumerate() {
                let width = widths[column];
                let cell = match column {
                    0 | 7 => format!("{cell:<width$}"),
                    _ => format!("{cell:>width$}"),
                };
                text.push_str(&cell);
                text.push_str("  ");
            }
            text.truncate(text.trim_end().len());
            text.push('\n');
        }
        text
    }

    fn line(&self, rows: &[Row], at: usize, row: &Row) -> Line {
        let (best, median) = (self.best(at), self.median(at));
        let mut line = Line::default();
        line[..3].clone_from_slice(&[row.name.clone(), time(best), time(median)]);
        if let Some((name, units)) = row.limit {
            let limit = rows.iter().position(|row| row.name == name);
            let limit = limit.expect("a limit is a row");
            let bound = self.best(limit) * units;
            line[3] = time(bound);
            line[4] = format!("{:.2}", best / bound);
            line[5] = format!("{:.2}", median / (self.median(limit) * units));
            line[6] = row.aim.map_or_else(String::new, |aim| format!("{aim:.2}"));
            line[7] = match units {
                1.0 => name.to_owned(),
                few @ ..1.0 => format!("{name}, / {:.0}", 1.0 / few),
                many => format!("{name}, x {many:.0}"),
            };
        }
        line
    }
}

const COLUMNS: usize = 8;
const HEADINGS: [&str; COLUMNS] =
    ["row", "best", "median", "limit", "ratio", "medians", "aim", "the limit is"];

type Line = [String; COLUMNS];

fn rule(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + 2 * (widths.len() - 1)
}

fn time(ns: f64) -> String {
    match ns {
        ..1.0 => format!("{ns:.3} ns"),
        ..1e3 => format!("{ns:.1} ns"),
        ..1e6 => format!("{:.1} us", ns / 1e3),
        _ => format!("{:.1} ms", ns / 1e6),
    }
}
