//! The main job: its pure parts one by one, and the whole program on the committed sample.

#![allow(clippy::unwrap_used)]

#[allow(dead_code)]
#[path = "../examples/flights/args.rs"]
mod args;
#[allow(dead_code)]
#[path = "../examples/flights/input.rs"]
mod input;
#[allow(dead_code)]
#[path = "../examples/flights/plan.rs"]
mod plan;
#[allow(dead_code)]
#[path = "../examples/flights/report.rs"]
mod report;

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::Duration;

use args::Args;
use input::{COLUMNS, Flight, Input};
use plan::{Ledger, Seen};
use report::{Stats, grouped, rate};

// ------------------------------------------------------------------------------------- the input

const ROW: &str = "2013,1,1,517,515,2,830,819,11,UA,1545,N14228,EWR,IAH,227,1400,5,15,";

fn row(tail: &str, dest: &str, delay: &str, hour: &str) -> String {
    let air_time = if delay == "NA" { "NA" } else { "99" };
    format!("2013,1,1,5,5,{delay},8,8,1,UA,15,{tail},EWR,{dest},{air_time},14,5,15,{hour}")
}

fn csv(rows: &[String]) -> String {
    format!("{}\n{}\n", COLUMNS.join(","), rows.join("\n"))
}

fn read(text: &str) -> Result<Input, String> {
    Input::read(text.as_bytes())
}

#[test]
fn a_row_gives_what_the_job_needs() {
    let text = format!("{ROW}2013-01-01T10:00:00Z");
    let flight = Flight::parse(&text).unwrap();
    let expected = Flight {
        carrier: "UA",
        tail: "N14228",
        origin: "EWR",
        dest: "IAH",
        dep_delay: Some(2),
        arrived: true,
        time_hour: "2013-01-01T10:00:00Z",
        time_ms: 1_357_034_400_000,
    };
    assert_eq!(flight, expected);
    let cancelled = row("NA", "IAH", "NA", "2013-01-01T10:00:00Z");
    let cancelled = Flight::parse(&cancelled).unwrap();
    assert_eq!((cancelled.dep_delay, cancelled.arrived), (None, false));
}

#[test]
fn times_follow_the_calendar() {
    let known = [
        ("1970-01-01T00:00:00Z", Some(0)),
        ("1969-12-31T23:59:59Z", Some(-1_000)),
        ("2000-02-29T00:00:00Z", Some(951_782_400_000)),
        ("2024-12-31T23:59:59Z", Some(1_735_689_599_000)),
        ("2013-02-29T00:00:00Z", None),
        ("1900-02-29T00:00:00Z", None),
        ("2013-13-01T00:00:00Z", None),
        ("2013-00-01T00:00:00Z", None),
        ("2013-04-31T00:00:00Z", None),
        ("2013-01-01T24:00:00Z", None),
        ("2013-01-01 10:00:00Z", None),
        ("2013-01-01T10:00:00", None),
        ("2013-01-0xT10:00:00Z", None),
        ("NA", None),
        ("2013-01-01T10:00:0\u{e9}", None),
    ];
    for (text, expected) in known {
        let parsed = Flight::parse(&format!("{ROW}{text}")).map(|flight| flight.time_ms).ok();
        assert_eq!(parsed, expected, "{text}");
    }
}

#[test]
fn a_bad_row_is_named_by_line_and_column() {
    let good = row("N1", "IAH", "2", "2013-01-01T10:00:00Z");
    let cases = [
        (good.replace("N1", ""), "tailnum is empty"),
        (good.replace(",2,", ",late,"), "dep_delay is \"late\", neither minutes nor NA"),
        (good.replace("T10", "T99"), "time_hour is \"2013-01-01T99:00:00Z\""),
        (format!("{good},more"), "20 fields where 19 were expected"),
        ("2013,1".to_owned(), "2 fields where 19 were expected"),
        (good.replace("N1", "\"N,1\""), "field 12 holds a comma"),
    ];
    for (bad, reason) in cases {
        let error = read(&csv(&[good.clone(), bad])).unwrap_err();
        assert!(error.starts_with(", line 3: ") && error.contains(reason), "{error}");
    }
    let error = Input::read(&b"\xff\xfe"[..]).unwrap_err();
    assert!(error.contains("UTF-8"), "{error}");
}

