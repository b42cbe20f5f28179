//! How long a change is on its way: from its commit's wall time to the moment when it is handed to a subscriber.

use crate::metrics::Histogram;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;
use tsdb::{Commit, CommitObserver};

/// Commits whose time is known; a power of two.
const KEPT: usize = 8192;

/// The wall times of the last commits.
pub(crate) struct CommitTimes {
    slots: Box<[(AtomicU64, AtomicI64)]>,
}

impl Default for CommitTimes {
    fn default() -> Self {
        CommitTimes {
            slots: (0..KEPT)
                .map(|_| (AtomicU64::new(0), AtomicI64::new(0)))
                .collect(),
        }
    }
}

impl CommitTimes {
    fn slot(&self, lsn: u64) -> &(AtomicU64, AtomicI64) {
        &self.slots[lsn as usize % KEPT]
    }

    /// A frame that is complete up to `lsn` has been made ready at `now_ns`.
    pub(crate) fn pushed(&self, lsn: u64, times: &Histogram, now_ns: i64) {
        let (of, at) = self.slot(lsn);
        if of.load(Ordering::Acquire) == lsn {
            let ns = now_ns.saturating_sub(at.load(Ordering::Relaxed));
            times.record(Duration::from_nanos(u64::try_from(ns).unwrap_or(0)));
        }
    }
}

impl CommitObserver for CommitTimes {
    fn on_commit(&self, commit: &Arc<Commit>) {
        let (of, at) = self.slot(commit.lsn.0);
        at.store(commit.wall_ns, Ordering::Relaxed);
        of.store(commit.lsn.0, Ordering::Release);
    }
}
