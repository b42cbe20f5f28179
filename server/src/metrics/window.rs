//! A histogram's last minute.

use super::{Histogram, Snapshot};
use parking_lot::Mutex;
use std::collections::VecDeque;

/// Ticks of a second that a window reaches back.
const SECONDS: usize = 60;
/// Ticks between two moments that are kept.
const STEP: usize = 5;

/// What a histogram was like at moments of the last minute.
#[derive(Default)]
pub(crate) struct Window {
    past: Mutex<(usize, VecDeque<Snapshot>)>,
}

impl Window {
    /// To be called once a second.
    pub(crate) fn tick(&self, histogram: &Histogram) {
        let (ticks, past) = &mut *self.past.lock();
        if ticks.is_multiple_of(STEP) {
            if past.len() == SECONDS / STEP {
                past.pop_front();
            }
            past.push_back(histogram.snapshot());
        }
        *ticks += 1;
    }

    /// What came in the last minute, to five seconds; since the start if that is less.
    pub(crate) fn last(&self, histogram: &Histogram) -> Snapshot {
        let now = histogram.snapshot();
        match self.past.lock().1.front() {
            Some(past) => now.since(past),
            None => now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_window_forgets_what_is_a_minute_old() {
        let (histogram, window) = (Histogram::default(), Window::default());
        window.tick(&histogram);
        histogram.record(Duration::from_secs(9));
        assert_eq!(window.last(&histogram).count(), 1);
        for _ in 0..SECONDS + STEP {
            window.tick(&histogram);
        }
        histogram.record(Duration::from_millis(1));
        let last = window.last(&histogram);
        assert_eq!(last.count(), 1);
        assert!(last.quantile(1.0).unwrap() < 2_000_000);
        assert_eq!(histogram.snapshot().count(), 2);
    }
}