#[test]
fn a_table_of_other_columns_is_refused() {
    let good = csv(&[row("N1", "IAH", "2", "2013-01-01T10:00:00Z")]);
    let cases = [
        (good.replace("tailnum", "tail"), "column 12 is \"tail\", not \"tailnum\""),
        (good.replace(",time_hour", ""), "column \"time_hour\" is missing"),
        (good.replace("time_hour", "time_hour,more"), "column \"more\" is not expected"),
        (String::new(), "column \"year\" is missing"),
        (format!("{}\n", COLUMNS.join(",")), "no flights in it"),
    ];
    for (text, reason) in cases {
        let error = read(&text).unwrap_err();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn gzip_is_told_by_its_bytes_and_a_torn_end_is_an_error() {
    let text = csv(&[row("N1", "IAH", "2", "2013-01-01T10:00:00Z")]);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(text.as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    let input = Input::read(&packed[..]).unwrap();
    assert_eq!(input.row(0), read(&text).unwrap().row(0));
    assert!(Input::read(&packed[..packed.len() - 9]).is_err());
}

// ------------------------------------------------------------------------------------ the ledger

/// Six flights of three aircraft: rows 0, 3, 5 are of N1, rows 1, 4 of N2, row 2 of NA.
fn six() -> Input {
    let tails = ["N1", "N2", "NA", "N1", "N2", "N1"];
    let rows = tails.iter().enumerate().map(|(index, tail)| {
        row(tail, &format!("D{index}"), "3", &format!("2013-01-01T{index:02}:00:00Z"))
    });
    read(&csv(&rows.collect::<Vec<_>>())).unwrap()
}

fn record(input: &Input, row: usize, partition: u32, offset: u64) -> Seen<'_> {
    let row = input.row(row);
    Seen {
        partition,
        offset,
        timestamp_ms: Some(row.time_ms),
        key: Some(row.tail.as_bytes()),
        value: Some(row.text.as_bytes()),
        carrier: Some(row.carrier.as_bytes()),
        origin: Some(row.origin.as_bytes()),
    }
}

/// A ledger that has read `rows` as (row, partition), offsets counted from 0.
fn read_rows<'i>(input: &'i Input, rows: &[(usize, u32)]) -> Result<Ledger<'i>, String> {
    let mut ledger = Ledger::new(input);
    for (row, partition) in rows {
        let offset = ledger.next_offset(*partition);
        ledger.tick_off(&record(input, *row, *partition, offset))?;
    }
    Ok(ledger)
}

