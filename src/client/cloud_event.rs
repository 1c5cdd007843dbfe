//! An envelope for events: the attributes of CloudEvents 1.0 as headers.
//!
//! Named as the binding of CloudEvents to Kafka names them in binary mode.

use crate::base::{Error, ErrorKind, Header, Result};

mod time;

const VERSION: &str = "1.0";

/// What an event says of itself beside its data: the attributes of CloudEvents 1.0, carried as
/// headers of a record (`ce_specversion`, `ce_id`, `ce_source`, `ce_type`, `ce_time`), while the
/// record's value is the data.
///
/// ```
/// use alluvium::{CloudEvent, EventLog, NewTopic};
///
/// let log = EventLog::in_memory();
/// let orders = log.create_topic(NewTopic::new("orders"))?;
/// let event = CloudEvent::new("order-7-paid", "/shop/till", "order.paid").at(1_700_000_000_123);
/// let time = event.time_text();
/// let headers = event.headers(time.as_deref());
/// log.producer().build()?.send(orders.record("12.50").headers(&headers))?;
///
/// let again = CloudEvent::read(headers.iter().copied())?;
/// assert_eq!((again.event_type, again.time_ms), ("order.paid", Some(1_700_000_000_123)));
/// # Ok::<(), alluvium::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloudEvent<'a> {
    /// `ce_id`: with `source` it names the event, for ever. Not empty.
    pub id: &'a str,
    /// `ce_source`: where it happened, a URI reference. Not empty.
    pub source: &'a str,
    /// `ce_type`: what happened. Not empty.
    pub event_type: &'a str,
    /// `ce_time`: when it happened, in milliseconds since the Unix epoch.
    pub time_ms: Option<i64>,
}

impl<'a> CloudEvent<'a> {
    /// An event without a time.
    #[must_use]
    pub fn new(id: &'a str, source: &'a str, event_type: &'a str) -> Self {
        Self { id, source, event_type, time_ms: None }
    }

    /// The same, with the time when it happened, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn at(self, time_ms: i64) -> Self {
        Self { time_ms: Some(time_ms), ..self }
    }

    /// Its time as RFC 3339 has it, in UTC, for [`headers`](Self::headers). `None` without a time,
    /// and for one that is not in the years 0 to 9999.
    #[must_use]
    pub fn time_text(&self) -> Option<String> {
        self.time_ms.and_then(time::format)
    }

    /// The headers that say all this, with what [`time_text`](Self::time_text) gave.
    #[must_use]
    pub fn headers<'h>(&'h self, time: Option<&'h str>) -> Vec<Header<'h>> {
        let mut headers: Vec<Header<'h>> = vec![
            ("ce_specversion", Some(VERSION.as_bytes())),
            ("ce_id", Some(self.id.as_bytes())),
            ("ce_source", Some(self.source.as_bytes())),
            ("ce_type", Some(self.event_type.as_bytes())),
        ];
        headers.extend(time.map(|time| ("ce_time", Some(time.as_bytes()))));
        headers
    }

    /// Reads the envelope of a record from its headers. Others are passed over.
    ///
    /// # Errors
    /// `InvalidRecord` naming the header that is missing, empty, there twice or not to be read:
    /// another version than 1.0, a time that is not of RFC 3339, text that is not UTF-8.
    pub fn read(headers: impl IntoIterator<Item = Header<'a>>) -> Result<Self> {
        let names = ["ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time"];
        let mut found: [Option<&'a str>; 5] = [None; 5];
        for (name, value) in headers {
            let own = names.iter().zip(&mut found).find(|(own, _)| **own == name);
            let Some((_, place)) = own else { continue };
            let text = value.and_then(|value| std::str::from_utf8(value).ok());
            let text = text.filter(|text| !text.is_empty());
            let text = text.ok_or_else(|| wrong(name, "is null, empty or not UTF-8"))?;
            if place.replace(text).is_some() {
                return Err(wrong(name, "is there twice"));
            }
        }
        let [version, id, source, event_type, time] = found;
        let must =
            |name: &str, text: Option<&'a str>| text.ok_or_else(|| wrong(name, "is missing"));
        let version = must("ce_specversion", version)?;
        if version != VERSION {
            return Err(wrong("ce_specversion", &format!("is {version:?}, not {VERSION}")));
        }
        let time_ms = match time {
            None => None,
            Some(text) => {
                let ms = time::parse(text);
                Some(ms.ok_or_else(|| wrong("ce_time", &format!("is {text:?}, no RFC 3339 time")))?)
            }
        };
        Ok(Self {
            id: must("ce_id", id)?,
            source: must("ce_source", source)?,
            event_type: must("ce_type", event_type)?,
            time_ms,
        })
    }
}

fn wrong(header: &str, what: &str) -> Error {
    Error::new(ErrorKind::InvalidRecord, format!("the header {header} {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(headers: &[Header<'_>]) -> String {
        CloudEvent::read(headers.iter().copied()).unwrap_err().to_string()
    }

    #[test]
    fn what_is_written_is_read_and_other_headers_are_passed_over() {
        for event in [CloudEvent::new("1", "/s", "t"), CloudEvent::new("\u{e9}", "s", "t").at(-1)] {
            let time = event.time_text();
            let mut headers = event.headers(time.as_deref());
            headers.push(("trace", None));
            assert_eq!(CloudEvent::read(headers).unwrap(), event);
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let event = CloudEvent::new("1", "/s", "t");
        let whole = event.headers(Some("2020-01-01T00:00:00Z"));
        let without = |name: &str| -> Vec<Header<'_>> {
            whole.iter().filter(|(own, _)| *own != name).copied().collect()
        };
        for name in ["ce_specversion", "ce_id", "ce_source", "ce_type"] {
            assert_eq!(message(&without(name)), format!("the header {name} is missing"));
            for bad in [None, Some(&b""[..]), Some(&[0xFF][..])] {
                let headers = [&without(name)[..], &[(name, bad)]].concat();
                assert!(message(&headers).contains("is null, empty or not UTF-8"));
            }
            let twice = [&whole[..], &[(name, Some(&b"x"[..]))]].concat();
            assert!(message(&twice).contains(&format!("{name} is there twice")));
        }
        let other = [&without("ce_specversion")[..], &[("ce_specversion", Some(&b"0.3"[..]))]];
        assert!(message(&other.concat()).contains("\"0.3\", not 1.0"));
        let late = [&without("ce_time")[..], &[("ce_time", Some(&b"soon"[..]))]].concat();
        assert!(message(&late).contains("no RFC 3339 time"));
    }
}
