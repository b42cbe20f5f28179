//! Lengths of time.

/// Nanoseconds in a second.
pub const NANOS_PER_SECOND: i64 = 1_000_000_000;
/// Nanoseconds in a day of 24 hours, which is what a day in an interval means.
pub const NANOS_PER_DAY: i64 = 86_400 * NANOS_PER_SECOND;

/// A length of time: calendar months, and nanoseconds (a day counts as 24 hours).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Interval {
    /// Whole months; a year is twelve.
    pub months: i32,
    /// Everything below a month, in nanoseconds.
    pub nanos: i64,
}

impl Interval {
    /// An interval of nanoseconds alone.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self { months: 0, nanos }
    }

    /// The nanoseconds, unless the interval has months (which have no fixed length).
    pub const fn as_nanos(self) -> Option<i64> {
        if self.months == 0 {
            Some(self.nanos)
        } else {
            None
        }
    }

    /// Whether both parts are at least zero and one of them is above it.
    pub const fn is_positive(self) -> bool {
        self.months >= 0 && self.nanos >= 0 && (self.months > 0 || self.nanos > 0)
    }
}
