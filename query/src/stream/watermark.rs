//! The watermark of one stream: no more rows with an earlier event time are expected.

use super::block::RowBlock;

/// Rows this far (1 hour) ahead of their commit's wall time don't move the watermark: one broken clock must not
/// close everybody's windows.
pub const MAX_AHEAD_NS: i64 = 3_600_000_000_000;
/// A stream without rows for this long (10 seconds) is idle: logged ticks move its watermark on.
pub const IDLE_NS: i64 = 10_000_000_000;
/// One tick moves the watermark by this much (15 seconds) at most, so that time in which the server was down, and
/// logged no ticks, does not count.
const MAX_TICK_NS: i64 = 15_000_000_000;

/// The greatest event time seen minus the stream's disorder bound, moved on by ticks while the stream is idle. It
/// never goes back, and is a function of the log alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermark {
    disorder: i64,
    at: i64,
    /// Wall time of the last commit with rows.
    rows_at: i64,
    /// Wall time of the last tick that counted.
    tick_at: i64,
}

impl Watermark {
    /// Before any row: `i64::MIN`.
    #[must_use]
    pub fn new(disorder_ns: i64) -> Self {
        Self {
            disorder: disorder_ns.max(0),
            at: i64::MIN,
            rows_at: i64::MIN,
            tick_at: i64::MIN,
        }
    }

    /// Of rows that were committed at times unknown: the newest that counts is at `newest`, and by `wall_ns` all of them
    /// were there.
    #[must_use]
    pub fn of_history(disorder_ns: i64, newest: Option<i64>, wall_ns: i64) -> Self {
        let mut watermark = Self::new(disorder_ns);
        if let Some(newest) = newest {
            watermark.advance_to(newest.saturating_sub(watermark.disorder));
            watermark.rows_at = wall_ns;
        }
        watermark
    }

    /// Where it stands; `i64::MIN` before any row.
    #[must_use]
    pub fn at(&self) -> i64 {
        self.at
    }

    /// Sees rows committed at `wall_ns`.
    pub fn observe(&mut self, block: &RowBlock<'_>, wall_ns: i64) {
        let limit = wall_ns.saturating_add(MAX_AHEAD_NS);
        self.rows_at = self.rows_at.max(wall_ns);
        if let Some(t) = block.time().iter().copied().filter(|t| *t <= limit).max() {
            self.advance_to(t.saturating_sub(self.disorder));
        }
    }

    /// Sees a logged tick: an idle stream's watermark moves on by the time that has passed.
    pub fn tick(&mut self, wall_ns: i64) {
        if self.at == i64::MIN || wall_ns.saturating_sub(self.rows_at) < IDLE_NS {
            return;
        }
        let since = self.rows_at.max(self.tick_at);
        let passed = wall_ns.saturating_sub(since).clamp(0, MAX_TICK_NS);
        self.advance_to(self.at.saturating_add(passed));
        self.tick_at = self.tick_at.max(wall_ns);
    }

    /// Moves on to `at`, never back.
    pub fn advance_to(&mut self, at: i64) {
        self.at = self.at.max(at);
    }

    /// For saved state.
    pub(crate) fn parts(&self) -> [i64; 4] {
        [self.disorder, self.at, self.rows_at, self.tick_at]
    }

    /// The inverse of [`Watermark::parts`].
    pub(crate) fn from_parts([disorder, at, rows_at, tick_at]: [i64; 4]) -> Self {
        Self {
            disorder,
            at,
            rows_at,
            tick_at,
        }
    }
}
