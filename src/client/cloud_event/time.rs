//! Times as RFC 3339 writes them, to the millisecond. A few divisions: no dependency is worth it.

const DAY_MS: i64 = 86_400_000;

/// Milliseconds since the Unix epoch as text in UTC; `None` outside of the years 0 to 9999.
pub(super) fn format(ms: i64) -> Option<String> {
    let (year, month, day) = date(ms.div_euclid(DAY_MS));
    let rest = ms.rem_euclid(DAY_MS);
    let (hour, minute) = (rest / 3_600_000, rest / 60_000 % 60);
    let (second, milli) = (rest / 1_000 % 60, rest % 1_000);
    (0..=9_999).contains(&year).then(|| {
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
    })
}

/// The milliseconds of a text with any offset; what is finer is cut off. A leap second counts as
/// the first moment of the next minute.
pub(super) fn parse(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let number = |from: usize, len: usize| digits(bytes.get(from..from + len)?);
    let mark = |at: usize, of: &[u8]| bytes.get(at).filter(|byte| of.contains(byte)).map(drop);
    for (at, of) in [(4, &b"-"[..]), (7, b"-"), (10, b"Tt "), (13, b":"), (16, b":")] {
        mark(at, of)?;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
    let (hour, minute, second) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
    let real = (1..=12).contains(&month)
        && (1..=days_in(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    let (milli, zone) = fraction(bytes.get(19..)?)?;
    let offset = offset_minutes(zone)?;
    let minutes = (days(year, month, day) * 24 + hour) * 60 + minute - offset;
    real.then_some(minutes * 60_000 + second * 1_000 + milli)
}

fn digits(bytes: &[u8]) -> Option<i64> {
    let digit = |sum: i64, byte: &u8| Some(sum * 10 + i64::from(char::from(*byte).to_digit(10)?));
    bytes.iter().try_fold(0, digit)
}

/// Milliseconds of a fraction of a second, if there is one, and what follows it.
fn fraction(rest: &[u8]) -> Option<(i64, &[u8])> {
    let Some(fraction) = rest.strip_prefix(b".") else { return Some((0, rest)) };
    let len = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits_of, zone) = fraction.split_at(len);
    let milli = digits_of.iter().chain(b"000").take(3).copied().collect::<Vec<_>>();
    (len > 0).then_some((digits(&milli)?, zone))
}

fn offset_minutes(zone: &[u8]) -> Option<i64> {
    match zone {
        b"Z" | b"z" => Some(0),
        [sign @ (b'+' | b'-'), hour @ .., b':', tens, ones] if hour.len() == 2 => {
            let (hour, minute) = (digits(hour)?, digits(&[*tens, *ones])?);
            let offset = (hour < 24 && minute < 60).then_some(hour * 60 + minute)?;
            Some(if *sign == b'-' { -offset } else { offset })
        }
        _ => None,
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a date of the Gregorian calendar. Years are counted from March, so
/// that the day that some have more is their last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    365 * year + leaps + of_year - 719_468
}

fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let of = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * of + of / 4 - of / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = (from_march + 2) % 12 + 1;
    (era * 400 + of + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times_are_written_and_read() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_700_000_000_123, "2023-11-14T22:13:20.123Z"),
            (-62_167_219_200_000, "0000-01-01T00:00:00.000Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!((format(ms).as_deref(), parse(text)), (Some(text), Some(ms)));
        }
        for out in [i64::MIN, -62_167_219_200_001, 253_402_300_800_000, i64::MAX] {
            assert_eq!(format(out), None);
        }
    }

    #[test]
    fn offsets_and_fractions_are_read() {
        let base = parse("2020-06-01T12:00:00Z").unwrap();
        assert_eq!(parse("2020-06-01T14:30:00+02:30"), Some(base));
        assert_eq!(parse("2020-06-01t11:00:00.5-01:00"), Some(base + 500));
        assert_eq!(parse("2020-06-01 12:00:00.123456789z"), Some(base + 123));
        assert_eq!(parse("2016-12-31T23:59:60Z"), parse("2017-01-01T00:00:00Z"));
    }

    #[test]
    fn every_day_of_four_centuries_comes_back() {
        for day in -80_000..80_000 {
            let (year, month, of) = date(day);
            assert_eq!(days(year, month, of), day);
            assert_eq!(parse(&format(day * DAY_MS + 7).unwrap()), Some(day * DAY_MS + 7));
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "2020",
            "2020-13-01T00:00:00Z",
            "2020-02-30T00:00:00Z",
            "2019-02-29T00:00:00Z",
            "2020-01-01T24:00:00Z",
            "2020-01-01T00:60:00Z",
            "2020-01-01T00:00:61Z",
            "2020-01-01T00:00:00",
            "2020-01-01T00:00:00.Z",
            "2020-01-01T00:00:00+1:00",
            "2020-01-01T00:00:00+24:00",
            "2020-01-01T00:00:00Zx",
            "+020-01-01T00:00:00Z",
            "2020-01-01T00:00:00\u{e9}",
            "2020/01/01T00:00:00Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