#[test]
fn a_new_log_lacks_every_row() {
    let input = six();
    assert_eq!(read_rows(&input, &[]).unwrap().missing(), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn each_partition_may_end_at_another_row() {
    let input = six();
    let ledger = read_rows(&input, &[(1, 1), (2, 1), (0, 0), (3, 0), (5, 0)]).unwrap();
    assert_eq!(ledger.missing(), [4]);
    assert_eq!((ledger.next_offset(0), ledger.next_offset(1), ledger.next_offset(7)), (3, 2, 0));
    assert!(ledger.holds(5) && !ledger.holds(4));
    assert_eq!(ledger.records(), 5);
}

#[test]
fn a_duplicate_is_found() {
    let input = six();
    let again = read_rows(&input, &[(1, 1), (4, 1), (4, 1)]).unwrap_err();
    assert!(again.contains("duplicate"), "{again}");
    let again = read_rows(&input, &[(0, 0), (0, 0)]).unwrap_err();
    assert!(again.contains("record 2 of N1 is not row 3"), "{again}");
}

#[test]
fn a_broken_order_is_found() {
    let input = six();
    assert!(read_rows(&input, &[(3, 0), (0, 0)]).is_err(), "order of one key");
    let error = read_rows(&input, &[(1, 0), (0, 0)]).unwrap_err();
    assert!(error.contains("row 0 stands behind row 1"), "{error}");
    let error = read_rows(&input, &[(0, 0), (3, 1)]).unwrap_err();
    assert!(error.contains("N1 is in partition 0 too"), "{error}");
}

#[test]
fn a_hole_in_the_offsets_is_found() {
    let input = six();
    let mut ledger = read_rows(&input, &[(0, 0)]).unwrap();
    assert!(ledger.tick_off(&record(&input, 3, 0, 2)).is_err());
    assert!(Ledger::new(&input).tick_off(&record(&input, 0, 0, 1)).is_err());
}

#[test]
fn a_record_that_differs_in_any_part_is_found() {
    let input = six();
    let good = record(&input, 0, 0, 0);
    let bad = [
        Seen { value: Some(b"something"), ..good },
        Seen { value: None, ..good },
        Seen { key: None, ..good },
        Seen { key: Some(b"N9"), ..good },
        Seen { timestamp_ms: Some(0), ..good },
        Seen { carrier: None, ..good },
        Seen { origin: Some(b"JFK"), ..good },
    ];
    for seen in bad {
        assert!(Ledger::new(&input).tick_off(&seen).is_err(), "{seen:?}");
    }
    assert!(Ledger::new(&input).tick_off(&good).is_ok());
}

// ------------------------------------------------------------------------------------ the report

#[test]
fn means_count_only_flights_that_departed() {
    let mut stats = Stats::default();
    for delay in ["10", "-5", "NA"] {
        stats.add(&Flight::parse(&row("N1", "IAH", delay, "2013-01-01T10:00:00Z")).unwrap());
    }
    let table = stats.carrier_table();
    let line = table.lines().find(|line| line.starts_with("UA")).unwrap();
    assert_eq!(line.split_whitespace().collect::<Vec<_>>(), ["UA", "3", "2", "2.5", "min"]);
}

#[test]
fn an_aircraft_is_where_its_latest_arrival_was() {
    let mut stats = Stats::default();
    let flights = [
        row("N1", "AAA", "1", "2013-10-01T10:00:00Z"),
        row("N1", "BBB", "1", "2013-10-01T10:00:00Z"),
        row("N1", "CCC", "1", "2013-02-01T10:00:00Z"),
        row("N1", "DDD", "NA", "2013-12-01T10:00:00Z"),
        row("NA", "EEE", "1", "2013-12-01T10:00:00Z"),
    ];
    for flight in &flights {
        stats.add(&Flight::parse(flight).unwrap());
    }
    let table = stats.position_table(9);
    assert!(table.contains("BBB  2013-10-01T10:00:00Z"), "{table}");
    assert_eq!((stats.flights(), stats.aircraft(), table.lines().count()), (5, 1, 2));
}

#[test]
fn numbers_are_easy_to_read() {
    let shown: Vec<_> = [0, 999, 1_000, 336_776, 1_234_567].map(grouped).into();
    assert_eq!(shown, ["0", "999", "1,000", "336,776", "1,234,567"]);
    let half_a_second = Duration::from_millis(500);
    assert_eq!(rate(4_000, half_a_second), "4,000 records in 0.500 s, 8,000 records/s");
    assert!(rate(0, Duration::ZERO).ends_with(" 0 records/s"));
}

// ----------------------------------------------------------------------------- the command line

fn parse(args: &[&str]) -> Result<Args, String> {
    Args::parse(args.iter().map(OsString::from))
}

#[test]
fn options_are_read_in_both_spellings() {
    let args = parse(&["--input", "a.csv", "--partitions=7", "--crash-at", "5"]).unwrap();
    assert_eq!(args.input, Some(PathBuf::from("a.csv")));
    assert_eq!((args.partitions, args.crash_at, args.dir), (7, Some(5), None));
}

#[test]
fn bad_arguments_are_refused_by_name() {
    let cases: [(&[&str], &str); 7] = [
        (&["--speed", "9"], "\"--speed\" is no option"),
        (&["flights.csv"], "\"flights.csv\" is no option"),
        (&["--input"], "--input needs a value"),
        (&["--dir="], "--dir needs a value"),
        (&["--partitions", "0"], "--partitions is \"0\", not a number from 1 to"),
        (&["--crash-at", "soon"], "--crash-at is \"soon\", not a number"),
        (&["--dir", "a", "--dir", "b"], "--dir is given twice"),
    ];
    for (args, reason) in cases {
        let error = parse(args).unwrap_err();
        assert!(error.contains(reason), "{error}");
    }
}

// --------------------------------------------------------------------------------- the program

const MANIFEST_DIR: &str = env!("CARGO_MANIFEST_DIR");

/// The example's binary. `cargo test` has built it beside this test; building once more makes sure
/// of that when only this test was asked for, and takes a moment otherwise.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--example", "flights"]).current_dir(MANIFEST_DIR);
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        assert!(build.status().unwrap().success(), "the example does not build");
        let test = std::env::current_exe().unwrap();
        let profile = test.parent().and_then(Path::parent).unwrap();
        let program =
            profile.join("examples").join(format!("flights{}", std::env::consts::EXE_SUFFIX));
        assert!(program.exists(), "the example is not at {}", program.display());
        program
    })
}

fn run(args: &[&str]) -> Output {
    Command::new(program()).args(args).output().unwrap()
}

/// What a successful run printed.
fn printed(args: &[&str]) -> String {
    let output = run(args);
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {text}{errors}");
    text
}

