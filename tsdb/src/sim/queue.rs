//! The log's queue on a simulated disk: every write and every sync of it happens at a time of its own.

use std::io;
use std::time::Duration;

use super::Rng;
use crate::io::{Completion, DurableWrite, Queue, Waker};

struct Pending {
    write: DurableWrite,
    token: u64,
    /// The write has happened, its sync not yet.
    written: bool,
}

/// Runs in [`Queue::wait`] alone, on the caller's thread, in random order. Its waker does nothing: with no other thread
/// there is nobody to wait for.
pub(super) struct SimQueue {
    rng: Rng,
    pending: Vec<Pending>,
}

impl SimQueue {
    pub fn new(seed: u64) -> SimQueue {
        SimQueue {
            rng: Rng::new(seed),
            pending: Vec::new(),
        }
    }

    /// Takes one of the pending writes a step further.
    fn step(&mut self) -> Option<Completion> {
        let index = self.rng.index(self.pending.len());
        let pending = self.pending.get_mut(index)?;
        let file = &pending.write.file;
        let result = if pending.written {
            file.sync_queued()
        } else {
            match file.write_at(pending.write.offset, &pending.write.data) {
                Ok(()) => {
                    pending.written = true;
                    return None;
                }
                Err(e) => Err(e),
            }
        };
        let done = self.pending.swap_remove(index);
        Some(Completion {
            token: done.token,
            result,
            data: done.write.data,
        })
    }
}

impl Queue for SimQueue {
    fn submit(&mut self, write: DurableWrite, token: u64) {
        self.pending.push(Pending {
            write,
            token,
            written: false,
        });
    }

    fn wait(
        &mut self,
        min: usize,
        _timeout: Option<Duration>,
        out: &mut Vec<Completion>,
    ) -> io::Result<()> {
        let needed = min.min(self.pending.len());
        let mut got = 0;
        let mut extra = self.rng.index(4);
        while !self.pending.is_empty() && (got < needed || extra > 0) {
            if got >= needed {
                extra -= 1;
            }
            if let Some(completion) = self.step() {
                got += 1;
                out.push(completion);
            }
        }
        Ok(())
    }

    fn waker(&self) -> Waker {
        Waker::new(|| {})
    }

    fn in_flight(&self) -> usize {
        self.pending.len()
    }
}
