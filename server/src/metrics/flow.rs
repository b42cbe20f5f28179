//! How long events take: from the head of their request until they are durable, visible and in every view.

use super::Histogram;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Instant;

/// Commits that are followed at once; a power of two.
const KEPT: usize = 4096;

/// Follows commits. A request knows its commit only once it is acknowledged, and views may be done by then or not: what
/// comes second makes the measurement.
pub(crate) struct Flow {
    slots: Box<[Mutex<Slot>]>,
    times: Histogram,
}

#[derive(Default)]
struct Slot {
    lsn: u64,
    /// When the commit was in all views.
    visible: Option<Instant>,
    /// When requests of it arrived, until it is.
    waiting: Vec<Instant>,
}

/// Goes with a commit to every view; the last one to let go of it makes the commit visible.
pub(crate) struct Passage {
    flow: Arc<Flow>,
    lsn: u64,
}

impl Default for Flow {
    fn default() -> Self {
        Flow {
            slots: (0..KEPT).map(|_| Mutex::default()).collect(),
            times: Histogram::default(),
        }
    }
}

impl Flow {
    /// The times so far.
    pub(crate) fn times(&self) -> &Histogram {
        &self.times
    }

    fn slot(&self, lsn: u64) -> &Mutex<Slot> {
        &self.slots[lsn as usize % KEPT]
    }

    /// A commit is on its way to the views.
    pub(crate) fn begin(self: &Arc<Self>, lsn: u64) -> Passage {
        let now = Instant::now();
        let before = std::mem::replace(
            &mut *self.slot(lsn).lock(),
            Slot {
                lsn,
                ..Slot::default()
            },
        );
        // Views are thousands of commits behind: it has taken that long at least.
        self.record(&before.waiting, now);
        Passage {
            flow: self.clone(),
            lsn,
        }
    }

    /// A request that arrived then is in that commit.
    pub(crate) fn acknowledged(&self, lsn: u64, arrived: Instant) {
        let mut slot = self.slot(lsn).lock();
        let at = match slot.visible {
            _ if slot.lsn != lsn => Instant::now(),
            Some(at) => at,
            None => return slot.waiting.push(arrived),
        };
        drop(slot);
        self.record(&[arrived], at);
    }

    fn visible(&self, lsn: u64) {
        let now = Instant::now();
        let mut slot = self.slot(lsn).lock();
        if slot.lsn == lsn {
            slot.visible = Some(now);
            let waiting = std::mem::take(&mut slot.waiting);
            drop(slot);
            self.record(&waiting, now);
        }
    }

    fn record(&self, arrived: &[Instant], at: Instant) {
        for arrived in arrived {
            self.times.record(at.saturating_duration_since(*arrived));
        }
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        self.flow.visible(self.lsn);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn count(flow: &Flow) -> u64 {
        flow.times().snapshot().count()
    }

    #[test]
    fn what_comes_second_makes_the_measurement() {
        let flow = Arc::new(Flow::default());
        let arrived = Instant::now() - Duration::from_millis(50);
        let passage = flow.begin(7);
        flow.acknowledged(7, arrived);
        flow.acknowledged(7, arrived);
        assert_eq!(count(&flow), 0, "a view has not taken it in");
        drop(passage);
        assert_eq!(count(&flow), 2);
        drop(flow.begin(8));
        flow.acknowledged(8, arrived);
        assert_eq!(count(&flow), 3);
        let least = flow.times().snapshot().quantile(0.01).unwrap();
        assert!(least >= 50_000_000, "{least}");
    }

    #[test]
    fn the_time_ends_when_the_last_view_is_done_not_when_the_request_is_told() {
        let flow = Arc::new(Flow::default());
        let passage = flow.begin(1);
        drop(passage);
        // It arrives, is told late, and was visible before: no time at all.
        flow.acknowledged(1, Instant::now());
        assert_eq!(flow.times().snapshot().quantile(1.0), Some(0));
    }

    #[test]
    fn commits_that_views_are_far_behind_with_are_counted_too() {
        let flow = Arc::new(Flow::default());
        let old = flow.begin(1);
        flow.acknowledged(1, Instant::now());
        let new = flow.begin(1 + KEPT as u64);
        assert_eq!(count(&flow), 1);
        drop(old);
        flow.acknowledged(1, Instant::now());
        assert_eq!(count(&flow), 2, "its place is taken");
        flow.acknowledged(1 + KEPT as u64, Instant::now());
        drop(new);
        assert_eq!(count(&flow), 3);
    }
}
