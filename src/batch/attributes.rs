//! The attribute byte of a batch.

use crate::base::TimestampType;

/// What kind of batch it is: codec, timestamp type, transaction, control, and what is durable.
///
/// Bits 0 to 2 name the codec; see the constants for the others. Bits 0 to 6 mean what they mean
/// in Kafka's record batch v2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes(pub u8);

#[allow(dead_code, reason = "the format's bits, all of them")]
impl Attributes {
    /// No codec, create time, neither transactional nor control.
    pub const NONE: Attributes = Attributes(0);
    /// The bits of the codec.
    pub const CODEC_MASK: u8 = 0b0000_0111;
    /// Timestamps are the log's append time, not the record's own.
    pub const LOG_APPEND_TIME: Attributes = Attributes(1 << 3);
    /// The batch belongs to a transaction.
    pub const TRANSACTIONAL: Attributes = Attributes(1 << 4);
    /// The batch holds one control record.
    pub const CONTROL: Attributes = Attributes(1 << 5);
    /// The payload begins with the time after which tombstones and markers may go.
    pub const DELETE_HORIZON: Attributes = Attributes(1 << 6);
    /// When it was written, everything before it in its own partition was synced in segments.
    pub const PREV_DURABLE: Attributes = Attributes(1 << 7);

    const fn has(self, bit: Attributes) -> bool {
        self.0 & bit.0 != 0
    }

    /// These attributes with the bits of `other` set too.
    #[must_use]
    pub const fn with(self, other: Attributes) -> Self {
        Self(self.0 | other.0)
    }

    /// The number of the codec of the payload; 0 is none.
    #[must_use]
    pub const fn codec(self) -> u8 {
        self.0 & Self::CODEC_MASK
    }

    /// These attributes with another codec; bits beyond the codec's three are ignored.
    #[must_use]
    pub const fn with_codec(self, codec: u8) -> Self {
        Self((self.0 & !Self::CODEC_MASK) | (codec & Self::CODEC_MASK))
    }

    /// Whether timestamps are the log's append time.
    #[must_use]
    pub const fn log_append_time(self) -> bool {
        self.has(Self::LOG_APPEND_TIME)
    }

    /// Whose time the timestamps are.
    #[must_use]
    pub const fn timestamp_type(self) -> TimestampType {
        if self.log_append_time() {
            TimestampType::LogAppendTime
        } else {
            TimestampType::CreateTime
        }
    }

    /// Whether the batch belongs to a transaction.
    #[must_use]
    pub const fn is_transactional(self) -> bool {
        self.has(Self::TRANSACTIONAL)
    }

    /// Whether the batch holds a control record.
    #[must_use]
    pub const fn is_control(self) -> bool {
        self.has(Self::CONTROL)
    }

    /// Whether the payload begins with a delete horizon.
    #[must_use]
    pub const fn has_delete_horizon(self) -> bool {
        self.has(Self::DELETE_HORIZON)
    }

    /// These attributes with [`has_delete_horizon`](Self::has_delete_horizon) set or cleared.
    #[must_use]
    pub const fn with_delete_horizon(self, on: bool) -> Self {
        let cleared = self.0 & !Self::DELETE_HORIZON.0;
        Self(if on { cleared | Self::DELETE_HORIZON.0 } else { cleared })
    }

    /// Whether everything before it in its partition was synced in segments.
    #[must_use]
    pub const fn prev_durable(self) -> bool {
        self.has(Self::PREV_DURABLE)
    }

    /// These attributes with [`prev_durable`](Self::prev_durable) set or cleared.
    #[must_use]
    pub const fn with_prev_durable(self, on: bool) -> Self {
        let cleared = self.0 & !Self::PREV_DURABLE.0;
        Self(if on { cleared | Self::PREV_DURABLE.0 } else { cleared })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_attribute_has_its_own_bit() {
        let all = [
            Attributes::LOG_APPEND_TIME,
            Attributes::TRANSACTIONAL,
            Attributes::CONTROL,
            Attributes::DELETE_HORIZON,
            Attributes::PREV_DURABLE,
        ];
        let bits = all.iter().fold(Attributes::CODEC_MASK, |bits, a| bits ^ a.0);
        assert_eq!(bits, 0xFF);
        assert!(all.iter().all(|a| a.0.count_ones() == 1));
    }

    #[test]
    fn setting_one_attribute_leaves_the_others() {
        let a = Attributes::CONTROL.with(Attributes::TRANSACTIONAL).with_codec(3);
        assert!(a.is_control() && a.is_transactional());
        assert!(!a.log_append_time() && !a.has_delete_horizon() && !a.prev_durable());
        let b = a.with_prev_durable(true);
        assert!(b.prev_durable());
        assert_eq!(b.codec(), 3);
        assert_eq!(b.with_prev_durable(false), a);
        let c = b.with_delete_horizon(true);
        assert!(c.has_delete_horizon() && c.with_delete_horizon(false) == b);
        assert_eq!(a.with_codec(0xFF).codec(), 7);
        assert!(a.with_codec(0xFF).with_codec(0).is_control());
    }
}
