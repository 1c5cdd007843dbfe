//! Where a consumer begins when nothing says where.

use std::time::Duration;

use crate::base::Result;
use crate::base::config::invalid;

/// Where to read a partition from when no position is known, or the position is out of range.
///
/// Kafka's `auto.offset.reset`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OffsetReset {
    /// The first record that there is.
    Earliest,
    /// Behind the last visible record, at the moment the position is first needed (C09): by the
    /// first poll, say. The default, as in Kafka.
    #[default]
    Latest,
    /// Nowhere: the poll fails, with `NoOffsetForPartition` at the start and `OffsetOutOfRange`
    /// later, until a seek says where.
    None,
    /// The first record that is not older than this; behind the last one if all are.
    ByDuration(Duration),
}

impl OffsetReset {
    /// Kafka's strings: `earliest`, `latest`, `none`, `by_duration:PnDTnHnMn.nS`.
    pub(super) fn parse(key: &str, value: &str) -> Result<Self> {
        match value.trim() {
            "earliest" => Ok(OffsetReset::Earliest),
            "latest" => Ok(OffsetReset::Latest),
            "none" => Ok(OffsetReset::None),
            other => other
                .strip_prefix("by_duration:")
                .and_then(iso_duration)
                .map(OffsetReset::ByDuration)
                .ok_or_else(|| invalid(key, value, FORMS)),
        }
    }
}

const FORMS: &str = "it must be earliest, latest, none or by_duration:PnDTnHnMn.nS, not negative";

/// A duration of ISO 8601 as Kafka reads it: days, hours, minutes, seconds, in either case of
/// letters, each with a sign of its own or one for all. The whole must not be negative.
fn iso_duration(text: &str) -> Option<Duration> {
    let text = text.to_ascii_uppercase();
    let (sign, text) = signed(&text);
    let text = text.strip_prefix('P')?;
    let (days, time) = match text.split_once('T') {
        Some((_, "")) => return None,
        Some((days, time)) => (days, time),
        None => (text, ""),
    };
    let mut nanos: i128 = 0;
    let mut found = false;
    for (mut rest, units) in [(days, DAYS), (time, TIMES)] {
        for (unit, seconds) in units {
            let Some((number, behind)) = rest.split_once(*unit) else { continue };
            nanos += amount(number, *unit == 'S')? * seconds;
            (rest, found) = (behind, true);
        }
        if !rest.is_empty() {
            return None;
        }
    }
    let nanos = u128::try_from(sign * nanos).ok().filter(|_| found)?;
    let seconds = i64::try_from(nanos / NANOS as u128).ok()?;
    Some(Duration::new(seconds.unsigned_abs(), (nanos % NANOS as u128) as u32))
}

const NANOS: i128 = 1_000_000_000;
const DAYS: &[(char, i128)] = &[('D', 86_400)];
const TIMES: &[(char, i128)] = &[('H', 3_600), ('M', 60), ('S', 1)];

/// The sign in front of a text, and what is behind it.
fn signed(text: &str) -> (i128, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    }
}

/// A whole number in nanoseconds; of seconds with up to nine decimals behind a point or comma.
fn amount(number: &str, decimals: bool) -> Option<i128> {
    let (sign, number) = signed(number);
    let (whole, fraction) = number.split_once(['.', ',']).unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    if !decimals && number.len() > whole.len() {
        return None;
    }
    let fraction: i128 = format!("{fraction:0<9}").parse().ok()?;
    let whole = i128::from(whole.parse::<i64>().ok()?);
    Some(sign * (whole * NANOS + fraction))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ErrorKind;

    #[test]
    fn c07_kafkas_strings_are_understood() {
        let parse = |text: &str| OffsetReset::parse("auto.offset.reset", text).unwrap();
        assert_eq!(parse("earliest"), OffsetReset::Earliest);
        assert_eq!(parse("latest"), OffsetReset::Latest);
        assert_eq!(parse("none"), OffsetReset::None);
        let by = |text: &str| match parse(&format!("by_duration:{text}")) {
            OffsetReset::ByDuration(duration) => duration,
            other => panic!("{other:?}"),
        };
        assert_eq!(by("P1D"), Duration::from_secs(86_400));
        assert_eq!(by("P1DT2H3M4.5S"), Duration::from_millis(93_784_500));
        assert_eq!(by("PT0S"), Duration::ZERO);
        assert_eq!(by("PT10M"), Duration::from_secs(600));
    }

    #[test]
    fn c07_a_duration_is_read_as_kafka_reads_it() {
        let by = |text: &str| iso_duration(text).map(|duration| duration.as_nanos());
        let (second, hour, day) = (1_000_000_000, 3_600_000_000_000, 86_400_000_000_000);
        for (text, nanos) in [
            ("PT20.345S", 20_345_000_000),
            ("PT15M", hour / 4),
            ("PT10H", 10 * hour),
            ("P2D", 2 * day),
            ("P2DT3H4M", 2 * day + 3 * hour + hour / 15),
            ("pt1h", hour),
            ("p1dt0.5s", day + second / 2),
            ("PT0,25S", second / 4),
            ("PT1.S", second),
            ("PT0.123456789S", 123_456_789),
            ("+PT1H", hour),
            ("PT+1H", hour),
            ("P1DT-1H", 23 * hour),
            ("-PT-6H+3M", 6 * hour - hour / 20),
            ("-P-1D", day),
            ("PT36H", 36 * hour),
            ("PT90M", hour + hour / 2),
            ("PT9223372036854775807S", i64::MAX as u128 * second),
        ] {
            assert_eq!(by(text), Some(nanos), "{text}");
        }
        for text in [
            "PT-6H",
            "-PT6H",
            "-P1D",
            "P1DT-25H",
            "PT-0.5S", // Negative.
            "P",
            "PT",
            "P1DT",
            "P1",
            "T1H",
            "1D",
            "",
            "PT1",
            "P1H",
            "PT1D",
            "PT1M1H", // Not whole.
            "P1Y",
            "P1M",
            "P1W",
            "P1.5D",
            "PT1.5H",
            "PT.5S",
            "PT0.1234567890S",
            "PT1S1S",
            "PT--1S",
            "--PT1S",
            " PT1S",
            "PT1 S",
            "PT\u{663}S",
            "PT9223372036854775808S",
            "P9223372036854775807D",
        ] {
            assert_eq!(by(text), None, "{text}");
        }
    }

    #[test]
    fn a_string_that_is_none_of_them_is_refused_by_name() {
        let long = format!("by_duration:P{}D", u64::MAX);
        let bad = ["", "newest", "by_duration:", "by_duration:P", "by_duration:PT", &long];
        for text in bad.into_iter().chain(["by_duration:P-1D", "by_duration:PT1S2M"]) {
            let error = OffsetReset::parse("auto.offset.reset", text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{text}");
            assert!(error.to_string().contains("auto.offset.reset"), "{error}");
        }
    }
}
