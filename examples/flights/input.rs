//! Flights as they come in: a CSV file, plain or gzip, every row checked.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::ops::Range;
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

/// The columns of nycflights13, in their order.
pub const COLUMNS: [&str; 19] = [
    "year",
    "month",
    "day",
    "dep_time",
    "sched_dep_time",
    "dep_delay",
    "arr_time",
    "sched_arr_time",
    "arr_delay",
    "carrier",
    "flight",
    "tailnum",
    "origin",
    "dest",
    "air_time",
    "distance",
    "hour",
    "minute",
    "time_hour",
];

/// What the table writes for an unknown value.
pub const UNKNOWN: &str = "NA";

/// One row of the table, as the job needs it. Borrows the row's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flight<'a> {
    /// The airline's code.
    pub carrier: &'a str,
    /// The aircraft's tail number; `NA` when unknown.
    pub tail: &'a str,
    /// The airport that it leaves from.
    pub origin: &'a str,
    /// The airport that it goes to.
    pub dest: &'a str,
    /// Minutes late at departure; `None` when it never departed.
    pub dep_delay: Option<i32>,
    /// Whether it flew to its destination (neither cancelled nor diverted).
    pub arrived: bool,
    /// The hour of scheduled departure, as text.
    pub time_hour: &'a str,
    /// The same in milliseconds since the Unix epoch.
    pub time_ms: i64,
}

impl<'a> Flight<'a> {
    /// Reads a row: the fields of [`COLUMNS`], separated by commas, nothing quoted.
    pub fn parse(row: &'a str) -> Result<Self, String> {
        let mut fields = [""; COLUMNS.len()];
        let mut count = 0;
        for field in row.split(',') {
            if let Some(slot) = fields.get_mut(count) {
                *slot = field;
            }
            count += 1;
        }
        if count != COLUMNS.len() {
            return Err(format!("{count} fields where {} were expected", COLUMNS.len()));
        }
        let [_, _, _, _, _, dep_delay, _, _, _, carrier, _, tail, origin, dest, air_time, .., time] =
            fields;
        let time_ms = unix_ms(time)
            .ok_or_else(|| format!("time_hour is {time:?}, not like 2013-01-31T09:00:00Z"))?;
        Ok(Self {
            carrier: named("carrier", carrier)?,
            tail: named("tailnum", tail)?,
            origin: named("origin", origin)?,
            dest: named("dest", dest)?,
            dep_delay: minutes("dep_delay", dep_delay)?,
            arrived: minutes("air_time", air_time)?.is_some(),
            time_hour: time,
            time_ms,
        })
    }
}

fn named<'a>(column: &str, field: &'a str) -> Result<&'a str, String> {
    if field.is_empty() { Err(format!("{column} is empty")) } else { Ok(field) }
}

fn minutes(column: &str, field: &str) -> Result<Option<i32>, String> {
    if field == UNKNOWN {
        return Ok(None);
    }
    let number = field.parse();
    number.map(Some).map_err(|_| format!("{column} is {field:?}, neither minutes nor NA"))
}

/// Milliseconds since the Unix epoch of a text like `2013-01-31T09:00:00Z`.
fn unix_ms(text: &str) -> Option<i64> {
    let bytes: &[u8; 20] = text.as_bytes().try_into().ok()?;
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'Z')];
    if marks.iter().any(|&(at, mark)| bytes[at] != mark) {
        return None;
    }
    let number = |range: Range<usize>| {
        bytes[range].iter().try_fold(0i64, |sum, digit| {
            digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0'))
        })
    };
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let in_calendar = (1..=12).contains(&month) && (1..=month_days(year, month)).contains(&day);
    if !in_calendar || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = hour * 3_600 + minute * 60 + second;
    Some((days_since_1970(year, month, day) * 86_400 + seconds) * 1_000)
}

fn month_days(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the Gregorian calendar. Years that begin in March have their leap day
/// at the end, so that the days before a month follow one line.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let before_month = (153 * month + 2) / 5;
    365 * year + leap_days + before_month + day - 1 - 719_468
}

/// All rows of an input, checked.
#[derive(Debug, Default)]
pub struct Input {
    text: String,
    rows: Vec<Row>,
}

