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

const FORMS: &str = "it must be earliest, latest, none or by_duration:PnDTnHnMn.nS";

/// A duration of ISO 8601 in days, hours, minutes and seconds; not negative.
fn iso_duration(text: &str) -> Option<Duration> {
    let text = text.strip_prefix('P')?;
    let (days, time) = match text.split_once('T') {
        Some((_, "")) => return None,
        Some((days, time)) => (days, time),
        None => (text, ""),
    };
    let mut total = Duration::ZERO;
    let mut found = false;
    for (mut rest, units) in [(days, DAYS), (time, TIMES)] {
        for (unit, seconds) in units {
            let Some((number, behind)) = rest.split_once(*unit) else { continue };
            total = total.checked_add(amount(number, *unit == 'S')?.checked_mul(*seconds)?)?;
            (rest, found) = (behind, true);
        }
        if !rest.is_empty() {
            return None;
        }
    }
    found.then_some(total)
}

const DAYS: &[(char, u32)] = &[('D', 86_400)];
const TIMES: &[(char, u32)] = &[('H', 3_600), ('M', 60), ('S', 1)];

/// A whole number of seconds, or one with up to nine decimals.
fn amount(number: &str, decimals: bool) -> Option<Duration> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    if number.contains('.') && !decimals {
        return None;
    }
    let nanos = format!("{fraction:0<9}").parse().ok()?;
    Some(Duration::new(whole.parse().ok()?, nanos))
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
