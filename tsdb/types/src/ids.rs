//! Newtypes for everything that is counted or named, so that one can't be taken for another.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// Log sequence number: the dense position of a commit in the log. The first commit is 1; 0 is "before all".
    Lsn(u64)
);
id!(
    /// A tenant; 0 unless said otherwise.
    TenantId(u32)
);
id!(
    /// A stream, dense over all databases of a tenant and never reused.
    StreamId(u32)
);
id!(
    /// A column of one stream: its place in the order in which columns were added; never reused.
    ColumnId(u16)
);
id!(
    /// A distinct combination of tag values of one stream, dense per stream in order of first sight.
    SeriesId(u32)
);
id!(
    /// An immutable file of sorted rows.
    SegmentId(u64)
);

impl Lsn {
    /// The next position in the log.
    #[must_use]
    pub fn next(self) -> Lsn {
        Lsn(self.0 + 1)
    }
}

/// Nanoseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Timestamp(pub i64);

/// A half-open range of event time `[start, end)`, in nanoseconds UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    /// First instant inside.
    pub start: i64,
    /// First instant past the end; `i64::MAX` also admits the instant `i64::MAX`.
    pub end: i64,
}

impl TimeRange {
    /// Every instant.
    pub const ALL: TimeRange = TimeRange {
        start: i64::MIN,
        end: i64::MAX,
    };

    /// Whether `t` lies inside.
    #[must_use]
    pub fn contains(&self, t: i64) -> bool {
        t >= self.start && (t < self.end || self.end == i64::MAX)
    }

    /// Whether the closed range `[min, max]` has an instant in common with this one.
    #[must_use]
    pub fn overlaps(&self, min: i64, max: i64) -> bool {
        max >= self.start && (min < self.end || self.end == i64::MAX)
    }

    /// Whether the closed range `[min, max]` lies wholly inside.
    #[must_use]
    pub fn covers(&self, min: i64, max: i64) -> bool {
        self.contains(min) && self.contains(max)
    }

    /// The instants in both.
    #[must_use]
    pub fn intersect(&self, other: &TimeRange) -> TimeRange {
        TimeRange {
            start: self.start.max(other.start),
            end: self.end.min(other.end),
        }
    }
}
