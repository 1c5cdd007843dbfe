//! Sequence numbers: 31 bits, 0 follows `i32::MAX` (B18).

const MASK: u32 = i32::MAX as u32;

/// A number that lies less than this behind another one is an earlier one.
pub const HALF: u32 = 1 << 30;

/// The number `count` behind `sequence`.
#[inline]
#[must_use]
pub const fn behind(sequence: i32, count: u32) -> i32 {
    ((sequence as u32).wrapping_add(count) & MASK) as i32
}

/// How many steps lead from `from` to `to`, always forward.
#[inline]
#[must_use]
pub const fn steps(from: i32, to: i32) -> u32 {
    (to as u32).wrapping_sub(from as u32) & MASK
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b18_zero_follows_the_greatest() {
        assert_eq!(behind(i32::MAX, 1), 0);
        assert_eq!(behind(i32::MAX - 1, 5), 3);
        assert_eq!(steps(i32::MAX, 0), 1);
        assert_eq!(steps(0, i32::MAX), MASK);
        assert_eq!(steps(7, 7), 0);
    }
}