/// Where the parts of a row stand in the text, so that the ingest parses nothing twice.
#[derive(Debug)]
struct Row {
    text: Range<usize>,
    carrier: Range<usize>,
    tail: Range<usize>,
    origin: Range<usize>,
    time_ms: i64,
}

/// One row of an [`Input`]: what becomes a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowView<'a> {
    /// The whole row; the record's value.
    pub text: &'a str,
    /// The record's key.
    pub tail: &'a str,
    /// A header of the record.
    pub carrier: &'a str,
    /// A header of the record.
    pub origin: &'a str,
    /// The record's timestamp.
    pub time_ms: i64,
}

impl Input {
    /// Reads the file at `path`, gzip or plain.
    pub fn open(path: &Path) -> Result<Self, String> {
        let name = path.display();
        let file = File::open(path).map_err(|error| format!("could not open {name}: {error}"))?;
        Self::read(BufReader::with_capacity(1 << 16, file))
            .map_err(|error| format!("{name}{error}"))
    }

    /// Reads CSV, gzip or plain, told by its first bytes. Errors begin with `, line N: ` or `: `.
    pub fn read(mut source: impl BufRead) -> Result<Self, String> {
        let head = source.fill_buf().map_err(|error| format!(": {error}"))?;
        if head.starts_with(&[0x1f, 0x8b]) {
            Self::read_csv(MultiGzDecoder::new(source))
        } else {
            Self::read_csv(source)
        }
    }

    fn read_csv(source: impl Read) -> Result<Self, String> {
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(source);
        check_columns(reader.headers().map_err(at_its_line)?)?;
        let mut input = Self::default();
        let mut record = csv::StringRecord::new();
        while reader.read_record(&mut record).map_err(at_its_line)? {
            input.push(&record).map_err(|reason| {
                let line = record.position().map_or(0, csv::Position::line);
                format!(", line {line}: {reason}")
            })?;
        }
        if input.rows.is_empty() { Err(": no flights in it".to_owned()) } else { Ok(input) }
    }

    fn push(&mut self, record: &csv::StringRecord) -> Result<(), String> {
        let start = self.text.len();
        for (index, field) in record.iter().enumerate() {
            // A row is kept as plain text, so a field must not look like two.
            if field.contains([',', '"', '\n', '\r']) {
                return Err(format!("field {} holds a comma, quote or line end", index + 1));
            }
            if index > 0 {
                self.text.push(',');
            }
            self.text.push_str(field);
        }
        let text = &self.text[start..];
        let flight = Flight::parse(text)?;
        let place = |part: &str| {
            // `part` is a slice of `text`, so the difference of addresses is its position.
            let from = start + (part.as_ptr().addr() - text.as_ptr().addr());
            from..from + part.len()
        };
        let row = Row {
            text: place(text),
            carrier: place(flight.carrier),
            tail: place(flight.tail),
            origin: place(flight.origin),
            time_ms: flight.time_ms,
        };
        self.rows.push(row);
        Ok(())
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// The bytes of all rows.
    pub fn text_bytes(&self) -> usize {
        self.text.len()
    }

    /// The row at `index`.
    pub fn row(&self, index: usize) -> RowView<'_> {
        let row = &self.rows[index];
        RowView {
            text: &self.text[row.text.clone()],
            tail: &self.text[row.tail.clone()],
            carrier: &self.text[row.carrier.clone()],
            origin: &self.text[row.origin.clone()],
            time_ms: row.time_ms,
        }
    }
}

fn check_columns(header: &csv::StringRecord) -> Result<(), String> {
    for (index, column) in COLUMNS.iter().enumerate() {
        match header.get(index) {
            Some(found) if found == *column => {}
            Some(found) => {
                let place = index + 1;
                return Err(format!(", line 1: column {place} is {found:?}, not {column:?}"));
            }
            None => return Err(format!(", line 1: column {column:?} is missing")),
        }
    }
    match header.get(COLUMNS.len()) {
        Some(extra) => Err(format!(", line 1: column {extra:?} is not expected")),
        None => Ok(()),
    }
}

fn at_its_line(error: csv::Error) -> String {
    match error.position() {
        Some(position) => format!(", line {}: {error}", position.line()),
        None => format!(": {error}"),
    }
}
