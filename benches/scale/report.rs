//! Rows as children tell them, and the table of them.

use std::fmt;

use crate::task::Task;

/// One figure, what bounds it, and what is aimed at.
#[derive(Clone, Debug, Default)]
pub struct Row {
    pub name: String,
    pub value: f64,
    pub unit: String,
    /// What the machine does at best, in the same unit.
    pub limit: Option<f64>,
    /// The most that the ratio to the limit may be; without a limit, that the value may be.
    pub goal: Option<f64>,
}

impl Row {
    pub fn new(name: impl Into<String>, value: f64, unit: &str) -> Self {
        Row { name: name.into(), value, unit: unit.to_owned(), limit: None, goal: None }
    }

    pub fn limit(mut self, limit: f64) -> Self {
        self.limit = Some(limit);
        self
    }

    pub fn goal(mut self, goal: f64) -> Self {
        self.goal = Some(goal);
        self
    }

    /// One line, for the parent.
    pub fn line(&self) -> String {
        let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |v| v.to_string());
        let (limit, goal) = (number(self.limit), number(self.goal));
        format!("row\t{}\t{}\t{}\t{limit}\t{goal}", self.name, self.value, self.unit)
    }

    pub fn parse(line: &str) -> Option<Row> {
        let fields: Vec<&str> = line.split('\t').collect();
        let ["row", name, value, unit, limit, goal] = fields[..] else { return None };
        Some(Row {
            name: name.to_owned(),
            value: value.parse().ok()?,
            unit: unit.to_owned(),
            limit: limit.parse().ok(),
            goal: goal.parse().ok(),
        })
    }

    fn ratio(&self) -> Option<f64> {
        self.limit.map(|limit| self.value / limit)
    }

    fn verdict(&self) -> &'static str {
        match self.goal {
            None => "",
            Some(goal) if self.ratio().unwrap_or(self.value) <= goal => "reached",
            Some(_) => "MISSED",
        }
    }

    fn cells(&self) -> [String; 6] {
        let shown = |value: f64| match self.unit.as_str() {
            "" => format!("{value:.0}"),
            unit => format!("{value:.2} {unit}"),
        };
        let ratio = self.ratio().map_or_else(String::new, |ratio| format!("{ratio:.2}"));
        let goal = self.goal.map_or_else(String::new, |goal| match self.limit {
            Some(_) => format!("{goal:.0} x"),
            None => shown(goal),
        });
        let limit = self.limit.map_or_else(String::new, shown);
        [self.name.clone(), shown(self.value), limit, ratio, goal, self.verdict().to_owned()]
    }
}

/// The rows of one task, in the order in which they came.
pub struct Report {
    task: Task,
    rows: Vec<Row>,
}

impl Report {
    pub fn of(task: Task, rows: Vec<Row>) -> Self {
        Self { task, rows }
    }
}

impl fmt::Display for Report {
    /// A table.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headings = [self.task.name(), "value", "limit", "ratio", "goal", ""].map(str::to_owned);
        let cells = self.rows.iter().map(Row::cells);
        let lines: Vec<_> = [headings].into_iter().chain(cells).collect();
        let width = |column: usize| lines.iter().map(|line| line[column].len()).max().unwrap_or(0);
        for line in &lines {
            write!(f, "{:<1$}", line[0], width(0).max(NAME))?;
            for (column, cell) in line.iter().enumerate().skip(1) {
                write!(f, "  {cell:>0$}", width(column).max(CELL))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// Widths that all tables have at least, so that they stand in line.
const NAME: usize = 48;
const CELL: usize = 9;
