//! From times to panes, and from panes to windows.
//!
//! A pane is a slice of time that windows share; each row belongs to exactly one. Tumbling windows are their own
//! panes. Sessions and "no window" have no panes of fixed length and are handled apart.

use super::{StreamError, zoned};
use crate::bind::windowed::{MAX_SLICES, WindowSpec, slice};

/// How rows fall into panes and panes into windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Windows {
    pub spec: WindowSpec,
    pane: i64,
    offset: i64,
}

/// One window, `[start, end)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Window {
    pub start: i64,
    pub end: i64,
}

impl Window {
    /// Before all windows that start there.
    pub fn starting(start: i64) -> Window {
        let end = i64::MIN;
        Window { start, end }
    }
}

/// The greatest `k * step + offset` that is at most `t`, clamped to the range of `i64`.
pub(crate) fn floor_to(t: i64, step: i64, offset: i64) -> i64 {
    let (t, step, offset) = (i128::from(t), i128::from(step), i128::from(offset));
    clamp((t - offset).div_euclid(step) * step + offset)
}

fn clamp(t: i128) -> i64 {
    t.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
}

impl Windows {
    pub fn new(spec: WindowSpec) -> Result<Self, StreamError> {
        let bad = |what: &str| Err(StreamError::Unsupported(what.to_string()));
        let (pane, offset, longest) = match spec {
            WindowSpec::None => (i64::MAX, 0, i64::MAX),
            WindowSpec::Session { gap } => (gap, 0, gap),
            WindowSpec::Tumbling { size, offset } => (size, offset, size),
            WindowSpec::Hopping {
                size,
                advance,
                offset,
            } => (slice(size, advance), offset, size),
            WindowSpec::Cumulate { step, size, offset } => (step, offset, size),
            WindowSpec::Zoned { days, .. } => (zoned::longest(days), 0, zoned::longest(days)),
        };
        if pane <= 0 || longest <= 0 {
            return bad("window lengths must be above zero");
        }
        if longest / pane > MAX_SLICES {
            return bad("the window is over 10,000 times as long as its step");
        }
        Ok(Self { spec, pane, offset })
    }

    /// Whether a window is made of several panes, so that its rows are merged when read.
    pub fn is_shared(&self) -> bool {
        match self.spec {
            WindowSpec::Hopping { size, .. } => size != self.pane,
            WindowSpec::Cumulate { size, .. } => size != self.pane,
            _ => false,
        }
    }

    /// The start of the pane that `t` lies in.
    #[inline]
    pub fn pane_of(&self, t: i64) -> i64 {
        match self.spec {
            WindowSpec::None => 0,
            WindowSpec::Zoned { days, offset, zone } => {
                zoned::window_of(t, days, offset, zone).start
            }
            _ => floor_to(t, self.pane, self.offset),
        }
    }

    /// The first instant past the pane that starts at `start`.
    pub fn pane_end(&self, start: i64) -> i64 {
        match self.spec {
            WindowSpec::None => i64::MAX,
            WindowSpec::Zoned { days, offset, zone } => {
                zoned::window_of(start, days, offset, zone).end
            }
            // The lowest pane's start may be clamped to i64::MIN: its end is the next aligned instant all the same.
            _ if start == i64::MIN => {
                let next = i128::from(start) - i128::from(self.offset);
                let pane = i128::from(self.pane);
                clamp((next.div_euclid(pane) + 1) * pane + i128::from(self.offset))
            }
            _ => start.saturating_add(self.pane),
        }
    }

    /// Calls `f` with each window that the pane starting at `pane` is part of.
    pub fn windows_of(&self, pane: i64, f: &mut dyn FnMut(Window)) {
        match self.spec {
            WindowSpec::Hopping {
                size,
                advance,
                offset,
            } => {
                let last = (i128::from(pane) - i128::from(offset)).div_euclid(i128::from(advance))
                    * i128::from(advance)
                    + i128::from(offset);
                let mut start = last;
                while start + i128::from(size) > i128::from(pane) {
                    f(Window {
                        start: clamp(start),
                        end: clamp(start + i128::from(size)),
                    });
                    start -= i128::from(advance);
                }
            }
            WindowSpec::Cumulate { step, size, offset } => {
                let start = floor_to(pane, size, offset);
                let mut end = pane.saturating_add(step);
                let limit = start.saturating_add(size);
                while end < limit {
                    f(Window { start, end });
                    end = end.saturating_add(step);
                }
                f(Window { start, end: limit });
            }
            _ => f(Window {
                start: pane,
                end: self.pane_end(pane),
            }),
        }
    }

    /// The starts of the panes that make up a window of this kind.
    pub fn panes_of(&self, window: Window) -> impl Iterator<Item = i64> + use<> {
        let (mut next, end, pane) = (window.start, window.end, self.pane);
        std::iter::from_fn(move || {
            if next >= end {
                return None;
            }
            let this = next;
            next = next.saturating_add(pane);
            Some(this)
        })
    }

    /// How far before a window's end its first pane may start.
    pub fn longest(&self) -> i64 {
        match self.spec {
            WindowSpec::Hopping { size, .. } | WindowSpec::Cumulate { size, .. } => size,
            _ => self.pane,
        }
    }
}
