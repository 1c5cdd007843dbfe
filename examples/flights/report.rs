//! What the replay finds out, and how it is printed.

use std::collections::HashMap;
use std::fmt::Write;
use std::time::Duration;

use crate::input::{Flight, UNKNOWN};

/// Sums over all flights that were read back.
#[derive(Debug, Default)]
pub struct Stats {
    carriers: Tally<Carrier>,
    aircraft: Tally<Aircraft>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Carrier {
    flights: u64,
    departed: u64,
    delay_minutes: i64,
}

#[derive(Debug, Default)]
struct Aircraft {
    flights: u64,
    last: Option<Position>,
}

#[derive(Debug)]
struct Position {
    time_ms: i64,
    airport: String,
    time_hour: String,
}

impl Stats {
    /// Counts one flight. The flights of one aircraft must come in the order of the log: of two
    /// in one hour the later record tells where the aircraft is.
    pub fn add(&mut self, flight: &Flight<'_>) {
        let carrier = self.carriers.of(flight.carrier);
        carrier.flights += 1;
        if let Some(delay) = flight.dep_delay {
            carrier.departed += 1;
            carrier.delay_minutes += i64::from(delay);
        }
        if flight.tail != UNKNOWN {
            let aircraft = self.aircraft.of(flight.tail);
            aircraft.flights += 1;
            if flight.arrived {
                aircraft.arrive(flight);
            }
        }
    }

    /// The number of flights.
    pub fn flights(&self) -> u64 {
        self.carriers.values.iter().map(|carrier| carrier.flights).sum()
    }

    /// The number of aircraft with a known tail number.
    pub fn aircraft(&self) -> usize {
        self.aircraft.values.len()
    }

    /// Flights and mean delay per carrier, the busiest first.
    pub fn carrier_table(&self) -> String {
        let mut total = Carrier::default();
        let mut table = Table::new(&["carrier", "flights", "departed", "mean departure delay"]);
        for (code, carrier) in self.carriers.busiest_first(|carrier| carrier.flights) {
            table.row(carrier.cells(code));
            total.flights += carrier.flights;
            total.departed += carrier.departed;
            total.delay_minutes += carrier.delay_minutes;
        }
        table.row(total.cells("all"));
        table.render()
    }

    /// Where the `count` busiest aircraft were last.
    pub fn position_table(&self, count: usize) -> String {
        let busiest = self.aircraft.busiest_first(|aircraft| aircraft.flights);
        let mut table = Table::new(&["aircraft", "flights", "last at", "flight of"]);
        for (tail, plane) in busiest.into_iter().take(count) {
            let last = plane.last.as_ref();
            let airport = last.map_or("-", |position| &position.airport).to_owned();
            let hour = last.map_or("-", |position| &position.time_hour).to_owned();
            table.row([tail.to_owned(), grouped(plane.flights), airport, hour]);
        }
        table.render()
    }
}

/// One value per name. A name is copied when it is new, not at every look.
#[derive(Debug)]
struct Tally<V> {
    places: HashMap<String, usize>,
    values: Vec<V>,
}

impl<V> Default for Tally<V> {
    fn default() -> Self {
        Self { places: HashMap::new(), values: Vec::new() }
    }
}

impl<V: Default> Tally<V> {
    fn of(&mut self, name: &str) -> &mut V {
        let place = match self.places.get(name) {
            Some(place) => *place,
            None => {
                let place = self.values.len();
                self.places.insert(name.to_owned(), place);
                self.values.push(V::default());
                place
            }
        };
        &mut self.values[place]
    }

    /// Names and values, the one with most flights first.
    fn busiest_first(&self, flights: impl Fn(&V) -> u64) -> Vec<(&str, &V)> {
        let places = self.places.iter();
        let mut pairs: Vec<_> =
            places.map(|(name, place)| (name.as_str(), &self.values[*place])).collect();
        pairs.sort_by_key(|(name, value)| (std::cmp::Reverse(flights(value)), *name));
        pairs
    }
}

impl Carrier {
    fn cells(&self, code: &str) -> [String; 4] {
        let mean = if self.departed == 0 {
            "-".to_owned()
        } else {
            format!("{:.1} min", self.delay_minutes as f64 / self.departed as f64)
        };
        [code.to_owned(), grouped(self.flights), grouped(self.departed), mean]
    }
}

impl Aircraft {
    fn arrive(&mut self, flight: &Flight<'_>) {
        match &mut self.last {
            Some(last) if last.time_ms > flight.time_ms => {}
            Some(last) => {
                last.time_ms = flight.time_ms;
                flight.dest.clone_into(&mut last.airport);
                flight.time_hour.clone_into(&mut last.time_hour);
            }
            None => {
                self.last = Some(Position {
                    time_ms: flight.time_ms,
                    airport: flight.dest.to_owned(),
                    time_hour: flight.time_hour.to_owned(),
                });
            }
        }
    }
}

/// Text in columns: the first to the left, the others to the right.
struct Table {
    rows: Vec<[String; 4]>,
}

impl Table {
    fn new(titles: &[&str; 4]) -> Self {
        Self { rows: vec![titles.map(str::to_owned)] }
    }

    fn row(&mut self, cells: [String; 4]) {
        self.rows.push(cells);
    }

    fn render(&self) -> String {
        let mut widths = [0; 4];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.len().max(*width);
            }
        }
        let [first, second, third, fourth] = widths;
        let mut text = String::new();
        for [a, b, c, d] in &self.rows {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{a:<first$}  {b:>second$}  {c:>third$}  {d:>fourth$}");
        }
        text
    }
}

/// A number with commas between its thousands.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// How many, how long, how fast.
pub fn rate(records: u64, time: Duration) -> String {
    let seconds = time.as_secs_f64();
    let per_second = if seconds > 0.0 { records as f64 / seconds } else { 0.0 };
    let per_second = grouped(per_second.round() as u64);
    format!("{} records in {seconds:.3} s, {per_second} records/s", grouped(records))
}
