//! Time as an argument: whoever needs to know the time is handed a [`Clock`].

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A source of wall and monotonic time, in nanoseconds.
pub trait Clock: Send + Sync {
    /// Nanoseconds since 1970-01-01T00:00:00Z as this host believes; may jump in either direction.
    fn wall_ns(&self) -> i64;

    /// Nanoseconds since an arbitrary origin; never goes back. Timeouts are measured with this one.
    fn monotonic_ns(&self) -> u64;
}

/// The host's clocks.
#[derive(Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    #[must_use]
    pub fn new() -> SystemClock {
        SystemClock {
            origin: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        SystemClock::new()
    }
}

impl Clock for SystemClock {
    fn wall_ns(&self) -> i64 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
            Err(before) => {
                i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |nanos| -nanos)
            }
        }
    }

    fn monotonic_ns(&self) -> u64 {
        // 2^64 ns are 584 years of uptime.
        u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}
