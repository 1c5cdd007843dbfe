//! What a setting's string may be.

use crate::base::error::{Error, ErrorKind, Result};

/// The type of a setting's value, as Kafka names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConfigType {
    /// `true` or `false`.
    Boolean,
    /// One of several words.
    String,
    /// A whole number of 32 bits.
    Int,
    /// A whole number of 64 bits.
    Long,
    /// A number with a fraction.
    Double,
    /// Words with commas between them. Only lists can be appended to and subtracted from.
    List,
}

/// The type of a value and its bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// A whole number of 32 bits between two others.
    Int(i64, i64),
    /// A whole number between two others.
    Long(i64, i64),
    /// A number between two others.
    Double(f64, f64),
    /// One of these words.
    Word(&'static [&'static str]),
    /// Some of these words, each once at most, or any words where none is named.
    List(&'static [&'static str]),
}

impl Kind {
    /// The type without the bounds.
    pub const fn config_type(self) -> ConfigType {
        match self {
            Kind::Bool => ConfigType::Boolean,
            Kind::Int(..) => ConfigType::Int,
            Kind::Long(..) => ConfigType::Long,
            Kind::Double(..) => ConfigType::Double,
            Kind::Word(_) => ConfigType::String,
            Kind::List(_) => ConfigType::List,
        }
    }

    /// Refuses a value that is out of bounds; the error names key, value and bounds.
    pub fn check(self, key: &str, value: &str) -> Result<()> {
        match self {
            Kind::Bool => boolean(key, value).map(|_| ()),
            Kind::Int(least, most) | Kind::Long(least, most) => {
                number::<i64>(key, value, least, most).map(|_| ())
            }
            Kind::Double(least, most) => double(key, value, least, most).map(|_| ()),
            Kind::Word(words) if words.contains(&value) => Ok(()),
            Kind::Word(words) => {
                Err(invalid(key, value, &format!("it must be {}", words.join(" or "))))
            }
            Kind::List(words) => check_list(key, value, words),
        }
    }
}

/// `true` or `false`, in any case.
pub(crate) fn boolean(key: &str, value: &str) -> Result<bool> {
    match value.trim() {
        yes if yes.eq_ignore_ascii_case("true") => Ok(true),
        no if no.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err(invalid(key, value, "it must be true or false")),
    }
}

/// Refuses all but `values`, which say what is so anyway.
pub(crate) fn only(key: &str, value: &str, values: &[&str], reason: &str) -> Result<()> {
    if values.contains(&value.trim()) {
        return Ok(());
    }
    Err(invalid(key, value, &format!("it can only be {}: {reason}", values.join(" or "))))
}

fn check_list(key: &str, value: &str, words: &[&str]) -> Result<()> {
    let items: Vec<_> = items(value).collect();
    for (at, item) in items.iter().enumerate() {
        if !words.is_empty() && !words.contains(item) {
            let reason = format!("{item:?} is none of {}", words.join(", "));
            return Err(invalid(key, value, &reason));
        }
        if items[..at].contains(item) {
            return Err(invalid(key, value, &format!("{item:?} is in it twice")));
        }
    }
    Ok(())
}

/// The words of a list.
pub fn items(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// A number between `least` and `most`, or an error that names them, the key and the value.
pub(crate) fn number<T>(key: &str, value: &str, least: T, most: T) -> Result<T>
where
    T: Copy + PartialOrd + std::str::FromStr + std::fmt::Display,
{
    match value.trim().parse::<T>() {
        Ok(number) if number >= least && number <= most => Ok(number),
        _ => Err(invalid(key, value, &format!("it must be a number from {least} to {most}"))),
    }
}

/// As [`number`], where the most may have three hundred digits.
pub(crate) fn double(key: &str, value: &str, least: f64, most: f64) -> Result<f64> {
    match value.trim().parse::<f64>() {
        Ok(number) if number >= least && number <= most => Ok(number),
        _ if most == f64::MAX => {
            Err(invalid(key, value, &format!("it must be a number, {least} at least")))
        }
        _ => Err(invalid(key, value, &format!("it must be a number from {least} to {most}"))),
    }
}

/// The error of a setting that is refused.
pub(crate) fn invalid(key: &str, value: &str, reason: &str) -> Error {
    Error::new(ErrorKind::InvalidConfig, format!("{key}={value}: {reason}"))
}
