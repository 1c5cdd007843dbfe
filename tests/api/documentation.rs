//! The documentation of settings and errors, held against what the log does.

use alluvium::{ErrorKind, EventLog};

use crate::support::*;

const CONFIGURATION: &str = include_str!("../../docs/configuration.md");
const ERRORS: &str = include_str!("../../docs/errors.md");

/// The cells of each row of the table below a title.
fn rows(text: &str, title: &str) -> Vec<Vec<String>> {
    let (_, section) = text.split_once(&format!("## {title}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row.trim_matches('|').split('|').map(|c| c.trim().to_owned()).collect())
        .collect()
}

/// The keys that an error about an unknown one names.
fn keys(error: &alluvium::Error) -> Vec<String> {
    let text = error.to_string();
    let (_, list) = text.split_once(" has ").unwrap();
    let list = list.replace("without effect:", "").replace(';', ",");
    list.split(',').map(|key| key.trim().to_owned()).collect()
}

/// The value that a cell tells, in backticks or as a word for one; `None` for none.
fn value(cell: &str) -> Option<String> {
    match cell {
        "-" => None,
        "empty" => Some(String::new()),
        _ => Some(cell.split('`').nth(1).unwrap_or_else(|| panic!("{cell}")).to_owned()),
    }
}

fn check(title: &str, set: impl Fn(&str, &str) -> Result<(), alluvium::Error>) {
    let rows = rows(CONFIGURATION, title);
    let unknown = refused(ErrorKind::InvalidConfig, set("no.such.key", "1"));
    let mut known = keys(&unknown);
    let mut told: Vec<_> = rows.iter().map(|row| row[0].trim_matches('`').to_owned()).collect();
    known.sort();
    told.sort();
    assert_eq!(told, known, "{title}");
    for row in &rows {
        let [key, key_type, unit, default, _, bounds, example, what] = &row[..] else {
            panic!("{row:?}");
        };
        let key = key.trim_matches('`');
        assert_eq!(key.ends_with(".ms"), unit == "ms", "{key}");
        assert!(["boolean", "string", "int", "long", "list"].contains(&&**key_type), "{key}");
        assert!(!bounds.is_empty() && what.ends_with('.'), "{key}");
        if let Some(default) = value(default) {
            set(key, &default).unwrap_or_else(|e| panic!("the default of {key}: {e}"));
        }
        let example = value(example).unwrap();
        set(key, &example).unwrap_or_else(|e| panic!("the example of {key}: {e}"));
        if matches!(&**key_type, "int" | "long") {
            refused(ErrorKind::InvalidConfig, set(key, "many"));
            refused(ErrorKind::InvalidConfig, set(key, "-1"));
        }
        // What can only be what it is says so.
        let is_only = refused_but_itself(&example, |value| set(key, value));
        assert!(!is_only || what.starts_with("Without effect"), "{key}: {what}");
    }
}

/// Whether a key takes no value but this one.
fn refused_but_itself(one: &str, set: impl Fn(&str) -> Result<(), alluvium::Error>) -> bool {
    let numbers = ["", "0", "1", "5", "true", "false", "all", "none"];
    let words = ["earliest", "round-robin", "read_uncommitted"];
    let others = [&numbers[..], &words].concat();
    others.iter().filter(|other| **other != one).all(|other| set(other).is_err())
}

#[test]
fn e08_the_tables_of_producers_and_consumers_name_their_keys_and_valid_defaults() {
    let log = EventLog::in_memory();
    check("Producers", |key, value| log.producer().set(key, value).build().map(drop));
    check("Consumers", |key, value| log.consumer().set(key, value).build().map(drop));
}

#[test]
fn every_kind_of_error_is_told_with_its_name_code_and_whether_to_try_again() {
    let told: Vec<_> = rows(ERRORS, "Kinds").into_iter().map(|row| row[..4].to_vec()).collect();
    let tell = |kind: &ErrorKind| {
        let code = kind.kafka_code().map_or_else(|| "-".to_owned(), |code| code.to_string());
        let again = if kind.is_retriable() { "yes" } else { "no" };
        vec![format!("`{kind:?}`"), format!("`{}`", kind.name()), code, again.to_owned()]
    };
    let known: Vec<_> = ErrorKind::ALL.iter().map(tell).collect();
    assert_eq!(told, known);
    for row in rows(ERRORS, "Kinds") {
        assert_eq!(row.len(), 6, "{row:?}");
        assert!(row[4].len() > 10 && row[5].len() > 10, "cause and advice: {row:?}");
    }
}

#[test]
fn every_kind_of_error_has_an_example_or_the_reason_why_not() {
    let (_, examples) = ERRORS.split_once("## Examples\n").unwrap();
    let (shown, reasons) = examples.split_once("Without an example here:").unwrap();
    for kind in ErrorKind::ALL {
        // The examples are run with those of the code.
        let is_shown = shown.contains(&format!("ErrorKind::{kind:?})"))
            || shown.contains(&format!("ErrorKind::{kind:?},"));
        assert_ne!(is_shown, reasons.contains(&format!("`{kind:?}`")), "{kind:?}");
    }
}