/// The cells of the line that begins with `first`.
fn cells<'t>(text: &'t str, first: &str) -> Vec<&'t str> {
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    lines.into_iter().find(|cells| cells.first() == Some(&first)).unwrap_or_default()
}

/// What must be printed of the sample, whatever happened on the way.
fn check_sample(text: &str) {
    assert_eq!(cells(text, "B6"), ["B6", "802", "801", "10.6", "min"], "{text}");
    assert_eq!(cells(text, "UA"), ["UA", "772", "769", "9.1", "min"], "{text}");
    assert_eq!(cells(text, "all"), ["all", "4,334", "4,303", "10.4", "min"], "{text}");
    assert_eq!(cells(text, "N730MQ"), ["N730MQ", "13", "RDU", "2013-01-05T22:00:00Z"], "{text}");
    let proof = "4,334 flights: none lost, none twice, in order for each of 1,730 aircraft";
    assert!(text.contains(proof), "{text}");
    assert_ne!(cells(text, "disk").get(1), Some(&"0"), "{text}");
}

#[test]
fn the_sample_comes_back_exactly() {
    let text = printed(&[]);
    check_sample(&text);
    assert_eq!(cells(&text, "in")[1], "4,334", "{text}");
    assert_eq!(cells(&text, "out")[1], "4,334", "{text}");
}

#[test]
fn g01_the_latest_flight_of_each_aircraft_is_kept() {
    for partitions in ["1", "5"] {
        let text = printed(&["--compact", "--partitions", partitions]);
        check_sample(&text);
        let latest = text.lines().find(|line| line.starts_with("latest")).unwrap();
        assert!(
            latest.contains("1,730 aircraft and NA are left of 4,334 flights, as the input says"),
            "{latest}"
        );
    }
    // Over what was there before.
    let room = tempfile::tempdir().unwrap();
    let dir = room.path().join("log");
    for _ in 0..2 {
        let text = printed(&["--dir", dir.to_str().unwrap(), "--compact"]);
        assert!(text.contains("1,730 aircraft and NA are left of 4,334 flights"), "{text}");
    }
}

#[test]
fn a_killed_ingest_resumes_without_loss_or_duplicate() {
    for (crash_at, partitions) in [("1", "1"), ("700", "3"), ("2000", "4"), ("4334", "7")] {
        let text = printed(&["--crash-at", crash_at, "--partitions", partitions]);
        check_sample(&text);
        assert_eq!(cells(&text, "crash")[1..3], ["killed", "after"], "{text}");
    }
}

#[test]
fn a_directory_may_be_killed_twice_and_completed() {
    let room = tempfile::tempdir().unwrap();
    let dir = room.path().join("log");
    let dir = dir.to_str().unwrap();
    let short = room.path().join("short.csv");
    let sample =
        std::fs::read_to_string(Path::new(MANIFEST_DIR).join("examples/data/flights-sample.csv"));
    let sample = sample.unwrap();
    let short_text: Vec<_> = sample.lines().take(1_001).collect();
    std::fs::write(&short, short_text.join("\n")).unwrap();
    let short = short.to_str().unwrap();

    let text = printed(&["--dir", dir, "--input", short, "--crash-at", "300"]);
    assert!(text.contains("1,000 flights: none lost, none twice"), "{text}");
    let text = printed(&["--dir", dir, "--crash-at", "1500"]);
    check_sample(&text);
    let text = printed(&["--dir", dir]);
    check_sample(&text);
    assert!(text.contains("in     nothing"), "{text}");
}

#[test]
fn errors_are_sentences_and_exit_codes_differ() {
    let room = tempfile::tempdir().unwrap();
    let bad = room.path().join("bad.csv");
    std::fs::write(&bad, csv(&[row("N1", "IAH", "late", "2013-01-01T10:00:00Z")])).unwrap();
    let bad = bad.to_str().unwrap();
    let cases: [(&[&str], i32, &str); 4] = [
        (&["--nonsense"], 2, "\"--nonsense\" is no option"),
        (&["--input", "nowhere.csv"], 1, "could not open nowhere.csv"),
        (&["--input", bad], 1, "bad.csv, line 2: dep_delay is \"late\""),
        (&["--crash-at", "5000"], 1, "--crash-at is 5000, but there are 4334 flights"),
    ];
    for (args, code, reason) in cases {
        let output = run(args);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {errors}");
        assert!(errors.contains(reason), "{args:?}: {errors}");
    }
    assert!(String::from_utf8(run(&["--help"]).stdout).unwrap().contains("usage: flights"));
}
