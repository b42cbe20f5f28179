//! What the engine's threads share.

use super::committer::Waiting;
use super::state::Published;
use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::io::{Disk, Waker};
use hashbrown::HashMap;
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tsdb_types::Lsn;

/// Counters of the engine, all since it was opened unless said otherwise.
#[derive(Debug, Default)]
pub struct EngineMetrics {
    /// The highest LSN that is durable and visible.
    pub published: AtomicU64,
    /// Commits.
    pub commits: AtomicU64,
    /// Requests in them.
    pub requests: AtomicU64,
    /// Rows in them.
    pub rows: AtomicU64,
    /// Nanoseconds from the taking of a group to its acknowledgement, summed over commits.
    pub commit_ns: AtomicU64,
    /// Bytes of rows in memory now, those being flushed among them.
    pub head_bytes: AtomicU64,
    /// Bytes of log files that hold records now.
    pub wal_bytes: AtomicU64,
    /// Bytes of log files kept ready now.
    pub wal_ready_bytes: AtomicU64,
    /// Flushes.
    pub flushes: AtomicU64,
    /// Nanoseconds spent in them.
    pub flush_ns: AtomicU64,
    /// Whether the log has failed.
    pub poisoned: AtomicBool,
}

/// Requests on their way to the committer.
#[derive(Default)]
pub(crate) struct RequestQueue {
    waiting: Mutex<(Vec<Waiting>, bool)>,
    bytes: AtomicU64,
    sleeping: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl RequestQueue {
    pub(crate) fn set_waker(&self, waker: Waker) {
        *self.waker.lock() = Some(waker);
    }

    /// Adds a request; gives it back when the queue is closed.
    pub(crate) fn push(&self, waiting: Waiting) -> Result<(), Waiting> {
        let bytes = waiting.0.byte_len() as u64;
        {
            let mut queue = self.waiting.lock();
            if queue.1 {
                return Err(waiting);
            }
            queue.0.push(waiting);
        }
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.wake();
        Ok(())
    }

    fn wake(&self) {
        // While a group syncs, the next one fills: only an idle committer is woken.
        if self.sleeping.swap(false, Ordering::AcqRel)
            && let Some(waker) = &*self.waker.lock()
        {
            waker.wake();
        }
    }

    pub(crate) fn close(&self) {
        self.waiting.lock().1 = true;
        self.wake();
    }

    /// All waiting requests, and whether the queue is closed.
    pub(crate) fn take(&self) -> (Vec<Waiting>, bool) {
        let mut queue = self.waiting.lock();
        self.bytes.store(0, Ordering::Relaxed);
        (std::mem::take(&mut queue.0), queue.1)
    }

    /// Announces that the committer is about to sleep; false when something has come meanwhile.
    pub(crate) fn sleep(&self) -> bool {
        self.sleeping.store(true, Ordering::Release);
        let queue = self.waiting.lock();
        if queue.0.is_empty() && !queue.1 {
            return true;
        }
        self.sleeping.store(false, Ordering::Release);
        false
    }

    pub(crate) fn awake(&self) {
        self.sleeping.store(false, Ordering::Release);
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// Asks a background thread to work, and waits for it.
#[derive(Default)]
pub(crate) struct Signal {
    state: Mutex<SignalState>,
    changed: Condvar,
}

#[derive(Default)]
struct SignalState {
    wanted: u64,
    done: u64,
    last: Option<crate::Error>,
    closed: bool,
}

impl Signal {
    /// Asks for work, unless some is asked for already.
    pub(crate) fn request(&self) {
        let mut s = self.state.lock();
        if s.wanted == s.done {
            s.wanted += 1;
            self.changed.notify_all();
        }
    }

    /// Asks for work that begins after this call, and waits until it has ended.
    pub(crate) fn request_and_wait(&self) -> Result<(), crate::Error> {
        let mut s = self.state.lock();
        // One that is running may have begun before the rows at hand came.
        let ticket = s.wanted + 1;
        s.wanted = ticket;
        self.changed.notify_all();
        while s.done < ticket && !s.closed {
            self.changed.wait(&mut s);
        }
        if s.done < ticket {
            return Err(crate::Error::Closed);
        }
        s.last.clone().map_or(Ok(()), Err)
    }

    /// Waits for a request; `None` when it is time to end. Gives the ticket to be reported as done.
    pub(crate) fn next(&self) -> Option<u64> {
        let mut s = self.state.lock();
        while s.wanted == s.done && !s.closed {
            self.changed.wait(&mut s);
        }
        (!s.closed).then_some(s.wanted)
    }

    pub(crate) fn done(&self, ticket: u64, result: Result<(), crate::Error>) {
        let mut s = self.state.lock();
        s.done = ticket;
        s.last = result.err();
        self.changed.notify_all();
    }

    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_all();
    }
}

pub(crate) struct Shared {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) published: Mutex<Published>,
    pub(crate) queue: RequestQueue,
    pub(crate) flush_signal: Signal,
    pub(crate) prepare_signal: Signal,
    pub(crate) metrics: EngineMetrics,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) disk: Arc<dyn Disk>,
    /// Everything up to here is in segments and catalog files.
    pub(crate) flushed: AtomicU64,
    /// The floor that the log was last cut at.
    pub(crate) truncated: AtomicU64,
    /// Who needs the log from which LSN on.
    pub(crate) holds: Mutex<HashMap<String, Lsn, ahash::RandomState>>,
    pub(crate) head_bound: u64,
    pub(crate) flush_bytes: u64,
}

impl Shared {
    /// Records at or below this are needed by nobody.
    pub(crate) fn wal_floor(&self) -> Lsn {
        let flushed = Lsn(self.flushed.load(Ordering::Acquire));
        self.holds.lock().values().copied().fold(flushed, Lsn::min)
    }

    pub(crate) fn wants_flush(&self) -> bool {
        self.metrics.head_bytes.load(Ordering::Relaxed) >= self.flush_bytes
    }
}
