//! What a producer goes by, as Kafka's strings say it.

use std::time::Duration;

use crate::base::Result;
use crate::base::config::{boolean, invalid, number, only};
use crate::base::record::MAX_RECORD_BYTES;

use super::partitioner::Strategy;

/// What a producer goes by.
#[derive(Clone, Debug)]
pub(super) struct ProducerSettings {
    pub(super) max_block: Duration,
    pub(super) delivery_timeout: Duration,
    pub(super) batch_size: u32,
    pub(super) max_request_size: usize,
    pub(super) strategy: Strategy,
    /// What was said of `enable.idempotence`.
    pub(super) idempotent: Option<bool>,
}

impl Default for ProducerSettings {
    fn default() -> Self {
        Self {
            max_block: Duration::from_secs(60),
            delivery_timeout: Duration::from_secs(120),
            batch_size: 16_384,
            max_request_size: 1 << 20,
            strategy: Strategy::default(),
            idempotent: None,
        }
    }
}

impl ProducerSettings {
    /// The settings that `pairs` ask for; of one key the last value counts.
    pub(super) fn parse(pairs: &[(String, String)]) -> Result<Self> {
        let mut settings = Self::default();
        let mut told = Told::default();
        for (key, value) in pairs {
            if !settings.set(key, value, &mut told)? && !accept_inert(key, value, &mut told)? {
                accept_only(key, value)?;
            }
        }
        told.check_timeouts()?;
        if settings.idempotent == Some(true) {
            told.check_idempotence()?;
        }
        settings.strategy = told.strategy();
        Ok(settings)
    }

