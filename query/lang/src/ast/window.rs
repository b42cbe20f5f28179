//! Windows over event time, in one form whatever the spelling.

use super::{Interval, Span};

/// The kind of window and its lengths. What was left out is `None`: the binder fills in the default
/// (1 minute for tumbling, a 30-minute gap for sessions) and gives a notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WindowKind {
    /// Windows side by side.
    Tumbling {
        /// Length of a window.
        size: Option<Interval>,
        /// Shift of the window starts from the epoch.
        offset: Option<Interval>,
    },
    /// Windows of one length that start every `advance`.
    Hopping {
        /// Length of a window: the larger of the two lengths written, whichever came first.
        size: Interval,
        /// From one window's start to the next one's.
        advance: Interval,
        /// Shift of the window starts from the epoch.
        offset: Option<Interval>,
    },
    /// Windows of activity, ended by silence.
    Session {
        /// The silence that ends a session.
        gap: Option<Interval>,
    },
    /// Windows that grow by `step` up to `size`, then start anew.
    Cumulate {
        /// What each window is longer than the one before.
        step: Interval,
        /// Length of the last and longest one.
        size: Interval,
        /// Shift of the window starts from the epoch.
        offset: Option<Interval>,
    },
}

/// `WINDOW TUMBLING (SIZE 1 MINUTE, GRACE PERIOD 10 SECONDS)` and its like.
#[derive(Debug, Clone)]
pub struct WindowClause {
    /// Kind and lengths.
    pub kind: WindowKind,
    /// `GRACE PERIOD ..`: how long after its end a window stays open.
    pub grace: Option<Interval>,
    /// `TIME ZONE '..'`: the IANA zone whose midnight windows are aligned to.
    pub time_zone: Option<String>,
    /// Where it stands.
    pub span: Span,
}

impl PartialEq for WindowClause {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && self.grace == other.grace && self.time_zone == other.time_zone
    }
}

impl Eq for WindowClause {}
