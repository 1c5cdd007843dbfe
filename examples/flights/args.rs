//! The command line: six options and a word for `--help`.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// How the example is called.
pub const USAGE: &str = "\
Writes flights to a log, reads them back and sums them up.

usage: flights [--input FILE.csv[.gz]] [--dir DIR] [--partitions N] [--crash-at N] [--compact]

  --input FILE      flights as CSV with the columns of nycflights13, plain or gzip
                    (default: the sample that comes with the example)
  --dir DIR         where the log lives; kept. A log that holds a part of the input is completed
                    (default: a temporary directory)
  --partitions N    partitions of the topic, 1 to 1000 (default 4)
  --crash-at N      write in a child process, kill it after N acknowledged records, go on
                    with what is in the log
  --compact         keep the latest flight of each aircraft in a compacted topic too, and prove
                    it by the input";

const MAX_PARTITIONS: u32 = 1_000;

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub struct Args {
    pub input: Option<PathBuf>,
    pub dir: Option<PathBuf>,
    pub partitions: u32,
    pub crash_at: Option<usize>,
    /// Whether the latest flight of each aircraft is kept too.
    pub compact: bool,
    /// Set by `--crash-at` for its child: write, acknowledge this many, wait to be killed.
    pub victim_at: Option<usize>,
    pub help: bool,
}

/// The hidden option that makes this process the one to be killed.
pub const VICTIM: &str = "--victim-at";

impl Args {
    /// Reads the arguments behind the program's name. An error is one sentence.
    pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Self, String> {
        let mut parsed = Self {
            input: None,
            dir: None,
            partitions: 4,
            crash_at: None,
            compact: false,
            victim_at: None,
            help: false,
        };
        let mut seen: Vec<String> = Vec::new();
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            let (name, inline) = split(&arg);
            if seen.contains(&name) {
                return Err(format!("{name} is given twice"));
            }
            seen.push(name.clone());
            let mut value = || {
                let value = inline.clone().or_else(|| args.next());
                value.filter(|value| !value.is_empty()).ok_or(format!("{name} needs a value"))
            };
            match name.as_str() {
                "--input" => parsed.input = Some(value()?.into()),
                "--dir" => parsed.dir = Some(value()?.into()),
                "--partitions" => parsed.partitions = number(&name, &value()?, MAX_PARTITIONS)?,
                "--crash-at" => {
                    parsed.crash_at = Some(number(&name, &value()?, u32::MAX)? as usize)
                }
                VICTIM => parsed.victim_at = Some(number(&name, &value()?, u32::MAX)? as usize),
                "--compact" if inline.is_none() => parsed.compact = true,
                "--help" | "-h" if inline.is_none() => parsed.help = true,
                _ => return Err(format!("{:?} is no option of this program", arg.display())),
            }
        }
        Ok(parsed)
    }
}

/// `--name=value` as its two parts.
fn split(arg: &OsStr) -> (String, Option<OsString>) {
    let text = arg.to_string_lossy();
    match arg.to_str().and_then(|text| text.split_once('=')) {
        Some((name, value)) if name.starts_with("--") => (name.to_owned(), Some(value.into())),
        _ => (text.into_owned(), None),
    }
}

fn number(name: &str, value: &OsStr, max: u32) -> Result<u32, String> {
    let parsed = value.to_str().and_then(|text| text.parse().ok());
    parsed
        .filter(|number| (1..=max).contains(number))
        .ok_or_else(|| format!("{name} is {:?}, not a number from 1 to {max}", value.display()))
}