    /// Takes a key that has an effect; false when it is not one of them.
    fn set(&mut self, key: &str, value: &str, told: &mut Told) -> Result<bool> {
        let ms = || number(key, value, 0, i64::MAX as u64);
        match key {
            "max.block.ms" => self.max_block = Duration::from_millis(ms()?),
            "delivery.timeout.ms" => {
                told.delivery_timeout_ms = Some(ms()?);
                self.delivery_timeout = Duration::from_millis(ms()?);
            }
            "batch.size" => self.batch_size = number(key, value, 0, i32::MAX as u32)?,
            "max.request.size" => {
                self.max_request_size = number(key, value, 0, MAX_RECORD_BYTES)?;
            }
            "enable.idempotence" => self.idempotent = Some(boolean(key, value)?),
            "partitioner.class" => told.round_robin = round_robin(key, value)?,
            "partitioner.ignore.keys" => told.ignore_keys = boolean(key, value)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// What was said of settings that are checked together.
#[derive(Debug, Default)]
struct Told {
    delivery_timeout_ms: Option<u64>,
    request_timeout_ms: Option<u64>,
    retries: Option<i64>,
    in_flight: Option<i64>,
    round_robin: bool,
    ignore_keys: bool,
}

impl Told {
    /// Kafka's rule, where both sides of it were given (B10); `linger.ms` is 0 here.
    fn check_timeouts(&self) -> Result<()> {
        match (self.delivery_timeout_ms, self.request_timeout_ms) {
            (Some(delivery), Some(request)) if delivery < request => {
                let reason =
                    format!("it must be at least linger.ms (0) + request.timeout.ms ({request})");
                Err(invalid("delivery.timeout.ms", &delivery.to_string(), &reason))
            }
            _ => Ok(()),
        }
    }

    /// What contradicts `enable.idempotence=true` (B17).
    fn check_idempotence(&self) -> Result<()> {
        const IN_FLIGHT: &str = "max.in.flight.requests.per.connection";
        let reason = |what: &str| format!("enable.idempotence=true needs {what}");
        match (self.retries, self.in_flight) {
            (Some(0), _) => Err(invalid("retries", "0", &reason("at least 1"))),
            (_, Some(many @ 6..)) => {
                Err(invalid(IN_FLIGHT, &many.to_string(), &reason("5 at most")))
            }
            _ => Ok(()),
        }
    }

    /// As in Kafka, `partitioner.ignore.keys` is about the default partitioner only.
    fn strategy(&self) -> Strategy {
        match (self.round_robin, self.ignore_keys) {
            (true, _) => Strategy::RoundRobin,
            (false, true) => Strategy::IgnoreKeys,
            (false, false) => Strategy::Kafka,
        }
    }
}

/// Takes a key of Kafka's that is checked and has no effect here; false when it is not one.
fn accept_inert(key: &str, value: &str, told: &mut Told) -> Result<bool> {
    const MOST: i64 = i32::MAX as i64;
    let (least, most) = match key {
        "client.id" => return Ok(true),
        "retries" => (0, MOST),
        "max.in.flight.requests.per.connection" => (1, MOST),
        "request.timeout.ms" => (0, MOST),
        "buffer.memory" | "retry.backoff.ms" | "retry.backoff.max.ms" => (0, i64::MAX),
        _ => return Ok(false),
    };
    let given = number(key, value, least, most)?;
    match key {
        "request.timeout.ms" => told.request_timeout_ms = u64::try_from(given).ok(),
        "retries" => told.retries = Some(given),
        "max.in.flight.requests.per.connection" => told.in_flight = Some(given),
        _ => {}
    }
    Ok(true)
}

/// Takes the value that says what is so anyway. Any other would be a lie, and an unknown key is
/// a mistake.
fn accept_only(key: &str, value: &str) -> Result<()> {
    let (values, reason): (&[&str], &str) = match key {
        "linger.ms" => (&["0"], "a record is in the log when send returns"),
        "acks" => (&["all", "-1"], "a delivery is done when its topic's level is reached"),
        "compression.type" => (&["none"], "batches are not compressed"),
        "transactional.id" | "transaction.timeout.ms" => {
            (&[], "it is a transactional producer's: see EventLog::transactional_producer")
        }
        "partitioner.adaptive.partitioning.enable" => {
            (&["false"], "partitions of one process have no queues to adapt to")
        }
        "interceptor.classes" => (&[""], "give interceptors to ProducerBuilder::interceptor"),
        _ => return Err(invalid(key, value, KEYS)),
    };
    only(key, value, values, reason)
}

const KEYS: &str = "there is no such key; a producer has max.block.ms, delivery.timeout.ms, \
                    batch.size, max.request.size, partitioner.class, partitioner.ignore.keys, \
                    enable.idempotence; without effect: linger.ms, acks, compression.type, \
                    partitioner.adaptive.partitioning.enable, interceptor.classes, client.id, \
                    retries, retry.backoff.ms, retry.backoff.max.ms, buffer.memory, \
                    request.timeout.ms, max.in.flight.requests.per.connection";

fn round_robin(key: &str, value: &str) -> Result<bool> {
    match value.trim() {
        "" => Ok(false),
        "round-robin" | "org.apache.kafka.clients.producer.RoundRobinPartitioner" => Ok(true),
        _ => {
            let reason = "it can only be round-robin, or empty for the default; give one of your \
                          own to ProducerBuilder::partitioner";
            Err(invalid(key, value, reason))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ErrorKind;

    fn parse(pairs: &[(&str, &str)]) -> Result<ProducerSettings> {
        let owned: Vec<_> = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        ProducerSettings::parse(&owned)
    }

    #[track_caller]
    fn refuses(pairs: &[(&str, &str)], parts: &[&str]) {
        let error = parse(pairs).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{error}");
        for part in parts {
            assert!(error.to_string().contains(part), "{part:?} is not named by: {error}");
        }
    }

    #[test]
    fn b10_a_delivery_timeout_below_the_request_timeout_is_refused_where_both_are_given() {
        let (delivery, request) = ("delivery.timeout.ms", "request.timeout.ms");
        refuses(&[(delivery, "999"), (request, "1000")], &["delivery.timeout.ms=999", "1000"]);
        refuses(&[(request, "1000"), (delivery, "999")], &["delivery.timeout.ms=999"]);
        parse(&[(delivery, "1000"), (request, "1000")]).unwrap();
        parse(&[(delivery, "10")]).unwrap();
        parse(&[(request, "1000000")]).unwrap();
    }

    #[test]
    fn times_and_sizes_are_taken_up_to_their_bounds_and_no_further() {
        let most = i64::MAX.to_string();
        let settings = parse(&[("max.block.ms", &most), ("delivery.timeout.ms", "0")]).unwrap();
        assert_eq!(settings.max_block, Duration::from_millis(i64::MAX as u64));
        assert_eq!(settings.delivery_timeout, Duration::ZERO);
        for key in ["max.block.ms", "delivery.timeout.ms"] {
            for bad in ["-1", "", "soon", "9223372036854775808", "1.5"] {
                refuses(&[(key, bad)], &[key, bad, "9223372036854775807"]);
            }
        }
        refuses(&[("batch.size", "2147483648")], &["batch.size=2147483648", "2147483647"]);
        refuses(&[("max.request.size", "-5")], &["max.request.size=-5"]);
    }

    #[test]
    fn keys_without_effect_are_checked_all_the_same() {
        let inert = [
            ("retries", "0", "-1"),
            ("max.in.flight.requests.per.connection", "5", "0"),
            ("buffer.memory", "33554432", "-1"),
            ("request.timeout.ms", "30000", "2147483648"),
            ("retry.backoff.ms", "100", "-1"),
            ("retry.backoff.max.ms", "1000", "x"),
            ("linger.ms", "0", "5"),
            ("acks", "all", "1"),
            ("compression.type", "none", "zstd"),
            ("partitioner.adaptive.partitioning.enable", "false", "true"),
            ("interceptor.classes", "", "my.Interceptor"),
        ];
        for (key, good, bad) in inert {
            parse(&[(key, good)]).unwrap();
            refuses(&[(key, bad)], &[key, bad]);
            assert!(KEYS.contains(key), "{key} is not told of");
        }
        parse(&[("client.id", "anything")]).unwrap();
        refuses(&[("no.such.key", "1")], &["no.such.key=1", "max.block.ms"]);
    }

    #[test]
    fn b06_the_strings_choose_the_strategy() {
        let strategy = |pairs: &[(&str, &str)]| format!("{:?}", parse(pairs).unwrap().strategy);
        assert_eq!(strategy(&[]), "Kafka");
        assert_eq!(strategy(&[("partitioner.ignore.keys", "TRUE")]), "IgnoreKeys");
        assert_eq!(strategy(&[("partitioner.class", "round-robin")]), "RoundRobin");
        let both = [("partitioner.class", "round-robin"), ("partitioner.ignore.keys", "true")];
        assert_eq!(strategy(&both), "RoundRobin");
        let last = [("partitioner.class", "round-robin"), ("partitioner.class", "")];
        assert_eq!(strategy(&last), "Kafka");
        refuses(&[("partitioner.class", "my.Own")], &["partitioner.class=my.Own", "partitioner"]);
        refuses(&[("partitioner.ignore.keys", "1")], &["partitioner.ignore.keys=1"]);
    }
}
