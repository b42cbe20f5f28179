//! What a running source is told to do.

use parking_lot::{Condvar, Mutex};
use std::time::{Duration, Instant};

/// What is wanted of a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Wish {
    /// To read.
    #[default]
    Run,
    /// To keep its place and read no further.
    Pause,
    /// To finish what it has begun, and end.
    End,
}

/// Tells a source's thread what is wanted.
#[derive(Debug, Default)]
pub(crate) struct Control {
    wish: Mutex<Wish>,
    changed: Condvar,
}

impl Control {
    pub(crate) fn wish(&self) -> Wish {
        *self.wish.lock()
    }

    /// Changes the wish; an end is final.
    pub(crate) fn set(&self, wish: Wish) {
        let mut now = self.wish.lock();
        if *now != Wish::End {
            *now = wish;
            self.changed.notify_all();
        }
    }

    /// Waits so long, or until the wish changes; not at all once the end is wanted.
    pub(crate) fn wait(&self, time: Duration) {
        let mut wish = self.wish.lock();
        let before = *wish;
        let until = Instant::now() + time;
        while *wish == before
            && before != Wish::End
            && !self.changed.wait_until(&mut wish, until).timed_out()
        {}
    }
}

/// Why a source has ended, though it was not told to.
#[derive(Debug)]
pub(crate) enum Ended {
    /// To be tried again after a while.
    Retry(String),
    /// Of no use to try again.
    Failed(String),
    /// It was told to, amid something that is left undone.
    Told,
}

impl From<tsdb::Error> for Ended {
    fn from(error: tsdb::Error) -> Ended {
        match error {
            tsdb::Error::Poisoned(_) => Ended::Failed(error.to_string()),
            _ => Ended::Retry(error.to_string()),
        }
    }
}
