//! The watermark of one stream: no more rows with an earlier event time are expected.

use super::block::RowBlock;

/// Rows this far (1 hour) ahead of their commit's wall time don't move the watermark: one broken clock must not
/// close everybody's windows.
pub const MAX_AHEAD_NS: i64 = 3_600_000_000_000;

/// The greatest event time seen minus the stream's disorder bound. It never goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermark {
    disorder: i64,
    at: i64,
}

impl Watermark {
    /// Before any row: `i64::MIN`.
    #[must_use]
    pub fn new(disorder_ns: i64) -> Self {
        Self {
            disorder: disorder_ns.max(0),
            at: i64::MIN,
        }
    }

    /// Where it stands; `i64::MIN` before any row.
    #[must_use]
    pub fn at(&self) -> i64 {
        self.at
    }

    /// Sees rows committed at `wall_ns`.
    pub fn observe(&mut self, block: &RowBlock<'_>, wall_ns: i64) {
        let limit = wall_ns.saturating_add(MAX_AHEAD_NS);
        if let Some(t) = block.time().iter().copied().filter(|t| *t <= limit).max() {
            self.advance_to(t.saturating_sub(self.disorder));
        }
    }

    /// Moves on to `at`, never back: a logged tick, or what a checkpoint held.
    pub fn advance_to(&mut self, at: i64) {
        self.at = self.at.max(at);
    }
}
