//! A clock that moves only when told to.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::clock::Clock;

/// Simulated time. Reading it moves nothing.
#[derive(Debug)]
pub struct SimClock {
    wall: AtomicI64,
    monotonic: AtomicU64,
}

impl SimClock {
    /// A clock at wall time `wall_ns`.
    #[must_use]
    pub fn new(wall_ns: i64) -> SimClock {
        SimClock {
            wall: AtomicI64::new(wall_ns),
            monotonic: AtomicU64::new(1),
        }
    }

    /// Lets time pass.
    pub fn advance(&self, ns: u64) {
        self.monotonic.fetch_add(ns, Ordering::SeqCst);
        self.jump(i64::try_from(ns).unwrap_or(i64::MAX));
    }

    /// Sets the wall clock forth or back, as an operator or NTP would.
    pub fn jump(&self, ns: i64) {
        self.wall.fetch_add(ns, Ordering::SeqCst);
    }
}

impl Clock for SimClock {
    fn wall_ns(&self) -> i64 {
        self.wall.load(Ordering::SeqCst)
    }

    fn monotonic_ns(&self) -> u64 {
        self.monotonic.load(Ordering::SeqCst)
    }
}
